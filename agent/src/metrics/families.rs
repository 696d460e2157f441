//! The table of every metric. A new metric is one row here; its names, its place in the manual and its series follow.
//!
//! Not here, on purpose: [`LEFT_OUT`].

#[macro_use]
mod usage;
pub mod backlog;
pub mod cluster;
mod agent;
mod container;
mod host;
pub mod machine;
mod workload;

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use collector::identity::{Key, TaskArn};
use collector::snapshot::{
    CgroupVersion, CpuSplit, Disk, Gap, Health, Launch, Market, Memory, NetOwner, Own, Pressure, Stall, State, Storage, Task, Tcp, Throttling, Udp, Usage,
    Volume,
};
use collector::units::{Bytes, Cores, Ratio};

use super::schema::Kind::{Counter, Gauge, Histogram, Level};
use super::schema::Points::{Each, Live, One};
use super::schema::Tier::{Detail, Essential, Standard};
use super::schema::{About, By, Family, Info, Kind, Label, Metric, Points, Table, Tier, Unit, Value, Word};
use crate::cost::{Origin, Otherwise, PriceBasis, UsdPerHour, What};
use crate::report::{ContainerRow, HostRow, SourceRow, WorkloadRow};

pub use agent::{AGENT, GAP, OWN, SOURCE};
pub use container::CONTAINER;
pub use host::{FILE_SYSTEM, HOST, HOST_PRICE_INFO, VOLUME};
pub use workload::{ELSEWHERE, WORKLOAD};

const CLUSTER: Label = label("cluster", "tare.cluster.name");
const HOST_NAME: Label = label("host", "host.name");
const WORKLOAD_NAME: Label = label("workload", "tare.workload.name");
const TASK: Label = label("task", "aws.ecs.task.id");
const POD: Label = label("pod", "k8s.pod.uid");
const CONTAINER_NAME: Label = label("container", "container.name");
const DEVICE: Label = label("device", "system.device");
const INTERFACE: Label = label("interface", "network.interface.name");
const IO_DIRECTION: Label = label("direction", "disk.io.direction");
const NET_DIRECTION: Label = label("direction", "network.io.direction");

const ON_HOST: &[Label] = &[CLUSTER, HOST_NAME];
const ON_WORKLOAD: &[Label] = &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME];

/// Figures of the report that are no metric, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("CPU in use, bytes a second, shares of time waited", "`rate()` of the counters gives them, over any span."),
    ("Throttled share of periods", "`rate(tare_container_cpu_throttled_periods_total[5m]) / rate(tare_container_cpu_periods_total[5m])`."),
    ("Lists of pages, kernel stacks, page tables, zswap of a cgroup", "`/report.json` has them; so have the machine's own, below."),
    ("Own limits", "The tightest of a cgroup's own limit and its ancestors' is what acts, and is here."),
    ("No limit, nothing asked", "No series; `unless` and `absent()` find them."),
    ("When a source last answered", "`time() - tare_source_read_age_seconds`."),
    ("Oversubscription of the host", "`sum(tare_workload_cpu_asked_cores) > sum(tare_host_cpu_capacity_cores)`, or the report."),
    ("Warnings, reasons, basis and parts of an equivalent", "Sentences for people: `/report.json`, `tare doctor` and `tare cost --explain` have them."),
];

const SOURCE_NAME: Label = label("source", "tare.source");
const STATE: Label = label("state", "tare.state");
const SINK: Label = label("sink", "tare.sink");

const CPU_LIMIT: &str = "The tightest CPU limit on it, its own or an ancestor's.";
const MEMORY_LIMIT: &str = "The tightest memory limit on it, its own or an ancestor's.";
const SWAP_LIMIT: &str = "The tightest swap limit on it, its own or an ancestor's.";
const PIDS_LIMIT: &str = "The tightest limit of processes and threads on it, its own or an ancestor's.";
const CPU_OF_LIMIT: &str = "CPU in use since the last look, over the limit; more than 1 is a burst.";
const MEMORY_OF_LIMIT: &str = "Working set over the memory limit.";
const PIDS_OF_LIMIT: &str = "Processes and threads over their limit.";

/// Only the state that holds is printed: an eighth of the series, and `== 1` reads the same.
macro_rules! states {
    () => { states!("running" Running, "paused" Paused, "restarting" Restarting, "created" Created, "removing" Removing, "exited" Exited, "dead" Dead, "ended" Ended) };
    ($($word:literal $state:ident),*) => { &[$(($word, |row| is(row.seen.state == State::$state))),*] };
}

const WORKLOAD_STATES: &[Word<WorkloadRow>] = states!();
const CONTAINER_STATES: &[Word<ContainerRow>] = states!();

/// The word for whose network a container uses; empty where nobody could say.
pub fn network(net: &NetOwner) -> &'static str {
    match net {
        NetOwner::Unknown => "",
        NetOwner::Own => "own",
        NetOwner::Of(_) | NetOwner::Workload => "shared",
        NetOwner::Host => "host",
    }
}

/// Whether a thing in this state uses nothing any more.
pub fn has_ended(state: State) -> bool {
    matches!(state, State::Exited | State::Dead | State::Ended)
}

pub(super) const fn label(name: &'static str, otel: &'static str) -> Label {
    Label { name, otel }
}

const fn metric<R>(name: &'static str, unit: Unit, kind: Kind, tier: Tier, help: &'static str, points: Points<R>) -> Metric<R> {
    Metric { about: About { name, by: By::Us, unit, kind, tier, help }, points }
}

const fn info(name: &'static str, help: &'static str) -> About {
    About { name, by: By::Us, unit: Unit::Number, kind: Kind::Info, tier: Standard, help }
}

fn text(value: &Option<std::sync::Arc<str>>, to: &mut String) {
    to.push_str(value.as_deref().unwrap_or_default());
}

fn facts(workload: &WorkloadRow) -> Option<&Task> {
    workload.seen.about.task.as_deref()
}

fn task(workload: &WorkloadRow, of: fn(&Task) -> &Option<std::sync::Arc<str>>, to: &mut String) {
    if let Some(task) = facts(workload) {
        text(of(task), to);
    }
}

fn is_at(workload: &WorkloadRow, status: &str) -> bool {
    workload.seen.task.as_ref().and_then(|state| state.known.as_deref()) == Some(status)
}

fn pull_time(workload: &WorkloadRow) -> Option<Duration> {
    let state = workload.seen.task.as_ref()?;
    Duration::try_from(state.pull_stopped?.duration_since(state.pull_started?)).ok()
}

fn disk(workload: &WorkloadRow) -> Option<Storage> {
    workload.seen.task.as_ref()?.storage
}

pub(super) fn count(value: Option<u64>) -> Option<Value> {
    value.map(Value::Count)
}

pub(super) fn bytes(value: Option<Bytes>) -> Option<Value> {
    value.map(|bytes| Value::Count(bytes.0))
}

fn cores(value: Option<Cores>) -> Option<Value> {
    value.map(|cores| Value::Real(cores.0))
}

fn ratio(value: Option<Ratio>) -> Option<Value> {
    value.map(|ratio| Value::Real(ratio.0))
}

pub(super) fn time(value: Option<Duration>) -> Option<Value> {
    value.map(Value::Time)
}

fn usd(value: Option<UsdPerHour>) -> Option<Value> {
    value.map(Value::Usd)
}

/// Nothing we look at is older than 1970; what says so is not known.
pub(super) fn moment(value: Option<Timestamp>) -> Option<Value> {
    Duration::try_from(value?.as_duration()).ok().map(Value::Time)
}

fn is(so: bool) -> Option<Value> {
    so.then_some(Value::Count(1))
}

fn memory(usage: &Usage) -> Option<&Memory> {
    usage.memory.as_ref().map(|memory| &memory.is)
}

fn tcp(usage: &Usage) -> Option<&Tcp> {
    usage.sockets.as_ref().map(|sockets| &sockets.is.tcp)
}

fn udp(usage: &Usage) -> Option<&Udp> {
    usage.sockets.as_ref().map(|sockets| &sockets.is.udp)
}

fn huge(usage: &Usage, size: u64) -> Option<Value> {
    bytes(usage.huge.as_ref()?.is.iter().find(|pages| pages.size == Bytes(size)).map(|pages| pages.used))
}

fn split(usage: &Usage) -> Option<&CpuSplit> {
    usage.cpu.as_ref()?.is.split.as_ref()
}

fn throttling(usage: &Usage) -> Option<&Throttling> {
    usage.cpu.as_ref()?.is.throttling.as_ref()
}

fn pressure(usage: &Usage) -> Option<&Pressure> {
    usage.pressure.as_ref().map(|pressure| &pressure.is)
}

fn some(stall: Option<Stall>) -> Option<Value> {
    stall.map(|stall| Value::Time(stall.some))
}

fn full(stall: Option<Stall>) -> Option<Value> {
    time(stall?.full)
}

fn living_containers(workload: &WorkloadRow) -> Option<Value> {
    let has_containers = !matches!(workload.seen.about.key, Key::Unit(_) | Key::System);
    has_containers.then(|| Value::Count(workload.containers.iter().filter(|container| !has_ended(container.seen.state)).count() as u64))
}

fn part(workload: &WorkloadRow, what: What) -> Option<Value> {
    workload.cost.parts.iter().filter(|part| part.what == what).map(|part| Value::Usd(part.rate)).reduce(Value::plus)
}

fn size(otherwise: &Otherwise) -> Option<crate::cost::Size> {
    let crate::cost::Elsewhere::Fargate { size, .. } = &otherwise.on;
    *size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_word_everywhere() {
        let words: Vec<String> = [State::Running, State::Paused, State::Restarting, State::Created, State::Removing, State::Exited, State::Dead, State::Ended]
            .iter()
            .map(|state| serde_json::to_value(state).unwrap().as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words, CONTAINER_STATES.iter().map(|(word, _)| *word).collect::<Vec<_>>());
        assert_eq!(words, WORKLOAD_STATES.iter().map(|(word, _)| *word).collect::<Vec<_>>());
    }
}
