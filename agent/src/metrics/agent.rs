//! Tare's own live counters, built from the table's AGENT family. Handles are cheap to clone and safe to share.

pub mod backlog;

use jiff::Timestamp;
use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector, proto::MetricFamily};

use collector::snapshot::SourceName;

use backlog::BacklogFigures;

use super::families::AGENT;
use super::schema::{Metric, Points};

/// Bounds of the tick's duration, in seconds: a look at ten containers takes about 1 ms, at 2,000 about 150 ms.
const TICK_BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What Tare counts about itself.
#[derive(Clone)]
pub struct Agent {
    /// Looks taken.
    pub ticks: IntCounter,
    /// Looks that were due while another was still under way.
    pub missed_ticks: IntCounter,
    /// Seconds from look to report.
    pub tick_duration: Histogram,
    /// What waits for sinks that push.
    pub backlog: BacklogFigures,
    requests: IntCounterVec,
    gaps: IntCounterVec,
    cut: IntCounterVec,
    sinks: Sinks,
    registry: Registry,
}

/// What is counted about all sinks.
#[derive(Clone)]
struct Sinks {
    requests: IntCounterVec,
    samples: IntCounterVec,
    dropped: IntCounterVec,
    retries: IntCounterVec,
    error_time: GaugeVec,
    sent_time: GaugeVec,
}

/// What one sink counts.
#[derive(Clone)]
pub struct SinkFigures {
    sink: &'static str,
    all: Sinks,
    samples: IntCounter,
    retries: IntCounter,
}

impl Agent {
    /// All at zero.
    #[expect(clippy::new_without_default, reason = "counting starts at one place, on purpose")]
    pub fn new() -> Agent {
        let registry = Registry::new();
        let [info, ticks, missed_ticks, tick_duration, requests, gaps, cut, sinks @ ..] = AGENT.metrics else {
            unreachable!("the AGENT family has these seven, in this order");
        };
        let [sink_requests, samples, dropped, retries, error_time, sent_time] = sinks else {
            unreachable!("and then these six about sinks");
        };
        let counter = |metric| register(&registry, IntCounter::with_opts(opts(metric)));
        let counters = |metric| register(&registry, IntCounterVec::new(opts(metric), &labels(metric)));
        let gauges = |metric| register(&registry, GaugeVec::new(opts(metric), &labels(metric)));
        let buckets = HistogramOpts { common_opts: opts(tick_duration), buckets: TICK_BOUNDS.to_vec() };
        register(&registry, IntGaugeVec::new(opts(info), &labels(info))).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Agent {
            ticks: counter(ticks),
            missed_ticks: counter(missed_ticks),
            tick_duration: register(&registry, Histogram::with_opts(buckets)),
            backlog: BacklogFigures::new(&registry),
            requests: counters(requests),
            gaps: counters(gaps),
            cut: counters(cut),
            sinks: Sinks {
                requests: counters(sink_requests),
                samples: counters(samples),
                dropped: counters(dropped),
                retries: counters(retries),
                error_time: gauges(error_time),
                sent_time: gauges(sent_time),
            },
            registry,
        }
    }

    /// An answered HTTP request. The path is one of ours, so that strangers cannot make series.
    pub fn count_request(&self, path: &'static str, code: u16) {
        self.requests.with_label_values(&[path, itoa::Buffer::new().format(code)]).inc();
    }

    /// A gap that was not there in the last look.
    pub fn count_gap(&self, from: SourceName) {
        self.gaps.with_label_values(&[from.as_str()]).inc();
    }

    /// Things left out, by a word for the bound that cut them.
    pub fn count_cut(&self, reason: &'static str, things: u64) {
        self.cut.with_label_values(&[reason]).inc_by(things);
    }

    /// What a sink of this name counts. What can be zero is there from the start.
    pub fn sink(&self, sink: &'static str) -> SinkFigures {
        let all = self.sinks.clone();
        SinkFigures { sink, samples: all.samples.with_label_values(&[sink]), retries: all.retries.with_label_values(&[sink]), all }
    }

    /// All of it as it stands now, sorted by name.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl SinkFigures {
    /// A request was answered with this HTTP status, or `none`.
    pub fn request(&self, code: &str) {
        self.all.requests.with_label_values(&[self.sink, code]).inc();
    }

    /// Samples were taken.
    pub fn taken(&self, samples: usize) {
        self.samples.inc_by(samples as u64);
    }

    /// Samples were refused, for a reason in a word.
    pub fn dropped(&self, reason: &'static str, samples: usize) {
        self.all.dropped.with_label_values(&[self.sink, reason]).inc_by(samples as u64);
    }

    /// A request is sent again.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// A request failed just now.
    pub fn failed(&self, now: Timestamp) {
        self.all.error_time.with_label_values(&[self.sink]).set(now.as_duration().as_secs_f64());
    }

    /// All of a look's samples were sent, whether taken or refused.
    pub fn done(&self, look: Timestamp) {
        self.all.sent_time.with_label_values(&[self.sink]).set(look.as_duration().as_secs_f64());
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("names and labels of the table are valid");
    registry.register(Box::new(made.clone())).expect("names of the table are unique");
    made
}

fn opts(metric: &Metric<()>) -> Opts {
    Opts::new(metric.about.prometheus(), metric.about.help)
}

fn labels(metric: &'static Metric<()>) -> Vec<&'static str> {
    match metric.points {
        Points::Live(labels) => labels.iter().map(|label| label.name).collect(),
        Points::One(_) | Points::Each(..) => Vec::new(),
    }
}
