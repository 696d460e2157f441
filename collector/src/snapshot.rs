//! What one look at a host says, believed and joined: plain data. Identity is shared (`Arc`) from look to look, what a thing uses between snapshot and report.

mod cluster;
mod machine;
mod sizes;
mod sockets;
mod task;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::identity::{CgroupPath, ContainerId, Key};
use crate::units::{Bytes, Cores, Limit, Stamp, seconds};

pub use cluster::{ClusterTasks, Deployments, EcsCluster, Service, Tare, TaskCount, TaskKind};
pub use machine::{Activity, BlockDevice, CpuModes, FileSystem, Link, Machine, Meminfo, Paging, Room, Transfers, Used};
pub use sizes::{Layer, Volume};
pub use sockets::{Sockets, Tcp, Udp};
pub use task::{ClockDrift, ContainerInstance, Launch, Role, Storage, Task, TaskState};

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

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: Option<Arc<str>>,
    /// `x86_64`, `aarch64`.
    pub arch: Option<Arc<str>>,
    /// `linux`.
    pub os: Option<Arc<str>>,
    /// Kernel release.
    pub kernel: Option<Arc<str>>,
    /// Changes at every boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Option<Arc<str>>,
    /// When the kernel started (`btime` of `/proc/stat`).
    pub booted: Option<Timestamp>,
    /// Online logical CPUs.
    pub cores: Option<u32>,
    /// `MemTotal`.
    pub memory: Option<Bytes>,
    /// Mean run-queue length over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// What the whole machine uses: CPU time, memory (used = total - free; working set = that - inactive file pages), pressure, block devices, network
    /// (bridges and interfaces that end in a container left out: their traffic is the containers') and its sockets.
    pub usage: Usage,
    /// What else the kernel counts of the whole machine.
    pub machine: Option<Arc<Machine>>,
    /// File systems Tare depends on.
    pub disks: Vec<Disk>,
    /// Which cgroup trees are here.
    pub cgroups: Option<CgroupVersion>,
    /// The container runtime's own words.
    pub docker: Option<Arc<Docker>>,
    /// Docker's volumes, sorted by name, where they are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Seen<Arc<[Volume]>>>,
    /// The EC2 instance, by the settings, the metadata service, or what AWS says of it.
    pub instance: Instance,
    /// What ECS knows of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs: Option<ContainerInstance>,
    /// The short name of the ECS cluster that the machine, or the one task that is seen, belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Arc<str>>,
    /// What Tare itself uses.
    pub own: Option<Own>,
    /// CPU time that workloads were seen to use, those that have ended among them: what the system row leaves out of the root's. JSON: seconds.
    #[serde(default, with = "seconds::option")]
    pub attributed: Option<Duration>,
}

/// EC2 facts; each may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-0123456789abcdef0`; of a machine of ECS Anywhere `mi-0123456789abcdef0`.
    pub id: Option<Arc<str>>,
    /// `m7i.large`.
    pub kind: Option<Arc<str>>,
    /// `us-east-1`.
    pub region: Option<Arc<str>>,
    /// `us-east-1b`.
    pub zone: Option<Arc<str>>,
    /// 12 digits.
    pub account: Option<Arc<str>>,
    /// How it is bought.
    pub market: Option<Market>,
    /// When EC2 will take it back; said about two minutes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Notice>,
    /// Since when it is more likely than others to be taken back (EC2 rebalance recommendation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Timestamp>,
}

impl Instance {
    /// What this knows, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: &Instance) -> Instance {
        let or = |one: Option<Arc<str>>, other: &Option<Arc<str>>| one.or_else(|| other.clone());
        Instance {
            id: or(self.id, &other.id),
            kind: or(self.kind, &other.kind),
            region: or(self.region, &other.region),
            zone: or(self.zone, &other.zone),
            account: or(self.account, &other.account),
            market: self.market.or(other.market),
            interruption: self.interruption.or(other.interruption),
            rebalance: self.rebalance.or(other.rebalance),
        }
    }
}

/// What EC2 will do with a Spot instance (IMDS `spot/instance-action`). AWS: "Spot Instance interruption notices".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What will be done; `None` for a word we do not know.
    pub what: Option<Interruption>,
    /// When, about.
    pub at: Timestamp,
}

/// How a Spot instance is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "AWS's own words")]
pub enum Interruption {
    Terminate,
    Stop,
    Hibernate,
}

/// How an instance is bought (IMDS `instance-life-cycle`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At list price.
    OnDemand,
    /// Interruptible.
    Spot,
    /// Reserved block for ML.
    CapacityBlock,
}

/// Which hierarchy carries the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// One tree a controller.
    V1,
    /// One tree.
    V2,
    /// v1 controllers beside a v2 tree that has none of the ones we need.
    Hybrid,
}

/// The Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docker {
    /// `26.1.5`.
    pub version: Arc<str>,
    /// The newest API it speaks: `1.45`.
    pub api: Arc<str>,
    /// Where its data lies.
    pub root: Option<Arc<str>>,
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// `state` or `docker`.
    pub what: Arc<str>,
    /// The path asked about.
    pub path: Arc<str>,
    /// All of it.
    pub size: Bytes,
    /// What an unprivileged process may still write.
    pub available: Bytes,
}

/// Tare's own use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// CPU time since Tare started.
    #[serde(with = "seconds")]
    pub cpu: Duration,
    /// Resident memory.
    pub memory: Bytes,
}

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

/// What something uses. Each group is known or not, on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU.
    pub cpu: Option<Seen<Cpu>>,
    /// Memory.
    pub memory: Option<Seen<Memory>>,
    /// Block devices. Known and empty: nothing read or written yet.
    pub io: Option<Seen<Io>>,
    /// Network interfaces, `lo` left out. Of a name space in which nothing runs read at every sixth look.
    pub net: Option<Seen<Net>>,
    /// Pressure stall information.
    pub pressure: Option<Seen<Pressure>>,
    /// Processes and threads (`pids.current`).
    pub pids: Option<Seen<u64>>,
    /// Processes, without their threads (`cgroup.procs`); those of cgroups nested in it are not known. Read at every twelfth look.
    pub processes: Option<Seen<u64>>,
    /// Open files of its processes. Read at every twelfth look.
    pub files: Option<Seen<OpenFiles>>,
    /// Huge pages, where the machine has some. Read at every twelfth look.
    pub huge: Option<Seen<Huge>>,
    /// Sockets, where `net` is. Read in every sixth to thirtieth look, by how many name spaces there are, and shared between those.
    pub sockets: Option<Arc<Seen<Sockets>>>,
}

/// Open files of some processes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenFiles {
    /// Descriptors, summed over the processes. Known without a right since Linux 6.2 (the size of `/proc/<pid>/fd`), else only of one's own.
    pub open: Option<u64>,
    /// How many its first process may have open (soft `Max open files` of `/proc/<pid>/limits`).
    pub limit: Limit<u64>,
}

/// One row a page size; two fit without an allocation.
pub type Huge = SmallVec<[HugePages; 2]>;

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// The size of one.
    pub size: Bytes,
    /// All in use.
    pub used: Bytes,
}

/// CPU time since the cgroup was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of it.
    #[serde(with = "seconds")]
    pub time: Duration,
    /// In user mode and in the kernel (v1: in ticks of 10 ms).
    pub split: Option<CpuSplit>,
    /// Where a quota can throttle.
    pub throttling: Option<Throttling>,
}

/// Where CPU time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSplit {
    /// User mode.
    #[serde(with = "seconds")]
    pub user: Duration,
    /// Kernel mode.
    #[serde(with = "seconds")]
    pub system: Duration,
}

/// CFS bandwidth control (kernel: Documentation/scheduler/sched-bwc.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Enforcement periods that passed with something to run.
    pub periods: u64,
    /// Periods that ran into the quota.
    pub throttled: u64,
    /// Time waited, summed over CPUs.
    #[serde(with = "seconds")]
    pub time: Duration,
}

/// Memory, each figure known on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// `memory.current`, v1 `memory.usage_in_bytes`.
    pub used: Option<Bytes>,
    /// Used less inactive file pages, never below zero.
    pub working_set: Option<Bytes>,
    /// Anonymous pages; v1 `total_rss`.
    pub anon: Option<Bytes>,
    /// Page cache, tmpfs included; v1 `total_cache`.
    pub file: Option<Bytes>,
    /// tmpfs and shared memory, part of `file`.
    pub shmem: Option<Bytes>,
    /// Kernel slab; v1 `memory.kmem.usage_in_bytes` is all kernel memory and stands in `kernel`.
    pub slab: Option<Bytes>,
    /// All kernel memory.
    pub kernel: Option<Bytes>,
    /// Socket buffers.
    pub sock: Option<Bytes>,
    /// Pages of files that processes have mapped, part of `file`.
    pub mapped: Option<Bytes>,
    /// Pages of files that wait to be written.
    pub dirty: Option<Bytes>,
    /// Pages of files that are being written.
    pub writeback: Option<Bytes>,
    /// Anonymous pages used lately, tmpfs among them.
    pub active_anon: Option<Bytes>,
    /// Anonymous pages not used lately, tmpfs among them.
    pub inactive_anon: Option<Bytes>,
    /// Pages of files used lately.
    pub active_file: Option<Bytes>,
    /// Pages of files not used lately: the first to go.
    pub inactive_file: Option<Bytes>,
    /// Pages that cannot be reclaimed.
    pub unevictable: Option<Bytes>,
    /// Stacks in the kernel (v2).
    pub kernel_stack: Option<Bytes>,
    /// Page tables (v2).
    pub page_tables: Option<Bytes>,
    /// Memory that holds what zswap has compressed (v2).
    pub zswap: Option<Bytes>,
    /// What lies compressed in it (v2); part of `swap`.
    pub zswapped: Option<Bytes>,
    /// The highest `used` so far.
    pub peak: Option<Bytes>,
    /// Swapped out; v1 memsw less usage, never below zero.
    pub swap: Option<Bytes>,
    /// Page faults of all kinds.
    pub faults: Option<u64>,
    /// Page faults that had to read from disk.
    pub major_faults: Option<u64>,
    /// Pages that were needed again soon after they had been thrown out: the sign of too little memory.
    pub refaults: Option<u64>,
    /// Throttled at `memory.high` (v2).
    pub high_events: Option<u64>,
    /// Ran into the limit; v1 `memory.failcnt`.
    pub max_events: Option<u64>,
    /// Out of memory (v2).
    pub oom_events: Option<u64>,
    /// Processes killed.
    pub oom_kills: Option<u64>,
}

impl Memory {
    /// What a table shows and a bill charges: the working set, or all that is used where nobody can say how much of it is idle cache.
    // Of its own, never inlined: LLVM 22 (rustc 1.95) takes the two for an array, and asks it at a place made of unwritten bytes before it asks whether the memory is
    // known at all. The release build died of it while containers were known by name alone.
    #[inline(never)]
    pub fn held(&self) -> Option<Bytes> {
        self.working_set.or(self.used)
    }
}

/// One row a device; two fit without an allocation.
pub type Io = SmallVec<[IoDevice; 2]>;

/// What went to and from one block device. Stacked devices repeat the bytes of the ones below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoDevice {
    /// Which.
    pub device: Device,
    /// Bytes read.
    pub read: Bytes,
    /// Bytes written.
    pub written: Bytes,
    /// Read operations; v1 keeps them in a file of their own.
    pub reads: Option<u64>,
    /// Write operations.
    pub writes: Option<u64>,
}

/// Adds what another cgroup's devices carried.
pub(crate) fn add_devices(sum: &mut Io, other: &[IoDevice]) {
    for device in other {
        match sum.iter_mut().find(|had| had.device == device.device) {
            None => sum.push(*device),
            Some(had) => {
                had.read = Bytes(had.read.0.saturating_add(device.read.0));
                had.written = Bytes(had.written.0.saturating_add(device.written.0));
                had.reads = had.reads.zip(device.reads).map(|(a, b)| a.saturating_add(b));
                had.writes = had.writes.zip(device.writes).map(|(a, b)| a.saturating_add(b));
            }
        }
    }
}

/// A block device's number. JSON: `"259:0"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Device {
    /// Driver.
    pub major: u32,
    /// Unit.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Device, String> {
        let parts = text.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parts.map(|(major, minor)| Device { major, minor }).ok_or_else(|| format!("{text:?} is no MAJOR:MINOR"))
    }
}

/// One row an interface; two fit without an allocation.
pub type Net = SmallVec<[Interface; 2]>;

/// Counters of one interface of one network name space (`/proc/<pid>/net/dev`), seen from inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, bytes that are no UTF-8 replaced.
    pub name: Arc<str>,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes.
    pub bytes: Bytes,
    /// Packets.
    pub packets: u64,
    /// Bad packets.
    pub errors: u64,
    /// Packets dropped.
    pub dropped: u64,
}

impl Traffic {
    /// Adds what another interface carried.
    pub(crate) fn add(&mut self, other: Traffic) {
        self.bytes = Bytes(self.bytes.0.saturating_add(other.bytes.0));
        self.packets = self.packets.saturating_add(other.packets);
        self.errors = self.errors.saturating_add(other.errors);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }
}

/// Time in which work waited for a resource (kernel: Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// CPU.
    pub cpu: Option<Stall>,
    /// Memory.
    pub memory: Option<Stall>,
    /// Block devices.
    pub io: Option<Stall>,
}

/// The two `total` figures of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// At least one task waited.
    #[serde(with = "seconds")]
    pub some: Duration,
    /// All tasks waited.
    #[serde(with = "seconds::option")]
    pub full: Option<Duration>,
}
