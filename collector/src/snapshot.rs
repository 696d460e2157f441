//! What one look at a host says, believed and joined: plain data. Identity is shared (`Arc`) from look to look, what a thing uses between snapshot and report.

mod cluster;
mod host;
mod machine;
mod sizes;
mod sockets;
mod task;
mod usage;
mod workload;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::Stamp;

pub use cluster::{ClusterTasks, Deployments, EcsCluster, Service, Tare, TaskCount, TaskKind};
pub use host::{CgroupVersion, Disk, Docker, Host, Instance, Interruption, Market, Notice, Own};
pub use machine::{Activity, BlockDevice, CpuModes, FileSystem, Link, Machine, Meminfo, Paging, Room, Transfers, Used};
pub use sizes::{Layer, Volume};
pub use sockets::{Sockets, Tcp, Udp};
pub use task::{ClockDrift, ContainerInstance, Launch, Role, Storage, Task, TaskState};
pub(crate) use usage::add_devices;
pub use usage::{Cpu, CpuSplit, Device, Huge, HugePages, Interface, Io, IoDevice, Memory, Net, OpenFiles, Pressure, Stall, Throttling, Traffic, Usage};
pub use workload::{About, Asked, Compose, Container, ContainerAbout, Health, Limits, NetOwner, Remainder, State, Weights, Workload};

/// One look at one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the look ended.
    pub at: Stamp,
    /// How much of the world was looked at.
    #[serde(default)]
    pub scope: Scope,
    /// The machine, as far as anyone could say.
    pub host: Host,
    /// Sorted by key.
    pub workloads: Vec<Workload>,
    /// The ECS cluster, where it is looked at as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs: Option<Arc<EcsCluster>>,
    /// What could not be seen, and why. Sorted.
    pub gaps: Vec<Gap>,
    /// What the bounds of the settings left out.
    #[serde(default)]
    pub cut: Cut,
}

/// How much of the world one look sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything on one machine.
    #[default]
    Node,
    /// The task that Tare is part of, and nothing else of the machine.
    Task,
    /// What no machine sees of a whole cluster, and no machine of it.
    Cluster,
}

/// Things that are there and were left out of a look, because there are more than the settings allow. A gap says the same in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Cgroups, above `cgroup.max_groups`.
    pub cgroups: u64,
    /// Containers of Docker's list, above `docker.max_containers`.
    pub containers: u64,
    /// Services of a cluster above the bound, at least so many.
    #[serde(default)]
    pub services: u64,
    /// Tasks of a cluster above the bound, at least so many.
    #[serde(default)]
    pub tasks: u64,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceName {
    /// The cgroup tree.
    Cgroup,
    /// `/proc/<pid>/net/dev`.
    Net,
    /// The kernel's files about the whole machine.
    Host,
    /// The Docker API.
    Docker,
    /// The Docker API's stats, where the tree does not show Docker's containers.
    #[serde(rename = "docker-stats")]
    DockerStats,
    /// The Docker API's measuring of containers' layers and of volumes.
    #[serde(rename = "docker-sizes")]
    DockerSizes,
    /// The task metadata endpoint of ECS.
    #[serde(rename = "ecs-task")]
    EcsTask,
    /// The introspection API of the ECS agent.
    #[serde(rename = "ecs-agent")]
    EcsAgent,
    /// The ECS API.
    Ecs,
    /// The ECS API, asked about a whole cluster.
    #[serde(rename = "ecs-cluster")]
    EcsCluster,
    /// The EC2 instance metadata service.
    Imds,
    /// Values given in the settings.
    Settings,
}

impl SourceName {
    /// The word used in metrics, gaps and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceName::Cgroup => "cgroup",
            SourceName::Net => "net",
            SourceName::Host => "host",
            SourceName::Docker => "docker",
            SourceName::DockerStats => "docker-stats",
            SourceName::DockerSizes => "docker-sizes",
            SourceName::EcsTask => "ecs-task",
            SourceName::EcsAgent => "ecs-agent",
            SourceName::Ecs => "ecs",
            SourceName::EcsCluster => "ecs-cluster",
            SourceName::Imds => "imds",
            SourceName::Settings => "settings",
        }
    }
}

/// Something that could not be seen. Said once for the host, not once for each container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// Who tried.
    pub from: SourceName,
    /// What is missing, a short word: `pressure`, `containers`, `network`.
    pub what: Arc<str>,
    /// Why: what happened, to what.
    pub why: Arc<str>,
}

/// A group of figures, when it was read and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// Taken right after the group's reads.
    pub at: Stamp,
    /// Two readings by different sources are never compared.
    pub from: SourceName,
    /// The figures.
    pub is: T,
}
