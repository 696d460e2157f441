//! How Tare itself does: its sources, gaps, own use and live counters.

use super::*;

/// How each source does.
pub static SOURCE: Family<SourceRow> = Family {
    title: "Sources",
    labels: &[CLUSTER, HOST_NAME, SOURCE_NAME],
    metrics: &[
        metric("source.read.age", Unit::Seconds, Gauge, Essential, "How old its newest reading is.", One(|s| time(s.age))),
        metric("source.read.duration", Unit::Seconds, Gauge, Standard, "How long its last read took.", One(|s| time(s.took))),
        metric("source.read.failures", Unit::Of("read"), Counter, Essential, "Reads that failed since Tare started.", One(|s| count(Some(s.failures)))),
    ],
};

/// What cannot be seen now.
pub static GAP: Family<Gap> = Family {
    title: "Gaps",
    labels: &[CLUSTER, HOST_NAME, SOURCE_NAME, label("what", "tare.gap.what")],
    metrics: &[metric(
        "source.gaps",
        Unit::Of("gap"),
        Level,
        Essential,
        "What the source could not see at the last look; tare doctor says why.",
        One(|_| count(Some(1))),
    )],
};

/// What Tare itself uses, as its last look saw it.
pub static OWN: Family<Own> = Family {
    title: "Tare: usage",
    labels: ON_HOST,
    metrics: &[
        metric("agent.cpu.time", Unit::Seconds, Counter, Standard, "CPU time Tare used since it started.", One(|o| time(Some(o.cpu)))),
        metric("agent.memory.rss", Unit::Bytes, Level, Standard, "Memory Tare holds.", One(|o| bytes(Some(o.memory)))),
    ],
};

/// Tare's own counters, kept as it runs. [`super::agent::Agent`] holds them, in this order.
pub static AGENT: Family<()> = Family {
    title: "Tare",
    labels: &[],
    metrics: &[
        metric("agent.info", Unit::Number, Kind::Info, Standard, "1, with the version that runs.", Live(&[label("version", "service.version")])),
        metric("agent.ticks", Unit::Of("tick"), Counter, Essential, "Looks taken.", Live(&[])),
        metric("agent.ticks.missed", Unit::Of("tick"), Counter, Essential, "Looks that were due while another was still under way.", Live(&[])),
        metric("agent.tick.duration", Unit::Seconds, Histogram, Standard, "Time from look to report.", Live(&[])),
        metric(
            "agent.requests",
            Unit::Of("request"),
            Counter,
            Detail,
            "HTTP requests answered.",
            Live(&[label("path", "url.path"), label("code", "http.response.status_code")]),
        ),
        metric("agent.gaps", Unit::Of("gap"), Counter, Standard, "Gaps that opened, also those that closed again since.", Live(&[SOURCE_NAME])),
        metric(
            "agent.cut",
            Unit::Of("thing"),
            Counter,
            Essential,
            "Things left out, each time one more is: cgroups and containers above the settings' bounds (cgroups, containers), services and tasks of a cluster above 5,000 and 20,000 (services, tasks), rows of what has ended above 2,000, or above 200 in a workload that goes on (ended), rows whose labels are those of another row (same_labels).",
            Live(&[label("reason", "tare.reason")]),
        ),
        metric(
            "sink.requests",
            Unit::Of("request"),
            Counter,
            Standard,
            "Requests that a sink sent, by the HTTP status of the answer; none where there was no answer.",
            Live(&[SINK, label("code", "http.response.status_code")]),
        ),
        metric("sink.samples", Unit::Of("sample"), Counter, Essential, "Samples that the far end of a sink has taken.", Live(&[SINK])),
        metric(
            "sink.dropped",
            Unit::Of("sample"),
            Counter,
            Essential,
            "Samples that the far end of a sink refused for good, by reason; they are not sent again.",
            Live(&[SINK, label("reason", "tare.reason")]),
        ),
        metric("sink.retries", Unit::Of("request"), Counter, Standard, "Requests of a sink that had to be sent again.", Live(&[SINK])),
        metric("sink.error.time", Unit::Seconds, Gauge, Standard, "When a request of a sink last failed or was refused, since 1970.", Live(&[SINK])),
        metric(
            "sink.sent.time",
            Unit::Seconds,
            Gauge,
            Essential,
            "When the look was whose figures the far end of a sink was last sent, since 1970.",
            Live(&[SINK]),
        ),
    ],
};
