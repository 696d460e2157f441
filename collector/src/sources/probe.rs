//! When an endpoint that gave no answer is asked again: one rule for all of them.
//!
//! What was not there when Tare came up may come later: Docker, the ECS agent, a firewall rule that lets the metadata service through. So it is asked again, ever more
//! rarely, for ever. What has answered within the last five minutes is known to be there: it is asked at each of its turns. What has answered before that is likely to
//! come back: it is asked once a minute at least.

use std::time::{Duration, Instant};

use crate::STALE;

/// How one endpoint did so far.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// Questions in a row without an answer.
    silences: u32,
    /// Nothing is asked before that; `None` is now.
    next: Option<Instant>,
    answered: Option<Instant>,
}

impl Probe {
    /// Whether it is asked at this turn. That counts as silence until [`Probe::answered`] is called: a question that is cut short at its deadline hears no answer either.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        if self.answered.is_none_or(|answered| now.saturating_duration_since(answered) >= STALE) {
            self.silences = self.silences.saturating_add(1);
            let pause = pause(self.silences);
            self.next = now.checked_add(if self.answered.is_some() { pause.min(MINUTE) } else { pause });
        }
        true
    }

    /// It is there.
    pub(super) fn answered(&mut self, now: Instant) {
        *self = Probe { answered: Some(now), ..Probe::default() };
    }

    /// Something else shows that it may be there by now: it is asked at once.
    pub(super) fn is_expected(&mut self) {
        *self = Probe { answered: self.answered, ..Probe::default() };
    }

    /// Whether it has not answered for so long, if ever, that its last word is not believed any more.
    pub(super) fn is_silent(&self) -> bool {
        self.silences > 0
    }
}

#[cfg(test)]
impl Probe {
    /// As if so much time had passed.
    pub(super) fn wait(&mut self, span: Duration) {
        self.next = self.next.and_then(|next| next.checked_sub(span));
        self.answered = self.answered.and_then(|answered| answered.checked_sub(span));
    }
}

/// A tenth early is on time, as for every source.
const MINUTE: Duration = Duration::from_secs(54);

/// Half a minute after the first silence, then ever longer, up to ten minutes.
fn pause(silences: u32) -> Duration {
    let seconds = match silences {
        0 | 1 => 30,
        2 => 60,
        3 => 300,
        _ => 600,
    };
    Duration::from_secs(seconds).mul_f64(0.9)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A clock that goes only where it is moved to: the seconds at which an endpoint is asked whose turn comes every ten.
    fn asked(probe: &mut Probe, start: Instant, seconds: std::ops::Range<u64>) -> Vec<u64> {
        seconds.step_by(10).filter(|second| probe.asks(start + Duration::from_secs(*second))).collect()
    }

    #[test]
    fn what_is_not_there_is_asked_ever_more_rarely_for_ever() {
        let start = Instant::now();
        let mut probe = Probe::default();
        assert_eq!(asked(&mut probe, start, 0..3000), [0, 30, 90, 360, 900, 1440, 1980, 2520]);
        assert!(probe.is_silent());
        probe.is_expected();
        assert_eq!(asked(&mut probe, start, 3000..3100), [3000, 3030, 3090], "the first pause comes first again");
    }

    #[test]
    fn what_has_answered_is_asked_at_each_turn_until_its_word_is_old() {
        let start = Instant::now();
        let mut probe = Probe::default();
        assert!(probe.asks(start));
        probe.answered(start);
        assert!(!probe.is_silent());
        let turns = asked(&mut probe, start, 10..700);
        assert_eq!((turns.len(), &turns[28..]), (37, &[290, 300, 330, 390, 450, 510, 570, 630, 690][..]), "{turns:?}");
        assert!(probe.is_silent());
        probe.answered(start + Duration::from_secs(700));
        assert_eq!(asked(&mut probe, start, 700..730), [700, 710, 720]);
    }

    proptest! {
        /// Whatever it does and whenever its turns come: only silence makes it wait, and never longer than the longest pause.
        #[test]
        fn none_is_forgotten(turns in prop::collection::vec((1_u64..900, any::<bool>()), 1..60)) {
            let (mut probe, mut now, mut last) = (Probe::default(), Instant::now(), None::<Instant>);
            for (seconds, answers) in turns {
                now += Duration::from_secs(seconds);
                let since = last.map(|last| now - last);
                if probe.asks(now) {
                    last = Some(now);
                    if answers {
                        probe.answered(now);
                    }
                } else {
                    prop_assert!(since.is_some_and(|since| since < Duration::from_secs(540)), "{since:?}");
                    prop_assert!(probe.is_silent());
                }
            }
        }
    }
}
