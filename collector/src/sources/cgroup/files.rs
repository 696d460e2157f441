//! Opens, keeps and reads the files of cgroups. In the steady state a file is one `pread` into one buffer, and nothing is allocated.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::gaps::{Gaps, Trouble};
use super::mounts::Mounts;
use super::quiet::Moves;
use crate::roots::{Clock, Roots, read_again};

/// One mounted hierarchy: v2's only one, or a v1 controller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub enum Tree {
    Unified,
    Cpu,
    Cpuacct,
    Memory,
    Blkio,
    Pids,
    Cpuset,
    Hugetlb,
}

impl Tree {
    /// All of them, in the order of their numbers.
    pub const ALL: [Tree; 8] = [Tree::Unified, Tree::Cpu, Tree::Cpuacct, Tree::Memory, Tree::Blkio, Tree::Pids, Tree::Cpuset, Tree::Hugetlb];

    /// Whether so many files are read here that a folder's descriptor pays.
    fn has_door(self) -> bool {
        matches!(self, Tree::Unified | Tree::Memory)
    }
}

/// One kernel file, and how what it says is taken.
pub struct File<T: 'static> {
    /// Where it is.
    pub tree: Tree,
    /// Its name.
    pub name: &'static str,
    /// What stands in for it on kernels that do not have it.
    pub older: Option<&'static str>,
    /// When it can say something new.
    pub moves: Moves,
    /// Takes the text; `false` if it is not what the kernel writes.
    pub take: fn(&[u8], &mut T) -> bool,
}

/// What stays open of one cgroup between looks.
#[derive(Debug, Default)]
pub struct Kept {
    /// The folder.
    door: Option<OwnedFd>,
    /// The inode number that the folder had at first.
    made: Option<u64>,
    files: Box<[Slot]>,
}

/// One file of one cgroup.
#[derive(Debug, Default)]
enum Slot {
    /// Never opened.
    #[default]
    New,
    /// Was read; opened anew at every look. Whether by its older name.
    Closed(bool),
    /// Stays open. Whether by its older name.
    Open(OwnedFd, bool),
    /// Not there.
    Missing,
    /// The kernel does not support what it would say.
    Unsupported,
}

/// How the files of a cgroup were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// At least one is there.
    Some,
    /// None is there.
    Nothing,
    /// The cgroup was removed since.
    Gone,
}

impl Kept {
    /// Closes everything.
    pub fn close(&mut self) {
        self.door = None;
        for slot in &mut self.files {
            if let Slot::Open(_, older) = slot {
                *slot = Slot::Closed(*older);
            }
        }
    }

    /// Whether any file is there by its older name only.
    pub fn is_older(&self) -> bool {
        self.files.iter().any(|slot| matches!(slot, Slot::Closed(true) | Slot::Open(_, true)))
    }
}

/// A file that does not fit is read on, doubling the buffer, up to `LONGEST`.
const BUFFER: usize = 8 << 10;
/// No kernel file of a cgroup comes near this; what is longer is cut and said.
const LONGEST: usize = 1 << 20;

/// No folder holds more cgroups: the kernel allows 65,535 in a v1 hierarchy and in a v2 tree.
const MOST_FOLDERS: usize = 1 << 16;

/// One entry of a folder listing that is a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name.
    pub name: String,
    /// Its inode number, 0 in a recorded host.
    pub inode: u64,
}

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// These, sorted by name.
    Of(Vec<Folder>),
    /// Nobody may say: no right, no descriptor left.
    Refused,
    /// It is not there.
    Gone,
}

/// Reads files below the mounts.
pub struct Files {
    roots: Roots,
    mounts: Mounts,
    /// The layers of `sys`; live one.
    layers: Vec<PathBuf>,
    /// The mounts whose folders are walked.
    walked: Vec<PathBuf>,
    /// The mounted folders, kept open once used: a path from there is half as long as one from `/`, and walking it is half of what opening costs.
    tops: [Option<OwnedFd>; Tree::ALL.len()],
    buffer: Vec<u8>,
    path: Vec<u8>,
    listing: Vec<MaybeUninit<u8>>,
    /// It is not the machine's whole tree; asked once.
    part: bool,
    /// What went wrong in this look.
    pub gaps: Gaps,
}

/// The kernel gives the top of a hierarchy the inode number 1 (fs/kernfs/dir.c, `kernfs_create_root`); mountinfo does not tell, because in a cgroup name space of
/// its own every tree begins with `/`.
fn is_part(layers: &[PathBuf], walked: &[PathBuf]) -> bool {
    const TOP: u64 = 1;
    // CGROUP_SUPER_MAGIC and CGROUP2_SUPER_MAGIC of linux/magic.h.
    const CGROUPS: [i64; 2] = [0x27e0eb, 0x6367_7270];
    let Some(path) = layers.first().zip(walked.first()).map(|(layer, mount)| layer.join(mount)) else { return false };
    let real = || rustix::fs::statfs(&path).is_ok_and(|about| CGROUPS.contains(&about.f_type));
    rustix::fs::stat(&path).is_ok_and(|about| about.st_ino != TOP) && real()
}

impl Files {
    /// Reads below these mounts.
    pub fn new(roots: Roots, mounts: Mounts) -> Files {
        let layers: Vec<PathBuf> = roots.sys.0.iter().take(if roots.recorded.is_some() { usize::MAX } else { 1 }).cloned().collect();
        let walked: Vec<PathBuf> = mounts.walked().iter().map(PathBuf::from).collect();
        Files {
            part: roots.recorded.is_none() && is_part(&layers, &walked),
            roots,
            mounts,
            layers,
            walked,
            tops: [const { None }; Tree::ALL.len()],
            buffer: vec![0; BUFFER],
            path: Vec::new(),
            listing: vec![MaybeUninit::uninit(); 32 << 10],
            gaps: Gaps::default(),
        }
    }

    /// Whether this is a recorded host: nothing stays open, and every file is asked for anew.
    pub fn recorded(&self) -> bool {
        self.roots.recorded.is_some()
    }

    /// What the time is taken from.
    pub fn clock(&self) -> Clock {
        self.roots.clock
    }

    /// What stands where.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Whether the folder mounted here is not the top of its hierarchy, as in a container without the host's mounts.
    pub fn is_part(&self) -> bool {
        self.part
    }

    /// The folder of a cgroup in the first of the walked trees.
    pub fn place(&self, at: &str) -> Option<PathBuf> {
        Some(self.layers.first()?.join(self.walked.first()?).join(at.trim_start_matches('/')))
    }

    /// Reads `files` of the cgroup at `at` and takes what they say. The first `keep` descriptors, the folder's own among them where not all
    /// files fit, stay open in `kept`. `again` asks anew for what was missing.
    pub fn read<T>(&mut self, at: &str, files: &'static [File<T>], kept: &mut Kept, keep: usize, again: bool, into: &mut T) -> Found {
        self.read_but(at, files, kept, keep, again, into, |_, _| false)
    }

    /// The same, but for files that `holds` says need not be read, by how they move and what was read so far.
    #[allow(clippy::too_many_arguments, reason = "what a read is told, and one question")]
    pub fn read_but<T>(
        &mut self,
        at: &str,
        files: &'static [File<T>],
        kept: &mut Kept,
        keep: usize,
        again: bool,
        into: &mut T,
        holds: impl Fn(Moves, &T) -> bool,
    ) -> Found {
        if kept.files.len() != files.len() {
            kept.files = files.iter().map(|_| Slot::New).collect();
        }
        // Of so few descriptors none is spent on the folder: the hottest files have them.
        let keep_door = keep > 2 && keep < files.len();
        let keep_files = keep - usize::from(keep_door);
        let mut found = Found::Nothing;
        for (index, file) in files.iter().enumerate() {
            if holds(file.moves, into) {
                self.pass_by(at, file, &mut kept.files[index], index < keep_files);
                continue;
            }
            match self.read_one(at, file, kept, index, index < keep_files, again, into) {
                Found::Some => found = Found::Some,
                Found::Nothing => {}
                Found::Gone => {
                    *kept = Kept::default();
                    return Found::Gone;
                }
            }
        }
        if !keep_door {
            kept.door = None;
        }
        found
    }

    /// Leaves a file unread; what is known of it stays said.
    fn pass_by<T>(&mut self, at: &str, file: &File<T>, slot: &mut Slot, keep: bool) {
        match slot {
            Slot::Open(_, older) if !keep => *slot = Slot::Closed(*older),
            Slot::Unsupported => self.gaps.add(file.name, Trouble::Unsupported, at),
            _ => {}
        }
    }

    /// Reads files that never stay open. `Nothing` if none is there.
    pub fn read_once<T>(&mut self, at: &str, files: &'static [File<T>], kept: &mut Kept, into: &mut T) -> Found {
        let had_door = kept.door.is_some();
        let mut found = Found::Nothing;
        for file in files {
            match self.open(at, file, false, kept) {
                Ok((fd, older)) if self.take(at, file, older, &fd, into).is_ok() => found = Found::Some,
                Ok(_) => {}
                Err(errno) => refuse(&mut self.gaps, at, file.name, errno),
            }
        }
        if !had_door {
            kept.door = None;
        }
        found
    }

    #[allow(clippy::too_many_arguments, reason = "one file of the loop above")]
    fn read_one<T>(&mut self, at: &str, file: &'static File<T>, kept: &mut Kept, index: usize, keep: bool, again: bool, into: &mut T) -> Found {
        let slot = std::mem::take(&mut kept.files[index]);
        let (fd, older, fresh) = match slot {
            Slot::Open(fd, older) => (fd, older, false),
            Slot::Missing if !again => {
                kept.files[index] = Slot::Missing;
                return Found::Nothing;
            }
            Slot::Unsupported if !again => {
                self.gaps.add(file.name, Trouble::Unsupported, at);
                kept.files[index] = Slot::Unsupported;
                return Found::Some;
            }
            slot => match self.open(at, file, matches!(slot, Slot::Closed(true)), kept) {
                Ok((fd, older)) => (fd, older, true),
                Err(Errno::NOENT | Errno::NODEV) if matches!(slot, Slot::Closed(_)) => return Found::Gone,
                Err(Errno::STALE) => return Found::Gone,
                Err(Errno::NOENT | Errno::NODEV) => {
                    kept.files[index] = Slot::Missing;
                    return Found::Nothing;
                }
                Err(errno) => {
                    refuse(&mut self.gaps, at, file.name, errno);
                    return Found::Some;
                }
            },
        };
        match self.take(at, file, older, &fd, into) {
            Err(Errno::NODEV | Errno::NOENT) if !fresh => return Found::Gone,
            Err(Errno::NODEV | Errno::NOENT) => {
                kept.files[index] = Slot::Missing;
                return Found::Nothing;
            }
            Err(Errno::OPNOTSUPP) => kept.files[index] = Slot::Unsupported,
            Ok(()) | Err(_) if keep && !self.recorded() => kept.files[index] = Slot::Open(fd, older),
            Ok(()) | Err(_) => kept.files[index] = Slot::Closed(older),
        }
        Found::Some
    }

    fn open<T>(&mut self, at: &str, file: &File<T>, older: bool, kept: &mut Kept) -> Result<(OwnedFd, bool), Errno> {
        let name = if older { file.older.unwrap_or(file.name) } else { file.name };
        match (self.open_name(at, file.tree, name, kept), file.older) {
            (Err(Errno::NOENT), Some(name)) if !older => Ok((self.open_name(at, file.tree, name, kept)?, true)),
            (opened, _) => Ok((opened?, older)),
        }
    }

    fn open_name(&mut self, at: &str, tree: Tree, name: &str, kept: &mut Kept) -> Result<OwnedFd, Errno> {
        // Not to be stopped by a pipe that somebody recorded.
        const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
        const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let Some(mount) = self.mounts.path(tree) else { return Err(Errno::NOENT) };
        if self.roots.recorded.is_some() {
            if let Some(errno @ Errno::NOENT) = self.roots.fault(&recorded_path(mount, at, name)) {
                return Err(errno);
            }
            let below = mount.join(at.trim_start_matches('/')).join(name);
            let open = |layer: &PathBuf| rustix::fs::open(layer.join(&below), FLAGS, Mode::empty());
            return self.layers.iter().map(open).find(|opened| !matches!(opened, Err(Errno::NOENT | Errno::NOTDIR))).unwrap_or(Err(Errno::NOENT));
        }
        let top = match &mut self.tops[tree as usize] {
            Some(top) => top,
            top => {
                let path = folder(&mut self.path, &self.layers[0], mount, "")?;
                top.insert(rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?)
            }
        };
        let at = at.trim_start_matches('/').as_bytes();
        if !tree.has_door() {
            return rustix::fs::openat(top, fill(&mut self.path, &[at, name.as_bytes()])?, FLAGS, Mode::empty());
        }
        if kept.door.is_none() {
            let door = rustix::fs::openat(top, fill(&mut self.path, &[if at.is_empty() { b"." } else { at }])?, FOLDER, Mode::empty())?;
            let inode = rustix::fs::fstat(&door)?.st_ino;
            if *kept.made.get_or_insert(inode) != inode {
                return Err(Errno::STALE);
            }
            kept.door = Some(door);
        }
        let Some(door) = &kept.door else { return Err(Errno::NOENT) };
        rustix::fs::openat(door, name, FLAGS, Mode::empty())
    }

    /// Reads the whole file and takes what it says.
    fn take<T>(&mut self, at: &str, file: &File<T>, older: bool, fd: impl AsFd, into: &mut T) -> Result<(), Errno> {
        let name = if older { file.older.unwrap_or(file.name) } else { file.name };
        let read = self.fault(file.tree, at, name).map_or_else(|| read_again(fd, &mut self.buffer, LONGEST), Err);
        let (length, cut) = match read {
            Ok(read) => read,
            Err(Errno::OPNOTSUPP) => {
                self.gaps.add(name_of(file, older), Trouble::Unsupported, at);
                return Err(Errno::OPNOTSUPP);
            }
            Err(errno) => {
                if !matches!(errno, Errno::NODEV | Errno::NOENT) {
                    self.gaps.add(name_of(file, older), Trouble::Refused(errno), at);
                }
                return Err(errno);
            }
        };
        if length == 0 && name.ends_with(".pressure") {
            self.gaps.add(file.name, Trouble::Unsupported, at);
            return Err(Errno::OPNOTSUPP);
        }
        if cut {
            self.gaps.add(name_of(file, older), Trouble::Cut, at);
        }
        if !(file.take)(&self.buffer[..length], into) {
            self.gaps.add(name_of(file, older), Trouble::Odd, at);
        }
        Ok(())
    }

    fn fault(&self, tree: Tree, at: &str, name: &str) -> Option<Errno> {
        self.roots.recorded.as_ref()?;
        self.roots.fault(&recorded_path(self.mounts.path(tree)?, at, name))
    }

    /// The link count of a folder, over the walked trees, and its inode number in the first that has it. `None`: it is gone.
    /// A cgroup folder's link count moves with every folder made or removed in it; its times do not (tried on Linux 6.18).
    pub fn links(&mut self, at: &str) -> Option<(u64, u64)> {
        let (mut links, mut inode) = (0, None);
        for mount in &self.walked {
            let Ok(path) = folder(&mut self.path, &self.layers[0], mount, at) else { continue };
            if let Ok(stat) = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
                #[allow(clippy::useless_conversion, reason = "u32 on aarch64")]
                let count = u64::from(stat.st_nlink);
                links += count;
                inode.get_or_insert(stat.st_ino);
            }
        }
        inode.map(|inode| (links, inode))
    }

    /// The folders in a cgroup, over the walked trees and layers, sorted by name.
    pub fn folders(&mut self, at: &str) -> Listing {
        let mut folders: Vec<Folder> = Vec::new();
        let (mut there, mut refused) = (false, false);
        let recorded = self.recorded();
        for mount in &self.walked {
            if recorded && let Some(errno) = self.roots.fault(&recorded_path(mount, at, "")) {
                if errno != Errno::NOENT {
                    refused = true;
                    refuse(&mut self.gaps, at, "folders", errno);
                }
                continue;
            }
            for layer in &self.layers {
                let Ok(path) = folder(&mut self.path, layer, mount, at) else { continue };
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
                    Ok(opened) => opened,
                    Err(Errno::NOENT | Errno::NOTDIR) => continue,
                    Err(errno) => {
                        refused = true;
                        refuse(&mut self.gaps, at, "folders", errno);
                        continue;
                    }
                };
                there = true;
                let mut entries = RawDir::new(&opened, &mut self.listing);
                while let Some(Ok(entry)) = entries.next() {
                    let name = entry.file_name();
                    if matches!(name.to_bytes(), b"." | b"..") || !is_folder(&opened, name, entry.file_type()) {
                        continue;
                    }
                    let Ok(name) = name.to_str() else {
                        self.gaps.add("folders", Trouble::Odd, at);
                        continue;
                    };
                    if folders.len() < MOST_FOLDERS {
                        folders.push(Folder { name: name.to_owned(), inode: if recorded { 0 } else { entry.ino() } });
                    }
                }
            }
        }
        // A stable sort: of the same name the first listing's stays.
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        folders.dedup_by(|later, first| later.name == first.name);
        match there {
            true => Listing::Of(folders),
            false if refused => Listing::Refused,
            false => Listing::Gone,
        }
    }
}

/// What vanished between two steps is no trouble.
fn refuse(gaps: &mut Gaps, at: &str, what: &'static str, errno: Errno) {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NOTDIR | Errno::STALE => {}
        Errno::MFILE | Errno::NFILE => gaps.add("open files", Trouble::Full, at),
        errno => gaps.add(what, Trouble::Refused(errno), at),
    }
}

fn name_of<T>(file: &File<T>, older: bool) -> &'static str {
    if older { file.older.unwrap_or(file.name) } else { file.name }
}

fn is_folder(folder: &OwnedFd, name: &CStr, kind: FileType) -> bool {
    match kind {
        FileType::Directory => true,
        FileType::Unknown => {
            rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        }
        _ => false,
    }
}

/// How a file is called in `faults.json`.
fn recorded_path(mount: &Path, at: &str, name: &str) -> PathBuf {
    let folder = Path::new("sys").join(mount).join(at.trim_start_matches('/'));
    if name.is_empty() { folder } else { folder.join(name) }
}

/// Writes the parts, those that are not empty, as one path for the kernel into a buffer that is used again and again.
fn fill<'p>(path: &'p mut Vec<u8>, parts: &[&[u8]]) -> Result<&'p CStr, Errno> {
    path.clear();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    path.push(0);
    CStr::from_bytes_with_nul(path).map_err(|_| Errno::INVAL)
}

/// The path of a folder of the tree.
fn folder<'p>(path: &'p mut Vec<u8>, layer: &Path, mount: &Path, at: &str) -> Result<&'p CStr, Errno> {
    fill(path, &[layer.as_os_str().as_bytes(), mount.as_os_str().as_bytes(), at.trim_start_matches('/').as_bytes()])
}
