//! What the files of one cgroup add up to: the figures of one read, and the limits that stay for some looks.

use std::time::Duration;

use crate::snapshot::{Cpu, CpuSplit, Io, Limits, Memory, Pressure, Seen, SourceName, Throttling, Usage, Weights};
use crate::units::{Bytes, Cores, Limit, Stamp};

/// The figures of one cgroup, gathered file by file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// CPU time.
    pub cpu: Option<Duration>,
    /// User and system.
    pub split: Option<CpuSplit>,
    /// Throttling.
    pub throttling: Option<Throttling>,
    /// Memory; `working_set` and v1's `swap` are reckoned at the end.
    pub memory: Memory,
    /// v1: memory and swap together.
    pub memory_and_swap: Option<Bytes>,
    /// v1: the tightest memory limit from here up, as the kernel says it.
    pub hierarchical_limit: Limit<Bytes>,
    /// Block devices.
    pub io: Option<Io>,
    /// Pressure.
    pub pressure: Pressure,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Figures {
    /// The usage they say, read at `at`. A group of which nothing is known is `None`.
    pub fn usage(self, at: Stamp) -> Usage {
        let Figures { cpu, split, throttling, mut memory, memory_and_swap, io, pressure, pids, .. } = self;
        memory.working_set = memory.used.zip(memory.inactive_file).map(|(used, inactive)| used.less(inactive));
        // Read at two instants, so the difference may fall below zero.
        memory.swap = memory.swap.or(memory_and_swap.zip(memory.used).map(|(both, used)| both.less(used)));
        Usage {
            cpu: cpu.map(|time| seen(at, Cpu { time, split, throttling })),
            memory: (memory != Memory::default()).then(|| seen(at, memory)),
            io: io.map(|io| seen(at, io)),
            pressure: (pressure != Pressure::default()).then(|| seen(at, pressure)),
            pids: pids.map(|pids| seen(at, pids)),
            ..Usage::default()
        }
    }
}

fn seen<T>(at: Stamp, is: T) -> Seen<T> {
    Seen { at, from: SourceName::Cgroup, is }
}

/// The limits and weights of one cgroup, gathered file by file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The CPU quota.
    pub quota: Limit<Cores>,
    /// v1: the quota before its period is known; `Some(None)` is no quota.
    pub quota_micros: Option<Option<u64>>,
    /// v1: the period.
    pub period_micros: Option<u64>,
    /// How many CPUs it may run on.
    pub cpus: Option<u32>,
    /// Memory.
    pub memory: Limit<Bytes>,
    /// Swap.
    pub swap: Limit<Bytes>,
    /// v1: memory and swap together.
    pub memory_and_swap: Limit<Bytes>,
    /// Processes and threads.
    pub pids: Limit<u64>,
    /// Weights.
    pub weights: Weights,
}

/// What the machine offers: a limit at or above it is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offer {
    /// Online CPUs.
    pub cpus: Option<u32>,
    /// `MemTotal`.
    pub memory: Option<Bytes>,
    /// Memory was taken for huge pages.
    pub huge: bool,
}

impl Bounds {
    /// The cgroup's own limits. A CPU set counts as its own where it is smaller than that of the cgroup above (`cpus_above`), for the kernel hands it down.
    pub fn own(&self, offer: Offer, cpus_above: Option<u32>) -> Limits {
        let set = match (self.cpus, cpus_above.or(offer.cpus)) {
            (Some(cpus), Some(above)) if cpus > 0 && cpus < above => Limit::Of(Cores(cpus.into())),
            (Some(_), Some(_)) => Limit::Unlimited,
            _ => Limit::Unknown,
        };
        Limits {
            // A set that spans all CPUs says nothing about a quota that could not be read.
            cores: if self.quota_limit() == Limit::Unknown && set == Limit::Unlimited { Limit::Unknown } else { self.quota_limit().tightest(set) },
            memory: within(self.memory, offer),
            swap: match (self.memory_and_swap, self.memory) {
                (Limit::Of(both), Limit::Of(memory)) => Limit::Of(both.less(memory)),
                (Limit::Of(both), _) => Limit::Of(both),
                (Limit::Unlimited, _) => Limit::Unlimited,
                (Limit::Unknown, _) => self.swap,
            },
            pids: self.pids,
        }
    }

    fn quota_limit(&self) -> Limit<Cores> {
        match (self.quota_micros, self.period_micros) {
            (None, _) => self.quota,
            (Some(None), _) => Limit::Unlimited,
            (Some(Some(quota)), Some(period)) => cores(quota, period),
            (Some(Some(_)), None) => Limit::Unknown,
        }
    }
}

/// A quota of CPU time a period, in cores.
pub fn cores(quota_micros: u64, period_micros: u64) -> Limit<Cores> {
    if period_micros == 0 { Limit::Unknown } else { Limit::Of(Cores(quota_micros as f64 / period_micros as f64)) }
}

/// A memory limit that the machine cannot reach is none.
pub fn within(limit: Limit<Bytes>, offer: Offer) -> Limit<Bytes> {
    match (limit, offer.memory) {
        (Limit::Of(limit), Some(memory)) if limit >= memory => Limit::Unlimited,
        _ => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_set_is_ones_own_only_where_it_is_smaller_than_above() {
        let offer = Offer { cpus: Some(8), ..Offer::default() };
        for (quota, cpus, above, own) in [
            (Limit::Of(Cores(4.0)), Some(2), Some(8), Limit::Of(Cores(2.0))),
            (Limit::Unlimited, Some(3), Some(8), Limit::Of(Cores(3.0))),
            (Limit::Unlimited, Some(3), Some(3), Limit::Unlimited),
            (Limit::Unlimited, Some(8), None, Limit::Unlimited),
            (Limit::Of(Cores(1.5)), None, None, Limit::Of(Cores(1.5))),
            (Limit::Unknown, Some(8), Some(8), Limit::Unknown),
            (Limit::Unknown, Some(2), Some(8), Limit::Of(Cores(2.0))),
        ] {
            assert_eq!(Bounds { quota, cpus, ..Bounds::default() }.own(offer, above).cores, own, "{quota:?} {cpus:?} {above:?}");
        }
    }

    #[test]
    fn a_v1_quota_needs_its_period() {
        for (quota_micros, period_micros, own) in [
            (Some(None), None, Limit::Unlimited),
            (Some(Some(50_000)), Some(100_000), Limit::Of(Cores(0.5))),
            (Some(Some(50_000)), None, Limit::Unknown),
            (Some(Some(50_000)), Some(0), Limit::Unknown),
            (None, Some(100_000), Limit::Unknown),
        ] {
            assert_eq!(Bounds { quota_micros, period_micros, ..Bounds::default() }.own(Offer::default(), None).cores, own);
        }
    }

    #[test]
    fn a_memory_limit_out_of_reach_is_none() {
        let offer = Offer { memory: Some(Bytes(100)), ..Offer::default() };
        for (limit, is) in [(Limit::Of(Bytes(99)), Limit::Of(Bytes(99))), (Limit::Of(Bytes(100)), Limit::Unlimited), (Limit::Unknown, Limit::Unknown)] {
            assert_eq!(within(limit, offer), is);
        }
    }

    #[test]
    fn swap_and_working_set_never_fall_below_zero() {
        let memory = Memory { used: Some(Bytes(10)), inactive_file: Some(Bytes(11)), ..Memory::default() };
        let figures = Figures { memory, memory_and_swap: Some(Bytes(9)), ..Figures::default() };
        let memory = figures.usage(Stamp::default()).memory.unwrap().is;
        assert_eq!((memory.working_set, memory.swap), (Some(Bytes(0)), Some(Bytes(0))));
        assert_eq!(Figures::default().usage(Stamp::default()), Usage::default());
    }
}
