//! The rows of a report: each workload and container of the look beside what it was at the one before.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use collector::identity::Key;
use collector::snapshot::{Container, Snapshot, State, Usage, Workload};
use collector::units::Stamp;

use super::{Closing, ContainerRow, Rates, Report, WorkloadRow, ended, runs};
use crate::cost::Cost;
use crate::health::{Vitals, warnings};
use crate::rates;

/// The snapshot's workloads with their rates; both lists are sorted by key, so they are walked side by side.
pub(super) fn all(snapshot: &Snapshot, before: Option<&Report>) -> Vec<WorkloadRow> {
    let mut past = before.map_or(&[][..], |before| &before.workloads[..]).iter().peekable();
    let row = |workload: &Workload| {
        while past.next_if(|past| past.seen.about.key < workload.about.key).is_some() {}
        let past = past.next_if(|past| past.seen.about.key == workload.about.key);
        workload_row(workload, past, &snapshot.at)
    };
    snapshot.workloads.iter().map(row).collect()
}

fn workload_row(now: &Workload, past: Option<&WorkloadRow>, at: &Stamp) -> WorkloadRow {
    let container = |now: &Container| container_row(now, past.and_then(|past| past.containers.iter().find(|row| row.seen.about.id == now.about.id)), at);
    let containers: Vec<ContainerRow> = now.containers.iter().map(container).collect();
    let same = past.filter(|past| past.seen.start == now.start && past.seen.cgroup == now.cgroup);
    let mut rates = rates::between(same.map(|past| &*past.seen.usage), &now.usage, &now.limits);
    if let Some(past) = same {
        rates::carry(&mut rates, &now.limits, (&past.rates, &*past.seen.usage), &now.usage);
    }
    // Counters of a sum jump when a container comes or goes: what moved is known of each one only.
    let summed = now.cgroup.is_none() && !containers.is_empty() && !matches!(now.about.key, Key::Loose(_));
    if summed {
        // What has ended, or not begun, moves nothing; of what ended since the look before nobody knows how much it still moved.
        let before = past.map_or(&[][..], |past| &past.containers[..]);
        let ran = |one: &ContainerRow| before.iter().any(|row| row.seen.about.id == one.seen.about.id && runs(row.seen.state));
        let moving = containers.iter().filter(|one| runs(one.seen.state) || ran(one));
        let sum = rates::sum(moving.map(|one| &one.rates), &now.limits);
        (rates.cpu, rates.cpu_of_limit, rates.io, rates.throttled) = (sum.cpu, sum.cpu_of_limit, sum.io, None);
    }
    rates.uptime = uptime(now.state, now.started, at);
    let mut usage = now.usage.clone();
    let mut remainder = now.remainder;
    if let Some(past) = past.filter(|_| ended(now.state)) {
        keep(&mut usage, &past.seen.usage);
        remainder = remainder.or(past.seen.remainder);
    }
    let before = same.map(|past| &*past.seen.usage).filter(|_| !summed);
    let vitals = Vitals { state: now.state, health: None, restarted: 0, oom: None, usage: &usage, before, rates: &rates };
    let mut warnings = warnings(&vitals);
    for words in containers.iter().flat_map(|container| &container.warnings) {
        if !warnings.contains(words) {
            warnings.push(Arc::clone(words));
        }
    }
    let seen = Workload {
        about: Arc::clone(&now.about),
        cgroup: now.cgroup.clone(),
        start: now.start,
        state: now.state,
        started: now.started,
        ended: now.ended,
        task: now.task.clone(),
        asked: now.asked,
        own: now.own,
        limits: now.limits,
        usage,
        remainder,
        containers: Vec::new(),
    };
    WorkloadRow { seen, rates, cost: Cost::default(), warnings, containers }
}

fn container_row(now: &Container, past: Option<&ContainerRow>, at: &Stamp) -> ContainerRow {
    let same = past.filter(|past| past.seen.start == now.start && past.seen.cgroup == now.cgroup);
    let mut rates = rates::between(same.map(|past| &*past.seen.usage), &now.usage, &now.limits);
    if let Some(past) = same {
        rates::carry(&mut rates, &now.limits, (&past.rates, &*past.seen.usage), &now.usage);
    }
    rates.uptime = uptime(now.state, now.started, at);
    let restarts_before = past.and_then(|past| past.seen.restarts);
    let restarted = now.restarts.zip(restarts_before).map_or(0, |(now, before)| now.saturating_sub(before));
    let vitals =
        Vitals { state: now.state, health: now.health, restarted, oom: now.oom, usage: &now.usage, before: same.map(|past| &*past.seen.usage), rates: &rates };
    let warnings = warnings(&vitals);
    let mut seen = now.clone();
    let mut closing = None;
    if ended(now.state) {
        // Those of another run are not its own.
        if let Some(past) = past.filter(|past| past.seen.start == now.start || *now.usage == Usage::default()) {
            keep(&mut seen.usage, &past.seen.usage);
        }
        closing = Some(closing_of(&seen));
        rates = Rates::default();
    }
    ContainerRow { seen, rates, warnings, closing }
}

/// What the words and figures of one that has ended say of its end. A start after the end, or a reading, is of clocks that disagree.
pub(super) fn closing_of(seen: &Container) -> Closing {
    let until_end = |from: Option<Timestamp>| Duration::try_from(seen.ended?.duration_since(from?)).ok();
    let read = seen.usage.cpu.as_ref().map(|cpu| cpu.at).or(seen.usage.memory.as_ref().map(|memory| memory.at));
    // A last reading that overlaps the end by the time it took is of the end.
    let age = read.and_then(|read| read.wall).zip(seen.ended).map(|(read, ended)| Duration::try_from(ended.duration_since(read)).unwrap_or_default());
    Closing { run_time: until_end(seen.started), last_reading_age: age }
}

/// Only what runs has an uptime; a start in the future (clocks that disagree) is not known, never negative.
fn uptime(state: State, started: Option<Timestamp>, at: &Stamp) -> Option<Duration> {
    runs(state).then_some(())?;
    Duration::try_from(at.wall?.duration_since(started?)).ok()
}

/// The figures of what has ended are the last that were read: where a closing record has none, those of the look before.
fn keep(usage: &mut Arc<Usage>, past: &Usage) {
    let usage = Arc::make_mut(usage);
    usage.cpu = usage.cpu.or(past.cpu);
    usage.memory = usage.memory.or(past.memory);
    usage.pressure = usage.pressure.or(past.pressure);
    usage.pids = usage.pids.or(past.pids);
    if usage.io.is_none() {
        usage.io.clone_from(&past.io);
    }
    if usage.net.is_none() {
        usage.net.clone_from(&past.net);
    }
}
