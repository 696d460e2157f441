//! A workload in the making, and the part of its counter that none of its containers was seen to use.

use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::{Container, Remainder, State, Task, Usage, Workload};
use crate::sources::{Group, Owner};
use crate::units::Stamp;

use super::growth;

/// A workload in the making: its own cgroup and its containers, sorted by id.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) group: Option<&'a Group>,
    pub(super) containers: Vec<Container>,
    /// What the labels of one of them say of its task.
    pub(super) labels: Option<&'a Arc<Task>>,
    /// The CPU time of its containers, those that ended since the look before among them: all of it, and what is new of it.
    whole: Duration,
    new: Duration,
}

impl Draft<'_> {
    /// Adds what a container used, and what of it is new.
    pub(super) fn seen(&mut self, used: Option<(&Usage, Duration)>) {
        let Some((usage, new)) = used else { return };
        self.whole = self.whole.saturating_add(growth::cpu_time(usage).unwrap_or_default());
        self.new = self.new.saturating_add(new);
    }

    /// What its own cgroup used and none of its containers.
    pub(super) fn remainder(&self, past: Option<&Workload>) -> Option<Remainder> {
        let group = self.group.filter(|group| matches!(group.owner, Owner::Task(_) | Owner::Pod(_)))?;
        let before = past.filter(|past| past.start == group.start && past.cgroup.as_ref() == Some(&group.path)).and_then(|past| past.remainder);
        let attributed = before.map_or(self.whole, |before| before.attributed.saturating_add(self.new));
        Some(Remainder { cpu: growth::rest(group.usage.cpu?, attributed, before.map(|before| before.cpu)), attributed })
    }

    /// The last figures of a task or pod whose own cgroup is gone: those of the look before, and what its containers were seen to use until their end.
    pub(super) fn last(&self, past: Option<&Workload>) -> Option<(Usage, Remainder)> {
        let past = past.filter(|_| self.group.is_none() && self.containers.iter().all(|one| one.state >= State::Exited))?;
        let (mut usage, before) = (Usage::clone(&past.usage), past.remainder?);
        let at = self.containers.iter().filter_map(|one| one.usage.cpu).fold(Stamp::default(), |at, cpu| at.latest(cpu.at));
        if let Some(cpu) = usage.cpu.as_mut().filter(|_| !self.new.is_zero()) {
            (cpu.at, cpu.is.time, cpu.is.split) = (cpu.at.latest(at), cpu.is.time.saturating_add(self.new), None);
        }
        Some((usage, Remainder { attributed: before.attributed.saturating_add(self.new), ..before }))
    }
}
