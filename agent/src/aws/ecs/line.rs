//! When a call may be made again: after a failure ever later, after a refusal in ten minutes.

use std::time::{Duration, Instant};

use collector::snapshot::{Gap, SourceName};

use super::Refusal;

/// A right that is missing is seldom given at once.
pub(in crate::aws) const DENIED: Duration = Duration::from_secs(600);

/// One kind of call.
pub(super) struct Line {
    /// What is missing while it fails.
    what: &'static str,
    rest_until: Option<Instant>,
    failures: u32,
    gap: Option<Gap>,
    /// What is not allowed at some place, while other places answer.
    denied: Option<Gap>,
}

impl Line {
    pub(super) fn new(what: &'static str) -> Line {
        Line { what, rest_until: None, failures: 0, gap: None, denied: None }
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.rest_until.is_none_or(|until| now >= until)
    }

    /// Before a call: one that is broken off leaves the rest it would have earned.
    pub(super) fn begin(&mut self, now: Instant) {
        self.rest(now, backoff(self.failures + 1));
    }

    pub(super) fn answered(&mut self) {
        (self.rest_until, self.failures, self.gap) = (None, 0, None);
    }

    /// The question was wrong, not the moment: the next one may be asked at once.
    pub(super) fn was_wrong(&mut self, why: Option<String>) {
        self.rest_until = None;
        if let Some(why) = why {
            self.say(why);
        }
    }

    /// Not there, and perhaps elsewhere: the next call may be made at once.
    pub(super) fn denied(&mut self, why: String) {
        (self.rest_until, self.gap) = (None, None);
        self.denied = Some(self.gap_of(why));
    }

    /// Nothing is denied any more.
    pub(super) fn allowed(&mut self) {
        self.denied = None;
    }

    pub(super) fn failed(&mut self, refusal: Refusal, now: Instant) {
        match refusal {
            Refusal::Denied(why) => {
                self.rest(now, DENIED);
                self.say(why);
            }
            Refusal::Later(why) | Refusal::Invalid(why) | Refusal::Nowhere(why) => {
                self.failures += 1;
                self.rest(now, backoff(self.failures));
                self.say(why);
            }
        }
    }

    pub(super) fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref().or(self.denied.as_ref())
    }

    /// Nothing is left to ask: what failed is not missed.
    pub(super) fn forget(&mut self) {
        (self.gap, self.denied) = (None, None);
    }

    fn rest(&mut self, now: Instant, span: Duration) {
        self.rest_until = now.checked_add(span);
    }

    fn say(&mut self, why: String) {
        self.gap = Some(self.gap_of(why));
    }

    fn gap_of(&self, why: String) -> Gap {
        Gap { from: SourceName::Ecs, what: self.what.into(), why: why.into() }
    }
}

/// 10 s, 20 s, 40 s, … 10 min.
pub(in crate::aws) fn backoff(failures: u32) -> Duration {
    Duration::from_secs(5).saturating_mul(1 << failures.min(7)).min(DENIED)
}
