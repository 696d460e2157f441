//! What was used since the look before, so that a parent's counter can be split between its children and a rest that never jumps.

use std::time::Duration;

use crate::snapshot::{Container, Cpu, Seen, Usage};
use crate::sources::{Ended, Group};

use super::Past;

/// What a cgroup used since the look before, which saw `then` of it, if anything: all of it where it is new.
pub(super) fn growth(now: &Usage, then: Option<&Usage>) -> Duration {
    let Some(now) = cpu_time(now) else { return Duration::ZERO };
    match then.map(cpu_time) {
        // A counter that went down was made anew.
        Some(Some(then)) => now.checked_sub(then).unwrap_or(now),
        // It was there, its counter could not be read: how much of it is new nobody knows.
        Some(None) => Duration::ZERO,
        None => now,
    }
}

/// The same of a container, which the look before may have seen in another run.
pub(super) fn of_container(group: &Group, before: Option<&Container>) -> Duration {
    growth(&group.usage, before.filter(|before| is_same(group, before)).map(|before| &*before.usage))
}

/// What a container used between the look before and its end. One that the look before does not know counts where it was made after it; else it was counted earlier.
pub(super) fn of_ended(ended: &Ended, past: &Past<'_>) -> Duration {
    match past.container(&ended.group.owner).filter(|before| is_same(&ended.group, before)) {
        Some(before) => growth(&ended.group.usage, Some(&before.usage)),
        None if past.snapshot.is_none_or(|past| ended.made.is_some_and(|made| made.since(&past.at).is_some())) => growth(&ended.group.usage, None),
        None => Duration::ZERO,
    }
}

/// What is left of a parent's counter without `attributed`. Parent and children are not read at one instant; the rest stands still until the truth has caught up.
pub(super) fn rest(parent: Seen<Cpu>, attributed: Duration, before: Option<Duration>) -> Duration {
    parent.is.time.saturating_sub(attributed).max(before.unwrap_or_default())
}

pub(super) fn cpu_time(usage: &Usage) -> Option<Duration> {
    usage.cpu.map(|cpu| cpu.is.time)
}

/// The same run of a container.
fn is_same(group: &Group, before: &Container) -> bool {
    before.cgroup.is_some() && before.start == group.start
}
