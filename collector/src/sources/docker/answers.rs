//! What the daemon's answers say of a container: our own small structs over list and inspect, and what they mean. Pure.
//!
//! bollard's models are not used for these. They refuse the whole list for one unknown state word (`ContainerSummaryStateEnum`;
//! a test below shows it) and they hold what we must not: the environment, the command, the health log, every label.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::identity::{ContainerId, TaskArn, is_name, short_name};
use crate::snapshot::{Asked, Compose, ContainerAbout, Health, Limits, Role, State, Task};
use crate::sources::lenient::{Flag, Number, Object, Objects, Text, Texts};
use crate::sources::{Network, RuntimeContainer, text};
use crate::units::{Bytes, Cores, Limit};

/// The rows of `GET /containers/json`, and how many there were beyond the bound. Errors: no JSON, or no array.
pub(super) fn list(body: &[u8]) -> Result<(Vec<Row>, u64), serde_json::Error> {
    serde_json::from_slice::<Objects<Row>>(body).map(|rows| (rows.held, rows.more))
}

/// One row of the list (Engine API 1.41 to 1.53, `ContainerSummary`).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Row {
    id: Text,
    names: Texts,
    image: Text,
    #[serde(rename = "ImageID")]
    image_id: Text,
    state: Text,
    status: Text,
    labels: Object<Labels>,
    host_config: Object<RowHost>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RowHost {
    network_mode: Text,
}

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
const ECS_NAME: &str = "com.amazonaws.ecs.container-name";
const FAMILY: &str = "com.amazonaws.ecs.task-definition-family";
const REVISION: &str = "com.amazonaws.ecs.task-definition-version";
const CLUSTER: &str = "com.amazonaws.ecs.cluster";

/// The only labels that are ever read: Compose's, and those that the ECS agent sets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "com.docker.compose.project")]
    project: Text,
    #[serde(rename = "com.docker.compose.service")]
    service: Text,
    #[serde(rename = "com.amazonaws.ecs.task-arn")]
    task_arn: Text,
    #[serde(rename = "com.amazonaws.ecs.container-name")]
    ecs_name: Text,
    #[serde(rename = "com.amazonaws.ecs.task-definition-family")]
    family: Text,
    #[serde(rename = "com.amazonaws.ecs.task-definition-version")]
    revision: Text,
    #[serde(rename = "com.amazonaws.ecs.cluster")]
    cluster: Text,
}

impl Labels {
    fn compose(&self) -> Option<Compose> {
        Some(Compose { project: self.project.0.clone()?, service: self.service.0.clone()? })
    }

    fn ecs(&self) -> Option<EcsLabels> {
        ecs(|name| match name {
            TASK_ARN => self.task_arn.0.clone(),
            ECS_NAME => self.ecs_name.0.clone(),
            FAMILY => self.family.0.clone(),
            REVISION => self.revision.0.clone(),
            CLUSTER => self.cluster.0.clone(),
            _ => None,
        })
    }
}

/// What the labels of the ECS agent say.
struct EcsLabels {
    task: Arc<Task>,
    /// Its name in the task definition.
    name: Option<Arc<str>>,
}

/// Without a task's ARN letter by letter they are not the agent's; of the others each counts that can be what it says.
fn ecs(label: impl Fn(&str) -> Option<Arc<str>>) -> Option<EcsLabels> {
    let arn = TaskArn::parse(&label(TASK_ARN)?)?;
    let cluster = label(CLUSTER).and_then(|cluster| short_name(&cluster).map(Arc::from)).or_else(|| arn.cluster().map(Arc::from));
    let revision = label(REVISION).filter(|revision| revision.len() <= 10 && revision.bytes().all(|b| b.is_ascii_digit()));
    let family = label(FAMILY).filter(|family| is_name(family));
    // The agent's own containers have a tilde in their names.
    let name = label(ECS_NAME).filter(|name| name.split('~').all(|part| part.is_empty() || is_name(part)));
    Some(EcsLabels { task: Arc::new(Task { arn: Some(arn), cluster, family, revision, ..Task::default() }), name })
}

/// Who it is, by its own name, its image and its labels.
fn about(
    id: ContainerId,
    name: Option<Arc<str>>,
    image: Option<Arc<str>>,
    digest: Option<Arc<str>>,
    compose: Option<Compose>,
    ecs: Option<&EcsLabels>,
) -> ContainerAbout {
    let name = ecs.and_then(|ecs| ecs.name.clone()).or(name);
    let is_agent = image.as_deref().is_some_and(|image| image.contains("amazon/amazon-ecs-agent"));
    let role = match &name {
        _ if is_agent => Role::Internal,
        Some(name) if ecs.is_some() => Role::of_ecs_name(name),
        _ => Role::App,
    };
    ContainerAbout { id, name, image, digest, compose, role }
}

impl Row {
    /// Its id; a row without one is nobody.
    pub(super) fn id(&self) -> Option<ContainerId> {
        id(&self.id)
    }

    /// Its state; `None` for a word we do not know.
    pub(super) fn state(&self) -> Option<State> {
        state(self.state.as_str())
    }

    /// Whether `Status` says that it ended an hour ago or earlier: `Exited (0) 3 days ago`. Old ones need no inspect.
    pub(super) fn ended_long_ago(&self) -> bool {
        matches!(self.state(), Some(State::Exited | State::Dead))
            && ["hour", "day", "week", "month", "year"].iter().any(|unit| self.status.as_str().contains(unit))
    }

    /// Whether what is known of it is no longer what the list says.
    pub(super) fn differs(&self, known: &RuntimeContainer) -> bool {
        // Only a running one's health stands in the list; the ended and the paused keep theirs in inspect alone.
        let health = known.state == State::Running && self.health() != known.health;
        self.state().is_some_and(|state| state != known.state) || health || self.shown_name().is_some_and(|name| known.about.name.as_ref() != Some(&name))
    }

    /// What the list alone says, until inspect says more.
    pub(super) fn container(&self) -> Option<RuntimeContainer> {
        let labels = self.labels.as_ref();
        let (compose, ecs) = (labels.and_then(Labels::compose), labels.and_then(Labels::ecs));
        let about = Arc::new(about(self.id()?, self.name(), self.image.0.clone(), self.image_id.0.clone(), compose, ecs.as_ref()));
        Some(RuntimeContainer {
            task: ecs.map(|ecs| ecs.task),
            health: self.health(),
            network: network(self.host_config.as_ref().map_or("", |host| host.network_mode.as_str())),
            ..RuntimeContainer::new(about, self.state()?)
        })
    }

    /// The name that `container` gives it.
    fn shown_name(&self) -> Option<Arc<str>> {
        self.labels.as_ref().and_then(Labels::ecs).and_then(|ecs| ecs.name).or_else(|| self.name())
    }

    /// Links add names like `/other/alias`; its own has one slash.
    fn name(&self) -> Option<Arc<str>> {
        let own = self.names.0.iter().find(|name| name.trim_start_matches('/').split('/').count() == 1);
        name(own.or(self.names.0.first())?)
    }

    /// `Up 2 hours (healthy)`, `(unhealthy)`, `(health: starting)`.
    fn health(&self) -> Option<Health> {
        match self.status.as_str().rsplit_once('(')?.1 {
            "healthy)" => Some(Health::Healthy),
            "unhealthy)" => Some(Health::Unhealthy),
            "health: starting)" => Some(Health::Starting),
            _ => None,
        }
    }
}

/// The answer of `GET /containers/{id}/json`. Errors: no JSON, or no object.
pub(super) fn inspect(body: &[u8]) -> Result<Inspect, String> {
    let inspect = serde_json::from_slice::<Object<Inspect>>(body).map_err(|e| e.to_string())?;
    inspect.0.ok_or_else(|| "no object".into())
}

/// One container in full, less what must not be kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Inspect {
    id: Text,
    name: Text,
    image: Text,
    restart_count: Number,
    state: Object<InspectState>,
    config: Object<Config>,
    host_config: Object<HostConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectState {
    status: Text,
    running: Flag,
    #[serde(rename = "OOMKilled")]
    oom_killed: Flag,
    pid: Number,
    exit_code: Number,
    started_at: Text,
    finished_at: Text,
    health: Object<HealthState>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthState {
    status: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: Text,
    labels: Object<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Text,
    cpu_shares: Number,
    #[serde(rename = "NanoCpus", alias = "NanoCPUs")]
    nano_cpus: Number,
    cpu_quota: Number,
    cpu_period: Number,
    cpuset_cpus: Text,
    memory: Number,
    memory_reservation: Number,
    memory_swap: Number,
    pids_limit: Number,
}

impl Inspect {
    /// What it means. `None`: neither the state word nor the flags say anything, or there is no id.
    pub(super) fn container(&self) -> Option<RuntimeContainer> {
        let said = self.state.as_ref()?;
        let state = state(said.status.as_str()).or(said.running.0.map(|running| if running { State::Running } else { State::Exited }))?;
        let (started, finished) = (time(&said.started_at), time(&said.finished_at));
        let over = matches!(state, State::Exited | State::Dead | State::Removing);
        let (config, host) = (self.config.as_ref(), self.host_config.as_ref());
        let labels = config.and_then(|config| config.labels.as_ref());
        let (compose, ecs) = (labels.and_then(Labels::compose), labels.and_then(Labels::ecs));
        let image = config.and_then(|config| config.image.0.clone());
        Some(RuntimeContainer {
            about: Arc::new(about(id(&self.id)?, self.name.0.as_deref().and_then(name), image, self.image.0.clone(), compose, ecs.as_ref())),
            task: ecs.map(|ecs| ecs.task),
            state,
            health: said.health.as_ref().and_then(|health| health_word(health.status.as_str())),
            restarts: self.restart_count.0.and_then(|count| u64::try_from(count).ok()),
            // While it runs Docker says 0, whatever the last run said; before the first end it says 0 too.
            exit: said.exit_code.0.filter(|_| finished.is_some() && (over || state == State::Restarting)),
            oom: said.oom_killed.0,
            // Between two runs StartedAt is that of the run before: a time since then would be no uptime.
            started: started.filter(|_| !matches!(state, State::Restarting | State::Created)),
            ended: finished.filter(|_| over).and_then(|finished| end_of(started, finished)),
            pid: said.pid.0.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
            network: network(host.map_or("", |host| host.network_mode.as_str())),
            asked: host.map(HostConfig::asked).unwrap_or_default(),
            limits: host.map(HostConfig::limits).unwrap_or_default(),
        })
    }
}

impl HostConfig {
    /// 0 is "not set", 2 is what ECS gives a container that asked for nothing, 1024 is the kernel's own default.
    fn asked(&self) -> Asked {
        let shares = self.cpu_shares.0.filter(|shares| *shares > 0 && !matches!(shares, 2 | 1024));
        let memory = bytes(self.memory_reservation).or(bytes(self.memory));
        Asked { cores: shares.map(|shares| Cores(shares as f64 / 1024.0)), memory }
    }

    fn limits(&self) -> Limits {
        let quota = match (self.nano_cpus.0.filter(|nano| *nano > 0), self.cpu_quota.0.filter(|quota| *quota > 0)) {
            (Some(nano), _) => Some(nano as f64 / 1e9),
            // The kernel's default period is 100 ms (Documentation/scheduler/sched-bwc.rst).
            (None, Some(quota)) => Some(quota as f64 / self.cpu_period.0.filter(|period| *period > 0).unwrap_or(100_000) as f64),
            (None, None) => None,
        };
        // 0 is "no limit"; where the daemon says nothing, nobody knows.
        let said_quota = self.nano_cpus.0.or(self.cpu_quota.0).map_or(Limit::Unknown, |_| Limit::Unlimited);
        let set = text::cpu_list(self.cpuset_cpus.as_str().as_bytes()).map_or(Limit::Unknown, |cpus| Limit::Of(Cores(cpus.into())));
        let memory = bytes(self.memory);
        Limits {
            cores: quota.map_or(said_quota, |cores| Limit::Of(Cores(cores))).tightest(set),
            memory: match memory {
                Some(memory) => Limit::Of(memory),
                None => self.memory.0.map_or(Limit::Unknown, |_| Limit::Unlimited),
            },
            // MemorySwap is memory and swap together; the daemon fills it in when only Memory is set.
            swap: match (self.memory_swap.0, memory) {
                (Some(-1), _) | (Some(0), None) => Limit::Unlimited,
                (Some(both), Some(memory)) if both > 0 => Limit::Of(Bytes(both.unsigned_abs()).less(memory)),
                _ => Limit::Unknown,
            },
            pids: self.pids_limit.0.and_then(|pids| u64::try_from(pids).ok()).filter(|pids| *pids > 0).map_or(Limit::Unlimited, Limit::Of),
        }
    }
}

/// Who an event speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) about: Arc<ContainerAbout>,
    pub(super) task: Option<Arc<Task>>,
}

/// Who the words of an event say it is: image, name and all labels stand among them (Engine API, `EventActor`).
pub(super) fn spoken(id: ContainerId, words: &HashMap<String, String>) -> Spoken {
    let word = |name: &str| words.get(name).filter(|word| (1..=4_096).contains(&word.len())).map(|word| Arc::<str>::from(word.as_str()));
    let compose = || Some(Compose { project: word(PROJECT)?, service: word(SERVICE)? });
    let ecs = ecs(word);
    let about = about(id, word("name").and_then(|word| name(&word)), word("image"), None, compose(), ecs.as_ref());
    Spoken { about: Arc::new(about), task: ecs.map(|ecs| ecs.task) }
}

/// When the run that began at `started` ended. After a restart FinishedAt still belongs to the run before. But Docker notes the start once the process runs, and one that
/// is over at once has its end noted before that.
fn end_of(started: Option<Timestamp>, finished: Timestamp) -> Option<Timestamp> {
    let Some(started) = started.filter(|started| finished < *started) else { return Some(finished) };
    (started.duration_since(finished) <= AT_ONCE).then_some(started)
}

/// The longest that Docker takes to note a start.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(1);

/// How a container ended that was never asked for.
pub(super) fn ended(Spoken { about, task }: Spoken, started: Option<Timestamp>, ended: Timestamp, exit: Option<i64>, oom: bool) -> RuntimeContainer {
    RuntimeContainer {
        task,
        exit,
        oom: oom.then_some(true),
        started: started.filter(|started| *started <= ended),
        ended: Some(ended),
        ..RuntimeContainer::new(about, State::Exited)
    }
}

/// What `GET /version` says of the daemon.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Version {
    pub(super) version: Text,
    pub(super) api_version: Text,
    #[serde(rename = "MinAPIVersion")]
    pub(super) min_api_version: Text,
}

/// What `GET /info` is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Info {
    pub(super) docker_root_dir: Text,
}

fn id(text: &Text) -> Option<ContainerId> {
    text.0.as_deref().filter(|text| is_id(text)).map(ContainerId::from)
}

/// Whether it can be asked for: it will stand in a path.
pub(in crate::sources) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn name(text: &str) -> Option<Arc<str>> {
    let name = text.strip_prefix('/').unwrap_or(text);
    (!name.is_empty()).then(|| name.into())
}

fn state(word: &str) -> Option<State> {
    Some(match word {
        // Newer daemons say that a stop was asked for; the processes still run.
        "running" | "stopping" => State::Running,
        "paused" => State::Paused,
        "restarting" => State::Restarting,
        "created" => State::Created,
        "removing" => State::Removing,
        "exited" => State::Exited,
        "dead" => State::Dead,
        _ => return None,
    })
}

fn health_word(word: &str) -> Option<Health> {
    match word {
        "starting" => Some(Health::Starting),
        "healthy" => Some(Health::Healthy),
        "unhealthy" => Some(Health::Unhealthy),
        _ => None,
    }
}

fn network(mode: &str) -> Network {
    match mode {
        "" => Network::Unknown,
        "host" => Network::Host,
        _ => mode.strip_prefix("container:").map_or(Network::Own, |of| Network::Of(of.into())),
    }
}

/// An RFC 3339 time; Docker's zero time (year 1) and everything before 1970 is `None`.
pub(in crate::sources) fn time(text: &Text) -> Option<Timestamp> {
    text.as_str().parse().ok().filter(|time: &Timestamp| *time > Timestamp::UNIX_EPOCH)
}

fn bytes(number: Number) -> Option<Bytes> {
    number.0.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_noted_before_its_start_is_of_a_run_that_was_over_at_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let started = at("2026-11-25T17:26:15.780354242Z");
        for (finished, ended) in [
            // As Docker 20.10 told it of a container that exits at once.
            ("2026-11-25T17:26:15.779360612Z", Some("2026-11-25T17:26:15.780354242Z")),
            ("2026-11-25T17:26:15.790031743Z", Some("2026-11-25T17:26:15.790031743Z")),
            ("2026-11-25T17:26:14.7Z", None),
        ] {
            assert_eq!(end_of(Some(started), at(finished)), ended.map(at), "{finished}");
        }
        assert_eq!(end_of(None, started), Some(started));
    }
}
