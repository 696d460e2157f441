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

use super::growth::{self, cpu_time};
use super::{Past, own_row};

/// What is left.
pub(super) struct Rest {
    pub(super) usage: Usage,
    /// See `Host::attributed`.
    pub(super) attributed: Duration,
}

/// What is left of `tree` and `host` without the workloads of `tree`.
pub(super) fn rest(tree: &Tree, host: &Host, past: &Past<'_>) -> Rest {
    let parents = parents(&tree.groups);
    let top: Vec<&Group> = tree.groups.iter().filter(|group| !lies_in(&parents, group)).collect();
    let ended = tree.ended.iter().filter(|ended| !lies_in(&parents, &ended.group)).map(|ended| growth::of_ended(ended, past));
    let attributed = ended.fold(attributed(&top, past), Duration::saturating_add);
    let cpu = tree.root.cpu.map(|root| {
        let shown = past.workloads.get(&Key::System).and_then(|row| row.usage.cpu).map(|cpu| cpu.is.time);
        let time = growth::rest(root, attributed, shown.filter(|_| past.attributed().is_some()));
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

/// The paths that others may lie in.
fn parents(groups: &[Group]) -> HashSet<&str> {
    groups.iter().filter(|group| !matches!(group.owner, Owner::Container(..))).map(|group| group.path.as_str()).collect()
}

/// Whether a group is inside another's figures: a container in a task, one in a unit.
fn lies_in(parents: &HashSet<&str>, group: &Group) -> bool {
    let mut path = group.path.as_str();
    while let Some((above, _)) = path.rsplit_once('/') {
        if parents.contains(above) {
            return true;
        }
        path = above;
    }
    false
}

fn attributed(top: &[&Group], past: &Past<'_>) -> Duration {
    let Some(before) = past.attributed() else { return top.iter().filter_map(|group| cpu_time(&group.usage)).fold(Duration::ZERO, Duration::saturating_add) };
    top.iter().map(|group| grown(group, past)).fold(before, Duration::saturating_add)
}

fn grown(group: &Group, past: &Past<'_>) -> Duration {
    match own_row(group) {
        None => growth::of_container(group, past.container(&group.owner)),
        Some(key) => growth::growth(&group.usage, past.workloads.get(&key).map(|workload| &workload.usage)),
    }
}

/// Unknown if the whole or a part is. A group without the memory controller takes nothing away.
fn less(whole: Option<Bytes>, top: &[&Group], figure: impl Fn(&Memory) -> Option<Bytes>) -> Option<Bytes> {
    top.iter().filter_map(|group| group.usage.memory).try_fold(whole?, |rest, part| Some(rest.less(figure(&part.is)?)))
}
