//! The task metadata endpoint, version 4: what ECS says of the task that Tare is part of, or of all tasks of a Managed Instance, and what their containers use.
//!
//! Who a task is is asked once a minute and when its containers change, what they use at every turn: two requests in ten seconds at most. On Fargate nothing else is
//! there to look at. AWS: "Amazon ECS task metadata endpoint version 4".

mod answer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::docker::stats::answer::{Sample, parse_all};
use super::probe::Probe;
use super::{ContainerStats, Reading, Source, Tasks, Told, ToldTask};
use crate::STALE;
use crate::error::Error;
use crate::http::Client;
use crate::identity::ContainerId;
use crate::roots::{Address, Clock, Endpoint};
use crate::snapshot::{Gap, Limits, SourceName};

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often what the containers use is asked for.
    pub every: Duration,
    /// The tags of a task that are asked for and kept. Reading them costs one call of the ECS API on the instance's account.
    pub tags: Vec<Arc<str>>,
}

/// The endpoint of one task.
#[derive(Debug)]
pub struct EcsTask {
    client: Client,
    base: String,
    clock: Clock,
    settings: Settings,
    /// Whether it speaks for a whole Managed Instance; not known before the first answer.
    speaks_for_all: Option<bool>,
    tasks: Vec<Arc<ToldTask>>,
    /// When the tasks were last told.
    told: Option<Instant>,
    /// Tags were asked for, which is done once.
    tagged: bool,
    /// Measured, and not in the task when it was last asked for: it is not asked for them again.
    strangers: BTreeSet<ContainerId>,
    gaps: Vec<Gap>,
    /// The last ones told, for turns that ask nothing, and when they were.
    stats: Vec<ContainerStats>,
    measured: Option<Instant>,
    pace: Pace,
    probe: Probe,
}

/// How long one answer may take. It comes from the machine itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// A task changes only when a container comes or goes.
const REFRESH: Duration = Duration::from_secs(60);
/// A task of ten containers says 30 KiB; its stats are 3 KiB a container. A Managed Instance has at most some hundred tasks.
const ANSWER_LIMIT: usize = 4 << 20;

/// The endpoint refuses who asks too often: the turns between two questions double until it answers again, up to ten minutes at the default pace.
#[derive(Debug, Default)]
struct Pace {
    /// Turns that pass without a question after one that was refused.
    rest: u32,
    left: u32,
}

const LONGEST_REST: u32 = 64;

impl Pace {
    fn passes(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    fn was_refused(&mut self) {
        self.rest = (self.rest * 2).clamp(2, LONGEST_REST);
        self.left = self.rest;
    }
}

impl EcsTask {
    /// A source; nothing is asked before the first read.
    pub fn new(endpoint: Endpoint, clock: Clock, settings: Settings) -> EcsTask {
        EcsTask {
            client: Client::new(endpoint.address),
            base: endpoint.base,
            clock,
            settings,
            speaks_for_all: None,
            tasks: Vec::new(),
            told: None,
            tagged: false,
            strangers: BTreeSet::new(),
            gaps: Vec::new(),
            stats: Vec::new(),
            measured: None,
            pace: Pace::default(),
            probe: Probe::default(),
        }
    }

    async fn look(&mut self, by: Instant) -> Reading {
        if self.pace.passes() || !self.probe.asks(Instant::now()) {
            return self.reading();
        }
        self.gaps.clear();
        if self.told.is_none_or(|told| told.elapsed() >= REFRESH.mul_f64(0.9)) {
            self.ask_who(by).await;
        }
        let samples = if self.tasks.is_empty() { None } else { self.ask_use(by).await };
        if let Some(samples) = samples.as_ref().filter(|samples| self.has_changed(samples)) {
            self.ask_who(by).await;
            let known: BTreeSet<&ContainerId> = self.tasks.iter().flat_map(|task| &task.containers).map(|one| &one.about.id).collect();
            self.strangers = samples.iter().map(|(id, _)| id).filter(|id| !known.contains(id)).cloned().collect();
        }
        if let Some(samples) = samples {
            self.measured = Some(Instant::now());
            self.stats = samples.into_iter().filter_map(|(id, sample)| sample.map(|sample| stats(id, sample))).collect();
        }
        if self.gaps.is_empty() {
            self.pace = Pace::default();
        }
        self.reading()
    }

    fn reading(&self) -> Reading {
        let own = self.tasks.first().filter(|_| self.speaks_for_all != Some(true)).map(|task| task.id.clone());
        let cluster = self.tasks.first().and_then(|task| task.about.cluster.clone());
        // What a task is stays true; what it used is not believed for ever.
        let is_fresh = self.measured.is_some_and(|measured| measured.elapsed() < STALE);
        let stats = if is_fresh { self.stats.clone() } else { Vec::new() };
        let told = Tasks { own, cluster, tasks: self.tasks.clone(), stats, ..Tasks::default() };
        let told = (!self.tasks.is_empty()).then_some(Told::Tasks(told));
        Reading { from: SourceName::EcsTask, at: self.clock.now(), told, gaps: self.gaps.clone() }
    }

    /// A container came, or one that ran has no reading any more, since the tasks were told.
    fn has_changed(&self, samples: &[(ContainerId, Option<Sample>)]) -> bool {
        let containers = || self.tasks.iter().flat_map(|task| &task.containers);
        let known: BTreeSet<&ContainerId> = containers().map(|one| &one.about.id).collect();
        let measured: BTreeSet<&ContainerId> = self.stats.iter().map(|one| &one.id).collect();
        let came = samples.iter().any(|(id, _)| !known.contains(id) && !self.strangers.contains(id));
        let went = |id: &ContainerId| measured.contains(id) && !samples.iter().any(|(one, sample)| one == id && sample.is_some());
        came || containers().any(|one| went(&one.about.id))
    }

    /// Learns who the tasks are.
    async fn ask_who(&mut self, by: Instant) {
        if self.speaks_for_all.is_none() {
            // Only a daemon on a Managed Instance is answered; to everyone else there is no such path.
            match self.get("/tasks", by).await {
                // A proxy's page, like an error, does not settle it: asked again, and its own task meanwhile.
                Ok(body) => {
                    if let Ok(told) = answer::tasks(&body, &self.settings.tags) {
                        self.speaks_for_all = Some(true);
                        return self.learn(Ok(told));
                    }
                }
                Err(Error::Status { status: 404 | 400, .. }) => self.speaks_for_all = Some(false),
                Err(Error::Status { status, .. }) if status != 429 => {}
                Err(error) => return self.failed("task", &error),
            }
        }
        let with_tags = !self.settings.tags.is_empty() && !self.tagged;
        let path = match self.speaks_for_all {
            Some(true) => "/tasks",
            _ if with_tags => "/taskWithTags",
            _ => "/task",
        };
        let mut answer = self.get(path, by).await;
        if with_tags && answer.is_err() {
            // Without its tags it is a task all the same.
            answer = self.get("/task", by).await;
        }
        match (answer, self.speaks_for_all) {
            (Err(error), _) => self.failed("task", &error),
            (Ok(body), Some(true)) => self.learn(answer::tasks(&body, &self.settings.tags)),
            (Ok(body), _) => {
                let told = answer::task(&body, &self.settings.tags);
                if let Ok((_, Some(trouble))) = &told {
                    self.gap("tags", format!("{trouble}; fix: allow the instance's role ecs:ListTagsForResource, or set ecs.tags to []"));
                }
                self.tagged |= with_tags && told.is_ok();
                self.learn(told.map(|(task, _)| vec![task]));
            }
        }
    }

    fn learn(&mut self, told: Result<Vec<ToldTask>, String>) {
        match told {
            Ok(tasks) => {
                self.told = Some(Instant::now());
                self.probe.answered(Instant::now());
                self.tasks = tasks.into_iter().map(|task| self.shared(task)).collect();
            }
            Err(why) => self.gap("task", format!("what the task metadata endpoint says is no task: {why}")),
        }
    }

    /// The same allocation as before for what did not change. Tags are told once, and stay.
    fn shared(&self, mut task: ToldTask) -> Arc<ToldTask> {
        let Some(before) = self.tasks.iter().find(|before| before.id == task.id) else { return Arc::new(task) };
        let joined = (*task.about).clone().or(&before.about);
        task.about = if joined == *before.about { before.about.clone() } else { Arc::new(joined) };
        if task == **before { before.clone() } else { Arc::new(task) }
    }

    /// What the containers use; one without a reading stands there with `None`. `None`: it could not be asked.
    async fn ask_use(&mut self, by: Instant) -> Option<Vec<(ContainerId, Option<Sample>)>> {
        let path = if self.speaks_for_all == Some(true) { "/tasks/stats" } else { "/task/stats" };
        let told = match self.get(path, by).await {
            Ok(body) => parse_all(&body, SourceName::EcsTask),
            Err(error) => {
                self.failed("task stats", &error);
                return None;
            }
        };
        match told {
            Ok(mut samples) => {
                self.probe.answered(Instant::now());
                samples.sort_by(|(a, _), (b, _)| a.cmp(b));
                samples.dedup_by(|(later, _), (first, _)| later == first);
                Some(samples)
            }
            Err(why) => {
                self.gap("task stats", format!("what the task metadata endpoint says is no stats: {why}"));
                None
            }
        }
    }

    async fn get(&self, path: &str, by: Instant) -> Result<Bytes, Error> {
        let own = Instant::now().checked_add(PATIENCE).map_or(by, |own| own.min(by));
        self.client.get(&format!("{}{path}", self.base), &[], own, ANSWER_LIMIT).await
    }

    fn failed(&mut self, what: &str, error: &Error) {
        if matches!(error, Error::Status { .. }) {
            // Who refuses is there.
            self.probe.answered(Instant::now());
        }
        let words = match error {
            Error::Status { status: 429, .. } => {
                self.pace.was_refused();
                "it is asked too often: now less often; fix: raise ecs.stats_every, or ECS_TASK_METADATA_RPS_LIMIT of the agent"
            }
            Error::Status { status: 404, .. } => {
                "it does not know this container: the address is another container's; fix: leave ECS_CONTAINER_METADATA_URI_V4 as ECS sets it"
            }
            Error::Status { .. } => "the ECS agent could not find it out; asked again",
            Error::Late { .. } | Error::Endpoint { .. } => {
                "the ECS agent does not answer there; fix: exempt 169.254.170.2 from any proxy, and let the host take TCP port 51679 on lo"
            }
            _ => "a proxy may stand in between; fix: exempt 169.254.170.2 from it",
        };
        self.gap(what, format!("{error}: {words}"));
    }

    fn gap(&mut self, what: &str, why: String) {
        self.gaps.push(Gap { from: SourceName::EcsTask, what: what.into(), why: why.into() });
    }
}

/// Of its limits only that of processes is the container's own: the memory told is the machine's where it has none. Its throttling is none either: ECS sets a quota on the
/// task alone, whose counters nobody tells, so the zeros of a container say nothing.
fn stats(id: ContainerId, sample: Sample) -> ContainerStats {
    let mut usage = sample.usage;
    if let Some(cpu) = &mut usage.cpu {
        cpu.is.throttling = None;
    }
    ContainerStats { id, usage, limits: Limits { pids: sample.pids_limit, ..Limits::default() } }
}

impl Source for EcsTask {
    fn name(&self) -> SourceName {
        SourceName::EcsTask
    }

    fn every(&self) -> Duration {
        self.settings.every
    }

    /// Who, what, and who again.
    fn deadline(&self) -> Duration {
        PATIENCE.saturating_mul(4)
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        if *self.client.address() == Address::Nowhere {
            // No task, or the recorded host has none: nothing is missing.
            let nothing = Reading { from: SourceName::EcsTask, at: self.clock.now(), told: None, gaps: Vec::new() };
            return Box::pin(async move { nothing });
        }
        Box::pin(self.look(by))
    }
}

#[cfg(test)]
mod tests;
