//! Where to look: the folders that stand for `/proc` and `/sys`, the endpoints, the clock. Tests and `--replay` bring their own.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
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
    /// The time.
    pub clock: Clock,
    /// Set for a recorded host: nothing is asked of the real machine.
    pub recorded: Option<Arc<Recorded>>,
}

/// Folders laid over each other: the first that has a file wins. Live there is one.
#[derive(Clone, Debug)]
pub struct Layers(pub Vec<PathBuf>);

impl Layers {
    /// The path of `below` in the first layer that has it, else in the first layer.
    pub fn path(&self, below: &str) -> PathBuf {
        let below = below.trim_start_matches('/');
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
    /// `http://host:port`, no path.
    Http(String),
    /// A file of recorded answers (`answers.json`).
    Answers(PathBuf),
    /// Not here.
    Nowhere,
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

/// No file we read in whole is larger than this; what is larger is cut (a text) or refused (JSON).
pub const FILE_LIMIT: usize = 4 << 20;

/// What a recorded host can hold; one of them makes a folder one.
const PARTS: [&str; 5] = ["sys", "proc", "docker", "imds", "host.json"];

impl Roots {
    /// The machine Tare runs on; `/host/…` mounts are preferred, each on its own.
    pub fn live() -> Roots {
        let prefer = |host: &str, own: &str, probe: &str| {
            let host = PathBuf::from(host);
            if host.join(probe).exists() { host } else { PathBuf::from(own) }
        };
        let sys = prefer("/host/sys", "/sys", "fs/cgroup");
        Roots {
            proc: Layers(vec![prefer("/host/proc", "/proc", "stat")]),
            sys_mounted_at: sys.clone(),
            sys: Layers(vec![sys]),
            docker: Address::Unix("/var/run/docker.sock".into()),
            imds: Address::Http("http://169.254.169.254".into()),
            clock: Clock::Real,
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
        use io::Read;
        let path = layers.path(below);
        if let Some(errno) = self.fault(&Path::new(top).join(below)) {
            return Err(Error::file(path, errno));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(|e| Error::file(&path, e))?;
        file.take(FILE_LIMIT as u64).read_to_end(&mut bytes).map_err(|e| Error::file(&path, e))?;
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

/// The errors that kernel files are known to give; any other name is EIO.
fn errno(name: &str) -> Errno {
    match name {
        "EOPNOTSUPP" | "ENOTSUP" => Errno::OPNOTSUPP,
        "ENODEV" => Errno::NODEV,
        "ENOENT" => Errno::NOENT,
        "EACCES" => Errno::ACCESS,
        "EPERM" => Errno::PERM,
        "EINVAL" => Errno::INVAL,
        "ESTALE" => Errno::STALE,
        "EMFILE" => Errno::MFILE,
        "EINTR" => Errno::INTR,
        "ENOMEM" => Errno::NOMEM,
        _ => Errno::IO,
    }
}

/// A JSON file of the recorded host; `None` where it is not there.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| Error::file(path, e))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Text { path: path.into(), problem: e.to_string() })
}
