//! Sums over the containers of a workload that has no cgroup of its own.

use smallvec::SmallVec;

use crate::snapshot::{Asked, Container, Cpu, CpuSplit, Huge, Limits, Memory, OpenFiles, Role, Seen, State, Throttling, Usage, add_devices};
use crate::units::{Bytes, Cores, Limit};

/// What they asked for together; a resource that one of them did not ask for is not asked for. Those that have ended ask for nothing more, nor does one that only holds
/// the others' name spaces.
pub(super) fn asked(containers: &[Container]) -> Asked {
    let live = containers.iter().any(|one| one.state < State::Exited);
    let all = || containers.iter().filter(move |one| (!live || one.state < State::Exited) && one.about.role != Role::Pause);
    if all().next().is_none() {
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
    let running = running(containers);
    let (processes, files) = processes(containers);
    Usage {
        cpu: add(&running, |usage| usage.cpu, add_cpu),
        memory: add(&running, |usage| usage.memory, add_memory),
        io: add(&running, |usage| usage.io.clone(), |sum, next| add_devices(sum, &next)),
        pids: add(&running, |usage| usage.pids, |sum, next| *sum = sum.saturating_add(next)),
        processes,
        files,
        huge: add(&running, |usage| usage.huge.clone(), add_pages),
        net: None,
        sockets: None,
        pressure: None,
    }
}

/// Their processes and open files: those of a task or pod live in its containers' cgroups.
pub(super) fn processes(containers: &[Container]) -> (Option<Seen<u64>>, Option<Seen<OpenFiles>>) {
    let running = running(containers);
    let processes = add(&running, |usage| usage.processes, |sum, next| *sum = sum.saturating_add(next));
    (processes, add(&running, |usage| usage.files, add_files))
}

/// What the running ones use; once all have ended, what they used in the end.
fn running(containers: &[Container]) -> SmallVec<[&Usage; 8]> {
    let runs = |one: &Container| matches!(one.state, State::Running | State::Paused);
    let any = containers.iter().any(runs);
    containers.iter().filter(|one| !any || runs(one)).map(|one| &*one.usage).collect()
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

/// Each has a limit of its own.
fn add_files(sum: &mut OpenFiles, next: OpenFiles) {
    *sum = OpenFiles { open: sum.open.zip(next.open).map(|(a, b)| a.saturating_add(b)), limit: Limit::Unknown };
}

fn add_pages(sum: &mut Huge, next: Huge) {
    for pages in next {
        match sum.iter_mut().find(|had| had.size == pages.size) {
            Some(had) => had.used = Bytes(had.used.0.saturating_add(pages.used.0)),
            None => sum.push(pages),
        }
    }
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
    bytes(&mut sum.mapped, next.mapped);
    bytes(&mut sum.dirty, next.dirty);
    bytes(&mut sum.writeback, next.writeback);
    bytes(&mut sum.active_anon, next.active_anon);
    bytes(&mut sum.inactive_anon, next.inactive_anon);
    bytes(&mut sum.active_file, next.active_file);
    bytes(&mut sum.inactive_file, next.inactive_file);
    bytes(&mut sum.unevictable, next.unevictable);
    bytes(&mut sum.kernel_stack, next.kernel_stack);
    bytes(&mut sum.page_tables, next.page_tables);
    bytes(&mut sum.zswap, next.zswap);
    bytes(&mut sum.zswapped, next.zswapped);
    count(&mut sum.faults, next.faults);
    count(&mut sum.refaults, next.refaults);
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
