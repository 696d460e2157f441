//! A frame in bytes, for the time it waits: the number of its schema, then zstd over postcard. A Tare that does not know the number says so and goes on.
//!
//! ```text
//! schema   u16, little endian: 1
//! zstd of  moment      seconds and nanoseconds since 1970
//!          words       how many, then each
//!          rows        how many, then of each how many labels, then of each label two words by their places
//!          families    how many, then of each what it is, its points (row, as the step from the point before; word of the split; value),
//!                      and its peaks (point, as a step; least; most)
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Labels, Named, Packed, PackedFamily, Peak, Point};
use crate::cost::UsdPerHour;
use crate::metrics::schema::{Kind, Tier, Value};

/// The schema we write.
pub const SCHEMA: u16 = 1;
/// A frame is at most this many bytes before it is compressed: about two million points.
const MOST_BYTES: usize = 32 << 20;
/// And holds at most this many of anything, whatever bytes claim.
const MOST_THINGS: usize = 4 << 20;
/// A word or text costs more memory than the byte it may be in, so there are fewer of those.
const MOST_WORDS: usize = 1 << 20;
/// Families, and words of one split.
const MOST_FAMILIES: usize = 10_000;
/// As much as pays: 9 takes twice the time for a tenth less.
const LEVEL: i32 = 3;

/// Writes and reads frames. It knows what metrics it met, so that a family is one allocation in all frames that it reads.
#[derive(Default)]
pub struct Codec {
    names: HashMap<String, Arc<Named>>,
}

/// What bytes say.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// A frame.
    Frame(Packed),
    /// Another Tare's, in a schema we do not know.
    Unknown(u16),
}

/// Bytes that are no frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a frame: {0}")]
pub struct Damaged(pub &'static str);

/// A frame of more than 32 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a frame of {0} bytes is too large to wait")]
pub struct TooLarge(pub usize);

/// A value, as it is written.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Figure {
    Count(u64),
    Real(f64),
    Time(u64, u32),
    Usd(i64),
}

/// What a metric is, as it is written: names, unit, kind, tier, help, split.
type Head<'a> = (&'a str, &'a str, &'a str, u8, u8, &'a str, Option<&'a str>);

const KINDS: [Kind; 5] = [Kind::Counter, Kind::Level, Kind::Gauge, Kind::Histogram, Kind::Info];
const TIERS: [Tier; 3] = [Tier::Essential, Tier::Standard, Tier::Detail];

impl Codec {
    /// The bytes of a frame.
    pub fn write(&mut self, frame: &Packed) -> Result<Vec<u8>, TooLarge> {
        let raw = raw(frame);
        if raw.len() > MOST_BYTES {
            return Err(TooLarge(raw.len()));
        }
        for family in &frame.families {
            if !self.names.get(&family.about.prometheus).is_some_and(|known| Arc::ptr_eq(known, &family.about)) {
                self.learn(&family.about);
            }
        }
        let mut bytes = SCHEMA.to_le_bytes().to_vec();
        let packed = zstd::bulk::compress(&raw, LEVEL).expect("memory to compress in is there, and it has room for all");
        bytes.extend_from_slice(&packed);
        Ok(bytes)
    }

    /// The frame that bytes say.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Read, Damaged> {
        let (schema, packed) = bytes.split_first_chunk().ok_or(Damaged("it ends early"))?;
        match u16::from_le_bytes(*schema) {
            SCHEMA => {}
            other => return Ok(Read::Unknown(other)),
        }
        let raw = zstd::bulk::decompress(packed, MOST_BYTES).map_err(|_| Damaged("it cannot be unpacked"))?;
        let mut rest = Rest(&raw);
        let frame = self.frame(&mut rest)?;
        if rest.0.is_empty() { Ok(Read::Frame(frame)) } else { Err(Damaged("it goes on after its end")) }
    }

    fn frame(&mut self, rest: &mut Rest<'_>) -> Result<Packed, Damaged> {
        let (second, nanosecond): (i64, i32) = rest.take()?;
        let at = Timestamp::new(second, nanosecond).map_err(|_| Damaged("no moment"))?;
        let words = rest.list(MOST_WORDS, |rest| rest.take::<&str>().map(Arc::<str>::from))?;
        let word = |at: u32| words.get(at as usize).cloned().ok_or(Damaged("an unknown word"));
        let rows = rest.list(MOST_WORDS, |rest| {
            let pairs = rest.list(MOST_FAMILIES, |rest| {
                let (name, value): (u32, u32) = rest.take()?;
                Ok((word(name)?, word(value)?))
            })?;
            let right = pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty());
            if right { Ok(Labels(pairs.into())) } else { Err(Damaged("labels out of order")) }
        })?;
        let families = rest.list(MOST_FAMILIES, |rest| {
            let about = self.named(rest)?;
            let words = about.split.as_ref().map_or(1, |(_, words)| words.len());
            let points = points(rest, rows.len(), words)?;
            let peaks = peaks(rest, points.len())?;
            Ok(PackedFamily { about, points, peaks })
        })?;
        Ok(Packed { at, rows, families })
    }

    fn named(&mut self, rest: &mut Rest<'_>) -> Result<Arc<Named>, Damaged> {
        let (otel, prometheus, unit, kind, tier, help, label): Head<'_> = rest.take()?;
        let words = match label {
            Some(_) => rest.list(MOST_FAMILIES, |rest| rest.take::<&str>().map(str::to_owned))?,
            None => Vec::new(),
        };
        let named = Named {
            otel: otel.into(),
            prometheus: prometheus.into(),
            unit: unit.into(),
            kind: *KINDS.get(usize::from(kind)).ok_or(Damaged("an unknown kind"))?,
            tier: *TIERS.get(usize::from(tier)).ok_or(Damaged("an unknown tier"))?,
            help: help.into(),
            split: label.map(|label| (label.to_owned(), words)),
        };
        match self.names.get(prometheus) {
            Some(known) if **known == named => Ok(Arc::clone(known)),
            known => {
                let is_new = known.is_none();
                let named = Arc::new(named);
                if is_new {
                    self.learn(&named);
                }
                Ok(named)
            }
        }
    }

    /// Keeps a metric in mind. There are never more than a version of Tare or two has.
    fn learn(&mut self, named: &Arc<Named>) {
        if self.names.len() >= MOST_FAMILIES {
            self.names.clear();
        }
        self.names.insert(named.prometheus.clone(), Arc::clone(named));
    }
}

fn raw(frame: &Packed) -> Vec<u8> {
    let points: usize = frame.families.iter().map(|family| family.points.len()).sum();
    let mut to = Writer(Vec::with_capacity(points * 10));
    to.put(&(frame.at.as_second(), frame.at.subsec_nanosecond()));
    let mut places: HashMap<&str, u32, foldhash::fast::FixedState> = HashMap::default();
    let mut words = Vec::new();
    for text in frame.rows.iter().flat_map(|labels| labels.0.iter()).flat_map(|(name, value)| [&**name, &**value]) {
        places.entry(text).or_insert_with(|| {
            words.push(text);
            words.len() as u32 - 1
        });
    }
    to.list(&words, |to, word| to.put(word));
    to.list(&frame.rows, |to, labels| to.list(&labels.0, |to, (name, value)| to.put(&(places[&**name], places[&**value]))));
    to.list(&frame.families, |to, family| {
        let Named { otel, prometheus, unit, kind, tier, help, split } = &*family.about;
        let code = |at: Option<usize>| at.expect("all of them are in the list") as u8;
        let kind = code(KINDS.iter().position(|known| known == kind));
        let tier = code(TIERS.iter().position(|known| known == tier));
        let head: Head<'_> = (otel, prometheus, unit, kind, tier, help, split.as_ref().map(|(label, _)| label.as_str()));
        to.put(&head);
        if let Some((_, words)) = split {
            to.list(words, |to, word| to.put(word));
        }
        let mut before = 0;
        to.list(&family.points, |to, point| {
            to.put(&(point.row - before, point.word, Figure::from(point.value)));
            before = point.row;
        });
        let mut before = 0;
        to.list(&family.peaks, |to, peak| {
            to.put(&(peak.point - before, Figure::from(peak.least), Figure::from(peak.most)));
            before = peak.point;
        });
    });
    to.0
}

fn points(rest: &mut Rest<'_>, rows: usize, words: usize) -> Result<Vec<Point>, Damaged> {
    let mut before: Option<(u32, u32)> = None;
    rest.list(MOST_THINGS, |rest| {
        let (step, word, figure): (u32, u32, Figure) = rest.take()?;
        let row = before.map_or(0, |(row, _)| row).checked_add(step).filter(|row| (*row as usize) < rows).ok_or(Damaged("a point without a row"))?;
        if word as usize >= words || before.is_some_and(|before| before >= (row, word)) {
            return Err(Damaged("points out of order"));
        }
        before = Some((row, word));
        Ok(Point { row, word, value: figure.value()? })
    })
}

fn peaks(rest: &mut Rest<'_>, points: usize) -> Result<Vec<Peak>, Damaged> {
    let mut before: Option<u32> = None;
    rest.list(MOST_THINGS, |rest| {
        let (step, least, most): (u32, Figure, Figure) = rest.take()?;
        let point = before.unwrap_or(0).checked_add(step).filter(|point| (*point as usize) < points).ok_or(Damaged("a peak without a point"))?;
        if before.is_some_and(|before| before >= point) {
            return Err(Damaged("peaks out of order"));
        }
        before = Some(point);
        Ok(Peak { point, least: least.value()?, most: most.value()? })
    })
}

impl From<Value> for Figure {
    fn from(value: Value) -> Figure {
        match value {
            Value::Count(count) => Figure::Count(count),
            Value::Real(real) => Figure::Real(real),
            Value::Time(time) => Figure::Time(time.as_secs(), time.subsec_nanos()),
            Value::Usd(UsdPerHour(usd)) => Figure::Usd(usd),
        }
    }
}

impl Figure {
    fn value(self) -> Result<Value, Damaged> {
        match self {
            Figure::Count(count) => Ok(Value::Count(count)),
            Figure::Real(real) if real.is_finite() => Ok(Value::Real(real)),
            Figure::Time(seconds, nanoseconds) if nanoseconds < 1_000_000_000 => Ok(Value::Time(Duration::new(seconds, nanoseconds))),
            Figure::Usd(usd) => Ok(Value::Usd(UsdPerHour(usd))),
            Figure::Real(_) | Figure::Time(..) => Err(Damaged("no value")),
        }
    }
}

/// What is written so far.
struct Writer(Vec<u8>);

impl Writer {
    fn put<T: Serialize + ?Sized>(&mut self, thing: &T) {
        self.0 = postcard::to_extend(thing, std::mem::take(&mut self.0)).expect("a list of bytes takes whatever is written");
    }

    fn list<T>(&mut self, things: &[T], mut put: impl FnMut(&mut Writer, &T)) {
        self.put(&(things.len() as u64));
        for thing in things {
            put(self, thing);
        }
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, Damaged> {
        let (thing, rest) = postcard::take_from_bytes(self.0).map_err(|_| Damaged("it ends early, or says what nobody can read"))?;
        self.0 = rest;
        Ok(thing)
    }

    /// A list that says how long it is. Each thing takes a byte at least, so a list cannot be longer than what is left.
    fn list<T>(&mut self, most: usize, mut take: impl FnMut(&mut Rest<'a>) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let length: u64 = self.take()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= most.min(self.0.len())).ok_or(Damaged("a list longer than it can be"))?;
        let mut things = Vec::with_capacity(length);
        for _ in 0..length {
            things.push(take(self)?);
        }
        Ok(things)
    }
}
