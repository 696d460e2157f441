//! What runs: workloads and their containers, who they are, how they are, what they asked for and may have.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Layer, Role, Seen, Task, TaskState, Usage};
use crate::identity::{CgroupPath, ContainerId, Key};
use crate::units::{Bytes, Cores, Limit, seconds};

/// What runs as one: an ECS task, a pod, a loose container, a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Who it is.
    pub about: Arc<About>,
    /// Its own cgroup, where it has one: task slice, pod cgroup, unit, the loose container itself.
    pub cgroup: Option<CgroupPath>,
    /// Names this making of its cgroup; 0 without one.
    pub start: u64,
    /// The best state of its containers; a unit that has a cgroup runs.
    pub state: State,
    /// When it started, if anyone said.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How far an ECS task has come, and what it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Arc<TaskState>>,
    /// What it asked for: its own, else the sum over its containers where all asked.
    pub asked: Asked,
    /// Set on its own cgroup (task slice, pod cgroup, the container itself).
    pub own: Limits,
    /// The tightest of its own and every ancestor's.
    pub limits: Limits,
    /// Its own cgroup where it has one, else the sum over its containers. The network is each name space once. Shared with what is the same thing.
    pub usage: Arc<Usage>,
    /// What its own cgroup used and no container of it was seen to use. `None` where it has no cgroup above its containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remainder: Option<Remainder>,
    /// Sorted by id. A unit has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
}

/// A parent's counter is its children's and this: what came and went unseen between two looks, or before the first. It never goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remainder {
    /// CPU time. JSON: seconds.
    #[serde(with = "seconds")]
    pub cpu: Duration,
    /// CPU time that its containers were seen to use, those that have ended among them. JSON: seconds.
    #[serde(with = "seconds")]
    pub attributed: Duration,
}

/// Who a workload is. Shared between looks while nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// For as long as it lives.
    pub key: Key,
    /// The `workload` label: ECS service, else family; compose service, else container name; unit name; pod uid and task id until named.
    pub name: Arc<str>,
    /// The compose project it belongs to.
    pub project: Option<Arc<str>>,
    /// What is known of an ECS task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Arc<Task>>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Who it is.
    pub about: Arc<ContainerAbout>,
    /// Names one start of it: a cgroup removed and made again, or a restart, gives another number.
    pub start: u64,
    /// Where it lives in the tree.
    pub cgroup: Option<CgroupPath>,
    /// As the runtime says; a container known by its cgroup alone runs.
    pub state: State,
    /// The runtime's health check.
    pub health: Option<Health>,
    /// How often the runtime started it again.
    pub restarts: Option<u64>,
    /// The last exit code, once it has ended.
    pub exit: Option<i64>,
    /// The runtime says the kernel killed it for memory.
    pub oom: Option<bool>,
    /// When this run started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it asked for.
    pub asked: Asked,
    /// Its own limits.
    pub own: Limits,
    /// The tightest of its own and every ancestor's.
    pub limits: Limits,
    /// Its weights.
    pub weights: Weights,
    /// Whose network it uses.
    pub net: NetOwner,
    /// What it uses. The network is filled only where `net` is `Own`.
    pub usage: Arc<Usage>,
    /// What it takes on disk, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Seen<Layer>>,
}

/// Who a container is. Shared between looks while nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerAbout {
    /// Its id.
    pub id: ContainerId,
    /// Its name in the task definition, else the runtime's, without Docker's leading slash. `None` until somebody names it.
    pub name: Option<Arc<str>>,
    /// The image as asked for: `nginx:1.27`.
    pub image: Option<Arc<str>>,
    /// `sha256:…` of the image in use.
    pub digest: Option<Arc<str>>,
    /// Compose project and service.
    pub compose: Option<Compose>,
    /// What it is in its task or pod.
    #[serde(default)]
    pub role: Role,
}

impl ContainerAbout {
    /// Its name, else the first 12 characters of its id.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.short())
    }
}

/// Docker Compose's labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compose {
    /// `com.docker.compose.project`.
    pub project: Arc<str>,
    /// `com.docker.compose.service`.
    pub service: Arc<str>,
}

/// Docker's states, and `Ended` for what has left the tree without anyone saying how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its processes run.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Made, never started.
    Created,
    /// Being deleted.
    Removing,
    /// Ended, still known to the runtime.
    Exited,
    /// Could not be deleted.
    Dead,
    /// Gone from the tree.
    Ended,
}

/// A health check's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No verdict yet.
    Starting,
    /// The last check passed.
    Healthy,
    /// Enough checks failed.
    Unhealthy,
}

/// Whose network a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetOwner {
    /// Nobody could say.
    #[default]
    Unknown,
    /// Its own name space: the figures stand here.
    Own,
    /// That of another container: the figures stand there.
    Of(ContainerId),
    /// That of its task or pod: the figures stand there.
    Workload,
    /// The host's: not measurable for one container.
    Host,
}

/// What the owner asked for. `None` is "nothing asked".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// CPU cores.
    pub cores: Option<Cores>,
    /// Memory.
    pub memory: Option<Bytes>,
}

impl Asked {
    /// What this asks for, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: Asked) -> Asked {
        Asked { cores: self.cores.or(other.cores), memory: self.memory.or(other.memory) }
    }
}

/// Limits of one cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU quota or cpuset.
    pub cores: Limit<Cores>,
    /// Memory.
    pub memory: Limit<Bytes>,
    /// Swap.
    pub swap: Limit<Bytes>,
    /// Processes and threads.
    pub pids: Limit<u64>,
}

impl Limits {
    /// The tightest of two sets of limits, each on its own.
    #[must_use]
    pub fn tightest(self, other: Limits) -> Limits {
        Limits {
            cores: self.cores.tightest(other.cores),
            memory: self.memory.tightest(other.memory),
            swap: self.swap.tightest(other.swap),
            pids: self.pids.tightest(other.pids),
        }
    }
}

/// Weights, in the units of the tree they come from (not convertible: runc's formula changed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// v1 `cpu.shares`, 2 and up.
    pub cpu_shares: Option<u64>,
    /// v2 `cpu.weight`, 1 to 10,000.
    pub cpu_weight: Option<u64>,
    /// v1 `blkio.weight` or v2 `io.weight` (its default row).
    pub io_weight: Option<u64>,
}
