//! What the ECS API says of a whole cluster: its services, how many tasks run on what, and which of them are Tares.
//!
//! Two walks, one over services and one over tasks: a page is listed, what it names is described, and so on to the end; then each rests until its next round is
//! due. A walk goes at most [`CALLS`] steps a turn, so that a large cluster takes longer and never the account's quota. What the last whole round said stands
//! until the next is whole.

mod walk;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use collector::identity::TaskArn;
use collector::roots::Clock;
use collector::snapshot::{ClusterTasks, Cut, EcsCluster, Gap, Seen, Service, SourceName, Tare, TaskCount, TaskKind};
use collector::sources::{ClusterTold, Reading, Source, Told};
use collector::units::Stamp;

use super::ecs::{Refusal, within};
use walk::{Step, Walk};

/// Services kept at most.
const SERVICES: usize = 5_000;
/// Tasks counted at most.
const TASKS: usize = 20_000;
/// Calls of one turn. The account's quota for these calls refills by 20 a second (Amazon ECS, "Request throttling for the Amazon ECS API").
const CALLS: usize = 20;
const EVERY: Duration = Duration::from_secs(5);
/// One call.
const PATIENCE: Duration = Duration::from_secs(4);
/// What must be left of a turn for one more call.
const LEAST: Duration = Duration::from_secs(2);

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's short name; `None`: that of the task that asks.
    pub cluster: Option<Arc<str>>,
    /// How often a round begins.
    pub every: Duration,
    /// Services and families whose tasks are Tares.
    pub tares: Vec<Arc<str>>,
    /// Where those serve.
    pub port: u16,
}

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `eu-west-1`.
    pub region: Arc<str>,
    /// Its short name.
    pub cluster: Arc<str>,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Services.
    Services,
    /// Tasks that are meant to run.
    Tasks,
}

impl What {
    /// The most that one call describes (Amazon ECS: DescribeServices, DescribeTasks).
    pub fn batch(self) -> usize {
        match self {
            What::Services => 10,
            What::Tasks => super::ecs::BATCH,
        }
    }

    fn most(self) -> usize {
        match self {
            What::Services => SERVICES,
            What::Tasks => TASKS,
        }
    }

    fn word(self) -> &'static str {
        match self {
            What::Services => "services",
            What::Tasks => "tasks",
        }
    }
}

/// One page of ARNs, and what gives the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// ARNs.
    pub names: Vec<String>,
    /// `None`: it was the last.
    pub next: Option<String>,
}

/// One task, as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTask {
    /// What it is counted with.
    pub kind: TaskKind,
    /// Its ARN.
    pub arn: TaskArn,
    /// The task definition's family.
    pub family: Option<Arc<str>>,
    /// `us-east-1b`.
    pub zone: Option<Arc<str>>,
    /// That of its own network interface.
    pub address: Option<IpAddr>,
}

/// Who can be asked. Each is one call.
pub trait Ask: Send {
    /// A page of at most 100 ARNs.
    fn list(&mut self, place: &Place, what: What, after: Option<String>) -> BoxFuture<'_, Result<Page, Refusal>>;
    /// At most [`What::batch`] services.
    fn services_in(&mut self, place: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<Service>, Refusal>>;
    /// At most [`What::batch`] tasks.
    fn tasks_in(&mut self, place: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<OneTask>, Refusal>>;
}

/// A whole cluster as a source.
pub struct ClusterApi {
    api: Box<dyn Ask>,
    clock: Clock,
    settings: Settings,
    region: Option<Arc<str>>,
    cluster: Option<Arc<str>>,
    services: Walk<Service>,
    tasks: Walk<OneTask>,
    /// What the last whole rounds said.
    told: Option<ClusterTold>,
    known: Known,
}

/// What is believed of the cluster.
#[derive(Clone, Default)]
struct Known {
    services: Option<Seen<Arc<[Service]>>>,
    tasks: Option<Seen<Arc<ClusterTasks>>>,
}

impl ClusterApi {
    /// A source. Without a region or the cluster's name those of the task that asks count, once its metadata endpoint has told them.
    pub fn new(api: Box<dyn Ask>, clock: Clock, region: Option<Arc<str>>, settings: Settings) -> ClusterApi {
        let (services, tasks) = (Walk::new(What::Services, settings.every), Walk::new(What::Tasks, settings.every));
        let cluster = settings.cluster.clone();
        ClusterApi { api, clock, settings, region, cluster, services, tasks, told: None, known: Known::default() }
    }

    fn learn_of(&mut self, said: &[Arc<Reading>]) {
        for task in said.iter().filter_map(|reading| if let Some(Told::Tasks(tasks)) = &reading.told { tasks.tasks.first() } else { None }) {
            self.cluster = self.cluster.take().or_else(|| task.about.cluster.clone());
            self.region = self.region.take().or_else(|| task.about.arn.as_ref().map(|arn| arn.region().into()));
        }
    }

    async fn turn(&mut self, by: Instant, now: impl Fn() -> Instant) -> Reading {
        let (Some(region), Some(cluster)) = (self.region.clone(), self.cluster.clone()) else { return self.lost() };
        let place = Place { region, cluster };
        for call in 0..CALLS {
            let at = now();
            // However short a turn is, one call it makes.
            if call > 0 && by.saturating_duration_since(at) < LEAST {
                break;
            }
            let until = at.checked_add(PATIENCE).map_or(by, |own| own.min(by));
            // By turns, so that many of one keep nobody waiting for the other.
            let order = if call % 2 == 0 { [What::Services, What::Tasks] } else { [What::Tasks, What::Services] };
            let due = |what| match what {
                What::Services => self.services.step(at).map(|step| (what, step)),
                What::Tasks => self.tasks.step(at).map(|step| (what, step)),
            };
            let Some((what, step)) = order.into_iter().find_map(due) else { break };
            match (what, step) {
                (What::Services, Step::Describe(names)) => {
                    self.services.sets_out(at);
                    let said = within(until, at, self.api.services_in(&place, names)).await;
                    self.services.describe(said, now());
                }
                (What::Tasks, Step::Describe(names)) => {
                    self.tasks.sets_out(at);
                    let said = within(until, at, self.api.tasks_in(&place, names)).await;
                    self.tasks.describe(said, now());
                }
                (What::Services, Step::List(after)) => {
                    self.services.sets_out(at);
                    let said = within(until, at, self.api.list(&place, what, after)).await;
                    self.services.list(said, now());
                }
                (What::Tasks, Step::List(after)) => {
                    self.tasks.sets_out(at);
                    let said = within(until, at, self.api.list(&place, what, after)).await;
                    self.tasks.list(said, now());
                }
            }
            self.keep(&place, now());
        }
        self.reading(&place, now())
    }

    /// What a round that has come to its end says.
    fn keep(&mut self, place: &Place, now: Instant) {
        let at = self.clock.now();
        let (services, tasks) = (self.services.whole(now), self.tasks.whole(now));
        if let Some(services) = services {
            self.known.services = Some(seen(at, by_name(services)));
            self.told = None;
        }
        if let Some(tasks) = tasks {
            self.known.tasks = Some(seen(at, Arc::new(counted(tasks, &self.settings.tares, self.settings.port))));
            self.told = None;
        }
        if self.told.is_none() {
            self.tell(place);
        }
    }

    fn tell(&mut self, Place { region, cluster }: &Place) {
        let Known { services, tasks } = self.known.clone();
        let is_known = services.is_some() || tasks.is_some();
        let cut = Cut { services: self.services.cut, tasks: self.tasks.cut, ..Cut::default() };
        let cluster = || Arc::new(EcsCluster { name: Arc::clone(cluster), region: Arc::clone(region), services, tasks });
        self.told = is_known.then(|| ClusterTold { cluster: cluster(), cut });
    }

    fn reading(&mut self, place: &Place, now: Instant) -> Reading {
        // What nobody says any more is not known any more.
        let services = self.known.services.take_if(|_| self.services.is_lost(now));
        let tasks = self.known.tasks.take_if(|_| self.tasks.is_lost(now));
        if services.is_some() || tasks.is_some() {
            self.tell(place);
        }
        let Place { region, cluster } = place;
        let gap = |what: What, why: &str| Gap { from: SourceName::EcsCluster, what: what.word().into(), why: why.into() };
        let trouble = |what: What, refusal: &Refusal| match refusal {
            Refusal::Invalid(why) | Refusal::Nowhere(why) => {
                gap(what, &format!("{why}; fix: is {cluster} a cluster of this account in {region}? else set cluster and host.region"))
            }
            Refusal::Denied(why) | Refusal::Later(why) => gap(what, why),
        };
        let over = |what: What, cut: u64| (cut > 0).then(|| gap(what, &format!("there are more than {}: the rest is left out", what.most())));
        let gaps = [
            self.services.trouble.as_ref().map(|refusal| trouble(What::Services, refusal)),
            self.tasks.trouble.as_ref().map(|refusal| trouble(What::Tasks, refusal)),
            over(What::Services, self.services.cut),
            over(What::Tasks, self.tasks.cut),
        ];
        let told = self.told.clone().map(Told::Cluster);
        Reading { from: SourceName::EcsCluster, at: self.clock.now(), told, gaps: gaps.into_iter().flatten().collect() }
    }

    /// Nobody says which cluster is meant.
    fn lost(&self) -> Reading {
        let missing: Vec<&str> =
            [(self.cluster.is_none(), "cluster"), (self.region.is_none(), "host.region")].into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        let why = format!("which cluster is meant is not known: no task's metadata endpoint tells it; fix: set {}", missing.join(" and "));
        let gap = Gap { from: SourceName::EcsCluster, what: "cluster".into(), why: why.into() };
        Reading { from: SourceName::EcsCluster, at: self.clock.now(), told: None, gaps: vec![gap] }
    }
}

fn seen<T>(at: Stamp, is: T) -> Seen<T> {
    Seen { at, from: SourceName::EcsCluster, is }
}

/// Each once: a page may repeat what an earlier one had, where services come and go meanwhile.
fn by_name(mut services: Vec<Service>) -> Arc<[Service]> {
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services.dedup_by(|later, first| later.name == first.name);
    services.into()
}

/// Tasks by what they have in common; those of these services and families that run are Tares, which serve at this port.
fn counted(mut tasks: Vec<OneTask>, names: &[Arc<str>], port: u16) -> ClusterTasks {
    tasks.sort_by(|a, b| a.arn.cmp(&b.arn));
    tasks.dedup_by(|later, first| later.arn == first.arn);
    let is_named = |name: &Option<Arc<str>>| name.as_ref().is_some_and(|name| names.contains(name));
    let tares = tasks.iter().filter(|task| &*task.kind.status == RUNNING && (is_named(&task.kind.service) || is_named(&task.family)));
    let tare = |task: &OneTask| Tare {
        task: task.arn.clone(),
        service: task.kind.service.clone(),
        family: task.family.clone(),
        launch: task.kind.launch,
        zone: task.zone.clone(),
        address: task.address.map(|address| SocketAddr::new(address, port)),
    };
    let tares = tares.map(tare).collect();
    let mut counts: BTreeMap<TaskKind, u64> = BTreeMap::new();
    for task in tasks {
        *counts.entry(task.kind).or_default() += 1;
    }
    ClusterTasks { counts: counts.into_iter().map(|(kind, tasks)| TaskCount { kind: Arc::new(kind), tasks }).collect(), tares }
}

const RUNNING: &str = "running";

impl Source for ClusterApi {
    fn name(&self) -> SourceName {
        SourceName::EcsCluster
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn deadline(&self) -> Duration {
        PATIENCE + Duration::from_secs(1)
    }

    fn stands_in(&self) -> bool {
        true
    }

    fn hear(&mut self, said: &[Arc<Reading>]) {
        self.learn_of(said);
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        self.turn(by, Instant::now).boxed()
    }
}

#[cfg(test)]
mod tests;
