//! What waits for sinks that push.

use super::{label, metric};
use crate::metrics::schema::Kind::{Counter, Gauge, Level};
use crate::metrics::schema::Points::Live;
use crate::metrics::schema::Tier::{Essential, Standard};
use crate::metrics::schema::{Family, Label, Unit};

const SINK: Label = label("sink", "tare.sink");

/// Tare's backlog, kept as it runs. [`crate::metrics::agent::backlog::BacklogFigures`] holds them, in this order.
pub static BACKLOG: Family<()> = Family {
    title: "Tare: backlog",
    labels: &[],
    metrics: &[
        metric("backlog.frames", Unit::Of("frame"), Gauge, Essential, "Reports that a sink has still to send.", Live(&[SINK])),
        metric("backlog.age", Unit::Seconds, Gauge, Essential, "Time from the oldest report that a sink has still to send to the newest.", Live(&[SINK])),
        metric("backlog.size", Unit::Bytes, Level, Standard, "What all reports that wait take, in memory and on disk.", Live(&[label("where", "tare.where")])),
        metric(
            "backlog.dropped",
            Unit::Of("frame"),
            Counter,
            Essential,
            "Reports that a sink never got: older than backlog.age (age), more than backlog.frames (frames), than backlog.memory (memory), than backlog.disk (disk), one of more than 32 MiB or larger than all of that (too_large), torn or damaged on disk (torn, damaged), of a Tare whose form this one does not know (unknown).",
            Live(&[SINK, label("reason", "tare.reason")]),
        ),
        metric(
            "backlog.ambiguous",
            Unit::Of("frame"),
            Counter,
            Standard,
            "Reports that a sink may have sent twice: nobody heard whether the first was taken, because it took too long or Tare was killed.",
            Live(&[SINK]),
        ),
        metric(
            "backlog.errors",
            Unit::Of("error"),
            Counter,
            Standard,
            "What the disk of the backlog refused (open, write, read).",
            Live(&[label("what", "tare.what")]),
        ),
    ],
};
