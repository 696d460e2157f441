//! Peaks: a sink that sends less often than we look still learns how low and how high each level and gauge went.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Labels, Packed, PackedFamily, Peak, Point};
use crate::metrics::schema::{Kind, Value};

impl Packed {
    /// Takes over how far the series of an earlier frame went, one that is not sent by itself. Series that are there no more are left out: what has ended
    /// has no level, and its counters stay in the report for a while.
    pub fn keep_peaks(&mut self, earlier: &Packed) {
        let rows = same_rows(&self.rows, &earlier.rows);
        for family in self.families.iter_mut().filter(|family| matches!(family.about.kind, Kind::Level | Kind::Gauge)) {
            let same = |there: &&PackedFamily| Arc::ptr_eq(&there.about, &family.about) || there.about == family.about;
            let Some(before) = earlier.families.iter().find(same) else { continue };
            family.keep_peaks(before, &rows);
        }
    }
}

impl PackedFamily {
    /// `rows`: of each row, which it was before.
    fn keep_peaks(&mut self, before: &PackedFamily, rows: &[Option<u32>]) {
        let own = std::mem::take(&mut self.peaks);
        for (at, point) in self.points.iter().enumerate() {
            let mut peak = peak(&own, at, point);
            let there = rows[point.row as usize].and_then(|row| before.points.binary_search_by_key(&(row, point.word), |point| (point.row, point.word)).ok());
            if let Some(there) = there {
                let then = self::peak(&before.peaks, there, &before.points[there]);
                peak = Peak { least: peak.least.least(then.least), most: peak.most.most(then.most), ..peak };
            }
            if peak.least != point.value || peak.most != point.value {
                self.peaks.push(peak);
            }
        }
    }
}

/// How far one point went; one without a peak stayed where it is.
fn peak(peaks: &[Peak], at: usize, point: &Point) -> Peak {
    let known = peaks.binary_search_by_key(&(at as u32), |peak| peak.point).ok();
    known.map_or(Peak { point: at as u32, least: point.value, most: point.value }, |known| peaks[known])
}

/// Of each row, which it was in the other frame. Mostly none has moved.
fn same_rows(rows: &[Labels], others: &[Labels]) -> Vec<Option<u32>> {
    let is = |a: &Labels, b: &Labels| Arc::ptr_eq(&a.0, &b.0) || a == b;
    let mut by_labels = None;
    let find = |(at, labels): (usize, &Labels)| {
        if others.get(at).is_some_and(|other| is(labels, other)) {
            return Some(at as u32);
        }
        let by_labels: &mut HashMap<_, _> = by_labels.get_or_insert_with(|| others.iter().zip(0u32..).map(|(labels, at)| (&labels.0, at)).collect());
        by_labels.get(&labels.0).copied()
    };
    rows.iter().enumerate().map(find).collect()
}

impl Value {
    /// The smaller of two values of one metric.
    pub fn least(self, other: Value) -> Value {
        if other.is_less(self) { other } else { self }
    }

    /// The larger of two values of one metric.
    pub fn most(self, other: Value) -> Value {
        if self.is_less(other) { other } else { self }
    }

    fn is_less(self, other: Value) -> bool {
        match (self, other) {
            (Value::Count(a), Value::Count(b)) => a < b,
            (Value::Real(a), Value::Real(b)) => a < b,
            (Value::Time(a), Value::Time(b)) => a < b,
            (Value::Usd(a), Value::Usd(b)) => a < b,
            // One metric has one unit, so this does not come up.
            _ => false,
        }
    }
}
