//! The kernel's files about the whole machine, each one a pure function.

use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::{Cpu, CpuSplit, Memory};
use crate::units::Bytes;

/// `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stat {
    /// CPU time of the whole machine in use: not idle, not waiting for a disk, not stolen by the hypervisor.
    pub cpu: Option<Cpu>,
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
/// btime 1772359200
/// ```
/// user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second on every architecture Linux gives to user space. Guest time is inside user
/// and nice.
pub fn stat(text: &str) -> Stat {
    let mut stat = Stat::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        if word == "cpu" {
            stat.cpu = cpu(rest);
        } else if word == "btime" {
            stat.booted = rest.trim().parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        } else if word.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok()) {
            stat.cores = Some(stat.cores.unwrap_or(0).saturating_add(1));
        }
    }
    stat
}

fn cpu(line: &str) -> Option<Cpu> {
    let mut ticks = line.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let mut next = || ticks.next().flatten();
    let (user, nice, system) = (next()?, next()?, next()?);
    let (_idle, _waiting) = (next()?, next());
    // Kernels before 2.6 had no more.
    let (irq, softirq) = (next().unwrap_or(0), next().unwrap_or(0));
    let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(10));
    let (user, system) = (time(user.saturating_add(nice)), time(system.saturating_add(irq).saturating_add(softirq)));
    Some(Cpu { time: user.saturating_add(system), split: Some(CpuSplit { user, system }), throttling: None })
}

/// Reads `/proc/meminfo`: all of the machine's memory, and what of it is in use. A line that is missing leaves unknown what is made of it.
///
/// ```text
/// MemTotal:       16777216 kB
/// MemFree:         4194304 kB
/// Inactive(file):   524288 kB
/// ```
pub fn meminfo(text: &str) -> (Option<Bytes>, Memory) {
    let (mut total, mut free, mut buffers, mut cached, mut inactive, mut swap, mut swap_free) = (None, None, None, None, None, None, None);
    let mut memory = Memory::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(':') else { continue };
        let to = match word {
            "MemTotal" => &mut total,
            "MemFree" => &mut free,
            "Buffers" => &mut buffers,
            "Cached" => &mut cached,
            "Inactive(file)" => &mut inactive,
            "SwapTotal" => &mut swap,
            "SwapFree" => &mut swap_free,
            "AnonPages" => &mut memory.anon,
            "Shmem" => &mut memory.shmem,
            "Slab" => &mut memory.slab,
            _ => continue,
        };
        *to = kilobytes(rest);
    }
    let less = |all: Option<Bytes>, part: Option<Bytes>| all.zip(part).map(|(all, part)| all.less(part));
    memory.used = less(total, free);
    memory.working_set = less(memory.used, inactive);
    memory.swap = less(swap, swap_free);
    memory.file = buffers.zip(cached).map(|(buffers, cached)| Bytes(buffers.0.saturating_add(cached.0)));
    (total, memory)
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
        assert_eq!(stat(text), Stat { cpu: Some(cpu), booted: Timestamp::from_second(1_772_359_200).ok(), cores: Some(2) });
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
        let (total, memory) = meminfo(all);
        let kib = |n: u64| Some(Bytes(n << 10));
        assert_eq!((total, memory.used, memory.working_set, memory.swap), (kib(1000), kib(600), kib(450), kib(7)));
        assert_eq!((memory.anon, memory.file, memory.shmem, memory.slab), (kib(300), kib(210), kib(5), kib(40)));
        let (total, memory) = meminfo("MemTotal: 1000 kB\nMemFree: 400 kB\n");
        assert_eq!((total, memory.used, memory.working_set, memory.swap, memory.file), (kib(1000), kib(600), None, None, None));
        let (total, memory) = meminfo("MemTotal: 18446744073709551615 kB\nMemFree: x kB\nMemTot");
        assert_eq!((total, memory), (None, Memory::default()));
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
        }
    }
}
