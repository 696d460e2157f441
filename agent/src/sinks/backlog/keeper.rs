//! The keeper: a thread that lays frames up, on disk where it can, and gives them out again in the order in which the folder learns of it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::queue::{Held, Kept, Reason};
use super::{Ask, Place, Shared, State};
use crate::metrics::packed::Packed;
use crate::metrics::packed::codec::{Codec, Read};
use crate::spool::{Spool, SpoolError};

/// The disk is told to keep what was written at most this often. What a lost machine had written since then is gone; a killed Tare loses nothing of it.
const SYNC: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    spool: Option<Spool>,
    /// Where frames go while the disk takes them.
    home: Place,
    always: bool,
    codec: Codec,
    /// The disk refused; how many frames had come by then. It is tried again when another one has.
    refused: Option<u64>,
    /// Something was written, first at this moment.
    written: Option<Instant>,
}

/// What is to be done next, taken while the queue is locked and done while it is not.
enum Job {
    Answer(Vec<Ask>),
    Lay(u64, Timestamp, Arc<Packed>),
    Move(u64, Timestamp, Arc<[u8]>),
    Empty,
    Sync,
    End,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, spool: Option<Spool>, always: bool) -> Keeper {
        let home = shared.lock().place.clone();
        Keeper { shared, always: always && spool.is_some(), spool, home, codec: Codec::default(), refused: None, written: None }
    }

    /// Works until the backlog is closed and all is laid up.
    pub(super) fn run(mut self) {
        loop {
            match self.wait() {
                Job::Answer(asks) => self.answer(asks),
                Job::Lay(number, at, frame) => self.lay(number, at, &frame),
                Job::Move(number, at, bytes) => {
                    if let Some(kept) = self.write(number, at, &bytes) {
                        self.kept(number, kept);
                    }
                }
                Job::Empty => self.empty(),
                Job::Sync => self.sync(),
                Job::End => break,
            }
        }
        self.write_cursors();
        self.sync();
    }

    /// The next job. Sinks come first; frames are laid up in their order.
    fn wait(&self) -> Job {
        let mut state = self.shared.lock();
        loop {
            let left = self.written.map(|written| SYNC.saturating_sub(written.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Job::Sync;
            }
            if state.closing {
                // Who asks now is answered by the next life.
                state.asks.clear();
                state.queue.lay_up();
            } else if !state.asks.is_empty() {
                return Job::Answer(std::mem::take(&mut state.asks));
            }
            let willing = self.refused.is_none_or(|then| then < state.pushed);
            let may_write = willing && self.spool.is_some();
            if state.queue.away {
                if let Some((number, at, bytes)) = state.queue.to_disk().filter(|_| may_write) {
                    return Job::Move(number, at, bytes);
                }
                if let Some((number, at, frame)) = state.queue.to_keep().filter(|_| !state.closing || may_write) {
                    return Job::Lay(number, at, frame);
                }
            }
            if state.closing {
                return Job::End;
            }
            if state.queue.away && willing && (state.queue.moved || state.queue.is_empty() && !self.always) {
                return Job::Empty;
            }
            state = match left {
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Gives sinks their frames, when the folder knows that what they had before is done.
    fn answer(&mut self, asks: Vec<Ask>) {
        let held: Vec<_> = {
            let mut state = self.shared.lock();
            let held = asks.into_iter().map(|ask| (state.queue.hand_out(ask.sink), ask.reply)).collect();
            self.shared.show(&mut state);
            held
        };
        self.write_cursors();
        for (held, reply) in held {
            let frame = held.and_then(|(number, held)| self.fetch(number, held));
            // Who does not wait any more asks again, and gets the same.
            let _ = reply.send(frame);
        }
    }

    fn fetch(&mut self, number: u64, held: Held) -> Option<Arc<Packed>> {
        let read = match held {
            Held::Frame(frame) => return Some(frame),
            Held::Bytes(bytes) => self.codec.read(&bytes).map_err(|problem| problem.to_string()),
            Held::Disk(place) => {
                let bytes = self.spool.as_ref().map(|spool| spool.read(place));
                match bytes {
                    Some(Ok(bytes)) => self.codec.read(&bytes).map_err(|problem| problem.to_string()),
                    Some(Err(problem)) => Err(problem.to_string()),
                    None => Err("the folder is gone".into()),
                }
            }
        };
        let reason = match read {
            Ok(Read::Frame(frame)) => return Some(Arc::new(frame)),
            Ok(Read::Unknown(_)) => Reason::Unknown,
            Err(problem) => {
                self.shared.figures.errors.with_label_values(&["read"]).inc();
                tracing::debug!("report {number} cannot be read: {problem}");
                Reason::Damaged
            }
        };
        let mut state = self.shared.lock();
        state.queue.lose(number, reason);
        self.shared.show(&mut state);
        None
    }

    /// Lays a frame up: on disk, else in bytes.
    fn lay(&mut self, number: u64, at: Timestamp, frame: &Packed) {
        match self.codec.write(frame) {
            Ok(bytes) => {
                let waits = self.shared.lock().queue.to_disk().is_some();
                // Order is kept: nothing goes to disk before what came before it.
                let kept = if waits { None } else { self.write(number, at, &bytes) };
                self.kept(number, kept.unwrap_or_else(|| Kept::Memory(bytes.into())));
            }
            Err(problem) => {
                tracing::debug!("report {number}: {problem}");
                self.lose(number, Reason::TooLarge);
            }
        }
    }

    fn kept(&self, number: u64, kept: Kept) {
        let mut state = self.shared.lock();
        state.queue.keep(number, kept);
        self.measure(&mut state);
    }

    fn lose(&self, number: u64, reason: Reason) {
        let mut state = self.shared.lock();
        state.queue.lose(number, reason);
        self.measure(&mut state);
    }

    fn measure(&self, state: &mut State) {
        state.disk = self.spool.as_ref().map_or(0, Spool::bytes);
        self.shared.show(state);
    }

    /// Writes one frame to disk. `None`: the disk refuses, or it is lost for good.
    fn write(&mut self, number: u64, at: Timestamp, bytes: &[u8]) -> Option<Kept> {
        self.write_cursors();
        // What nobody needs any more makes room.
        self.forget(false);
        let may_write = self.refused.is_none_or(|then| then < self.shared.lock().pushed);
        match self.spool.as_mut().filter(|_| may_write)?.append(number, at.as_millisecond(), bytes) {
            Ok((place, cut)) => {
                self.written.get_or_insert_with(Instant::now);
                if let Some(cut) = cut {
                    self.shared.lock().queue.cut(cut);
                }
                self.accepted();
                Some(Kept::Disk(place))
            }
            Err(SpoolError::TooLarge { .. }) => {
                self.lose(number, Reason::TooLarge);
                None
            }
            Err(problem) => {
                self.refuse(&problem);
                None
            }
        }
    }

    /// The disk works again.
    fn accepted(&mut self) {
        if self.refused.take().is_some() {
            self.shared.lock().place = self.home.clone();
            tracing::info!("the disk takes what waits for sinks again");
        }
    }

    /// The disk does not: all waits in memory until it does.
    fn refuse(&mut self, problem: &SpoolError) {
        let mut state = self.shared.lock();
        state.place = Place::Refused(problem.to_string());
        if self.refused.replace(state.pushed).is_none() {
            tracing::warn!("what waits for sinks cannot be written and waits in memory: {problem}");
        }
        self.shared.figures.errors.with_label_values(&["write"]).inc();
    }

    /// Says in the folder how far the sinks are, if that has changed.
    fn write_cursors(&mut self) {
        let Some(spool) = &mut self.spool else {
            self.shared.lock().queue.moved = false;
            return;
        };
        let cursors = {
            let mut state = self.shared.lock();
            if !std::mem::take(&mut state.queue.moved) {
                return;
            }
            state.queue.cursors()
        };
        self.written.get_or_insert_with(Instant::now);
        if let Err(problem) = spool.put_cursors(cursors) {
            self.shared.lock().queue.moved = true;
            self.refuse(&problem);
        }
    }

    /// Removes what nobody needs. When nobody waits for anything, all is in memory again.
    fn empty(&mut self) {
        self.write_cursors();
        let all = self.shared.lock().queue.is_empty() && !self.always;
        self.forget(all);
        let mut state = self.shared.lock();
        if all && state.queue.is_empty() && !state.queue.moved {
            state.queue.away = false;
            state.spoken.clear();
            tracing::info!("all sinks have what waited for them");
        }
        self.measure(&mut state);
    }

    fn forget(&mut self, all: bool) {
        let needed = self.shared.lock().queue.needed();
        if let Some(Err(problem)) = self.spool.as_mut().map(|spool| spool.forget(needed, all)) {
            self.refuse(&problem);
        }
    }

    fn sync(&mut self) {
        self.written = None;
        if let Some(Err(problem)) = self.spool.as_mut().map(Spool::sync) {
            self.refuse(&problem);
        }
    }
}
