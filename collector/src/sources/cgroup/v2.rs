//! cgroup v2: one function a kernel file, bytes in, values out.
//! Format: kernel, Documentation/admin-guide/cgroup-v2.rst and Documentation/accounting/psi.rst.

use std::time::Duration;

use super::figures::{Bounds, Figures, cores};
use super::files::{File, Tree};
use super::quiet::Moves;
use super::text::{digits, keyed, number, pairs, words};
use crate::snapshot::{Cpu, CpuSplit, Device, Io, IoDevice, Memory, Throttling};
use crate::sources::psi;
use crate::units::{Bytes, Cores, Limit};

/// What is read at every look, the hottest first. `memory.events` and not `.local`: what is killed in a cgroup nested
/// in a container is the container's loss, and a task's count keeps the kills of containers that are gone.
pub const FIGURES: &[File<Figures>] = &[
    CPU,
    USED,
    IO,
    file("cpu.pressure", |text, f| set(&mut f.pressure.cpu, psi::parse(text))),
    file("memory.pressure", |text, f| set(&mut f.pressure.memory, psi::parse(text))),
    file("io.pressure", |text, f| set(&mut f.pressure.io, psi::parse(text))),
    with_memory("memory.stat", |text, f| {
        let stat = memory_stat(text);
        let Memory { used, peak, swap, high_events, max_events, oom_events, oom_kills, .. } = f.memory;
        f.memory = Memory { used, peak, swap, high_events, max_events, oom_events, oom_kills, ..stat };
        stat != Memory::default()
    }),
    File { moves: Moves::WithCpu, ..file("pids.current", |text, f| set(&mut f.pids, number(text))) },
    KILLS,
    with_memory("memory.swap.current", |text, f| set(&mut f.memory.swap, number(text).map(Bytes))),
    PEAK,
];

/// What a closing record is made of; the CPU first, for the cgroup may go between two files.
pub const LAST: &[File<Figures>] = &[CPU, PEAK, KILLS, USED, IO];

const CPU: File<Figures> = file("cpu.stat", take_cpu);
const USED: File<Figures> = file("memory.current", |text, f| set(&mut f.memory.used, number(text).map(Bytes)));
const PEAK: File<Figures> = with_memory("memory.peak", |text, f| set(&mut f.memory.peak, number(text).map(Bytes)));
const IO: File<Figures> = file("io.stat", take_io);
const KILLS: File<Figures> = with_memory("memory.events", |text, f| {
    let MemoryEvents { high, max, oom, oom_kill } = memory_events(text);
    (f.memory.high_events, f.memory.max_events, f.memory.oom_events, f.memory.oom_kills) = (high, max, oom, oom_kill);
    high.or(max).or(oom).or(oom_kill).is_some()
});

/// What the root has.
pub const ROOT: &[File<Figures>] = &[CPU, IO];

/// What changes seldom.
pub const BOUNDS: &[File<Bounds>] = &[
    file("cpu.max", |text, b| known(&mut b.quota, cpu_max(text))),
    file("memory.max", |text, b| known(&mut b.memory, bytes_max(text))),
    file("memory.swap.max", |text, b| known(&mut b.swap, bytes_max(text))),
    file("pids.max", |text, b| known(&mut b.pids, max(text))),
    // Empty where the set was never touched on some kernels: unknown, not damaged.
    file("cpuset.cpus.effective", |text, b| set(&mut b.cpus, super::text::cpu_list(text)) || text.trim_ascii().is_empty()),
    file("cpu.weight", |text, b| set(&mut b.weights.cpu_weight, number(text))),
    file("io.weight", |text, b| set(&mut b.weights.io_weight, io_weight(text))),
];

/// Whether anything lives in or below the cgroup.
pub const EVENTS: &[File<Option<bool>>] = &[file("cgroup.events", |text, populated| set(populated, events(text)))];

const fn with_memory(name: &'static str, take: fn(&[u8], &mut Figures) -> bool) -> File<Figures> {
    File { moves: Moves::WithMemory, ..file(name, take) }
}

const fn file<T>(name: &'static str, take: fn(&[u8], &mut T) -> bool) -> File<T> {
    File { tree: Tree::Unified, name, older: None, moves: Moves::Always, take }
}

pub(super) fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

pub(super) fn known<T: PartialEq + Copy>(place: &mut Limit<T>, value: Limit<T>) -> bool {
    *place = value;
    value != Limit::Unknown
}

fn take_cpu(text: &[u8], figures: &mut Figures) -> bool {
    let Some(Cpu { time, split, throttling }) = cpu_stat(text) else { return false };
    (figures.cpu, figures.split, figures.throttling) = (Some(time), split, throttling);
    true
}

fn take_io(text: &[u8], figures: &mut Figures) -> bool {
    set(&mut figures.io, io_stat(text))
}

/// `cpu.stat`; the last three lines only where the cpu controller is on. `None` without `usage_usec`.
/// ```text
/// usage_usec 12500000
/// user_usec 8000000
/// system_usec 4500000
/// nr_periods 2990
/// nr_throttled 1195
/// throttled_usec 89500000
/// ```
pub fn cpu_stat(text: &[u8]) -> Option<Cpu> {
    let [mut usage, mut user, mut system, mut periods, mut throttled, mut waited] = [None; 6];
    for (key, value) in pairs(text) {
        match key {
            b"usage_usec" => usage = Some(value),
            b"user_usec" => user = Some(value),
            b"system_usec" => system = Some(value),
            b"nr_periods" => periods = Some(value),
            b"nr_throttled" => throttled = Some(value),
            b"throttled_usec" => waited = Some(value),
            _ => {}
        }
    }
    let split = user.zip(system).map(|(user, system)| CpuSplit { user: Duration::from_micros(user), system: Duration::from_micros(system) });
    let throttling = match (periods, throttled, waited) {
        (Some(periods), Some(throttled), Some(waited)) => Some(Throttling { periods, throttled, time: Duration::from_micros(waited) }),
        _ => None,
    };
    Some(Cpu { time: Duration::from_micros(usage?), split, throttling })
}

/// `memory.stat`, in bytes and counts; what stands in other files stays unknown. `kernel` came with Linux 5.18, `zswap` with 5.19. Before 5.9 refaults were
/// one line; now those of anonymous pages (from swap) have one of their own.
/// ```text
/// anon 2499893504
/// file 1500065536
/// kernel 61440
/// kernel_stack 16384
/// pagetables 8192
/// sock 0
/// shmem 0
/// zswap 0
/// zswapped 0
/// file_mapped 4096
/// file_dirty 0
/// file_writeback 0
/// inactive_anon 2499889408
/// active_anon 4096
/// inactive_file 1500000000
/// active_file 65536
/// unevictable 0
/// slab 40960
/// workingset_refault_anon 0
/// workingset_refault_file 11
/// pgfault 623421
/// pgmajfault 3
/// ```
pub fn memory_stat(text: &[u8]) -> Memory {
    let mut memory = Memory::default();
    for (key, value) in keyed(text) {
        let place = match key {
            b"anon" => &mut memory.anon,
            b"file" => &mut memory.file,
            b"kernel" => &mut memory.kernel,
            b"kernel_stack" => &mut memory.kernel_stack,
            b"pagetables" => &mut memory.page_tables,
            b"sock" => &mut memory.sock,
            b"zswap" => &mut memory.zswap,
            b"zswapped" => &mut memory.zswapped,
            b"file_mapped" => &mut memory.mapped,
            b"file_dirty" => &mut memory.dirty,
            b"file_writeback" => &mut memory.writeback,
            b"slab" => &mut memory.slab,
            _ => {
                in_both(key, value, &mut memory);
                continue;
            }
        };
        *place = digits(value).map(Bytes).or(*place);
    }
    memory
}

/// The lines of `memory.stat` that v1 (as `total_…`) and v2 call by the same words. A key that is none of them says nothing.
pub(super) fn in_both(key: &[u8], value: &[u8], memory: &mut Memory) {
    let place = match key {
        b"shmem" => &mut memory.shmem,
        b"inactive_anon" => &mut memory.inactive_anon,
        b"active_anon" => &mut memory.active_anon,
        b"inactive_file" => &mut memory.inactive_file,
        b"active_file" => &mut memory.active_file,
        b"unevictable" => &mut memory.unevictable,
        b"pgfault" => {
            memory.faults = digits(value).or(memory.faults);
            return;
        }
        b"pgmajfault" => {
            memory.major_faults = digits(value).or(memory.major_faults);
            return;
        }
        // Of all kinds of pages together.
        b"workingset_refault" | b"workingset_refault_anon" | b"workingset_refault_file" => {
            memory.refaults = match (memory.refaults, digits(value)) {
                (Some(before), Some(more)) => Some(before.saturating_add(more)),
                (before, more) => before.or(more),
            };
            return;
        }
        _ => return,
    };
    *place = digits(value).map(Bytes).or(*place);
}

/// What `memory.events` says, all counts since the cgroup was made, what lies below included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Throttled at `memory.high`.
    pub high: Option<u64>,
    /// Ran into `memory.max`.
    pub max: Option<u64>,
    /// Out of memory.
    pub oom: Option<u64>,
    /// Processes killed.
    pub oom_kill: Option<u64>,
}

/// `memory.events`.
/// ```text
/// low 0
/// high 0
/// max 12
/// oom 1
/// oom_kill 1
/// oom_group_kill 0
/// ```
pub fn memory_events(text: &[u8]) -> MemoryEvents {
    let mut events = MemoryEvents::default();
    for (key, value) in pairs(text) {
        match key {
            b"high" => events.high = Some(value),
            b"max" => events.max = Some(value),
            b"oom" => events.oom = Some(value),
            b"oom_kill" => events.oom_kill = Some(value),
            _ => {}
        }
    }
    events
}

/// `io.stat`. An empty file is an empty list: nothing read or written yet. Rows that do not fit cost only themselves; where none fits, `None`.
/// Some kernels write devices without numbers and go on in the same line, so numbers belong to the last device before them; the name
/// of a device that is gone is `(unknown)`. A row that breaks off is no row.
/// ```text
/// 7:9 7:8 7:3 rbytes=40960 wbytes=0 rios=31 wios=0 dbytes=0 dios=0
/// (unknown) rbytes=0 wbytes=0 rios=5 wios=0 dbytes=0 dios=0
/// 259:0 rbytes=1200000 wbytes=3400000 rios=20 wios=30 dbytes=0 dios=0 cost.usage=120
/// 252:0
/// ```
pub fn io_stat(text: &[u8]) -> Option<Io> {
    let mut io = Io::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(row) = io_row(line) else { continue };
        match io.iter_mut().find(|known| known.device == row.device) {
            Some(known) => *known = row,
            None => io.push(row),
        }
    }
    (!io.is_empty() || text.trim_ascii().is_empty()).then_some(io)
}

/// One line with its end.
fn io_row(line: &[u8]) -> Option<IoDevice> {
    let (mut at, [mut read, mut written, mut reads, mut writes]) = (None, [None; 4]);
    // A number at the very end of the text may be torn: only what something follows is believed.
    let mut rest = line;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b' ' | b'\n')) {
        let word = &rest[..end];
        rest = &rest[end + 1..];
        match word.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                let value = digits(&word[equals + 1..]);
                match &word[..equals] {
                    b"rbytes" => read = value,
                    b"wbytes" => written = value,
                    b"rios" => reads = value,
                    b"wios" => writes = value,
                    _ => {}
                }
            }
            None if !word.is_empty() => at = device(word),
            None => {}
        }
    }
    Some(IoDevice { device: at?, read: Bytes(read?), written: Bytes(written?), reads, writes })
}

/// `259:0`.
pub fn device(word: &[u8]) -> Option<Device> {
    let colon = word.iter().position(|byte| *byte == b':')?;
    let part = |text| digits(text).and_then(|number| u32::try_from(number).ok());
    Some(Device { major: part(&word[..colon])?, minor: part(&word[colon + 1..])? })
}

/// `cpu.max`: quota and period in microseconds.
/// ```text
/// 50000 100000
/// max 100000
/// ```
pub fn cpu_max(text: &[u8]) -> Limit<Cores> {
    let mut words = words(text.trim_ascii());
    match (words.next(), words.next().map_or(Some(100_000), digits)) {
        (Some(b"max"), _) => Limit::Unlimited,
        (Some(quota), Some(period)) => digits(quota).map_or(Limit::Unknown, |quota| cores(quota, period)),
        _ => Limit::Unknown,
    }
}

/// `pids.max` and the like: a number or `max`. All ones is how some runtimes wrote "no limit".
/// ```text
/// max
/// ```
pub fn max(text: &[u8]) -> Limit<u64> {
    match text.trim_ascii() {
        b"max" => Limit::Unlimited,
        text => digits(text).map_or(Limit::Unknown, |limit| if limit >= 1 << 62 { Limit::Unlimited } else { Limit::Of(limit) }),
    }
}

/// `memory.max`, `memory.swap.max`.
/// ```text
/// 536870912
/// ```
pub fn bytes_max(text: &[u8]) -> Limit<Bytes> {
    match max(text) {
        Limit::Of(limit) => Limit::Of(Bytes(limit)),
        Limit::Unlimited => Limit::Unlimited,
        Limit::Unknown => Limit::Unknown,
    }
}

/// The default row of `io.weight`.
/// ```text
/// default 100
/// 259:0 50
/// ```
pub fn io_weight(text: &[u8]) -> Option<u64> {
    pairs(text).find(|(key, _)| *key == b"default").map(|(_, weight)| weight)
}

/// `cgroup.events`: whether any process lives in or below it.
/// ```text
/// populated 1
/// frozen 0
/// ```
pub fn events(text: &[u8]) -> Option<bool> {
    pairs(text).find(|(key, _)| *key == b"populated").map(|(_, populated)| populated != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device_row(major: u32, minor: u32, figures: [u64; 4]) -> IoDevice {
        let [read, written, reads, writes] = figures;
        IoDevice { device: Device { major, minor }, read: Bytes(read), written: Bytes(written), reads: Some(reads), writes: Some(writes) }
    }

    #[test]
    fn cpu_stat_may_lack_all_but_the_time() {
        let whole =
            cpu_stat(b"usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 10\nnr_throttled 3\nthrottled_usec 7\nnr_bursts 1\n").unwrap();
        assert_eq!(whole.time, Duration::from_millis(2500));
        assert_eq!(whole.split, Some(CpuSplit { user: Duration::from_secs(2), system: Duration::from_millis(500) }));
        assert_eq!(whole.throttling, Some(Throttling { periods: 10, throttled: 3, time: Duration::from_micros(7) }));
        let short = cpu_stat(b"usage_usec 1\nuser_usec 1").unwrap();
        assert_eq!((short.split, short.throttling), (None, None));
        for text in ["", "usage_usec", "usage_usec -3\n", "user_usec 3\n", "usage_usec 99999999999999999999\n"] {
            assert_eq!(cpu_stat(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn memory_stat_knows_each_figure_on_its_own() {
        let memory = memory_stat(b"anon 1\nfile 2\ninactive_file 4\nshmem x\npgfault 7\npgmajfault 5\nanon_thp 9\nfile_mapped 3\nworkingset_refault_anon 2\n");
        assert_eq!((memory.anon, memory.file, memory.shmem, memory.slab), (Some(Bytes(1)), Some(Bytes(2)), None, None));
        assert_eq!((memory.inactive_file, memory.mapped, memory.faults, memory.major_faults), (Some(Bytes(4)), Some(Bytes(3)), Some(7), Some(5)));
        assert_eq!((memory.refaults, memory_stat(b"workingset_refault 4\n").refaults, memory_stat(b"anon 1\n").refaults), (Some(2), Some(4), None));
        assert_eq!(memory_stat(b"workingset_refault_anon 2\nworkingset_refault_file 3\n").refaults, Some(5));
    }

    #[test]
    fn memory_events_count() {
        let events = memory_events(b"low 0\nhigh 2\nmax 12\noom 1\noom_kill 3\noom_group_kill 9\n");
        assert_eq!(events, MemoryEvents { high: Some(2), max: Some(12), oom: Some(1), oom_kill: Some(3) });
    }

    #[test]
    fn odd_io_rows_cost_only_themselves() {
        let odd = b"7:9 7:8 7:3 rbytes=40960 wbytes=0 rios=31 wios=0 dbytes=0 dios=0\n(unknown) rbytes=0 wbytes=0 rios=5 wios=0\n\
            259:0 rbytes=1200000 wbytes=3400000 rios=20 wios=30 dbytes=0 dios=0 cost.usage=120\n252:0 ";
        assert_eq!(io_stat(odd).unwrap().as_slice(), [device_row(7, 3, [40960, 0, 31, 0]), device_row(259, 0, [1_200_000, 3_400_000, 20, 30])]);
        let row = |text: &str| io_stat(text.as_bytes()).map(|io| io.to_vec());
        assert_eq!(row(""), Some(vec![]));
        assert_eq!(row("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"), Some(vec![device_row(8, 0, [1, 2, 3, 4])]));
        assert_eq!(row("8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:0 rbytes=5 wbytes=6 rios=7 wios=8\n"), Some(vec![device_row(8, 0, [5, 6, 7, 8])]));
        for torn in
            ["8:0 ", "8:0\n", "8:0 rbytes=1 wbytes=2", "8:0 rbytes=x wbytes=2 \n", "8 rbytes=1 wbytes=2 \n", "(unknown) rbytes=1 wbytes=2 \n", "\u{fffd}"]
        {
            assert_eq!(row(torn), None, "{torn:?}");
        }
    }

    #[test]
    fn no_limit_is_its_own_word() {
        for (text, is) in [
            ("50000 100000\n", Limit::Of(Cores(0.5))),
            ("max 100000\n", Limit::Unlimited),
            ("250000", Limit::Of(Cores(2.5))),
            ("1 0\n", Limit::Unknown),
            ("", Limit::Unknown),
            ("-1 100000", Limit::Unknown),
            ("1 x", Limit::Unknown),
        ] {
            assert_eq!(cpu_max(text.as_bytes()), is, "{text:?}");
        }
        for (text, is) in [
            ("max\n", Limit::Unlimited),
            ("1024\n", Limit::Of(1024)),
            ("18446744073709551615", Limit::Unlimited),
            ("9223372036854775807", Limit::Unlimited),
            ("", Limit::Unknown),
            ("maximum", Limit::Unknown),
        ] {
            assert_eq!(max(text.as_bytes()), is, "{text:?}");
        }
    }

    #[test]
    fn weights_and_life() {
        assert_eq!((io_weight(b"default 100\n259:0 50\n"), io_weight(b"259:0 50\n")), (Some(100), None));
        assert_eq!((events(b"populated 0\nfrozen 0\n"), events(b"populated 1\n"), events(b"frozen 0\n")), (Some(false), Some(true), None));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(text in proptest::collection::vec(proptest::sample::select(b"0123456789:=- \nmaxsome.totlrbywi()\xff\0".to_vec()), 0..200)) {
            for file in FIGURES {
                (file.take)(&text, &mut Figures::default());
            }
            for file in BOUNDS {
                (file.take)(&text, &mut Bounds::default());
            }
            events(&text);
            device(&text);
        }

        #[test]
        fn a_torn_io_stat_never_says_more_than_the_whole(cut in 0..200_usize) {
            let whole = b"259:0 rbytes=1200000 wbytes=3400000 rios=20 wios=30 dbytes=0 dios=0\n8:16 rbytes=77 wbytes=88 rios=9 wios=10 dbytes=0 dios=0\n";
            let rows = io_stat(whole).unwrap();
            for row in io_stat(&whole[..cut.min(whole.len())]).unwrap_or_default() {
                let full = rows.iter().find(|full| full.device == row.device).unwrap();
                proptest::prop_assert_eq!((row.read, row.written), (full.read, full.written));
                proptest::prop_assert!(row.reads.is_none() || row.reads == full.reads);
            }
        }
    }
}
