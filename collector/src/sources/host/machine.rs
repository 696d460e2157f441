//! The kernel's files about the whole machine, each one a pure function.

use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::{Activity, Cpu, CpuModes, CpuSplit, Meminfo, Memory, Paging, Used};
use crate::sources::text::{digits, keyed};
use crate::units::Bytes;

/// `/proc/stat`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stat {
    /// CPU time of the whole machine in use: not idle, not waiting for a disk, not stolen by the hypervisor.
    pub cpu: Option<Cpu>,
    /// What the CPUs did.
    pub modes: Option<CpuModes>,
    /// What each did, by its number, 1,024 of them at most.
    pub cpus: Vec<(u32, CpuModes)>,
    /// What the scheduler did.
    pub activity: Activity,
    /// `btime`.
    pub booted: Option<Timestamp>,
    /// How many CPUs have a line.
    pub cores: Option<u32>,
}

/// Reads `/proc/stat`, kernel: Documentation/filesystems/proc.rst, 1.7.
///
/// ```text
/// cpu  18131 0 7064 203871 689 0 51 24 0 0
/// cpu0 8088 0 2804 103827 162 0 11 10 0 0
/// intr 228351 0 0 …
/// ctxt 25502322
/// btime 1772359200
/// processes 435503
/// procs_running 1
/// procs_blocked 0
/// softirq 6011794 0 795451 …
/// ```
/// user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second on every architecture Linux gives to user space. Guest time is inside user
/// and nice. Of `intr` and `softirq` the first number is the sum.
pub fn stat(text: &str) -> Stat {
    let mut stat = Stat::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        let first = || rest.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
        match word {
            "cpu" => stat.modes = modes(rest),
            "intr" => stat.activity.interrupts = first(),
            "ctxt" => stat.activity.context_switches = first(),
            "btime" => stat.booted = rest.trim().parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()),
            "processes" => stat.activity.forks = first(),
            "procs_running" => stat.activity.running = first(),
            "procs_blocked" => stat.activity.blocked = first(),
            "softirq" => stat.activity.soft_interrupts = first(),
            word => {
                if let Some(number) = word.strip_prefix("cpu").and_then(|number| number.parse::<u32>().ok()) {
                    stat.cores = Some(stat.cores.unwrap_or(0).saturating_add(1));
                    stat.cpus.extend(modes(rest).filter(|_| stat.cpus.len() < MOST_CPUS).map(|modes| (number, modes)));
                }
            }
        }
    }
    stat.cpu = stat.modes.map(|modes| used(&modes));
    stat
}

/// No more CPUs are told one by one.
const MOST_CPUS: usize = 1024;

/// Kernels before 2.6 had four numbers; each later one may be missing.
fn modes(line: &str) -> Option<CpuModes> {
    let mut ticks = line.split_ascii_whitespace().map(|word| word.parse::<u64>().ok().map(|ticks| Duration::from_millis(ticks.saturating_mul(10))));
    let mut next = || ticks.next().flatten();
    Some(CpuModes {
        user: next()?,
        nice: next()?,
        system: next()?,
        idle: next()?,
        iowait: next(),
        irq: next(),
        softirq: next(),
        steal: next(),
        guest: next(),
        guest_nice: next(),
    })
}

fn used(modes: &CpuModes) -> Cpu {
    let user = modes.user.saturating_add(modes.nice);
    let system = modes.system.saturating_add(modes.irq.unwrap_or_default()).saturating_add(modes.softirq.unwrap_or_default());
    Cpu { time: user.saturating_add(system), split: Some(CpuSplit { user, system }), throttling: None }
}

/// What `/proc/meminfo` says, in three sets of words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memories {
    /// `MemTotal`.
    pub total: Option<Bytes>,
    /// In the words that every cgroup has.
    pub memory: Memory,
    /// In the kernel's own.
    pub info: Meminfo,
}

/// Reads `/proc/meminfo`: all of the machine's memory, and what of it is in use. A line that is missing leaves unknown what is made of it.
///
/// ```text
/// MemTotal:       16777216 kB
/// MemFree:         4194304 kB
/// MemAvailable:    8388608 kB
/// Inactive(file):   524288 kB
/// HugePages_Total:       0
/// ```
pub fn meminfo(text: &str) -> Memories {
    let (mut total, mut memory, mut info) = (None, Memory::default(), Meminfo::default());
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(':') else { continue };
        let to = match word {
            "MemTotal" => &mut total,
            "MemFree" => &mut info.free,
            "MemAvailable" => &mut info.available,
            "Buffers" => &mut info.buffers,
            "Cached" => &mut info.cached,
            "SwapCached" => &mut info.swap_cached,
            "Active" => &mut info.active,
            "Inactive" => &mut info.inactive,
            "Active(anon)" => &mut memory.active_anon,
            "Inactive(anon)" => &mut memory.inactive_anon,
            "Active(file)" => &mut memory.active_file,
            "Inactive(file)" => &mut memory.inactive_file,
            "Unevictable" => &mut info.unevictable,
            "SwapTotal" => &mut info.swap_total,
            "SwapFree" => &mut info.swap_free,
            "Zswap" => &mut info.zswap,
            "Zswapped" => &mut info.zswapped,
            "Dirty" => &mut info.dirty,
            "Writeback" => &mut info.writeback,
            "AnonPages" => &mut info.anon,
            "Mapped" => &mut info.mapped,
            "Shmem" => &mut info.shmem,
            "Slab" => &mut memory.slab,
            "SReclaimable" => &mut info.slab_reclaimable,
            "SUnreclaim" => &mut info.slab_unreclaimable,
            "KernelStack" => &mut info.kernel_stack,
            "PageTables" => &mut info.page_tables,
            "CommitLimit" => &mut info.commit_limit,
            "Committed_AS" => &mut info.committed,
            "Hugepagesize" => &mut info.huge_page_size,
            "Hugetlb" => &mut info.hugetlb,
            "HugePages_Total" => {
                info.huge_pages = rest.trim().parse().ok();
                continue;
            }
            "HugePages_Free" => {
                info.huge_pages_free = rest.trim().parse().ok();
                continue;
            }
            _ => continue,
        };
        *to = kilobytes(rest);
    }
    let less = |all: Option<Bytes>, part: Option<Bytes>| all.zip(part).map(|(all, part)| all.less(part));
    let used = less(total, info.free);
    memory = Memory {
        used,
        working_set: less(used, memory.inactive_file),
        anon: info.anon,
        file: info.buffers.zip(info.cached).map(|(buffers, cached)| Bytes(buffers.0.saturating_add(cached.0))),
        shmem: info.shmem,
        mapped: info.mapped,
        dirty: info.dirty,
        writeback: info.writeback,
        unevictable: info.unevictable,
        kernel_stack: info.kernel_stack,
        page_tables: info.page_tables,
        swap: less(info.swap_total, info.swap_free),
        zswap: info.zswap,
        zswapped: info.zswapped,
        ..memory
    };
    Memories { total, memory, info }
}

/// Reads `/proc/vmstat`.
///
/// ```text
/// pgpgin 27830553
/// pgpgout 106014092
/// pswpin 0
/// pswpout 0
/// pgfault 310526583
/// pgmajfault 68739
/// oom_kill 53
/// ```
/// `pgpgin` and `pgpgout` are in KiB, swapping in pages. `oom_kill` came with Linux 4.13.
pub fn vmstat(text: &[u8]) -> Paging {
    let mut paging = Paging::default();
    let kib = |number: &[u8]| digits(number)?.checked_mul(1024).map(Bytes);
    for (key, number) in keyed(text) {
        match key {
            b"pgpgin" => paging.read = kib(number),
            b"pgpgout" => paging.written = kib(number),
            b"pswpin" => paging.swapped_in = digits(number),
            b"pswpout" => paging.swapped_out = digits(number),
            b"pgfault" => paging.faults = digits(number),
            b"pgmajfault" => paging.major_faults = digits(number),
            b"oom_kill" => paging.oom_kills = digits(number),
            _ => {}
        }
    }
    paging
}

/// Reads `/proc/sys/fs/file-nr`: handles made, those of them that are free, the limit. A limit that no machine reaches is none.
///
/// ```text
/// 521 0 9223372036854775807
/// ```
pub fn file_nr(text: &str) -> Option<Used> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let mut next = || words.next().flatten();
    let (made, free, most) = (next()?, next()?, next()?);
    Some(Used { used: made.saturating_sub(free), most: (most < 1 << 62).then_some(most) })
}

/// `MemTotal` of `/proc/meminfo`, and whether memory was taken for huge pages of any size (`Hugetlb`, since Linux 4.17).
pub fn offered(text: &str) -> (Option<Bytes>, bool) {
    let line = |word: &str| text.lines().find_map(|line| kilobytes(line.strip_prefix(word)?.strip_prefix(':')?));
    (line("MemTotal"), line("Hugetlb").is_some_and(|taken| taken > Bytes(0)))
}

/// `  16777216 kB`, where kB is 1024 bytes.
fn kilobytes(text: &str) -> Option<Bytes> {
    text.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024).map(Bytes)
}

/// Reads `/proc/loadavg`: `0.07 0.16 0.14 1/93 11703`.
pub fn loadavg(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<f64>().ok().filter(|load| load.is_finite() && *load >= 0.0));
    let mut next = || words.next().flatten();
    Some([next()?, next()?, next()?])
}

/// Reads `VmRSS:     5312 kB` of `/proc/self/status`.
pub fn resident(text: &str) -> Option<Bytes> {
    text.lines().find_map(|line| kilobytes(line.strip_prefix("VmRSS:")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cpu_time_is_what_was_used() {
        let text = "cpu  100 20 30 4000 500 6 7 800 90 10\ncpu0 50 0 0 0\ncpu11 50 0 0 0\nintr 5 0 0\nbtime 1772359200\n";
        let (user, system) = (Duration::from_millis(1_200), Duration::from_millis(430));
        let cpu = Cpu { time: user + system, split: Some(CpuSplit { user, system }), throttling: None };
        let told = stat(text);
        assert_eq!((told.cpu, told.booted, told.cores), (Some(cpu), Timestamp::from_second(1_772_359_200).ok(), Some(2)));
        assert_eq!(told.cpus.iter().map(|(number, modes)| (*number, modes.user.as_millis())).collect::<Vec<_>>(), [(0, 500), (11, 500)]);
        let modes = told.modes.unwrap();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!((Some(modes.idle), modes.iowait, modes.steal, modes.guest, modes.guest_nice), (ms(40_000), ms(5_000), ms(8_000), ms(900), ms(100)));
        assert_eq!(stat("cpu  1 2 3 4\n").modes.unwrap().iowait, None);
        let activity = stat("intr 5 1 1\nctxt 6\nprocesses 7\nprocs_running 2\nprocs_blocked x\nsoftirq 9 0 0\n").activity;
        let expected = Activity { interrupts: Some(5), context_switches: Some(6), forks: Some(7), running: Some(2), blocked: None, soft_interrupts: Some(9) };
        assert_eq!(activity, expected);
        for (text, known) in
            [("cpu  1 2 3 4\n", true), ("cpu  1 2\n", false), ("cpu  1 x 3 4 5\n", false), ("", false), ("cpu  18446744073709551615 9 9 9 9 9 9\n", true)]
        {
            assert_eq!(stat(text).cpu.is_some(), known, "{text:?}");
        }
        assert_eq!(stat("btime 9223372036854775807\n").booted, None);
    }

    #[test]
    fn memory_in_use_is_known_where_its_lines_are() {
        let all = "MemTotal: 1000 kB\nMemFree: 400 kB\nBuffers: 10 kB\nCached: 200 kB\nInactive(file): 150 kB\nAnonPages: 300 kB\nShmem: 5 kB\nSlab: 40 kB\nSwapTotal: 9 kB\nSwapFree: 2 kB\n";
        let Memories { total, memory, info } =
            meminfo(&format!("{all}MemAvailable: 550 kB\nHugePages_Total: 3\nHugepagesize: 2048 kB\nMapped: 7 kB\nActive: 8 kB\n"));
        let kib = |n: u64| Some(Bytes(n << 10));
        assert_eq!((total, memory.used, memory.working_set, memory.swap), (kib(1000), kib(600), kib(450), kib(7)));
        assert_eq!((memory.anon, memory.file, memory.shmem, memory.slab), (kib(300), kib(210), kib(5), kib(40)));
        assert_eq!((info.available, info.huge_pages, info.huge_page_size, info.active), (kib(550), Some(3), kib(2048), kib(8)));
        assert_eq!((memory.mapped, memory.inactive_file, memory.dirty), (kib(7), kib(150), None));
        let Memories { total, memory, .. } = meminfo("MemTotal: 1000 kB\nMemFree: 400 kB\n");
        assert_eq!((total, memory.used, memory.working_set, memory.swap, memory.file), (kib(1000), kib(600), None, None, None));
        assert_eq!(meminfo("MemTotal: 18446744073709551615 kB\nMemFree: x kB\nMemTot"), Memories::default());
        assert_eq!(offered("MemTotal: 9 kB\nHugetlb: 2048 kB\n"), (kib(9), true));
        assert_eq!((offered("MemTotal: 9 kB\nHugetlb: 0 kB\n"), offered("")), ((kib(9), false), (None, false)));
    }

    #[test]
    fn paging_and_handles() {
        let text = b"nr_free_pages 1\npgpgin 2\npgpgout 3\npswpin 4\npswpout 5\npgfault 6\npgmajfault 7\noom_kill 8\n";
        let paging = Paging {
            faults: Some(6),
            major_faults: Some(7),
            read: Some(Bytes(2048)),
            written: Some(Bytes(3072)),
            swapped_in: Some(4),
            swapped_out: Some(5),
            oom_kills: Some(8),
        };
        assert_eq!((vmstat(text), vmstat(b"pgpgin 18446744073709551615\npgfault x\n")), (paging, Paging::default()));
        for (text, is) in [
            ("521\t0\t2466177\n", Some(Used { used: 521, most: Some(2_466_177) })),
            ("521\t21\t9223372036854775807\n", Some(Used { used: 500, most: None })),
            ("521\t0\n", None),
            ("", None),
        ] {
            assert_eq!(file_nr(text), is, "{text:?}");
        }
    }

    #[test]
    fn loads_and_resident_memory() {
        assert_eq!(loadavg("0.07 0.16 0.14 1/93 11703\n"), Some([0.07, 0.16, 0.14]));
        for text in ["", "0.07 0.16", "nan 0 0", "-1 0 0", "inf 0 0"] {
            assert_eq!(loadavg(text), None, "{text:?}");
        }
        assert_eq!(resident("Name:\ttare\nVmRSS:\t    5312 kB\n"), Some(Bytes(5312 << 10)));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(cpu|cpu0|btime|MemTotal:|MemFree:|[0-9 kB,.:\n-]|\\PC){0,40}") {
            stat(&text);
            meminfo(&text);
            loadavg(&text);
            resident(&text);
            vmstat(text.as_bytes());
            file_nr(&text);
            offered(&text);
        }
    }
}
