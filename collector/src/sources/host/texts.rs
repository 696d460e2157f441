//! The kernel's texts about the machine. Live they stay open and are read again in place, one call each.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use crate::error::Error;
use crate::roots::{Roots, open, read_again};

/// Reads files below the roots.
#[derive(Default)]
pub(super) struct Texts {
    open: HashMap<&'static str, (PathBuf, File)>,
    buffer: Vec<u8>,
}

/// Longer than any of these texts but the interrupts of a large machine; what does not fit is read on.
const BUFFER: usize = 8 << 10;
/// What is longer is cut.
const LONGEST: usize = 1 << 20;

impl Texts {
    /// The whole of a file below `proc`, bytes that are no UTF-8 replaced.
    pub(super) fn proc(&mut self, roots: &Roots, below: &'static str) -> Result<Cow<'_, str>, Error> {
        if roots.recorded.is_some() { roots.read_proc(below).map(Cow::Owned) } else { self.read(below, || roots.proc.path(below)) }
    }

    /// The same below `sys`.
    pub(super) fn sys(&mut self, roots: &Roots, below: &'static str) -> Result<Cow<'_, str>, Error> {
        if roots.recorded.is_some() { roots.read_sys(below).map(Cow::Owned) } else { self.read(below, || roots.sys.path(below)) }
    }

    /// The same of this process, wherever it runs.
    pub(super) fn own(&mut self, path: &'static str) -> Result<Cow<'_, str>, Error> {
        self.read(path, || path.into())
    }

    /// One that cannot be read is opened anew next time.
    fn read(&mut self, name: &'static str, path: impl FnOnce() -> PathBuf) -> Result<Cow<'_, str>, Error> {
        self.buffer.resize(self.buffer.len().max(BUFFER), 0);
        let (path, file) = match self.open.remove(name) {
            Some(open) => open,
            None => {
                let path = path();
                let file = open(&path).map_err(|error| Error::file(&path, error))?;
                (path, file)
            }
        };
        let (length, _) = read_again(&file, &mut self.buffer, LONGEST).map_err(|error| Error::file(&path, error))?;
        self.open.insert(name, (path, file));
        Ok(String::from_utf8_lossy(&self.buffer[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_again_in_place_and_one_that_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut texts = Texts::default();
        assert!(texts.read("stat", || path("stat")).is_err());
        for text in ["cpu 1\n".to_owned(), "cpu 12\n".to_owned(), "x".repeat(3 * BUFFER), "cpu\n".to_owned()] {
            std::fs::write(folder.path().join("stat"), &text).unwrap();
            assert_eq!(texts.read("stat", || path("stat")).unwrap(), text);
        }
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(texts.read("folder", || path("folder")).is_err());
        assert_eq!(texts.open.len(), 1);
    }
}
