//! What a look at the cgroup tree could not read: one line for each kind of file and trouble, with a count and one example.

use rustix::io::Errno;

use crate::snapshot::{Gap, SourceName};

/// What can be wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel refuses it.
    Refused(Errno),
    /// The kernel does not support what it would say.
    Unsupported,
    /// It does not say what the kernel's documentation promises.
    Odd,
    /// It is longer than we read.
    Cut,
    /// No descriptor was left.
    Full,
}

/// The troubles of one look.
#[derive(Debug, Default)]
pub struct Gaps(Vec<(&'static str, Trouble, u64, String)>, Vec<(&'static str, &'static str)>);

impl Gaps {
    /// Counts one; the first keeps its path. All pressure files are one kind.
    pub fn add(&mut self, what: &'static str, trouble: Trouble, at: &str) {
        let what = if what.ends_with(".pressure") { "pressure" } else { what };
        match self.0.iter_mut().find(|(known, of, ..)| *known == what && *of == trouble) {
            Some((_, _, count, _)) => *count += 1,
            None => self.0.push((what, trouble, 1, at.into())),
        }
    }

    /// Adds one that is about the whole tree: what, and why.
    pub fn say(&mut self, gap: (&'static str, &'static str)) {
        self.1.push(gap);
    }

    /// How many times no descriptor was left.
    pub fn full(&self) -> u64 {
        self.0.iter().filter(|(_, trouble, ..)| *trouble == Trouble::Full).map(|(_, _, count, _)| count).sum()
    }

    /// How many files told less than they should; what a kernel does not support is no fault of theirs.
    pub fn troubles(&self) -> u64 {
        self.0.iter().filter(|(_, trouble, ..)| *trouble != Trouble::Unsupported).map(|(_, _, count, _)| count).sum()
    }

    /// The gaps they are, and a fresh start.
    pub fn take(&mut self) -> Vec<Gap> {
        let of_files = self.0.drain(..).map(|(what, trouble, count, at)| gap(what, &why(what, trouble, count, if at.is_empty() { "/" } else { &at })));
        of_files.chain(self.1.drain(..).map(|(what, why)| gap(what, why))).collect()
    }
}

/// A gap of this source.
pub fn gap(what: &str, why: &str) -> Gap {
    Gap { from: SourceName::Cgroup, what: what.into(), why: why.into() }
}

fn why(what: &str, trouble: Trouble, count: u64, at: &str) -> String {
    let among = if count == 1 { format!("of cgroup {at}") } else { format!("of {count} cgroups, {at} among them,") };
    match trouble {
        // No count: how many cgroups there are is not news, and a gap is spoken of when it changes.
        Trouble::Unsupported if what == "pressure" => "this kernel keeps no pressure stall information (EOPNOTSUPP, or empty files); boot with psi=1".into(),
        Trouble::Unsupported => "this kernel does not support it (EOPNOTSUPP)".into(),
        Trouble::Refused(errno) => format!("{among} cannot be read: {}", std::io::Error::from(errno)),
        Trouble::Odd => format!("{among} does not say what the kernel's documentation promises"),
        Trouble::Cut => format!("{among} is longer than 1 MiB, the rest is left out"),
        Trouble::Full => {
            format!("no descriptor was left for {count} files, {at} among them; raise the limit on open files (ulimit -n) or lower cgroup.keep_open")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_trouble_is_said_once() {
        let mut gaps = Gaps::default();
        for at in ["/a", "/b"] {
            gaps.add("memory.stat", Trouble::Refused(Errno::ACCESS), at);
            gaps.add("cpu.pressure", Trouble::Unsupported, at);
            gaps.add("io.pressure", Trouble::Unsupported, at);
        }
        gaps.add("memory.stat", Trouble::Odd, "");
        let said: Vec<String> = gaps.take().iter().map(|gap| format!("{}: {}", gap.what, gap.why)).collect();
        assert_eq!(
            said,
            [
                "memory.stat: of 2 cgroups, /a among them, cannot be read: Permission denied (os error 13)",
                "pressure: this kernel keeps no pressure stall information (EOPNOTSUPP, or empty files); boot with psi=1",
                "memory.stat: of cgroup / does not say what the kernel's documentation promises",
            ]
        );
        assert!(gaps.take().is_empty());
    }
}
