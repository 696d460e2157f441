//! The system row: what is left of the host without its workloads.
//!
//! Its CPU time is the root's less all that workloads were ever *seen* to use. A workload that ends takes its counter out of the tree but not out of that sum, so
//! the row does not jump; what it used after the last look stays with the row.

use std::collections::HashSet;
use std::time::Duration;

use crate::identity::Key;
use crate::snapshot::{Cpu, Host, Memory, Seen, Usage};
use crate::sources::{Group, Owner, Tree};
use crate::units::Bytes;

use super::Past;

/// What is left.
pub(super) struct Rest {
    pub(super) usage: Usage,
    /// See `Host::attributed`.
    pub(super) attributed: Duration,
}

/// What is left of `tree` and `host` without the workloads of `tree`.
pub(super) fn rest(tree: &Tree, host: &Host, past: &Past<'_>) -> Rest {
    let top: Vec<&Group> = topmost(&tree.groups);
    let attributed = attributed(&top, past);
    let cpu = tree.root.cpu.map(|root| {
        let shown = past.workloads.get(&Key::System).and_then(|row| row.usage.cpu).map_or(Duration::ZERO, |cpu| cpu.is.time);
        // The root and its children are not read at one instant; the row stands still until the truth has caught up with it.
        let floor = if past.attributed().is_some() { shown } else { Duration::ZERO };
        let time = root.is.time.saturating_sub(attributed).max(floor);
        Seen { is: Cpu { time, split: None, throttling: None }, ..root }
    });
    let memory = host.usage.memory.map(|whole| {
        let used = less(whole.is.used, &top, |memory| memory.used);
        // The host's idle cache and the groups' are counted by different clerks; what is left of the set is never more than what is left of all.
        let working_set = less(whole.is.working_set, &top, |memory| memory.working_set).map(|set| used.map_or(set, |used| set.min(used)));
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

fn attributed(top: &[&Group], past: &Past<'_>) -> Duration {
    let Some(before) = past.attributed() else { return top.iter().filter_map(|group| cpu_time(&group.usage)).fold(Duration::ZERO, Duration::saturating_add) };
    top.iter().map(|group| growth(group, past)).fold(before, Duration::saturating_add)
}

/// What a group used since the look before: all of it where it is new.
fn growth(group: &Group, past: &Past<'_>) -> Duration {
    let Some(now) = cpu_time(&group.usage) else { return Duration::ZERO };
    let then = match &group.owner {
        Owner::Container(id, _) => past.containers.get(id).filter(|(_, one)| one.cgroup.is_some() && one.start == group.start).map(|(_, one)| &one.usage),
        Owner::Task(_) | Owner::Pod(_) | Owner::Unit(_) => super::own_row(group).and_then(|key| past.workloads.get(&key).map(|workload| &workload.usage)),
    };
    match then.map(cpu_time) {
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
fn less(whole: Option<Bytes>, top: &[&Group], figure: impl Fn(&Memory) -> Option<Bytes>) -> Option<Bytes> {
    top.iter().filter_map(|group| group.usage.memory).try_fold(whole?, |rest, part| Some(rest.less(figure(&part.is)?)))
}
