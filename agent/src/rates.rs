//! How fast things move: the change between two looks at the same thing, over the readings' own clock. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use collector::snapshot::{Cpu, Device, IoDevice, Limits, Net, Pressure, Seen, SourceName, Stall, Usage};
use collector::units::{Bytes, Cores, Limit, Ratio, seconds};

/// Change between two looks at the same thing, over the readings' own clock. `None`: no two readings to compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Time since it started.
    #[serde(with = "seconds::option")]
    pub uptime: Option<Duration>,
    /// CPU in use.
    pub cpu: Option<Cores>,
    /// CPU in use over the limit; never cut at 1.
    pub cpu_of_limit: Option<Ratio>,
    /// Throttled periods over all periods of the interval.
    pub throttled: Option<Ratio>,
    /// Working set over the limit.
    pub memory_of_limit: Option<Ratio>,
    /// Processes over the limit.
    pub pids_of_limit: Option<Ratio>,
    /// Each device that both looks saw.
    pub io: SmallVec<[IoRate; 2]>,
    /// All interfaces that both looks saw, bytes a second.
    pub received: Option<f64>,
    /// The same, outward.
    pub sent: Option<f64>,
    /// Share of the interval in which some task waited, for CPU, memory and block devices.
    pub waited: Waited,
}

/// Bytes a second to and from one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IoRate {
    /// Which.
    pub device: Device,
    /// Bytes a second.
    pub read: f64,
    /// Bytes a second.
    pub written: f64,
}

/// Pressure as a share of the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    /// For a CPU.
    pub cpu: Option<Ratio>,
    /// For memory.
    pub memory: Option<Ratio>,
    /// For a block device.
    pub io: Option<Ratio>,
}

/// Rates of one thing. `before` is what the last look saw of it, `None` where it is not the same thing (another id or start).
/// Ratios against limits need one look only.
pub fn between(before: Option<&Usage>, now: &Usage, limits: &Limits) -> Rates {
    let mut rates = Rates { memory_of_limit: memory_of_limit(now, limits), pids_of_limit: pids_of_limit(now, limits), ..Rates::default() };
    let Some(before) = before else { return rates };
    if let Some((span, then, now)) = pair(&before.cpu, &now.cpu) {
        rates.cpu = used(span, then, now);
        rates.cpu_of_limit = cpu_of_limit(rates.cpu, limits);
        rates.throttled = throttled(then, now);
    }
    if let Some((span, then, now)) = pair(&before.io, &now.io) {
        rates.io = now.iter().filter_map(|device| io_rate(span, then.iter().find(|then| then.device == device.device)?, device)).collect();
    }
    if let Some((span, then, now)) = pair(&before.net, &now.net) {
        (rates.received, rates.sent) = traffic(span, then, now);
    }
    if let Some((span, then, now)) = pair(&before.pressure, &now.pressure) {
        rates.waited = waited(span, then, now);
    }
    rates
}

/// What stays of the rates of the look before, where a source that is asked less often than we look told the same reading again: its last two readings still say
/// how fast things move.
pub fn carry(rates: &mut Rates, limits: &Limits, (then, before): (&Rates, &Usage), now: &Usage) {
    if same(&before.cpu, &now.cpu) {
        (rates.cpu, rates.throttled) = (then.cpu, then.throttled);
        rates.cpu_of_limit = cpu_of_limit(rates.cpu, limits);
    }
    if same(&before.io, &now.io) {
        rates.io.clone_from(&then.io);
    }
    if same(&before.net, &now.net) {
        (rates.received, rates.sent) = (then.received, then.sent);
    }
}

/// Whether both are one reading of a source that has a pace of its own. One of the kernel's files that comes twice was late: it tells nothing of now.
fn same<T>(before: &Option<Seen<T>>, now: &Option<Seen<T>>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return false };
    before.at == now.at && before.from == now.from && matches!(now.from, SourceName::DockerStats | SourceName::EcsTask)
}

/// Rates of a workload without a cgroup of its own: the sum over its containers, known only where each one's is, and its CPU over `limits`.
/// The network is one for all and comes from the workload's own figures.
pub fn sum<'a>(parts: impl Iterator<Item = &'a Rates> + Clone, limits: &Limits) -> Rates {
    let mut io: SmallVec<[IoRate; 2]> = SmallVec::new();
    for rate in parts.clone().flat_map(|part| &part.io) {
        match io.iter_mut().find(|sum| sum.device == rate.device) {
            Some(sum) => {
                sum.read += rate.read;
                sum.written += rate.written;
            }
            None => io.push(*rate),
        }
    }
    let cpu = parts.map(|part| part.cpu).reduce(|sum, cpu| Some(Cores(sum?.0 + cpu?.0))).flatten();
    Rates { cpu, cpu_of_limit: cpu_of_limit(cpu, limits), io, ..Rates::default() }
}

/// Both readings and the time between them, where both are by the same source and time has passed.
fn pair<'a, T>(before: &'a Option<Seen<T>>, now: &'a Option<Seen<T>>) -> Option<(Duration, &'a T, &'a T)> {
    let (before, now) = (before.as_ref()?, now.as_ref()?);
    (before.from == now.from).then_some(())?;
    Some((now.at.since(&before.at)?, &before.is, &now.is))
}

/// A counter's growth. One that went down was started again: no rate, not zero.
fn growth(then: u64, now: u64) -> Option<u64> {
    now.checked_sub(then)
}

fn per_second(span: Duration, then: u64, now: u64) -> Option<f64> {
    Some(growth(then, now)? as f64 / span.as_secs_f64())
}

fn used(span: Duration, then: &Cpu, now: &Cpu) -> Option<Cores> {
    Some(Cores(now.time.checked_sub(then.time)?.as_secs_f64() / span.as_secs_f64()))
}

/// Of the periods that passed, those that ran into the quota. No period passed: not known.
fn throttled(then: &Cpu, now: &Cpu) -> Option<Ratio> {
    let (then, now) = (then.throttling?, now.throttling?);
    ratio(growth(then.throttled, now.throttled)? as f64, growth(then.periods, now.periods)? as f64)
}

fn io_rate(span: Duration, then: &IoDevice, now: &IoDevice) -> Option<IoRate> {
    let (read, written) = (per_second(span, then.read.0, now.read.0)?, per_second(span, then.written.0, now.written.0)?);
    Some(IoRate { device: now.device, read, written })
}

/// Over the interfaces that both looks saw; one that was reset makes the sum unknown.
fn traffic(span: Duration, then: &Net, now: &Net) -> (Option<f64>, Option<f64>) {
    let pairs = || now.iter().filter_map(|now| Some((then.iter().find(|then| then.name == now.name)?, now)));
    let sum = |bytes: fn(&collector::snapshot::Interface) -> Bytes| {
        pairs().map(|(then, now)| per_second(span, bytes(then).0, bytes(now).0)).try_fold(0.0, |sum, rate| Some(sum + rate?))
    };
    if pairs().next().is_none() {
        return (None, None);
    }
    (sum(|interface| interface.received.bytes), sum(|interface| interface.sent.bytes))
}

fn waited(span: Duration, then: &Pressure, now: &Pressure) -> Waited {
    let share = |then: Option<Stall>, now: Option<Stall>| {
        let waited = now?.some.checked_sub(then?.some)?;
        ratio(waited.as_secs_f64(), span.as_secs_f64())
    };
    Waited { cpu: share(then.cpu, now.cpu), memory: share(then.memory, now.memory), io: share(then.io, now.io) }
}

fn cpu_of_limit(cpu: Option<Cores>, limits: &Limits) -> Option<Ratio> {
    ratio(cpu?.0, limits.cores.value()?.0)
}

fn memory_of_limit(now: &Usage, limits: &Limits) -> Option<Ratio> {
    let set = now.memory?.is.working_set?;
    ratio(set.0 as f64, limits.memory.value()?.0 as f64)
}

fn pids_of_limit(now: &Usage, limits: &Limits) -> Option<Ratio> {
    let Limit::Of(limit) = limits.pids else { return None };
    ratio(now.pids?.is as f64, limit as f64)
}

/// `part / whole`, not known where the whole is zero.
fn ratio(part: f64, whole: f64) -> Option<Ratio> {
    (whole > 0.0).then(|| Ratio(part / whole))
}

#[cfg(test)]
mod tests {
    use collector::snapshot::{CpuSplit, Interface, Throttling, Traffic};
    use collector::units::Stamp;
    use proptest::prelude::*;

    use super::*;

    fn at<T>(second: u64, is: T) -> Option<Seen<T>> {
        Some(Seen { at: Stamp { wall: None, boot: Some(Duration::from_secs(second)) }, from: SourceName::Cgroup, is })
    }

    fn cpu(millis: u64, periods: u64, throttled: u64) -> Cpu {
        let throttling = Some(Throttling { periods, throttled, time: Duration::ZERO });
        Cpu { time: Duration::from_millis(millis), split: Some(CpuSplit::default()), throttling }
    }

    #[test]
    fn a_burst_over_the_limit_is_not_cut() {
        let before = Usage { cpu: at(10, cpu(100_000, 0, 0)), ..Usage::default() };
        let now = Usage { cpu: at(11, cpu(101_080, 10, 0)), ..Usage::default() };
        let rates = between(Some(&before), &now, &Limits { cores: Limit::Of(Cores(1.0)), ..Limits::default() });
        assert_eq!((rates.cpu, rates.cpu_of_limit, rates.throttled), (Some(Cores(1.08)), Some(Ratio(1.08)), Some(Ratio(0.0))));
    }

    #[test]
    fn a_reading_told_again_keeps_its_rate_only_where_its_source_has_a_pace_of_its_own() {
        let usage = |second, millis, from| {
            let mut usage = Usage { cpu: at(second, cpu(millis, 0, 0)), ..Usage::default() };
            usage.cpu.as_mut().unwrap().from = from;
            usage
        };
        let limits = Limits { cores: Limit::Of(Cores(2.0)), ..Limits::default() };
        for (from, kept) in [(SourceName::DockerStats, Some(Cores(1.0))), (SourceName::EcsTask, Some(Cores(1.0))), (SourceName::Cgroup, None)] {
            let (first, second) = (usage(10, 1000, from), usage(20, 11_000, from));
            let then = between(Some(&first), &second, &limits);
            assert_eq!(then.cpu, Some(Cores(1.0)));
            let mut again = between(Some(&second), &second, &limits);
            carry(&mut again, &limits, (&then, &second), &second);
            assert_eq!((again.cpu, again.cpu_of_limit), (kept, kept.map(|_| Ratio(0.5))));
            let third = usage(30, 11_000, from);
            let mut next = between(Some(&second), &third, &limits);
            carry(&mut next, &limits, (&then, &second), &third);
            assert_eq!(next.cpu, Some(Cores(0.0)));
        }
    }

    #[test]
    fn a_counter_that_went_down_and_a_clock_that_stood_still_give_no_rate() {
        let usage = |second, millis| Usage { cpu: at(second, cpu(millis, 0, 0)), ..Usage::default() };
        assert_eq!(between(Some(&usage(10, 500)), &usage(11, 400), &Limits::default()).cpu, None);
        assert_eq!(between(Some(&usage(10, 500)), &usage(10, 600), &Limits::default()).cpu, None);
        assert_eq!(between(None, &usage(10, 600), &Limits::default()).cpu, None);
    }

    #[test]
    fn two_sources_are_never_compared() {
        let before = Usage { cpu: at(10, cpu(0, 0, 0)), ..Usage::default() };
        let mut now = Usage { cpu: at(11, cpu(500, 0, 0)), ..Usage::default() };
        if let Some(seen) = &mut now.cpu {
            seen.from = SourceName::Docker;
        }
        assert_eq!(between(Some(&before), &now, &Limits::default()).cpu, None);
    }

    #[test]
    fn a_device_or_interface_seen_for_the_first_time_has_no_rate_yet() {
        let device = |major, read| IoDevice { device: Device { major, minor: 0 }, read: Bytes(read), written: Bytes(0), reads: None, writes: None };
        let interface =
            |name: &str, bytes| Interface { name: name.into(), received: Traffic { bytes: Bytes(bytes), ..Traffic::default() }, sent: Traffic::default() };
        let before =
            Usage { io: at(10, [device(8, 100)].into_iter().collect()), net: at(10, [interface("eth0", 5)].into_iter().collect()), ..Usage::default() };
        let now = Usage {
            io: at(20, [device(8, 1100), device(9, 7)].into_iter().collect()),
            net: at(20, [interface("eth0", 25), interface("eth1", 900)].into_iter().collect()),
            ..Usage::default()
        };
        let rates = between(Some(&before), &now, &Limits::default());
        assert_eq!(rates.io.as_slice(), [IoRate { device: Device { major: 8, minor: 0 }, read: 100.0, written: 0.0 }]);
        assert_eq!((rates.received, rates.sent), (Some(2.0), Some(0.0)));
    }

    proptest! {
        #[test]
        fn rates_are_never_negative_or_infinite(then: (u32, u64, u64, u64), now: (u32, u64, u64, u64)) {
            let usage = |(second, micros, periods, throttled): (u32, u64, u64, u64)| Usage {
                cpu: at(second.into(), Cpu { time: Duration::from_micros(micros), split: None, throttling: Some(Throttling { periods, throttled, time: Duration::ZERO }) }),
                io: at(second.into(), [IoDevice { device: Device { major: 1, minor: 1 }, read: Bytes(micros), written: Bytes(periods), reads: None, writes: None }].into_iter().collect()),
                ..Usage::default()
            };
            let limits = Limits { cores: Limit::Of(Cores(f64::from(now.0))), ..Limits::default() };
            let rates = between(Some(&usage(then)), &usage(now), &limits);
            for value in [rates.cpu.map(|c| c.0), rates.cpu_of_limit.map(|r| r.0), rates.throttled.map(|r| r.0), rates.io.first().map(|io| io.read)].into_iter().flatten() {
                prop_assert!(value >= 0.0 && value.is_finite());
            }
        }
    }
}
