//! How full a file system is. statfs hangs with a server that hangs (NFS), so each path is asked on a thread of its own, with a deadline.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::snapshot::Disk;
use crate::units::Bytes;

/// Asks for the disks of a few paths. A path that hangs holds one thread, never two.
pub(super) struct Disks {
    deadline: Duration,
    ask: fn(&Path) -> io::Result<Space>,
    hanging: HashMap<PathBuf, Receiver<io::Result<Space>>>,
}

/// The size of a file system and what may still be written.
#[derive(Clone, Copy)]
pub(super) struct Space {
    size: Bytes,
    available: Bytes,
}

impl Disks {
    /// No answer of one path is waited for longer than `deadline`.
    pub(super) fn new(deadline: Duration) -> Disks {
        Disks { deadline, ask: statfs, hanging: HashMap::new() }
    }

    /// Each path's disk, or why there is none. All are asked at once.
    pub(super) fn read(&mut self, paths: &[(&str, &Path)]) -> (Vec<Disk>, Vec<String>) {
        let by = Instant::now() + self.deadline.min(Duration::from_secs(60));
        for (_, path) in paths {
            if !self.hanging.contains_key(*path) {
                self.hanging.insert(path.to_path_buf(), self.start(path));
            }
        }
        // A path that hung and is not asked about any more is forgotten; its thread ends when the kernel lets it.
        self.hanging.retain(|path, _| paths.iter().any(|(_, wanted)| wanted == path));
        let (mut disks, mut problems) = (Vec::new(), Vec::new());
        for (what, path) in paths {
            let Some(answer) = self.hanging.get(*path) else { continue };
            let answer = answer.recv_timeout(by.saturating_duration_since(Instant::now()));
            if !matches!(answer, Err(RecvTimeoutError::Timeout)) {
                self.hanging.remove(*path);
            }
            match answer {
                Ok(Ok(space)) => disks.push(Disk { what: (*what).into(), path: path.to_string_lossy().into(), size: space.size, available: space.available }),
                Ok(Err(error)) => problems.push(format!("{}: {error}", path.display())),
                Err(RecvTimeoutError::Timeout) => problems.push(format!("{}: the file system does not answer", path.display())),
                Err(RecvTimeoutError::Disconnected) => problems.push(format!("{}: no thread to ask with", path.display())),
            }
        }
        (disks, problems)
    }

    fn start(&self, path: &Path) -> Receiver<io::Result<Space>> {
        let (tell, told) = channel();
        let (path, ask) = (path.to_path_buf(), self.ask);
        // Without a thread nobody holds `tell`: the answer is that there is none.
        drop(thread::Builder::new().name("disk".into()).spawn(move || tell.send(ask(&path))));
        told
    }
}

fn statfs(path: &Path) -> io::Result<Space> {
    let all = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(all.f_frsize));
    Ok(Space { size: bytes(all.f_blocks), available: bytes(all.f_bavail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_size_and_what_is_not_there_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let (disks, problems) = Disks::new(Duration::from_secs(60)).read(&[("state", folder.path()), ("docker", &missing)]);
        assert!(disks.len() == 1 && &*disks[0].what == "state" && disks[0].size >= disks[0].available && disks[0].size > Bytes(0));
        assert!(problems.len() == 1 && problems[0].contains("missing: No such file"), "{problems:?}");
    }

    #[test]
    fn a_path_that_hangs_holds_one_thread() {
        fn hang(path: &Path) -> io::Result<Space> {
            while path.exists() {
                thread::park_timeout(Duration::from_millis(1));
            }
            Ok(Space { size: Bytes(2), available: Bytes(1) })
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let mut disks = Disks { ask: hang, ..Disks::new(Duration::ZERO) };
        for _ in 0..3 {
            assert_eq!(disks.read(&[("state", &path)]).1, [format!("{}: the file system does not answer", path.display())]);
            assert_eq!(disks.hanging.len(), 1);
        }
        drop(folder);
        disks.deadline = Duration::from_secs(60);
        assert_eq!(disks.read(&[("state", &path)]).0[0].available, Bytes(1), "the answer of the first thread");
        assert!(disks.hanging.is_empty());
    }
}
