//! Which network name spaces rest. Where no container of a name space has run, none has sent anything or taken what came; what comes all the same (broadcasts, pings,
//! segments that the kernel answers by itself) stands in the counters when they are read next, and their stamp says when that was.
//!
//! As with the cgroups' own files (`cgroup/quiet.rs`) rest begins at the second look that finds the CPU counters unmoved, and at the sixth look all is read.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::identity::ContainerId;
use crate::units::Stamp;

use super::{Kept, Wanted};

/// A name space at rest is read at every sixth look, each at a turn of its own.
const REST: u64 = 6;

/// What the containers of a name space have run, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    /// How many they are.
    users: usize,
    cpu: Duration,
    /// When the latest of their counters was read.
    at: Stamp,
}

impl Ran {
    fn and(self, cpu: Duration, at: Stamp) -> Ran {
        Ran { users: self.users + 1, cpu: self.cpu.saturating_add(cpu), at: self.at.latest(at) }
    }
}

/// What ran in each name space, as far as all who are known to live there were read: `None` where one was not.
pub(super) fn ran(kept: &HashMap<ContainerId, Kept>, wanted: &BTreeMap<&ContainerId, Wanted<'_>>) -> HashMap<u64, Option<Ran>> {
    let mut spaces = HashMap::new();
    for (id, kept) in kept {
        let Some(space) = kept.place.space() else { continue };
        let cpu = wanted.get(id).and_then(|one| one.cpu);
        let sum = spaces.entry(space).or_insert(Some(Ran::default()));
        *sum = sum.zip(cpu).map(|(sum, (cpu, at))| sum.and(cpu, at));
    }
    spaces
}

/// Whether one name space rests.
#[derive(Debug, Default)]
pub(super) struct Rest {
    ran: Option<Ran>,
    /// The last look found nothing that ran.
    rests: bool,
}

impl Rest {
    /// Whether its counters are gone by at this look. `id` gives it its turn.
    pub(super) fn passes(&mut self, ran: Option<Ran>, id: u64, look: u64) -> bool {
        let rested = self.rests;
        // The same counter told again by a look that failed says nothing of now.
        let unmoved = |(before, now): (Ran, Ran)| (before.users, before.cpu) == (now.users, now.cpu) && now.at.since(&before.at).is_some();
        self.rests = self.ran.zip(ran).is_some_and(unmoved);
        self.ran = ran;
        rested && self.rests && !look.wrapping_add(id).is_multiple_of(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(users: usize, cpu: u64, second: u64) -> Option<Ran> {
        Some(Ran { users, cpu: Duration::from_secs(cpu), at: Stamp { wall: None, boot: Some(Duration::from_secs(second)) } })
    }

    #[test]
    fn rest_begins_at_the_second_look_and_ends_with_whatever_is_not_certain() {
        let mut rest = Rest::default();
        for (look, (now, passes)) in (1..).zip([
            (ran(1, 5, 10), false),
            (ran(1, 5, 20), false),
            (ran(1, 5, 30), true),
            (ran(1, 6, 40), false), // it ran
            (ran(1, 6, 50), false),
            (ran(1, 6, 60), false), // its turn
            (ran(1, 6, 70), true),
            (ran(2, 6, 80), false), // another one came
            (ran(2, 6, 90), false),
            (ran(2, 6, 90), false), // told again
            (ran(2, 6, 99), false),
            (None, false),
        ]) {
            assert_eq!(rest.passes(now, 0, look), passes, "look {look}");
        }
        assert!(!rest.passes(None, 0, 13), "what is not known never counts as unmoved");
    }
}
