//! Short lives: what a container used that came and went between two looks.
//!
//! A thread of its own hears at once of every cgroup that is made or removed where containers appear (inotify sees `mkdir` and `rmdir` on a cgroup file system, and
//! asks for no right). It reads a new container closely for its first seconds, and hands the last reading to the look after its end. While nothing starts it sleeps
//! in the kernel.

mod burst;
mod watcher;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;

use super::files::Files;
use super::gaps::gap;
use crate::identity::{Above, CgroupPath};
use crate::snapshot::Gap;
use crate::sources::Ended;

/// Folders watched at most: each holds about 1 KiB of kernel memory. Hosts have tens of slices and one folder a task or pod.
const MOST_FOLDERS: usize = 1_024;
/// Closing records kept for the next look; as many as a report lets linger.
const MOST_ENDED: usize = 2_000;
/// What the gaps are about.
const WHAT: &str = "short lives";

/// The watcher, until dropped.
pub struct Lives {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// The other end is the thread's: it ends when this one is closed.
    _alive: UnixStream,
}

/// What the thread and the looks share.
struct Shared {
    inotify: OwnedFd,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// Watched folders, by the kernel's number for the watch.
    folders: HashMap<i32, Parent>,
    /// Folders that nobody watches, and why the first was refused.
    refused: Option<(u64, Errno)>,
    /// Since the last look.
    ended: Vec<Ended>,
    /// Containers that were not read closely, or whose record found no room, since the last look.
    cut: u64,
    /// The kernel threw events away since the last look.
    lost: bool,
    /// The thread broke since the last look, and begins anew.
    broke: bool,
}

/// A folder that containers, or folders of containers, appear in.
#[derive(Clone)]
struct Parent {
    path: CgroupPath,
    above: Above,
}

impl Lives {
    /// Starts the thread; nothing is watched yet. `files` are the thread's own. Errors: why there is none, for a gap.
    pub fn start(files: Files) -> Result<Lives, Errno> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { inotify, heard: Mutex::default() });
        let (alive, stop) = UnixStream::pair().map_err(|error| errno(&error))?;
        let watcher = watcher::Watcher::new(shared.clone(), files, stop);
        let thread = Builder::new().name("lives".into()).spawn(move || watcher.run()).map_err(|error| errno(&error))?;
        Ok(Lives { shared, thread, _alive: alive })
    }

    /// Watches the folder of a cgroup, once: what the kernel or our bound refuses is counted and not asked for again.
    pub fn watch(&self, folder: &Path, path: &CgroupPath, above: &Above) {
        self.shared.watch(folder, Parent { path: path.clone(), above: above.clone() });
    }

    /// What ended since the last call, and what was missed.
    pub fn take(&self) -> (Vec<Ended>, Vec<Gap>) {
        let mut heard = self.shared.heard();
        let mut gaps = Vec::new();
        let mut say = |why: String| gaps.push(gap(WHAT, &why));
        if self.thread.is_finished() {
            say("a bug in Tare: its thread ended; containers that come and go between two looks leave no figures".into());
        }
        if std::mem::take(&mut heard.broke) {
            say("a bug in Tare: its thread broke and begins anew; some containers that came and went between two looks leave no figures".into());
        }
        if let Some((folders, errno)) = heard.refused {
            say(match errno {
                Errno::NOSPC | Errno::NOMEM => {
                    format!("{folders} cgroup folders are not watched: {}; raise fs.inotify.max_user_watches", std::io::Error::from(errno))
                }
                _ => format!("{folders} cgroup folders are not watched ({errno})"),
            });
        }
        let cut = std::mem::take(&mut heard.cut);
        if cut > 0 {
            say(format!("{cut} containers started or ended while more were under way than are followed: their last figures are those of a look"));
        }
        if std::mem::take(&mut heard.lost) {
            say("the kernel dropped events: containers came and went faster than they could be heard; raise fs.inotify.max_queued_events".into());
        }
        (std::mem::take(&mut heard.ended), gaps)
    }
}

/// The gap of a host where nobody can watch.
pub fn unwatched(errno: Errno) -> Gap {
    let fix = match errno {
        Errno::MFILE => "; raise fs.inotify.max_user_instances or the limit on open files",
        _ => "",
    };
    gap(WHAT, &format!("containers that come and go between two looks leave no figures: inotify: {}{fix}", std::io::Error::from(errno)))
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::AGAIN)
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing in here is left half done by a panic.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the folder is watched from now on. The lock is held over both steps: the thread must not hear of a watch that it cannot find.
    fn watch(&self, folder: &Path, parent: Parent) -> bool {
        let mut heard = self.heard();
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        // NOBUFS: our own bound, which the kernel never answers here.
        let watched = if heard.folders.len() < MOST_FOLDERS { add_watch(&self.inotify, folder, flags) } else { Err(Errno::NOBUFS) };
        match watched {
            Ok(number) => drop(heard.folders.insert(number, parent)),
            // Gone since it was listed.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => heard.refused = Some(heard.refused.map_or((1, errno), |(count, first)| (count + 1, first))),
        }
        watched.is_ok()
    }
}

#[cfg(test)]
mod tests;
