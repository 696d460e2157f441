//! One walk over all there is of a kind: list a page, describe what it names, until the end. Pure: it says what to ask next and takes what came of it.

use std::time::{Duration, Instant};

use super::super::ecs::{DENIED, Refusal, backoff};
use super::{Page, What};

/// What failed for so long is not believed any more.
const STALE: Duration = Duration::from_secs(300);

/// What to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A page.
    List(Option<String>),
    /// These.
    Describe(Vec<String>),
}

/// A walk, again and again.
pub(super) struct Walk<T> {
    what: What,
    every: Duration,
    /// When the last round began.
    began: Option<Instant>,
    round: Option<Round<T>>,
    rest_until: Option<Instant>,
    failures: u32,
    /// Since when it fails.
    failing: Option<Instant>,
    /// Why it goes no further now.
    pub(super) trouble: Option<Refusal>,
    /// What the last whole round left out, at least.
    pub(super) cut: u64,
}

struct Round<T> {
    /// Listed, and not yet described.
    names: Vec<String>,
    /// The page that comes next; `None`: all are listed.
    next: Option<Option<String>>,
    listed: usize,
    found: Vec<T>,
    cut: u64,
}

impl<T> Walk<T> {
    pub(super) fn new(what: What, every: Duration) -> Walk<T> {
        Walk { what, every, began: None, round: None, rest_until: None, failures: 0, failing: None, trouble: None, cut: 0 }
    }

    /// The next call, if one is due. The first of a round begins it.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        if self.rest_until.is_some_and(|until| now < until) {
            return None;
        }
        // A tenth early is on time.
        let is_due = self.began.is_none_or(|began| now.saturating_duration_since(began) >= self.every.mul_f64(0.9));
        if self.round.is_none() && is_due {
            self.began = Some(now);
            self.round = Some(Round { names: Vec::new(), next: Some(None), listed: 0, found: Vec::new(), cut: 0 });
        }
        let round = self.round.as_ref()?;
        match &round.next {
            _ if !round.names.is_empty() => Some(Step::Describe(round.names[..round.names.len().min(self.what.batch())].to_vec())),
            Some(after) => Some(Step::List(after.clone())),
            None => None,
        }
    }

    /// A turn that is broken off before an answer comes leaves the rest it would have earned.
    pub(super) fn sets_out(&mut self, now: Instant) {
        self.rest_until = now.checked_add(backoff(self.failures + 1));
    }

    /// A page came, or none.
    pub(super) fn list(&mut self, said: Result<Page, Refusal>, now: Instant) {
        let Some(Page { mut names, next }) = self.take(said, now) else { return };
        let Some(round) = &mut self.round else { return };
        let room = self.what.most().saturating_sub(round.listed);
        // AWS says with a token that there is more, not how much.
        round.cut = names.len().saturating_sub(room) as u64 + u64::from(names.len() >= room && next.is_some());
        names.truncate(room);
        round.listed += names.len();
        round.next = next.filter(|_| round.cut == 0).map(Some);
        round.names = names;
    }

    /// What was named is told, or not. One that is not in it is gone since.
    pub(super) fn describe(&mut self, said: Result<Vec<T>, Refusal>, now: Instant) {
        let Some(told) = self.take(said, now) else { return };
        let Some(round) = &mut self.round else { return };
        round.names.drain(..round.names.len().min(self.what.batch()));
        round.found.extend(told);
    }

    /// All that was found, once a round is at its end.
    pub(super) fn whole(&mut self, now: Instant) -> Option<Vec<T>> {
        let round = self.round.take_if(|round| round.names.is_empty() && round.next.is_none())?;
        self.cut = round.cut;
        // A long round is followed by a rest as long as it was.
        let took = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        self.rest_until = now.checked_add(took);
        Some(round.found)
    }

    /// Whether it has failed for so long that what it said is not believed any more.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.failing.is_some_and(|since| now.saturating_duration_since(since) >= STALE)
    }

    /// Whether the page that comes next is not the first.
    fn is_within_pages(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.names.is_empty() && matches!(round.next, Some(Some(_))))
    }

    fn take<A>(&mut self, said: Result<A, Refusal>, now: Instant) -> Option<A> {
        let refusal = match said {
            Ok(answer) => {
                (self.rest_until, self.failures, self.failing, self.trouble) = (None, 0, None, None);
                return Some(answer);
            }
            Err(refusal) => refusal,
        };
        let rest = match refusal {
            // A round goes on where it was, once AWS has time again.
            Refusal::Later(_) => {
                self.failures += 1;
                backoff(self.failures)
            }
            // The token of a page ages while a round rests: the round begins anew.
            Refusal::Invalid(_) if self.is_within_pages() => {
                (self.round, self.began) = (None, None);
                self.failures += 1;
                backoff(self.failures)
            }
            Refusal::Denied(_) | Refusal::Invalid(_) | Refusal::Nowhere(_) => {
                self.round = None;
                self.began = None;
                DENIED
            }
        };
        self.rest_until = now.checked_add(rest);
        self.failing = self.failing.or(Some(now));
        self.trouble = Some(refusal);
        None
    }
}
