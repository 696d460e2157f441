//! What AWS says of the tasks that others have seen: Fargate Spot, capacity provider, size, zone, pull times, and the machines they run on.
//!
//! New tasks are gathered for a while and asked about a hundred at a time; what was learnt is asked for again once an hour. Labels are anybody's: only tasks of
//! this machine's region are asked about, and one that AWS refuses is asked about alone, so that it costs no other its answer. Each kind of call rests for itself: a
//! right that is missing costs only what it gives.

mod line;
mod machines;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use collector::identity::{TaskArn, TaskId, short_name};
use collector::roots::Clock;
use collector::snapshot::{Gap, Instance, SourceName};
use collector::sources::{Owner, Reading, Source, Tasks, Told, ToldInstance, ToldTask, Within};

use line::Line;
pub(super) use line::{DENIED, backoff};
use machines::Machines;

/// The most tasks or instances that one call may name (Amazon ECS, DescribeTasks and DescribeContainerInstances; EC2 takes more).
pub const BATCH: usize = 100;
/// Calls of one turn: 1,000 tasks.
const CALLS: usize = 10;
/// Tasks that are remembered.
const TASKS: usize = 10_000;
/// New tasks come together.
const GATHER: Duration = Duration::from_secs(15);
const REFRESH: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(5);
/// One call.
const PATIENCE: Duration = Duration::from_secs(4);

/// One call: at most [`BATCH`] of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub region: String,
    /// The cluster's short name; AWS takes none for `default`. EC2 knows no clusters.
    pub cluster: Option<String>,
    /// Which: ARNs or ids.
    pub names: Vec<String>,
}

/// Why a call learnt nothing, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A right is missing.
    Denied(String),
    /// One of what was named is none of ours.
    Invalid(String),
    /// The cluster is none of ours.
    Nowhere(String),
    /// Too much at a time, no credentials, nobody there: later.
    Later(String),
}

/// Who can be asked. What is not in an answer AWS does not know.
pub trait Ask: Send {
    /// ECS, about tasks.
    fn tasks(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldTask>, Refusal>>;
    /// ECS, about container instances.
    fn instances(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldInstance>, Refusal>>;
    /// EC2, about instances.
    fn machines(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<Instance>, Refusal>>;
}

/// AWS as a source.
pub struct EcsApi {
    api: Box<dyn Ask>,
    clock: Clock,
    /// The only region that is asked.
    region: Option<Arc<str>>,
    /// Until it is known, that of a task.
    guess: Option<Arc<str>>,
    /// The cluster of tasks that only their cgroups name, where nobody knows better.
    cluster: Option<Arc<str>>,
    /// How long the first call waits, so that a thousand Tares that start at once do not call at once.
    jitter: Duration,
    tasks: BTreeMap<Name, Known>,
    machines: Machines,
    /// Since when there is a task that was never asked about.
    new_since: Option<Instant>,
    /// Tasks that cannot be asked about, since when, and what is not known of them.
    nameless: Option<(usize, Instant, &'static str)>,
    tasks_line: Line,
    instances_line: Line,
    machines_line: Line,
}

/// How a task is named to AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// As a label or the agent says.
    Arn(TaskArn),
    /// By its cgroup alone; the cluster is known from elsewhere.
    Id(Arc<str>, TaskId),
}

impl Name {
    fn id(&self) -> TaskId {
        match self {
            Name::Arn(arn) => arn.id(),
            Name::Id(_, id) => id.clone(),
        }
    }

    fn text(&self) -> &str {
        match self {
            Name::Arn(arn) => arn.as_str(),
            Name::Id(_, id) => id.as_str(),
        }
    }

    /// One call names tasks of one account and cluster.
    fn place(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Name::Arn(arn) => (Some(arn.account()), arn.cluster()),
            Name::Id(cluster, _) => (None, Some(cluster)),
        }
    }
}

#[derive(Default)]
struct Known {
    told: Option<Arc<ToldTask>>,
    /// When AWS last spoke of it.
    asked: Option<Instant>,
    /// A call of many, it among them, was refused.
    alone: bool,
    /// When a call about its place last failed: others come first.
    tried: Option<Instant>,
    /// And when AWS last said that it may not be asked there.
    denied: Option<Instant>,
}

/// The next call.
enum Next {
    Tasks(Vec<Name>, Question),
    Instances(Question),
    Machines(Question),
}

impl EcsApi {
    /// A source; nothing is asked before a task is heard of. `cluster`: that of the settings, for want of a better.
    pub fn new(api: Box<dyn Ask>, clock: Clock, region: Option<Arc<str>>, cluster: Option<&str>, jitter: Duration) -> EcsApi {
        EcsApi {
            api,
            clock,
            region,
            guess: None,
            cluster: cluster.and_then(short_name).map(Into::into),
            jitter,
            tasks: BTreeMap::new(),
            machines: Machines::default(),
            new_since: None,
            nameless: None,
            tasks_line: Line::new("tasks"),
            instances_line: Line::new("container instances"),
            machines_line: Line::new("instances"),
        }
    }

    fn learn_of(&mut self, said: &[Arc<Reading>], now: Instant) {
        let (mut arns, mut ids, mut cluster, mut own) = (BTreeSet::new(), BTreeSet::new(), None, None);
        for (from, told) in said.iter().filter(|reading| reading.from != SourceName::Ecs).filter_map(|reading| Some((reading.from, reading.told.as_ref()?))) {
            match told {
                Told::Docker(docker) => arns.extend(docker.containers.iter().filter_map(|container| container.task.as_ref()?.arn.as_ref())),
                Told::Tasks(tasks) => {
                    arns.extend(tasks.tasks.iter().filter_map(|task| task.about.arn.as_ref()));
                    cluster = cluster.or(tasks.cluster.as_ref());
                    own = own.or_else(|| tasks.tasks.iter().find_map(|task| task.about.arn.as_ref()));
                }
                Told::Tree(tree) => ids.extend(tree.groups.iter().filter_map(|group| match &group.owner {
                    Owner::Container(_, Within::Task(task)) => Some(task),
                    _ => None,
                })),
                Told::Instance(instance) => {
                    self.region = self.region.take().or_else(|| instance.region.clone());
                    if from == SourceName::Imds {
                        self.machines.hear(instance);
                    }
                }
                _ => {}
            }
        }
        // Anybody can set a label: what the agent and the metadata endpoint say of tasks counts more, and neither for good.
        self.guess = own.or(arns.first().copied()).map(|arn| arn.region().into());
        arns.retain(|arn| self.region().map(|region| &**region) == Some(arn.region()));
        let named: HashSet<&str> = arns.iter().filter_map(|arn| arn.as_str().rsplit('/').next()).collect();
        ids.retain(|id| !named.contains(id.as_str()));
        let cluster = cluster.or(self.cluster.as_ref()).cloned();
        let missing = match (&cluster, self.region()) {
            (None, _) => Some("which cluster they are of, so the ECS API cannot be asked about them; fix: set cluster to its name"),
            (_, None) => Some("in which region they are, so the ECS API cannot be asked about them; fix: set host.region"),
            _ => None,
        };
        let since = self.nameless.map_or(now, |(_, since, _)| since);
        self.nameless = missing.filter(|_| !ids.is_empty()).map(|missing| (ids.len(), since, missing));
        self.tasks.retain(|name, _| match name {
            Name::Arn(arn) => arns.contains(arn),
            Name::Id(of, id) => ids.contains(id) && cluster.as_ref() == Some(of),
        });
        let by_id = cluster.iter().filter(|_| missing.is_none()).flat_map(|cluster| ids.iter().map(|id| Name::Id(cluster.clone(), (*id).clone())));
        for name in arns.iter().map(|arn| Name::Arn((*arn).clone())).chain(by_id) {
            if self.tasks.len() < TASKS {
                self.tasks.entry(name).or_default();
            }
        }
        self.find_machines();
        let waits = self.tasks.values().any(|known| known.asked.is_none());
        self.new_since = waits.then(|| self.new_since.unwrap_or(now));
        self.forget_troubles(now);
    }

    /// Where AWS is asked.
    fn region(&self) -> Option<&Arc<str>> {
        self.region.as_ref().or(self.guess.as_ref())
    }

    /// What nobody wants to know any more is not missed.
    fn forget_troubles(&mut self, now: Instant) {
        let region = self.region().cloned().unwrap_or_default();
        let region = &*region;
        if self.tasks.is_empty() {
            self.tasks_line.forget();
        }
        if self.instances_line.gap().is_some() && self.machines.question(region, now).is_none() {
            self.instances_line.forget();
        }
        if self.machines_line.gap().is_some() && self.machines.question_ec2(region, now).is_none() {
            self.machines_line.forget();
        }
    }

    /// Only machines that tasks name are asked about.
    fn find_machines(&mut self) {
        let abouts = self.tasks.values().filter_map(|known| known.told.as_ref()).map(|told| &told.about);
        let named = abouts.filter_map(|about| Some((about.instance.clone()?, about.cluster.clone()))).collect();
        self.machines.keep(&named);
    }

    /// The next call, if one is due and may be made.
    fn next(&self, now: Instant) -> Option<Next> {
        let region = &**self.region()?;
        let tasks = || self.question(region, now).filter(|_| self.tasks_line.is_open(now)).map(|(names, question)| Next::Tasks(names, question));
        let instances = || self.machines.question(region, now).filter(|_| self.instances_line.is_open(now)).map(Next::Instances);
        let machines = || self.machines.question_ec2(region, now).filter(|_| self.machines_line.is_open(now)).map(Next::Machines);
        tasks().or_else(instances).or_else(machines)
    }

    /// About tasks: new ones once they are gathered, known ones after an hour.
    fn question(&self, region: &str, now: Instant) -> Option<(Vec<Name>, Question)> {
        let gathered = self.new_since.is_some_and(|since| now.saturating_duration_since(since) >= GATHER + self.jitter);
        let is_due = |known: &Known| {
            known.asked.map_or(gathered, |asked| now.saturating_duration_since(asked) >= REFRESH)
                && known.denied.is_none_or(|denied| now.saturating_duration_since(denied) >= line::DENIED)
        };
        let mut due: Vec<_> = self.tasks.iter().filter(|(_, known)| is_due(known)).collect();
        due.sort_by_key(|(_, known)| (known.alone, known.tried));
        let (first, known) = *due.first()?;
        let most = if known.alone { 1 } else { BATCH };
        let alike = due.iter().filter(|(name, one)| one.alone == known.alone && name.place() == first.place());
        let names: Vec<Name> = alike.take(most).map(|(name, _)| (*name).clone()).collect();
        let (_, cluster) = first.place();
        let question = Question { region: region.into(), cluster: cluster.map(Into::into), names: names.iter().map(|name| name.text().into()).collect() };
        Some((names, question))
    }

    async fn turn(&mut self, by: Instant, now: impl Fn() -> Instant) -> Reading {
        for call in 0..CALLS {
            let at = now();
            let Some(next) = self.next(at) else { break };
            let until = at.checked_add(PATIENCE).map_or(by, |own| own.min(by));
            // What cannot get its time has it at the next turn.
            if call > 0 && until.saturating_duration_since(at) < PATIENCE / 2 {
                break;
            }
            match next {
                Next::Tasks(names, question) => {
                    self.tasks_line.begin(at);
                    let answer = within(until, at, self.api.tasks(question)).await;
                    self.take(&names, answer, now());
                    self.find_machines();
                }
                Next::Instances(question) => {
                    self.instances_line.begin(at);
                    match within(until, at, self.api.instances(question.clone())).await {
                        Ok(answer) => {
                            self.machines.take(&question, answer, now());
                            self.instances_line.answered();
                        }
                        Err(refusal) => self.instances_line.failed(refusal, now()),
                    }
                }
                Next::Machines(question) => {
                    self.machines_line.begin(at);
                    match within(until, at, self.api.machines(question.clone())).await {
                        Ok(answer) => {
                            self.machines.take_ec2(&question, &answer, now());
                            self.machines_line.answered();
                        }
                        Err(refusal) => self.machines_line.failed(refusal, now()),
                    }
                }
            }
        }
        self.reading(now())
    }

    fn take(&mut self, names: &[Name], answer: Result<Vec<ToldTask>, Refusal>, now: Instant) {
        match answer {
            Ok(answer) => {
                let mut told: BTreeMap<TaskId, ToldTask> = answer.into_iter().map(|task| (task.id.clone(), task)).collect();
                for name in names {
                    if let Some(known) = self.tasks.get_mut(name) {
                        let new = told.remove(&name.id());
                        let same = new.is_some() && new.as_ref() == known.told.as_deref();
                        *known = Known { told: if same { known.told.take() } else { new.map(Arc::new) }, asked: Some(now), ..Known::default() };
                    }
                }
                if self.tasks.values().all(|known| known.asked.is_some()) {
                    (self.new_since, self.jitter) = (None, Duration::ZERO);
                }
                self.tasks_line.answered();
                if self.tasks.values().all(|known| known.denied.is_none()) {
                    self.tasks_line.allowed();
                }
            }
            Err(refusal @ (Refusal::Invalid(_) | Refusal::Nowhere(_))) => {
                // Alone, or of no cluster of ours, there is nothing left to tell apart.
                let is_final = names.len() == 1 || matches!(refusal, Refusal::Nowhere(_));
                for name in names {
                    if let Some(known) = self.tasks.get_mut(name) {
                        known.alone = true;
                        known.asked = if is_final { Some(now) } else { known.asked };
                    }
                }
                let (Refusal::Invalid(why) | Refusal::Nowhere(why)) = refusal else { return };
                self.tasks_line.was_wrong(is_final.then_some(why));
            }
            Err(refusal) => {
                // A label can name any account's tasks: what is refused there says nothing of those elsewhere.
                let is_denied = matches!(refusal, Refusal::Denied(_));
                let place = names.first().map(Name::place);
                for (name, known) in &mut self.tasks {
                    if place == Some(name.place()) {
                        (known.tried, known.denied) = (Some(now), if is_denied { Some(now) } else { known.denied });
                    }
                }
                match refusal {
                    Refusal::Denied(why) => self.tasks_line.denied(why),
                    refusal => self.tasks_line.failed(refusal, now),
                }
            }
        }
    }

    fn reading(&self, now: Instant) -> Reading {
        let mut tasks: Vec<_> = self.tasks.values().filter_map(|known| known.told.clone()).collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        let told = (!tasks.is_empty()).then(|| Told::Tasks(Tasks { tasks, instances: self.machines.told(), ..Tasks::default() }));
        let lines = [&self.tasks_line, &self.instances_line, &self.machines_line];
        let mut gaps: Vec<Gap> = lines.into_iter().filter_map(Line::gap).cloned().collect();
        if let Some((count, _, missing)) = self.nameless.filter(|(_, since, _)| now.saturating_duration_since(*since) >= GATHER) {
            let why = format!("of {count} ECS tasks only the ids are known, and neither Docker's labels nor the ECS agent say {missing}");
            gaps.push(Gap { from: SourceName::Ecs, what: "cluster".into(), why: why.into() });
        }
        Reading { from: SourceName::Ecs, at: self.clock.now(), told, gaps }
    }
}

/// An answer, or that there was none in the time between.
pub(super) async fn within<T>(until: Instant, at: Instant, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = |_| Err(Refusal::Later(format!("AWS gave no answer within {:.1} s", until.saturating_duration_since(at).as_secs_f64())));
    tokio::time::timeout_at(until.into(), answer).await.unwrap_or_else(late)
}

impl Source for EcsApi {
    fn name(&self) -> SourceName {
        SourceName::Ecs
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
        self.learn_of(said, Instant::now());
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        self.turn(by, Instant::now).boxed()
    }
}

#[cfg(test)]
mod tests;
