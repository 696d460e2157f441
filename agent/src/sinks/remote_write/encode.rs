//! A frame as protobuf of Prometheus remote write 1.0 (prometheus.io/docs/specs/prw/remote_write_spec) or 2.0 (…/remote_write_spec_2_0), in pieces of bounded
//! size. Written by hand, for it is by far the quickest: a series is a few copies of bytes that were made once for its row and once for its metric.
//!
//! Series of one row stand together, so that their labels are spelt once and the packer finds them again close by. A series that the frame before had and this
//! one lacks gets a mark that it has ended: without it the last value would be shown for another five minutes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::metrics::choice::Choice;
use crate::metrics::packed::{Labels, Named, Packed, PackedFamily, Point};
use crate::metrics::schema::{Kind, Tier};
use crate::sinks::prometheus::as_read;

/// The most series of one request; Prometheus sends as many.
pub const SERIES: usize = 2_000;
/// A request ends with the series that brings it to this many bytes, unpacked.
pub const SIZE: usize = 1 << 20;
/// The value that says a series has ended (Prometheus, model/value/value.go). It is one certain NaN.
pub const ENDED: u64 = 0x7ff0_0000_0000_0002;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`: each word once, and what a metric is on each series. Its start times are left out: the release candidates put them
    /// at different places and nothing tells them apart.
    Two,
}

/// Which metrics are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The least important ones that are.
    pub tier: Tier,
    /// By name.
    pub choice: Choice,
}

/// Writes one frame after the other. Its buffers stay from frame to frame.
pub struct Encoder {
    wanted: Wanted,
    /// Labels on every series, sorted.
    external: Vec<(String, String)>,
    now: Option<Arc<Packed>>,
    before: Option<Arc<Packed>>,
    /// Those of `now`, row by row.
    series: Vec<Series>,
    /// Those of `before` that `now` lacks.
    ended: Vec<Series>,
    ends: Vec<u32>,
    /// Of the metrics of `now`, behind them those of `before`.
    heads: Vec<Head>,
    piece: u64,
    row: Vec<u8>,
    split: Vec<u8>,
    body: Vec<u8>,
    whole: Vec<u8>,
}

/// A point by its place.
#[derive(Clone, Copy, Debug)]
struct Series {
    family: u32,
    point: u32,
}

/// What all series of a metric share in one piece.
#[derive(Default)]
struct Head {
    piece: u64,
    name: Vec<u8>,
    about: Vec<u8>,
}

impl Encoder {
    /// Nothing was sent before. `external`: names and values that stand on every series; no name is one of ours.
    pub fn new(wanted: Wanted, mut external: Vec<(String, String)>) -> Encoder {
        external.sort();
        Encoder {
            wanted,
            external,
            now: None,
            before: None,
            series: Vec::new(),
            ended: Vec::new(),
            ends: Vec::new(),
            heads: Vec::new(),
            piece: 0,
            row: Vec::new(),
            split: Vec::new(),
            body: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// Turns to the next frame.
    pub fn turn(&mut self, frame: Arc<Packed>) {
        self.before = self.now.replace(frame);
        self.order();
        self.ended.clear();
        if let (Some(before), Some(now)) = (&self.before, &self.now) {
            let wanted = |family: &PackedFamily| is_wanted(&self.wanted, family);
            ended(before, now, wanted, &mut self.ended);
        }
        let families = |frame: &Option<Arc<Packed>>| frame.as_ref().map_or(0, |frame| frame.families.len());
        self.heads.clear();
        self.heads.resize_with(families(&self.now) + families(&self.before), Head::default);
    }

    /// How many series of a frame are sent.
    pub fn count(&self, frame: &Packed) -> usize {
        frame.families.iter().filter(|family| is_wanted(&self.wanted, family)).map(|family| family.points.len()).sum()
    }

    /// How many series there are to write, ended ones among them.
    pub fn series(&self) -> usize {
        self.series.len() + self.ended.len()
    }

    /// The series of a frame, those of a row together: counted, then put.
    fn order(&mut self) {
        let Some(now) = &self.now else { return };
        let points = || {
            let families = now.families.iter().enumerate().filter(|(_, family)| is_wanted(&self.wanted, family));
            let rows = now.rows.len();
            families.flat_map(move |(at, family)| {
                let points = family.points.iter().enumerate().filter(move |(_, point)| is_whole(family, point, rows));
                points.map(move |(point, about)| (about.row as usize, Series { family: at as u32, point: point as u32 }))
            })
        };
        self.ends.clear();
        self.ends.resize(now.rows.len() + 1, 0);
        for (row, _) in points() {
            self.ends[row + 1] += 1;
        }
        for row in 1..self.ends.len() {
            self.ends[row] += self.ends[row - 1];
        }
        self.series.clear();
        self.series.resize(self.ends.last().map_or(0, |end| *end as usize), Series { family: 0, point: 0 });
        for (row, series) in points() {
            self.series[self.ends[row] as usize] = series;
            self.ends[row] += 1;
        }
    }

    /// Writes at most `most` series from the one at `from` on; [`Encoder::body`] has them then. Returns where the next piece begins.
    pub fn write(&mut self, version: Version, from: usize, most: usize) -> usize {
        let Encoder { external, now, before, series, ended, heads, piece, row, split, body, whole, .. } = self;
        let Some(now) = now.as_deref() else { return from };
        let before = before.as_deref();
        *piece += 1;
        body.clear();
        let (mut words, mut parts, mut at) = (Words::of(version), Vec::new(), None);
        let mut sample = Sample::at(now.at.as_millisecond());
        let mut to = from;
        while to - from < most.max(1) && body.len() + words.size() < SIZE {
            let (frame, one, has_ended) = match series.get(to) {
                Some(one) => (now, one, false),
                None => match (ended.get(to - series.len()), before) {
                    (Some(one), Some(before)) => (before, one, true),
                    _ => break,
                },
            };
            to += 1;
            let family = &frame.families[one.family as usize];
            let point = family.points[one.point as usize];
            if at != Some((has_ended, point.row)) {
                at = Some((has_ended, point.row));
                parts = lay(parts, &frame.rows[point.row as usize], external);
                row.clear();
                for part in &mut parts {
                    words.label(part.name, part.value, row);
                    part.end = row.len();
                }
            }
            let head = &mut heads[one.family as usize + if has_ended { now.families.len() } else { 0 }];
            if head.piece != *piece {
                head.write(*piece, &family.about, &mut words);
            }
            // Where the name and the word go among the row's labels.
            let place = |name: &str| match parts.partition_point(|part| part.name < name) {
                0 => 0,
                before => parts[before - 1].end,
            };
            split.clear();
            let (name, word) = (
                (place(NAME), &*head.name),
                match &family.about.split {
                    Some((label, all)) => {
                        words.label(label, &all[point.word as usize], split);
                        (place(label), &**split)
                    }
                    None => (row.len(), &[][..]),
                },
            );
            let word_is_first = family.about.split.as_ref().is_some_and(|(label, _)| &**label < NAME);
            let [first, second] = if word_is_first { [word, name] } else { [name, word] };
            let labels = [&row[..first.0], first.1, &row[first.0..second.0], second.1, &row[second.0..]];
            sample.set(if has_ended { f64::from_bits(ENDED) } else { as_read(point.value) });
            put_series(version, &labels, &sample, &head.about, body);
        }
        if let Words::Symbols { all, .. } = &words {
            whole.clear();
            for symbol in all {
                put_bytes(0x22, symbol.as_bytes(), whole);
            }
            whole.extend_from_slice(body);
            std::mem::swap(body, whole);
        }
        to
    }

    /// Writes what the metrics are, as 1.0 tells it beside the series; [`Encoder::body`] has it then. Returns how many.
    pub fn write_metadata(&mut self) -> usize {
        self.body.clear();
        let Some(now) = &self.now else { return 0 };
        let mut many = 0;
        for family in now.families.iter().filter(|family| is_wanted(&self.wanted, family)) {
            let about = &family.about;
            self.row.clear();
            put_number(0x08, kind(about.kind), &mut self.row);
            put_bytes(0x12, about.prometheus.as_bytes(), &mut self.row);
            put_bytes(0x22, about.help.as_bytes(), &mut self.row);
            put_bytes(0x2a, about.unit.as_bytes(), &mut self.row);
            put_bytes(0x1a, &self.row, &mut self.body);
            many += 1;
        }
        many
    }

    /// What was written last.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

const NAME: &str = "__name__";

fn is_wanted(wanted: &Wanted, family: &PackedFamily) -> bool {
    family.about.tier <= wanted.tier && wanted.choice.keeps(&family.about.prometheus)
}

/// A frame may come from a disk; what points nowhere is none of ours.
fn is_whole(family: &PackedFamily, point: &Point, rows: usize) -> bool {
    let words = family.about.split.as_ref().map_or(1, |(_, words)| words.len());
    (point.row as usize) < rows && (point.word as usize) < words
}

/// One label of a row, and where it ends in the row's bytes.
struct Part<'a> {
    name: &'a str,
    value: &'a str,
    end: usize,
}

/// A row's labels and those of every series, sorted.
fn lay<'a>(mut parts: Vec<Part<'a>>, labels: &'a Labels, external: &'a [(String, String)]) -> Vec<Part<'a>> {
    parts.clear();
    parts.extend(labels.0.iter().map(|(name, value)| Part { name, value, end: 0 }));
    for (name, value) in external {
        let at = parts.partition_point(|part| part.name < &**name);
        if parts.get(at).is_none_or(|part| part.name != &**name) {
            parts.insert(at, Part { name, value, end: 0 });
        }
    }
    parts
}

/// How labels are written: spelt, or by the numbers of their words.
enum Words<'a> {
    Spelt,
    Symbols { numbers: HashMap<&'a str, u32, RandomState>, all: Vec<&'a str>, size: usize },
}

impl<'a> Words<'a> {
    fn of(version: Version) -> Words<'a> {
        match version {
            Version::One => Words::Spelt,
            // The first symbol is always empty.
            Version::Two => Words::Symbols { numbers: HashMap::from_iter([("", 0)]), all: vec![""], size: 2 },
        }
    }

    fn number(&mut self, word: &'a str) -> u64 {
        let Words::Symbols { numbers, all, size } = self else { return 0 };
        let number = *numbers.entry(word).or_insert_with(|| {
            all.push(word);
            *size += word.len() + 3;
            all.len() as u32 - 1
        });
        u64::from(number)
    }

    fn label(&mut self, name: &'a str, value: &'a str, out: &mut Vec<u8>) {
        if let Words::Spelt = self {
            put_size(0x0a, 2 + varint_len(name.len() as u64) + name.len() + varint_len(value.len() as u64) + value.len(), out);
            put_bytes(0x0a, name.as_bytes(), out);
            put_bytes(0x12, value.as_bytes(), out);
        } else {
            let (name, value) = (self.number(name), self.number(value));
            varint(name, out);
            varint(value, out);
        }
    }

    /// Bytes of all words, give or take their lengths.
    fn size(&self) -> usize {
        match self {
            Words::Spelt => 0,
            Words::Symbols { size, .. } => *size,
        }
    }
}

impl Head {
    fn write<'a>(&mut self, piece: u64, about: &'a Named, words: &mut Words<'a>) {
        self.piece = piece;
        self.name.clear();
        self.about.clear();
        words.label(NAME, &about.prometheus, &mut self.name);
        if let Words::Symbols { .. } = words {
            let (help, unit) = (words.number(&about.help), words.number(&about.unit));
            put_number(0x08, kind(about.kind), &mut self.about);
            put_number(0x18, help, &mut self.about);
            put_number(0x20, unit, &mut self.about);
        }
    }
}

/// `MetricType`, the same numbers in both versions.
fn kind(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 1,
        Kind::Level | Kind::Gauge => 2,
        Kind::Histogram => 3,
        Kind::Info => 6,
    }
}

/// A sample whose time is written once for all: `Sample { value = 1, timestamp = 2 }`.
struct Sample(Vec<u8>);

impl Sample {
    fn at(milliseconds: i64) -> Sample {
        let mut bytes = vec![0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
        varint(milliseconds as u64, &mut bytes);
        Sample(bytes)
    }

    fn set(&mut self, value: f64) {
        self.0[1..9].copy_from_slice(&value.to_le_bytes());
    }
}

/// `TimeSeries` in its request: labels, or their numbers; the sample; in 2.0 what the metric is.
fn put_series(version: Version, labels: &[&[u8]], sample: &Sample, about: &[u8], out: &mut Vec<u8>) {
    let size: usize = labels.iter().map(|part| part.len()).sum();
    let sample_size = 2 + sample.0.len();
    match version {
        Version::One => put_size(0x0a, size + sample_size, out),
        Version::Two => {
            put_size(0x2a, 1 + varint_len(size as u64) + size + sample_size + 1 + varint_len(about.len() as u64) + about.len(), out);
            put_size(0x0a, size, out);
        }
    }
    for part in labels {
        out.extend_from_slice(part);
    }
    put_bytes(0x12, &sample.0, out);
    if version == Version::Two {
        put_bytes(0x2a, about, out);
    }
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    put_size(tag, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_number(tag: u8, number: u64, out: &mut Vec<u8>) {
    out.push(tag);
    varint(number, out);
}

fn put_size(tag: u8, number: usize, out: &mut Vec<u8>) {
    put_number(tag, number as u64, out);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// The series of `before` that `now` lacks, row by row. While nobody comes or goes both have the same in the same order, and nothing is looked up.
fn ended(before: &Packed, now: &Packed, wanted: impl Fn(&PackedFamily) -> bool, out: &mut Vec<Series>) {
    let rows = same_rows(before, now);
    let mut by_name = None;
    for (at, family) in before.families.iter().enumerate().filter(|(_, family)| wanted(family)) {
        let there = now.families.get(at).filter(|there| is_same(family, there)).or_else(|| {
            let names =
                by_name.get_or_insert_with(|| now.families.iter().map(|family| (&*family.about.prometheus, family)).collect::<HashMap<_, _, RandomState>>());
            names.get(&*family.about.prometheus).copied()
        });
        let (mut next, mut all) = (0, None);
        for (point, about) in family.points.iter().enumerate().filter(|(_, point)| is_whole(family, point, before.rows.len())) {
            let lives = there.is_some_and(|there| {
                let Some(key) = rows[about.row as usize].zip(same_word(family, there, about.word)) else { return false };
                let key_of = |point: &Point| (point.row, point.word);
                if there.points.get(next).map(key_of) == Some(key) {
                    next += 1;
                    return true;
                }
                all.get_or_insert_with(|| there.points.iter().map(key_of).collect::<HashSet<_, RandomState>>()).contains(&key)
            });
            if !lives {
                out.push(Series { family: at as u32, point: point as u32 });
            }
        }
    }
    out.sort_by_key(|series| before.families[series.family as usize].points[series.point as usize].row);
}

fn is_same(a: &PackedFamily, b: &PackedFamily) -> bool {
    Arc::ptr_eq(&a.about, &b.about) || a.about.prometheus == b.about.prometheus
}

/// Of each row of `before` the one of `now` that has its labels.
fn same_rows(before: &Packed, now: &Packed) -> Vec<Option<u32>> {
    let mut by_labels = None;
    let find = |(at, labels): (usize, &Labels)| {
        if now.rows.get(at).is_some_and(|there| Arc::ptr_eq(&there.0, &labels.0)) {
            return Some(at as u32);
        }
        let rows =
            by_labels.get_or_insert_with(|| now.rows.iter().enumerate().map(|(at, labels)| (&*labels.0, at as u32)).collect::<HashMap<_, _, RandomState>>());
        rows.get(&*labels.0).copied()
    };
    before.rows.iter().enumerate().map(find).collect()
}

/// The number in `there` of a word of `family`: a later Tare may have others.
fn same_word(family: &PackedFamily, there: &PackedFamily, word: u32) -> Option<u32> {
    if Arc::ptr_eq(&family.about, &there.about) || family.about.split == there.about.split {
        return Some(word);
    }
    let ((label, words), (their_label, theirs)) = family.about.split.as_ref().zip(there.about.split.as_ref())?;
    let word = words.get(word as usize).filter(|_| label == their_label)?;
    theirs.iter().position(|their| their == word).map(|word| word as u32)
}

#[cfg(test)]
mod tests;
