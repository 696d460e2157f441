//! Docker's stats: what containers use where the cgroup tree does not show them (Docker Desktop, a sandbox, `/sys` not mounted).
//!
//! It stands in for the tree and is asked only then: a daemon works 1 to 2 ms for one sample, and says neither pressure nor what runs besides Docker.
//! Docker 20.10 answers when its own collector next ticks, up to a second later, so many are asked at once; newer ones answer at once.

pub mod answer;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes as Body;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{NEWEST, count, is_live, minor};
use crate::error::Error;
use crate::http::Client;
use crate::identity::ContainerId;
use crate::roots::{Address, Clock};
use crate::snapshot::{Gap, Limits, SourceName, State};
use crate::sources::{ContainerStats, Containers, Owner, Reading, RuntimeContainer, Source, Stats, Told};
use crate::units::{Bytes, Limit, Stamp};
use answer::Sample;

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Stand in for the tree where it does not show Docker's containers.
    pub enabled: bool,
    /// The pause from the begin of one round to that of the next; longer where the daemon is slow.
    pub every: Duration,
}

/// What one round may take of the daemon's time and of ours.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Requests under way at once. Docker 20.10 answers all that wait at one tick of a second, so it is the number it answers in a second.
    at_once: usize,
    /// The most containers of one round: those whose turn is longest ago.
    most: usize,
    /// The longest wait for one answer.
    patience: Duration,
    /// The longest that a round goes on.
    longest: Duration,
    /// How long one look waits for the round that is under way; what comes later is told at the next look.
    wait: Duration,
    /// The daemon rests this many times as long as it worked.
    rest: u32,
    /// A sample is shown for this long.
    kept: Duration,
}

/// At 1 to 2 ms a sample the daemon works up to a second for 500 of them.
const BUDGET: Budget = Budget {
    at_once: 128,
    most: 500,
    patience: Duration::from_secs(4),
    longest: Duration::from_secs(15),
    wait: Duration::from_secs(3),
    rest: 4,
    kept: Duration::from_secs(5 * 60),
};
/// One answer: 170 devices and 256 interfaces fit.
const ANSWER_LIMIT: usize = 512 << 10;

/// The stats of the Docker daemon at one address.
pub struct DockerStats {
    client: Arc<Client>,
    clock: Clock,
    settings: Settings,
    budget: Budget,
    measures: Measures,
    /// Seen in the tree at some time: theirs is the tree for good, for a counter has one source.
    in_tree: BTreeSet<ContainerId>,
    /// Whom the last look wants to be measured.
    wanted: BTreeMap<ContainerId, Arc<RuntimeContainer>>,
    /// `/v1.45`, or nothing where the daemon does not say.
    prefix: String,
    memory: Option<Bytes>,
    known: BTreeMap<ContainerId, Known>,
    round: Option<Round>,
    /// No round before that.
    rest: Option<Instant>,
    /// When an answer last came.
    answered: Option<Stamp>,
    /// What went wrong in the last round, and how it is told.
    troubles: Troubles,
}

/// Who measures the containers of this run. Once settled it stays: a counter does not change its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measures {
    Unsettled,
    Tree,
    Stats,
}

#[derive(Debug, Default)]
struct Known {
    asked: Option<Instant>,
    sample: Option<(Sample, Instant)>,
}

/// Questions under way, in a task of their own: a look takes what has come and does not hold them up. Dropped, they are given up.
struct Round {
    began: Instant,
    /// From the begin to the newest answer.
    busy: Duration,
    answers: mpsc::Receiver<(ContainerId, Said, Instant)>,
    troubles: Troubles,
    _task: JoinSet<()>,
}

/// What became of one question.
enum Said {
    Sample(Box<Sample>),
    /// It does not run, or is gone since it was listed.
    Nothing,
    Late,
    Broken(String),
}

/// What went wrong, with the first as the example.
#[derive(Clone, Debug, Default)]
struct Troubles {
    late: usize,
    broken: usize,
    first: Option<String>,
    unasked: usize,
}

impl DockerStats {
    /// A source; nothing is asked before a look shows that the tree does not hold what Docker lists.
    pub fn new(address: Address, clock: Clock, settings: Settings) -> DockerStats {
        DockerStats {
            client: Arc::new(Client::new(address)),
            clock,
            settings,
            budget: BUDGET,
            measures: Measures::Unsettled,
            in_tree: BTreeSet::new(),
            wanted: BTreeMap::new(),
            prefix: String::new(),
            memory: None,
            known: BTreeMap::new(),
            round: None,
            rest: None,
            answered: None,
            troubles: Troubles::default(),
        }
    }

    /// Finds out whom to measure.
    fn want(&mut self, said: &[Arc<Reading>]) {
        self.wanted.clear();
        let Some(docker) = containers(said) else { return };
        let Some(tree) = in_tree(said) else { return };
        let running = || docker.containers.iter().filter(|one| runs(one));
        let held = || running().map(|one| &one.about.id).filter(|id| tree.contains(id));
        // One alone may be our own cgroup, which is all that a container sees of the tree.
        if self.measures == Measures::Unsettled && held().nth(1).is_some() {
            self.measures = Measures::Tree;
            return;
        }
        self.in_tree.extend(held().cloned());
        let listed: HashSet<&ContainerId> = docker.containers.iter().map(|one| &one.about.id).collect();
        self.in_tree.retain(|id| listed.contains(id));
        let wanted = running().filter(|one| !self.in_tree.contains(&one.about.id));
        self.wanted = wanted.map(|one| (one.about.id.clone(), one.clone())).collect();
        let newest = docker.docker.as_ref().and_then(|docker| minor(&docker.api)).map(|newest| newest.min(NEWEST));
        self.prefix = newest.map(|newest| format!("/v1.{newest}")).unwrap_or_default();
        self.memory = said.iter().find_map(|reading| if let Some(Told::Host(host)) = &reading.told { host.memory } else { None });
        self.known.retain(|id, _| self.wanted.contains_key(id));
    }

    async fn look(&mut self, by: Instant) -> Reading {
        if self.wanted.is_empty() {
            // Nobody is to be measured, so nothing is missing.
            self.round = None;
            return Reading { from: SourceName::DockerStats, at: self.clock.now(), told: None, gaps: Vec::new() };
        }
        let now = Instant::now();
        let by = by.min(now + self.budget.wait);
        self.gather(by).await;
        if self.round.is_none() && self.rest.is_none_or(|rest| now >= rest) {
            self.begin(now);
            self.gather(by).await;
        }
        let stats = self.stats();
        let gaps = self.troubles.gaps(&self.budget);
        let settled = self.measures == Measures::Stats && (!stats.containers.is_empty() || gaps.is_empty());
        let told = settled.then_some(Told::Stats(stats));
        Reading { from: SourceName::DockerStats, at: self.answered.unwrap_or(self.clock.now()), told, gaps }
    }

    /// Asks those whose turn is longest ago.
    fn begin(&mut self, now: Instant) {
        let asked = |id: &ContainerId| self.known.get(id).and_then(|known| known.asked);
        let mut turns: Vec<ContainerId> = self.wanted.keys().cloned().collect();
        turns.sort_by_key(asked);
        let troubles = Troubles { unasked: turns.len().saturating_sub(self.budget.most), ..Troubles::default() };
        turns.truncate(self.budget.most);
        for id in &turns {
            self.known.entry(id.clone()).or_default().asked = Some(now);
        }
        let (client, prefix, budget) = (self.client.clone(), self.prefix.clone(), self.budget);
        let questions = turns.into_iter().map(move |id| {
            let (client, path) = (client.clone(), format!("{prefix}/containers/{id}/stats?stream=false&one-shot=true"));
            async move {
                let by = (Instant::now() + budget.patience).min(now + budget.longest);
                (client.get(&path, &[], by, ANSWER_LIMIT).await, id)
            }
        });
        // Room for all: a look that comes late holds nobody up.
        let (tell, answers) = mpsc::channel(budget.most.max(1));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut answered = stream::iter(questions).buffer_unordered(budget.at_once);
            while let Some((answer, id)) = answered.next().await {
                if tell.send((id, understand(answer), Instant::now())).await.is_err() {
                    return;
                }
            }
        });
        self.round = Some(Round { began: now, busy: Duration::ZERO, answers, troubles, _task: task });
    }

    /// Takes answers until the round is over or it is time to go.
    async fn gather(&mut self, by: Instant) {
        let Some(mut round) = self.round.take() else { return };
        loop {
            match tokio::time::timeout_at(by.into(), round.answers.recv()).await {
                Err(_) => {
                    self.round = Some(round);
                    return;
                }
                Ok(Some((id, said, heard))) => {
                    if !matches!(said, Said::Late) {
                        round.busy = heard.saturating_duration_since(round.began);
                    }
                    self.take(&id, said, &mut round.troubles);
                }
                Ok(None) => break,
            }
        }
        // A daemon of which nothing came has been busy all the time. A tenth early is on time, as for every source.
        let busy = if round.busy.is_zero() { round.began.elapsed() } else { round.busy };
        self.rest = Some(round.began + self.settings.every.mul_f64(0.9).max(busy * self.budget.rest));
        self.troubles = round.troubles;
    }

    fn take(&mut self, id: &ContainerId, said: Said, troubles: &mut Troubles) {
        let Some(container) = self.wanted.get(id) else { return };
        match said {
            Said::Sample(sample) => {
                // What was read before this run began is of the run before.
                if container.started.is_some_and(|started| sample.read < started) {
                    return;
                }
                self.answered = Some(self.clock.now());
                if self.measures == Measures::Unsettled {
                    // It ran before the tree was read and runs now: the tree does not show it.
                    self.measures = Measures::Stats;
                    tracing::info!("the cgroup tree does not show Docker's containers: Docker's stats measure them");
                }
                let known = self.known.entry(id.clone()).or_default();
                if known.sample.as_ref().is_none_or(|(had, _)| had.read != sample.read) {
                    known.sample = Some((*sample, Instant::now()));
                }
            }
            Said::Nothing => {}
            Said::Late => troubles.late += 1,
            Said::Broken(why) => {
                troubles.broken += 1;
                troubles.first.get_or_insert_with(|| format!("{}: {why}", container.about.label()));
            }
        }
    }

    fn stats(&self) -> Stats {
        let samples = || self.known.iter().filter_map(|(id, known)| Some((id, known.sample.as_ref().filter(|(_, at)| at.elapsed() <= self.budget.kept)?)));
        let uncounted = uncounted(samples().map(|(_, (sample, _))| sample));
        let one = |(id, (sample, _)): (&ContainerId, &(Sample, Instant))| {
            let mut usage = sample.usage.clone();
            usage.io = usage.io.filter(|_| !uncounted);
            let limits = Limits { memory: within(sample.memory_limit, self.memory), pids: sample.pids_limit, ..Limits::default() };
            ContainerStats { id: id.clone(), usage, limits }
        };
        Stats { containers: samples().map(one).collect(), online: samples().find_map(|(_, (sample, _))| sample.online) }
    }
}

fn understand(answer: Result<Body, Error>) -> Said {
    let said = match answer {
        Ok(body) => answer::parse(&body),
        Err(Error::Late { .. }) => return Said::Late,
        Err(Error::Status { status: 404 | 409, .. }) => return Said::Nothing,
        Err(error) => Err(error.to_string()),
    };
    match said {
        Ok(Some(sample)) => Said::Sample(Box::new(sample)),
        Ok(None) => Said::Nothing,
        Err(why) => Said::Broken(why),
    }
}

/// A container without a limit has the machine's memory for one. Whoever does not know that of the machine does not know.
fn within(limit: Limit<Bytes>, memory: Option<Bytes>) -> Limit<Bytes> {
    match (limit, memory) {
        (Limit::Of(limit), Some(memory)) if limit >= memory => Limit::Unlimited,
        (Limit::Of(_), None) => Limit::Unknown,
        _ => limit,
    }
}

/// Whether block devices were not counted: "no row" is zero only where somebody has one.
fn uncounted<'a>(mut samples: impl Iterator<Item = &'a Sample>) -> bool {
    samples.all(|sample| sample.usage.io.as_ref().is_none_or(|io| io.is.is_empty()))
}

fn runs(container: &RuntimeContainer) -> bool {
    is_live(container.state) && container.state != State::Restarting
}

fn containers(said: &[Arc<Reading>]) -> Option<&Containers> {
    said.iter().find_map(|reading| if let Some(Told::Docker(containers)) = &reading.told { Some(containers) } else { None })
}

/// The containers of the tree; none where it cannot be read. `None`: not looked at yet, or cut, so that nobody can say what is not in it.
fn in_tree(said: &[Arc<Reading>]) -> Option<HashSet<&ContainerId>> {
    let mut of_tree = said.iter().filter(|reading| reading.from == SourceName::Cgroup);
    let told = said.iter().find_map(|reading| if let Some(Told::Tree(tree)) = &reading.told { Some(tree) } else { None });
    match told {
        Some(tree) if tree.cut > 0 => None,
        Some(tree) => Some(tree.groups.iter().filter_map(|group| if let Owner::Container(id, _) = &group.owner { Some(id) } else { None }).collect()),
        None => of_tree.any(|reading| reading.is_answer()).then(HashSet::new),
    }
}

impl Troubles {
    fn gaps(&self, budget: &Budget) -> Vec<Gap> {
        let broken = self.first.as_ref().map(|first| format!("{} could not be measured, first {first}; fix: see the daemon's log", count(self.broken)));
        let late =
            (self.late > 0).then(|| format!("{} did not answer within {} s; fix: see the daemon's log", count(self.late), budget.patience.as_secs_f64()));
        let unasked = (self.unasked > 0)
            .then(|| format!("{} left for the next rounds: at most {} are asked in one, the figures of the rest are older", count(self.unasked), budget.most));
        let gap = |why: String| Gap { from: SourceName::DockerStats, what: "containers".into(), why: why.into() };
        broken.into_iter().chain(late).chain(unasked).map(gap).collect()
    }
}

impl Source for DockerStats {
    fn name(&self) -> SourceName {
        SourceName::DockerStats
    }

    /// Every turn: rounds have a pace of their own, and what came since is told.
    fn every(&self) -> Duration {
        Duration::ZERO
    }

    fn deadline(&self) -> Duration {
        self.budget.wait + Duration::from_secs(1)
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        // A little early, so that what is in hand by then is told and not dropped with the turn.
        let left = by.saturating_duration_since(Instant::now());
        Box::pin(self.look(by.checked_sub(left / 20).unwrap_or(by)))
    }

    fn stands_in(&self) -> bool {
        true
    }

    fn hear(&mut self, said: &[Arc<Reading>]) {
        // Where the tree measures, a look costs nothing here.
        if self.settings.enabled && self.measures != Measures::Tree && *self.client.address() != Address::Nowhere {
            self.want(said);
        }
    }
}

#[cfg(test)]
mod tests;
