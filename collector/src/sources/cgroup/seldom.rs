//! What is read of a cgroup at every twelfth look: its processes and their open files, its huge pages.

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use smallvec::SmallVec;

use super::files::{File, Tree};
use super::quiet::Moves;
use super::text::{digits, lines, number};
use crate::roots::{Roots, read_again};
use crate::snapshot::{Huge, HugePages, OpenFiles, Seen, SourceName, Usage};
use crate::units::{Bytes, Limit, Stamp};

/// The processes of one cgroup: in v1 any tree tells them.
pub const V1: &[File<Found>] = &[File { tree: Tree::Pids, name: "cgroup.procs", older: None, moves: Moves::Always, take: take_processes }];
/// The same in v2.
pub const V2: &[File<Found>] = &[File { tree: Tree::Unified, name: "cgroup.procs", older: None, moves: Moves::Always, take: take_processes }];

/// Huge pages of each size that x86 and ARM have (Documentation/admin-guide/cgroup-v1/hugetlb.rst). Read only where the machine has taken memory for some.
pub const V1_HUGE: &[File<Found>] = &[
    File { tree: Tree::Hugetlb, name: "hugetlb.64KB.usage_in_bytes", older: None, moves: Moves::Always, take: |text, found| found.pages(64 << 10, text) },
    File { tree: Tree::Hugetlb, name: "hugetlb.2MB.usage_in_bytes", older: None, moves: Moves::Always, take: |text, found| found.pages(2 << 20, text) },
    File { tree: Tree::Hugetlb, name: "hugetlb.32MB.usage_in_bytes", older: None, moves: Moves::Always, take: |text, found| found.pages(32 << 20, text) },
    File { tree: Tree::Hugetlb, name: "hugetlb.1GB.usage_in_bytes", older: None, moves: Moves::Always, take: |text, found| found.pages(1 << 30, text) },
];
/// The same in v2 (Documentation/admin-guide/cgroup-v2.rst, HugeTLB).
pub const V2_HUGE: &[File<Found>] = &[
    File { tree: Tree::Unified, name: "hugetlb.64KB.current", older: None, moves: Moves::Always, take: |text, found| found.pages(64 << 10, text) },
    File { tree: Tree::Unified, name: "hugetlb.2MB.current", older: None, moves: Moves::Always, take: |text, found| found.pages(2 << 20, text) },
    File { tree: Tree::Unified, name: "hugetlb.32MB.current", older: None, moves: Moves::Always, take: |text, found| found.pages(32 << 20, text) },
    File { tree: Tree::Unified, name: "hugetlb.1GB.current", older: None, moves: Moves::Always, take: |text, found| found.pages(1 << 30, text) },
];

/// Open files are asked of so many processes of one cgroup; of more they are not known.
const MOST_PROCESSES: usize = 64;
/// The limit on open files is read anew after so many turns; it is set when a process starts.
const LIMIT_EVERY: u32 = 10;

/// What the files of one turn say.
#[derive(Debug, Default)]
pub struct Found {
    processes: Option<Processes>,
    huge: Huge,
}

/// `cgroup.procs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// How many there are.
    pub count: u64,
    /// Their numbers in our process name space, the first 64. A process that has none there is 0.
    pub numbers: SmallVec<[u32; 8]>,
}

/// What the last turn found, until the next one.
#[derive(Debug, Default)]
pub struct Seldom {
    at: Stamp,
    processes: Option<u64>,
    files: Option<OpenFiles>,
    huge: Huge,
    /// Whose limit on open files `files` holds, and for how many turns more.
    limit_of: (u32, u32),
}

impl Found {
    fn pages(&mut self, size: u64, text: &[u8]) -> bool {
        let used = number(text);
        self.huge.extend(used.map(|used| HugePages { size: Bytes(size), used: Bytes(used) }));
        used.is_some()
    }
}

impl Seldom {
    /// Takes what one turn found. `pids`: what `pids.current` says.
    pub fn take(&mut self, at: Stamp, found: Found, pids: Option<u64>, open_files: &mut OpenFilesOf) {
        let Found { processes, huge } = found;
        // Empty, but something runs: its processes are in cgroups nested in it, or in a process name space that is not ours.
        let processes = processes.filter(|processes| processes.count > 0 || pids == Some(0));
        (self.at, self.huge) = (at, huge);
        self.processes = processes.as_ref().map(|processes| processes.count);
        let limit = self.files.map_or(Limit::Unknown, |files| files.limit);
        self.files = processes.and_then(|processes| {
            let first = processes.numbers.iter().copied().min().filter(|first| *first > 0)?;
            let open = (processes.count == processes.numbers.len() as u64).then(|| open_files.count(&processes.numbers)).flatten();
            let limit = if self.limit_of.0 == first && self.limit_of.1 > 0 { limit } else { open_files.limit(first) };
            self.limit_of = if self.limit_of.0 == first && self.limit_of.1 > 0 { (first, self.limit_of.1 - 1) } else { (first, LIMIT_EVERY) };
            (open.is_some() || limit != Limit::Unknown).then_some(OpenFiles { open, limit })
        });
    }

    /// Adds what is known to a cgroup's usage.
    pub fn tell(&self, usage: &mut Usage) {
        fn seen<T>(at: Stamp, is: T) -> Seen<T> {
            Seen { at, from: SourceName::Cgroup, is }
        }
        usage.processes = self.processes.map(|count| seen(self.at, count));
        usage.files = self.files.map(|files| seen(self.at, files));
        usage.huge = (!self.huge.is_empty()).then(|| seen(self.at, self.huge.clone()));
    }
}

fn take_processes(text: &[u8], found: &mut Found) -> bool {
    found.processes = Some(processes(text));
    true
}

/// `cgroup.procs`: the number of each process, a line each. From another process name space v2 shows 0 for each, v1 nothing.
/// ```text
/// 1200
/// 1207
/// ```
pub fn processes(text: &[u8]) -> Processes {
    let mut processes = Processes::default();
    for pid in lines(text).filter_map(digits) {
        processes.count += 1;
        if processes.numbers.len() < MOST_PROCESSES {
            processes.numbers.push(u32::try_from(pid).unwrap_or(0));
        }
    }
    processes
}

/// The soft limit on open files in `/proc/<pid>/limits`.
/// ```text
/// Limit                     Soft Limit           Hard Limit           Units
/// Max open files            1024                 524288               files
/// ```
pub fn limits(text: &[u8]) -> Limit<u64> {
    let Some(line) = lines(text).find_map(|line| line.strip_prefix(b"Max open files")) else { return Limit::Unknown };
    match super::text::words(line).next() {
        Some(b"unlimited") => Limit::Unlimited,
        Some(word) => digits(word).map_or(Limit::Unknown, Limit::Of),
        None => Limit::Unknown,
    }
}

/// Asks for the open files of processes. Since Linux 6.2 the size of `/proc/<pid>/fd` is how many there are, and anyone may ask for a size (commit
/// f1f1f2569901); before, only its owner may list the folder, which costs a line for each: it is not done.
#[derive(Debug, Default)]
pub struct OpenFilesOf {
    /// `proc`, where its numbers are ours and it knows sizes.
    proc: Option<OwnedFd>,
    sizes: bool,
    buffer: Vec<u8>,
}

impl OpenFilesOf {
    /// Nothing is asked of a recorded host.
    pub fn new(roots: &Roots) -> OpenFilesOf {
        let proc = roots.proc.path("");
        let own = std::process::id();
        // `/host/proc` may count in another process name space than ours, in which `cgroup.procs` counts.
        let ours = roots.recorded.is_none() && std::fs::read_link(proc.join("self")).is_ok_and(|target| target.to_str() == Some(&own.to_string()));
        let door = ours.then(|| rustix::fs::openat(CWD, &proc, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()).flatten();
        let mut asks = OpenFilesOf { proc: door, sizes: true, buffer: Vec::new() };
        asks.sizes = asks.count(&[own]).is_some_and(|open| open > 0);
        asks
    }

    /// The sum over these processes; one that has gone has none. `None`: nobody may say.
    fn count(&self, pids: &[u32]) -> Option<u64> {
        let proc = self.proc.as_ref().filter(|_| self.sizes)?;
        let mut path = [0; PATH];
        pids.iter().try_fold(0_u64, |sum, pid| match rustix::fs::statat(proc, below(&mut path, *pid, "fd")?, AtFlags::empty()) {
            Ok(stat) => Some(sum.saturating_add(u64::try_from(stat.st_size).ok()?)),
            Err(Errno::NOENT | Errno::SRCH) => Some(sum),
            Err(_) => None,
        })
    }

    fn limit(&mut self, pid: u32) -> Limit<u64> {
        let mut path = [0; PATH];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = self.proc.as_ref().zip(below(&mut path, pid, "limits")).and_then(|(proc, path)| rustix::fs::openat(proc, path, flags, Mode::empty()).ok());
        let Some(file) = opened else { return Limit::Unknown };
        self.buffer.resize(4 << 10, 0);
        read_again(&file, &mut self.buffer, 16 << 10).map_or(Limit::Unknown, |(length, _)| limits(&self.buffer[..length]))
    }
}

/// Ten digits, a slash, a name, a zero.
const PATH: usize = 24;

/// `<pid>/<name>` for the kernel.
fn below<'p>(path: &'p mut [u8; PATH], pid: u32, name: &str) -> Option<&'p CStr> {
    write!(&mut path[..], "{pid}/{name}\0").ok()?;
    CStr::from_bytes_until_nul(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_and_some_are_numbered() {
        let many: String = (1..=100).map(|pid| format!("{pid}\n")).collect();
        for (text, count, numbers) in [("1200\n1207\n", 2, 2), ("0\n0\n0\n", 3, 3), ("", 0, 0), ("12\nx\n\n-4\n", 1, 1), (many.as_str(), 100, 64)] {
            let found = processes(text.as_bytes());
            assert_eq!((found.count, found.numbers.len()), (count, numbers), "{text:?}");
        }
    }

    #[test]
    fn the_limit_is_the_soft_one() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        for (line, limit) in [
            ("Max open files            1024                 524288               files     \n", Limit::Of(1024)),
            ("Max open files            unlimited            unlimited            files     \n", Limit::Unlimited),
            ("Max open files            \n", Limit::Unknown),
            ("Max processes             1024                 524288               processes \n", Limit::Unknown),
        ] {
            assert_eq!(limits(format!("{head}{line}").as_bytes()), limit, "{line:?}");
        }
    }

    #[test]
    fn open_files_are_counted_where_the_kernel_says_so() {
        let mut of = OpenFilesOf::new(&Roots::live());
        let own = std::process::id();
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        match of.count(&[own]) {
            Some(open) => assert!(open > 50 && of.count(&[own, u32::MAX]) >= Some(50), "{open}: what has gone has none"),
            None => println!("skipped: this kernel is older than 6.2"),
        }
        drop(held);
        assert_ne!(of.limit(own), Limit::Unknown);
        assert_eq!(of.limit(u32::MAX), Limit::Unknown);
    }

    #[test]
    fn an_empty_list_is_no_answer_where_something_runs() {
        let mut of = OpenFilesOf::default();
        for (text, pids, told) in [("5\n6\n", Some(9), Some(2)), ("", Some(3), None), ("", None, None), ("", Some(0), Some(0)), ("0\n", Some(1), Some(1))] {
            let (mut seldom, mut found, mut usage) = (Seldom::default(), Found::default(), Usage::default());
            assert!(take_processes(text.as_bytes(), &mut found) && !found.pages(2 << 20, b"x") && found.pages(2 << 20, b"4194304\n"));
            seldom.take(Stamp::default(), found, pids, &mut of);
            seldom.tell(&mut usage);
            assert_eq!((usage.processes.map(|seen| seen.is), usage.files.is_none()), (told, true), "{text:?} {pids:?}");
            assert_eq!(usage.huge.unwrap().is.as_slice(), [HugePages { size: Bytes(2 << 20), used: Bytes(4 << 20) }]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(text in proptest::collection::vec(proptest::sample::select(b"0123456789\n Maxopenfils-\xff".to_vec()), 0..200)) {
            let found = processes(&text);
            proptest::prop_assert!(found.numbers.len() as u64 <= found.count);
            limits(&text);
        }
    }
}
