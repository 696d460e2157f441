//! The backlog: one bounded queue of frames for all sinks that push, and how far each of them is.
//!
//! While all sinks keep up, frames wait in memory as they are. When one falls further behind than `patience`, it is taken to be away, and whatever waits is laid
//! up: packed, and on disk where there is a folder for it, each new frame as it comes. From then on a sink is given a frame only when the folder knows that the
//! frames before it are done. So a Tare that is killed loses at most what was not laid up yet, and each sink sends at most the one frame twice that it was
//! sending. When nobody waits for anything the folder is emptied and all is in memory again.

mod keeper;
mod queue;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::metrics::agent::backlog::BacklogFigures;
use crate::metrics::packed::Packed;
use crate::spool::{Found, Spool};

use keeper::Keeper;
use queue::{Bounds, Give, Lost, Queue, Reason};

pub use queue::Behind;

/// Below the state folder.
const FOLDER: &str = "spool";

/// How much may wait, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder that keeps what a restart must not lose; `None`: memory only.
    pub state: Option<PathBuf>,
    /// When frames are written there.
    pub spool: Writes,
    /// A sink that is further behind is away.
    pub patience: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// Frames, wherever they are.
    pub frames: usize,
    /// From the oldest to the newest frame.
    pub age: Duration,
}

/// When frames are written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// While a sink is away.
    Outage,
    /// Each as it comes.
    Always,
}

/// Where frames are laid up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On disk, in this folder.
    Disk(PathBuf),
    /// In memory, as the settings ask.
    Memory,
    /// In memory, because the disk cannot be used, and why.
    Refused(String),
}

/// One queue, a cursor for each sink. All methods take `&self`; share it by `Arc`.
pub struct Backlog {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What those who push, the sinks and the keeper have in common.
struct Shared {
    names: Vec<&'static str>,
    state: Mutex<State>,
    /// There is work for the keeper.
    work: Condvar,
    /// There may be something for this sink.
    news: Vec<Notify>,
    figures: BacklogFigures,
}

struct State {
    queue: Queue,
    asks: Vec<Ask>,
    place: Place,
    /// Bytes on disk.
    disk: u64,
    /// Counts frames that came.
    pushed: u64,
    closing: bool,
    /// What was already spoken of since the sinks were last all there.
    spoken: HashSet<(&'static str, Reason)>,
}

/// A sink that waits for what only the keeper can give. Nothing: it asks anew.
struct Ask {
    sink: usize,
    reply: oneshot::Sender<Option<Arc<Packed>>>,
}

impl Backlog {
    /// A queue for these sinks; it goes on where a former life in the same folder was stopped. Where the folder cannot be used all waits in memory, which
    /// is logged and counted and no error. Sinks that were not there before begin with what comes.
    /// Errors: no thread can be started.
    pub fn open(settings: &Settings, sinks: &[&'static str], figures: BacklogFigures) -> io::Result<Backlog> {
        let bounds =
            Bounds { memory: usize::try_from(settings.memory).unwrap_or(usize::MAX), frames: settings.frames, age: settings.age, patience: settings.patience };
        let (spool, found, place) = open_spool(settings, sinks, &figures);
        let mut queue = queue(bounds, sinks, &found, &figures);
        if settings.spool == Writes::Always && spool.is_some() || !queue.is_empty() {
            queue.lay_up();
        }
        if !queue.is_empty() {
            tracing::info!("{} reports of a former life have still to be sent", queue.frames());
        }
        let disk = spool.as_ref().map_or(0, Spool::bytes);
        let state = State { queue, asks: Vec::new(), place, disk, pushed: 0, closing: false, spoken: HashSet::new() };
        let news = sinks.iter().map(|_| Notify::new()).collect();
        let shared = Arc::new(Shared { names: sinks.to_vec(), state: Mutex::new(state), work: Condvar::new(), news, figures });
        shared.show(&mut shared.lock());
        let keeper = Keeper::new(Arc::clone(&shared), spool, settings.spool == Writes::Always);
        let keeper = std::thread::Builder::new().name("backlog".into()).spawn(move || keeper.run())?;
        Ok(Backlog { shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// A frame behind all others. Takes microseconds, whatever the far ends and the disk do; the oldest make room.
    pub fn push(&self, frame: Packed) {
        let mut state = self.shared.lock();
        let left = state.queue.push(frame);
        state.pushed += 1;
        if left {
            let far: Vec<&str> = (0..self.shared.names.len()).filter(|sink| state.queue.behind(*sink).frames > 1).map(|sink| self.shared.names[sink]).collect();
            tracing::warn!("what waits for {} is laid up {}", far.join(", "), state.place);
        }
        self.shared.show(&mut state);
        let away = state.queue.away;
        drop(state);
        if away {
            self.shared.work.notify_one();
        }
        self.shared.news.iter().for_each(Notify::notify_one);
    }

    /// The oldest frame that this sink has not done; waits while there is none. Until [`Backlog::done`] it is the same one. One task of a sink asks at a time.
    pub async fn next(&self, sink: &'static str) -> Arc<Packed> {
        let sink = self.shared.number(sink);
        loop {
            let answer = {
                let mut state = self.shared.lock();
                match state.queue.give(sink) {
                    Give::Frame(frame) => return frame,
                    Give::Nothing => None,
                    Give::Ask => {
                        let (reply, answer) = oneshot::channel();
                        state.asks.push(Ask { sink, reply });
                        Some(answer)
                    }
                }
            };
            match answer {
                None => self.shared.news[sink].notified().await,
                Some(answer) => {
                    self.shared.work.notify_one();
                    match answer.await {
                        Ok(Some(frame)) => return frame,
                        Ok(None) => {}
                        // The backlog is closed, and nothing is given out any more.
                        Err(_) => std::future::pending().await,
                    }
                }
            }
        }
    }

    /// This sink's frame was taken, or refused for good: it goes on to the next.
    pub fn done(&self, sink: &'static str) {
        let mut state = self.shared.lock();
        state.queue.done(self.shared.number(sink));
        self.shared.show(&mut state);
        let away = state.queue.away;
        drop(state);
        if away {
            self.shared.work.notify_one();
        }
    }

    /// This sink sends its frame again and does not know whether it was taken the first time.
    pub fn doubt(&self, sink: &'static str) {
        self.shared.figures.ambiguous.with_label_values(&[sink]).inc();
    }

    /// What this sink has still to send.
    pub fn behind(&self, sink: &'static str) -> Behind {
        self.shared.lock().queue.behind(self.shared.number(sink))
    }

    /// How many frames are not on disk: what a kill would lose.
    pub fn unwritten(&self) -> usize {
        self.shared.lock().queue.unwritten()
    }

    /// Where frames are laid up.
    pub fn place(&self) -> Place {
        self.shared.lock().place.clone()
    }

    /// Lays up all that waits and ends. Blocks until the disk has it.
    pub fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if keeper.is_some_and(|keeper| keeper.join().is_err()) {
            tracing::error!("the keeper of the backlog broke");
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Disk(folder) => write!(f, "in {}", folder.display()),
            Place::Memory => f.write_str("in memory"),
            Place::Refused(_) => f.write_str("in memory, because the disk cannot be used"),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self, sink: &str) -> usize {
        self.names.iter().position(|name| *name == sink).expect("the backlog was opened with this sink")
    }

    /// Brings the figures up to what is; says once of each sink what it lost and why.
    fn show(&self, state: &mut State) {
        for Lost { sink, reason } in std::mem::take(&mut state.queue.lost) {
            self.figures.dropped.with_label_values(&[sink, reason.word()]).inc();
            if state.spoken.insert((sink, reason)) {
                tracing::warn!("{sink} loses reports: {}", reason.why());
            }
        }
        for (sink, name) in self.names.iter().enumerate() {
            let (frames, age) = state.queue.lag(sink);
            self.figures.frames.with_label_values(&[name]).set(frames as i64);
            self.figures.age.with_label_values(&[name]).set(age.as_secs_f64());
        }
        self.figures.size.with_label_values(&["memory"]).set(state.queue.memory() as i64);
        self.figures.size.with_label_values(&["disk"]).set(state.disk as i64);
    }
}

/// The folder, what was found in it, and where frames go.
fn open_spool(settings: &Settings, sinks: &[&str], figures: &BacklogFigures) -> (Option<Spool>, Found, Place) {
    let Some(folder) = settings.state.as_ref().filter(|_| !sinks.is_empty()).map(|state| state.join(FOLDER)) else {
        return (None, Found::default(), Place::Memory);
    };
    match Spool::open(&folder, settings.disk) {
        Ok((spool, found)) => {
            if !found.foreign.is_empty() {
                tracing::warn!("{}: not ours, left as they are: {}", folder.display(), found.foreign.join(", "));
            }
            (Some(spool), found, Place::Disk(folder))
        }
        Err(problem) => {
            figures.errors.with_label_values(&["open"]).inc();
            tracing::warn!("what waits for sinks is kept in memory only and a restart loses it: {problem}; fix: a writable backlog.state, or \"\"");
            (None, Found::default(), Place::Refused(problem.to_string()))
        }
    }
}

/// The queue with what a former life left.
fn queue(bounds: Bounds, sinks: &[&'static str], found: &Found, figures: &BacklogFigures) -> Queue {
    let after = found.records.last().map_or(0, |record| record.number + 1);
    // A file that is not read, for it is not ours, has its number all the same.
    let free = found.highest.map_or(0, |highest| highest.saturating_add(1));
    let next = found.cursors.iter().flatten().map(|cursor| cursor.next).max().unwrap_or(0).max(after).max(free);
    let mut queue = Queue::new(bounds, sinks, next);
    for (at, sink) in sinks.iter().enumerate() {
        match &found.cursors {
            None => queue.set_back(at, 0),
            Some(cursors) => {
                let Some(cursor) = cursors.iter().find(|cursor| cursor.reader == *sink) else { continue };
                queue.set_back(at, cursor.next);
                if cursor.given && found.records.iter().any(|record| record.number == cursor.next) {
                    figures.ambiguous.with_label_values(&[sink]).inc();
                }
            }
        }
        let torn = std::iter::repeat_n(Lost { sink, reason: Reason::Torn }, found.torn as usize);
        queue.lost.extend(torn);
    }
    for record in &found.records {
        queue.found(record.number, Timestamp::from_millisecond(record.at).unwrap_or_default(), record.place);
    }
    queue
}

#[cfg(test)]
mod tests;
