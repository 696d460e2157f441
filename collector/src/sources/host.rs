//! The machine itself: what it is, how much of it is in use, how full the disks are that Tare depends on, and what Tare itself uses.

pub mod blocks;
mod disks;
pub mod links;
pub mod machine;
pub mod mounted;
mod texts;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sysinfo::System;

use crate::error::Error;
use crate::roots::Roots;
use crate::snapshot::{
    Activity, Disk, FileSystem, Gap, Host, Link, Machine, Meminfo, Net, Own, Paging, Pressure, Room, Seen, Sockets, SourceName, Stall, Usage, Used,
};
use crate::sources::net::sockets;
use crate::sources::{Look, Reading, Told, psi, text};
use crate::units::Stamp;

use disks::Disks;
use links::{Pairs, Sight};
use mounted::Mounted;
use texts::Texts;

/// What may be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A folder whose disk is watched: Tare's state folder, or where it would be.
    pub state: PathBuf,
    /// A file system that does not answer within this is a gap.
    pub disk_deadline: Duration,
}

/// Reads the kernel's files about the whole machine.
pub struct HostFiles {
    roots: Roots,
    state: PathBuf,
    /// What does not change while the machine runs.
    fixed: Option<Host>,
    texts: Texts,
    disks: Disks,
    sight: Sight,
    pairs: Pairs,
    /// The last look's machine and network; they lend their names.
    before: (Option<Arc<Machine>>, Net),
    /// What changes slowly, as last read.
    slow: Slow,
    /// Looks until it has its turn.
    wait: u32,
    buffer: Vec<u8>,
}

/// What changes slowly has its turn in every sixth look.
const SLOW_EVERY: u32 = 6;

/// What changes slowly.
#[derive(Default)]
struct Slow {
    disks: Vec<Disk>,
    filesystems: Arc<[FileSystem]>,
    links: Arc<[Link]>,
    sockets: Option<Arc<Seen<Sockets>>>,
    files: Option<Used>,
    conntrack: Option<Used>,
    /// What was wrong with the disks.
    problems: Vec<String>,
}

impl HostFiles {
    /// Nothing is read before the first look.
    pub fn new(roots: Roots, settings: Settings) -> HostFiles {
        HostFiles {
            roots,
            state: settings.state,
            fixed: None,
            texts: Texts::default(),
            disks: Disks::new(settings.disk_deadline),
            sight: Sight::default(),
            pairs: Pairs::default(),
            before: Default::default(),
            slow: Slow::default(),
            wait: 0,
            buffer: Vec::new(),
        }
    }

    fn host(&mut self, known: &[Arc<Reading>], gaps: &mut Gaps) -> Host {
        let mut host = self.fixed.get_or_insert_with(|| identity(&self.roots)).clone();
        let mut machine = Machine::default();
        if let Some(text) = gaps.text("cpu", self.texts.proc(&self.roots, "stat")) {
            let stat = machine::stat(&text);
            (host.booted, host.cores) = (stat.booted, stat.cores);
            host.usage.cpu = stat.cpu.map(|cpu| self.now(cpu));
            machine.cpus = stat.cpus;
            machine.modes = stat.modes.map(|modes| self.now(modes));
            machine.activity = (stat.activity != Activity::default()).then(|| self.now(stat.activity));
        }
        host.cores = self.texts.sys(&self.roots, ONLINE_CPUS).ok().and_then(|text| text::cpu_list(text.as_bytes())).or(host.cores);
        if let Some(text) = gaps.text("memory", self.texts.proc(&self.roots, "meminfo")) {
            let machine::Memories { total, memory, info } = machine::meminfo(&text);
            host.memory = total;
            host.usage.memory = memory.used.map(|_| self.now(memory));
            machine.memory = (info != Meminfo::default()).then(|| self.now(info));
        }
        host.load = gaps.text("load", self.texts.proc(&self.roots, "loadavg")).and_then(|text| machine::loadavg(&text));
        host.usage.pressure = self.pressure(gaps);
        let turn = self.wait == 0 || self.roots.recorded.is_some();
        if turn {
            self.wait = SLOW_EVERY;
            self.sight = Sight::of(&self.roots);
        }
        self.wait -= 1;
        self.traffic(&mut host.usage, &mut machine, gaps);
        if turn {
            self.slowly(known, &host.usage);
        }
        let slow = &self.slow;
        slow.problems.iter().for_each(|problem| gaps.say("disk", problem.clone()));
        (machine.filesystems, machine.links) = (slow.filesystems.clone(), slow.links.clone());
        (machine.files, machine.conntrack) = (slow.files, slow.conntrack);
        host.usage.sockets = slow.sockets.clone();
        host.disks = slow.disks.clone();
        host.machine = (machine != Machine::default()).then(|| Arc::new(machine));
        self.before.0.clone_from(&host.machine);
        if self.roots.recorded.is_none() {
            host.own = own(&mut self.texts);
        }
        host
    }

    /// Paging, block devices and the network. A kernel (or a sandbox) that lacks one of these files is no gap.
    fn traffic(&mut self, usage: &mut Usage, machine: &mut Machine, gaps: &mut Gaps) {
        if let Ok(text) = self.texts.proc(&self.roots, "vmstat") {
            let paging = machine::vmstat(text.as_bytes());
            machine.paging = (paging != Paging::default()).then(|| self.now(paging));
            if let Some(memory) = &mut usage.memory {
                (memory.is.faults, memory.is.major_faults, memory.is.oom_kills) = (paging.faults, paging.major_faults, paging.oom_kills);
            }
        }
        if let Ok(text) = self.texts.proc(&self.roots, "diskstats") {
            let before = self.before.0.as_ref().and_then(|before| before.disks.as_ref()).map_or(&[][..], |disks| &disks.is);
            let blocks = blocks::parse(&text, before);
            if blocks.cut > 0 {
                gaps.say("disk", format!("{} block devices not told: more than {}", blocks.cut, blocks::MOST_DEVICES));
            }
            usage.io = Some(self.now(blocks::io(&blocks.devices)));
            machine.disks = Some(self.now(blocks.devices));
        }
        if let Ok(text) = self.texts.proc(&self.roots, "1/net/dev") {
            let dev = self.pairs.read(&self.roots, self.sight, text.as_bytes(), &self.before.1);
            if dev.cut > 0 {
                gaps.say("network", format!("{} interfaces of the host not counted: more than {}", dev.cut, super::net::dev::MOST_INTERFACES));
            }
            if !dev.is_unknown() {
                self.before.1.clone_from(&dev.net);
                usage.net = Some(self.now(dev.net));
            }
        }
    }

    /// What changes slowly.
    fn slowly(&mut self, known: &[Arc<Reading>], usage: &Usage) {
        let (roots, sight) = (&self.roots, self.sight);
        let folder = roots.proc.path("1/net");
        let sockets = sockets::read(roots, 1, &folder, None, &mut self.buffer);
        let links = usage.net.as_ref().filter(|_| sight.links).map(|net| links::read(roots, &net.is)).unwrap_or_default();
        let number = |path: &str| roots.read_proc(path).ok()?.trim().parse().ok();
        let conntrack = || Some(Used { used: number("sys/net/netfilter/nf_conntrack_count")?, most: number("sys/net/netfilter/nf_conntrack_max") });
        let slow = Slow {
            disks: Vec::new(),
            filesystems: Arc::default(),
            links: links.into(),
            sockets: sockets.map(|is| Arc::new(self.now(is))),
            files: roots.read_proc("sys/fs/file-nr").ok().and_then(|text| machine::file_nr(&text)),
            conntrack: if sight.same { conntrack() } else { None },
            problems: Vec::new(),
        };
        self.slow = slow;
        if self.roots.recorded.is_none() {
            self.filesystems(known);
        }
    }

    /// How full the file systems are: those Tare depends on, and those of the host that can be reached from here.
    fn filesystems(&mut self, known: &[Arc<Reading>]) {
        // Until the first byte is written the state folder may be missing: its disk is that of the folder it would be made in.
        let state = self.state.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
        let docker = known.iter().find_map(|reading| match &reading.told {
            Some(Told::Docker(told)) => told.docker.as_ref()?.root.clone(),
            _ => None,
        });
        let mut depends: Vec<(&str, &Path)> = vec![("state", state)];
        depends.extend(docker.as_deref().map(|root| ("docker", Path::new(root))));
        let ours = crate::roots::read(Path::new("/proc/self/mountinfo"), crate::roots::FILE_LIMIT).unwrap_or_default();
        let (mut found, cut) = mounted::find(&self.roots.read_proc("1/mountinfo").unwrap_or_default(), &String::from_utf8_lossy(&ours));
        if cut > 0 {
            self.slow.problems.push(format!("{cut} file systems not told: more than {}", mounted::MOST));
        }
        let paths: BTreeSet<&Path> = depends.iter().map(|(_, path)| *path).chain(found.iter().filter_map(|one| one.ours.as_deref().map(Path::new))).collect();
        let mut rooms = self.disks.read(&paths);
        for (what, path) in depends {
            match rooms.get(path) {
                Some(Ok(room)) => {
                    self.slow.disks.push(Disk { what: what.into(), path: path.to_string_lossy().into(), size: room.size, available: room.available });
                }
                Some(Err(problem)) => self.slow.problems.push(problem.clone()),
                None => {}
            }
        }
        for one in &mut found {
            self.slow.problems.extend(answer(one, &mut rooms));
        }
        self.slow.problems.sort();
        self.slow.problems.dedup();
        self.slow.filesystems = found.into_iter().map(|one| one.about).collect();
    }

    fn now<T>(&self, is: T) -> Seen<T> {
        Seen { at: self.roots.clock.now(), from: SourceName::Host, is }
    }

    /// Unknown where the kernel has no PSI: the files are missing, empty or refuse to be read.
    fn pressure(&mut self, gaps: &mut Gaps) -> Option<Seen<Pressure>> {
        let mut read = |file| -> Result<Option<Stall>, Error> { Ok(psi::parse(self.texts.proc(&self.roots, file)?.as_bytes())) };
        let [cpu, memory, io] = ["pressure/cpu", "pressure/memory", "pressure/io"].map(&mut read);
        // One reason is enough: it is the same for all three.
        if let Some(error) = [&cpu, &memory, &io].into_iter().find_map(|read| read.as_ref().err()) {
            gaps.say("pressure", error.to_string());
        }
        let [cpu, memory, io] = [cpu, memory, io].map(|read| read.ok().flatten());
        (cpu.is_some() || memory.is_some() || io.is_some()).then(|| self.now(Pressure { cpu, memory, io }))
    }
}

impl Look for HostFiles {
    fn name(&self) -> SourceName {
        SourceName::Host
    }

    fn look(&mut self, known: &[Arc<Reading>]) -> Reading {
        let mut gaps = Gaps::default();
        let host = self.host(known, &mut gaps);
        let at: Stamp = self.roots.clock.now();
        Reading { from: SourceName::Host, at, told: Some(Told::Host(Box::new(host))), gaps: gaps.0 }
    }
}

/// Takes the answer for a file system; what is wrong with it.
fn answer(mounted: &mut Mounted, rooms: &mut HashMap<PathBuf, Result<Room, String>>) -> Option<String> {
    match rooms.get(Path::new(mounted.ours.as_deref()?))? {
        Ok(room) => {
            mounted.about.room = Some(*room);
            None
        }
        Err(problem) => Some(problem.clone()),
    }
}

/// What could not be read.
#[derive(Default)]
struct Gaps(Vec<Gap>);

impl Gaps {
    fn say(&mut self, what: &str, why: String) {
        self.0.push(Gap { from: SourceName::Host, what: what.into(), why: why.into() });
    }

    fn text<'t>(&mut self, what: &str, read: Result<Cow<'t, str>, Error>) -> Option<Cow<'t, str>> {
        read.map_err(|error| self.say(what, error.to_string())).ok()
    }
}

/// Where the kernel lists the CPUs that are online, below `/sys`.
pub(crate) const ONLINE_CPUS: &str = "devices/system/cpu/online";

/// How many CPUs are online.
pub(crate) fn online_cpus(roots: &Roots) -> Option<u32> {
    text::cpu_list(roots.read_sys(ONLINE_CPUS).ok()?.as_bytes())
}

/// Of a recorded host what its files say, nothing of the real machine.
pub(crate) fn identity(roots: &Roots) -> Host {
    let word = |text: String| Some(text.trim()).filter(|word| !word.is_empty()).map(Arc::<str>::from);
    let file = |below: &str| roots.read_proc(below).ok().and_then(word);
    let (name, arch, os, kernel) = match &roots.recorded {
        Some(recorded) => {
            let host = recorded.host.clone();
            (host.name, host.arch, host.os, host.kernel)
        }
        None => (System::host_name().ok(), Some(System::cpu_arch()), Some(std::env::consts::OS.to_owned()), System::kernel_version().ok()),
    };
    Host {
        name: name.and_then(word),
        arch: arch.and_then(word),
        os: os.and_then(word),
        kernel: kernel.and_then(word).or_else(|| file("sys/kernel/osrelease")),
        boot_id: file("sys/kernel/random/boot_id"),
        usage: Usage::default(),
        ..Host::default()
    }
}

/// What Tare itself uses, asked of the real machine.
fn own(texts: &mut Texts) -> Option<Own> {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(u64::try_from(spent.tv_sec).ok()?, u32::try_from(spent.tv_nsec).ok()?);
    let memory = machine::resident(&texts.own("/proc/self/status").ok()?)?;
    Some(Own { cpu, memory })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;

    use super::*;
    use crate::roots::Clock;
    use crate::units::Bytes;

    fn host(roots: Roots) -> (Host, Vec<(String, String)>) {
        let settings = Settings { state: "/nowhere/tare".into(), disk_deadline: Duration::from_secs(60) };
        let reading = HostFiles::new(roots, settings).look(&[]);
        let Some(Told::Host(host)) = reading.told else { panic!("no host") };
        (*host, reading.gaps.into_iter().map(|gap| (gap.what.to_string(), gap.why.to_string())).collect())
    }

    fn recorded(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("proc")).unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let roots = Roots::replay(folder.path()).unwrap().remove(0);
        (folder, roots)
    }

    #[test]
    fn a_recorded_host_is_told_by_its_files_alone() {
        let (_folder, roots) = recorded(&[
            ("host.json", r#"{"name": "ip-10-0-0-1", "arch": "aarch64", "os": "linux", "kernel": "6.1.0"}"#),
            ("clock.json", r#"{"now": {"wall": "2026-03-01T10:00:00Z", "boot_s": 100}}"#),
            ("proc/stat", "cpu  50000 0 50000 4000000 0 0 0 0 0 0\ncpu0 1 1 1 1\nbtime 1772359200\n"),
            ("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 4194304 kB\n"),
            ("proc/loadavg", "1.00 0.50 0.25 1/2 3\n"),
            ("proc/sys/kernel/random/boot_id", "abc\n"),
            ("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\n"),
            ("proc/pressure/memory", ""),
            ("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"),
            ("faults.json", r#"{"errno": {"proc/pressure/io": "EOPNOTSUPP"}}"#),
            ("sys/devices/system/cpu/online", "0-3\n"),
        ]);
        let (host, gaps) = host(roots);
        assert_eq!((host.name.as_deref(), host.arch.as_deref(), host.kernel.as_deref()), (Some("ip-10-0-0-1"), Some("aarch64"), Some("6.1.0")));
        assert_eq!((host.boot_id.as_deref(), host.cores, host.memory), (Some("abc"), Some(4), Some(Bytes(16 << 30))));
        assert_eq!((host.booted, host.load), (Timestamp::from_second(1_772_359_200).ok(), Some([1.0, 0.5, 0.25])));
        let cpu = host.usage.cpu.unwrap();
        assert_eq!((cpu.is.time, cpu.at.boot), (Duration::from_secs(1000), Some(Duration::from_secs(100))));
        let memory = host.usage.memory.unwrap().is;
        assert_eq!((memory.used, memory.working_set), (Some(Bytes(12 << 30)), None));
        let pressure = host.usage.pressure.unwrap().is;
        assert_eq!(pressure, Pressure { cpu: Some(Stall { some: Duration::from_secs(2), full: None }), memory: None, io: None });
        assert_eq!((&host.disks[..], host.own), (&[][..], None), "nothing of the real machine");
        assert!(gaps.len() == 1 && gaps[0].0 == "pressure", "{gaps:?}");
    }

    #[test]
    fn a_node_overview_is_told_by_the_files_too() {
        let (_folder, roots) = recorded(&[
            ("proc/stat", "cpu  1 2 3 4 5 6 7 8 9 10\nctxt 11\n"),
            ("proc/meminfo", "MemTotal: 100 kB\nMemFree: 40 kB\nMemAvailable: 50 kB\n"),
            ("proc/vmstat", "pgfault 12\noom_kill 1\n"),
            ("proc/diskstats", "259 0 nvme0n1 1 0 8 0 2 0 16 0 0 20 0\n259 1 nvme0n1p1 1 0 8 0 2 0 16 0 0 20 0\n"),
            (
                "proc/1/net/dev",
                "a|b\n eth0: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n veth12: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n eni1: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n \
                 virbr0: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n docker0: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n eth0.7: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n",
            ),
            ("proc/1/net/snmp", "Tcp: RetransSegs\nTcp: 3\n"),
            ("sys/class/net/virbr0/uevent", "DEVTYPE=bridge\nINTERFACE=virbr0\nIFINDEX=4\n"),
            ("sys/class/net/eth0.7/uevent", "DEVTYPE=vlan\nINTERFACE=eth0.7\nIFINDEX=5\n"),
            ("proc/sys/fs/file-nr", "521\t0\t1000\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "9\n"),
            ("sys/class/net/eth0/operstate", "up\n"),
            ("sys/class/net/eth0/speed", "10000\n"),
            ("sys/class/net/eni1/ifindex", "7\n"),
            ("sys/class/net/eni1/iflink", "3\n"),
            ("sys/class/net/eni1/uevent", "INTERFACE=eni1\nIFINDEX=7\n"),
        ]);
        let (host, _) = host(roots);
        let machine = host.machine.unwrap();
        let (memory, paging) = (machine.memory.unwrap().is, machine.paging.unwrap().is);
        assert_eq!((machine.modes.unwrap().is.steal, machine.activity.unwrap().is.context_switches), (Some(Duration::from_millis(80)), Some(11)));
        assert_eq!((memory.available, paging.faults, host.usage.memory.unwrap().is.oom_kills), (Some(Bytes(50 << 10)), Some(12), Some(1)));
        let disks = &machine.disks.as_ref().unwrap().is;
        assert_eq!((disks.len(), &*disks[0].name, disks[0].busy), (1, "nvme0n1", Duration::from_millis(20)));
        assert_eq!(host.usage.io.unwrap().is[0].written, Bytes(16 * 512));
        assert_eq!(
            host.usage.net.unwrap().is.iter().map(|one| &*one.name).collect::<Vec<_>>(),
            ["eth0", "eth0.7"],
            "what ends in a container is the container's"
        );
        assert_eq!(host.usage.sockets.unwrap().is.tcp.retransmitted, Some(3));
        assert_eq!((machine.files, machine.conntrack), (Some(Used { used: 521, most: Some(1000) }), Some(Used { used: 9, most: None })));
        let up = Link { name: "eth0".into(), up: Some(true), mtu: None, speed: Some(Bytes(1_250_000_000)) };
        assert_eq!((&machine.links[..], machine.filesystems.len()), (&[up][..], 0));
    }

    #[test]
    fn a_host_without_files_is_unknown_and_says_why() {
        let (_folder, roots) = recorded(&[]);
        let (host, gaps) = host(roots);
        assert_eq!(host, Host::default());
        assert_eq!(gaps.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>(), ["cpu", "memory", "load", "pressure"]);
    }

    #[test]
    fn this_machine_tells_of_itself() {
        let (host, _) = host(Roots::live());
        assert!(host.cores.is_some_and(|cores| cores > 0) && host.memory > Some(Bytes(0)) && host.boot_id.is_some() && host.booted.is_some());
        assert!(host.usage.cpu.is_some() && host.arch.is_some() && host.kernel.is_some());
        assert!(host.own.is_some_and(|own| own.memory > Bytes(0) && own.cpu > Duration::ZERO));
        assert_eq!(host.disks.iter().map(|disk| (&*disk.what, &*disk.path)).collect::<Vec<_>>(), [("state", "/")], "the folder it would be made in");
        let machine = host.machine.unwrap();
        assert!(machine.modes.is_some() && machine.memory.is_some() && machine.paging.is_some() && machine.files.is_some());
        for one in machine.filesystems.iter().filter_map(|one| one.room) {
            assert!(one.size >= one.free && one.size > Bytes(0));
        }
        assert!(Clock::Real.now().since(&host.usage.cpu.unwrap().at).is_some());
    }
}
