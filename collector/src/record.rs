//! Writes a host down as `--replay` reads it: the kernel's files, the answers of Docker, of the metadata services and of the ECS agent, the clock.
//!
//! Only what Tare reads is written, so that no command line, environment or health output, and no label but those of Compose and ECS, ever lies in a recording.

mod answers;
mod ecs;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http;
use crate::identity::{Above, ContainerId, Segment};
use crate::roots::{self, FILE_LIMIT, Roots};
use crate::sources::cgroup::{self, mounts};
use crate::sources::host;
use crate::sources::host::links::{LINK_FILES, Sight};
use crate::sources::net::{dev, processes, sockets};

/// Cgroups written of one hierarchy at most; a host with more is cut and says so.
const GROUPS: usize = 20_000;

/// The files below `proc` about the whole machine. `stat` is cut to its sums.
const PROC_FILES: [&str; 9] =
    ["diskstats", "loadavg", "meminfo", "pressure/cpu", "pressure/io", "pressure/memory", "sys/fs/file-nr", "sys/kernel/random/boot_id", "vmstat"];
/// Those about the network name space that Tare lives in, where it is the host's.
const OWN_NETWORK: [&str; 2] = ["sys/net/netfilter/nf_conntrack_count", "sys/net/netfilter/nf_conntrack_max"];

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
        let mut look = Look { roots: &self.roots, dir, faults: Map::new(), identity: BTreeMap::new(), is_ecs: false, written: Written::default() };
        // As in a live look the endpoints come first. They take their time, so the clock is read after the kernel's counters.
        let (mut docker, pids) = answers::docker(&self.roots.docker).await;
        look.written.containers = docker.keys().filter(|asked| asked.ends_with(answers::INSPECT)).count();
        look.instance().await?;
        look.bodies("tmde", ecs::task(&self.roots.ecs_task).await)?;
        look.machine()?;
        let containers = look.tree()?;
        let unseen: Vec<&ContainerId> = pids.keys().filter(|id| !containers.values().any(|held| held == *id)).collect();
        // As in a live look: one alone may be our own cgroup.
        if pids.len() - unseen.len() <= 1 {
            docker.extend(answers::stats(&self.roots.docker, &unseen).await);
        }
        if look.is_ecs || answers::speak_of_tasks(&docker) {
            look.bodies("introspection", ecs::agent(&self.roots.ecs_agent).await)?;
        }
        look.answers("docker", docker)?;
        look.networks(&containers, pids)?;
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
    /// The tree holds a task.
    is_ecs: bool,
    written: Written,
}

impl Look<'_> {
    async fn instance(&mut self) -> Result<(), Error> {
        let answers = answers::instance(&self.roots.imds).await;
        self.answers("imds", answers)
    }

    /// An endpoint that said nothing has no folder: in replay it is not there.
    fn answers(&mut self, of: &str, answers: Map<String, Value>) -> Result<(), Error> {
        if answers.is_empty() {
            return Ok(());
        }
        self.written.files += 1;
        write_json(&self.dir.join(of).join("answers.json"), &Value::Object(answers))
    }

    /// The same of an endpoint whose answers are files of their own.
    fn bodies(&mut self, of: &str, said: Vec<(&str, Value)>) -> Result<(), Error> {
        self.written.files += said.len();
        said.iter().try_for_each(|(path, body)| write_json(&self.dir.join(of).join(http::body_file(path)), body))
    }

    /// The whole machine's files, and `host.json`.
    fn machine(&mut self) -> Result<(), Error> {
        for file in PROC_FILES {
            self.copy(&self.roots.proc.path(file), &Path::new("proc").join(file))?;
        }
        self.copy(&self.roots.sys.path(host::ONLINE_CPUS), &Path::new("sys").join(host::ONLINE_CPUS))?;
        if let Ok(stat) = self.roots.read_proc("stat") {
            self.write(Path::new("proc/stat"), sums(&stat).as_bytes())?;
        }
        let sight = Sight::of(self.roots);
        for file in OWN_NETWORK.iter().filter(|_| sight.same) {
            self.copy(&self.roots.proc.path(file), &Path::new("proc").join(file))?;
        }
        if let Ok(text) = self.roots.read_proc("1/net/dev")
            && sight.links
        {
            for interface in dev::parse(text.as_bytes(), &[]).net.iter().filter(|one| !one.name.contains('/')) {
                for file in LINK_FILES {
                    let below = format!("class/net/{}/{file}", interface.name);
                    self.copy_quietly(&self.roots.sys.path(&below), &Path::new("sys").join(below))?;
                }
            }
        }
        let host = host::identity(self.roots);
        let host = json!({ "name": host.name, "arch": host.arch, "os": host.os, "kernel": host.kernel });
        write_json(&self.dir.join("host.json"), &host)
    }

    /// The cgroup mounts, and what lies below those with a controller that Tare reads. Gives the containers met, by their folder's name.
    fn tree(&mut self) -> Result<HashMap<String, ContainerId>, Error> {
        let mut containers = HashMap::new();
        let Ok(mountinfo) = self.roots.read_proc("self/mountinfo") else { return Ok(containers) };
        let sys = &self.roots.sys_mounted_at;
        self.write(Path::new("proc/self/mountinfo"), cgroup_mounts(&mountinfo, sys).as_bytes())?;
        let Some(mounts) = mounts::find(&mountinfo, sys) else { return Ok(containers) };
        // Those that are walked first: where a cgroup has a folder in several trees, its number is that of the one the walk meets first.
        let trees = cgroup::files::Tree::ALL.into_iter().filter_map(|tree| mounts.path(tree));
        let mut done = HashSet::new();
        for mount in mounts.walked().into_iter().chain(trees) {
            if done.insert(mount) {
                self.groups(mount, &mut containers)?;
            }
        }
        Ok(containers)
    }

    /// One hierarchy, breadth first, so that a cut loses the deepest. What lies in a container is inside of its numbers and stays out.
    fn groups(&mut self, mount: &Path, containers: &mut HashMap<String, ContainerId>) -> Result<(), Error> {
        let Some(top) = self.roots.sys.0.first().map(|sys| sys.join(mount)) else { return Ok(()) };
        let recorded = Path::new("sys").join(mount);
        let names: HashSet<&str> = cgroup::file_names().collect();
        let mut waiting = VecDeque::from([(PathBuf::new(), 0, Segment::Parent, Above::default())]);
        let mut groups = 0;
        while let Some((below, inode, segment, above)) = waiting.pop_front() {
            if groups == GROUPS {
                self.written.cut = true;
                return Ok(());
            }
            let (folder, recorded) = (top.join(&below), recorded.join(&below));
            let entries = match fs::read_dir(&folder) {
                Err(problem) if problem.kind() == ErrorKind::NotFound => continue,
                entries => entries,
            };
            groups += 1;
            let kept = self.dir.join(&recorded);
            fs::create_dir_all(&kept).map_err(|e| Error::file(kept, e))?;
            if below != Path::new("") {
                self.identity.entry(format!("/{}", below.display())).or_insert(inode);
            }
            let entries = entries.map_err(|problem| self.fault(&recorded, &problem)).into_iter().flatten();
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                if names.contains(name) {
                    self.copy(&entry.path(), &recorded.join(name))?;
                } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_leaf(&segment) {
                    let (segment, above) = above.enter(name);
                    self.is_ecs |= matches!(segment, Segment::Task(_));
                    if let Segment::Container(id) = &segment {
                        containers.insert(name.to_owned(), id.clone());
                    }
                    if segment != Segment::Aside {
                        waiting.push_back((below.join(name), entry.ino(), segment, above));
                    }
                }
            }
        }
        Ok(())
    }

    /// `net/dev` of one process of each container and of process 1, and who shares a name space.
    fn networks(&mut self, containers: &HashMap<String, ContainerId>, mut pids: HashMap<ContainerId, u32>) -> Result<(), Error> {
        pids.retain(|id, pid| processes::belongs(self.roots, *pid, id));
        let unfound = containers.iter().filter(|(_, id)| !pids.contains_key(id)).map(|(name, id)| (name.as_str(), id)).collect::<HashMap<_, _>>();
        if !unfound.is_empty() {
            pids.extend(processes::scan(self.roots, &unfound).into_iter().map(|(id, pid)| (id.clone(), pid)));
        }
        let mut spaces: BTreeMap<u64, PathBuf> = BTreeMap::new();
        let mut same = Vec::new();
        let all: BTreeMap<u32, Option<ContainerId>> = pids.into_iter().map(|(id, pid)| (pid, Some(id))).chain([(1, None)]).collect();
        for (pid, id) in all {
            let path = self.roots.proc.path(&format!("{pid}/net/dev"));
            let Ok(meta) = fs::metadata(&path) else { continue };
            let recorded = Path::new("proc").join(pid.to_string());
            self.copy(&path, &recorded.join("net/dev"))?;
            for (file, _) in sockets::FILES {
                self.copy(&self.roots.proc.path(&format!("{pid}/net/{file}")), &recorded.join("net").join(file))?;
            }
            // From a private cgroup name space our own says nothing: left out, Docker's word is taken for it.
            if let (Some(id), Ok(text)) = (id, self.roots.read_proc(&format!("{pid}/cgroup")))
                && text.contains(id.as_str())
            {
                self.write(&recorded.join("cgroup"), text.as_bytes())?;
            }
            match spaces.get(&meta.ino()) {
                Some(first) => same.push(json!([first, recorded.join("net/dev")])),
                None => drop(spaces.insert(meta.ino(), recorded.join("net/dev"))),
            }
        }
        if !same.is_empty() {
            self.faults.insert("same_file".into(), same.into());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written, Error> {
        self.written.groups = self.identity.len();
        if !self.faults.is_empty() {
            write_json(&self.dir.join("faults.json"), &Value::Object(self.faults))?;
        }
        write_json(&self.dir.join("identity.json"), &json!(self.identity))?;
        Ok(self.written)
    }

    /// Copies a file. One that is not there is left out; one that cannot be read is written empty, its error in `faults.json`.
    fn copy(&mut self, from: &Path, recorded: &Path) -> Result<(), Error> {
        match roots::read(from, FILE_LIMIT) {
            Ok(bytes) => self.write(recorded, &bytes),
            Err(problem) if is_gone(&problem) => Ok(()),
            Err(problem) => {
                self.fault(recorded, &problem);
                self.write(recorded, b"")
            }
        }
    }

    /// The same of a file that may refuse to be read without anyone missing it, as `speed` of a virtual interface.
    fn copy_quietly(&mut self, from: &Path, recorded: &Path) -> Result<(), Error> {
        roots::read(from, FILE_LIMIT).map_or(Ok(()), |bytes| self.write(recorded, &bytes))
    }

    fn fault(&mut self, recorded: &Path, problem: &io::Error) {
        self.faults.entry("errno").or_insert_with(|| json!({}))[&*recorded.to_string_lossy()] = roots::errno_name(problem).into();
    }

    fn write(&mut self, recorded: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.written.files += 1;
        write(&self.dir.join(recorded), bytes)
    }
}

/// The lines of `/proc/stat` that are read: of interrupts the sums alone.
fn sums(stat: &str) -> String {
    let mut kept = String::new();
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some(word) if word.starts_with("cpu") || word == "btime" => kept += line,
            Some(word @ ("intr" | "ctxt" | "processes" | "procs_running" | "procs_blocked" | "softirq")) => {
                kept += word;
                kept.push(' ');
                kept += words.next().unwrap_or_default();
            }
            _ => continue,
        }
        kept.push('\n');
    }
    kept
}

/// Nothing below it has a row of its own. What is no Docker id is AWS's: a Kubernetes node may lie in it.
fn is_leaf(segment: &Segment) -> bool {
    matches!(segment, Segment::Container(id) if id.as_str().len() == 64)
}

/// It went between two steps, as cgroups and processes do.
fn is_gone(problem: &io::Error) -> bool {
    matches!(Errno::from_io_error(problem), Some(Errno::NOENT | Errno::NODEV | Errno::SRCH))
}

/// The lines of cgroup mounts below `sys`, as if it were `/sys`. Mounts of other kinds stay out: their options name what is mounted.
fn cgroup_mounts(mountinfo: &str, sys: &Path) -> String {
    let mut kept = String::new();
    for line in mountinfo.lines().filter(|line| line.contains(" - cgroup")) {
        let mut fields: Vec<&str> = line.split(' ').collect();
        let Some(below) = fields.get(4).and_then(|point| Path::new(point).strip_prefix(sys).ok()) else { continue };
        let point = Path::new("/sys").join(below).to_string_lossy().into_owned();
        fields[4] = &point;
        kept += &fields.join(" ");
        kept.push('\n');
    }
    kept
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    fs::write(path, bytes).map_err(|e| Error::file(path, e))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    write(path, format!("{value:#}\n").as_bytes())
}

#[cfg(test)]
mod tests;
