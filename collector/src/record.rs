//! Writes a host down as `--replay` reads it: the kernel's files, Docker's and the metadata service's answers, the clock.
//!
//! Only what is on a list here is written, so that no command line, label, environment or health output ever lies in a recording.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http::Client;
use crate::roots::{FILE_LIMIT, Roots};

/// Cgroups written at most; a host with more is cut and says so.
const GROUPS: usize = 20_000;
/// One answer of an endpoint, in bytes.
const ANSWER: usize = 16 << 20;
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The files of a cgroup that Tare reads, v1 and v2.
const CGROUP_FILES: [&str; 41] = [
    "blkio.throttle.io_service_bytes",
    "blkio.throttle.io_serviced",
    "blkio.weight",
    "cgroup.controllers",
    "cgroup.events",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpu.max",
    "cpu.pressure",
    "cpu.shares",
    "cpu.stat",
    "cpu.weight",
    "cpuacct.stat",
    "cpuacct.usage",
    "cpuset.cpus",
    "cpuset.cpus.effective",
    "cpuset.effective_cpus",
    "io.pressure",
    "io.stat",
    "io.weight",
    "memory.current",
    "memory.events",
    "memory.events.local",
    "memory.failcnt",
    "memory.high",
    "memory.kmem.usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.max",
    "memory.max_usage_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.memsw.max_usage_in_bytes",
    "memory.memsw.usage_in_bytes",
    "memory.oom_control",
    "memory.peak",
    "memory.pressure",
    "memory.stat",
    "memory.swap.current",
    "memory.swap.max",
    "memory.usage_in_bytes",
    "pids.current",
    "pids.max",
];

/// The files below `proc` about the whole machine. `stat` is cut to its CPU and boot lines.
const PROC_FILES: [&str; 7] = ["loadavg", "meminfo", "pressure/cpu", "pressure/io", "pressure/memory", "sys/kernel/random/boot_id", "cgroups"];

/// What is kept of Docker's answers, by path into the object.
const LISTED: [&[&str]; 9] = [
    &["Id"],
    &["Names"],
    &["Image"],
    &["ImageID"],
    &["Created"],
    &["State"],
    &["HostConfig", "NetworkMode"],
    &["Labels", "com.docker.compose.project"],
    &["Labels", "com.docker.compose.service"],
];
const INSPECTED: [&[&str]; 29] = [
    &["Id"],
    &["Created"],
    &["Name"],
    &["RestartCount"],
    &["Image"],
    &["State", "Status"],
    &["State", "Running"],
    &["State", "Paused"],
    &["State", "Restarting"],
    &["State", "OOMKilled"],
    &["State", "Dead"],
    &["State", "Pid"],
    &["State", "ExitCode"],
    &["State", "StartedAt"],
    &["State", "FinishedAt"],
    &["State", "Health", "Status"],
    &["HostConfig", "NetworkMode"],
    &["HostConfig", "CpuShares"],
    &["HostConfig", "Memory"],
    &["HostConfig", "MemorySwap"],
    &["HostConfig", "NanoCpus"],
    &["HostConfig", "CpuPeriod"],
    &["HostConfig", "CpuQuota"],
    &["HostConfig", "MemoryReservation"],
    &["HostConfig", "PidsLimit"],
    &["HostConfig", "CgroupParent"],
    &["Config", "Image"],
    &["Config", "Labels", "com.docker.compose.project"],
    &["Config", "Labels", "com.docker.compose.service"],
];
const VERSION: [&[&str]; 4] = [&["Version"], &["ApiVersion"], &["MinAPIVersion"], &["Os"]];
const INFO: [&[&str]; 3] = [&["DockerRootDir"], &["CgroupDriver"], &["CgroupVersion"]];
/// What is asked of the metadata service.
const INSTANCE: [&str; 5] = ["instance-id", "instance-type", "placement/region", "placement/availability-zone", "instance-life-cycle"];

/// What one look wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Cgroups.
    pub groups: usize,
    /// Containers Docker named.
    pub containers: usize,
    /// Files of all kinds.
    pub files: usize,
    /// More cgroups than are written at most.
    pub cut: bool,
}

/// Writes looks into one folder.
pub struct Recorder {
    roots: Roots,
    dir: PathBuf,
    looks: usize,
    clock: Map<String, Value>,
}

impl Recorder {
    /// A recorder of `looks` looks into `dir`, which is made and must be empty. Errors: it is not, or cannot be made.
    pub fn new(roots: Roots, dir: &Path, looks: usize) -> Result<Recorder, Error> {
        fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
        if fs::read_dir(dir).map_err(|e| Error::file(dir, e))?.next().is_some() {
            return Err(Error::Text { path: dir.into(), problem: "the folder is not empty; a recording needs one of its own".into() });
        }
        Ok(Recorder { roots, dir: dir.into(), looks, clock: Map::new() })
    }

    /// Writes look number `index`. Errors: a file cannot be written. What cannot be read is left out, or written as a fault.
    pub async fn look(&mut self, index: usize) -> Result<Written, Error> {
        let name = if self.looks == 1 { "now".to_owned() } else { format!("t{index}") };
        let dir = if self.looks == 1 { self.dir.clone() } else { self.dir.join(&name) };
        let mut look = Look { roots: &self.roots, dir, faults: Map::new(), identity: BTreeMap::new(), written: Written::default() };
        look.machine()?;
        let containers = look.tree()?;
        let pids = look.docker().await?;
        look.networks(&containers, pids)?;
        look.instance().await?;
        let now = self.roots.clock.now();
        self.clock.insert(name, json!({ "wall": now.wall, "boot_s": now.boot.map(|boot| boot.as_secs_f64()) }));
        let written = look.finish()?;
        write_json(&self.dir.join("clock.json"), &Value::Object(self.clock.clone()))?;
        Ok(written)
    }
}

/// One look being written.
struct Look<'a> {
    roots: &'a Roots,
    dir: PathBuf,
    faults: Map<String, Value>,
    identity: BTreeMap<String, u64>,
    written: Written,
}

impl Look<'_> {
    /// The whole machine's files, and `host.json`.
    fn machine(&mut self) -> Result<(), Error> {
        for file in PROC_FILES {
            self.copy(&self.roots.proc.path(file), &format!("proc/{file}"))?;
        }
        self.copy(&self.roots.sys.path("devices/system/cpu/online"), "sys/devices/system/cpu/online")?;
        if let Ok(stat) = self.roots.read_proc("stat") {
            let kept: Vec<&str> = stat.lines().filter(|line| line.starts_with("cpu") || line.starts_with("btime")).collect();
            self.write("proc/stat", (kept.join("\n") + "\n").as_bytes())?;
        }
        let host = json!({
            "name": sysinfo::System::host_name().ok(),
            "arch": std::env::consts::ARCH,
            "os": std::env::consts::OS,
            "kernel": sysinfo::System::kernel_version().ok(),
        });
        write_json(&self.dir.join("host.json"), &host)
    }

    /// Every cgroup mount and what lies below it. Gives the container ids met.
    fn tree(&mut self) -> Result<HashSet<String>, Error> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(|e| Error::file("/proc/self/mountinfo", e))?;
        let (mut lines, mut containers) = (String::new(), HashSet::new());
        let mut folders = HashSet::new();
        for line in mountinfo.lines().filter(|line| line.contains(" - cgroup")) {
            let mut fields: Vec<&str> = line.split(' ').collect();
            let Some(below) = fields.get(4).and_then(|at| Path::new(at).strip_prefix(&self.roots.sys_mounted_at).ok()) else { continue };
            let recorded = format!("/sys/{}", below.display());
            let (below, recorded) = (below.to_path_buf(), recorded);
            fields[4] = &recorded;
            lines += &(fields.join(" ") + "\n");
            if folders.insert(below.clone()) {
                let top = self.roots.sys.0[0].join(&below);
                self.groups(&top, &Path::new("sys").join(&below), &mut containers)?;
            }
        }
        self.write("proc/self/mountinfo", lines.as_bytes())?;
        Ok(containers)
    }

    /// One hierarchy, breadth first, so that a cut loses the deepest.
    fn groups(&mut self, top: &Path, recorded: &Path, containers: &mut HashSet<String>) -> Result<(), Error> {
        let mut waiting = std::collections::VecDeque::from([PathBuf::new()]);
        while let Some(below) = waiting.pop_front() {
            if self.written.groups >= GROUPS {
                self.written.cut = true;
                return Ok(());
            }
            let folder = top.join(&below);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push_back(below.join(name));
                } else if CGROUP_FILES.contains(&name) {
                    self.copy(&folder.join(name), &recorded.join(&below).join(name).to_string_lossy())?;
                }
            }
            let kept = self.dir.join(recorded).join(&below);
            fs::create_dir_all(&kept).map_err(|e| Error::file(&kept, e))?;
            if let Ok(meta) = fs::metadata(&folder) {
                self.identity.insert(format!("/{}", below.display()), meta.ino());
            }
            containers.extend(ids(&below.to_string_lossy()));
            self.written.groups += 1;
        }
        Ok(())
    }

    /// Docker's answers, cut to the lists above. Gives the first process of each container.
    async fn docker(&mut self) -> Result<HashMap<String, u64>, Error> {
        let client = Client::new(self.roots.docker.clone());
        let mut answers = Map::new();
        for (path, kept) in [("/version", &VERSION[..]), ("/info", &INFO[..])] {
            if let Some(body) = fetch(&client, path).await {
                answers.insert(format!("GET {path}"), answer(pick(&body, kept)));
            }
        }
        let mut pids = HashMap::new();
        const LIST: &str = "/containers/json?all=true";
        if let Some(Value::Array(list)) = fetch(&client, LIST).await {
            for id in list.iter().filter_map(|one| one["Id"].as_str()) {
                let path = format!("/containers/{id}/json");
                if let Some(body) = fetch(&client, &path).await {
                    pids.extend(body["State"]["Pid"].as_u64().filter(|pid| *pid > 0).map(|pid| (id.to_owned(), pid)));
                    answers.insert(format!("GET {path}"), answer(pick(&body, &INSPECTED)));
                    self.written.containers += 1;
                }
            }
            answers.insert(format!("GET {LIST}"), answer(list.iter().map(|one| pick(one, &LISTED)).collect()));
        }
        if !answers.is_empty() {
            write_json(&self.dir.join("docker/answers.json"), &Value::Object(answers))?;
        }
        Ok(pids)
    }

    /// `net/dev` of one process of each container and of process 1, and who shares a name space.
    fn networks(&mut self, containers: &HashSet<String>, mut pids: HashMap<String, u64>) -> Result<(), Error> {
        if containers.iter().any(|id| !pids.contains_key(id)) {
            self.scan(containers, &mut pids);
        }
        let mut spaces: BTreeMap<u64, String> = BTreeMap::new();
        let mut same = Vec::new();
        let mut all: Vec<u64> = pids.into_values().chain([1]).collect();
        all.sort_unstable();
        all.dedup();
        for pid in all {
            let path = self.roots.proc.path(&format!("{pid}/net/dev"));
            let Ok(meta) = fs::metadata(&path) else { continue };
            let recorded = format!("proc/{pid}/net/dev");
            self.copy(&path, &recorded)?;
            self.copy(&self.roots.proc.path(&format!("{pid}/cgroup")), &format!("proc/{pid}/cgroup"))?;
            match spaces.get(&meta.ino()) {
                Some(first) => same.push(json!([first, recorded])),
                None => drop(spaces.insert(meta.ino(), recorded)),
            }
        }
        if !same.is_empty() {
            self.faults.insert("same_file".into(), same.into());
        }
        Ok(())
    }

    /// Finds a process of each container Docker did not give one for.
    fn scan(&self, containers: &HashSet<String>, pids: &mut HashMap<String, u64>) {
        let Some(Ok(entries)) = self.roots.proc.0.first().map(fs::read_dir) else { return };
        for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()) {
            let Ok(text) = self.roots.read_proc(&format!("{pid}/cgroup")) else { continue };
            for id in ids(&text).into_iter().filter(|id| containers.contains(id)) {
                pids.entry(id).or_insert(pid);
            }
        }
    }

    /// The metadata service's answers, where it is one.
    async fn instance(&mut self) -> Result<(), Error> {
        let client = Client::new(self.roots.imds.clone());
        let by = || Instant::now() + Duration::from_secs(1);
        const TOKEN: &str = "/latest/api/token";
        let Ok(token) = client.put_token(TOKEN, &[("X-aws-ec2-metadata-token-ttl-seconds", "60")], by(), 1024).await else { return Ok(()) };
        let token = String::from_utf8_lossy(&token).into_owned();
        let mut answers = Map::from_iter([(format!("PUT {TOKEN}"), answer("recorded-token".into()))]);
        for name in INSTANCE {
            let path = format!("/latest/meta-data/{name}");
            if let Ok(body) = client.get(&path, &[("X-aws-ec2-metadata-token", &token)], by(), 1024).await {
                answers.insert(format!("GET {path}"), answer(String::from_utf8_lossy(&body).into()));
            }
        }
        write_json(&self.dir.join("imds/answers.json"), &Value::Object(answers))
    }

    fn finish(self) -> Result<Written, Error> {
        if !self.faults.is_empty() {
            write_json(&self.dir.join("faults.json"), &Value::Object(self.faults))?;
        }
        write_json(&self.dir.join("identity.json"), &json!(self.identity))?;
        Ok(self.written)
    }

    /// Copies a file. One that is not there is left out; one that opens and does not read is written empty, its error in `faults.json`.
    fn copy(&mut self, from: &Path, recorded: &str) -> Result<(), Error> {
        let Ok(file) = fs::File::open(from) else { return Ok(()) };
        let mut bytes = Vec::new();
        if let Err(problem) = file.take(FILE_LIMIT as u64).read_to_end(&mut bytes) {
            let errno = self.faults.entry("errno").or_insert_with(|| json!({}));
            errno[recorded] = errno_name(&problem).into();
            bytes.clear();
        }
        self.write(recorded, &bytes)
    }

    fn write(&mut self, recorded: &str, bytes: &[u8]) -> Result<(), Error> {
        self.written.files += 1;
        write(&self.dir.join(recorded), bytes)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    fs::write(path, bytes).map_err(|e| Error::file(path, e))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    write(path, format!("{value:#}\n").as_bytes())
}

async fn fetch(client: &Client, path: &str) -> Option<Value> {
    let body = client.get(path, &[], Instant::now() + PATIENCE, ANSWER).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn answer(body: Value) -> Value {
    json!({ "status": 200, "body": body })
}

/// A copy of `from` that holds only the listed members.
fn pick(from: &Value, kept: &[&[&str]]) -> Value {
    let mut picked = json!({});
    for path in kept {
        let Some(found) = path.iter().try_fold(from, |value, name| value.get(name)) else { continue };
        let place = path.iter().fold(&mut picked, |value, name| {
            if !value.is_object() {
                *value = json!({});
            }
            &mut value[*name]
        });
        *place = found.clone();
    }
    picked
}

/// All runs of 64 hex digits.
fn ids(text: &str) -> Vec<String> {
    let runs = text.split(|letter: char| !matches!(letter, '0'..='9' | 'a'..='f'));
    runs.filter(|run| run.len() == 64).map(Into::into).collect()
}

/// The name as `faults.json` spells it.
fn errno_name(problem: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match Errno::from_io_error(problem) {
        Some(Errno::OPNOTSUPP) => "EOPNOTSUPP",
        Some(Errno::NODEV) => "ENODEV",
        Some(Errno::ACCESS) => "EACCES",
        Some(Errno::PERM) => "EPERM",
        Some(Errno::INVAL) => "EINVAL",
        _ => "EIO",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_kept() {
        let inspect = json!({
            "Id": "a1",
            "Config": { "Env": ["SECRET=CANARY"], "Cmd": ["--password=CANARY"], "Image": "app:1", "Labels": { "com.docker.compose.project": "shop", "note": "CANARY" } },
            "State": { "Status": "running", "Health": { "Status": "healthy", "Log": [{ "Output": "CANARY" }] } },
        });
        let kept = pick(&inspect, &INSPECTED);
        assert!(!kept.to_string().contains("CANARY"), "{kept}");
        assert_eq!(kept["Config"], json!({ "Image": "app:1", "Labels": { "com.docker.compose.project": "shop" } }));
        assert_eq!(kept["State"]["Health"], json!({ "Status": "healthy" }));
    }

    #[test]
    fn labels_that_are_null_stay_out() {
        assert_eq!(pick(&json!({ "Id": "a1", "Labels": null }), &LISTED), json!({ "Id": "a1" }));
    }

    #[test]
    fn container_ids_are_found_in_any_path() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(ids(&format!("/system.slice/docker-{id}.scope")), [id.as_str()]);
        assert_eq!(ids(&format!("12:memory:/docker/{id}\n")), [id]);
        assert!(ids("/user.slice/abcdef").is_empty());
    }
}
