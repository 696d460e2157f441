//! The cgroup tree: who runs on this host by the folders' names, and what each uses by the kernel's own counters.

pub mod figures;
pub mod files;
pub mod gaps;
pub mod lives;
pub mod mounts;
pub mod quiet;
pub mod seldom;
pub mod v1;
pub mod v2;
pub mod walk;

use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Deserialize;

use self::figures::{Bounds, Figures, Offer, within};
use self::files::{Files, Found};
use self::gaps::gap;
use self::lives::Lives;
use self::seldom::OpenFilesOf;
use self::walk::{Node, Room, refresh, relist};
use crate::identity::{Owner, Segment, Within};
use crate::roots::{Clock, Roots};
use crate::snapshot::{CgroupVersion, Gap, Limits, SourceName, Usage, add_devices};
use crate::sources::{Group, Look, Reading, Told, Tree, host, text};

/// How much of the tree is followed, and how. Defaults: the `cgroup` section of tare.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Descriptors that stay open between looks. Each keeps 4 KiB of kernel memory charged to Tare; opening anew doubles the cost of a read.
    pub keep_open: usize,
    /// Rows of a look; the rest is counted in `cut`.
    pub max_groups: usize,
}

/// Limits and weights change seldom: they are read at first sight and then at every sixth look, each cgroup at a turn of its own.
const BOUNDS_EVERY: u64 = 6;
/// Processes and their open files cost more than they say: they have every second turn of the limits.
const SELDOM_EVERY: u64 = 2 * BOUNDS_EVERY;
/// A runtime makes a container's v1 folders one after the other: in its first looks what is missing is asked for again.
const YOUNG: u64 = 2;

/// The names of all files that are read of a cgroup, v1's and v2's.
pub fn file_names() -> impl Iterator<Item = &'static str> {
    fn names<T>(files: &'static [files::File<T>]) -> impl Iterator<Item = &'static str> {
        files.iter().flat_map(|file| file.older.into_iter().chain([file.name]))
    }
    names(v1::FIGURES)
        .chain(names(v1::ROOT))
        .chain(names(v1::BOUNDS))
        .chain(names(v2::FIGURES))
        .chain(names(v2::ROOT))
        .chain(names(v2::BOUNDS))
        .chain(names(v2::EVENTS))
        .chain(names(seldom::V1))
        .chain(names(seldom::V1_HUGE))
        .chain(names(seldom::V2_HUGE))
}

/// The cgroup tree of one host.
pub struct Cgroups {
    roots: Roots,
    settings: Settings,
    /// What may stay open now: the setting, less what the limit on open files forbids.
    keep: usize,
    tree: Option<(Files, Node)>,
    /// Hears of containers between two looks; live only.
    lives: Option<Result<Lives, Errno>>,
    look: u64,
    offer: Offer,
    open_files: OpenFilesOf,
    /// This kernel's v1 files about block devices may say nothing where nothing was counted.
    lazy_io: bool,
}

impl Cgroups {
    /// Looks below these roots. Live, the soft limit on open files is raised to the hard one.
    pub fn new(roots: Roots, settings: Settings) -> Cgroups {
        let keep = if roots.recorded.is_some() { 0 } else { settings.keep_open.min(raise_open_files()) };
        let open_files = OpenFilesOf::new(&roots);
        let lazy_io = host::identity(&roots).kernel.is_some_and(|release| v1::counts_io_late(&release));
        Cgroups { roots, settings, keep, tree: None, lives: None, look: 0, offer: Offer::default(), open_files, lazy_io }
    }

    /// One look at the tree, or why there is none.
    fn see(&mut self) -> (Option<Tree>, Vec<Gap>) {
        self.look += 1;
        if self.look % BOUNDS_EVERY == 1 {
            self.offer = offer(&self.roots);
        }
        if self.tree.is_none() {
            match mounts::find(&mountinfo(&self.roots), &self.roots.sys_mounted_at) {
                Some(mounts) => self.tree = Some((Files::new(self.roots.clone(), mounts), Node::root())),
                None => return (None, vec![gap("containers", &nothing_mounted(&self.roots))]),
            }
        }
        let Some((files, root)) = &mut self.tree else { return (None, Vec::new()) };
        let lives = &mut self.lives;
        if lives.is_none() && !files.recorded() {
            *lives = Some(Lives::start(Files::new(self.roots.clone(), files.mounts().clone())));
        }
        // Folders that are no row (slices, empty tasks) need room too.
        let held = count(root);
        let mut room = Room { left: self.settings.max_groups.saturating_mul(2).saturating_add(1000).saturating_sub(held), cut: 0, rows: 0 };
        if !refresh(root, files, &mut room) {
            let mut gaps = files.gaps.take();
            let walked = files.mounts().walked().iter().map(|path| format!("/{}", path.display())).collect::<Vec<_>>().join(", ");
            gaps.push(gap("containers", &format!("the cgroup tree ({walked} below {}) cannot be listed", self.roots.sys_mounted_at.display())));
            (self.tree, self.lives) = (None, None);
            return (None, gaps);
        }
        let mut pass = Pass {
            look: self.look,
            clock: self.roots.clock,
            offer: self.offer,
            v2: files.mounts().version == CgroupVersion::V2,
            keep: Share { each: self.keep / room.rows.max(1), more: self.keep % room.rows.max(1) },
            most: self.settings.max_groups,
            roots: &self.roots,
            lives: lives.as_ref().and_then(|lives| lives.as_ref().ok()),
            files,
            open_files: &mut self.open_files,
            room,
            groups: Vec::with_capacity(room.rows.min(self.settings.max_groups)),
        };
        let part = pass.files.is_part();
        // What a part counts says nothing of the machine.
        let mut root_usage = if part { Usage::default() } else { pass.root(root) };
        pass.watch(root);
        pass.below(root, &Limits::default(), None);
        let Pass { mut groups, room, .. } = pass;
        groups.sort_by(|a, b| a.path.cmp(&b.path));
        if files.gaps.full() > 0 {
            // Somebody else needs descriptors too: hold fewer from now on.
            self.keep /= 2;
        }
        if self.lazy_io && files.mounts().version != CgroupVersion::V2 && uncounted(&mut groups, &mut root_usage) {
            files.gaps.say(UNCOUNTED);
        }
        if part {
            files.gaps.say(PART);
        }
        let mut gaps = files.gaps.take();
        // Asked after the tree was read, so that who is missing there is told of here.
        let ended = match lives {
            Some(Ok(lives)) => {
                let (ended, missed) = lives.take();
                gaps.extend(missed);
                ended
            }
            Some(Err(errno)) => {
                gaps.push(lives::unwatched(*errno));
                Vec::new()
            }
            None => Vec::new(),
        };
        (Some(Tree { version: files.mounts().version, root: root_usage, groups, ended, cut: room.cut }), gaps)
    }
}

impl Look for Cgroups {
    fn name(&self) -> SourceName {
        SourceName::Cgroup
    }

    fn look(&mut self, _known: &[Arc<Reading>]) -> Reading {
        let (tree, gaps) = self.see();
        Reading { from: SourceName::Cgroup, at: self.roots.clock.now(), told: tree.map(|tree| Told::Tree(Box::new(tree))), gaps }
    }
}

/// One read of all that matters.
struct Pass<'a> {
    look: u64,
    clock: Clock,
    offer: Offer,
    v2: bool,
    keep: Share,
    most: usize,
    roots: &'a Roots,
    lives: Option<&'a Lives>,
    files: &'a mut Files,
    open_files: &'a mut OpenFilesOf,
    room: Room,
    groups: Vec<Group>,
}

/// How descriptors are dealt out: each row has so many, and the first rows one more. With more rows than descriptors the hottest file of the first stays open.
struct Share {
    each: usize,
    more: usize,
}

impl Share {
    /// Those of the next row.
    fn next(&mut self) -> usize {
        let one_more = self.more > 0;
        self.more -= usize::from(one_more);
        self.each + usize::from(one_more)
    }
}

impl Pass<'_> {
    fn root(&mut self, root: &mut Node) -> Usage {
        let mut figures = Figures::default();
        let files = if self.v2 { v2::ROOT } else { v1::ROOT };
        self.files.read("", files, &mut root.kept, files.len(), self.look % BOUNDS_EVERY == 1, &mut figures);
        figures.usage(self.clock.now())
    }

    /// Reads the rows below a node. A row that turns out to be gone may have been made again under the same name, so the folder is listed once more.
    fn below(&mut self, node: &mut Node, limits: &Limits, cpus: Option<u32>) {
        let mut lost = false;
        for child in &mut node.children {
            lost |= !self.node(child, limits, cpus);
        }
        if lost && relist(node, self.files, &mut self.room) {
            let look = self.look;
            for child in node.children.iter_mut().filter(|child| child.last != look) {
                self.node(child, limits, cpus);
            }
        }
    }

    /// Reads a node and what lies below it. `false`: it is gone.
    fn node(&mut self, node: &mut Node, above: &Limits, cpus_above: Option<u32>) -> bool {
        if !node.is_row() && !node.is_folder() {
            return true;
        }
        if node.is_row() && self.groups.len() >= self.most {
            self.room.cut += rows(node);
            close(node);
            return true;
        }
        if node.first == 0 {
            node.first = self.look;
        }
        let due = node.last == 0 || self.files.recorded() || (self.look + node.inode).is_multiple_of(BOUNDS_EVERY);
        if due {
            let mut bounds = Bounds::default();
            self.files.read_once(node.path.as_str(), if self.v2 { v2::BOUNDS } else { v1::BOUNDS }, &mut node.kept, &mut bounds);
            node.bounds = bounds;
        }
        let own = node.bounds.own(self.offer, cpus_above);
        let mut limits = own.tightest(*above);
        let place = self.groups.len();
        if node.is_row() {
            match self.row(node, due, own, &mut limits) {
                Found::Gone => return false,
                Found::Some | Found::Nothing => {}
            }
        }
        node.last = self.look;
        if !node.is_folder() {
            return true;
        }
        self.watch(node);
        let cpus = node.bounds.cpus.or(cpus_above);
        self.below(node, &limits, cpus);
        if matches!(node.segment, Segment::Task(_) | Segment::Pod(_)) {
            self.close_workload(node, place);
        }
        true
    }

    /// Whatever is made or removed in this folder is told at once from now on.
    fn watch(&self, node: &mut Node) {
        if !node.watched
            && let Some(lives) = self.lives
            && let Some(folder) = self.files.place(node.path.as_str())
        {
            lives.watch(&folder, &node.path, &node.above);
            node.watched = true;
        }
    }

    /// Reads a row's figures and writes it down, unless nothing of it is there or nothing lives in it.
    fn row(&mut self, node: &mut Node, due: bool, own: Limits, limits: &mut Limits) -> Found {
        let again = due || self.look - node.first <= YOUNG;
        let mut figures = Figures::default();
        let files = if self.v2 { v2::FIGURES } else { v1::FIGURES };
        let (keep, troubles) = (self.keep.next(), self.files.gaps.troubles());
        let before = node.quiet.before().filter(|_| !again);
        let holds = |moves, now: &Figures| before.is_some_and(|before| quiet::holds(moves, before, now));
        let found = self.files.read_but(node.path.as_str(), files, &mut node.kept, keep, again, &mut figures, holds);
        let at = self.clock.now();
        if let Some(before) = before {
            quiet::complete(&mut figures, before, self.v2);
        }
        if !self.files.recorded() {
            node.quiet.keep(&figures, found == Found::Some && self.files.gaps.troubles() == troubles);
        }
        if found != Found::Some || !self.lives(node, &figures, due) {
            return found;
        }
        limits.memory = limits.memory.tightest(within(figures.hierarchical_limit, self.offer));
        let Some(owner) = node.owner.clone() else { return found };
        let start = match &self.roots.recorded {
            Some(recorded) => recorded.identity.get(node.path.as_str()).copied().unwrap_or(0),
            None => node.inode,
        };
        if due && (node.last == 0 || self.files.recorded() || (self.look + node.inode).is_multiple_of(SELDOM_EVERY)) {
            self.seldom(node, figures.pids);
        }
        let mut usage = figures.usage(at);
        node.seldom.tell(&mut usage);
        self.groups.push(Group { path: node.path.clone(), owner, start, own, limits: *limits, weights: node.bounds.weights, usage });
        found
    }

    /// Reads what has its turn in every twelfth look.
    fn seldom(&mut self, node: &mut Node, pids: Option<u64>) {
        let (processes, huge) = if self.v2 { (seldom::V2, seldom::V2_HUGE) } else { (seldom::V1, seldom::V1_HUGE) };
        let mut found = seldom::Found::default();
        // The processes of a task or pod are in the cgroups of its containers.
        if !matches!(node.segment, Segment::Task(_) | Segment::Pod(_)) {
            self.files.read_once(node.path.as_str(), processes, &mut node.kept, &mut found);
        }
        if self.offer.huge {
            self.files.read_once(node.path.as_str(), huge, &mut node.kept, &mut found);
        }
        node.seldom.take(self.clock.now(), found, pids, self.open_files);
    }

    /// Whether anything lives in a container or unit. It is asked only where there is doubt, and left out only where it is certain.
    fn lives(&mut self, node: &mut Node, figures: &Figures, due: bool) -> bool {
        if matches!(node.segment, Segment::Task(_) | Segment::Pod(_)) {
            return true;
        }
        match figures.pids {
            Some(0) if !self.v2 => return false,
            Some(1..) if !self.files.recorded() => return true,
            None if !due => return node.alive,
            _ => {}
        }
        if self.v2 {
            let mut populated = None;
            self.files.read_once(node.path.as_str(), v2::EVENTS, &mut node.kept, &mut populated);
            node.alive = populated != Some(false);
        }
        node.alive
    }

    /// Leaves out a task or pod without containers: runtimes leave empty folders behind. Where the kernel counts only
    /// what the folder's own processes read and write (it has none), the containers' sum stands in.
    fn close_workload(&mut self, node: &Node, place: usize) {
        let Some((first, rest)) = self.groups[place..].split_first_mut() else { return };
        let within = match &first.owner {
            Owner::Task(id) => Within::Task(id.clone()),
            Owner::Pod(uid) => Within::Pod(uid.clone()),
            Owner::Container(..) | Owner::Unit(_) => return,
        };
        let mut containers = rest.iter().filter(|group| matches!(&group.owner, Owner::Container(_, of) if *of == within)).peekable();
        if containers.peek().is_none() {
            // Pods below it stay: AWS runs a Fargate pod inside of a task of its own.
            self.groups.remove(place);
        } else if node.kept.is_older()
            && let Some(io) = &mut first.usage.io
        {
            io.is.clear();
            containers.filter_map(|group| group.usage.io.as_ref()).for_each(|of| add_devices(&mut io.is, &of.is));
        }
    }
}

/// Why most of the machine is missing.
const PART: (&str, &str) = ("containers", "the cgroup tree here is that of one container, not the machine's; fix: give Tare the host's: -v /sys:/host/sys:ro");

/// Why nothing is known of block devices.
const UNCOUNTED: (&str, &str) = ("io", "this kernel (6.10 or newer) counts what a v1 cgroup reads and writes only once a throttle is set on a disk");

/// Whether nothing was counted at block devices: nobody has a row. Then nothing is known, which is not zero.
fn uncounted(groups: &mut [Group], root: &mut Usage) -> bool {
    let all = || groups.iter().map(|group| &group.usage).chain([&*root]).filter_map(|usage| usage.io.as_ref());
    let nothing = all().next().is_some() && all().all(|io| io.is.is_empty());
    if nothing {
        groups.iter_mut().for_each(|group| group.usage.io = None);
        root.io = None;
    }
    nothing && groups.iter().any(|group| matches!(group.owner, Owner::Container(..)))
}

fn count(node: &Node) -> usize {
    1 + node.children.iter().map(count).sum::<usize>()
}

/// The rows at and below a node.
fn rows(node: &Node) -> u64 {
    u64::from(node.is_row()) + if node.is_folder() { node.children.iter().map(rows).sum() } else { 0 }
}

fn close(node: &mut Node) {
    node.kept.close();
    node.children.iter_mut().for_each(close);
}

fn mountinfo(roots: &Roots) -> String {
    roots.read_proc("self/mountinfo").unwrap_or_default()
}

fn nothing_mounted(roots: &Roots) -> String {
    let sys = roots.sys_mounted_at.display();
    match roots.read_proc("self/mountinfo") {
        Err(error) => format!("the mounts cannot be read: {error}"),
        Ok(_) => format!(
            "no cgroup tree with a controller is mounted below {sys} (by self/mountinfo); give Tare the host's: -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro"
        ),
    }
}

/// Online CPUs, `MemTotal`, and whether memory was taken for huge pages.
fn offer(roots: &Roots) -> Offer {
    let (memory, huge) = roots.read_proc("meminfo").ok().map(|text| host::machine::offered(&text)).unwrap_or_default();
    Offer { cpus: host::online_cpus(roots), memory, huge }
}

/// Raises the soft limit on open files to the hard one; a quarter of it stays for sockets and others.
fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit - limit / 4).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
