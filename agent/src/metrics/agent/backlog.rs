//! What Tare counts about its backlog, built from the table's BACKLOG family.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry};

use super::{labels, opts, register};
use crate::metrics::families::backlog::BACKLOG;

/// Live figures of the backlog. Nothing is shown of a sink that there is not.
#[derive(Clone)]
pub struct BacklogFigures {
    /// Frames that a sink has still to take, by sink.
    pub frames: IntGaugeVec,
    /// Seconds from the oldest of them to the newest, by sink.
    pub age: GaugeVec,
    /// Bytes of all that waits, by where.
    pub size: IntGaugeVec,
    /// Frames that fell off, by sink and reason.
    pub dropped: IntCounterVec,
    /// Requests of which nobody knows whether they were taken, by sink.
    pub ambiguous: IntCounterVec,
    /// What the disk refused, by what.
    pub errors: IntCounterVec,
}

impl BacklogFigures {
    pub(super) fn new(registry: &Registry) -> BacklogFigures {
        let [frames, age, size, dropped, ambiguous, errors] = BACKLOG.metrics else {
            unreachable!("the BACKLOG family has these six, in this order");
        };
        BacklogFigures {
            frames: register(registry, IntGaugeVec::new(opts(frames), &labels(frames))),
            age: register(registry, GaugeVec::new(opts(age), &labels(age))),
            size: register(registry, IntGaugeVec::new(opts(size), &labels(size))),
            dropped: register(registry, IntCounterVec::new(opts(dropped), &labels(dropped))),
            ambiguous: register(registry, IntCounterVec::new(opts(ambiguous), &labels(ambiguous))),
            errors: register(registry, IntCounterVec::new(opts(errors), &labels(errors))),
        }
    }
}
