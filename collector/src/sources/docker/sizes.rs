//! What containers have written and how large volumes are, by Docker's own measuring. It walks through all their files, which may take its disk minutes, so it is done
//! only where somebody asks for it, seldom, and beside the looks: a look takes what has come and waits for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::answers::is_id;
use super::trouble::explain;
use super::{LIST_LIMIT, greet};
use crate::error::Error;
use crate::http::Client;
use crate::identity::ContainerId;
use crate::roots::{Address, Clock};
use crate::snapshot::{Gap, Layer, Seen, SourceName, Volume};
use crate::sources::lenient::{Count, Object, Objects, Text};
use crate::sources::{Reading, Sizes, Source, Told};
use crate::units::Bytes;

/// What one round may take.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// The longest that a round goes on: a disk that needs more would do little else.
    patience: Duration,
    /// The daemon rests this many times as long as it worked, so that measuring takes a twentieth of its time at most.
    rest: u32,
    /// How long a look waits for a round.
    wait: Duration,
}

const BUDGET: Budget = Budget { patience: Duration::from_secs(5 * 60), rest: 20, wait: Duration::ZERO };
/// A recorded daemon answers at once, and there is no second look.
const RECORDED: Duration = Duration::from_secs(2);
/// A daemon that was not met is looked for again after this; that it is away is said by the one who lists its containers.
const AWAY: Duration = Duration::from_secs(60);
/// The longest pause between two rounds, however often they failed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// More volumes than this are counted, not told; the largest come first.
const MOST_VOLUMES: usize = 1000;

/// The sizes that the Docker daemon at one address measures.
pub struct DockerSizes {
    client: Arc<Client>,
    clock: Clock,
    every: Duration,
    budget: Budget,
    round: Option<Round>,
    /// No round before that.
    rest: Option<Instant>,
    failures: u32,
    told: Sizes,
    gaps: Vec<Gap>,
}

/// Two questions, one after the other, in a task of their own. Dropped, they are given up.
struct Round {
    began: Instant,
    answer: oneshot::Receiver<Option<Measured>>,
    _task: JoinSet<()>,
}

/// What became of a round.
struct Measured {
    layers: Result<Vec<(ContainerId, Layer)>, String>,
    volumes: Result<Volumes, String>,
    ended: Instant,
}

/// What an answer says of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Volumes {
    /// The largest, sorted by name.
    held: Vec<Volume>,
    /// How many there are besides.
    more: u64,
}

impl DockerSizes {
    /// A source that measures every so often; nothing is asked before the first read.
    pub fn new(address: Address, clock: Clock, every: Duration) -> DockerSizes {
        let wait = if matches!(address, Address::Answers(_)) { RECORDED } else { BUDGET.wait };
        DockerSizes {
            client: Arc::new(Client::new(address)),
            clock,
            every,
            budget: Budget { wait, ..BUDGET },
            round: None,
            rest: None,
            failures: 0,
            told: Sizes::default(),
            gaps: Vec::new(),
        }
    }

    async fn look(&mut self, by: Instant) -> Reading {
        let by = by.min(Instant::now() + self.budget.wait);
        self.gather(by).await;
        if self.round.is_none() && self.rest.is_none_or(|rest| Instant::now() >= rest) {
            self.begin();
            self.gather(by).await;
        }
        let taken = [self.told.layers.as_ref().map(|seen| seen.at), self.told.volumes.as_ref().map(|seen| seen.at)];
        let at = taken.into_iter().flatten().reduce(|a, b| a.latest(b));
        let told = at.is_some().then(|| Told::Sizes(self.told.clone()));
        Reading { from: SourceName::DockerSizes, at: at.unwrap_or(self.clock.now()), told, gaps: self.gaps.clone() }
    }

    fn begin(&mut self) {
        let (client, by) = (self.client.clone(), Instant::now() + self.budget.patience);
        let (tell, answer) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Nobody listens any more where the source was dropped.
            let _ = tell.send(measure(&client, by).await);
        });
        self.round = Some(Round { began: Instant::now(), answer, _task: task });
    }

    /// Takes the answer of the round, if it has come or comes in time.
    async fn gather(&mut self, by: Instant) {
        let Some(mut round) = self.round.take() else { return };
        match tokio::time::timeout_at(by.into(), &mut round.answer).await {
            Err(_) => self.round = Some(round),
            Ok(Ok(Some(measured))) => self.take(round.began, measured),
            Ok(Ok(None)) => self.rest = Some(Instant::now() + AWAY),
            Ok(Err(_)) => {
                let broke = || "a bug in Tare: measuring broke off".to_owned();
                self.take(round.began, Measured { layers: Err(broke()), volumes: Err(broke()), ended: Instant::now() });
            }
        }
    }

    /// What could not be measured is told as it was; its stamp says how old it is.
    fn take(&mut self, began: Instant, Measured { layers, volumes, ended }: Measured) {
        let at = self.clock.now();
        let mut troubles = Vec::new();
        match layers {
            Ok(layers) => self.told.layers = Some(Seen { at, from: SourceName::DockerSizes, is: layers.into() }),
            Err(why) => troubles.push(format!("what containers have written is unknown or old: {why}")),
        }
        let mut left_out = 0;
        match volumes {
            Ok(Volumes { held, more }) => {
                left_out = more;
                self.told.volumes = Some(Seen { at, from: SourceName::DockerSizes, is: held.into() });
            }
            // A daemon that took all the time for the containers was not asked for more.
            Err(why) if troubles.is_empty() => troubles.push(format!("the size of volumes is unknown or old: {why}")),
            Err(_) => {}
        }
        self.failures = if troubles.is_empty() { 0 } else { self.failures + 1 };
        let cut = (left_out > 0).then(|| format!("{left_out} volumes left out: only the {MOST_VOLUMES} largest are shown"));
        self.gaps = troubles.into_iter().chain(cut).map(gap).collect();
        let busy = ended.saturating_duration_since(began);
        self.rest = Some(ended + pause(self.every, busy, self.failures, self.budget.rest));
    }
}

/// From the end of a round to the begin of the next: so that there is one every so often, ever more rarely while they fail, never without its rest.
fn pause(every: Duration, busy: Duration, failures: u32, rest: u32) -> Duration {
    // A tenth early is on time, as for every source.
    let pace = every.saturating_mul(1 << failures.min(10)).min(LONGEST.max(every)).mul_f64(0.9);
    pace.saturating_sub(busy).max(busy.saturating_mul(rest))
}

/// One round. `None`: no daemon was met.
async fn measure(client: &Client, by: Instant) -> Option<Measured> {
    let live = !matches!(client.address(), Address::Answers(_));
    let prefix = greet(client, by.min(Instant::now() + Duration::from_secs(5)), live).await.ok()?.prefix;
    let layers = ask(client, &format!("{prefix}/containers/json?size=1"), by, layers).await;
    // Before API 1.42 nobody can ask for volumes alone, and the daemon measures images, containers and caches too. From 1.52 on it lists them only when it is to be verbose.
    let volumes = ask(client, &format!("{prefix}/system/df?type=volume&verbose=1"), by, volumes).await;
    Some(Measured { layers, volumes, ended: Instant::now() })
}

async fn ask<T>(client: &Client, path: &str, by: Instant, read: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, String> {
    match client.get(path, &[], by, LIST_LIMIT).await {
        Ok(body) => read(&body),
        Err(Error::Late { .. }) => {
            Err("Docker was still measuring when the time for it was over; fix: set docker.sizes to \"off\", or see why its disk is slow".into())
        }
        Err(error) => Err(explain(&error)),
    }
}

/// One row of `GET /containers/json?size=1` (Engine API 1.41 to 1.53). What is zero is left out by most daemons.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Row {
    id: Text,
    size_rw: Option<Count>,
    size_root_fs: Option<Count>,
}

impl Row {
    /// moby, `GetContainerLayerSize`: `SizeRootFs` is both together, or the image alone where `SizeRw` is -1, which is "not known".
    fn layer(&self) -> Layer {
        let whole = self.size_root_fs.and_then(|size| size.0);
        let written = match self.size_rw {
            Some(size) => size.0,
            None => whole.map(|_| 0),
        };
        Layer { written: written.map(Bytes), image: whole.and_then(|whole| whole.checked_sub(written.unwrap_or(0))).map(Bytes) }
    }
}

fn layers(body: &[u8]) -> Result<Vec<(ContainerId, Layer)>, String> {
    let rows: Objects<Row> = serde_json::from_slice(body).map_err(|e| odd(&e))?;
    let told = |row: &Row| row.id.0.as_deref().filter(|id| is_id(id)).map(|id| (ContainerId::from(id), row.layer()));
    let mut layers: Vec<_> = rows.held.iter().filter_map(told).filter(|(_, layer)| *layer != Layer::default()).collect();
    layers.sort_by(|a, b| a.0.cmp(&b.0));
    layers.dedup_by(|later, first| later.0 == first.0);
    Ok(layers)
}

/// `GET /system/df`: `Volumes` up to API 1.51, `VolumeUsage` from 1.52 on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Df {
    volumes: Option<Objects<VolumeRow>>,
    volume_usage: Object<VolumeUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeUsage {
    items: Option<Objects<VolumeRow>>,
    total_count: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeRow {
    name: Text,
    driver: Text,
    usage_data: Object<UsageData>,
}

/// -1 is "not known".
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UsageData {
    size: Count,
    ref_count: Count,
}

fn volumes(body: &[u8]) -> Result<Volumes, String> {
    let Object(said) = serde_json::from_slice::<Object<Df>>(body).map_err(|e| odd(&e))?;
    let Some(said) = said else { return Err("the answer is no object; fix: see the daemon's log".into()) };
    let newer = said.volume_usage.0.unwrap_or_default();
    // No volume at all is null, or nothing where the newer shape leaves empty lists out.
    if newer.items.is_none() && newer.total_count.0.is_some_and(|count| count > 0) {
        return Err("it counts volumes and lists none; fix: upgrade Tare".into());
    }
    let Objects { held, more } = newer.items.or(said.volumes).unwrap_or(Objects { held: Vec::new(), more: 0 });
    let mut all: Vec<Volume> = held.into_iter().filter_map(VolumeRow::volume).collect();
    all.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    let over = all.len().saturating_sub(MOST_VOLUMES);
    all.truncate(MOST_VOLUMES);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup_by(|later, first| later.name == first.name);
    Ok(Volumes { held: all, more: more + over as u64 })
}

impl VolumeRow {
    fn volume(self) -> Option<Volume> {
        let usage = self.usage_data.0.unwrap_or_default();
        Some(Volume { name: self.name.0?, driver: self.driver.0, size: usage.size.0.map(Bytes), users: usage.ref_count.0 })
    }
}

#[doc(hidden)]
pub fn read_both(body: &[u8]) -> (usize, usize) {
    (layers(body).map_or(0, |layers| layers.len()), volumes(body).map_or(0, |volumes| volumes.held.len()))
}

fn odd(error: &serde_json::Error) -> String {
    format!("the answer is no JSON of Docker's: {error}; fix: see the daemon's log")
}

fn gap(why: String) -> Gap {
    Gap { from: SourceName::DockerSizes, what: "sizes".into(), why: why.into() }
}

impl Source for DockerSizes {
    fn name(&self) -> SourceName {
        SourceName::DockerSizes
    }

    /// Every turn: rounds have a pace of their own, and what came since is told.
    fn every(&self) -> Duration {
        Duration::ZERO
    }

    fn deadline(&self) -> Duration {
        self.budget.wait + Duration::from_secs(1)
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        if *self.client.address() == Address::Nowhere {
            let nothing = Reading { from: SourceName::DockerSizes, at: self.clock.now(), told: None, gaps: Vec::new() };
            return Box::pin(async move { nothing });
        }
        Box::pin(self.look(by))
    }
}

#[cfg(test)]
mod tests;
