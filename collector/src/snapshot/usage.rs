//! What something uses: CPU, memory, block devices, network, pressure. Each group of figures is a reading of its own.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Seen, Sockets};
use crate::units::{Bytes, Limit, seconds};

/// What something uses. Each group is known or not, on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU.
    pub cpu: Option<Seen<Cpu>>,
    /// Memory.
    pub memory: Option<Seen<Memory>>,
    /// Block devices. Known and empty: nothing read or written yet.
    pub io: Option<Seen<Io>>,
    /// Network interfaces, `lo` left out.
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
