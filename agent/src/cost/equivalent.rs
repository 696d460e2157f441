//! What a workload would need on Fargate: by what it asked for, else by its own limit, else by what was seen of it.

use std::time::Duration;

use smallvec::SmallVec;

use collector::snapshot::{Asked, Limits};
use collector::units::{Bytes, Cores};

use super::Basis;

/// What a Fargate size has to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// CPU.
    pub cores: Cores,
    /// Memory.
    pub memory: Bytes,
    /// The weaker of the two that CPU and memory rest on.
    pub basis: Basis,
    /// It rests on what was seen, and that for less than an hour.
    pub early: bool,
}

/// What a workload needs; where a figure is missing, which.
///
/// CPU and memory each take the first basis there is: a container that asks for memory alone, as most do on Docker, is still held to it. The basis that is told is the weaker
/// of the two, so that a figure seen for a minute never passes for something asked for. Limits that come from a parent are no basis: nobody set them for this workload.
pub fn need(asked: &Asked, own: &Limits, seen: &Seen) -> Result<Need, &'static str> {
    let basis = |asked: bool, limited: bool| match (asked, limited) {
        (true, _) => Basis::Asked,
        (_, true) => Basis::Limit,
        _ => Basis::Seen,
    };
    let cores = asked.cores.or(own.cores.value()).or_else(|| seen.cores()).ok_or("no CPU asked for, no CPU limit, and its CPU was not seen yet")?;
    let memory = asked.memory.or(own.memory.value()).or(seen.memory).ok_or("no memory asked for, no memory limit, and its memory was not seen yet")?;
    let by_cores = basis(asked.cores.is_some(), own.cores.value().is_some());
    let by_memory = basis(asked.memory.is_some(), own.memory.value().is_some());
    let basis = by_cores.max(by_memory);
    Ok(Need { cores, memory, basis, early: basis == Basis::Seen && seen.span < Duration::from_secs(3600) })
}

impl Need {
    /// Two workloads in one task.
    pub fn and(self, other: Need) -> Need {
        Need {
            cores: Cores(self.cores.0 + other.cores.0),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            basis: self.basis.max(other.basis),
            early: self.early || other.early,
        }
    }
}

/// What was seen of a workload since its first look: the largest working set, and how long it used how much CPU.
///
/// CPU is a log histogram of sixteen steps to each doubling (4 %), of which only the steps that were met are kept: most workloads meet a few dozen, none more than 449.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    span: Duration,
    memory: Option<Bytes>,
    cpu: SmallVec<[(u16, u32); 3]>,
}

const STEPS: f64 = 16.0;
/// The step of one core; step 0 ends at 2^-14 cores.
const ONE_CORE: f64 = 14.0 * STEPS;
/// The last step ends at 2^14 cores.
const LAST: f64 = 28.0 * STEPS;

impl Seen {
    /// Adds a look at what ran for `span` since the last one.
    pub fn add(&mut self, cores: Option<Cores>, memory: Option<Bytes>, span: Duration) {
        self.memory = self.memory.max(memory);
        self.span = self.span.saturating_add(span);
        let tenths = u32::try_from(span.as_millis() / 100).unwrap_or(u32::MAX).max(1);
        let Some(cores) = cores.filter(|cores| cores.0 >= 0.0 && !span.is_zero()) else { return };
        // One percent above the end of a step still belongs to it: a loop that keeps one core busy is measured at 1.000 and a bit, and is not two vCPU.
        let step = ((cores.0 * 0.99).log2() * STEPS + ONE_CORE).ceil().clamp(0.0, LAST) as u16;
        match self.cpu.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(at) => self.cpu[at].1 = self.cpu[at].1.saturating_add(tenths),
            Err(at) => self.cpu.insert(at, (step, tenths)),
        }
    }

    /// The CPU that was enough for 95 % of the time, to the end of its step, in hundredths of a core as the tables show it: one that idles beside one
    /// that asks for a whole vCPU does not ask for the next size. What was asked for has no such grace.
    pub fn cores(&self) -> Option<Cores> {
        let all: u64 = self.cpu.iter().map(|(_, tenths)| u64::from(*tenths)).sum();
        let mut so_far = 0;
        let step = self.cpu.iter().find(|(_, tenths)| {
            so_far += u64::from(*tenths);
            so_far * 100 >= all * 95
        });
        step.map(|(step, _)| Cores((((f64::from(*step) - ONE_CORE) / STEPS).exp2() * 100.0).round() / 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collector::units::Limit;

    const TICK: Duration = Duration::from_secs(10);

    fn seen(cores: f64, mib: u64, ticks: u32) -> Seen {
        let mut seen = Seen::default();
        (0..ticks).for_each(|_| seen.add(Some(Cores(cores)), Some(Bytes(mib << 20)), TICK));
        seen
    }

    #[test]
    fn each_resource_takes_its_first_basis_and_the_weaker_one_is_told() {
        use Basis::{Asked as ByAsked, Limit as ByLimit, Seen as BySeen};
        let (of, none) = (|cores: f64| Limit::Of(Cores(cores)), Limit::Unlimited);
        let (mib, no_memory) = (|mib: u64| Limit::Of(Bytes(mib << 20)), Limit::Unknown);
        for (asked, limits, wanted) in [
            ((Some(0.5), Some(1024)), (of(2.0), mib(4096)), (0.5, 1024, ByAsked, false)),
            ((None, Some(1024)), (of(2.0), mib(4096)), (2.0, 1024, ByLimit, false)),
            ((None, None), (of(2.0), mib(4096)), (2.0, 4096, ByLimit, false)),
            ((None, Some(1024)), (none, mib(4096)), (0.25, 1024, BySeen, true)),
            ((Some(0.5), None), (none, no_memory), (0.5, 300, BySeen, true)),
            ((None, None), (none, no_memory), (0.25, 300, BySeen, true)),
        ] {
            let asked = Asked { cores: asked.0.map(Cores), memory: asked.1.map(|mib| Bytes(mib << 20)) };
            let own = Limits { cores: limits.0, memory: limits.1, ..Limits::default() };
            let need = need(&asked, &own, &seen(0.25, 300, 359)).unwrap();
            assert_eq!((need.cores.0, need.memory.0 >> 20, need.basis, need.early), wanted);
        }
        let free = need(&Asked::default(), &Limits::default(), &seen(0.25, 300, 360)).unwrap();
        assert!(!free.early, "an hour is enough");
        assert!(need(&Asked::default(), &Limits::default(), &Seen::default()).unwrap_err().contains("CPU"));
        let cpu_only = Asked { cores: Some(Cores(1.0)), memory: None };
        assert!(need(&cpu_only, &Limits::default(), &Seen::default()).unwrap_err().contains("memory"));
    }

    #[test]
    fn a_task_of_two_is_as_weak_as_its_weaker_half() {
        let one = Need { cores: Cores(0.5), memory: Bytes(1), basis: Basis::Asked, early: false };
        let other = Need { cores: Cores(0.25), memory: Bytes(2), basis: Basis::Seen, early: true };
        assert_eq!(one.and(other), Need { cores: Cores(0.75), memory: Bytes(3), basis: Basis::Seen, early: true });
    }

    #[test]
    fn cpu_is_what_was_enough_nineteen_times_of_twenty() {
        let mut mostly = seen(0.1, 0, 95);
        (0..5).for_each(|_| mostly.add(Some(Cores(4.0)), None, TICK));
        let enough = mostly.cores().unwrap().0;
        assert!((0.1..0.105).contains(&enough), "{enough}");
        mostly.add(Some(Cores(4.0)), None, TICK);
        assert_eq!(mostly.cores(), Some(Cores(4.0)));
        for (used, enough) in [(1.0, 1.0), (1.004, 1.0), (0.25, 0.25), (0.004, 0.0), (0.0, 0.0), (1e9, 16_384.0), (f64::INFINITY, 16_384.0)] {
            assert_eq!(seen(used, 0, 1).cores(), Some(Cores(enough)), "{used}");
        }
        assert_eq!(seen(f64::NAN, 0, 1).cores(), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_enough_is_close_and_the_histogram_stays_small(used in proptest::collection::vec(1e-4..1e4_f64, 1..600)) {
            let mut seen = Seen::default();
            used.iter().for_each(|cores| seen.add(Some(Cores(*cores)), None, TICK));
            let mut sorted = used.clone();
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(used.len() * 95).div_ceil(100) - 1];
            let enough = seen.cores().unwrap().0;
            proptest::prop_assert!(enough > exact * 0.989 - 0.005 && enough < exact * 1.045 + 0.005, "{} for {}", enough, exact);
            proptest::prop_assert!(seen.cpu.len() <= 449);
        }
    }
}
