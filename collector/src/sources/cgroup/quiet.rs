//! What rests is asked little. A cgroup whose CPU counter stands where it stood has run no instruction since, nor has anything below it: nobody in it can have
//! faulted, forked, read a disk or been throttled. What it said before is then still true, and a dozen files need not be read to hear it again.
//!
//! What moves all the same is read at every look: memory, for the kernel reclaims and writes back without asking the cgroup (and where the sum has not moved,
//! neither has what it is made of, but for pages that grew old or clean where they lie); on v2 also pressure, for who waits does not run, and block I/O,
//! for late writes are charged to who made the pages dirty.
//!
//! Three guards. Rest begins at the second look that finds the counter unmoved: what the kernel books late (per-CPU sums of `memory.stat`, a dead process nobody
//! has waited for) has had a tick to arrive. A look that met trouble is never gone by. And at the sixth look all is read, so what comes from outside,
//! such as a process moved in that never ran there, is seen then at the latest.

use super::figures::Figures;

/// When a kernel file can say something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// At any time.
    Always,
    /// Once the cgroup has run.
    WithCpu,
    /// Once it has run, or its memory has grown or shrunk.
    WithMemory,
}

/// What a cgroup said last, and whether it rests.
#[derive(Debug, Default)]
pub struct Quiet {
    said: Option<Box<Figures>>,
    /// The last look found the CPU counter where it stood.
    rests: bool,
}

impl Quiet {
    /// What it said before, where it is worth asking whether that still holds.
    pub fn before(&self) -> Option<&Figures> {
        self.said.as_deref().filter(|_| self.rests)
    }

    /// Takes the figures of this look, complete now. Without `sound` they are not gone by at the next.
    pub fn keep(&mut self, figures: &Figures, sound: bool) {
        self.rests = sound && self.said.as_deref().is_some_and(|said| ran_not(said, figures));
        match &mut self.said {
            _ if !sound => self.said = None,
            Some(said) => said.as_mut().clone_from(figures),
            said => *said = Some(Box::new(figures.clone())),
        }
    }
}

/// Whether a file need not be read that moves like this: by what was said before, and what was read so far, the CPU first and memory's sum next.
pub fn holds(moves: Moves, before: &Figures, now: &Figures) -> bool {
    match moves {
        Moves::Always => false,
        Moves::WithCpu => ran_not(before, now),
        Moves::WithMemory => ran_not(before, now) && stands(before, now),
    }
}

/// Completes figures of which only that was read which may have moved.
pub fn complete(now: &mut Figures, before: &Figures, v2: bool) {
    if !ran_not(before, now) {
        return;
    }
    now.pids = before.pids;
    if !v2 {
        // v2 tells the first two beside the counter itself.
        (now.split, now.throttling) = (before.split, before.throttling);
        now.io.clone_from(&before.io);
    }
    if stands(before, now) {
        (now.memory, now.memory_and_swap, now.hierarchical_limit) = (before.memory, before.memory_and_swap, before.hierarchical_limit);
    }
}

fn ran_not(before: &Figures, now: &Figures) -> bool {
    now.cpu.is_some() && now.cpu == before.cpu
}

fn stands(before: &Figures, now: &Figures) -> bool {
    now.memory.used.is_some() && now.memory.used == before.memory.used
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::snapshot::Memory;
    use crate::units::Bytes;

    fn figures(seconds: Option<u64>, used: Option<u64>, pids: Option<u64>) -> Figures {
        let memory = Memory { used: used.map(Bytes), anon: pids.map(Bytes), ..Memory::default() };
        Figures { cpu: seconds.map(Duration::from_secs), memory, pids, ..Figures::default() }
    }

    #[test]
    fn what_is_not_known_never_counts_as_unmoved() {
        use Moves::{Always, WithCpu, WithMemory};
        let before = figures(Some(1), Some(10), Some(3));
        for (seconds, used, spared) in [
            (Some(1), Some(10), &[WithCpu, WithMemory][..]),
            (Some(1), Some(11), &[WithCpu]),
            (Some(1), None, &[WithCpu]),
            (Some(2), Some(10), &[]),
            // Made anew under the same number.
            (Some(0), Some(10), &[]),
            (None, Some(10), &[]),
        ] {
            let mut now = figures(seconds, used, None);
            let held: Vec<_> = [Always, WithCpu, WithMemory].into_iter().filter(|moves| holds(*moves, &before, &now)).collect();
            assert_eq!(held, spared, "{seconds:?} {used:?}");
            complete(&mut now, &before, false);
            assert_eq!(now.pids.is_some(), spared.contains(&WithCpu), "{seconds:?} {used:?}");
            assert_eq!((now.memory.used, now.memory.anon.is_some()), (used.map(Bytes), spared.contains(&WithMemory)), "{seconds:?} {used:?}");
        }
        let nothing = figures(None, None, None);
        assert!(!holds(WithCpu, &nothing, &nothing) && !holds(WithMemory, &nothing, &nothing));
    }

    #[test]
    fn rest_begins_at_the_second_look_and_ends_with_a_step_or_with_trouble() {
        let mut quiet = Quiet::default();
        for (seconds, sound, rests) in
            [(1, true, false), (1, true, true), (1, true, true), (2, true, false), (2, true, true), (2, false, false), (2, true, false), (2, true, true)]
        {
            quiet.keep(&figures(Some(seconds), None, None), sound);
            assert_eq!(quiet.before().is_some(), rests);
        }
    }
}
