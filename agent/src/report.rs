//! The one answer: what was seen, how fast it moves, what it costs. Every sink, page and command reads this and nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use collector::SourceState;
use collector::identity::Key;
use collector::snapshot::{Container, Gap, Host, Launch, Limits, NetOwner, Scope, Snapshot, State, Usage, Workload};
use collector::units::{Cores, Limit, Stamp, seconds};

use crate::cost::{Bill, Cost, Item, NodeCost, Reckoning};
use crate::health::{Vitals, Warnings, warnings};
use crate::platform::{Facts, Found, Hints, Probe};
use crate::rates;
pub use crate::rates::{IoRate, Rates, Waited};

/// The `schema` member of every report.
pub const SCHEMA: &str = "tare.report/1";

/// One look, named and reckoned. JSON: RFC 3339 times, seconds, bytes, cores, dollars an hour; null is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `tare.report/1`.
    pub schema: Arc<str>,
    /// When the look ended.
    pub at: Stamp,
    /// How much of the world was looked at.
    #[serde(default)]
    pub scope: Scope,
    /// The cluster's name: from the settings, else that of the machine's ECS cluster.
    pub cluster: Option<Arc<str>>,
    /// The machine.
    pub host: HostRow,
    /// Sorted by key; those that ended in the last minutes among them.
    pub workloads: Vec<WorkloadRow>,
    /// What could not be seen, and why.
    pub gaps: Vec<Gap>,
    /// How each source does.
    pub sources: Vec<SourceRow>,
}

impl Report {
    /// The one task that is seen, where AWS sells the task and not the machine it is on.
    pub fn sold(&self) -> Option<&WorkloadRow> {
        let is_sold = |row: &&WorkloadRow| row.seen.about.task.as_ref().is_some_and(|task| task.launch == Some(Launch::Fargate));
        self.workloads.first().filter(|_| self.scope == Scope::Task).filter(is_sold)
    }
}

/// The machine, its rates and its price.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRow {
    /// What was seen.
    pub seen: Host,
    /// How fast it moves.
    pub rates: Rates,
    /// What the machine costs.
    pub cost: NodeCost,
    /// What runs the containers here. `None` in the report of an older Tare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Arc<Found>>,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadRow {
    /// What was seen; its `containers` are empty, they stand below with their rates.
    #[serde(flatten)]
    pub seen: Workload,
    /// How fast it moves.
    pub rates: Rates,
    /// What it costs.
    pub cost: Cost,
    /// It is near a limit, throttled or looping: words for a person. Empty is well.
    pub warnings: Warnings,
    /// Its containers.
    pub containers: Vec<ContainerRow>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// What was seen.
    #[serde(flatten)]
    pub seen: Container,
    /// How fast it moves.
    pub rates: Rates,
    /// As for a workload.
    pub warnings: Warnings,
    /// What its end says. `None` while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
}

/// What is known of an end: how long it ran, and how old its last figures were then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// From its start to its end, as the runtime or the cgroup's folder says. JSON: seconds.
    #[serde(with = "seconds::option")]
    pub run_time: Option<Duration>,
    /// From its last reading to its end: what it used after that is in no figure of its own. Not known of one that was never read. JSON: seconds.
    #[serde(with = "seconds::option")]
    pub last_reading_age: Option<Duration>,
}

/// How one source does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Which.
    pub source: collector::snapshot::SourceName,
    /// When it last answered.
    pub answered: Option<Timestamp>,
    /// How old its newest reading is.
    #[serde(with = "seconds::option")]
    pub age: Option<Duration>,
    /// How long its last read took.
    #[serde(with = "seconds::option")]
    pub took: Option<Duration>,
    /// Reads that failed since Tare started.
    pub failures: u64,
}

/// Ended rows kept at most; the oldest go first.
pub const LINGERING: usize = 2_000;
/// Ended containers kept at most of a workload that goes on; the oldest go first.
pub const LINGERING_WITHIN: usize = 200;

impl From<SourceState> for SourceRow {
    fn from(state: SourceState) -> SourceRow {
        let SourceState { source, answered, age, took, failures } = state;
        SourceRow { source, answered, age, took, failures }
    }
}

/// How a source does, for the platform: one that neither answered nor failed was not asked.
fn probe(sources: &[SourceRow], name: collector::snapshot::SourceName) -> Probe {
    match sources.iter().find(|row| row.source == name) {
        Some(row) if row.answered.is_some() || row.age.is_some() => Probe::Answers,
        Some(row) if row.failures > 0 => Probe::Silent,
        _ => Probe::Unasked,
    }
}

/// Makes reports: holds the last one, for rates and for what has ended since.
pub struct Reporter {
    cluster: Option<Arc<str>>,
    linger: SignedDuration,
    reckoning: Reckoning,
    hints: Hints,
    /// What the platform was last found by.
    place: Option<(Facts, Arc<Found>)>,
    last: Option<Arc<Report>>,
    forgotten: u64,
}

impl Reporter {
    /// Starts without a past. `cluster` names the cluster in every report; what has ended stays for `linger` with its last figures.
    pub fn new(cluster: Option<Arc<str>>, linger: Duration, reckoning: Reckoning) -> Reporter {
        Reporter {
            cluster,
            linger: SignedDuration::try_from(linger).unwrap_or(SignedDuration::MAX),
            reckoning,
            hints: Hints::default(),
            place: None,
            last: None,
            forgotten: 0,
        }
    }

    /// With what the environment hints at.
    #[must_use]
    pub fn hinted(self, hints: Hints) -> Reporter {
        Reporter { hints, ..self }
    }

    fn platform(&mut self, facts: Facts) -> Arc<Found> {
        if let Some((_, found)) = self.place.as_ref().filter(|(before, _)| *before == facts) {
            return Arc::clone(found);
        }
        let found = Arc::new(facts.found());
        self.place = Some((facts, Arc::clone(&found)));
        found
    }

    /// The report of one look. Pure but for the memory of the last one.
    pub fn report(&mut self, snapshot: &Snapshot, sources: Vec<SourceRow>) -> Arc<Report> {
        let last = self.last.take();
        let before = last.as_deref();
        let mut workloads = rows(snapshot, before);
        self.forgotten += Lingering { at: &snapshot.at, most: self.linger }.add(&mut workloads, before);
        let span = before.and_then(|before| snapshot.at.since(&before.at));
        let items: Vec<Item<'_>> = workloads.iter().map(item).collect();
        let Bill { node, costs } = self.reckoning.reckon(&snapshot.at, span, &snapshot.host, snapshot.scope, &items);
        for (row, cost) in workloads.iter_mut().zip(costs) {
            row.cost = cost;
        }
        let host = snapshot.host.clone();
        let rates = rates::between(before.map(|before| &before.host.seen.usage), &host.usage, &machine(&host));
        let platform = self.platform(Facts::seen(&self.hints, snapshot, |name| probe(&sources, name)));
        let gaps = snapshot.gaps.iter().filter(|gap| !platform.platform.lacks(gap)).cloned().collect();
        let report = Arc::new(Report {
            schema: SCHEMA.into(),
            at: snapshot.at,
            scope: snapshot.scope,
            cluster: self.cluster.clone().or_else(|| host.cluster.clone()),
            host: HostRow { seen: host, rates, cost: node, platform: Some(platform) },
            workloads,
            gaps,
            sources,
        });
        self.last = Some(Arc::clone(&report));
        report
    }
}

impl Reporter {
    /// Rows of what has ended that were dropped before their time, for there were too many; since the start.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// The machine's own size as limits, so that its ratios are worked out like everyone's.
fn machine(host: &Host) -> Limits {
    Limits {
        cores: host.cores.map_or(Limit::Unknown, |cores| Limit::Of(Cores(f64::from(cores)))),
        memory: host.memory.map_or(Limit::Unknown, Limit::Of),
        ..Limits::default()
    }
}

/// The snapshot's workloads with their rates; both lists are sorted by key, so they are walked side by side.
fn rows(snapshot: &Snapshot, before: Option<&Report>) -> Vec<WorkloadRow> {
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
fn closing_of(seen: &Container) -> Closing {
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

fn runs(state: State) -> bool {
    matches!(state, State::Running | State::Paused)
}

fn ended(state: State) -> bool {
    matches!(state, State::Exited | State::Dead | State::Removing | State::Ended)
}

/// Carries over what the last report had and this look has not: ended now, with its last figures.
struct Lingering<'a> {
    at: &'a Stamp,
    most: SignedDuration,
}

impl Lingering<'_> {
    /// How many were too many.
    fn add(&self, rows: &mut Vec<WorkloadRow>, before: Option<&Report>) -> u64 {
        let (mut left, mut forgotten) = (Vec::new(), 0);
        for past in before.iter().flat_map(|before| &before.workloads) {
            match rows.binary_search_by(|row| row.seen.about.key.cmp(&past.seen.about.key)) {
                Ok(place) => forgotten += self.add_containers(&mut rows[place], past),
                Err(_) => left.extend(self.workload(past)),
            }
        }
        // Those that this look saw end have their place first.
        let new = rows.iter().filter(|row| ended(row.seen.state)).count();
        forgotten += keep_newest(&mut left, LINGERING.saturating_sub(new), |row| row.seen.ended);
        if !left.is_empty() {
            rows.append(&mut left);
            rows.sort_by(|a, b| a.seen.about.key.cmp(&b.seen.about.key));
        }
        forgotten
    }

    /// The row of a workload that is gone, unless it has been gone for too long.
    fn workload(&self, past: &WorkloadRow) -> Option<WorkloadRow> {
        let ended = past.seen.ended.or(self.at.wall);
        self.is_fresh(ended).then(|| WorkloadRow {
            seen: Workload { state: gone(past.seen.state), ended, ..past.seen.clone() },
            rates: Rates::default(),
            cost: Cost::default(),
            warnings: Warnings::new(),
            containers: past.containers.iter().map(|past| ended_container(past, ended)).collect(),
        })
    }

    fn add_containers(&self, row: &mut WorkloadRow, past: &WorkloadRow) -> u64 {
        let missing = |past: &&ContainerRow| !row.containers.iter().any(|now| now.seen.about.id == past.seen.about.id);
        let ended = |past: &ContainerRow| past.seen.ended.or(self.at.wall);
        let mut left: Vec<ContainerRow> =
            past.containers.iter().filter(missing).filter(|past| self.is_fresh(ended(past))).map(|past| ended_container(past, ended(past))).collect();
        let forgotten = keep_newest(&mut left, LINGERING_WITHIN, |row| row.seen.ended);
        if !left.is_empty() {
            row.containers.extend(left);
            row.containers.sort_by(|a, b| a.seen.about.id.cmp(&b.seen.about.id));
        }
        forgotten
    }

    fn is_fresh(&self, ended: Option<Timestamp>) -> bool {
        ended.zip(self.at.wall).is_none_or(|(ended, now)| now.duration_since(ended) <= self.most)
    }
}

/// Drops the oldest above `most`; how many.
fn keep_newest<T>(left: &mut Vec<T>, most: usize, ended: impl Fn(&T) -> Option<Timestamp>) -> u64 {
    let over = left.len().saturating_sub(most);
    if over > 0 {
        left.sort_by_key(|one| std::cmp::Reverse(ended(one)));
        left.truncate(most);
    }
    over as u64
}

fn ended_container(past: &ContainerRow, ended: Option<Timestamp>) -> ContainerRow {
    // That this look finds it gone is not when it went: then nobody knows how long it ran.
    let closing = past.closing.unwrap_or_else(|| closing_of(&past.seen));
    let seen = Container { state: gone(past.seen.state), ended: past.seen.ended.or(ended), ..past.seen.clone() };
    ContainerRow { seen, rates: Rates::default(), warnings: Warnings::new(), closing: Some(closing) }
}

/// What the runtime last said of an ended one is kept; what was still running, or being deleted, has ended without a word.
fn gone(state: State) -> State {
    if ended(state) && state != State::Removing { state } else { State::Ended }
}

fn item(row: &WorkloadRow) -> Item<'_> {
    let live = !ended(row.seen.state);
    let memory = || row.seen.usage.memory?.is.held();
    let host_network = row.containers.iter().any(|container| container.seen.net == NetOwner::Host);
    Item {
        about: &row.seen.about,
        runs: live,
        asked: row.seen.asked,
        own: row.seen.own,
        cores: row.rates.cpu.filter(|_| live),
        memory: memory().filter(|_| live),
        unfit: host_network.then_some("host network"),
        state: row.seen.task.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use collector::identity::ContainerId;
    use collector::snapshot::{About, Asked, ContainerAbout, Cpu, Memory, Role, Seen, SourceName, Weights};
    use collector::units::{Bytes, Ratio};

    use super::*;

    const ID: &str = "a1";

    fn at(second: i64) -> Stamp {
        Stamp { wall: Timestamp::from_second(second).ok(), boot: Some(Duration::from_secs(second as u64)) }
    }

    fn usage(second: i64, cpu_seconds: u64) -> Usage {
        let seen = |is| Some(Seen { at: at(second), from: SourceName::Cgroup, is });
        let memory = Memory { working_set: Some(Bytes(99)), ..Memory::default() };
        Usage {
            cpu: seen(Cpu { time: Duration::from_secs(cpu_seconds), ..Cpu::default() }),
            memory: Some(Seen { at: at(second), from: SourceName::Cgroup, is: memory }),
            ..Usage::default()
        }
    }

    fn loose(state: State, start: u64, usage: Usage) -> Workload {
        let limits = Limits { memory: Limit::Of(Bytes(100)), ..Limits::default() };
        let container = Container {
            about: Arc::new(ContainerAbout { id: ContainerId::from(ID), name: Some("web".into()), image: None, digest: None, compose: None, role: Role::App }),
            start,
            cgroup: Some("/docker/a1".into()),
            state,
            health: None,
            restarts: None,
            exit: None,
            oom: None,
            started: Timestamp::from_second(5).ok(),
            ended: None,
            asked: Asked::default(),
            own: limits,
            limits,
            weights: Weights::default(),
            net: NetOwner::Unknown,
            usage: usage.clone().into(),
            disk: None,
        };
        Workload {
            about: Arc::new(About { key: Key::Loose(ContainerId::from(ID)), name: "web".into(), project: None, task: None }),
            cgroup: container.cgroup.clone(),
            start,
            state,
            started: container.started,
            ended: None,
            task: None,
            asked: Asked::default(),
            own: limits,
            limits,
            usage: usage.into(),
            remainder: None,
            containers: vec![container],
        }
    }

    fn snapshot(second: i64, workloads: Vec<Workload>) -> Snapshot {
        Snapshot { at: at(second), workloads, ..Snapshot::default() }
    }

    fn reporter() -> Reporter {
        let settings = crate::cost::Settings { weights: crate::cost::Weights::SCAD };
        Reporter::new(None, Duration::from_secs(300), Reckoning::new(crate::cost::book::Book::built_in(), settings, None))
    }

    #[test]
    fn a_running_one_has_rates_uptime_and_warnings_from_the_second_look_on() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let report = reporter.report(&snapshot(20, vec![loose(State::Running, 1, usage(20, 7))]), vec![]);
        let row = &report.workloads[0];
        assert_eq!((row.rates.cpu, row.containers[0].rates.cpu), (Some(Cores(0.5)), Some(Cores(0.5))));
        assert_eq!(row.rates.uptime, Some(Duration::from_secs(15)));
        assert_eq!(row.warnings.iter().map(|words| &**words).collect::<Vec<_>>(), ["memory at 99.0 % of its limit"]);
    }

    #[test]
    fn the_same_id_with_another_start_is_another_thing() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let report = reporter.report(&snapshot(20, vec![loose(State::Running, 2, usage(20, 7))]), vec![]);
        assert_eq!((report.workloads[0].rates.cpu, report.workloads[0].containers[0].rates.cpu), (None, None));
    }

    /// A pod whose own cgroup is not seen: its figures are sums over its containers.
    fn pod(second: i64, containers: &[(&str, u64, u64)]) -> Workload {
        let one = |(id, cpu_seconds, kills): &(&str, u64, u64)| {
            let mut one = loose(State::Running, 1, usage(second, *cpu_seconds)).containers.remove(0);
            one.about = Arc::new(ContainerAbout { id: (*id).into(), ..ContainerAbout::clone(&one.about) });
            one.cgroup = Some(format!("/pod/{id}").as_str().into());
            Arc::make_mut(&mut one.usage).memory.as_mut().unwrap().is.oom_kills = Some(*kills);
            one
        };
        let mut usage = usage(second, containers.iter().map(|one| one.1).sum());
        usage.memory.as_mut().unwrap().is.oom_kills = Some(containers.iter().map(|one| one.2).sum());
        Workload {
            about: Arc::new(About { key: Key::Pod("70859706".into()), name: "web".into(), project: None, task: None }),
            cgroup: None,
            limits: Limits { cores: Limit::Of(Cores(2.0)), ..Limits::default() },
            containers: containers.iter().map(one).collect(),
            ..loose(State::Running, 0, usage)
        }
    }

    #[test]
    fn a_container_that_joins_is_no_burst_of_cpu_and_no_kill() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![pod(10, &[("a1", 2, 0)])]), vec![]);
        let both = reporter.report(&snapshot(20, vec![pod(20, &[("a1", 7, 0), ("b2", 900, 3)])]), vec![]);
        let row = &both.workloads[0];
        assert_eq!((row.rates.cpu, row.rates.cpu_of_limit), (None, None));
        assert!(!row.warnings.iter().any(|words| words.contains("killed")), "{:?}", row.warnings);
        let later = reporter.report(&snapshot(30, vec![pod(30, &[("a1", 12, 0), ("b2", 915, 3)])]), vec![]);
        assert_eq!((later.workloads[0].rates.cpu, later.workloads[0].rates.cpu_of_limit), (Some(Cores(2.0)), Some(Ratio(1.0))));
    }

    #[test]
    fn one_that_has_ended_hides_nothing_of_the_others() {
        let mut reporter = reporter();
        let mut cores = |second, web: u64, job: Option<u64>| {
            let mut pod = pod(second, &[("a1", web, 0), ("b2", job.unwrap_or(0), 0)]);
            if job.is_none() {
                (pod.containers[1].state, pod.containers[1].usage) = (State::Exited, Arc::default());
            }
            reporter.report(&snapshot(second, vec![pod]), vec![]).workloads[0].rates.cpu
        };
        assert_eq!(cores(10, 2, Some(1)), None);
        assert_eq!(cores(20, 7, Some(6)), Some(Cores(1.0)));
        assert_eq!(cores(30, 12, None), None, "what it used before its end is not known");
        assert_eq!(cores(40, 17, None), Some(Cores(0.5)));
    }

    #[test]
    fn where_all_have_ended_no_rate_is_known() {
        let mut reporter = reporter();
        let mut pod = pod(10, &[("a1", 2, 0)]);
        (pod.state, pod.containers[0].state) = (State::Exited, State::Exited);
        reporter.report(&snapshot(10, vec![pod.clone()]), vec![]);
        assert_eq!(reporter.report(&snapshot(20, vec![pod]), vec![]).workloads[0].rates.cpu, None);
    }

    #[test]
    fn what_is_gone_lingers_five_minutes_with_its_last_figures() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let report = reporter.report(&snapshot(20, vec![]), vec![]);
        let row = &report.workloads[0];
        assert_eq!((row.seen.state, row.seen.ended), (State::Ended, Timestamp::from_second(20).ok()));
        assert_eq!((&*row.seen.usage, row.rates.cpu, row.rates.uptime), (&usage(10, 2), None, None));
        assert_eq!(reporter.report(&snapshot(320, vec![]), vec![]).workloads.len(), 1);
        assert_eq!(reporter.report(&snapshot(321, vec![]), vec![]).workloads.len(), 0);
    }

    #[test]
    fn what_has_ended_is_bounded_the_newest_stay_and_the_rest_is_counted() {
        let named = |number: usize| {
            let mut one = loose(State::Running, 1, usage(10, 2));
            one.about = Arc::new(About { key: Key::Loose(format!("{number:06}").as_str().into()), ..(*one.about).clone() });
            one
        };
        let mut reporter = reporter();
        reporter.report(&snapshot(10, (0..LINGERING).map(named).collect()), vec![]);
        reporter.report(&snapshot(20, (LINGERING..LINGERING + 300).map(named).collect()), vec![]);
        assert_eq!(reporter.forgotten(), 0);
        let report = reporter.report(&snapshot(30, vec![]), vec![]);
        assert_eq!((report.workloads.len(), reporter.forgotten()), (LINGERING, 300));
        let newest = report.workloads.iter().filter(|row| row.seen.ended == Timestamp::from_second(30).ok()).count();
        assert_eq!(newest, 300);
    }

    #[test]
    fn the_ended_containers_of_a_pod_that_goes_on_are_bounded_too() {
        let mut reporter = reporter();
        let names: Vec<String> = (0..500).map(|number| format!("{number:04}")).collect();
        let all: Vec<(&str, u64, u64)> = names.iter().map(|name| (name.as_str(), 1, 0)).collect();
        reporter.report(&snapshot(10, vec![pod(10, &all)]), vec![]);
        for second in [20, 30] {
            let report = reporter.report(&snapshot(second, vec![pod(second, &all[..1])]), vec![]);
            assert_eq!((report.workloads[0].containers.len(), reporter.forgotten()), (1 + LINGERING_WITHIN, 299));
        }
    }

    #[test]
    fn an_end_says_how_long_it_ran_and_how_old_its_last_figures_are() {
        let over = |state, second| {
            let mut one = loose(state, 1, usage(15, 2));
            one.containers[0].ended = Timestamp::from_second(second).ok();
            one
        };
        let closing = |snapshot: Snapshot| reporter().report(&snapshot, vec![]).workloads[0].containers[0].closing;
        let said = |run_time, age| Some(Closing { run_time: Some(Duration::from_secs(run_time)), last_reading_age: Some(Duration::from_secs(age)) });
        assert_eq!(closing(snapshot(20, vec![over(State::Exited, 17)])), said(12, 2));
        assert_eq!(closing(snapshot(20, vec![over(State::Exited, 14)])), said(9, 0));
        assert_eq!(closing(snapshot(20, vec![loose(State::Running, 1, usage(15, 2))])), None);
        // Nobody saw the end; the look that misses it does not make one up.
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        for second in [20, 30] {
            let gone = reporter.report(&snapshot(second, vec![]), vec![]);
            assert_eq!(gone.workloads[0].containers[0].closing, Some(Closing::default()));
        }
    }

    #[test]
    fn a_closing_record_keeps_what_only_the_look_before_knew() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let last = Usage { memory: None, ..usage(12, 7) };
        let row = &reporter.report(&snapshot(20, vec![loose(State::Ended, 1, last)]), vec![]).workloads[0].containers[0];
        assert_eq!((row.seen.usage.cpu, row.seen.usage.memory, row.rates.cpu), (usage(12, 7).cpu, usage(10, 2).memory, None));
    }

    #[test]
    fn what_was_being_deleted_and_is_gone_has_ended() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Removing, 1, usage(10, 2))]), vec![]);
        let row = &reporter.report(&snapshot(20, vec![]), vec![]).workloads[0];
        assert_eq!((row.seen.state, row.containers[0].seen.state), (State::Ended, State::Ended));
    }

    #[test]
    fn one_that_the_runtime_says_has_exited_keeps_its_last_figures() {
        let mut reporter = reporter();
        reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let report = reporter.report(&snapshot(20, vec![loose(State::Exited, 0, Usage::default())]), vec![]);
        assert_eq!((report.workloads[0].seen.state, &*report.workloads[0].containers[0].seen.usage), (State::Exited, &usage(10, 2)));
    }

    #[test]
    fn a_report_survives_json() {
        let mut reporter = reporter();
        let report = reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
        let text = serde_json::to_string(&*report).unwrap();
        assert_eq!(&serde_json::from_str::<Report>(&text).unwrap(), &*report);
        assert_eq!(text.matches("\"containers\"").count(), 1);
    }
}
