//! What a metric is: its name, unit, kind, tier and help, and how it is read out of a row. The rows stand in [`super::families`].

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use collector::snapshot::{Interface, IoDevice, Usage};

use crate::cost::UsdPerHour;

/// Metrics that are read out of one kind of row.
pub struct Family<R: 'static> {
    /// What it is about, a heading of the manual.
    pub title: &'static str,
    /// The labels on each of its series, those that are known.
    pub labels: &'static [Label],
    /// Its metrics, in the order they are printed.
    pub metrics: &'static [Metric<R>],
}

/// All about one kind of thing: the host, its workloads, their containers.
pub struct Table<R: 'static> {
    /// What is known about it.
    pub info: Info<R>,
    /// Its own metrics.
    pub own: Family<R>,
    /// What it uses.
    pub usage: Family<Usage>,
    /// Its block devices.
    pub device: Family<IoDevice>,
    /// Its network interfaces.
    pub interface: Family<Interface>,
}

/// A series of value 1 that carries what is known about a row, to be joined to its figures.
pub struct Info<R: 'static> {
    /// Its name and help.
    pub about: About,
    /// The labels on it, before its own.
    pub labels: &'static [Label],
    /// What it tells: a label, and what writes its value. Nothing written is not known.
    pub tells: &'static [(Label, Tell<R>)],
    /// Its tags, told by the labels that the user's choice gives their keys.
    pub tags: fn(&R) -> Tags<'_>,
}

/// Keys and values of what the user's own tags say.
pub type Tags<'a> = &'a [(Arc<str>, Arc<str>)];

/// A label's name, here and elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// In Prometheus.
    pub name: &'static str,
    /// The OpenTelemetry attribute.
    pub otel: &'static str,
}

/// One metric.
pub struct Metric<R: 'static> {
    /// What it is.
    pub about: About,
    /// How it is read.
    pub points: Points<R>,
}

/// What a metric is, apart from how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Our dotted name, without prefix, unit or suffix: `container.cpu.time`; or the whole name, where another program gave it.
    pub name: &'static str,
    /// Who gave the name.
    pub by: By,
    /// The unit of its value.
    pub unit: Unit,
    /// How it behaves.
    pub kind: Kind,
    /// How much it matters.
    pub tier: Tier,
    /// One sentence.
    pub help: &'static str,
}

/// Who gave a metric its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// We did: prefix, unit and suffix follow from it.
    Us,
    /// Another program did: it is kept to the letter.
    Others,
}

/// How a metric is read out of a row. `None` is not known, and gives no series.
pub enum Points<R: 'static> {
    /// One series a row.
    One(Read<R>),
    /// One series for each word of a label.
    Each(Label, &'static [Word<R>]),
    /// Kept by the program itself as it runs, with these labels.
    Live(&'static [Label]),
}

/// Reads a figure out of a row.
pub type Read<R> = fn(&R) -> Option<Value>;

/// A word of a label, and its figure.
pub type Word<R> = (&'static str, Read<R>);

/// Writes a label's value.
pub type Tell<R> = fn(&R, &mut String);

/// A figure and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Things or bytes.
    Count(u64),
    /// A share, cores; always finite in a frame.
    Real(f64),
    /// A span, or a moment since 1970.
    Time(Duration),
    /// Money.
    Usd(UsdPerHour),
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// CPU cores.
    Cores,
    /// A share; 1 is all of it.
    Ratio,
    /// Dollars an hour.
    UsdPerHour,
    /// Things, in the singular: `restart`.
    Of(&'static str),
    /// A plain number.
    Number,
}

/// How a metric behaves over time and in sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until its thing starts anew.
    Counter,
    /// A state of now that adds up over rows. What has ended has none.
    Level,
    /// A state of now that does not add up.
    Gauge,
    /// A spread of values.
    Histogram,
    /// Always 1: its labels tell.
    Info,
}

/// How much a metric matters: sinks that cost money send the first ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Every user looks at it.
    Essential,
    /// It answers the usual next question.
    Standard,
    /// For the rare case.
    Detail,
}

impl About {
    /// The name in Prometheus: `tare_container_cpu_time_seconds_total`.
    pub fn prometheus(&self) -> String {
        if self.by == By::Others {
            return self.name.to_owned();
        }
        let mut name = format!("tare_{}", self.name.replace('.', "_"));
        if let Some(word) = self.unit.word() {
            name.push('_');
            name.push_str(word);
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }

    /// Writes what stands above its series in the text format 0.0.4. `name` is that in Prometheus.
    pub fn head(&self, name: &str, out: &mut Vec<u8>) {
        // Writing to a Vec does not fail.
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {}\n", self.help, self.kind.prometheus());
    }

    /// Writes what stands above its series in OpenMetrics 1.0. A family there is called without the suffix of its samples; a counter whose name lacks it can only be
    /// of unknown type, as in client_golang (expfmt/openmetrics_create.go). A unit is told only where the name ends in it, and never of an info.
    pub fn open_head(&self, name: &str, out: &mut Vec<u8>) {
        let (family, kind) = match self.kind {
            Kind::Counter => name.strip_suffix("_total").map_or((name, "unknown"), |family| (family, "counter")),
            Kind::Info => name.strip_suffix("_info").map_or((name, "gauge"), |family| (family, "info")),
            Kind::Level | Kind::Gauge | Kind::Histogram => (name, self.kind.prometheus()),
        };
        let _ = writeln!(out, "# TYPE {family} {kind}");
        let ends = |word: &&str| family.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'));
        if let Some(word) = self.unit.word().filter(ends) {
            let _ = writeln!(out, "# UNIT {family} {word}");
        }
        let _ = writeln!(out, "# HELP {family} {}", self.help);
    }

    /// The name in OpenTelemetry: that of the semantic conventions, else our own below `tare.`.
    pub fn otel(&self) -> String {
        let theirs = CONVENTIONS.iter().find(|(ours, _)| *ours == self.name);
        theirs.map_or_else(|| format!("tare.{}", self.name), |(_, theirs)| (*theirs).to_owned())
    }
}

/// Our names and those of the OpenTelemetry semantic conventions 1.44.0 (model/container/metrics.yaml, model/system/metrics.yaml), where both mean the same
/// (`system.cpu.time` counts idle time too, `system.memory.usage` free memory).
const CONVENTIONS: &[(&str, &str)] = &[
    ("container.uptime", "container.uptime"),
    ("container.cpu.time", "container.cpu.time"),
    ("container.memory.usage", "container.memory.usage"),
    ("container.memory.rss", "container.memory.rss"),
    ("container.memory.working_set", "container.memory.working_set"),
    ("container.paging.faults", "container.paging.faults"),
    ("container.disk.io", "container.disk.io"),
    ("container.network.io", "container.network.io"),
    ("host.cpu.capacity", "system.cpu.logical.count"),
    ("host.memory.capacity", "system.memory.limit"),
    ("host.paging.faults", "system.paging.faults"),
    ("host.disk.io", "system.disk.io"),
    ("host.disk.operations", "system.disk.operations"),
    ("host.network.io", "system.network.io"),
    ("host.uptime", "system.uptime"),
];

impl Unit {
    /// The word at the end of a Prometheus name.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Unit::Seconds => Some("seconds"),
            Unit::Bytes => Some("bytes"),
            Unit::Cores => Some("cores"),
            Unit::Ratio => Some("ratio"),
            Unit::UsdPerHour => Some("usd_per_hour"),
            Unit::Of(_) | Unit::Number => None,
        }
    }
}

impl Kind {
    /// The type in Prometheus.
    pub fn prometheus(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Level | Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Value {
    /// No sink can use a number that is none.
    pub fn is_finite(self) -> bool {
        !matches!(self, Value::Real(number) if !number.is_finite())
    }

    /// Both together, where two rows stand for one series. Shares and other reals are added too, for want of a better answer.
    pub fn plus(self, other: Value) -> Value {
        match (self, other) {
            (Value::Count(a), Value::Count(b)) => Value::Count(a.saturating_add(b)),
            (Value::Real(a), Value::Real(b)) => Value::Real(a + b),
            (Value::Time(a), Value::Time(b)) => Value::Time(a.saturating_add(b)),
            (Value::Usd(a), Value::Usd(b)) => Value::Usd(UsdPerHour(a.0.saturating_add(b.0))),
            // One metric has one unit, so this does not come up.
            (first, _) => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_derived() {
        use Kind::{Counter, Gauge, Level};
        for (name, unit, kind, prometheus, otel) in [
            ("container.cpu.time", Unit::Seconds, Counter, "tare_container_cpu_time_seconds_total", "container.cpu.time"),
            ("host.cpu.time", Unit::Seconds, Counter, "tare_host_cpu_time_seconds_total", "tare.host.cpu.time"),
            ("container.restarts", Unit::Of("restart"), Counter, "tare_container_restarts_total", "tare.container.restarts"),
            ("workload.cost.now", Unit::UsdPerHour, Level, "tare_workload_cost_now_usd_per_hour", "tare.workload.cost.now"),
            ("container.cpu.limit", Unit::Cores, Gauge, "tare_container_cpu_limit_cores", "tare.container.cpu.limit"),
        ] {
            let about = About { name, by: By::Us, unit, kind, tier: Tier::Detail, help: "" };
            assert_eq!((about.prometheus().as_str(), about.otel().as_str()), (prometheus, otel));
        }
    }

    #[test]
    fn heads_follow_the_rules_of_each_format() {
        use Kind::{Counter, Gauge, Info, Level};
        for (by, name, unit, kind, text, open) in [
            (
                By::Us,
                "a.time",
                Unit::Seconds,
                Counter,
                "# TYPE tare_a_time_seconds_total counter",
                "# TYPE tare_a_time_seconds counter\n# UNIT tare_a_time_seconds seconds\n# HELP tare_a_time_seconds H.\n",
            ),
            (By::Us, "a.kills", Unit::Of("kill"), Counter, "# TYPE tare_a_kills_total counter", "# TYPE tare_a_kills counter\n# HELP tare_a_kills H.\n"),
            (
                By::Us,
                "a.cost",
                Unit::UsdPerHour,
                Level,
                "# TYPE tare_a_cost_usd_per_hour gauge",
                "# TYPE tare_a_cost_usd_per_hour gauge\n# UNIT tare_a_cost_usd_per_hour usd_per_hour\n# HELP tare_a_cost_usd_per_hour H.\n",
            ),
            (By::Us, "a.info", Unit::Number, Info, "# TYPE tare_a_info gauge", "# TYPE tare_a info\n# HELP tare_a H.\n"),
            (By::Others, "a_failcnt", Unit::Number, Counter, "# TYPE a_failcnt counter", "# TYPE a_failcnt unknown\n# HELP a_failcnt H.\n"),
            (By::Others, "a_rss", Unit::Bytes, Gauge, "# TYPE a_rss gauge", "# TYPE a_rss gauge\n# HELP a_rss H.\n"),
            (By::Others, "a_megabytes", Unit::Bytes, Gauge, "# TYPE a_megabytes gauge", "# TYPE a_megabytes gauge\n# HELP a_megabytes H.\n"),
        ] {
            let about = About { name, by, unit, kind, tier: Tier::Detail, help: "H." };
            let name = about.prometheus();
            let written = |write: fn(&About, &str, &mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&about, &name, &mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(written(About::head), format!("# HELP {name} H.\n{text}\n"));
            assert_eq!(written(About::open_head), open);
        }
    }
}
