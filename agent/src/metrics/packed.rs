//! A frame that stands alone: it names all it holds, so that it can wait for a far end, in memory or on disk, and be read by a later Tare.

pub mod codec;
pub mod pack;
pub mod peaks;

use std::sync::Arc;

use jiff::Timestamp;

use super::schema::{Kind, Tier, Value};

/// One report, named, in figures and words of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// When its look was.
    pub at: Timestamp,
    /// The label sets of its rows, each once.
    pub rows: Vec<Labels>,
    /// Its metrics; none without points.
    pub families: Vec<PackedFamily>,
}

/// Names and values, sorted by name (bytewise), no name twice, no value empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Labels(pub Arc<[(Arc<str>, Arc<str>)]>);

/// One metric and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedFamily {
    /// What it is; the same allocation in every frame of one process.
    pub about: Arc<Named>,
    /// In the order of the rows, no series twice.
    pub points: Vec<Point>,
    /// How far levels and gauges went since the frame before, where it was further than the point says; in the order of the points.
    pub peaks: Vec<Peak>,
}

/// What a metric is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `container.cpu.time`
    pub otel: String,
    /// `tare_container_cpu_time_seconds_total`
    pub prometheus: String,
    /// The unit's word at the end of the Prometheus name, `seconds`; empty without.
    pub unit: String,
    /// How it behaves.
    pub kind: Kind,
    /// How much it matters.
    pub tier: Tier,
    /// One sentence.
    pub help: String,
    /// The label it splits by, and its words.
    pub split: Option<(String, Vec<String>)>,
}

/// One value of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Which of the rows.
    pub row: u32,
    /// Which word of the split, if there is one.
    pub word: u32,
    /// A real one is finite.
    pub value: Value,
}

/// The least and the most that a point was since the frame before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Which of the family's points.
    pub point: u32,
    /// Not more than the point.
    pub least: Value,
    /// Not less than the point.
    pub most: Value,
}

impl Packed {
    /// About how many bytes of memory it holds, what it shares with other frames included.
    pub fn weight(&self) -> usize {
        let words = |labels: &Labels| labels.0.iter().map(|(name, value)| 64 + name.len() + value.len()).sum::<usize>();
        let rows: usize = self.rows.iter().map(|labels| 32 + words(labels)).sum();
        let family = |family: &PackedFamily| 64 + family.points.capacity() * size_of::<Point>() + family.peaks.capacity() * size_of::<Peak>();
        size_of::<Packed>() + rows + self.families.iter().map(family).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
