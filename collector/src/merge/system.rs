//! The system row: what is left of the host without its workloads.
//!
//! Its CPU time is the root's less all that workloads were ever *seen* to use. A workload that ends takes its counter out of the tree but not out of that sum, so
//! the row does not jump; what it used after the last look stays with the row.

use std::collections::HashSet;
use std::time::Duration;

use crate::identity::Key;
use crate::snapshot::{Cpu, Host, Memory, Seen, Usage};
use crate::sources::{Group, Owner};
use crate::units::Bytes;

use super::{Past, Said, SeenContainer};

/// What is left.
pub(super) struct Rest {
    pub(super) usage: Usage,
    /// See `Host::attributed`.
    pub(super) attributed: Duration,
}

/// One that takes its part of the whole: what it uses, and the same of the look before (`None`: it is new).
struct Part<'a> {
    now: &'a Usage,
    before: Option<&'a Usage>,
}

/// What is left of `host` without the workloads of the tree and the containers that Docker's stats measure.
pub(super) fn rest(said: &Said<'_>, seen: &[SeenContainer<'_>], host: &Host, past: &Past<'_>) -> Rest {
    let top = topmost(said.groups());
    let of_tree = top.into_iter().map(|group| Part { now: &group.usage, before: before(group, past) });
    let of_stats = seen.iter().filter_map(|one| Some((one, one.stats?)));
    let of_stats =
        of_stats.map(|(one, stats)| Part { now: &stats.usage, before: one.before.filter(|then| Some(then.start) == one.run()).map(|then| &then.usage) });
    let parts: Vec<Part<'_>> = of_tree.chain(of_stats).collect();
    let attributed = attributed(&parts, past);
    // The root of a tree that does not show Docker's containers is not the machine's.
    let whole = if said.stats.is_some() { host.usage.cpu } else { said.tree.and_then(|tree| tree.root.cpu) };
    let cpu = whole.map(|root| {
        let shown = past.workloads.get(&Key::System).and_then(|row| row.usage.cpu).map_or(Duration::ZERO, |cpu| cpu.is.time);
        // The root and its children are not read at one instant; the row stands still until the truth has caught up with it.
        let floor = if past.attributed().is_some() { shown } else { Duration::ZERO };
        let time = root.is.time.saturating_sub(attributed).max(floor);
        Seen { is: Cpu { time, split: None, throttling: None }, ..root }
    });
    let memory = host.usage.memory.map(|whole| {
        let used = less(whole.is.used, &parts, |memory| memory.used);
        // The host's idle cache and the groups' are counted by different clerks; what is left of the set is never more than what is left of all.
        let working_set = less(whole.is.working_set, &parts, |memory| memory.working_set).map(|set| used.map_or(set, |used| set.min(used)));
        Seen { is: Memory { used, working_set, ..Memory::default() }, ..whole }
    });
    Rest { usage: Usage { cpu, memory, ..Usage::default() }, attributed }
}

/// The groups that lie in no other: a container in a task is inside the task's figures, one in a unit inside the unit's.
fn topmost(groups: &[Group]) -> Vec<&Group> {
    let parents: HashSet<&str> = groups.iter().filter(|group| !matches!(group.owner, Owner::Container(..))).map(|group| group.path.as_str()).collect();
    let lies_in_one = |group: &Group| {
        let mut path = group.path.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            if parents.contains(above) {
                return true;
            }
            path = above;
        }
        false
    };
    groups.iter().filter(|group| !lies_in_one(group)).collect()
}

/// What the look before saw of a group.
fn before<'a>(group: &Group, past: &Past<'a>) -> Option<&'a Usage> {
    match &group.owner {
        Owner::Container(id, _) => past.containers.get(id).filter(|(_, one)| one.cgroup.is_some() && one.start == group.start).map(|(_, one)| &one.usage),
        Owner::Task(_) | Owner::Pod(_) | Owner::Unit(_) => super::own_row(group).and_then(|key| past.workloads.get(&key).map(|workload| &workload.usage)),
    }
}

fn attributed(parts: &[Part<'_>], past: &Past<'_>) -> Duration {
    let Some(before) = past.attributed() else { return parts.iter().filter_map(|part| cpu_time(part.now)).fold(Duration::ZERO, Duration::saturating_add) };
    parts.iter().map(growth).fold(before, Duration::saturating_add)
}

/// What it used since the look before: all of it where it is new.
fn growth(part: &Part<'_>) -> Duration {
    let Some(now) = cpu_time(part.now) else { return Duration::ZERO };
    match part.before.map(cpu_time) {
        // A counter that went down was made anew.
        Some(Some(then)) => now.checked_sub(then).unwrap_or(now),
        // It was there, its counter could not be read: how much of it is new nobody knows.
        Some(None) => Duration::ZERO,
        None => now,
    }
}

fn cpu_time(usage: &Usage) -> Option<Duration> {
    usage.cpu.map(|cpu| cpu.is.time)
}

/// Unknown if the whole or a part is. A group without the memory controller takes nothing away.
fn less(whole: Option<Bytes>, parts: &[Part<'_>], figure: impl Fn(&Memory) -> Option<Bytes>) -> Option<Bytes> {
    parts.iter().filter_map(|part| part.now.memory).try_fold(whole?, |rest, part| Some(rest.less(figure(&part.is)?)))
}
