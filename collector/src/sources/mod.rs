//! Everything that can be looked at, and what a look brings back.
//!
//! Two kinds: [`Look`] reads kernel files and runs on the looker's own thread, [`Source`] asks over a socket and is async.

pub mod cgroup;
pub mod docker;
pub mod ecs_agent;
pub mod ecs_task;
pub mod given;
pub mod host;
pub mod imds;
mod lenient;
pub mod net;
mod probe;
pub mod psi;
pub mod text;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::identity::{CgroupPath, ContainerId, TaskId};
pub use crate::identity::{Owner, Within};
use crate::snapshot::{
    Asked, CgroupVersion, ContainerAbout, Cut, Docker, EcsCluster, Gap, Health, Host, Instance, Layer, Limits, Net, Seen, Sockets, SourceName, State, Task,
    TaskState, Usage, Volume, Weights,
};
use crate::units::Stamp;

/// A source behind a socket.
pub trait Source: Send {
    /// Who it is.
    fn name(&self) -> SourceName;

    /// How long a reading stays fresh. Events may bring the next turn forward.
    fn every(&self) -> Duration;

    /// How long one read may take before it becomes a gap.
    fn deadline(&self) -> Duration;

    /// One read, done by `by`. It never fails: what cannot be read is a gap in the reading.
    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading>;

    /// Whether it stands in for others. Such a one is asked last, after the kernel's files were read, and is shown what all of them said.
    fn stands_in(&self) -> bool {
        false
    }

    /// Shows one that stands in what the others said at this look, those that failed among them.
    fn hear(&mut self, _said: &[Arc<Reading>]) {}
}

/// A source made of kernel files. A file system may hang (NFS), so it runs on a thread of its own.
pub trait Look: Send {
    /// Who it is.
    fn name(&self) -> SourceName;

    /// One look. `known` holds the newest readings of the other sources, those of this turn's earlier looks among them.
    fn look(&mut self, known: &[Arc<Reading>]) -> Reading;
}

/// What one source said in one turn.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Who said it.
    pub from: SourceName,
    /// When the read ended.
    pub at: Stamp,
    /// What was said. `None`: nothing, and the gaps say why.
    pub told: Option<Told>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// What is missing where a source gave no answer at all: it hangs, rests or broke. It may know more than we do.
pub const UNANSWERED: &str = "reading";

impl Reading {
    /// Whether the source itself spoke: it told something, or knows why it cannot.
    pub fn is_answer(&self) -> bool {
        self.told.is_some() || !self.gaps.iter().any(|gap| &*gap.what == UNANSWERED)
    }
}

/// What a source can say.
#[derive(Clone, Debug)]
pub enum Told {
    /// The cgroup tree.
    Tree(Box<Tree>),
    /// Network name spaces.
    Spaces(Spaces),
    /// The machine: everything but `cgroups`, `docker` and `instance`.
    Host(Box<Host>),
    /// The Docker daemon and its containers.
    Docker(Containers),
    /// What Docker's stats say of containers that the tree does not show.
    Stats(Stats),
    /// What Docker measured on its disk.
    Sizes(Sizes),
    /// ECS tasks.
    Tasks(Tasks),
    /// A whole ECS cluster.
    Cluster(ClusterTold),
    /// The EC2 instance.
    Instance(Instance),
}

/// The cgroups that matter: containers, units, and the tasks and pods above containers. Parents stand before children.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Which hierarchies carry the controllers.
    pub version: CgroupVersion,
    /// The root's own figures (CPU; where the kernel has them io and pids).
    pub root: Usage,
    /// One row a cgroup.
    pub groups: Vec<Group>,
    /// Containers whose cgroup was removed since the last look, in that order. Empty where nobody watched: a recorded host, no inotify.
    pub ended: Vec<Ended>,
    /// Groups left out because there were more than the settings allow.
    pub cut: u64,
}

/// A container whose cgroup is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What was last read of it; its limits and weights never are. One that was there before Tare began to watch, or that was gone before it could be read,
    /// has no figures, and `start` may be 0: not known.
    pub group: Group,
    /// When its cgroup was made, if that was seen.
    pub made: Option<Stamp>,
    /// When its cgroup was removed.
    pub gone: Stamp,
}

/// One cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Where it is.
    pub path: CgroupPath,
    /// Who it is, by its path alone.
    pub owner: Owner,
    /// Names this making of the path: its inode number; recorded hosts: `identity.json`, else 0.
    pub start: u64,
    /// Its own limits.
    pub own: Limits,
    /// The tightest of its own and every ancestor's.
    pub limits: Limits,
    /// Its weights.
    pub weights: Weights,
    /// What it uses. `net` is never filled here.
    pub usage: Usage,
}

/// Network name spaces of containers, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spaces {
    /// Each name space that is not the host's.
    pub spaces: Vec<Space>,
    /// Which container uses which.
    pub of: HashMap<ContainerId, SpaceOf>,
}

/// One network name space.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Its number (the inode number of `net/dev`); the same for all who share it.
    pub id: u64,
    /// When its counters were read.
    pub at: Stamp,
    /// Its interfaces, `lo` left out.
    pub net: Net,
    /// Its sockets, as they were last read.
    pub sockets: Option<Arc<Seen<Sockets>>>,
}

/// Where a container's traffic is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceOf {
    /// In this place of `spaces`.
    Space(usize),
    /// In the host's own: not measurable for one container.
    Host,
}

/// What the Docker daemon says.
#[derive(Clone, Debug, PartialEq)]
pub struct Containers {
    /// The daemon; unknown where a recorded one does not say its version.
    pub docker: Option<Arc<Docker>>,
    /// Running, paused and restarting ones, and those that ended in the last minutes. Sorted by id.
    pub containers: Vec<Arc<RuntimeContainer>>,
    /// Containers left out because there were more than the settings allow.
    pub cut: u64,
}

/// What a source says of ECS tasks: the metadata endpoint of its own one, the agent of all on this machine, the API of those it was asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tasks {
    /// The task that Tare itself is part of.
    pub own: Option<TaskId>,
    /// The short name of the cluster this machine is registered in.
    pub cluster: Option<Arc<str>>,
    /// The id of the container instance that this machine is.
    pub instance: Option<Arc<str>>,
    /// The version of the ECS agent: `1.105.1`.
    pub agent: Option<Arc<str>>,
    /// Sorted by id.
    pub tasks: Vec<Arc<ToldTask>>,
    /// The container instances that tasks run on, where the source knows them. Sorted by id.
    pub instances: Vec<Arc<ToldInstance>>,
    /// What the tasks' containers use, where the source counts it. Sorted by id.
    pub stats: Vec<ContainerStats>,
}

/// What the ECS API says of a whole cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterTold {
    /// The cluster; the same allocation while nothing new is known.
    pub cluster: Arc<EcsCluster>,
    /// What bounds left out of it.
    pub cut: Cut,
}

/// One task, as a source says. The same allocation while nothing of it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldTask {
    /// Which.
    pub id: TaskId,
    /// Who it is.
    pub about: Arc<Task>,
    /// How far it is.
    pub state: Arc<TaskState>,
    /// Its containers, as far as the source knows them. Sorted by id. Those that share one network name space join the first of them.
    pub containers: Vec<Arc<RuntimeContainer>>,
}

/// A container instance: what ECS calls a machine that tasks run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldInstance {
    /// The last part of its ARN.
    pub id: Arc<str>,
    /// The capacity provider it belongs to.
    pub provider: Option<Arc<str>>,
    /// The version of its ECS agent: `1.105.1`.
    pub agent: Option<Arc<str>>,
    /// The machine: an EC2 instance, or one of ECS Anywhere, whose id begins with `mi-`.
    pub machine: Instance,
}

/// What Docker's stats say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Containers that run and are not in the tree. Sorted by id.
    pub containers: Vec<ContainerStats>,
    /// Online CPUs of the daemon's machine.
    pub online: Option<u32>,
}

/// What Docker measured on its disk, each when it last could.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sizes {
    /// Of the containers that ran. Sorted by id, each once.
    pub layers: Option<Seen<Layers>>,
    /// Sorted by name.
    pub volumes: Option<Seen<Arc<[Volume]>>>,
}

/// Containers and what they take on disk.
pub type Layers = Arc<[(ContainerId, Layer)]>;

impl Sizes {
    /// That of one container.
    pub fn layer(&self, id: &ContainerId) -> Option<Seen<Layer>> {
        let seen = self.layers.as_ref()?;
        let at = seen.is.binary_search_by(|(one, _)| one.cmp(id)).ok()?;
        Some(Seen { at: seen.at, from: seen.from, is: seen.is[at].1 })
    }
}

/// One container, by Docker's stats.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    /// Who it is.
    pub id: ContainerId,
    /// What it uses, each group stamped with the daemon's own time of reading. The network is that of the name space it is in.
    pub usage: Usage,
    /// Memory and pids as its cgroup has them; all else is unknown.
    pub limits: Limits,
}

/// One container, as a runtime says: Docker's list and inspect, or ECS. The environment, the command and the health log are never kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeContainer {
    /// Who it is; the same allocation while nothing of it changes.
    pub about: Arc<ContainerAbout>,
    /// The ECS task its labels name, with its ARN. Anybody can set labels: where a cgroup says otherwise, it is right.
    pub task: Option<Arc<Task>>,
    /// Its state.
    pub state: State,
    /// Its health check.
    pub health: Option<Health>,
    /// `RestartCount`.
    pub restarts: Option<u64>,
    /// `ExitCode`, once it has ended at least once.
    pub exit: Option<i64>,
    /// `OOMKilled`.
    pub oom: Option<bool>,
    /// `StartedAt` of the current run, while it runs, or of the last one; the zero time is `None`.
    pub started: Option<Timestamp>,
    /// `FinishedAt`, only where it is not older than `started`.
    pub ended: Option<Timestamp>,
    /// Its first process, by the host's numbers; 0 is `None`.
    pub pid: Option<u32>,
    /// Its network.
    pub network: Network,
    /// What was asked for by hand (design: CpuShares 0, 2 and 1024 are defaults).
    pub asked: Asked,
    /// Quota, memory and pids as the daemon set them: what stands in where the tree cannot be read.
    pub limits: Limits,
}

impl RuntimeContainer {
    /// A container of which nothing more is known.
    pub fn new(about: Arc<ContainerAbout>, state: State) -> RuntimeContainer {
        RuntimeContainer {
            about,
            task: None,
            state,
            health: None,
            restarts: None,
            exit: None,
            oom: None,
            started: None,
            ended: None,
            pid: None,
            network: Network::Unknown,
            asked: Asked::default(),
            limits: Limits::default(),
        }
    }
}

/// `HostConfig.NetworkMode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// `bridge`, `none`, `default`, a network's name: a name space of its own.
    Own,
    /// `host`.
    Host,
    /// `container:<id>`.
    Of(ContainerId),
    /// Not known (no inspect, no list entry).
    Unknown,
}

/// The metadata services that the sources' tests ask.
#[cfg(test)]
#[path = "../../../tests/fakes/metadata.rs"]
mod metadata;
