//! The last minutes of every workload, for its charts: two figures a look, so many looks and no more.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use collector::identity::Key;

use super::super::Published;
use crate::report::Report;
use crate::words::rows::used;

/// Looks that are kept: ten minutes at the default interval, 480 bytes a workload.
pub(super) const KEPT: usize = 60;

/// What each workload used, oldest first.
#[derive(Default)]
pub(super) struct History {
    of: HashMap<Key, VecDeque<Point>>,
    newest: Option<Instant>,
}

/// What one look saw. `NaN` is not known: an option would double it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Cores.
    pub(super) cpu: f32,
    /// Bytes.
    pub(super) memory: f32,
}

impl History {
    /// Adds a report's figures, once; who is in it no more is forgotten.
    pub(super) fn add(&mut self, published: &Published) {
        if self.newest == Some(published.at) {
            return;
        }
        self.newest = Some(published.at);
        let report: &Report = &published.report;
        for row in &report.workloads {
            let points = match self.of.get_mut(&row.seen.about.key) {
                Some(points) => points,
                None => self.of.entry(row.seen.about.key.clone()).or_default(),
            };
            if points.len() == KEPT {
                points.pop_front();
            }
            points.push_back(Point { cpu: row.rates.cpu.map_or(f32::NAN, |cpu| cpu.0 as f32), memory: used(row).map_or(f32::NAN, |used| used.0 as f32) });
        }
        // Both are sets of keys, and every key of the report is here: where they are as many, they are the same.
        if self.of.len() > report.workloads.len() {
            self.of.retain(|key, _| report.workloads.binary_search_by(|row| row.seen.about.key.cmp(key)).is_ok());
        }
    }

    /// A workload's points, oldest first.
    pub(super) fn of(&self, key: &Key) -> impl Iterator<Item = Point> {
        self.of.get(key).into_iter().flatten().copied()
    }
}
