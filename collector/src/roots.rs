//! Where to look: the folders that stand for `/proc` and `/sys`, the endpoints, the clock. Tests and `--replay` bring their own.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use crate::error::Error;
use crate::units::Stamp;

/// Everything that is outside of Tare, for one look (replay) or for good (live).
#[derive(Clone, Debug)]
pub struct Roots {
    /// Stands for `/proc`. Live: `/host/proc` if mounted, else `/proc`.
    pub proc: Layers,
    /// Stands for `/sys`. Live: `/host/sys` if mounted, else `/sys`.
    pub sys: Layers,
    /// What mount points in `proc/self/mountinfo` begin with for `sys` (live: the folder itself; recorded: `/sys`).
    pub sys_mounted_at: PathBuf,
    /// The Docker API.
    pub docker: Address,
    /// The EC2 instance metadata service.
    pub imds: Address,
    /// The metadata endpoint of the ECS task that Tare is part of.
    pub ecs_task: Endpoint,
    /// The introspection API of the machine's ECS agent: where to try.
    pub ecs_agent: Vec<Address>,
    /// The time.
    pub clock: Clock,
    /// Set for a recorded host: nothing is asked of the real machine.
    pub recorded: Option<Arc<Recorded>>,
}

/// Folders laid over each other: the first that has a file wins. Live the first is the whole; our own `/sys` stands below the host's for what its mount lacks.
#[derive(Clone, Debug)]
pub struct Layers(pub Vec<PathBuf>);

impl Layers {
    /// The path of `below` in the first layer that has it, else in the first layer.
    pub fn path(&self, below: &str) -> PathBuf {
        let below = below.trim_start_matches('/');
        if let [layer] = self.0.as_slice() {
            return layer.join(below);
        }
        let mut paths = self.0.iter().map(|layer| layer.join(below));
        paths.clone().find(|path| path.symlink_metadata().is_ok()).or_else(|| paths.next()).unwrap_or_else(|| PathBuf::from(below))
    }

    /// The same folder in every layer that has it.
    pub fn folders(&self, below: &str) -> Vec<PathBuf> {
        let below = below.trim_start_matches('/');
        self.0.iter().map(|layer| layer.join(below)).filter(|path| path.is_dir()).collect()
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `http://host:port` or `https://host:port`, no path.
    Http(String),
    /// Recorded answers: a file `answers.json`, or a folder of bodies, `task-stats.json` for `GET /task/stats`.
    Answers(PathBuf),
    /// Not here.
    Nowhere,
}

/// An endpoint whose paths all begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Who answers.
    pub address: Address,
    /// What every path begins with: empty, or with a leading slash and none at the end.
    pub base: String,
}

impl Endpoint {
    /// Out of `http://host[:port]/path`. `None`: it is no such URL.
    pub fn parse(url: &str) -> Option<Endpoint> {
        let rest = url.strip_prefix("http://")?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let fine = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@'));
        let base = path.trim_end_matches('/').to_owned();
        (!host.is_empty() && fine(url)).then(|| Endpoint { address: Address::Http(format!("http://{host}")), base })
    }

    /// Not here.
    pub const NOWHERE: Endpoint = Endpoint { address: Address::Nowhere, base: String::new() };
}

/// The time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clocks.
    Real,
    /// A recorded instant.
    Fixed(Stamp),
}

impl Clock {
    /// Now, by both clocks.
    pub fn now(&self) -> Stamp {
        match self {
            Clock::Fixed(stamp) => *stamp,
            Clock::Real => {
                let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Stamp { wall: Some(Timestamp::now()), boot: Some(Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec as u32)) }
            }
        }
    }
}

/// What plain files of a recorded host cannot say.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// `host.json`: architecture, kernel and so on.
    pub host: HostFile,
    /// `faults.json`.
    pub faults: Faults,
    /// `identity.json`: cgroup path to a number; the same path is the same thing unless it says otherwise.
    pub identity: HashMap<String, u64>,
}

/// `host.json` of a recorded host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostFile {
    /// Host name.
    pub name: Option<String>,
    /// `x86_64`.
    pub arch: Option<String>,
    /// `linux`.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Instance type.
    pub instance_type: Option<String>,
}

/// Errors and sharing that a folder cannot hold. Paths are relative to the recorded root: `proc/…`, `sys/…`.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Open works, read fails with this.
    pub errno: HashMap<PathBuf, Errno>,
    /// Listed by readdir, ENOENT when opened.
    pub gone: Vec<PathBuf>,
    /// Pairs of paths with one inode number.
    pub same_file: Vec<(PathBuf, PathBuf)>,
}

/// No kernel file we read in whole is larger than this; what is larger is cut.
pub const FILE_LIMIT: usize = 4 << 20;
/// No JSON file of a recording is larger than this (an answer of thousands of containers fits); what is larger is refused.
pub(crate) const JSON_LIMIT: usize = 64 << 20;

/// What a recorded host can hold; one of them makes a folder one.
const PARTS: [&str; 7] = ["sys", "proc", "docker", "imds", "tmde", "introspection", "host.json"];

impl Roots {
    /// The machine Tare runs on; `/host/…` mounts are preferred, each on its own.
    pub fn live() -> Roots {
        Roots::mounted(Path::new("/host"))
    }

    /// The same, the host's folders mounted in `host`.
    fn mounted(host: &Path) -> Roots {
        let (proc, sys) = (host.join("proc"), host.join("sys"));
        // A folder made for a mount that never came is empty.
        let is_mounted = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        let sys = if is_mounted(&sys.join("fs/cgroup")) { vec![sys, "/sys".into()] } else { vec!["/sys".into()] };
        Roots {
            proc: Layers(vec![if proc.join("stat").exists() { proc } else { "/proc".into() }]),
            sys_mounted_at: sys[0].clone(),
            sys: Layers(sys),
            docker: Address::Unix("/var/run/docker.sock".into()),
            imds: Address::Http("http://169.254.169.254".into()),
            ecs_task: Endpoint::NOWHERE,
            ecs_agent: Vec::new(),
            clock: Clock::Real,
            recorded: None,
        }
    }

    /// Two folders that stand for `/proc` and `/sys`, as if they were the machine; nobody to ask, and time stands still.
    pub fn folders(proc: impl Into<PathBuf>, sys: impl Into<PathBuf>) -> Roots {
        Roots {
            proc: Layers(vec![proc.into()]),
            sys: Layers(vec![sys.into()]),
            sys_mounted_at: "/sys".into(),
            docker: Address::Nowhere,
            imds: Address::Nowhere,
            ecs_task: Endpoint::NOWHERE,
            ecs_agent: Vec::new(),
            clock: Clock::Fixed(Stamp::default()),
            recorded: None,
        }
    }

    /// The looks of a recorded host, in order: `DIR/t0`, `DIR/t1`, … over `DIR`, or `DIR` alone.
    /// Errors: the folder or one of its JSON files cannot be read; it holds nothing of a host.
    pub fn replay(dir: &Path) -> Result<Vec<Roots>, Error> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .map_err(|e| Error::file(dir, e))?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.strip_prefix('t').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())))
            .filter(|name| dir.join(name).is_dir())
            .collect();
        names.sort_by_key(|name| name[1..].parse::<u64>().unwrap_or(u64::MAX));
        let looks: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).chain([dir.to_path_buf()]).collect();
        if !looks.iter().any(|look| PARTS.iter().any(|part| look.join(part).exists())) {
            return Err(Error::Text { path: dir.into(), problem: "no recorded host: sys, proc, docker and imds are all missing".into() });
        }
        let clock: HashMap<String, ClockFile> = json(&dir.join("clock.json"))?.unwrap_or_default();
        if names.is_empty() {
            return Ok(vec![Roots::look(vec![dir.to_path_buf()], clock.get("now").or_else(|| clock.get("t0")))?]);
        }
        names.iter().map(|name| Roots::look(vec![dir.join(name), dir.to_path_buf()], clock.get(name).or_else(|| clock.get("now")))).collect()
    }

    fn look(layers: Vec<PathBuf>, clock: Option<&ClockFile>) -> Result<Roots, Error> {
        let find = |name: &str| layers.iter().map(|layer| layer.join(name)).find(|path| path.exists());
        let read = |name: &str| find(name).unwrap_or_else(|| layers[0].join(name));
        let answers = |name: &str| find(name).map_or(Address::Nowhere, Address::Answers);
        let recorded = Recorded {
            host: json(&read("host.json"))?.unwrap_or_default(),
            faults: json::<FaultsFile>(&read("faults.json"))?.map(Faults::from).unwrap_or_default(),
            identity: json(&read("identity.json"))?.unwrap_or_default(),
        };
        Ok(Roots {
            proc: Layers(layers.iter().map(|layer| layer.join("proc")).collect()),
            sys: Layers(layers.iter().map(|layer| layer.join("sys")).collect()),
            sys_mounted_at: "/sys".into(),
            docker: answers("docker/answers.json"),
            imds: answers("imds/answers.json"),
            ecs_task: Endpoint { address: answers("tmde"), base: String::new() },
            ecs_agent: find("introspection").map(Address::Answers).into_iter().collect(),
            clock: Clock::Fixed(clock.map(ClockFile::stamp).unwrap_or_default()),
            recorded: Some(Arc::new(recorded)),
        })
    }

    /// The whole of a small file below `proc`, bytes that are no UTF-8 replaced.
    pub fn read_proc(&self, below: &str) -> Result<String, Error> {
        self.read(&self.proc, "proc", below)
    }

    /// The whole of a small file below `sys`.
    pub fn read_sys(&self, below: &str) -> Result<String, Error> {
        self.read(&self.sys, "sys", below)
    }

    fn read(&self, layers: &Layers, top: &str, below: &str) -> Result<String, Error> {
        let path = layers.path(below);
        if let Some(errno) = self.fault(&Path::new(top).join(below)) {
            return Err(Error::file(path, errno));
        }
        let bytes = read(&path, FILE_LIMIT).map_err(|e| Error::file(&path, e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The recorded fault of a file, by its path from the recorded root (`sys/fs/cgroup/…`).
    pub fn fault(&self, path: &Path) -> Option<Errno> {
        let faults = &self.recorded.as_ref()?.faults;
        if faults.gone.iter().any(|gone| path.starts_with(gone)) {
            return Some(Errno::NOENT);
        }
        faults.errno.get(path).copied()
    }
}

/// Reads an open kernel file from its start into `buffer`, which grows to `longest` at most: the length, and whether there was more.
pub(crate) fn read_again(file: impl AsFd, buffer: &mut Vec<u8>, longest: usize) -> Result<(usize, bool), Errno> {
    let mut length = 0;
    loop {
        let room = &mut buffer[length..];
        let read = match rustix::io::pread(&file, room, length as u64) {
            Err(Errno::INTR) => continue,
            read => read?,
        };
        length += read;
        // The kernel fills the buffer as far as the text goes: what is shorter is whole.
        if read == 0 || length < buffer.len() {
            return Ok((length, false));
        }
        if buffer.len() >= longest {
            return Ok((length, true));
        }
        buffer.resize((buffer.len() * 2).min(longest), 0);
    }
}

/// One instant of `clock.json`.
#[derive(Deserialize)]
struct ClockFile {
    wall: Option<Timestamp>,
    boot_s: Option<f64>,
}

impl ClockFile {
    fn stamp(&self) -> Stamp {
        Stamp { wall: self.wall, boot: self.boot_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FaultsFile {
    errno: HashMap<PathBuf, String>,
    gone: Vec<PathBuf>,
    same_file: Vec<(PathBuf, PathBuf)>,
}

impl From<FaultsFile> for Faults {
    fn from(file: FaultsFile) -> Faults {
        let errno = file.errno.into_iter().map(|(path, name)| (path, errno(&name))).collect();
        Faults { errno, gone: file.gone, same_file: file.same_file }
    }
}

/// The errors that kernel files are known to give, as `faults.json` spells them; any other is EIO.
const ERRNOS: [(&str, Errno); 12] = [
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
    ("ENOTSUP", Errno::OPNOTSUPP),
    ("ENODEV", Errno::NODEV),
    ("ENOENT", Errno::NOENT),
    ("EACCES", Errno::ACCESS),
    ("EPERM", Errno::PERM),
    ("EINVAL", Errno::INVAL),
    ("EISDIR", Errno::ISDIR),
    ("ESTALE", Errno::STALE),
    ("EMFILE", Errno::MFILE),
    ("EINTR", Errno::INTR),
    ("ENOMEM", Errno::NOMEM),
];

fn errno(name: &str) -> Errno {
    ERRNOS.iter().find(|(known, _)| *known == name).map_or(Errno::IO, |(_, errno)| *errno)
}

/// The name of an error in `faults.json`.
pub(crate) fn errno_name(problem: &io::Error) -> &'static str {
    let errno = Errno::from_io_error(problem);
    ERRNOS.iter().find(|(_, known)| Some(*known) == errno).map_or("EIO", |(name, _)| name)
}

/// Opens a file for reading. A pipe that somebody put in its place does not stop us: it reads as empty.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(fs::File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// The first `limit` bytes of a file.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // Most kernel files fit: one call instead of one each time a small buffer has grown.
    let mut bytes = Vec::with_capacity(limit.min(4 << 10));
    open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A JSON file of the recorded host; `None` where it is not there.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match read(path, JSON_LIMIT + 1) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| Error::file(path, e))?,
    };
    if bytes.len() > JSON_LIMIT {
        return Err(Error::TooLarge { address: path.display().to_string(), limit: JSON_LIMIT });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Text { path: path.into(), problem: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_hosts_mount_lacks_is_read_from_our_own() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("sys/fs/cgroup")).unwrap();
        assert_eq!(Roots::mounted(host.path()).sys_mounted_at, Path::new("/sys"), "a mount that never came");
        fs::create_dir(host.path().join("sys/fs/cgroup/system.slice")).unwrap();
        let roots = Roots::mounted(host.path());
        assert_eq!(roots.sys_mounted_at, host.path().join("sys"));
        assert_eq!(roots.proc.0, [Path::new("/proc")]);
        assert!(roots.read_sys("devices/system/cpu/online").is_ok(), "only the tree is mounted");
    }

    #[test]
    fn no_file_of_a_recording_stops_us() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, endless) = (dir.path().join("pipe"), dir.path().join("endless"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        assert_eq!(read(&pipe, 10).unwrap(), b"");
        assert_eq!(read(&endless, 10).unwrap().len(), 10);
        fs::create_dir(dir.path().join("proc")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("clock.json")).unwrap();
        assert!(Roots::replay(dir.path()).unwrap_err().to_string().contains("larger than"));
    }

    #[test]
    fn an_error_keeps_its_name() {
        for (name, known) in ERRNOS.iter().filter(|(name, _)| *name != "ENOTSUP") {
            assert_eq!((errno(name), errno_name(&(*known).into())), (*known, *name));
        }
        assert_eq!((errno("ENONSENSE"), errno_name(&io::Error::other("x"))), (Errno::IO, "EIO"));
    }
}
