//! What the ECS API says of the tasks that others have seen: Fargate Spot, capacity provider, size, zone, pull times.
//!
//! New tasks are gathered for a while and asked about a hundred at a time; what was learnt is asked for again once an hour. Labels are anybody's: only tasks of
//! this machine's region are asked about, and one that AWS refuses is asked about alone, so that it costs no other its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use collector::identity::{TaskArn, TaskId};
use collector::roots::Clock;
use collector::snapshot::{Gap, SourceName};
use collector::sources::{Reading, Source, Tasks, Told, ToldTask};

/// The most tasks that one call may name (Amazon ECS, DescribeTasks).
pub const BATCH: usize = 100;
/// Calls of one turn: 1,000 tasks.
const CALLS: usize = 10;
/// Tasks that are remembered.
const TASKS: usize = 10_000;
/// New tasks come together.
const GATHER: Duration = Duration::from_secs(15);
const REFRESH: Duration = Duration::from_secs(3600);
/// A right that is missing is seldom given at once.
pub(super) const DENIED: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_secs(5);
/// One call.
const PATIENCE: Duration = Duration::from_secs(4);

/// One call: tasks of one cluster, at most [`BATCH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub region: String,
    /// The cluster's short name; AWS takes none for `default`.
    pub cluster: Option<String>,
    /// Which.
    pub tasks: Vec<TaskArn>,
}

/// What a call learnt. A task that is not in it is one that AWS does not know.
pub type Answer = Vec<Arc<ToldTask>>;

/// Why a call learnt nothing, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A right is missing.
    Denied(String),
    /// One of the tasks or the cluster is none of ours.
    Invalid(String),
    /// Too much at a time, no credentials, nobody there: later.
    Later(String),
}

/// Who can be asked.
pub trait Ask: Send {
    /// One call.
    fn describe(&mut self, question: Question) -> BoxFuture<'_, Result<Answer, Refusal>>;
}

/// The ECS API as a source.
pub struct EcsApi {
    api: Box<dyn Ask>,
    clock: Clock,
    /// The only region that is asked; until it is known that of the first task.
    region: Option<Arc<str>>,
    /// How long the first call waits, so that a thousand Tares that start at once do not call at once.
    jitter: Duration,
    tasks: BTreeMap<TaskArn, Known>,
    /// Since when there is a task that was never asked about.
    new_since: Option<Instant>,
    rest_until: Option<Instant>,
    failures: u32,
    gap: Option<Gap>,
}

#[derive(Default)]
struct Known {
    told: Option<Arc<ToldTask>>,
    /// When AWS last spoke of it.
    asked: Option<Instant>,
    /// A call of many, it among them, was refused.
    alone: bool,
}

impl EcsApi {
    /// A source; nothing is asked before a task is heard of.
    pub fn new(api: Box<dyn Ask>, clock: Clock, region: Option<Arc<str>>, jitter: Duration) -> EcsApi {
        EcsApi { api, clock, region, jitter, tasks: BTreeMap::new(), new_since: None, rest_until: None, failures: 0, gap: None }
    }

    fn learn_of(&mut self, said: &[Arc<Reading>], now: Instant) {
        let mut seen = BTreeSet::new();
        for told in said.iter().filter(|reading| reading.from != SourceName::Ecs).filter_map(|reading| reading.told.as_ref()) {
            match told {
                Told::Docker(docker) => seen.extend(docker.containers.iter().filter_map(|container| container.task.as_ref()?.arn.as_ref())),
                Told::Tasks(tasks) => seen.extend(tasks.tasks.iter().filter_map(|task| task.about.arn.as_ref())),
                Told::Instance(instance) if self.region.is_none() => self.region = instance.region.clone(),
                _ => {}
            }
        }
        let region = self.region.clone().or_else(|| seen.first().map(|arn| arn.region().into()));
        seen.retain(|arn| region.as_deref() == Some(arn.region()));
        self.tasks.retain(|arn, _| seen.contains(arn));
        for arn in seen {
            if self.tasks.len() < TASKS && !self.tasks.contains_key(arn) {
                self.tasks.insert(arn.clone(), Known::default());
            }
        }
        let waits = self.tasks.values().any(|known| known.asked.is_none());
        self.new_since = waits.then(|| self.new_since.unwrap_or(now));
    }

    /// The next call, if one is due: new tasks once they are gathered, known ones after an hour.
    fn question(&self, now: Instant) -> Option<Question> {
        let gathered = self.new_since.is_some_and(|since| now.saturating_duration_since(since) >= GATHER + self.jitter);
        let is_due = |known: &Known| known.asked.map_or(gathered, |asked| now.saturating_duration_since(asked) >= REFRESH);
        let mut due: Vec<_> = self.tasks.iter().filter(|(_, known)| is_due(known)).collect();
        due.sort_by_key(|(_, known)| known.alone);
        let (first, known) = *due.first()?;
        let of = |arn: &TaskArn| (arn.account().to_owned(), arn.cluster().map(str::to_owned));
        let most = if known.alone { 1 } else { BATCH };
        let tasks = due.iter().filter(|(arn, one)| one.alone == known.alone && of(arn) == of(first)).take(most).map(|(arn, _)| (*arn).clone());
        Some(Question { region: first.region().into(), cluster: first.cluster().map(Into::into), tasks: tasks.collect() })
    }

    async fn turn(&mut self, by: Instant, now: impl Fn() -> Instant) -> Reading {
        for _ in 0..CALLS {
            let at = now();
            if self.rest_until.is_some_and(|until| at < until) {
                break;
            }
            let Some(question) = self.question(at) else { break };
            let until = at.checked_add(PATIENCE).map_or(by, |own| own.min(by));
            // A turn that is broken off leaves the rest it would have earned.
            self.rest(at, backoff(self.failures + 1));
            let asked = tokio::time::timeout_at(until.into(), self.api.describe(question.clone())).await;
            let late = || Err(Refusal::Later(format!("the ECS API gave no answer within {:.1} s", until.saturating_duration_since(at).as_secs_f64())));
            self.take(&question, asked.unwrap_or_else(|_| late()), now());
        }
        self.reading()
    }

    fn take(&mut self, question: &Question, answer: Result<Answer, Refusal>, now: Instant) {
        let say = |why: String| Some(Gap { from: SourceName::Ecs, what: "tasks".into(), why: why.into() });
        match answer {
            Ok(answer) => {
                let mut told: BTreeMap<TaskId, Arc<ToldTask>> = answer.into_iter().map(|task| (task.id.clone(), task)).collect();
                for arn in &question.tasks {
                    if let Some(known) = self.tasks.get_mut(arn) {
                        let new = told.remove(&arn.id());
                        let same = new.is_some() && new == known.told;
                        *known = Known { told: if same { known.told.take() } else { new }, asked: Some(now), alone: false };
                    }
                }
                if self.tasks.values().all(|known| known.asked.is_some()) {
                    (self.new_since, self.jitter) = (None, Duration::ZERO);
                }
                (self.rest_until, self.failures, self.gap) = (None, 0, None);
            }
            Err(Refusal::Invalid(why)) => {
                let one = question.tasks.len() == 1;
                for arn in &question.tasks {
                    if let Some(known) = self.tasks.get_mut(arn) {
                        known.alone = true;
                        known.asked = if one { Some(now) } else { known.asked };
                    }
                }
                self.rest_until = None;
                self.gap = if one { say(why) } else { self.gap.take() };
            }
            Err(Refusal::Denied(why)) => {
                self.rest(now, DENIED);
                self.gap = say(why);
            }
            Err(Refusal::Later(why)) => {
                self.failures += 1;
                self.rest(now, backoff(self.failures));
                self.gap = say(why);
            }
        }
    }

    fn rest(&mut self, now: Instant, span: Duration) {
        self.rest_until = now.checked_add(span);
    }

    fn reading(&self) -> Reading {
        let mut tasks: Vec<_> = self.tasks.values().filter_map(|known| known.told.clone()).collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        let told = (!tasks.is_empty()).then(|| Told::Tasks(Tasks { tasks, ..Tasks::default() }));
        Reading { from: SourceName::Ecs, at: self.clock.now(), told, gaps: self.gap.iter().cloned().collect() }
    }
}

/// 10 s, 20 s, 40 s, … 10 min.
pub(super) fn backoff(failures: u32) -> Duration {
    Duration::from_secs(5).saturating_mul(1 << failures.min(7)).min(DENIED)
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
