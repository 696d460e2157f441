//! The Docker daemon: which containers there are, who they are and how they do. What they use is read from the cgroup tree instead.
//!
//! List and inspect go over our own client into our own small structs (`answers` says why), the event stream over bollard.
//! The list is asked for at the start, when the event stream opens, and every minute; between, only events say whom to inspect again,
//! so a quiet host costs its daemon nothing.

pub(super) mod answers;
mod events;
pub mod sizes;
pub mod stats;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::probe::Probe;
use super::{Containers, Reading, RuntimeContainer, Source, Told};
use crate::error::Error;
use crate::http::Client;
use crate::identity::ContainerId;
use crate::roots::{Address, Clock};
use crate::snapshot::{ContainerAbout, Docker, Gap, SourceName, State};
use answers::{Inspect, Row};
use events::{Change, Events};
use trouble::explain;

#[doc(hidden)]
pub use events::spoken_of;

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// More containers than this are counted, not shown; the running ones come first.
    pub max_containers: usize,
    /// How often the whole list is asked for, events or not.
    pub relist: Duration,
    /// How long an ended container is still shown.
    pub linger: Duration,
}

/// The Docker daemon at one address.
#[derive(Debug)]
pub struct DockerSource {
    client: Arc<Client>,
    clock: Clock,
    settings: Settings,
    woken: Arc<Notify>,
    events: Option<Events>,
    daemon: Option<Daemon>,
    known: BTreeMap<ContainerId, Known>,
    /// To be inspected. An id leaves only when its answer is here, so that a turn that is cut short is taken up by the next.
    stale: BTreeSet<ContainerId>,
    /// Those of them whose inspect hung: their turn comes after all others.
    hung: BTreeSet<ContainerId>,
    /// The kernel killed something of theirs, and their end is not heard yet. What cannot be held is told without the reason.
    killed: BTreeSet<ContainerId>,
    /// Left out of the last list.
    cut: u64,
    listed: Option<Instant>,
    /// When all were last marked for inspection.
    swept: Option<Instant>,
    probe: Probe,
    /// The socket when it was last asked.
    socket: Option<Made>,
    /// Why the daemon could not be asked at last.
    trouble: String,
}

/// Names one making of a file: device, inode number, when it was last made another. A daemon that starts makes its socket anew.
type Made = (u64, u64, i64, i64);

#[derive(Clone, Debug)]
struct Daemon {
    /// `/v1.45`, or nothing where a recorded daemon does not say its version.
    prefix: String,
    about: Option<Arc<Docker>>,
    /// Whether its data folder was asked for.
    informed: bool,
}

#[derive(Debug)]
struct Known {
    is: Arc<RuntimeContainer>,
    /// Inspected at least once; else only the list's word.
    inspected: bool,
    /// Why its last inspect failed.
    trouble: Option<String>,
}

/// A minor version of the Engine API, 1.x.
type Minor = u32;

/// Docker 20.10 (2020-12).
const OLDEST: Minor = 41;
/// Docker 29.3; what we read is the same in all between (Engine API version history).
const NEWEST: Minor = 53;

/// 5,000 containers at 3 KiB each.
const LIST_LIMIT: usize = 16 << 20;
/// A container with an environment of 128 KiB (the kernel's bound on one string) and as many labels fits.
const INSPECT_LIMIT: usize = 1 << 20;
const SMALL_LIMIT: usize = 256 << 10;
/// Inspects under way at once: the daemon takes a lock for each.
const AT_ONCE: usize = 4;

impl DockerSource {
    /// A source; nothing is asked before the first read.
    pub fn new(address: Address, clock: Clock, settings: Settings) -> DockerSource {
        DockerSource {
            client: Arc::new(Client::new(address)),
            clock,
            settings,
            woken: Arc::default(),
            events: None,
            daemon: None,
            known: BTreeMap::new(),
            stale: BTreeSet::new(),
            hung: BTreeSet::new(),
            killed: BTreeSet::new(),
            cut: 0,
            listed: None,
            swept: None,
            probe: Probe::default(),
            socket: None,
            trouble: "no answer within the time of one look; fix: see the daemon's log".into(),
        }
    }

    /// Told whenever an event makes an earlier turn worth while.
    pub fn woken(&self) -> Arc<Notify> {
        self.woken.clone()
    }

    async fn look(&mut self, by: Instant) -> Reading {
        let mut gaps = Vec::new();
        if !self.is_asked() {
            return Reading { from: SourceName::Docker, at: self.clock.now(), told: None, gaps: vec![gap(self.trouble.clone())] };
        }
        let told = match self.turn(by).await {
            Ok(()) => {
                self.probe.answered(Instant::now());
                gaps.extend(self.troubles());
                Some(Told::Docker(self.told()))
            }
            Err(why) => {
                self.daemon = None;
                self.listed = None;
                self.trouble.clone_from(&why);
                gaps.push(gap(why));
                None
            }
        };
        Reading { from: SourceName::Docker, at: self.clock.now(), told, gaps }
    }

    /// Whether the daemon is asked at this turn: as `probe` says, and at once where its socket was made anew or got other rights.
    fn is_asked(&mut self) -> bool {
        if let Address::Unix(path) = self.client.address() {
            let made = std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec()));
            if made != self.socket {
                self.socket = made;
                self.probe.is_expected();
            }
        }
        self.probe.asks(Instant::now())
    }

    /// One turn. Errors: the daemon cannot be asked at all, in words for a person.
    async fn turn(&mut self, by: Instant) -> Result<(), String> {
        let live = !matches!(self.client.address(), Address::Answers(_));
        let listening = self.hear();
        if !listening || self.listed.is_none_or(|at| at.elapsed() >= self.settings.relist) {
            // Without events only a sweep notices what leaves the state word as it is, such as a quick restart.
            if self.swept.is_none_or(|at| !listening && at.elapsed() >= self.settings.relist) {
                self.swept = None;
            }
            self.list(by, live).await?;
        }
        if live && self.events.as_ref().is_none_or(Events::is_finished) {
            self.events = Some(Events::listen(self.client.clone(), self.woken.clone()));
        }
        self.inspect(by).await;
        self.inform(by).await;
        self.forget();
        Ok(())
    }

    /// Takes in what the event stream told; whether it is open.
    fn hear(&mut self) -> bool {
        let Some(changes) = self.events.as_ref().map(Events::take) else { return false };
        if changes.relist {
            // Perhaps another daemon than before: it is greeted anew, and what happened in between is in the list alone.
            self.daemon = None;
            self.listed = None;
            self.swept = None;
        }
        for (id, Change { about, started, ended, oom, gone }) in changes.of {
            // The kill and the end may be heard in two turns, in either order.
            let oom = oom || started.is_none() && self.killed.contains(&id);
            self.killed.remove(&id);
            if let Some(end) = ended {
                // Perhaps the last that is heard of it: `docker run --rm` leaves nothing to inspect.
                match (self.known.get_mut(&id), about) {
                    (Some(known), _) => {
                        let container = Arc::make_mut(&mut known.is);
                        if container.started.is_none_or(|started| end.at >= started) {
                            (container.state, container.pid, container.ended) = (State::Exited, None, Some(end.at));
                            (container.exit, container.started) = (end.exit.or(container.exit), started.or(container.started));
                            container.oom = if oom { Some(true) } else { container.oom };
                        }
                    }
                    // It came and went between two turns.
                    (None, Some(about)) => {
                        let is = Arc::new(answers::ended(about, started, end.at, end.exit, oom));
                        self.known.insert(id.clone(), Known { is, inspected: false, trouble: None });
                    }
                    (None, None) => {}
                }
            } else if oom {
                match self.known.get_mut(&id) {
                    Some(known) if is_over(&known.is) => Arc::make_mut(&mut known.is).oom = Some(true),
                    _ if self.killed.len() < self.settings.max_containers => drop(self.killed.insert(id.clone())),
                    _ => {}
                }
            }
            if gone {
                self.killed.remove(&id);
                self.lose(&id);
            } else {
                self.stale.insert(id);
            }
        }
        changes.listening
    }

    async fn list(&mut self, by: Instant, live: bool) -> Result<(), String> {
        let daemon = match self.daemon.take() {
            Some(daemon) => daemon,
            None => greet(&self.client, by, live).await?,
        };
        self.probe.answered(Instant::now());
        let path = format!("{}/containers/json?all=true", daemon.prefix);
        self.daemon = Some(daemon);
        let body = self.client.get(&path, &[], by, LIST_LIMIT).await.map_err(|e| explain(&e))?;
        let (rows, more) = answers::list(&body).map_err(|e| format!("the list of containers is no JSON of Docker's: {e}; fix: see the daemon's log"))?;
        self.take_list(rows);
        self.cut += more;
        self.listed = Some(Instant::now());
        self.swept = self.swept.or(self.listed);
        Ok(())
    }

    fn take_list(&mut self, rows: Vec<Row>) {
        let sweep = self.swept.is_none();
        // Status rounds: at "About an hour ago" it may be 45 minutes. A shorter linger never misses one.
        let short = self.settings.linger <= Duration::from_secs(30 * 60);
        let worth = |row: &Row| row.state() != Some(State::Created) && !(short && row.ended_long_ago());
        let mut rows: Vec<(bool, ContainerId, Row)> =
            rows.into_iter().filter(worth).filter_map(|row| Some((!row.state().is_some_and(is_live), row.id()?, row))).collect();
        rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.cut = rows.len().saturating_sub(self.settings.max_containers) as u64;
        rows.truncate(self.settings.max_containers);

        let listed: BTreeSet<&ContainerId> = rows.iter().map(|(_, id, _)| id).collect();
        let now = self.clock.now().wall;
        let linger = self.settings.linger;
        self.known.retain(|id, known| listed.contains(id) || is_over(&known.is) && is_told(&known.is, now, linger));
        self.stale.retain(|id| listed.contains(id));

        for (_, id, row) in rows {
            let known = self.known.get(&id);
            if known.is_none_or(|known| !known.inspected || row.differs(&known.is)) || sweep && known.is_some_and(|known| !is_over(&known.is)) {
                self.stale.insert(id.clone());
            }
            if known.is_none_or(|known| !known.inspected)
                && let Some(container) = row.container()
            {
                let trouble = known.and_then(|known| known.trouble.clone());
                let is = self.shared(container);
                self.known.insert(id, Known { is, inspected: false, trouble });
            }
        }
    }

    /// Inspects what is stale, a few at a time, until all is done or the time is over. A daemon may hang over one container and answer for all others, so none gets
    /// more than half of the time.
    async fn inspect(&mut self, by: Instant) {
        let Some(prefix) = self.daemon.as_ref().map(|daemon| daemon.prefix.clone()) else { return };
        let client = self.client.clone();
        let half = by.saturating_duration_since(Instant::now()) / 2;
        self.hung.retain(|id| self.stale.contains(id));
        let turns: Vec<ContainerId> = self.stale.difference(&self.hung).chain(&self.hung).cloned().collect();
        let asked = turns.into_iter().map(|id| {
            let (client, path) = (client.clone(), format!("{prefix}/containers/{id}/json"));
            async move { (client.get(&path, &[], by.min(Instant::now() + half), INSPECT_LIMIT).await, id) }
        });
        let mut answered = stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some((answer, id)) = answered.next().await {
            let said = match answer {
                Err(Error::Late { .. }) if Instant::now() >= by => break,
                Err(Error::Late { .. }) => {
                    self.hung.insert(id);
                    continue;
                }
                Err(Error::Status { status: 404, .. }) => {
                    self.stale.remove(&id);
                    // Only listed so far: the list is believed until it says otherwise.
                    if self.known.get(&id).is_some_and(|known| known.inspected) {
                        self.lose(&id);
                    }
                    continue;
                }
                Err(error) => Err(error.to_string()),
                Ok(body) => answers::inspect(&body).and_then(|inspect: Inspect| inspect.container().ok_or_else(|| "no state or no id in it".into())),
            };
            self.stale.remove(&id);
            match said {
                Ok(container) => self.learn(container),
                Err(why) => {
                    if let Some(known) = self.known.get_mut(&id) {
                        (known.inspected, known.trouble) = (false, Some(why));
                    }
                }
            }
        }
    }

    fn learn(&mut self, container: RuntimeContainer) {
        let is = self.shared(container);
        self.known.insert(is.about.id.clone(), Known { is, inspected: true, trouble: None });
    }

    /// The same allocations as before for what did not change.
    fn shared(&self, mut container: RuntimeContainer) -> Arc<RuntimeContainer> {
        let Some(known) = self.known.get(&container.about.id).map(|known| &known.is) else { return Arc::new(container) };
        if known.about == container.about {
            container.about = known.about.clone();
        } else if container.about.name.is_none() && known.about.name.is_some() {
            container.about = Arc::new(ContainerAbout { name: known.about.name.clone(), ..(*container.about).clone() });
        }
        if **known == container { known.clone() } else { Arc::new(container) }
    }

    /// The daemon does not know it any more. How it ended is kept for a while, if anyone said.
    fn lose(&mut self, id: &ContainerId) {
        self.stale.remove(id);
        let Some(known) = self.known.get_mut(id) else { return };
        if !is_over(&known.is) || known.is.ended.is_none() {
            self.known.remove(id);
        } else if known.is.state == State::Removing {
            // Seen while it was being deleted; now it is.
            Arc::make_mut(&mut known.is).state = State::Exited;
        }
    }

    /// Containers come and go faster than they are listed: no more than twice the bound are ever held.
    fn forget(&mut self) {
        let bound = self.settings.max_containers.saturating_mul(2);
        if self.known.len() > bound {
            self.known.retain(|_, known| !is_over(&known.is));
        }
        while self.known.len() > bound {
            self.known.pop_last();
            self.cut += 1;
        }
    }

    /// The data folder, once for each greeting. That it is not known costs nothing but the figure of its disk, so it is no gap.
    async fn inform(&mut self, by: Instant) {
        let Some(daemon) = self.daemon.as_mut().filter(|daemon| !daemon.informed && daemon.about.is_some()) else { return };
        // It takes a busy daemon a while, so it waits for a turn that has time left.
        if by.saturating_duration_since(Instant::now()) < Duration::from_secs(1) {
            return;
        }
        daemon.informed = true;
        let Ok(body) = self.client.get(&format!("{}/info", daemon.prefix), &[], by, SMALL_LIMIT).await else { return };
        let root = serde_json::from_slice::<answers::Info>(&body).ok().and_then(|info| info.docker_root_dir.0);
        if let (Some(about), Some(root)) = (&mut daemon.about, root) {
            Arc::make_mut(about).root = Some(root);
        }
    }

    fn told(&self) -> Containers {
        let now = self.clock.now().wall;
        let told = |known: &&Known| is_told(&known.is, now, self.settings.linger);
        let mut containers: Vec<Arc<RuntimeContainer>> = self.known.values().filter(told).map(|known| known.is.clone()).collect();
        let over = containers.len().saturating_sub(self.settings.max_containers);
        if over > 0 {
            containers.sort_by_key(|container| !is_live(container.state));
            containers.truncate(self.settings.max_containers);
            containers.sort_by(|a, b| a.about.id.cmp(&b.about.id));
        }
        Containers { docker: self.daemon.as_ref().and_then(|daemon| daemon.about.clone()), containers, cut: self.cut + over as u64 }
    }

    /// Said once for all of them, with the first as the example.
    fn troubles(&self) -> Vec<Gap> {
        let mut broken = self.known.values().filter_map(|known| Some((known, known.trouble.as_ref()?))).peekable();
        let first = broken.peek().map(|(known, why)| format!("{}: {why}", known.is.about.label()));
        let broken = first.map(|first| gap(format!("{} could not be inspected, first {first}; fix: see the daemon's log", count(broken.count()))));
        let late = (!self.stale.is_empty()).then(|| gap(format!("{} not inspected in time: done in the next turns", count(self.stale.len()))));
        broken.into_iter().chain(late).collect()
    }
}

impl Source for DockerSource {
    fn name(&self) -> SourceName {
        SourceName::Docker
    }

    /// Every turn: one without news asks the daemon nothing.
    fn every(&self) -> Duration {
        Duration::ZERO
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        if *self.client.address() == Address::Nowhere {
            // Nobody asked for Docker, so nothing is missing.
            let nothing = Reading { from: SourceName::Docker, at: self.clock.now(), told: None, gaps: Vec::new() };
            return Box::pin(async move { nothing });
        }
        // A little early, so that what is in hand by then is told and not dropped with the turn.
        let left = by.saturating_duration_since(Instant::now());
        let by = by.checked_sub(left / 20).unwrap_or(by);
        Box::pin(self.look(by))
    }
}

/// Asks who it is and agrees on the newest version both speak.
async fn greet(client: &Client, by: Instant, live: bool) -> Result<Daemon, String> {
    let body = match client.get("/version", &[], by, SMALL_LIMIT).await {
        Err(Error::Status { status: 404, .. }) if !live => return Ok(Daemon { prefix: String::new(), about: None, informed: true }),
        answer => answer.map_err(|e| explain(&e))?,
    };
    let said: answers::Version = serde_json::from_slice(&body).unwrap_or_default();
    let Some(newest) = said.api_version.0.as_deref().and_then(minor) else {
        return Err("what listens on the Docker socket does not say its API version; fix: check that a Docker daemon listens there".into());
    };
    let version = said.version.0.clone().unwrap_or_else(|| "of unknown version".into());
    if newest < OLDEST {
        return Err(format!("Docker {version} speaks API 1.{newest}, Tare needs 1.{OLDEST} or newer; fix: upgrade to Docker 20.10 or newer"));
    }
    if let Some(oldest) = said.min_api_version.0.as_deref().and_then(minor).filter(|oldest| *oldest > NEWEST) {
        return Err(format!("Docker {version} refuses clients below API 1.{oldest}, this Tare speaks 1.{NEWEST} at most; fix: upgrade Tare"));
    }
    let about = said.version.0.zip(said.api_version.0).map(|(version, api)| Arc::new(Docker { version, api, root: None }));
    Ok(Daemon { prefix: format!("/v1.{}", newest.min(NEWEST)), about, informed: false })
}

/// `1.45` to 45. A second generation would be another API.
fn minor(version: &str) -> Option<Minor> {
    version.strip_prefix("1.")?.parse().ok()
}

fn is_live(state: State) -> bool {
    matches!(state, State::Running | State::Paused | State::Restarting)
}

fn is_over(container: &RuntimeContainer) -> bool {
    matches!(container.state, State::Exited | State::Dead | State::Removing)
}

/// What lives is told, and what ended a short while ago. Without a clock nobody can say how long ago that was.
fn is_told(container: &RuntimeContainer, now: Option<Timestamp>, linger: Duration) -> bool {
    let fresh = |(ended, now): (Timestamp, Timestamp)| Duration::try_from(now.duration_since(ended)).is_ok_and(|age| age <= linger) || ended > now;
    is_live(container.state) || is_over(container) && container.ended.zip(now).is_some_and(fresh)
}

fn count(containers: usize) -> String {
    format!("{containers} {}", if containers == 1 { "container" } else { "containers" })
}

fn gap(why: String) -> Gap {
    Gap { from: SourceName::Docker, what: "containers".into(), why: why.into() }
}

#[cfg(test)]
mod tests;
