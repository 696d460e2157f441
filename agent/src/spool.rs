//! What waits on disk: records in segments, and how far each reader of them is. It knows numbers, moments and bytes, not what they mean.
//!
//! ```text
//! FOLDER/lock             held by the Tare that uses it
//! FOLDER/cursors.json     how far each reader is; written beside and renamed
//! FOLDER/<first>.seg      "tare-seg", version u32; then records:
//!                         length u32, CRC32C u32 (of all but itself), number u64, moment i64 (ms since 1970), payload; all little endian
//! ```
//!
//! A record is written in one piece behind the last one, so that what a crash leaves is whole records and at most one torn one at the end, which is cut.
//! The file system has a record when [`Spool::append`] returns: a killed process loses nothing. The disk has it after [`Spool::sync`]: a lost machine loses
//! what came since.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Begins each segment: what it is, and the version of this layout.
const HEAD: [u8; 12] = *b"tare-seg\x01\0\0\0";
/// Length, checksum, number and moment.
const RECORD: usize = 24;
/// No segment grows beyond this, unless it holds one larger record.
const SEGMENT: u64 = 8 << 20;
/// A file larger than this is none of ours.
const MOST_SEGMENT: u64 = 64 << 20;
/// Of the bound, what cursors and the lock may take.
const RESERVE: u64 = 8 << 10;
/// `cursors.json` is some hundred bytes.
const MOST_CURSORS: u64 = 1 << 20;
/// They are written in steps of this many bytes, a block of most disks.
const CURSORS_ROOM: usize = 4 << 10;
const CURSORS: &str = "cursors.json";
const CURSORS_NEXT: &str = "cursors.json.next";
const CURSORS_SCHEMA: &str = "tare.cursors/1";
const LOCK: &str = "lock";

/// Records in a folder that is ours alone.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// The most bytes of all segments.
    bound: u64,
    segments: VecDeque<Segment>,
    /// The last segment, while it may grow.
    writer: Option<File>,
    unsynced: bool,
    _lock: File,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    last: u64,
    bytes: u64,
}

/// Where a record's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    segment: u64,
    offset: u32,
    length: u32,
}

impl Place {
    /// Bytes of the payload.
    pub fn length(self) -> usize {
        self.length as usize
    }
}

/// One record, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Larger than that of every record before it.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Where it is.
    pub place: Place,
}

/// How far a reader is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Who.
    pub reader: String,
    /// The number it reads next.
    pub next: u64,
    /// Whether it was already given that.
    pub given: bool,
}

#[derive(Serialize, Deserialize)]
struct Cursors {
    schema: String,
    cursors: Vec<Cursor>,
}

/// What a former life left.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Oldest first.
    pub records: Vec<Record>,
    /// `None`: nobody said, or nobody can read it.
    pub cursors: Option<Vec<Cursor>>,
    /// Segments that ended in a torn or damaged record; it and what came after it are cut.
    pub torn: u64,
    /// Files that are not ours, by name; they stay as they are.
    pub foreign: Vec<String>,
    /// The highest number that a segment is named after, be it ours or not.
    pub highest: Option<u64>,
}

/// Why records cannot wait on disk.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two would write over each other.
    #[error("{}: another Tare uses it", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// It does not fit below the bound even alone.
    #[error("a record of {bytes} bytes does not fit into {bound}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// All there is.
        bound: u64,
    },
    /// What was written is there no more, or is not what was written.
    #[error("{}: a record is damaged", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
    },
}

impl Spool {
    /// Opens a folder, made if it is not there, and reads what is in it. `bound` are bytes of all files together, 1 MiB at least.
    /// Errors: it cannot be made or written, or another process holds it.
    pub fn open(folder: &Path, bound: u64) -> Result<(Spool, Found), SpoolError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SpoolError::Taken { path: folder.into() }),
            Err(e) => return Err(at(&path)(e.into())),
        }
        let bound = bound.saturating_sub(RESERVE);
        let mut spool = Spool { folder: folder.into(), bound, segments: VecDeque::new(), writer: None, unsynced: false, _lock: lock };
        let mut found = Found::default();
        for first in spool.names(&mut found)? {
            spool.find(first, &mut found)?;
        }
        if let Some(cut) = spool.make_room(0)? {
            found.records.retain(|record| record.number > cut);
        }
        found.cursors = spool.read_cursors();
        Ok((spool, found))
    }

    /// The segments by their names, in order. What else lies there is foreign.
    fn names(&self, found: &mut Found) -> Result<Vec<u64>, SpoolError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let name = entry.map_err(at(&self.folder))?.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(".seg").filter(|digits| digits.len() == 20).and_then(|digits| digits.parse().ok()) {
                Some(first) => all.push(first),
                None if [LOCK, CURSORS, CURSORS_NEXT].contains(&&*name) => {}
                None => found.foreign.push(name),
            }
        }
        all.sort_unstable();
        found.highest = all.last().copied();
        found.foreign.sort();
        Ok(all)
    }

    /// Reads one segment of a former life, and cuts what is torn.
    fn find(&mut self, first: u64, found: &mut Found) -> Result<(), SpoolError> {
        let path = self.path(first);
        let about = fs::symlink_metadata(&path).map_err(at(&path))?;
        let bytes = if about.is_file() && about.len() <= MOST_SEGMENT { fs::read(&path).map_err(at(&path))? } else { Vec::new() };
        let after = found.records.last().map(|record| record.number);
        let scanned = scan(&bytes, first, after);
        if !about.is_file() || about.len() > MOST_SEGMENT || scanned.foreign {
            found.foreign.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            return Ok(());
        }
        found.torn += u64::from(scanned.whole < bytes.len());
        match scanned.records.last() {
            None => fs::remove_file(&path).map_err(at(&path))?,
            Some(last) => {
                if scanned.whole < bytes.len() {
                    let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
                    file.set_len(scanned.whole as u64).map_err(at(&path))?;
                }
                self.segments.push_back(Segment { first, last: last.number, bytes: scanned.whole as u64 });
                found.records.extend(scanned.records);
            }
        }
        Ok(())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes a record behind the others. Returns where it is, and up to which number the oldest had to make room.
    /// Errors: the system said no, and nothing of it is left; or it never fits.
    pub fn append(&mut self, number: u64, moment: i64, payload: &[u8]) -> Result<(Place, Option<u64>), SpoolError> {
        let size = (RECORD + payload.len()) as u64;
        if HEAD.len() as u64 + size > self.bound.min(MOST_SEGMENT) {
            return Err(SpoolError::TooLarge { bytes: size, bound: self.bound.min(MOST_SEGMENT) });
        }
        let full = |segment: &Segment| segment.bytes + size > SEGMENT.min(self.bound / 8);
        if self.writer.is_some() && self.segments.back().is_none_or(full) {
            self.close_writer()?;
        }
        let cut = self.make_room(size + HEAD.len() as u64)?;
        let started = self.writer.is_none();
        if started {
            let path = self.path(number);
            self.writer = Some(OpenOptions::new().write(true).create_new(true).open(&path).map_err(at(&path))?);
            self.segments.push_back(Segment { first: number, last: number, bytes: 0 });
        }
        let (segment, writer) = self.segments.back_mut().zip(self.writer.as_ref()).expect("a writer has a segment");
        let mut bytes = Vec::with_capacity(HEAD.len() + RECORD + payload.len());
        if started {
            bytes.extend_from_slice(&HEAD);
        }
        let offset = segment.bytes as usize + bytes.len() + RECORD;
        put_record(number, moment, payload, &mut bytes);
        if let Err(source) = writer.write_all_at(&bytes, segment.bytes) {
            let first = segment.first;
            // What is half written is taken back; where even that fails nothing is put behind it.
            if started {
                self.segments.pop_back();
                self.writer = None;
                let _ = fs::remove_file(self.path(first));
            } else if writer.set_len(segment.bytes).is_err() {
                self.writer = None;
            }
            return Err(SpoolError::Io { path: self.path(first), source });
        }
        segment.bytes += bytes.len() as u64;
        segment.last = number;
        self.unsynced = true;
        Ok((Place { segment: segment.first, offset: offset as u32, length: payload.len() as u32 }, cut))
    }

    /// Removes the oldest segments until this much more fits. Returns the last number that fell off.
    fn make_room(&mut self, more: u64) -> Result<Option<u64>, SpoolError> {
        let mut cut = None;
        while self.bytes() + more > self.bound && !self.segments.is_empty() {
            cut = cut.max(Some(self.remove_oldest()?));
        }
        Ok(cut)
    }

    fn remove_oldest(&mut self) -> Result<u64, SpoolError> {
        let oldest = *self.segments.front().expect("the caller has seen it");
        let path = self.path(oldest.first);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e)),
            _ => {}
        }
        self.segments.pop_front();
        if self.segments.is_empty() {
            self.writer = None;
        }
        Ok(oldest.last)
    }

    /// A record's payload. Errors: it cannot be read, or was damaged since.
    pub fn read(&self, place: Place) -> Result<Vec<u8>, SpoolError> {
        let path = self.path(place.segment);
        let file = File::open(&path).map_err(at(&path))?;
        let mut bytes = vec![0; RECORD + place.length()];
        file.read_exact_at(&mut bytes, u64::from(place.offset) - RECORD as u64).map_err(at(&path))?;
        match take_record(&bytes) {
            Some((_, _, payload)) if payload.len() == place.length() => Ok(bytes.split_off(RECORD)),
            _ => Err(SpoolError::Damaged { path }),
        }
    }

    /// Nobody reads below this number any more: segments of which that is true go. One that still grows stays while it is small, unless `all` go.
    pub fn forget(&mut self, below: u64, all: bool) -> Result<(), SpoolError> {
        while let Some(oldest) = self.segments.front().filter(|segment| segment.last < below) {
            let grows = self.segments.len() == 1 && self.writer.is_some();
            if grows && !all && oldest.bytes < SEGMENT.min(self.bound / 8) / 4 {
                break;
            }
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Says how far each reader is, all at once. The file that says it and the one that says it next take turns, so that it is possible on a full disk too.
    pub fn put_cursors(&mut self, cursors: Vec<Cursor>) -> Result<(), SpoolError> {
        let (path, to) = (self.folder.join(CURSORS_NEXT), self.folder.join(CURSORS));
        let mut text = serde_json::to_vec(&Cursors { schema: CURSORS_SCHEMA.into(), cursors }).expect("words and numbers can be written");
        text.resize(text.len().next_multiple_of(CURSORS_ROOM), b'\n');
        let put = || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            file.write_all_at(&text, 0)?;
            file.set_len(text.len() as u64)
        };
        put().map_err(at(&path))?;
        if renameat_with(CWD, &path, CWD, &to, RenameFlags::EXCHANGE).is_err() {
            // There is none yet, or the file system cannot exchange two.
            fs::rename(&path, &to).map_err(at(&to))?;
            put().map_err(at(&path))?;
        }
        self.unsynced = true;
        Ok(())
    }

    fn read_cursors(&self) -> Option<Vec<Cursor>> {
        let path = self.folder.join(CURSORS);
        let fits = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() <= MOST_CURSORS);
        let read: Cursors = serde_json::from_slice(&fs::read(&path).ok().filter(|_| fits)?).ok()?;
        (read.schema == CURSORS_SCHEMA).then_some(read.cursors)
    }

    /// Has the disk keep all that was written so far.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        if let (Some(writer), Some(segment)) = (&self.writer, self.segments.back()) {
            writer.sync_data().map_err(at(&self.path(segment.first)))?;
        }
        let cursors = self.folder.join(CURSORS);
        match File::open(&cursors).and_then(|file| file.sync_data()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&cursors)(e)),
            _ => {}
        }
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(at(&self.folder))
    }

    /// A segment that is full is on disk before the next one begins.
    fn close_writer(&mut self) -> Result<(), SpoolError> {
        if let (Some(writer), Some(segment)) = (self.writer.take(), self.segments.back()) {
            writer.sync_data().map_err(at(&self.path(segment.first)))?;
        }
        Ok(())
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}.seg"))
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SpoolError + '_ {
    move |source| SpoolError::Io { path: path.into(), source }
}

/// What the bytes of a segment are.
#[derive(Debug, Default, PartialEq)]
pub struct Scanned {
    /// Its records.
    pub records: Vec<Record>,
    /// Up to here it is whole.
    pub whole: usize,
    /// It does not begin as a segment of ours does.
    pub foreign: bool,
}

/// Reads the bytes of the segment that is called `first`, up to the first record that is torn, damaged, or not above the one before it.
pub fn scan(bytes: &[u8], first: u64, after: Option<u64>) -> Scanned {
    let Some(mut rest) = bytes.strip_prefix(&HEAD) else {
        return Scanned { foreign: !HEAD.starts_with(bytes), ..Scanned::default() };
    };
    let mut scanned = Scanned { whole: HEAD.len(), ..Scanned::default() };
    let mut before = after;
    while let Some((number, at, payload)) = take_record(rest).filter(|(number, ..)| before.is_none_or(|before| before < *number)) {
        let place = Place { segment: first, offset: (scanned.whole + RECORD) as u32, length: payload.len() as u32 };
        scanned.records.push(Record { number, at, place });
        scanned.whole += RECORD + payload.len();
        rest = &rest[RECORD + payload.len()..];
        before = Some(number);
    }
    scanned
}

fn put_record(number: u64, at: i64, payload: &[u8], to: &mut Vec<u8>) {
    let length = (payload.len() as u32).to_le_bytes();
    let about = [number.to_le_bytes(), at.to_le_bytes()];
    let sum = [&length, about[0].as_slice(), &about[1], payload].iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    to.extend_from_slice(&length);
    to.extend_from_slice(&sum.to_le_bytes());
    to.extend_from_slice(about.as_flattened());
    to.extend_from_slice(payload);
}

/// The record at the beginning of these bytes: number, moment, payload.
fn take_record(bytes: &[u8]) -> Option<(u64, i64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (about, _) = rest.split_at_checked(RECORD - 8 + u32::from_le_bytes(*length) as usize)?;
    if crc32c::crc32c_append(crc32c::crc32c(length), about) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (number, about) = about.split_first_chunk()?;
    let (at, payload) = about.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), i64::from_le_bytes(*at), payload))
}

#[cfg(test)]
mod tests;
