//! The queue itself: frames in order, how each is held, and how far each sink is. It does no I/O and knows no clock but the frames' own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::metrics::packed::Packed;
use crate::spool::{Cursor, Place};

/// Of frames that are kept elsewhere too, so many of the newest stay at hand for a sink that keeps up while another one is away.
const AT_HAND: u64 = 3;

/// What the queue may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of memory.
    pub(super) memory: usize,
    /// Frames, wherever they are.
    pub(super) frames: usize,
    /// From the oldest to the newest.
    pub(super) age: Duration,
    /// A sink that is further behind than this is away.
    pub(super) patience: Duration,
}

/// Why a frame is there no more before a sink had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    Age,
    Frames,
    Memory,
    Disk,
    TooLarge,
    Torn,
    Damaged,
    Unknown,
}

/// One frame that a sink has still to take.
struct Item {
    number: u64,
    at: Timestamp,
    /// Bytes of memory the frame takes.
    weight: usize,
    frame: Option<Arc<Packed>>,
    kept: Kept,
}

/// Where a frame is laid up.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Nowhere,
    Memory(Arc<[u8]>),
    Disk(Place),
}

/// How far a sink is.
struct Reader {
    name: &'static str,
    next: u64,
    /// What it was given and has not done, and why the queue has it no more.
    given: Option<(u64, Option<Reason>)>,
}

/// A frame that a sink did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) sink: &'static str,
    pub(super) reason: Reason,
}

/// What there is for a sink.
pub(super) enum Give {
    /// Nothing yet.
    Nothing,
    /// This, at once.
    Frame(Arc<Packed>),
    /// Something that takes a hand with disk or bytes.
    Ask,
}

/// A frame for a sink, as it is held.
pub(super) enum Held {
    Frame(Arc<Packed>),
    Bytes(Arc<[u8]>),
    Disk(Place),
}

/// What a sink has still to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// How many.
    pub frames: usize,
    /// As they are held now: packed where they are laid up.
    pub bytes: u64,
    /// When the look of the first of them was.
    pub oldest: Option<Timestamp>,
}

/// Frames that wait, oldest first: those on disk, those in bytes, those that are only frames.
pub(super) struct Queue {
    bounds: Bounds,
    items: VecDeque<Item>,
    next: u64,
    memory: usize,
    readers: Vec<Reader>,
    /// A sink is away: all that waits is laid up, and every frame is given out by who lays up.
    pub(super) away: bool,
    /// What has fallen off since it was last asked.
    pub(super) lost: Vec<Lost>,
    /// How far sinks are has changed since it was last written down.
    pub(super) moved: bool,
}

impl Queue {
    /// Empty; sinks begin at this number.
    pub(super) fn new(bounds: Bounds, sinks: &[&'static str], next: u64) -> Queue {
        let readers = sinks.iter().map(|name| Reader { name, next, given: None }).collect();
        Queue { bounds, items: VecDeque::new(), next, memory: 0, readers, away: false, lost: Vec::new(), moved: false }
    }

    /// Sets a sink back to what a former life had not done.
    pub(super) fn set_back(&mut self, sink: usize, next: u64) {
        self.readers[sink].next = next.min(self.next);
    }

    /// A frame that a former life left, behind those found before it.
    pub(super) fn found(&mut self, number: u64, at: Timestamp, place: Place) {
        if self.readers.iter().any(|reader| reader.next <= number) {
            self.items.push_back(Item { number, at, weight: 0, frame: None, kept: Kept::Disk(place) });
        }
    }

    /// A frame behind all others; the oldest make room. Whether a sink is away now that was not before.
    pub(super) fn push(&mut self, frame: Packed) -> bool {
        if self.readers.is_empty() {
            return false;
        }
        let (at, weight, number) = (frame.at, frame.weight(), self.next);
        self.next += 1;
        self.memory += weight;
        self.items.push_back(Item { number, at, weight, frame: Some(Arc::new(frame)), kept: Kept::Nowhere });
        while self.items.front().is_some_and(|oldest| longer(oldest.at, at, self.bounds.age)) {
            self.fell_off(0, Reason::Age);
        }
        while self.items.len() > self.bounds.frames {
            self.fell_off(0, Reason::Frames);
        }
        let was_away = self.away;
        if self.memory > self.bounds.memory / 2 || self.items.front().is_some_and(|oldest| longer(oldest.at, at, self.bounds.patience)) {
            self.lay_up();
        }
        self.fit_memory();
        self.away && !was_away
    }

    /// From now on all that waits is laid up.
    pub(super) fn lay_up(&mut self) {
        // How far the sinks are was written down by nobody until now.
        self.moved |= !self.away;
        self.away = true;
    }

    /// Lets go of frames that are kept elsewhere, then of the oldest that are not on disk.
    fn fit_memory(&mut self) {
        while self.memory > self.bounds.memory {
            let spare = self.items.iter().position(|item| item.frame.is_some() && !matches!(item.kept, Kept::Nowhere));
            match spare {
                Some(at) => self.release(at),
                None => {
                    let at = self.items.partition_point(|item| matches!(item.kept, Kept::Disk(_)));
                    // The newest stays, however heavy: it was seen by no sink yet.
                    if at + 1 >= self.items.len() {
                        break;
                    }
                    self.fell_off(at, Reason::Memory);
                }
            }
        }
    }

    /// One frame falls off.
    fn fell_off(&mut self, at: usize, reason: Reason) {
        let Some(item) = self.items.remove(at) else { return };
        self.memory -= item.memory();
        for reader in self.readers.iter_mut().filter(|reader| reader.next <= item.number) {
            match &mut reader.given {
                // It may yet be taken.
                Some((given, why)) if *given == item.number => *why = Some(reason),
                _ => self.lost.push(Lost { sink: reader.name, reason }),
            }
        }
    }

    /// A frame falls off, by its number.
    pub(super) fn lose(&mut self, number: u64, reason: Reason) {
        if let Some(at) = self.find(number) {
            self.fell_off(at, reason);
        }
    }

    /// All on disk up to this number are there no more.
    pub(super) fn cut(&mut self, last: u64) {
        while self.items.front().is_some_and(|oldest| oldest.number <= last && matches!(oldest.kept, Kept::Disk(_))) {
            self.fell_off(0, Reason::Disk);
        }
    }

    /// The oldest frame that a sink has not done.
    pub(super) fn give(&mut self, sink: usize) -> Give {
        let Some(at) = self.first(sink) else { return Give::Nothing };
        match &self.items[at].frame {
            Some(frame) if !self.away => {
                self.readers[sink].given = Some((self.items[at].number, None));
                Give::Frame(Arc::clone(frame))
            }
            _ => Give::Ask,
        }
    }

    /// The same for who lays up, wherever it is.
    pub(super) fn hand_out(&mut self, sink: usize) -> Option<(u64, Held)> {
        let at = self.first(sink)?;
        let item = &self.items[at];
        let held = match (&item.frame, &item.kept) {
            (Some(frame), _) => Held::Frame(Arc::clone(frame)),
            (None, Kept::Memory(bytes)) => Held::Bytes(Arc::clone(bytes)),
            (None, Kept::Disk(place)) => Held::Disk(*place),
            (None, Kept::Nowhere) => unreachable!("a frame is let go of when it is kept elsewhere"),
        };
        let given = Some((item.number, None));
        self.moved |= self.readers[sink].given != given;
        self.readers[sink].given = given;
        Some((item.number, held))
    }

    /// The place of what a sink gets next.
    fn first(&mut self, sink: usize) -> Option<usize> {
        let reader = &mut self.readers[sink];
        if let Some((given, Some(reason))) = reader.given {
            // It fell off while the sink had it, and the sink has lost it too.
            self.lost.push(Lost { sink: reader.name, reason });
            reader.given = None;
            reader.next = given + 1;
        }
        let next = reader.next;
        let at = self.items.partition_point(|item| item.number < next);
        (at < self.items.len()).then_some(at)
    }

    /// A sink has done what it was given.
    pub(super) fn done(&mut self, sink: usize) {
        let reader = &mut self.readers[sink];
        let Some((given, _)) = reader.given.take() else { return };
        reader.next = reader.next.max(given + 1);
        self.moved = true;
        let needed = self.readers.iter().map(|reader| reader.next).min().unwrap_or(self.next);
        while self.items.front().is_some_and(|oldest| oldest.number < needed) {
            if let Some(item) = self.items.pop_front() {
                self.memory -= item.memory();
            }
        }
    }

    /// The oldest frame that is laid up nowhere.
    pub(super) fn to_keep(&self) -> Option<(u64, Timestamp, Arc<Packed>)> {
        let at = self.items.partition_point(|item| !matches!(item.kept, Kept::Nowhere));
        let item = self.items.get(at)?;
        Some((item.number, item.at, item.frame.clone()?))
    }

    /// The oldest that is laid up in memory.
    pub(super) fn to_disk(&self) -> Option<(u64, Timestamp, Arc<[u8]>)> {
        let at = self.items.partition_point(|item| matches!(item.kept, Kept::Disk(_)));
        match self.items.get(at).map(|item| (item.number, item.at, &item.kept)) {
            Some((number, at, Kept::Memory(bytes))) => Some((number, at, Arc::clone(bytes))),
            _ => None,
        }
    }

    /// A frame is laid up. Whether it was still there.
    pub(super) fn keep(&mut self, number: u64, kept: Kept) -> bool {
        let Some(at) = self.find(number) else { return false };
        self.memory -= self.items[at].memory();
        self.items[at].kept = kept;
        self.memory += self.items[at].memory();
        // The newest stay at hand where a sink is right behind.
        let follows = self.readers.iter().any(|reader| reader.next + AT_HAND > number);
        for at in (0..=at).rev() {
            let item = &self.items[at];
            if item.frame.is_none() {
                break;
            }
            if !follows || item.number + AT_HAND <= number {
                self.release(at);
            }
        }
        self.fit_memory();
        true
    }

    fn release(&mut self, at: usize) {
        let item = &mut self.items[at];
        self.memory -= item.memory();
        item.frame = None;
        self.memory += item.memory();
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.items.binary_search_by_key(&number, |item| item.number).ok()
    }

    /// Nobody waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// How many frames wait.
    pub(super) fn frames(&self) -> usize {
        self.items.len()
    }

    /// How many of them are not on disk.
    pub(super) fn unwritten(&self) -> usize {
        self.items.len() - self.items.partition_point(|item| matches!(item.kept, Kept::Disk(_)))
    }

    /// Below this number nothing is needed.
    pub(super) fn needed(&self) -> u64 {
        self.items.front().map_or(self.next, |item| item.number)
    }

    /// How far each sink is.
    pub(super) fn cursors(&self) -> Vec<Cursor> {
        let cursor = |reader: &Reader| Cursor { reader: reader.name.into(), next: reader.next, given: reader.given.is_some() };
        self.readers.iter().map(cursor).collect()
    }

    /// What a sink has still to take.
    pub(super) fn behind(&self, sink: usize) -> Behind {
        let at = self.items.partition_point(|item| item.number < self.readers[sink].next);
        let bytes = |item: &Item| match &item.kept {
            Kept::Nowhere => item.weight as u64,
            Kept::Memory(bytes) => bytes.len() as u64,
            Kept::Disk(place) => place.length() as u64,
        };
        Behind { frames: self.items.len() - at, bytes: self.items.range(at..).map(bytes).sum(), oldest: self.items.get(at).map(|item| item.at) }
    }

    /// Frames that a sink has still to take, and the time from the first of them to the newest.
    pub(super) fn lag(&self, sink: usize) -> (usize, Duration) {
        let at = self.items.partition_point(|item| item.number < self.readers[sink].next);
        let age = self.items.get(at).zip(self.items.back()).map(|(first, last)| last.at.duration_since(first.at));
        (self.items.len() - at, age.and_then(|age| age.try_into().ok()).unwrap_or_default())
    }
}

impl Item {
    fn memory(&self) -> usize {
        let bytes = if let Kept::Memory(bytes) = &self.kept { bytes.len() } else { 0 };
        bytes + if self.frame.is_some() { self.weight } else { 0 }
    }
}

/// Whether it is longer than this from one moment to the other.
fn longer(from: Timestamp, to: Timestamp, than: Duration) -> bool {
    SignedDuration::try_from(than).is_ok_and(|than| to.duration_since(from) > than)
}

impl Reason {
    /// Its word in `tare_backlog_dropped_total`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Reason::Age => "age",
            Reason::Frames => "frames",
            Reason::Memory => "memory",
            Reason::Disk => "disk",
            Reason::TooLarge => "too_large",
            Reason::Torn => "torn",
            Reason::Damaged => "damaged",
            Reason::Unknown => "unknown",
        }
    }

    /// The same in a sentence, with what to do.
    pub(super) fn why(self) -> &'static str {
        match self {
            Reason::Age => "the oldest have waited longer than backlog.age",
            Reason::Frames => "more wait than backlog.frames",
            Reason::Memory => "what waits takes more than backlog.memory; with a writable backlog.state it would wait on disk",
            Reason::Disk => "what waits takes more than backlog.disk",
            Reason::TooLarge => "a report is larger than all that may wait",
            Reason::Torn => "the end of a file was torn when the machine or Tare was stopped",
            Reason::Damaged => "what was written is not what is read; look at the disk",
            Reason::Unknown => "they were written by a newer Tare",
        }
    }
}

#[cfg(test)]
mod tests;
