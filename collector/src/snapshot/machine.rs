//! What the kernel counts of the whole machine, beside what every cgroup has. Each figure is known on its own: a line that a kernel lacks is `None`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Device, Seen};
use crate::units::{Bytes, seconds};

/// The machine's own figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// CPU time by what the CPUs did, over all of them (`/proc/stat`).
    pub modes: Option<Seen<CpuModes>>,
    /// The same of each CPU that is online, by its number, 1,024 at most. In no report: it is long, and only a node overview asks for it.
    #[serde(skip)]
    pub cpus: Vec<(u32, CpuModes)>,
    /// What the scheduler did (`/proc/stat`).
    pub activity: Option<Seen<Activity>>,
    /// `/proc/meminfo`.
    pub memory: Option<Seen<Meminfo>>,
    /// `/proc/vmstat`.
    pub paging: Option<Seen<Paging>>,
    /// Block devices, sorted by name; partitions, loop and RAM disks left out (`/proc/diskstats`).
    pub disks: Option<Seen<Vec<BlockDevice>>>,
    /// Mounted file systems, each once, sorted by where it is mounted; those of the kernel and of containers left out. Read at every sixth look.
    pub filesystems: Arc<[FileSystem]>,
    /// How the network interfaces are, sorted by name. Read at every sixth look.
    pub links: Arc<[Link]>,
    /// File handles of all processes (`/proc/sys/fs/file-nr`). Read at every sixth look.
    pub files: Option<Used>,
    /// Connections that the firewall follows (`nf_conntrack`). Read at every sixth look.
    pub conntrack: Option<Used>,
}

/// CPU time since the kernel started, over all CPUs. Guest time is inside `user` and `nice`. JSON: seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the kernel's own names: Documentation/filesystems/proc.rst, 1.7")]
pub struct CpuModes {
    #[serde(with = "seconds")]
    pub user: Duration,
    #[serde(with = "seconds")]
    pub nice: Duration,
    #[serde(with = "seconds")]
    pub system: Duration,
    #[serde(with = "seconds")]
    pub idle: Duration,
    #[serde(with = "seconds::option")]
    pub iowait: Option<Duration>,
    #[serde(with = "seconds::option")]
    pub irq: Option<Duration>,
    #[serde(with = "seconds::option")]
    pub softirq: Option<Duration>,
    #[serde(with = "seconds::option")]
    pub steal: Option<Duration>,
    #[serde(with = "seconds::option")]
    pub guest: Option<Duration>,
    #[serde(with = "seconds::option")]
    pub guest_nice: Option<Duration>,
}

/// What the scheduler did since the kernel started, and what it has to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Switches from one task to another.
    pub context_switches: Option<u64>,
    /// Interrupts of all kinds.
    pub interrupts: Option<u64>,
    /// Soft interrupts.
    pub soft_interrupts: Option<u64>,
    /// Processes and threads made.
    pub forks: Option<u64>,
    /// Tasks that run or could run now.
    pub running: Option<u64>,
    /// Tasks that wait for a block device now.
    pub blocked: Option<u64>,
}

/// `/proc/meminfo`. Kernel: Documentation/filesystems/proc.rst, meminfo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meminfo {
    /// `MemFree`.
    pub free: Option<Bytes>,
    /// `MemAvailable`: what a new program could get without swapping.
    pub available: Option<Bytes>,
    /// `Buffers`.
    pub buffers: Option<Bytes>,
    /// `Cached`.
    pub cached: Option<Bytes>,
    /// `Active`.
    pub active: Option<Bytes>,
    /// `Inactive`.
    pub inactive: Option<Bytes>,
    /// `Unevictable`.
    pub unevictable: Option<Bytes>,
    /// `Dirty`: waits to be written.
    pub dirty: Option<Bytes>,
    /// `Writeback`: is being written.
    pub writeback: Option<Bytes>,
    /// `AnonPages`.
    pub anon: Option<Bytes>,
    /// `Mapped`.
    pub mapped: Option<Bytes>,
    /// `Shmem`.
    pub shmem: Option<Bytes>,
    /// `SReclaimable`.
    pub slab_reclaimable: Option<Bytes>,
    /// `SUnreclaim`.
    pub slab_unreclaimable: Option<Bytes>,
    /// `KernelStack`.
    pub kernel_stack: Option<Bytes>,
    /// `PageTables`.
    pub page_tables: Option<Bytes>,
    /// `SwapTotal`.
    pub swap_total: Option<Bytes>,
    /// `SwapFree`.
    pub swap_free: Option<Bytes>,
    /// `SwapCached`.
    pub swap_cached: Option<Bytes>,
    /// `Zswap`: memory that holds compressed pages.
    pub zswap: Option<Bytes>,
    /// `Zswapped`: what lies compressed in it.
    pub zswapped: Option<Bytes>,
    /// `CommitLimit`.
    pub commit_limit: Option<Bytes>,
    /// `Committed_AS`: promised to processes.
    pub committed: Option<Bytes>,
    /// `HugePages_Total`, of the default size.
    pub huge_pages: Option<u64>,
    /// `HugePages_Free`.
    pub huge_pages_free: Option<u64>,
    /// `Hugepagesize`.
    pub huge_page_size: Option<Bytes>,
    /// `Hugetlb`: taken by huge pages of all sizes, used or not.
    pub hugetlb: Option<Bytes>,
}

/// What paging did since the kernel started (`/proc/vmstat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// `pgfault`.
    pub faults: Option<u64>,
    /// `pgmajfault`: had to read from disk.
    pub major_faults: Option<u64>,
    /// `pgpgin`, which the kernel counts in KiB.
    pub read: Option<Bytes>,
    /// `pgpgout`.
    pub written: Option<Bytes>,
    /// `pswpin`, pages.
    pub swapped_in: Option<u64>,
    /// `pswpout`, pages.
    pub swapped_out: Option<u64>,
    /// `oom_kill`: processes killed for memory, in cgroups too.
    pub oom_kills: Option<u64>,
}

/// One block device since it came. Kernel: Documentation/admin-guide/iostats.rst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `nvme0n1`.
    pub name: Arc<str>,
    /// Its number.
    pub device: Device,
    /// What was read.
    pub read: Transfers,
    /// What was written.
    pub written: Transfers,
    /// Operations under way now.
    pub in_flight: u64,
    /// Time with at least one under way. JSON: seconds.
    #[serde(with = "seconds")]
    pub busy: Duration,
    /// The time of all operations, summed. JSON: seconds.
    #[serde(with = "seconds")]
    pub weighted: Duration,
}

/// One direction of a block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfers {
    /// Operations that ended.
    pub operations: u64,
    /// Operations that were put together with a neighbour before.
    pub merged: u64,
    /// Bytes.
    pub bytes: Bytes,
    /// The time they took, summed. JSON: seconds.
    #[serde(with = "seconds")]
    pub time: Duration,
}

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// What is mounted: `/dev/nvme0n1p1`, `fs-0a1b.efs.eu-west-1.amazonaws.com:/`.
    pub source: Arc<str>,
    /// Where.
    pub mounted: Arc<str>,
    /// `ext4`, `xfs`, `nfs4`.
    pub kind: Arc<str>,
    /// Nobody may write.
    pub read_only: bool,
    /// How full it is. `None`: it does not answer, or cannot be reached from where Tare runs.
    pub room: Option<Room>,
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// All of it.
    pub size: Bytes,
    /// Not used, what is kept for root among it.
    pub free: Bytes,
    /// What an unprivileged process may still write.
    pub available: Bytes,
    /// Inodes; `None` where it makes them as it needs them (btrfs).
    pub inodes: Option<u64>,
    /// Inodes not used.
    pub inodes_free: Option<u64>,
}

/// How one network interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: Arc<str>,
    /// It carries traffic (`operstate` is `up`); `None` where the driver does not say.
    pub up: Option<bool>,
    /// The largest packet.
    pub mtu: Option<Bytes>,
    /// Bytes a second it could carry; `None` where the driver does not say, as most virtual ones.
    pub speed: Option<Bytes>,
}

/// Things in use out of those there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// In use.
    pub used: u64,
    /// The limit.
    pub most: Option<u64>,
}
