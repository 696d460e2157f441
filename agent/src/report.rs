//! The one answer: what was seen, how fast it moves, what it costs. Every sink, page and command reads this and nothing else.

mod lingering;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use collector::SourceState;
use collector::snapshot::{Container, EcsCluster, Gap, Host, Launch, Limits, NetOwner, Scope, Snapshot, State, Workload};
use collector::units::{Cores, Limit, Stamp, seconds};

use crate::cost::{Bill, Cost, Item, NodeCost, Reckoning};
use crate::health::Warnings;
use crate::platform::{Facts, Found, Hints, Probe};
use crate::rates;
pub use crate::rates::{IoRate, Rates, Waited};

use lingering::Lingering;

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
    /// The ECS cluster, where it is looked at as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs: Option<Arc<EcsCluster>>,
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
        let mut workloads = rows::all(snapshot, before);
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
            ecs: snapshot.ecs.clone(),
            gaps,
            sources,
        });
        self.last = Some(Arc::clone(&report));
        report
    }

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

fn runs(state: State) -> bool {
    matches!(state, State::Running | State::Paused)
}

fn ended(state: State) -> bool {
    matches!(state, State::Exited | State::Dead | State::Removing | State::Ended)
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
mod tests;
