//! Looks at one host and says what runs there and what each thing uses: plain data, no price, no sink.

pub mod units;
pub mod error;
pub mod identity;
pub mod snapshot;
pub mod roots;
pub mod http;
pub mod sources;
pub mod merge;
pub mod looker;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;

use looker::{Answered, Looker, Rest};
use roots::Clock;
use snapshot::{Snapshot, SourceName};
use sources::{Look, Reading, Source};
use units::Stamp;

/// Asks every source in its turn and joins what they say. It has no clock of its own: the caller says when.
pub struct Collector {
    looker: Looker,
    looked: Vec<Memory>,
    sources: Vec<Asked>,
    clock: Clock,
    before: Option<Arc<Snapshot>>,
}

/// How one source does.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceState {
    /// Which.
    pub source: SourceName,
    /// When it last answered.
    pub answered: Option<Timestamp>,
    /// How old its newest good reading is.
    pub age: Option<Duration>,
    /// How long its last read took. Unknown on a recorded host.
    pub took: Option<Duration>,
    /// Reads that said nothing, since the start.
    pub failures: u64,
}

/// A reading older than this is not believed any more.
const STALE: Duration = Duration::from_secs(5 * 60);

impl Collector {
    /// `looks` run in this order, each sees the readings of those before it; `sources` are asked side by side before them.
    pub fn new(looks: Vec<Box<dyn Look>>, sources: Vec<Box<dyn Source>>, clock: Clock) -> Collector {
        let looked = looks.iter().map(|look| Memory::new(look.name())).collect();
        let sources = sources.into_iter().map(Asked::new).collect();
        Collector { looker: Looker::new(looks), looked, sources, clock, before: None }
    }

    /// Other sources from now on, as each look of a recorded host brings its own. The last snapshot stays: what follows is compared with it.
    pub fn replace(&mut self, looks: Vec<Box<dyn Look>>, sources: Vec<Box<dyn Source>>, clock: Clock) {
        let before = self.before.take();
        *self = Collector { before, ..Collector::new(looks, sources, clock) };
    }

    /// One look at the host, done by `by`. It never fails: what cannot be seen is a gap in the snapshot.
    pub async fn collect(&mut self, by: Instant) -> Arc<Snapshot> {
        let now = Instant::now();
        // A socket that hangs must leave time to read the kernel's files.
        let sources_by = now + by.saturating_duration_since(now) * 3 / 4;
        join_all(self.sources.iter_mut().map(|source| source.ask(now, sources_by))).await;
        let known = self.memories().filter_map(|memory| memory.good.as_ref()).map(|good| good.reading.clone()).collect();
        let looked = self.looker.look(known, by).await;
        for (memory, answered) in self.looked.iter_mut().zip(looked) {
            memory.keep(answered, Instant::now());
        }
        let now = Instant::now();
        let readings: Vec<Arc<Reading>> = self.memories().flat_map(|memory| memory.readings(now)).collect();
        let snapshot = Arc::new(merge::merge(&readings, self.before.as_deref()));
        self.before = Some(snapshot.clone());
        snapshot
    }

    /// How each source does, those made of kernel files first.
    pub fn sources(&self) -> Vec<SourceState> {
        self.memories().map(|memory| memory.state(&self.clock)).collect()
    }

    fn memories(&self) -> impl Iterator<Item = &Memory> {
        self.looked.iter().chain(self.sources.iter().map(|source| &source.memory))
    }
}

/// What is kept of one source between turns.
struct Memory {
    name: SourceName,
    good: Option<Good>,
    /// The newest reading, where it said nothing.
    failed: Option<Arc<Reading>>,
    took: Option<Duration>,
    failures: u64,
}

struct Good {
    reading: Arc<Reading>,
    heard: Instant,
}

impl Memory {
    fn new(name: SourceName) -> Memory {
        Memory { name, good: None, failed: None, took: None, failures: 0 }
    }

    fn keep(&mut self, Answered { reading, took }: Answered, heard: Instant) {
        self.took = took.or(self.took);
        if reading.told.is_some() {
            (self.good, self.failed) = (Some(Good { reading, heard }), None);
        } else {
            self.failures += 1;
            self.failed = Some(reading);
        }
        if self.failed.is_some() && self.good.as_ref().is_some_and(|good| is_stale(good, heard)) {
            self.good = None;
        }
    }

    fn readings(&self, now: Instant) -> impl Iterator<Item = Arc<Reading>> {
        let good = self.good.as_ref().filter(|good| self.failed.is_none() || !is_stale(good, now)).map(|good| &good.reading);
        good.into_iter().chain(&self.failed).cloned()
    }

    fn state(&self, clock: &Clock) -> SourceState {
        let at = self.good.as_ref().map(|good| good.reading.at);
        SourceState {
            source: self.name,
            answered: at.and_then(|at| at.wall),
            age: at.and_then(|at| age(at, clock.now())),
            took: self.took.filter(|_| *clock == Clock::Real),
            failures: self.failures,
        }
    }
}

fn is_stale(good: &Good, now: Instant) -> bool {
    now.saturating_duration_since(good.heard) >= STALE
}

/// Zero where no time has passed (a recorded instant), which `Stamp::since` leaves out.
fn age(at: Stamp, now: Stamp) -> Option<Duration> {
    if at == now && at != Stamp::default() { Some(Duration::ZERO) } else { now.since(&at) }
}

/// A source and when it was last asked.
struct Asked {
    source: Box<dyn Source>,
    memory: Memory,
    asked: Option<Instant>,
    rest: Rest,
}

impl Asked {
    fn new(source: Box<dyn Source>) -> Asked {
        Asked { memory: Memory::new(source.name()), source, asked: None, rest: Rest::default() }
    }

    /// One read, if it is due.
    async fn ask(&mut self, now: Instant, by: Instant) {
        if !self.is_due(now) || self.rest.turn_passes() {
            return;
        }
        self.asked = Some(now);
        let deadline = self.source.deadline();
        let by = now.checked_add(deadline).map_or(by, |own| by.min(own));
        let name = self.memory.name;
        let read = AssertUnwindSafe(async { self.source.read(by).await }).catch_unwind();
        let reading = match tokio::time::timeout_at(by.into(), read).await {
            Ok(Ok(reading)) => {
                self.rest.is_over();
                reading
            }
            Ok(Err(panic)) => {
                self.rest.begin(&*panic);
                looker::nothing(name, self.rest.why())
            }
            Err(_) => looker::nothing(name, format!("no answer within {:.1} s", by.saturating_duration_since(now).as_secs_f64())),
        };
        let heard = Instant::now();
        self.memory.keep(Answered { reading: Arc::new(reading), took: Some(heard.saturating_duration_since(now)) }, heard);
    }

    /// A tenth early is on time: a tick that comes a moment too soon must not cost a whole turn.
    fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= self.source.every().mul_f64(0.9))
    }
}
