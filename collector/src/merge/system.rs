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

use super::growth::{self, cpu_time};
use super::{Past, Said, SeenContainer, own_row};

/// What is left.
pub(super) struct Rest {
    pub(super) usage: Usage,
    /// See `Host::attributed`.
    pub(super) attributed: Duration,
}

/// One that takes its part of the whole: what it uses, and how much CPU time of it is new.
struct Part<'a> {
    now: &'a Usage,
    grown: Duration,
}

/// What is left of `host` without the workloads of the tree and the containers that Docker's stats measure.
pub(super) fn rest(said: &Said<'_>, seen: &[SeenContainer<'_>], host: &Host, past: &Past<'_>) -> Rest {
    let parents = parents(said.groups());
    let top = said.groups().iter().filter(|group| !lies_in(&parents, group));
    let of_tree = top.map(|group| Part { now: &group.usage, grown: grown(group, past) });
    let of_stats = seen.iter().filter_map(|one| {
        let now = &one.stats?.usage;
        let before = one.before.filter(|then| Some(then.start) == one.run()).map(|then| &*then.usage);
        Some(Part { now, grown: growth::growth(now, before) })
    });
    let parts: Vec<Part<'_>> = of_tree.chain(of_stats).collect();
    let ended = said.ended().iter().filter(|ended| !lies_in(&parents, &ended.group)).map(|ended| growth::of_ended(ended, past));
    let attributed = ended.fold(attributed(&parts, past), Duration::saturating_add);
    // The root of a tree that does not show Docker's containers is not the machine's.
    let whole = if said.stats.is_some() { host.usage.cpu } else { said.tree.and_then(|tree| tree.root.cpu) };
    let cpu = whole.map(|root| {
        let shown = past.workloads.get(&Key::System).and_then(|row| row.usage.cpu).map(|cpu| cpu.is.time);
        let time = growth::rest(root, attributed, shown.filter(|_| past.attributed().is_some()));
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

fn attributed(parts: &[Part<'_>], past: &Past<'_>) -> Duration {
    let Some(before) = past.attributed() else { return parts.iter().filter_map(|part| cpu_time(part.now)).fold(Duration::ZERO, Duration::saturating_add) };
    parts.iter().map(|part| part.grown).fold(before, Duration::saturating_add)
}

fn grown(group: &Group, past: &Past<'_>) -> Duration {
    match own_row(group) {
        None => growth::of_container(group, past.container(&group.owner)),
        Some(key) => growth::growth(&group.usage, past.workloads.get(&key).map(|workload| &*workload.usage)),
    }
}

/// Unknown if the whole or a part is. A group without the memory controller takes nothing away.
fn less(whole: Option<Bytes>, parts: &[Part<'_>], figure: impl Fn(&Memory) -> Option<Bytes>) -> Option<Bytes> {
    parts.iter().filter_map(|part| part.now.memory).try_fold(whole?, |rest, part| Some(rest.less(figure(&part.is)?)))
}
