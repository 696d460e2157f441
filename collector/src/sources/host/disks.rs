//! How full a file system is. statfs hangs with a server that hangs (NFS), so each path is asked on a thread of its own, with a deadline.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::snapshot::Room;
use crate::units::Bytes;

/// Asks for the disks of a few paths. A path that hangs holds one thread, never two.
pub(super) struct Disks {
    deadline: Duration,
    ask: fn(&Path) -> io::Result<Room>,
    hanging: HashMap<PathBuf, Receiver<io::Result<Room>>>,
}

impl Disks {
    /// No answer of one path is waited for longer than `deadline`.
    pub(super) fn new(deadline: Duration) -> Disks {
        Disks { deadline, ask: statfs, hanging: HashMap::new() }
    }

    /// How full each path's file system is, or why that is not known. All are asked at once.
    pub(super) fn read(&mut self, paths: &BTreeSet<&Path>) -> HashMap<PathBuf, Result<Room, String>> {
        let by = Instant::now() + self.deadline.min(Duration::from_secs(60));
        for path in paths {
            if !self.hanging.contains_key(*path) {
                self.hanging.insert(path.to_path_buf(), self.start(path));
            }
        }
        // A path that hung and is not asked about any more is forgotten; its thread ends when the kernel lets it.
        self.hanging.retain(|path, _| paths.contains(path.as_path()));
        let mut told = HashMap::new();
        for path in paths {
            let Some(answer) = self.hanging.get(*path) else { continue };
            let answer = answer.recv_timeout(by.saturating_duration_since(Instant::now()));
            if !matches!(answer, Err(RecvTimeoutError::Timeout)) {
                self.hanging.remove(*path);
            }
            let room = match answer {
                Ok(Ok(room)) => Ok(room),
                Ok(Err(error)) => Err(format!("{}: {error}", path.display())),
                Err(RecvTimeoutError::Timeout) => Err(format!("{}: the file system does not answer", path.display())),
                Err(RecvTimeoutError::Disconnected) => Err(format!("{}: no thread to ask with", path.display())),
            };
            told.insert(path.to_path_buf(), room);
        }
        told
    }

    fn start(&self, path: &Path) -> Receiver<io::Result<Room>> {
        let (tell, told) = channel();
        let (path, ask) = (path.to_path_buf(), self.ask);
        // Without a thread nobody holds `tell`: the answer is that there is none.
        drop(thread::Builder::new().name("disk".into()).spawn(move || tell.send(ask(&path))));
        told
    }
}

fn statfs(path: &Path) -> io::Result<Room> {
    let all = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(all.f_frsize));
    let inodes = all.f_files > 0;
    Ok(Room {
        size: bytes(all.f_blocks),
        free: bytes(all.f_bfree),
        available: bytes(all.f_bavail),
        inodes: inodes.then_some(all.f_files),
        inodes_free: inodes.then_some(all.f_ffree),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_size_and_what_is_not_there_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let told = Disks::new(Duration::from_secs(60)).read(&BTreeSet::from([folder.path(), &missing]));
        let room = told[folder.path()].as_ref().unwrap();
        assert!(room.size >= room.free && room.free >= room.available && room.size > Bytes(0));
        let problem = told[&missing].as_ref().unwrap_err();
        assert!(problem.contains("missing: No such file"), "{problem}");
    }

    #[test]
    fn a_path_that_hangs_holds_one_thread() {
        fn hang(path: &Path) -> io::Result<Room> {
            while path.exists() {
                thread::park_timeout(Duration::from_millis(1));
            }
            Ok(Room { available: Bytes(1), ..Room::default() })
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let mut disks = Disks { ask: hang, ..Disks::new(Duration::ZERO) };
        for _ in 0..3 {
            assert_eq!(disks.read(&BTreeSet::from([&*path]))[&path], Err(format!("{}: the file system does not answer", path.display())));
            assert_eq!(disks.hanging.len(), 1);
        }
        drop(folder);
        disks.deadline = Duration::from_secs(60);
        assert_eq!(disks.read(&BTreeSet::from([&*path]))[&path].as_ref().unwrap().available, Bytes(1), "the answer of the first thread");
        assert!(disks.hanging.is_empty());
    }
}
