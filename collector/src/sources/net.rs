//! Network counters of containers: one process of each network name space is read, each name space once.
//!
//! The number of a name space is the inode number of `/proc/<pid>/net/dev`: all processes of one name space show the same, no right is needed to ask for it
//! (tried on kernel 6.18). The same as that of process 1 is the host's own network.
//!
//! The file stays open and is read again in place, one pread a tick. An open file keeps its name space alive even when the last process has gone, so it is closed in the
//! first look that does not see a container of it. What its sockets did is told by four more files, which cost
//! some 120 us together where `net/dev` costs 7: they are opened anew about one name space a look.

pub mod dev;
pub mod processes;
pub mod sockets;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::identity::{CgroupPath, ContainerId};
use crate::roots::{self, Roots};
use crate::snapshot::{Gap, Net, Seen, Sockets, SourceName, State};
use crate::sources::{Look, Owner, Reading, Space, SpaceOf, Spaces, Told};

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
            self.open.insert(space, Open { file, path, net: Net::default(), pid, sockets: None, due: 0 });
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

    fn read(&mut self, gaps: &mut Vec<Gap>) -> (Vec<Space>, HashMap<u64, usize>) {
        let used: HashSet<u64> = self.kept.values().filter_map(|kept| kept.place.space()).collect();
        self.open.retain(|space, _| used.contains(space));
        let mut spaces = Vec::with_capacity(self.open.len());
        let mut places = HashMap::with_capacity(self.open.len());
        let (mut lost, mut cut, mut torn) = (Vec::new(), 0, 0);
        let every = (self.open.len() as u64).clamp(*SOCKETS_EVERY.start(), *SOCKETS_EVERY.end());
        for (&id, open) in &mut self.open {
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
                torn += 1;
                continue;
            }
            open.net = dev.net;
            cut += dev.cut;
            if open.due <= self.look || self.roots.recorded.is_some() {
                // Those that came in one look have their next turns in different ones.
                open.due = self.look + if open.due == 0 { 1 + id % every } else { every };
                open.read_sockets(id, &self.roots, &self.kept, &mut self.bytes);
            }
            places.insert(id, spaces.len());
            spaces.push(Space { id, at: self.roots.clock.now(), net: open.net.clone(), sockets: open.sockets.clone() });
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
        let (spaces, places) = self.read(&mut gaps);
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
mod tests;
