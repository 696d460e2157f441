//! The machine itself: what it is, how much of it is in use, how full the disks are that Tare depends on, and what Tare itself uses.

mod disks;
pub mod machine;
mod texts;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sysinfo::System;

use crate::error::Error;
use crate::roots::Roots;
use crate::snapshot::{Disk, Gap, Host, Own, Pressure, Seen, SourceName, Stall, Usage};
use crate::sources::{Look, Reading, Told, psi, text};
use crate::units::Stamp;

use disks::Disks;
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
    /// The disks at their last turn, and what was wrong with them.
    seen: (Vec<Disk>, Vec<String>),
    /// Looks until the disks have their turn.
    wait: u32,
}

/// Disks fill slowly: they have their turn in every sixth look.
const DISKS_EVERY: u32 = 6;

impl HostFiles {
    /// Nothing is read before the first look.
    pub fn new(roots: Roots, settings: Settings) -> HostFiles {
        HostFiles {
            roots,
            state: settings.state,
            fixed: None,
            texts: Texts::default(),
            disks: Disks::new(settings.disk_deadline),
            seen: Default::default(),
            wait: 0,
        }
    }

    fn host(&mut self, known: &[Arc<Reading>], gaps: &mut Gaps) -> Host {
        let mut host = self.fixed.get_or_insert_with(|| identity(&self.roots)).clone();
        if let Some(text) = gaps.text("cpu", self.texts.proc(&self.roots, "stat")) {
            let stat = machine::stat(&text);
            (host.booted, host.cores) = (stat.booted, stat.cores);
            host.usage.cpu = stat.cpu.map(|cpu| self.now(cpu));
        }
        host.cores = self.texts.sys(&self.roots, ONLINE_CPUS).ok().and_then(|text| text::cpu_list(text.as_bytes())).or(host.cores);
        if let Some(text) = gaps.text("memory", self.texts.proc(&self.roots, "meminfo")) {
            let (total, memory) = machine::meminfo(&text);
            host.memory = total;
            host.usage.memory = memory.used.map(|_| self.now(memory));
        }
        host.load = gaps.text("load", self.texts.proc(&self.roots, "loadavg")).and_then(|text| machine::loadavg(&text));
        host.usage.pressure = self.pressure(gaps);
        if self.roots.recorded.is_none() {
            host.disks = self.disks(known, gaps);
            host.own = own(&mut self.texts);
        }
        host
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

    fn disks(&mut self, known: &[Arc<Reading>], gaps: &mut Gaps) -> Vec<Disk> {
        if self.wait == 0 {
            self.wait = DISKS_EVERY;
            // Until the first byte is written the state folder may be missing: its disk is that of the folder it would be made in.
            let state = self.state.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
            let docker = known.iter().find_map(|reading| match &reading.told {
                Some(Told::Docker(told)) => told.docker.as_ref()?.root.clone(),
                _ => None,
            });
            let mut paths: Vec<(&str, &Path)> = vec![("state", state)];
            paths.extend(docker.as_deref().map(|root| ("docker", Path::new(root))));
            self.seen = self.disks.read(&paths);
        }
        self.wait -= 1;
        self.seen.1.iter().for_each(|problem| gaps.say("disk", problem.clone()));
        self.seen.0.clone()
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
        assert!(Clock::Real.now().since(&host.usage.cpu.unwrap().at).is_some());
    }
}
