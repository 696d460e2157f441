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
pub mod record;

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
pub(crate) const STALE: Duration = Duration::from_secs(5 * 60);

impl Collector {
    /// `looks` run in this order, each sees the readings of those before it; `sources` are asked side by side before them, but those that stand in for others after.
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
        let left = by.saturating_duration_since(now);
        let sources_by = by.checked_sub(left / 4).unwrap_or(by);
        join_all(self.sources.iter_mut().filter(|asked| !asked.source.stands_in()).map(|asked| asked.ask(now, sources_by))).await;
        let known = self.memories().filter_map(|memory| memory.good.as_ref()).map(|good| good.reading.clone()).collect();
        let looked = self.looker.look(known, by).await;
        for (memory, answered) in self.looked.iter_mut().zip(looked) {
            memory.keep(answered, Instant::now());
        }
        let now = Instant::now();
        let mut readings: Vec<Arc<Reading>> = self.memories().flat_map(|memory| memory.readings(now)).collect();
        for asked in self.sources.iter_mut().filter(|asked| asked.source.stands_in()) {
            asked.source.hear(&readings);
            // Where the kernel's files took all the time a stand-in still gets what the others get less.
            asked.ask(now, by.max(now + left / 4)).await;
            readings.retain(|reading| reading.from != asked.memory.name);
            readings.extend(asked.memory.readings(Instant::now()));
        }
        let snapshot = Arc::new(merge::merge(&readings, self.before.as_deref()));
        self.before = Some(snapshot.clone());
        snapshot
    }

    /// How each source does, those made of kernel files first. One that stands in for others and was never needed is left out.
    pub fn sources(&self) -> Vec<SourceState> {
        let idle = |asked: &&Asked| asked.source.stands_in() && asked.memory.good.is_none() && asked.memory.failures == 0;
        let sources = self.sources.iter().filter(|asked| !idle(asked)).map(|asked| &asked.memory);
        self.looked.iter().chain(sources).map(|memory| memory.state(&self.clock)).collect()
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
            // What nobody asked for says nothing and misses nothing.
            self.failures += u64::from(!reading.gaps.is_empty());
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::snapshot::{Gap, Instance};
    use crate::sources::Told;

    #[derive(Clone, Copy)]
    enum Act {
        Answer,
        Fail,
        Panic,
        Hang,
    }

    /// Does one act after the other, the last one for ever.
    struct Actor {
        acts: Vec<Act>,
        reads: Arc<AtomicUsize>,
        every: Duration,
        deadline: Duration,
    }

    impl Source for Actor {
        fn name(&self) -> SourceName {
            SourceName::Imds
        }

        fn every(&self) -> Duration {
            self.every
        }

        fn deadline(&self) -> Duration {
            self.deadline
        }

        fn read(&mut self, _: Instant) -> BoxFuture<'_, Reading> {
            let read = self.reads.fetch_add(1, Ordering::Relaxed);
            let act = self.acts[read.min(self.acts.len() - 1)];
            let told = Told::Instance(Instance { id: Some(format!("i-{read}").into()), ..Instance::default() });
            let gap = Gap { from: SourceName::Imds, what: "instance".into(), why: "it said no".into() };
            Box::pin(async move {
                match act {
                    Act::Answer => Reading { from: SourceName::Imds, at: Stamp::default(), told: Some(told), gaps: vec![] },
                    Act::Fail => Reading { from: SourceName::Imds, at: Stamp::default(), told: None, gaps: vec![gap] },
                    Act::Panic => panic!("told to panic"),
                    Act::Hang => std::future::pending().await,
                }
            })
        }
    }

    fn actor(acts: &[Act]) -> (Arc<AtomicUsize>, Actor) {
        let reads = Arc::new(AtomicUsize::new(0));
        (reads.clone(), Actor { acts: acts.to_vec(), reads, every: Duration::ZERO, deadline: Duration::from_secs(60) })
    }

    fn collector(actor: Actor) -> Collector {
        Collector::new(vec![], vec![Box::new(actor)], Clock::Real)
    }

    async fn collect(collector: &mut Collector) -> (Option<String>, Vec<String>) {
        let snapshot = collector.collect(Instant::now() + Duration::from_secs(60)).await;
        let gaps = snapshot.gaps.iter().filter(|gap| gap.from == SourceName::Imds).map(|gap| gap.why.to_string()).collect();
        (snapshot.host.instance.id.as_deref().map(str::to_owned), gaps)
    }

    #[tokio::test]
    async fn a_failure_leaves_the_last_good_reading_in_place_and_says_so() {
        let (_, actor) = actor(&[Act::Answer, Act::Fail, Act::Answer]);
        let mut collector = collector(actor);
        assert_eq!(collect(&mut collector).await, (Some("i-0".into()), vec![]));
        assert_eq!(collect(&mut collector).await, (Some("i-0".into()), vec!["it said no".into()]));
        assert_eq!(collect(&mut collector).await, (Some("i-2".into()), vec![]));
        assert_eq!(collector.sources()[0].failures, 1);
    }

    #[test]
    fn a_source_that_is_not_wanted_does_not_fail() {
        let mut memory = Memory::new(SourceName::Docker);
        let silent = Reading { gaps: vec![], ..looker::nothing(SourceName::Docker, String::new()) };
        memory.keep(Answered { reading: Arc::new(silent), took: None }, Instant::now());
        assert_eq!(memory.failures, 0);
    }

    #[test]
    fn a_good_reading_is_not_believed_for_ever() {
        let reading = |told| Answered { reading: Arc::new(Reading { told, ..looker::nothing(SourceName::Imds, String::new()) }), took: None };
        let start = Instant::now();
        let mut memory = Memory::new(SourceName::Imds);
        memory.keep(reading(Some(Told::Instance(Instance::default()))), start);
        let good = |memory: &Memory, now| memory.readings(now).filter(|reading| reading.told.is_some()).count();
        assert_eq!(good(&memory, start + STALE), 1, "a slow source that does not fail is fresh");
        memory.keep(reading(None), start + STALE / 2);
        assert_eq!((good(&memory, start + STALE / 2), good(&memory, start + STALE)), (1, 0));
        memory.keep(reading(None), start + STALE);
        assert_eq!(good(&memory, start), 0);
    }

    #[tokio::test]
    async fn a_source_that_panics_rests_and_is_asked_again() {
        let (reads, actor) = actor(&[Act::Panic, Act::Panic, Act::Answer]);
        let mut collector = collector(actor);
        let mut asked = Vec::new();
        for _ in 0..6 {
            let (id, gaps) = collect(&mut collector).await;
            assert_eq!(id.is_none(), gaps.iter().any(|why| why.contains("told to panic")));
            asked.push(reads.load(Ordering::Relaxed));
        }
        assert_eq!(asked, [1, 1, 2, 2, 2, 3]);
    }

    #[tokio::test]
    async fn a_source_that_hangs_is_left_at_its_deadline() {
        let (_, actor) = actor(&[Act::Hang, Act::Answer]);
        let mut collector = collector(Actor { deadline: Duration::ZERO, ..actor });
        assert_eq!(collect(&mut collector).await, (None, vec!["no answer within 0.0 s".into()]));
        assert_eq!(collect(&mut collector).await, (Some("i-1".into()), vec![]));
    }

    #[tokio::test]
    async fn a_fresh_reading_is_not_asked_for_again() {
        let (reads, actor) = actor(&[Act::Answer]);
        let mut collector = collector(Actor { every: Duration::from_secs(3600), ..actor });
        assert_eq!(collect(&mut collector).await, collect(&mut collector).await);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let now = Instant::now();
        let asked = collector.sources[0].asked.unwrap_or(now);
        assert!(collector.sources[0].is_due(asked + Duration::from_secs(3599)), "a moment early is on time");
    }

    #[tokio::test]
    async fn new_sources_are_compared_with_the_last_snapshot() {
        let mut collector = collector(actor(&[Act::Answer]).1);
        collect(&mut collector).await;
        collector.replace(vec![], vec![Box::new(actor(&[Act::Fail]).1)], Clock::Fixed(Stamp::default()));
        assert!(collector.before.is_some());
        assert_eq!(collect(&mut collector).await, (None, vec!["it said no".into()]), "a reading of before is not carried over");
    }
}
