//! What one answer of `GET /containers/{id}/stats?stream=false&one-shot=true` says of a container. Pure.
//!
//! The daemon hands on the kernel's figures under the kernel's names, those of cgroup v1 and v2 in one form (Engine API 1.41 to 1.53, `ContainerStatsResponse`).
//! Most members that are zero are left out, and arrays may be null.

use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess};

use super::super::answers::{is_id, time};
use crate::identity::ContainerId;
use crate::snapshot::{Cpu, CpuSplit, Device, Interface, Io, IoDevice, Memory, Net, Seen, SourceName, Throttling, Traffic, Usage};
use crate::sources::lenient::{Any, Count, MOST_ROWS, Object, Rows, Take, Text};
use crate::sources::net::dev::MOST_INTERFACES;
use crate::units::{Bytes, Limit, Stamp};

/// One reading of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the daemon read it, by its clock. Two answers with one `read` are one reading.
    pub read: Timestamp,
    /// CPU, memory, processes, block devices and network, as far as they were told; each group is stamped with `read`.
    pub usage: Usage,
    /// The container's own limit; that of a container without one is the machine's memory.
    pub memory_limit: Limit<Bytes>,
    /// `pids.max`.
    pub pids_limit: Limit<u64>,
    /// CPUs the daemon's machine has online.
    pub online: Option<u32>,
}

/// The sample of an answer. `Ok(None)`: the daemon has no reading, as of a container that does not run (its zero time, year 1).
/// Errors: no JSON object, in words.
pub fn parse(body: &[u8]) -> Result<Option<Sample>, String> {
    let answer = serde_json::from_slice::<Object<Answer>>(body).map_err(|e| e.to_string())?;
    Ok(answer.0.ok_or("no object")?.sample(SourceName::DockerStats))
}

/// The samples of an answer that holds several, by the containers' ids: `{ID: stats, …}` or an array of such (ECS task metadata, `/task/stats` and `/tasks/stats`). A
/// container without a reading is there with `None`. Errors: no JSON of that form, in words.
pub(in crate::sources) fn parse_all(body: &[u8], from: SourceName) -> Result<Vec<(ContainerId, Option<Sample>)>, String> {
    let Answers(answers) = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    Ok(answers.ok_or("neither an object nor an array")?.into_iter().map(|(id, answer)| (id, answer.and_then(|answer| answer.sample(from)))).collect())
}

/// By id, at most [`MOST_ROWS`].
#[derive(Debug, Default)]
struct Answers(Option<Vec<(ContainerId, Option<Answer>)>>);

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Answers, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Take<'de> for Answers {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Answers, A::Error> {
        let mut answers = Vec::new();
        while let Some((Text(id), Object(answer))) = object.next_entry::<Text, Object<Answer>>()? {
            answers.extend(id.filter(|id| is_id(id) && answers.len() < MOST_ROWS).map(|id| (ContainerId::from(&*id), answer)));
        }
        Ok(Answers(Some(answers)))
    }

    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Answers, A::Error> {
        let mut answers = Vec::new();
        while let Some(Answers(some)) = array.next_element()? {
            answers.extend(some.into_iter().flatten());
            answers.truncate(MOST_ROWS);
        }
        Ok(Answers(Some(answers)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    read: Text,
    cpu_stats: Object<CpuStats>,
    memory_stats: Object<MemoryStats>,
    pids_stats: Object<PidsStats>,
    blkio_stats: Object<BlkioStats>,
    networks: Networks,
}

impl Answer {
    fn sample(self, from: SourceName) -> Option<Sample> {
        let read = time(&self.read)?;
        let memory = self.memory_stats.as_ref();
        let pids = self.pids_stats.as_ref();
        let usage = Usage {
            cpu: seen(from, read, self.cpu_stats.as_ref().and_then(CpuStats::cpu)),
            memory: seen(from, read, memory.and_then(MemoryStats::memory)),
            io: seen(from, read, self.blkio_stats.as_ref().and_then(BlkioStats::io)),
            pids: seen(from, read, pids.and_then(|pids| pids.current.0)),
            net: seen(from, read, self.networks.0),
            ..Usage::default()
        };
        let online = self.cpu_stats.as_ref().and_then(|cpu| cpu.online_cpus.0);
        Some(Sample {
            read,
            usage,
            memory_limit: memory.map_or(Limit::Unknown, |memory| limit(memory.limit, Bytes)),
            pids_limit: pids.map_or(Limit::Unknown, |pids| limit(pids.limit, |limit| limit)),
            online: online.and_then(|cpus| u32::try_from(cpus).ok()).filter(|cpus| *cpus > 0),
        })
    }
}

fn seen<T>(from: SourceName, read: Timestamp, group: Option<T>) -> Option<Seen<T>> {
    group.map(|is| Seen { at: Stamp { wall: Some(read), boot: None }, from, is })
}

/// No limit is 2^63-4096 in cgroup v1, 2^63-1 or 2^64-1 in v2; 0 says nothing.
fn limit<T>(limit: Count, unit: impl Fn(u64) -> T) -> Limit<T> {
    match limit.0 {
        None | Some(0) => Limit::Unknown,
        Some(limit) if limit >= 1 << 62 => Limit::Unlimited,
        Some(limit) => Limit::Of(unit(limit)),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuStats {
    cpu_usage: Object<CpuUsage>,
    online_cpus: Count,
    throttling_data: Object<ThrottlingData>,
}

/// Nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: Count,
    usage_in_usermode: Count,
    usage_in_kernelmode: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ThrottlingData {
    periods: Count,
    throttled_periods: Count,
    /// Nanoseconds.
    throttled_time: Count,
}

impl CpuStats {
    fn cpu(&self) -> Option<Cpu> {
        let used = self.cpu_usage.as_ref()?;
        let nanos = |count: Count| count.0.map(Duration::from_nanos);
        let split = nanos(used.usage_in_usermode).zip(nanos(used.usage_in_kernelmode)).map(|(user, system)| CpuSplit { user, system });
        let throttling = self
            .throttling_data
            .as_ref()
            .and_then(|data| Some(Throttling { periods: data.periods.0?, throttled: data.throttled_periods.0?, time: nanos(data.throttled_time)? }));
        Some(Cpu { time: nanos(used.total_usage)?, split, throttling })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    usage: Count,
    max_usage: Count,
    failcnt: Count,
    limit: Count,
    stats: Object<MemoryFile>,
}

/// `memory.stat`: v1's names with `total_` count what lies below too, v2's always do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryFile {
    total_rss: Count,
    total_cache: Count,
    total_shmem: Count,
    total_mapped_file: Count,
    total_dirty: Count,
    total_writeback: Count,
    total_active_anon: Count,
    total_inactive_anon: Count,
    total_active_file: Count,
    total_inactive_file: Count,
    total_unevictable: Count,
    total_swap: Count,
    total_pgfault: Count,
    total_pgmajfault: Count,
    anon: Count,
    file: Count,
    shmem: Count,
    slab: Count,
    sock: Count,
    file_mapped: Count,
    file_dirty: Count,
    file_writeback: Count,
    active_anon: Count,
    inactive_anon: Count,
    active_file: Count,
    inactive_file: Count,
    unevictable: Count,
    kernel_stack: Count,
    pgfault: Count,
    pgmajfault: Count,
}

impl MemoryStats {
    /// `None`: nothing was told, as where the kernel has no memory controller.
    fn memory(&self) -> Option<Memory> {
        let none = MemoryFile::default();
        let stat = self.stats.as_ref().unwrap_or(&none);
        let v1 = [stat.total_rss, stat.total_cache, stat.total_inactive_file].iter().any(|count| count.0.is_some());
        let bytes = |v1: Count, v2: Count| v1.0.or(v2.0).map(Bytes);
        let file = bytes(stat.total_cache, stat.file);
        let active_file = bytes(stat.total_active_file, stat.active_file);
        let inactive_file = bytes(stat.total_inactive_file, stat.inactive_file);
        // Some daemons leave it out (ECS Managed Instances): the page cache less the active part is all but the same.
        let idle = inactive_file.or(file.zip(active_file).map(|(file, active)| file.less(active)));
        let used = self.usage.0.map(Bytes);
        let memory = Memory {
            used,
            working_set: used.zip(idle).map(|(used, idle)| used.less(idle)),
            anon: bytes(stat.total_rss, stat.anon),
            file,
            shmem: bytes(stat.total_shmem, stat.shmem),
            slab: stat.slab.0.map(Bytes),
            sock: stat.sock.0.map(Bytes),
            mapped: bytes(stat.total_mapped_file, stat.file_mapped),
            dirty: bytes(stat.total_dirty, stat.file_dirty),
            writeback: bytes(stat.total_writeback, stat.file_writeback),
            active_anon: bytes(stat.total_active_anon, stat.active_anon),
            inactive_anon: bytes(stat.total_inactive_anon, stat.inactive_anon),
            active_file,
            inactive_file,
            unevictable: bytes(stat.total_unevictable, stat.unevictable),
            kernel_stack: stat.kernel_stack.0.map(Bytes),
            peak: self.max_usage.0.map(Bytes),
            swap: stat.total_swap.0.map(Bytes),
            faults: stat.total_pgfault.0.or(stat.pgfault.0),
            major_faults: stat.total_pgmajfault.0.or(stat.pgmajfault.0),
            // The daemon leaves a zero out. What it says of v2 is another counter.
            max_events: (v1 && used.is_some()).then(|| self.failcnt.0.unwrap_or(0)),
            ..Memory::default()
        };
        (memory != Memory::default()).then_some(memory)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PidsStats {
    current: Count,
    limit: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlkioStats {
    io_service_bytes_recursive: Rows<BlkioRow>,
    io_serviced_recursive: Rows<BlkioRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct BlkioRow {
    major: Count,
    minor: Count,
    op: Text,
    value: Count,
}

impl BlkioRow {
    fn device(&self) -> Option<Device> {
        let number = |count: Count| u32::try_from(count.0?).ok();
        Some(Device { major: number(self.major)?, minor: number(self.minor)? })
    }

    /// v1 says `Read`, v2 `read`; `Sync`, `Async`, `Discard` and `Total` say the same again in other sums.
    fn is(&self, op: &str) -> bool {
        self.op.as_str().eq_ignore_ascii_case(op)
    }
}

impl BlkioStats {
    /// One row a device. Null and an empty array are both "no row": [`super::uncounted`] tells whether that is zero.
    fn io(&self) -> Option<Io> {
        let mut io = Io::new();
        for row in self.io_service_bytes_recursive.0.iter().flatten() {
            let (Some(device), Some(value)) = (row.device(), row.value.0) else { continue };
            let at = io.iter().position(|one| one.device == device).unwrap_or_else(|| {
                io.push(IoDevice { device, read: Bytes(0), written: Bytes(0), reads: None, writes: None });
                io.len() - 1
            });
            match row {
                _ if row.is("read") => io[at].read = Bytes(value),
                _ if row.is("write") => io[at].written = Bytes(value),
                _ => {}
            }
        }
        for row in self.io_serviced_recursive.0.iter().flatten() {
            let Some(one) = io.iter_mut().find(|one| Some(one.device) == row.device()) else { continue };
            match row {
                _ if row.is("read") => one.reads = row.value.0,
                _ if row.is("write") => one.writes = row.value.0,
                _ => {}
            }
        }
        Some(io)
    }
}

/// The interfaces by name, `lo` left out, at most [`MOST_INTERFACES`]. Not told, null or empty: none are the container's own.
#[derive(Debug, Default)]
struct Networks(Option<Net>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counters {
    rx_bytes: Count,
    rx_packets: Count,
    rx_errors: Count,
    rx_dropped: Count,
    tx_bytes: Count,
    tx_packets: Count,
    tx_errors: Count,
    tx_dropped: Count,
}

impl Counters {
    fn interface(&self, name: std::sync::Arc<str>) -> Option<Interface> {
        let traffic = |bytes: Count, packets: Count, errors: Count, dropped: Count| {
            Some(Traffic { bytes: Bytes(bytes.0?), packets: packets.0?, errors: errors.0.unwrap_or(0), dropped: dropped.0.unwrap_or(0) })
        };
        let received = traffic(self.rx_bytes, self.rx_packets, self.rx_errors, self.rx_dropped)?;
        let sent = traffic(self.tx_bytes, self.tx_packets, self.tx_errors, self.tx_dropped)?;
        Some(Interface { name, received, sent })
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Networks, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Take<'de> for Networks {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Networks, A::Error> {
        let mut net = Net::new();
        while let Some((Text(name), Object(counters))) = object.next_entry::<Text, Object<Counters>>()? {
            let interface = name.filter(|name| &**name != "lo").zip(counters).and_then(|(name, counters)| counters.interface(name));
            net.extend(interface.filter(|one| !net.iter().any(|had| had.name == one.name)));
            if net.len() == MOST_INTERFACES {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                break;
            }
        }
        net.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Networks((!net.is_empty()).then_some(net)))
    }
}
