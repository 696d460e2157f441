//! Sums over the containers of a workload that has no cgroup of its own.

use crate::snapshot::{Asked, Container, Cpu, CpuSplit, Limits, Memory, Seen, State, Throttling, Usage, add_devices};
use crate::units::{Bytes, Cores, Limit};

/// What they asked for together; a resource that one of them did not ask for is not asked for. Those that have ended ask for nothing more.
pub(super) fn asked(containers: &[Container]) -> Asked {
    let live = containers.iter().any(|one| one.state < State::Exited);
    let all = || containers.iter().filter(move |one| !live || one.state < State::Exited);
    if containers.is_empty() {
        return Asked::default();
    }
    Asked {
        cores: all().map(|one| one.asked.cores.map(|cores| cores.0)).sum::<Option<f64>>().map(Cores),
        memory: every(all().map(|one| one.asked.memory.map(|memory| memory.0))).map(Bytes),
    }
}

/// The sum where all are limited, else unlimited if one of them is known to be.
pub(super) fn limits(containers: &[Container], of: impl Fn(&Container) -> Limits) -> Limits {
    Limits {
        cores: limit(containers.iter().map(|one| of(one).cores), |a, b| Cores(a.0 + b.0)),
        memory: limit(containers.iter().map(|one| of(one).memory), |a, b| Bytes(a.0.saturating_add(b.0))),
        swap: limit(containers.iter().map(|one| of(one).swap), |a, b| Bytes(a.0.saturating_add(b.0))),
        pids: limit(containers.iter().map(|one| of(one).pids), u64::saturating_add),
    }
}

fn limit<T>(mut limits: impl Iterator<Item = Limit<T>>, add: impl Fn(T, T) -> T) -> Limit<T> {
    let first = limits.next().unwrap_or(Limit::Unknown);
    limits.fold(first, |sum, next| match (sum, next) {
        (Limit::Of(a), Limit::Of(b)) => Limit::Of(add(a, b)),
        (Limit::Unlimited, _) | (_, Limit::Unlimited) => Limit::Unlimited,
        _ => Limit::Unknown,
    })
}

/// What they use together, group by group, where every running one has that group. Pressure does not add up; the network is not counted here.
pub(super) fn usage(containers: &[Container]) -> Usage {
    let runs = |one: &Container| matches!(one.state, State::Running | State::Paused);
    let any = containers.iter().any(runs);
    // Once all have ended, it is what they used in the end.
    let running: Vec<&Usage> = containers.iter().filter(|one| !any || runs(one)).map(|one| &one.usage).collect();
    Usage {
        cpu: add(&running, |usage| usage.cpu, add_cpu),
        memory: add(&running, |usage| usage.memory, add_memory),
        io: add(&running, |usage| usage.io.clone(), |sum, next| add_devices(sum, &next)),
        pids: add(&running, |usage| usage.pids, |sum, next| *sum = sum.saturating_add(next)),
        net: None,
        pressure: None,
    }
}

fn add<T>(running: &[&Usage], group: impl Fn(&Usage) -> Option<Seen<T>>, plus: impl Fn(&mut T, T)) -> Option<Seen<T>> {
    let (first, rest) = running.split_first()?;
    let mut sum = group(first)?;
    for usage in rest {
        let next = group(usage)?;
        sum.at = sum.at.latest(next.at);
        plus(&mut sum.is, next.is);
    }
    Some(sum)
}

fn add_cpu(sum: &mut Cpu, next: Cpu) {
    sum.time = sum.time.saturating_add(next.time);
    sum.split = sum.split.zip(next.split).map(|(a, b)| CpuSplit { user: a.user.saturating_add(b.user), system: a.system.saturating_add(b.system) });
    sum.throttling = sum.throttling.zip(next.throttling).map(|(a, b)| Throttling {
        periods: a.periods.saturating_add(b.periods),
        throttled: a.throttled.saturating_add(b.throttled),
        time: a.time.saturating_add(b.time),
    });
}

fn add_memory(sum: &mut Memory, next: Memory) {
    let bytes = |a: &mut Option<Bytes>, b: Option<Bytes>| *a = a.zip(b).map(|(a, b)| Bytes(a.0.saturating_add(b.0)));
    let count = |a: &mut Option<u64>, b: Option<u64>| *a = a.zip(b).map(|(a, b)| a.saturating_add(b));
    bytes(&mut sum.used, next.used);
    bytes(&mut sum.working_set, next.working_set);
    bytes(&mut sum.anon, next.anon);
    bytes(&mut sum.file, next.file);
    bytes(&mut sum.shmem, next.shmem);
    bytes(&mut sum.slab, next.slab);
    bytes(&mut sum.kernel, next.kernel);
    bytes(&mut sum.sock, next.sock);
    bytes(&mut sum.swap, next.swap);
    count(&mut sum.major_faults, next.major_faults);
    count(&mut sum.high_events, next.high_events);
    count(&mut sum.max_events, next.max_events);
    count(&mut sum.oom_events, next.oom_events);
    count(&mut sum.oom_kills, next.oom_kills);
    // They did not peak at one moment: the peak of the sum is not known.
    sum.peak = None;
}

fn every(mut amounts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    amounts.try_fold(0_u64, |sum, next| Some(sum.saturating_add(next?)))
}
