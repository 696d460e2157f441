//! Network counters of containers: one process of each network name space is read, each name space once.
//!
//! The number of a name space is the inode number of `/proc/<pid>/net/dev`: all processes of one name space show the same, no right is needed to ask for it
//! (tried on kernel 6.18). The same as that of process 1 is the host's own network.
//!
//! The file stays open and is read again in place, one pread a tick. An open file keeps its name space alive even when the last process has gone, so it is closed in the
//! first look that does not see a container of it. What its sockets did is told by four more files, which cost
//! some 120 us together where `net/dev` costs 7: they are opened anew about one name space a look. One whose containers rest is read at every sixth look.

pub mod dev;
pub mod processes;
mod rest;
pub mod sockets;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::identity::{CgroupPath, ContainerId};
use crate::roots::{self, Roots};
use crate::snapshot::{Gap, Net, Seen, Sockets, SourceName, State};
use crate::sources::{Look, Owner, Reading, Space, SpaceOf, Spaces, Told};
use crate::units::Stamp;
use rest::Rest;

/// What may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// No more network name spaces are read, and no more files kept open.
    pub max_spaces: usize,
    /// Look through all of `/proc` for the processes of containers that Docker does not name.
    pub scan: bool,
}

/// Reads `/proc/<pid>/net/dev` of one process a name space.
pub struct NetSpaces {
    roots: Roots,
    settings: Settings,
    host: Option<u64>,
    kept: HashMap<ContainerId, Kept>,
    open: BTreeMap<u64, Open>,
    unfound: HashMap<ContainerId, Unfound>,
    /// The bytes of one file, kept between looks.
    bytes: Vec<u8>,
    look: u64,
}

/// Where a container's traffic is counted, found once. It holds as long as neither its cgroup nor its first process is another.
struct Kept {
    start: Option<u64>,
    named: Option<u32>,
    /// The process that was looked at.
    pid: u32,
    place: Place,
    /// Looks at which it will be asked once more whether it is still in the host's.
    doubts: u8,
}

/// runc puts its first process into a container's cgroup while that is still in the host's name space, and a moment later goes on with
/// another in the container's own (`libcontainer/process_linux.go`, `initProcess.start`).
const DOUBTS: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Host,
    Space(u64),
}

/// A name space that is read.
struct Open {
    file: File,
    path: PathBuf,
    /// What it said last; lends its names.
    net: Net,
    /// When that was.
    at: Stamp,
    /// How many of its interfaces were too many then.
    cut: u64,
    rest: Rest,
    /// A process that lives in it.
    pid: u32,
    /// Its sockets at their last turn.
    sockets: Option<Arc<Seen<Sockets>>>,
    /// The look in which they have their next turn.
    due: u64,
}

/// A container without a known process: the scan leaves it alone for 1 look, then 2, 4, … up to 64.
#[derive(Default)]
struct Unfound {
    start: Option<u64>,
    tries: u32,
    wait: u32,
}

/// A container that should have a name space.
#[derive(Default)]
struct Wanted<'a> {
    start: Option<u64>,
    path: Option<&'a CgroupPath>,
    pid: Option<u32>,
    /// What it has run, and when that was read.
    cpu: Option<(Duration, Stamp)>,
}

/// Sockets of few name spaces have their turn in every sixth look, those of many in every thirtieth (five minutes at the default interval): about one a look.
const SOCKETS_EVERY: std::ops::RangeInclusive<u64> = 6..=30;

/// No file is read beyond this.
const FILE_LIMIT: usize = 1 << 20;

impl NetSpaces {
    /// Nothing is opened before the first look.
    pub fn new(roots: Roots, settings: Settings) -> NetSpaces {
        let (kept, open, unfound) = Default::default();
        NetSpaces { roots, settings, host: None, kept, open, unfound, bytes: Vec::new(), look: 0 }
    }

    /// Finds the place of every container that has none, or another process or cgroup than before.
    fn find(&mut self, wanted: &BTreeMap<&ContainerId, Wanted<'_>>) {
        self.kept.retain(|id, kept| wanted.get(id).is_some_and(|one| kept.start == one.start && (one.pid.is_none() || kept.named == one.pid)));
        self.doubt();
        self.unfound.retain(|id, unfound| wanted.get(id).is_some_and(|one| unfound.start == one.start));
        let mut missing: Vec<(&ContainerId, &Wanted<'_>)> = wanted.iter().filter(|(id, _)| !self.kept.contains_key(**id)).map(|(id, one)| (*id, one)).collect();
        missing.retain(|(id, one)| !one.pid.is_some_and(|pid| processes::belongs(&self.roots, pid, id) && self.keep(id, one, pid)));
        self.scan(&missing);
    }

    /// Forgets those who were seen in the host's name space when they were young, and have left it or ended since.
    fn doubt(&mut self) {
        let doubtful = |(_, kept): &(&ContainerId, &Kept)| kept.place == Place::Host && kept.doubts > 0;
        let asked: Vec<ContainerId> = self.kept.iter().filter(doubtful).map(|(id, _)| id.clone()).collect();
        for id in asked {
            let Some(pid) = self.kept.get(&id).map(|kept| kept.pid) else { continue };
            if self.enter(pid).ok().map(|(space, ..)| space) != self.host {
                self.kept.remove(&id);
            } else if let Some(kept) = self.kept.get_mut(&id) {
                kept.doubts -= 1;
            }
        }
    }

    fn scan(&mut self, missing: &[(&ContainerId, &Wanted<'_>)]) {
        let mut due = false;
        for (id, one) in missing {
            let unfound = self.unfound.entry((*id).clone()).or_insert_with(|| Unfound { start: one.start, ..Unfound::default() });
            due |= unfound.wait == 0;
            unfound.wait = unfound.wait.saturating_sub(1);
        }
        if !due || !self.settings.scan {
            return;
        }
        let segments = missing.iter().filter_map(|(id, one)| Some((one.path?.as_str().rsplit('/').next()?, *id))).collect();
        let found = processes::scan(&self.roots, &segments);
        for (id, one) in missing {
            if !found.get(id).is_some_and(|pid| self.keep(id, one, *pid))
                && let Some(unfound) = self.unfound.get_mut(*id)
            {
                unfound.wait = 1 << unfound.tries.min(6);
                unfound.tries += 1;
            }
        }
    }

    /// Whether the process could be looked at.
    fn keep(&mut self, id: &ContainerId, wanted: &Wanted<'_>, pid: u32) -> bool {
        let Ok((space, file, path)) = self.enter(pid) else { return false };
        if self.host.is_none() {
            self.host = self.enter(1).ok().map(|(space, ..)| space);
        }
        if self.host.is_none() && self.roots.recorded.is_none() {
            // Without process 1 the host's own network cannot be told from a container's.
            return false;
        }
        let place = if self.host == Some(space) { Place::Host } else { Place::Space(space) };
        if place != Place::Host && !self.open.contains_key(&space) && self.open.len() < self.settings.max_spaces {
            let (net, at, rest) = Default::default();
            self.open.insert(space, Open { file, path, net, at, cut: 0, rest, pid, sockets: None, due: 0 });
        }
        self.kept.insert(id.clone(), Kept { start: wanted.start, named: wanted.pid, pid, place, doubts: DOUBTS });
        self.unfound.remove(id);
        true
    }

    /// The number of a process's name space, and its file.
    fn enter(&self, pid: u32) -> Result<(u64, File, PathBuf), Error> {
        let below = format!("{pid}/net/dev");
        let path = self.roots.proc.path(&below);
        if let Some(errno) = self.roots.fault(&Path::new("proc").join(&below)) {
            return Err(Error::file(path, errno));
        }
        let file = roots::open(&path).map_err(|e| Error::file(&path, e))?;
        let space = match &self.roots.recorded {
            Some(recorded) => recorded_space(pid, &recorded.faults.same_file),
            None => file.metadata().map_err(|e| Error::file(&path, e))?.ino(),
        };
        Ok((space, file, path))
    }

    fn read(&mut self, wanted: &BTreeMap<&ContainerId, Wanted<'_>>, gaps: &mut Vec<Gap>) -> (Vec<Space>, HashMap<u64, usize>) {
        let ran = rest::ran(&self.kept, wanted);
        let used: HashSet<u64> = self.kept.values().filter_map(|kept| kept.place.space()).collect();
        self.open.retain(|space, _| used.contains(space));
        let mut spaces = Vec::with_capacity(self.open.len());
        let mut places = HashMap::with_capacity(self.open.len());
        let (mut lost, mut cut, mut torn) = (Vec::new(), 0, 0);
        let every = (self.open.len() as u64).clamp(*SOCKETS_EVERY.start(), *SOCKETS_EVERY.end());
        for (&id, open) in &mut self.open {
            let passes = open.rest.passes(ran.get(&id).copied().flatten(), id, self.look);
            if !passes || self.roots.recorded.is_some() {
                let length = match read_again(&open.file, &mut self.bytes) {
                    Ok(length) => length,
                    Err(error) => {
                        tracing::debug!(path = %open.path.display(), %error, "a network name space is looked for again");
                        lost.push(id);
                        continue;
                    }
                };
                let dev = dev::parse(&self.bytes[..length], &open.net);
                if dev.is_unknown() {
                    open.rest = Rest::default();
                    torn += 1;
                    continue;
                }
                (open.net, open.cut, open.at) = (dev.net, dev.cut, self.roots.clock.now());
            }
            cut += open.cut;
            if open.due <= self.look || self.roots.recorded.is_some() {
                // Those that came in one look have their next turns in different ones.
                open.due = self.look + if open.due == 0 { 1 + id % every } else { every };
                open.read_sockets(id, &self.roots, &self.kept, &mut self.bytes);
            }
            places.insert(id, spaces.len());
            spaces.push(Space { id, at: open.at, net: open.net.clone(), sockets: open.sockets.clone() });
        }
        if cut > 0 {
            gaps.push(gap(format!("{cut} interfaces not counted: more than {} in one name space", dev::MOST_INTERFACES)));
        }
        if torn > 0 {
            gaps.push(gap(format!("net/dev of {torn} name spaces holds no line that can be read")));
        }
        if !lost.is_empty() {
            gaps.push(gap(format!("net/dev of {} name spaces could not be read; their processes are looked for again", lost.len())));
            self.open.retain(|space, _| !lost.contains(space));
            self.kept.retain(|_, kept| !kept.place.space().is_some_and(|space| lost.contains(&space)));
        }
        (spaces, places)
    }
}

impl Open {
    /// The process that was looked at first may have gone while others live here: then one of theirs stands in.
    fn read_sockets(&mut self, id: u64, roots: &Roots, kept: &HashMap<ContainerId, Kept>, bytes: &mut Vec<u8>) {
        let mut read = |pid: u32, folder: &Path| sockets::read(roots, pid, folder, Some(id), bytes);
        let mut sockets = read(self.pid, self.path.parent().unwrap_or(&self.path));
        if sockets.is_none() {
            let other = kept.values().find(|kept| kept.place == Place::Space(id) && kept.pid != self.pid);
            sockets = other.and_then(|other| {
                self.pid = other.pid;
                self.path = roots.proc.path(&format!("{}/net/dev", other.pid));
                read(self.pid, self.path.parent()?)
            });
        }
        self.sockets = sockets.map(|is| Arc::new(Seen { at: roots.clock.now(), from: SourceName::Net, is }));
    }
}

impl Place {
    fn space(self) -> Option<u64> {
        match self {
            Place::Host => None,
            Place::Space(space) => Some(space),
        }
    }
}

impl Look for NetSpaces {
    fn name(&self) -> SourceName {
        SourceName::Net
    }

    fn look(&mut self, known: &[Arc<Reading>]) -> Reading {
        self.look += 1;
        let wanted = wanted(known);
        self.find(&wanted);
        let mut gaps = Vec::new();
        let (spaces, places) = self.read(&wanted, &mut gaps);
        let mut unread = 0_usize;
        let mut of = HashMap::with_capacity(self.kept.len());
        for (id, kept) in &self.kept {
            match kept.place {
                Place::Host => drop(of.insert(id.clone(), SpaceOf::Host)),
                Place::Space(space) => match places.get(&space) {
                    Some(&at) => drop(of.insert(id.clone(), SpaceOf::Space(at))),
                    None => unread += 1,
                },
            }
        }
        if unread > 0 {
            if self.open.len() < self.settings.max_spaces {
                // There is room now: the next look finds them.
                self.kept.retain(|_, kept| kept.place.space().is_none_or(|space| places.contains_key(&space)));
            }
            gaps.push(gap(format!("{unread} containers not counted: more than {} network name spaces", self.settings.max_spaces)));
        }
        if !self.unfound.is_empty() {
            let proc = self.roots.proc.path("");
            let why = if self.host.is_none() { "its process 1 cannot be looked at" } else { "is the host's process name space missing?" };
            gaps.push(gap(format!("no process of {} containers could be looked at in {}: {why}", self.unfound.len(), proc.display())));
        }
        Reading { from: SourceName::Net, at: self.roots.clock.now(), told: Some(Told::Spaces(Spaces { spaces, of })), gaps }
    }
}

/// Every container with a cgroup, and those that Docker says have a process.
fn wanted(known: &[Arc<Reading>]) -> BTreeMap<&ContainerId, Wanted<'_>> {
    let mut wanted: BTreeMap<&ContainerId, Wanted<'_>> = BTreeMap::new();
    for told in known.iter().filter_map(|reading| reading.told.as_ref()) {
        match told {
            Told::Tree(tree) => {
                for group in &tree.groups {
                    if let Owner::Container(id, _) = &group.owner {
                        let one = wanted.entry(id).or_default();
                        (one.start, one.path) = (Some(group.start), Some(&group.path));
                        one.cpu = group.usage.cpu.map(|cpu| (cpu.is.time, cpu.at));
                    }
                }
            }
            Told::Docker(docker) => {
                for one in docker.containers.iter().filter(|one| matches!(one.state, State::Running | State::Paused)) {
                    if let Some(pid) = one.pid {
                        wanted.entry(&one.about.id).or_default().pid = Some(pid);
                    }
                }
            }
            Told::Spaces(_) | Told::Host(_) | Told::Stats(_) | Told::Sizes(_) | Told::Tasks(_) | Told::Cluster(_) | Told::Instance(_) => {}
        }
    }
    wanted
}

/// On a recorded host every process has a name space of its own but where `faults.json` says otherwise: the smallest number of those that share it names it.
fn recorded_space(pid: u32, same: &[(PathBuf, PathBuf)]) -> u64 {
    let pid_of = |path: &Path| path.strip_prefix("proc").ok()?.iter().next()?.to_str()?.parse::<u32>().ok();
    let pairs: Vec<(u32, u32)> = same.iter().filter_map(|(a, b)| Some((pid_of(a)?, pid_of(b)?))).collect();
    let mut sharers = BTreeSet::from([pid]);
    loop {
        let known = sharers.len();
        for (a, b) in &pairs {
            if sharers.contains(a) || sharers.contains(b) {
                sharers.extend([*a, *b]);
            }
        }
        if sharers.len() == known {
            return sharers.first().copied().unwrap_or(pid).into();
        }
    }
}

/// Reads the file from its start into `bytes`, at most a megabyte of it; how much there was.
fn read_again(file: &File, bytes: &mut Vec<u8>) -> io::Result<usize> {
    if bytes.is_empty() {
        bytes.resize(2 * PAGE, 0);
    }
    let mut length = 0;
    loop {
        let read = match file.read_at(&mut bytes[length..], length as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        length += read;
        // The kernel hands out whole lines, a page at most: with room left for the longest line in the first page there are no more, and no second call is needed.
        if read == 0 || length + LONGEST_LINE <= PAGE || length >= FILE_LIMIT {
            return Ok(length);
        }
        if length == bytes.len() {
            bytes.resize(FILE_LIMIT.min(2 * length), 0);
        }
    }
}

/// The smallest page there is.
const PAGE: usize = 4096;

/// A name of 15 bytes and sixteen numbers of 20 digits, with room to spare.
const LONGEST_LINE: usize = 512;

fn gap(why: String) -> Gap {
    Gap { from: SourceName::Net, what: "network".into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::roots::{Address, Clock, Endpoint, Faults, Layers, Recorded};
    use crate::snapshot::{CgroupVersion, ContainerAbout, Cpu, Docker, Limits, Role, Usage, Weights};
    use crate::sources::{Containers, Group, Network, RuntimeContainer, Tree, Within};

    const HEAD: &str = "Inter-| Receive | Transmit\n face |bytes|bytes\n";

    /// A folder that stands for `/proc`; name spaces are shared by hard links.
    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Proc {
            let proc = Proc(tempfile::tempdir().unwrap());
            proc.process(1, "0::/init.scope", 1);
            proc
        }

        fn process(&self, pid: u32, cgroup: &str, received: u64) {
            let folder = self.0.path().join(pid.to_string());
            fs::create_dir_all(folder.join("net")).unwrap();
            fs::write(folder.join("cgroup"), cgroup).unwrap();
            self.count(pid, received);
        }

        fn count(&self, pid: u32, received: u64) {
            let text = format!("{HEAD} eth0: {received} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
            fs::write(self.0.path().join(format!("{pid}/net/dev")), text).unwrap();
        }

        fn joins(&self, pid: u32, cgroup: &str, other: u32) {
            self.process(pid, cgroup, 0);
            let file = |pid: u32| self.0.path().join(format!("{pid}/net/dev"));
            fs::remove_file(file(pid)).unwrap();
            fs::hard_link(file(other), file(pid)).unwrap();
        }

        fn ends(&self, pid: u32) {
            fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
        }

        fn roots(&self) -> Roots {
            Roots {
                proc: Layers(vec![self.0.path().into()]),
                sys: Layers(vec![]),
                sys_mounted_at: "/sys".into(),
                docker: Address::Nowhere,
                imds: Address::Nowhere,
                ecs_task: Endpoint::NOWHERE,
                ecs_agent: Vec::new(),
                clock: Clock::Fixed(Stamp::default()),
                recorded: None,
            }
        }

        fn spaces(&self) -> NetSpaces {
            NetSpaces::new(self.roots(), SETTINGS)
        }
    }

    const SETTINGS: Settings = Settings { max_spaces: 10, scan: true };

    fn tree(containers: &[(&str, u64)]) -> Arc<Reading> {
        let group = |(id, start): &(&str, u64)| Group {
            path: format!("/system.slice/docker-{id}.scope").as_str().into(),
            owner: Owner::Container((*id).into(), Within::Nothing),
            start: *start,
            own: Limits::default(),
            limits: Limits::default(),
            weights: Weights::default(),
            usage: Usage::default(),
        };
        let groups = containers.iter().map(group).collect();
        told(SourceName::Cgroup, Told::Tree(Box::new(Tree { version: CgroupVersion::V2, root: Usage::default(), groups, ended: vec![], cut: 0 })))
    }

    fn docker(containers: &[(&str, u32)]) -> Arc<Reading> {
        let one = |(id, pid): &(&str, u32)| {
            Arc::new(RuntimeContainer {
                about: Arc::new(ContainerAbout { id: (*id).into(), name: None, image: None, digest: None, compose: None, role: Role::App }),
                task: None,
                state: State::Running,
                health: None,
                restarts: None,
                exit: None,
                oom: None,
                started: None,
                ended: None,
                pid: Some(*pid),
                network: Network::Unknown,
                asked: Default::default(),
                limits: Limits::default(),
            })
        };
        let docker = Arc::new(Docker { version: "26".into(), api: "1.45".into(), root: None });
        told(SourceName::Docker, Told::Docker(Containers { docker: Some(docker), containers: containers.iter().map(one).collect(), cut: 0 }))
    }

    fn told(from: SourceName, told: Told) -> Arc<Reading> {
        Arc::new(Reading { from, at: Stamp::default(), told: Some(told), gaps: vec![] })
    }

    /// What each container received: by id, `None` for the host's network.
    fn look(spaces: &mut NetSpaces, known: &[Arc<Reading>]) -> (BTreeMap<String, Option<u64>>, usize) {
        let reading = spaces.look(known);
        let Some(Told::Spaces(read)) = reading.told else { panic!("no spaces") };
        let bytes = |place: &SpaceOf| match place {
            SpaceOf::Host => None,
            SpaceOf::Space(at) => Some(read.spaces[*at].net.iter().map(|one| one.received.bytes.0).sum()),
        };
        (read.of.iter().map(|(id, place)| (id.to_string(), bytes(place))).collect(), reading.gaps.len())
    }

    fn of(containers: &[(&str, Option<u64>)]) -> BTreeMap<String, Option<u64>> {
        containers.iter().map(|(id, bytes)| ((*id).to_owned(), *bytes)).collect()
    }

    #[test]
    fn processes_are_named_by_docker_or_found_by_their_cgroup() {
        let proc = Proc::new();
        proc.process(10, "4:memory:/docker/aa\n", 100);
        proc.joins(20, "0::/../../system.slice/docker-bb.scope/init.scope\n", 10);
        proc.joins(30, "0::/system.slice/docker-cc.scope\n", 1);
        proc.process(40, "0::/user.slice\n", 7);
        let mut spaces = proc.spaces();
        let known = [tree(&[("aa", 1), ("bb", 1), ("cc", 1)]), docker(&[("aa", 10)])];
        assert_eq!(look(&mut spaces, &known), (of(&[("aa", Some(100)), ("bb", Some(100)), ("cc", None)]), 0));
        assert_eq!(spaces.open.len(), 1, "one file a name space");
        proc.count(10, 150);
        proc.ends(20);
        assert_eq!(look(&mut spaces, &known).0["bb"], Some(150), "nothing is looked for again in the steady tick");
        assert!(look(&mut spaces, &[tree(&[])]).0.is_empty());
        assert!(spaces.open.is_empty(), "an open file would keep the name space alive");
    }

    #[test]
    fn who_was_seen_in_the_host_s_name_space_before_it_left_it_is_looked_for_again() {
        let proc = Proc::new();
        proc.joins(20, "0::/docker-aa.scope", 1);
        proc.joins(30, "0::/docker-bb.scope", 1);
        proc.joins(40, "0::/docker-cc.scope", 1);
        let mut spaces = proc.spaces();
        let known = [tree(&[("aa", 1), ("bb", 1), ("cc", 1)])];
        assert_eq!(look(&mut spaces, &known), (of(&[("aa", None), ("bb", None), ("cc", None)]), 0));
        // One went on as another process, one has a name space of its own now, one is in the host's for good.
        proc.ends(20);
        proc.process(21, "0::/docker-aa.scope", 5);
        fs::remove_file(proc.0.path().join("30/net/dev")).unwrap();
        proc.process(30, "0::/docker-bb.scope", 6);
        assert_eq!(look(&mut spaces, &known), (of(&[("aa", Some(5)), ("bb", Some(6)), ("cc", None)]), 0));
        look(&mut spaces, &known);
        look(&mut spaces, &known);
        assert_eq!(spaces.kept[&ContainerId::from("cc")].doubts, 0, "and is then believed");
    }

    #[test]
    fn a_restart_is_another_process_in_another_name_space() {
        let proc = Proc::new();
        proc.process(10, "0::/docker-aa.scope", 100);
        let mut spaces = proc.spaces();
        look(&mut spaces, &[tree(&[("aa", 1)]), docker(&[("aa", 10)])]);
        proc.ends(10);
        proc.process(11, "0::/docker-aa.scope", 5);
        assert_eq!(look(&mut spaces, &[tree(&[("aa", 2)]), docker(&[("aa", 10)])]), (of(&[("aa", Some(5))]), 0), "Docker does not know yet");
        proc.process(12, "0::/docker-aa.scope", 6);
        assert_eq!(look(&mut spaces, &[docker(&[("aa", 12)])]), (of(&[("aa", Some(6))]), 0));
    }

    #[test]
    fn a_number_that_went_to_another_process_is_not_believed() {
        let proc = Proc::new();
        proc.process(10, "0::/user.slice", 100);
        assert_eq!(look(&mut proc.spaces(), &[tree(&[("aa", 1)]), docker(&[("aa", 10)])]), (of(&[]), 1));
    }

    #[test]
    fn what_was_not_found_is_not_looked_for_at_each_tick() {
        let proc = Proc::new();
        let mut spaces = proc.spaces();
        let known = [tree(&[("aa", 1)])];
        let mut found_at = None;
        for turn in 0..8 {
            if !look(&mut spaces, &known).0.is_empty() {
                found_at = found_at.or(Some(turn));
            }
            if turn == 2 {
                // Scans were made in turns 0 and 2, the next is due in turn 5.
                proc.process(10, "0::/docker-aa.scope", 1);
            }
        }
        assert_eq!(found_at, Some(5));
    }

    #[test]
    fn the_bound_is_kept_and_said() {
        let proc = Proc::new();
        proc.process(10, "0::/docker-aa.scope", 1);
        proc.process(11, "0::/docker-bb.scope", 2);
        let mut spaces = NetSpaces::new(proc.roots(), Settings { max_spaces: 1, scan: true });
        let both = [tree(&[("aa", 1), ("bb", 1)])];
        assert_eq!(look(&mut spaces, &both), (of(&[("aa", Some(1))]), 1));
        assert_eq!(look(&mut spaces, &both), (of(&[("aa", Some(1))]), 1));
        look(&mut spaces, &[tree(&[("bb", 1)])]);
        assert_eq!(look(&mut spaces, &[tree(&[("bb", 1)])]), (of(&[("bb", Some(2))]), 0), "room became free");
    }

    #[test]
    fn recorded_hosts_say_who_shares() {
        let proc = Proc::new();
        for (pid, id, received) in [(10, "aa", 100), (20, "bb", 200), (30, "cc", 300)] {
            proc.process(pid, &format!("0::/docker-{id}.scope"), received);
        }
        let path = |pid: u32| PathBuf::from(format!("proc/{pid}/net/dev"));
        let faults = Faults { same_file: vec![(path(10), path(20)), (path(1), path(30))], ..Faults::default() };
        let roots = Roots { recorded: Some(Arc::new(Recorded { faults, ..Recorded::default() })), ..proc.roots() };
        let mut spaces = NetSpaces::new(roots, SETTINGS);
        let known = [tree(&[("aa", 0), ("bb", 0), ("cc", 0)])];
        assert_eq!(look(&mut spaces, &known).0, of(&[("aa", Some(100)), ("bb", Some(100)), ("cc", None)]));
        assert_eq!(recorded_space(5, &[(path(3), path(9)), (path(9), path(5))]), 3);
    }

    #[test]
    fn sockets_have_their_turn_and_outlive_the_process_that_was_looked_at() {
        let proc = Proc::new();
        proc.process(10, "0::/docker-aa.scope", 1);
        proc.joins(20, "0::/docker-bb.scope", 10);
        let retransmitted = |pid: u32, n: u64| {
            fs::write(proc.0.path().join(format!("{pid}/net/snmp")), format!("Tcp: RetransSegs\nTcp: {n}\n")).unwrap();
        };
        retransmitted(10, 5);
        let mut spaces = proc.spaces();
        let known = [tree(&[("aa", 1), ("bb", 1)])];
        let seen = |spaces: &mut NetSpaces| {
            let Some(Told::Spaces(told)) = spaces.look(&known).told else { panic!("nothing told") };
            told.spaces[0].sockets.as_ref().map(|sockets| sockets.is.tcp.retransmitted.unwrap())
        };
        assert_eq!(seen(&mut spaces), Some(5), "at first sight");
        let turns: BTreeSet<_> = (6..18)
            .map(|n| {
                retransmitted(10, n);
                seen(&mut spaces).unwrap()
            })
            .filter(|n| *n > 5)
            .collect();
        assert_eq!(turns.len(), 2, "once in six looks: {turns:?}");
        retransmitted(20, 99);
        fs::remove_dir_all(proc.0.path().join("10")).unwrap();
        assert_eq!((0..6).filter_map(|_| seen(&mut spaces)).max(), Some(99));
    }

    #[test]
    fn one_that_rests_has_its_turn_and_one_that_wakes_is_read_at_once() {
        let proc = Proc::new();
        proc.process(10, "0::/docker-aa.scope", 0);
        proc.joins(20, "0::/docker-bb.scope", 10);
        let mut spaces = NetSpaces::new(Roots { clock: Clock::Real, ..proc.roots() }, SETTINGS);
        let (mut second, mut stamp) = (0, Stamp::default());
        // Counters move at every look, whoever ran. What the look says, and whether it is of now by its figure; by its stamp it is then, too.
        let mut look = |ran: [u64; 2]| {
            second += 1;
            proc.count(10, second);
            let mut tree = tree(&[("aa", 1), ("bb", 1)]);
            if let Some(Told::Tree(tree)) = &mut Arc::get_mut(&mut tree).unwrap().told {
                for (group, ran) in tree.groups.iter_mut().zip(ran) {
                    let cpu = Cpu { time: Duration::from_secs(ran), ..Cpu::default() };
                    let at = Stamp { wall: None, boot: Some(Duration::from_secs(second)) };
                    group.usage.cpu = Some(Seen { at, from: SourceName::Cgroup, is: cpu });
                }
            }
            let Some(Told::Spaces(told)) = spaces.look(&[tree]).told else { panic!("nothing told") };
            let [space] = &told.spaces[..] else { panic!("one name space") };
            let is_new = space.net[0].received.bytes.0 == second;
            assert_eq!(is_new, space.at != std::mem::replace(&mut stamp, space.at), "look {second}");
            is_new
        };
        let read: Vec<usize> = (1..=20).filter(|_| look([5, 5])).collect();
        assert!(read.starts_with(&[1, 2]) && (4..=6).contains(&read.len()) && read.windows(2).all(|two| two[1] - two[0] <= 6), "{read:?}");
        for (at_rest, awake) in [([5, 5], [5, 6]), ([5, 6], [6, 6])] {
            // Until its turn, so that the next look has none.
            while !look(at_rest) {}
            assert!(look(awake), "read at once, whichever of them wakes");
            assert!(look(awake), "and once more");
        }
    }

    #[test]
    fn a_file_of_many_pages_is_read_whole() {
        let proc = Proc::new();
        let rows: String = (0..200).map(|n| format!(" veth{n}: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 {:>60}\n", 0)).collect();
        proc.process(10, "0::/docker-aa.scope", 0);
        fs::write(proc.0.path().join("10/net/dev"), format!("{HEAD}{rows}")).unwrap();
        assert_eq!(look(&mut proc.spaces(), &[tree(&[("aa", 1)])]).0, of(&[("aa", Some(200))]));
    }

    #[test]
    fn a_recorded_pod_with_odd_names_is_counted() {
        let Some(fixtures) = std::env::var_os("TARE_FIXTURES") else { return println!("skipped: TARE_FIXTURES is not set") };
        let roots = Roots::replay(&Path::new(&fixtures).join("trials/21-netdev-odd-names")).unwrap().remove(0);
        let id = "201f02485c22a5a476ae7651d11c7954ceb668c610785488ef517a9477c7d759";
        let mut tree = tree(&[(id, 0)]);
        if let Some(Told::Tree(tree)) = &mut Arc::get_mut(&mut tree).unwrap().told {
            tree.groups[0].path = format!("/kubepods.slice/x/cri-containerd-{id}.scope").as_str().into();
        }
        assert_eq!(look(&mut NetSpaces::new(roots, SETTINGS), &[tree]), (of(&[(id, Some(181_038_261_102))]), 0));
    }

    /// The kernel's own files: all processes of one name space show one number, and an open file follows its counters.
    #[test]
    fn this_machine_shows_one_number_a_name_space() {
        let number = |path: &str| fs::metadata(path).map(|file| file.ino());
        let own = number("/proc/self/net/dev").unwrap();
        assert_eq!(own, number(&format!("/proc/{}/net/dev", std::process::id())).unwrap());
        let file = File::open("/proc/self/net/dev").unwrap();
        let mut bytes = Vec::new();
        let first = read_again(&file, &mut bytes).unwrap();
        assert!(bytes[..first].starts_with(b"Inter-|"));
        let again = read_again(&file, &mut bytes).unwrap();
        assert!(bytes[..again].starts_with(b"Inter-|"));
    }
}
