//! cgroup v1: one function a kernel file, bytes in, values out.
//! Format: kernel, Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst, Documentation/scheduler/sched-bwc.rst.

use std::time::Duration;

use super::figures::{Bounds, Figures};
use super::files::{File, Tree};
use super::quiet::Moves;
use super::text::{digits, keyed, lines, number, pairs, words};
use super::v2::{self, known, set};
use crate::snapshot::{CpuSplit, Device, IoDevice, Memory, Throttling};
use crate::units::{Bytes, Limit};

/// What is read at every look, the hottest first. The `_recursive` blkio files count what lies below too; kernels before them
/// (about 4.17) have only the plain ones, which count one cgroup alone.
pub const FIGURES: &[File<Figures>] = &[
    CPU,
    USED,
    with_memory("memory.stat", |text, f| {
        let stat = memory_stat(text);
        f.hierarchical_limit = stat.hierarchical_limit;
        let Memory { used, peak, kernel, max_events, oom_kills, .. } = f.memory;
        f.memory = Memory { used, peak, kernel, max_events, oom_kills, ..stat.memory };
        stat != MemoryStat::default()
    }),
    with_cpu(Tree::Pids, "pids.current", |text, f| set(&mut f.pids, number(text))),
    with_cpu(Tree::Cpuacct, "cpuacct.stat", |text, f| set(&mut f.split, cpuacct_stat(text))),
    with_cpu(Tree::Cpu, "cpu.stat", |text, f| set(&mut f.throttling, cpu_stat(text))),
    BYTES,
    OPERATIONS,
    with_memory("memory.memsw.usage_in_bytes", |text, f| set(&mut f.memory_and_swap, number(text).map(Bytes))),
    KILLS,
    with_memory("memory.failcnt", |text, f| set(&mut f.memory.max_events, number(text))),
    with_memory("memory.kmem.usage_in_bytes", |text, f| set(&mut f.memory.kernel, number(text).map(Bytes))),
    PEAK,
];

/// What a closing record is made of; the CPU first, for the cgroup may go between two files.
pub const LAST: &[File<Figures>] = &[CPU, PEAK, KILLS, USED, BYTES, OPERATIONS];

const CPU: File<Figures> = file(Tree::Cpuacct, "cpuacct.usage", take_usage);
const USED: File<Figures> = file(Tree::Memory, "memory.usage_in_bytes", |text, f| set(&mut f.memory.used, number(text).map(Bytes)));
const PEAK: File<Figures> = with_memory("memory.max_usage_in_bytes", |text, f| set(&mut f.memory.peak, number(text).map(Bytes)));
const KILLS: File<Figures> = with_memory("memory.oom_control", |text, f| {
    // Linux before 4.13 does not count kills.
    f.memory.oom_kills = oom_control(text);
    f.memory.oom_kills.is_some() || text.starts_with(b"oom_kill_disable ")
});
const BYTES: File<Figures> =
    File { older: Some("blkio.throttle.io_service_bytes"), ..with_cpu(Tree::Blkio, "blkio.throttle.io_service_bytes_recursive", take_bytes) };
const OPERATIONS: File<Figures> =
    File { older: Some("blkio.throttle.io_serviced"), ..with_cpu(Tree::Blkio, "blkio.throttle.io_serviced_recursive", take_operations) };

/// What the root has.
pub const ROOT: &[File<Figures>] = &[
    file(Tree::Cpuacct, "cpuacct.usage", take_usage),
    file(Tree::Cpuacct, "cpuacct.stat", |text, f| set(&mut f.split, cpuacct_stat(text))),
    file(Tree::Blkio, "blkio.throttle.io_service_bytes_recursive", take_bytes),
    file(Tree::Blkio, "blkio.throttle.io_serviced_recursive", take_operations),
];

/// What changes seldom.
pub const BOUNDS: &[File<Bounds>] = &[
    file(Tree::Cpu, "cpu.cfs_quota_us", |text, b| set(&mut b.quota_micros, cfs_quota(text))),
    file(Tree::Cpu, "cpu.cfs_period_us", |text, b| set(&mut b.period_micros, number(text))),
    file(Tree::Cpu, "cpu.shares", |text, b| set(&mut b.weights.cpu_shares, number(text))),
    file(Tree::Memory, "memory.limit_in_bytes", |text, b| known(&mut b.memory, bytes_limit(text))),
    file(Tree::Memory, "memory.memsw.limit_in_bytes", |text, b| known(&mut b.memory_and_swap, bytes_limit(text))),
    file(Tree::Pids, "pids.max", |text, b| known(&mut b.pids, v2::max(text))),
    // Empty where the set was never filled: unknown, not damaged.
    file(Tree::Cpuset, "cpuset.effective_cpus", |text, b| set(&mut b.cpus, super::text::cpu_list(text)) || text.trim_ascii().is_empty()),
    file(Tree::Blkio, "blkio.weight", |text, b| set(&mut b.weights.io_weight, number(text))),
    file(Tree::Blkio, "blkio.bfq.weight", |text, b| b.weights.io_weight.is_some() || set(&mut b.weights.io_weight, v2::io_weight(text).or(number(text)))),
];

/// Late writes are charged to the root in v1, so block devices count only what a cgroup asks for while it runs.
const fn with_cpu(tree: Tree, name: &'static str, take: fn(&[u8], &mut Figures) -> bool) -> File<Figures> {
    File { moves: Moves::WithCpu, ..file(tree, name, take) }
}

const fn with_memory(name: &'static str, take: fn(&[u8], &mut Figures) -> bool) -> File<Figures> {
    File { moves: Moves::WithMemory, ..file(Tree::Memory, name, take) }
}

const fn file<T>(tree: Tree, name: &'static str, take: fn(&[u8], &mut T) -> bool) -> File<T> {
    File { tree, name, older: None, moves: Moves::Always, take }
}

fn take_usage(text: &[u8], figures: &mut Figures) -> bool {
    set(&mut figures.cpu, number(text).map(Duration::from_nanos))
}

fn take_bytes(text: &[u8], figures: &mut Figures) -> bool {
    let io = blkio(text).map(|rows| {
        rows.iter().map(|row| IoDevice { device: row.device, read: Bytes(row.read), written: Bytes(row.write), reads: None, writes: None }).collect()
    });
    set(&mut figures.io, io)
}

/// Operations join the bytes of the same device; alone they are not enough for a row.
fn take_operations(text: &[u8], figures: &mut Figures) -> bool {
    let Some(rows) = blkio(text) else { return false };
    for device in figures.io.iter_mut().flatten() {
        if let Some(row) = rows.iter().find(|row| row.device == device.device) {
            (device.reads, device.writes) = (Some(row.read), Some(row.write));
        }
    }
    true
}

/// `cpuacct.stat`, in ticks of 10 ms (USER_HZ is 100 on every Linux that AWS runs).
/// ```text
/// user 800
/// system 450
/// ```
pub fn cpuacct_stat(text: &[u8]) -> Option<CpuSplit> {
    let [mut user, mut system] = [None; 2];
    for (key, ticks) in pairs(text) {
        let span = Some(Duration::from_millis(ticks.saturating_mul(10)));
        match key {
            b"user" => user = span,
            b"system" => system = span,
            _ => {}
        }
    }
    Some(CpuSplit { user: user?, system: system? })
}

/// `cpu.stat`; the time is in nanoseconds here.
/// ```text
/// nr_periods 2990
/// nr_throttled 1195
/// throttled_time 89500000000
/// ```
pub fn cpu_stat(text: &[u8]) -> Option<Throttling> {
    let [mut periods, mut throttled, mut waited] = [None; 3];
    for (key, value) in pairs(text) {
        match key {
            b"nr_periods" => periods = Some(value),
            b"nr_throttled" => throttled = Some(value),
            b"throttled_time" => waited = Some(value),
            _ => {}
        }
    }
    Some(Throttling { periods: periods?, throttled: throttled?, time: Duration::from_nanos(waited?) })
}

/// What `memory.stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryStat {
    /// What it says of memory; what stands in other files stays unknown.
    pub memory: Memory,
    /// `hierarchical_memory_limit`: the tightest limit from here up.
    pub hierarchical_limit: Limit<Bytes>,
}

/// `memory.stat`. The `total_` keys count what lies below too.
/// ```text
/// cache 262410240
/// rss 3145728
/// hierarchical_memory_limit 268435456
/// total_cache 262410240
/// total_rss 3145728
/// total_shmem 262144000
/// total_mapped_file 135168
/// total_dirty 0
/// total_writeback 0
/// total_workingset_refault_anon 0
/// total_workingset_refault_file 11
/// total_pgfault 119626
/// total_pgmajfault 3
/// total_inactive_anon 3010560
/// total_active_anon 135168
/// total_inactive_file 135168
/// total_active_file 0
/// total_unevictable 0
/// ```
pub fn memory_stat(text: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    let memory = &mut stat.memory;
    for (key, value) in keyed(text) {
        let Some(total) = key.strip_prefix(b"total_") else {
            if key == b"hierarchical_memory_limit" {
                stat.hierarchical_limit = digits(value).map_or(Limit::Unknown, bytes);
            }
            continue;
        };
        let place = match total {
            b"cache" => &mut memory.file,
            b"rss" => &mut memory.anon,
            b"mapped_file" => &mut memory.mapped,
            b"dirty" => &mut memory.dirty,
            b"writeback" => &mut memory.writeback,
            same => {
                v2::in_both(same, value, memory);
                continue;
            }
        };
        *place = digits(value).map(Bytes).or(*place);
    }
    stat
}

/// How often `memory.oom_control` says that a process was killed; Linux before 4.13 does not say.
/// ```text
/// oom_kill_disable 0
/// under_oom 0
/// oom_kill 3
/// ```
pub fn oom_control(text: &[u8]) -> Option<u64> {
    pairs(text).find(|(key, _)| *key == b"oom_kill").map(|(_, kills)| kills)
}

/// `memory.limit_in_bytes`, `memory.memsw.limit_in_bytes`. No limit is the largest number of whole pages that fits in 63 bits.
/// ```text
/// 9223372036854771712
/// ```
pub fn bytes_limit(text: &[u8]) -> Limit<Bytes> {
    number(text).map_or(Limit::Unknown, bytes)
}

fn bytes(limit: u64) -> Limit<Bytes> {
    if limit >= 1 << 62 { Limit::Unlimited } else { Limit::Of(Bytes(limit)) }
}

/// `cpu.cfs_quota_us`: microseconds a period; `Some(None)` is no quota.
/// ```text
/// -1
/// ```
pub fn cfs_quota(text: &[u8]) -> Option<Option<u64>> {
    match text.trim_ascii() {
        b"-1" => Some(None),
        text => digits(text).map(Some),
    }
}

/// Whether a kernel of this release counts at block devices only once a throttle is set on one: since Linux 6.10 (commit a3166c51702b, "blk-throttle: delay
/// initialization until configuration") v1's `blkio.throttle` files hold `Total 0` until then, whatever was read and written.
pub fn counts_io_late(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().ok());
    numbers.next().flatten().zip(numbers.next().flatten()).is_some_and(|version| version >= (6, 10))
}

/// One device of a blkio file: bytes or operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub device: Device,
    /// `Read`.
    pub read: u64,
    /// `Write`.
    pub write: u64,
}

/// `blkio.throttle.io_service_bytes` and `io_serviced`. `Total 0` alone is an empty list: nothing read or written yet. Rows that do not fit
/// cost only themselves (a device that is gone is `(unknown)`); a device needs both its rows, whole. `None` where nothing fits.
/// ```text
/// 259:0 Read 4096000
/// 259:0 Write 8192000
/// 259:0 Sync 12288000
/// 259:0 Async 0
/// 259:0 Discard 0
/// 259:0 Total 12288000
/// Total 12288000
/// ```
pub fn blkio(text: &[u8]) -> Option<smallvec::SmallVec<[Row; 2]>> {
    let (mut rows, mut read, mut total) = (smallvec::SmallVec::<[Row; 2]>::new(), None, None);
    for line in lines(text) {
        let mut words = words(line);
        let (Some(first), Some(second), third) = (words.next(), words.next(), words.next()) else { continue };
        let Some(value) = third.and_then(digits) else {
            if first == b"Total" {
                total = digits(second);
            }
            continue;
        };
        // The last line may be torn: a number that nothing follows is believed only in the total's own line.
        let torn = line.as_ptr_range().end == text.as_ptr_range().end;
        let Some(device) = v2::device(first).filter(|_| !torn) else { continue };
        if second.eq_ignore_ascii_case(b"read") {
            read = Some((device, value));
        } else if second.eq_ignore_ascii_case(b"write")
            && let Some((_, read)) = read.filter(|(of, _)| *of == device)
        {
            rows.retain(|row| row.device != device);
            rows.push(Row { device, read, write: value });
        }
    }
    (!rows.is_empty() || total == Some(0)).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_files() {
        let mut figures = Figures::default();
        assert!(take_usage(b"12500000000\n", &mut figures));
        assert_eq!(figures.cpu, Some(Duration::from_millis(12_500)));
        assert_eq!(cpuacct_stat(b"user 800\nsystem 450\n"), Some(CpuSplit { user: Duration::from_secs(8), system: Duration::from_millis(4500) }));
        assert_eq!(cpuacct_stat(b"user 800\n"), None);
        let throttling = Throttling { periods: 10, throttled: 3, time: Duration::from_millis(89) };
        assert_eq!(cpu_stat(b"nr_periods 10\nnr_throttled 3\nthrottled_time 89000000\n"), Some(throttling));
        assert_eq!(cpu_stat(b"nr_periods 10\n"), None);
        for (text, quota) in [("-1\n", Some(None)), ("50000\n", Some(Some(50_000))), ("0", Some(Some(0))), ("-2", None), ("", None)] {
            assert_eq!(cfs_quota(text.as_bytes()), quota, "{text:?}");
        }
    }

    #[test]
    fn memory_files() {
        let stat = memory_stat(
            b"cache 1\nrss 2\nhierarchical_memory_limit 9223372036854771712\ntotal_cache 262410240\ntotal_rss 3145728\ntotal_inactive_file 135168\n",
        );
        assert_eq!((stat.memory.file, stat.memory.anon, stat.memory.shmem), (Some(Bytes(262_410_240)), Some(Bytes(3_145_728)), None));
        assert_eq!((stat.memory.inactive_file, stat.hierarchical_limit), (Some(Bytes(135_168)), Limit::Unlimited));
        assert_eq!((oom_control(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), oom_control(b"oom_kill_disable 0\nunder_oom 0\n")), (Some(3), None));
        for (text, limit) in [
            ("9223372036854771712", Limit::Unlimited),
            ("9223372036854775807", Limit::Unlimited),
            ("268435456\n", Limit::Of(Bytes(268_435_456))),
            ("-1", Limit::Unknown),
        ] {
            assert_eq!(bytes_limit(text.as_bytes()), limit);
        }
    }

    #[test]
    fn newer_kernels_count_at_block_devices_late() {
        for (release, late) in [
            ("6.18.44-fc-v657", true),
            ("6.10.0", true),
            ("6.9.12-amd64", false),
            ("5.10.223-212.873.amzn2.x86_64", false),
            ("7.0", true),
            ("x", false),
            ("", false),
        ] {
            assert_eq!(counts_io_late(release), late, "{release}");
        }
    }

    #[test]
    fn odd_blkio_rows_cost_only_themselves() {
        let row = |major, read, write| Row { device: Device { major, minor: 0 }, read, write };
        for (text, rows) in [
            (
                "259:0 Read 4096000\n259:0 Write 8192000\n259:0 Total 12288000\n(unknown) Read 9\n(unknown) Write 0\nTotal 12288000\n",
                Some(vec![row(259, 4_096_000, 8_192_000)]),
            ),
            ("8:0 Read 1\n8:0 Write 2\n259:0 Read 3\n259:0 Write 4\nTotal 10\n", Some(vec![row(8, 1, 2), row(259, 3, 4)])),
            ("Total 0\n", Some(vec![])),
            ("Total 0", Some(vec![])),
            ("Total 12\n", None),
            ("", None),
            ("8:0 Read 1\n8:0 Wri", None),
            ("8:0 Read 1\n8:0 Write 2", None),
            ("8:0 Write 2\nTotal 2\n", None),
            ("(unknown) Read 9\n(unknown) Write 0\nTotal 9\n", None),
        ] {
            assert_eq!(blkio(text.as_bytes()).map(|rows| rows.to_vec()), rows, "{text:?}");
        }
    }

    #[test]
    fn operations_join_the_bytes_of_their_device() {
        let mut figures = Figures::default();
        assert!(take_bytes(b"8:0 Read 1\n8:0 Write 2\n9:0 Read 3\n9:0 Write 4\nTotal 10\n", &mut figures));
        assert!(take_operations(b"9:0 Read 5\n9:0 Write 6\n7:0 Read 5\n7:0 Write 6\nTotal 11\n", &mut figures));
        let counts: Vec<_> = figures.io.iter().flatten().map(|device| (device.device.major, device.reads, device.writes)).collect();
        assert_eq!(counts, [(8, None, None), (9, Some(5), Some(6))]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(text in proptest::collection::vec(proptest::sample::select(b"0123456789:- \nReadWriteTotal_user()\xff\0".to_vec()), 0..200)) {
            for file in FIGURES {
                (file.take)(&text, &mut Figures::default());
            }
            for file in BOUNDS {
                (file.take)(&text, &mut Bounds::default());
            }
        }
    }
}
