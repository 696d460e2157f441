//! The close reading of one new container: every 50 ms for its first two seconds.

use std::time::{Duration, Instant};

use crate::identity::{CgroupPath, Owner};
use crate::roots::Clock;
use crate::snapshot::{CgroupVersion, Limits, Usage, Weights};
use crate::sources::cgroup::figures::Figures;
use crate::sources::cgroup::files::{Files, Found, Kept};
use crate::sources::cgroup::{v1, v2};
use crate::sources::{Ended, Group};
use crate::units::Stamp;

/// The time between two readings.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// How long a new container is read closely: what lives longer is mostly seen by a look.
const SPAN: Duration = Duration::from_secs(2);
/// A runtime makes a container's v1 folders one after the other: for this long what is missing is asked for again.
const YOUNG: Duration = Duration::from_millis(500);
/// Readings in one step: 24 us each while the files stay open, 76 us where they are opened anew (measured on v1, not optimised), so 6 to 20 % of a core.
/// Where more containers are new, all wait longer between two readings; none is left out.
const READINGS: usize = 128;
/// Descriptors that bursts hold together, for two seconds at most.
pub(super) const OPEN: usize = 768;

/// The time between two readings of each, where so many are read.
pub(super) fn pace(bursts: usize) -> Duration {
    STEP * u32::try_from(bursts.div_ceil(READINGS)).unwrap_or(u32::MAX).max(1)
}

/// One container since its cgroup was made.
pub(super) struct Life {
    pub(super) path: CgroupPath,
    owner: Owner,
    /// Names this making of the path; 0 where it was gone before it could be asked for.
    pub(super) start: u64,
    made: Stamp,
    began: Instant,
    kept: Kept,
    last: Usage,
}

impl Life {
    /// A container whose folder was just made.
    pub(super) fn new(path: CgroupPath, owner: Owner, start: u64, made: Stamp) -> Life {
        Life { path, owner, start, made, began: Instant::now(), kept: Kept::default(), last: Usage::default() }
    }

    /// One reading; at most `keep` descriptors stay open for the next. `false`: it is over, for the time is or the cgroup is going.
    pub(super) fn read(&mut self, files: &mut Files, clock: Clock, keep: usize) -> bool {
        let age = self.began.elapsed();
        let mut figures = Figures::default();
        let names = if files.mounts().version == CgroupVersion::V2 { v2::LAST } else { v1::LAST };
        let found = files.read(self.path.as_str(), names, &mut self.kept, keep, age < YOUNG, &mut figures);
        let now = figures.usage(clock.now());
        if found == Found::Gone {
            // It went between two files. The CPU time comes first and is whole; of the memory a part is worth less than the whole reading before.
            self.last.cpu = now.cpu.or(self.last.cpu);
            return false;
        }
        let Usage { cpu, memory, io, .. } = now;
        (self.last.cpu, self.last.memory) = (cpu.or(self.last.cpu), memory.or(self.last.memory));
        if io.is_some() {
            self.last.io = io;
        }
        if age < SPAN {
            return true;
        }
        self.kept = Kept::default();
        false
    }

    /// Its closing record.
    pub(super) fn close(self, gone: Stamp) -> Ended {
        Ended { group: group(self.path, self.owner, self.start, self.last), made: Some(self.made), gone }
    }
}

/// The record of one that was there before anyone watched, or was not followed: when it went is all that is known.
pub(super) fn unread(path: CgroupPath, owner: Owner, gone: Stamp) -> Ended {
    Ended { group: group(path, owner, 0, Usage::default()), made: None, gone }
}

fn group(path: CgroupPath, owner: Owner, start: u64, usage: Usage) -> Group {
    Group { path, owner, start, own: Limits::default(), limits: Limits::default(), weights: Weights::default(), usage }
}
