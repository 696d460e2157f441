//! A page as Prometheus reads it: its text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats) or OpenMetrics 1.0
//! (prometheus.io/docs/specs/om/open_metrics_spec). The lines of the series are the same in both, what stands above and below them is not.
//! No timestamps; what is not known has no line.

use std::time::Duration;

use ::prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::cost::UsdPerHour;
use crate::metrics::agent::Agent;
use crate::metrics::choice::Choice;
use crate::metrics::families::AGENT;
use crate::metrics::families::backlog::BACKLOG;
use crate::metrics::page::Page;
use crate::metrics::schema::{About, Value};

/// How the lines are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type` of it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What stands behind the last line.
    pub fn end(self) -> &'static [u8] {
        match self {
            Format::Text => b"",
            Format::OpenMetrics => b"# EOF\n",
        }
    }

    /// What stands above the series of a metric.
    fn head(self, about: &About, name: &str, out: &mut Vec<u8>) {
        match self {
            Format::Text => about.head(name, out),
            Format::OpenMetrics => about.open_head(name, out),
        }
    }
}

/// A block ends with a metric once it has this many lines, and within one at twice as many: with the same series it ends at the same places, whatever their values.
pub const BLOCK_LINES: usize = 256;

/// Appends every series to `out` in the text format. Allocates only while `out` grows.
pub fn encode(page: &impl Page, out: &mut Vec<u8>) {
    encode_in_blocks(page, Format::Text, out, |_| {});
}

/// Appends every series to `out`: what stands above a metric once, its lines together. At the end of a block ([`BLOCK_LINES`]) `full` may take it away; the rest
/// is left in `out`. What ends the text ([`Format::end`]) is for the caller.
pub fn encode_in_blocks(page: &impl Page, format: Format, out: &mut Vec<u8>, mut full: impl FnMut(&mut Vec<u8>)) {
    let external = page.external();
    let mut lines = 0;
    for block in page.blocks() {
        for column in block.columns().iter().filter(|column| !column.samples.is_empty()) {
            format.head(column.about, &column.name, out);
            for sample in &column.samples {
                out.extend_from_slice(column.name.as_bytes());
                let mut labels = Labels { out, before: b'{' };
                labels.add(external);
                labels.add(block.labels(sample).block());
                // The words of a split are our own and need no escape.
                if let Some((label, words)) = &column.split {
                    labels.pair(label, words[sample.word as usize]);
                }
                labels.close();
                number(sample.value, out);
                out.push(b'\n');
                lines += 1;
                if lines == 2 * BLOCK_LINES {
                    full(out);
                    lines = 0;
                }
            }
            if lines >= BLOCK_LINES {
                full(out);
                lines = 0;
            }
        }
    }
}

/// Appends Tare's own live counters.
pub fn encode_own(agent: &Agent, choice: &Choice, format: Format, out: &mut Vec<u8>) {
    for family in agent.families() {
        let about = AGENT.metrics.iter().chain(BACKLOG.metrics).map(|metric| &metric.about).find(|about| about.prometheus() == family.name());
        let Some(about) = about.filter(|_| choice.keeps(family.name())) else { continue };
        format.head(about, family.name(), out);
        for metric in family.get_metric() {
            own_lines(&family, metric, choice.external(), out);
        }
    }
}

fn own_lines(family: &MetricFamily, metric: &Metric, external: &str, out: &mut Vec<u8>) {
    let mut line = |suffix: &str, le: Option<f64>, value: f64| {
        out.extend_from_slice(family.name().as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        let mut labels = Labels { out, before: b'{' };
        labels.add(external);
        for label in metric.get_label() {
            // Paths, codes and words of ours: nothing in them needs an escape.
            labels.pair(label.name(), label.value());
        }
        if let Some(le) = le {
            // OpenMetrics wants the dot in whole numbers, the older format does not mind.
            let mut buffer = zmij::Buffer::new();
            labels.pair("le", if le.is_finite() { buffer.format_finite(le) } else { "+Inf" });
        }
        labels.close();
        number(Value::Real(value), out);
        out.push(b'\n');
    };
    match family.get_field_type() {
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            for bucket in histogram.get_bucket() {
                line("_bucket", Some(bucket.upper_bound()), bucket.cumulative_count() as f64);
            }
            line("_bucket", Some(f64::INFINITY), histogram.get_sample_count() as f64);
            line("_sum", None, histogram.get_sample_sum());
            line("_count", None, histogram.get_sample_count() as f64);
        }
        MetricType::COUNTER => line("", None, metric.get_counter().get_value()),
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => line("", None, metric.get_gauge().get_value()),
    }
}

/// The labels of one line as they are written.
struct Labels<'a> {
    out: &'a mut Vec<u8>,
    before: u8,
}

impl Labels<'_> {
    /// Some that are rendered.
    fn add(&mut self, rendered: &str) {
        if !rendered.is_empty() {
            self.out.push(self.before);
            self.out.extend_from_slice(rendered.as_bytes());
            self.before = b',';
        }
    }

    fn pair(&mut self, name: &str, value: &str) {
        self.out.push(self.before);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
        self.before = b',';
    }

    fn close(self) {
        self.out.extend_from_slice(if self.before == b',' { b"} " } else { b" " });
    }
}

fn number(value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Count(count) => whole(count, out),
        Value::Real(real) => {
            let mut buffer = zmij::Buffer::new();
            let text = buffer.format(real);
            out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        }
        Value::Time(time) => seconds(time, out),
        Value::Usd(rate) => dollars(rate, out),
    }
}

/// The number that a reader makes of what [`encode`] prints: what is pushed is what is scraped, to the bit.
pub fn as_read(value: Value) -> f64 {
    /// Whole numbers below are numbers of a float, too, and one division rounds as a reader does.
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Count(count) => count as f64,
        Value::Real(real) => real,
        Value::Time(time) if time.as_nanos() < u128::from(EXACT) => time.as_nanos() as f64 / 1e9,
        Value::Usd(rate) if rate.0.unsigned_abs() < EXACT => rate.0 as f64 / 1e9,
        Value::Time(_) | Value::Usd(_) => {
            let mut text = Vec::with_capacity(32);
            number(value, &mut text);
            std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).expect("it is a number of ours")
        }
    }
}

fn whole(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Every nanosecond, and no digit more.
fn seconds(time: Duration, out: &mut Vec<u8>) {
    whole(time.as_secs(), out);
    billionths(time.subsec_nanos(), out);
}

fn dollars(rate: UsdPerHour, out: &mut Vec<u8>) {
    if rate.0 < 0 {
        out.push(b'-');
    }
    let nano_dollars = rate.0.unsigned_abs();
    whole(nano_dollars / 1_000_000_000, out);
    billionths((nano_dollars % 1_000_000_000) as u32, out);
}

/// `.5` for 500,000,000; nothing for 0.
fn billionths(mut part: u32, out: &mut Vec<u8>) {
    if part == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit += (part % 10) as u8;
        part /= 10;
    }
    let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..end]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::choice::Glob;

    #[test]
    fn numbers_are_exact_and_short() {
        for (value, text) in [
            (Value::Count(0), "0"),
            (Value::Count(u64::MAX), "18446744073709551615"),
            (Value::Real(0.25), "0.25"),
            (Value::Real(3.0), "3"),
            (Value::Real(-1.0), "-1"),
            (Value::Real(0.1 + 0.2), "0.30000000000000004"),
            (Value::Time(Duration::ZERO), "0"),
            (Value::Time(Duration::new(2, 500_000_000)), "2.5"),
            (Value::Time(Duration::new(0, 1)), "0.000000001"),
            // As a float this one would end in .12345679.
            (Value::Time(Duration::new(1_760_000_000, 123_456_789)), "1760000000.123456789"),
            (Value::Time(Duration::MAX), "18446744073709551615.999999999"),
            (Value::Usd(UsdPerHour(100_800_000)), "0.1008"),
            (Value::Usd(UsdPerHour(-1_000_000_001)), "-1.000000001"),
            (Value::Usd(UsdPerHour(i64::MIN)), "-9223372036.854775808"),
        ] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn reals_read_back_as_themselves() {
        for real in [1e300, 1e-300, f64::MIN_POSITIVE, f64::MAX, 123_456_789.123, 1e15, 1e16, -0.0] {
            let mut out = Vec::new();
            number(Value::Real(real), &mut out);
            assert_eq!(String::from_utf8(out).unwrap().parse::<f64>().unwrap(), real);
        }
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_what_is_scraped(
            value in prop_oneof![
                any::<u64>().prop_map(Value::Count),
                any::<f64>().prop_filter("finite", |real| real.is_finite()).prop_map(Value::Real),
                (0..=63u32, any::<u64>()).prop_map(|(by, nanos)| Value::Time(Duration::from_nanos(nanos >> by))),
                (any::<u64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Value::Time(Duration::new(seconds, nanos))),
                (0..=63u32, any::<i64>()).prop_map(|(by, nanos)| Value::Usd(UsdPerHour(nanos >> by))),
            ],
        ) {
            let mut out = Vec::new();
            number(value, &mut out);
            let read: f64 = String::from_utf8(out).unwrap().parse().unwrap();
            prop_assert_eq!(as_read(value).to_bits(), read.to_bits());
        }
    }

    #[test]
    fn what_tare_counts_of_itself_is_printed() {
        let agent = Agent::new();
        agent.ticks.inc();
        agent.tick_duration.observe(0.004);
        agent.count_request("/metrics", 200);
        agent.count_gap(collector::snapshot::SourceName::Docker);
        agent.count_cut("containers", 3);
        agent.backlog.age.with_label_values(&["remote_write"]).set(0.5);
        agent.backlog.dropped.with_label_values(&["remote_write", "age"]).inc();
        let sink = agent.sink("remote_write");
        sink.request("204");
        sink.dropped("too_old", 2);
        sink.failed("1970-01-01T00:00:01.5Z".parse().unwrap());
        sink.done("1970-01-01T00:00:02Z".parse().unwrap());
        let print = |choice: &Choice, format| {
            let mut out = Vec::new();
            encode_own(&agent, choice, format, &mut out);
            String::from_utf8(out).unwrap()
        };
        let text = print(&Choice::default(), Format::Text);
        for line in [
            "tare_agent_info{version=\"0.1.0\"} 1",
            "# TYPE tare_agent_ticks_total counter",
            "tare_agent_ticks_total 1",
            "tare_agent_ticks_missed_total 0",
            "tare_agent_tick_duration_seconds_bucket{le=\"0.005\"} 1",
            "tare_agent_tick_duration_seconds_bucket{le=\"1.0\"} 1",
            "tare_agent_tick_duration_seconds_bucket{le=\"+Inf\"} 1",
            "tare_agent_tick_duration_seconds_sum 0.004",
            "tare_agent_requests_total{code=\"200\",path=\"/metrics\"} 1",
            "tare_agent_gaps_total{source=\"docker\"} 1",
            "tare_agent_cut_total{reason=\"containers\"} 3",
            "tare_backlog_age_seconds{sink=\"remote_write\"} 0.5",
            "tare_backlog_dropped_total{reason=\"age\",sink=\"remote_write\"} 1",
            "tare_sink_requests_total{code=\"204\",sink=\"remote_write\"} 1",
            "tare_sink_samples_total{sink=\"remote_write\"} 0",
            "tare_sink_dropped_total{reason=\"too_old\",sink=\"remote_write\"} 2",
            "tare_sink_error_time_seconds{sink=\"remote_write\"} 1.5",
            "tare_sink_sent_time_seconds{sink=\"remote_write\"} 2",
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line} is missing in\n{text}");
        }
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, AGENT.metrics.len() + 2, "{text}");
        let choice = Choice::new(Vec::new(), vec![Glob("*_ticks_*".into())], Vec::new(), &[("team".into(), "x".into())]);
        let open = print(&choice, Format::OpenMetrics);
        assert!(open.contains("# TYPE tare_agent info\n") && open.contains("tare_agent_gaps_total{team=\"x\",source=\"docker\"} 1\n"), "{open}");
        assert!(!open.contains("_ticks_"), "{open}");
    }
}
