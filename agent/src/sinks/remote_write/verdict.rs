//! What an answer to a remote write means: the rules of both specifications, and the words that receivers use.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::encode::Version;
use crate::sinks::post::Answer;

/// However long a far end asks us to wait, we ask again after this.
const LONGEST: Duration = Duration::from_secs(300);

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The one to write now.
    pub now: Version,
    /// The far end has shown that it understands, or does not.
    pub is_sure: bool,
    /// The settings say so, whatever the far end says.
    pub is_fixed: bool,
}

impl Speech {
    /// By the settings; `None` finds out.
    pub fn of(version: Option<Version>) -> Speech {
        Speech { now: version.unwrap_or(Version::Two), is_sure: version.is_some(), is_fixed: version.is_some() }
    }

    /// Learns from a verdict. What 1.0 is refused, too, says nothing of 2.0.
    pub fn learn(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Speak { is_sure } => *self = Speech { now: Version::One, is_sure: *is_sure, is_fixed: false },
            Verdict::Taken { .. } => self.is_sure = true,
            Verdict::Refused { .. } if !self.is_sure => self.now = Version::Two,
            Verdict::Refused { .. } | Verdict::Again { .. } | Verdict::Smaller => {}
        }
    }
}

/// What to do about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: so many samples were written. In 2.0 the rest was refused, for a reason.
    Taken {
        /// Samples.
        written: usize,
        /// Why not all.
        but: Option<&'static str>,
    },
    /// Forget it, for a reason.
    Refused {
        /// A word for the counter.
        reason: &'static str,
    },
    /// Send it again, not before so long.
    Again {
        /// What the far end asked for.
        after: Option<Duration>,
    },
    /// Say the same in 1.0; sure if 2.0 is not understood for certain.
    Speak {
        /// So stay there.
        is_sure: bool,
    },
    /// Send it in smaller requests.
    Smaller,
}

/// The meaning of an answer to so many samples.
pub fn judge(speech: Speech, samples: usize, answer: &Answer, now: Timestamp) -> Verdict {
    let written = answer.header("x-prometheus-remote-write-samples-written").and_then(|number| number.trim().parse::<usize>().ok());
    let two = speech.now == Version::Two;
    let (unsure, free) = (two && !speech.is_sure, two && !speech.is_fixed);
    match (answer.status, written) {
        (200..=299, _) if !two => Verdict::Taken { written: samples, but: None },
        (200..=299, Some(written)) if written >= samples => Verdict::Taken { written: samples, but: None },
        (200..=299, Some(written)) => Verdict::Taken { written, but: Some(reason(answer)) },
        // A receiver of 1.0 that takes a body of 2.0 finds nothing in it; one may have taken the place of one of 2.0.
        (200..=299, None) if free => Verdict::Speak { is_sure: true },
        (200..=299, None) => Verdict::Refused { reason: "not_written" },
        (429 | 500..=599, _) => Verdict::Again { after: answer.header("retry-after").and_then(|text| retry_after(text, now)) },
        (415, _) if free => Verdict::Speak { is_sure: true },
        (413, _) if samples > 1 => Verdict::Smaller,
        (400..=499, None) if unsure && !matches!(answer.status, 401 | 403) => Verdict::Speak { is_sure: false },
        (_, Some(written)) if two && written > 0 => Verdict::Taken { written: written.min(samples), but: Some(reason(answer)) },
        // A receiver that counts what it wrote speaks 2.0; that none was is no doubt of it.
        _ => Verdict::Refused { reason: reason(answer) },
    }
}

/// A word for why samples were refused: Prometheus' own words (storage/interface.go), Mimir's (pkg/util/globalerror) and Cortex'.
fn reason(answer: &Answer) -> &'static str {
    let text = answer.text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match answer.status {
        401 | 403 => "unauthorized",
        404 | 405 => "not_found",
        413 => "too_large",
        415 => "not_written",
        300..=399 => "redirected",
        _ if says(&["out of order", "out-of-order"]) => "out_of_order",
        _ if says(&["out of bounds", "too old", "too-old", "too far behind"]) => "too_old",
        _ if says(&["in the future", "in-future"]) => "too_new",
        _ if says(&["duplicate sample", "duplicate-timestamp"]) => "duplicate",
        _ if says(&["limit"]) => "limit",
        _ => "refused",
    }
}

/// What the user can do about it.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "out_of_order" | "too_old" => {
            "somebody else's samples there are newer; to take late ones raise its out-of-order window (Prometheus: storage.tsdb.out_of_order_time_window, Mimir: out_of_order_time_window)"
        }
        "too_new" => "this machine's clock is ahead of the far end's",
        "duplicate" => "another sender writes the same series; give one of them a label of its own (remote_write.external_labels)",
        "limit" => "raise its limit of series, or send less (remote_write.tier, allow, deny)",
        "unauthorized" => "give it what it asks for (remote_write.auth)",
        "not_found" => "remote_write.url is not where it takes samples; Prometheus: /api/v1/write and --web.enable-remote-write-receiver",
        "redirected" => "set remote_write.url to where it leads",
        "not_written" => "it does not speak version 2; set remote_write.version to \"auto\"",
        _ => "the far end's log may say more",
    }
}

/// Seconds, or a moment (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => rfc2822::parse(text).ok()?.timestamp().duration_since(now).try_into().unwrap_or(Duration::ZERO),
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], text: &str) -> Answer {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect();
        Answer { status, headers, text: text.into() }
    }

    const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

    #[test]
    fn every_answer_has_its_meaning() {
        let auto = Speech::of(None);
        let [one, two] = [Version::One, Version::Two].map(|version| Speech::of(Some(version)));
        let taken = Verdict::Taken { written: 10, but: None };
        let part = |written, reason| Verdict::Taken { written, but: Some(reason) };
        let refused = |reason| Verdict::Refused { reason };
        let again = |seconds: Option<u64>| Verdict::Again { after: seconds.map(Duration::from_secs) };
        let [stay, try_it] = [true, false].map(|is_sure| Verdict::Speak { is_sure });
        let none: &[(&'static str, &str)] = &[];
        for (speech, status, headers, text, verdict) in [
            (one, 200, none, "", taken.clone()),
            (one, 204, none, "", taken.clone()),
            (two, 204, &[(WRITTEN, "10")], "", taken.clone()),
            (auto, 200, &[(WRITTEN, "10")], "", taken),
            (auto, 200, &[(WRITTEN, "7")], "", part(7, "refused")),
            (auto, 204, none, "", stay.clone()),
            (two, 204, none, "", refused("not_written")),
            (auto, 415, none, "", stay),
            (two, 415, none, "", refused("not_written")),
            (auto, 400, none, "bad content", try_it.clone()),
            (auto, 404, none, "", try_it),
            (auto, 401, none, "", refused("unauthorized")),
            (auto, 403, none, "", refused("unauthorized")),
            (auto, 400, &[(WRITTEN, "4")], "out of order sample", part(4, "out_of_order")),
            (auto, 400, &[(WRITTEN, "0")], "out of order sample", refused("out_of_order")),
            (one, 400, none, "out of bounds", refused("too_old")),
            (one, 400, none, "too old sample", refused("too_old")),
            (one, 400, none, "send data to ingesters: err-mimir-sample-timestamp-too-old", refused("too_old")),
            (one, 400, none, "duplicate sample for timestamp", refused("duplicate")),
            (one, 400, none, "the sample has been rejected: too far in the future", refused("too_new")),
            (one, 400, none, "per-user series limit of 10000 exceeded", refused("limit")),
            (one, 422, none, "", refused("refused")),
            (one, 404, none, "", refused("not_found")),
            (one, 301, none, "", refused("redirected")),
            (one, 413, none, "", Verdict::Smaller),
            (auto, 413, none, "", Verdict::Smaller),
            (auto, 429, none, "", again(None)),
            (one, 429, &[("retry-after", " 7 ")], "", again(Some(7))),
            (one, 503, &[("retry-after", "999999999999")], "", again(Some(300))),
            (one, 503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], "", again(Some(37))),
            (one, 503, &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], "", again(Some(0))),
            (one, 500, &[("retry-after", "soon")], "", again(None)),
            (two, 500, &[(WRITTEN, "3")], "", again(None)),
        ] {
            let now = "1994-11-06T08:49:00Z".parse().unwrap();
            assert_eq!(judge(speech, 10, &answer(status, headers, text), now), verdict, "{speech:?} {status} {headers:?} {text}");
        }
        assert_eq!(judge(one, 1, &answer(413, none, ""), Timestamp::UNIX_EPOCH), refused("too_large"));
    }

    #[test]
    fn what_both_versions_are_refused_says_nothing_of_the_version() {
        let mut speech = Speech::of(None);
        speech.learn(&Verdict::Speak { is_sure: false });
        assert_eq!(speech, Speech { now: Version::One, is_sure: false, is_fixed: false });
        speech.learn(&Verdict::Refused { reason: "too_old" });
        assert_eq!(speech, Speech::of(None));
        speech.learn(&Verdict::Speak { is_sure: false });
        speech.learn(&Verdict::Taken { written: 1, but: None });
        assert_eq!((speech.now, speech.is_sure), (Version::One, true));
        // One that has shown that it understands may be replaced by one that does not; not so where the settings say.
        let answer = answer(415, &[], "");
        let mut speech = Speech::of(None);
        speech.learn(&Verdict::Taken { written: 1, but: None });
        assert_eq!(judge(speech, 9, &answer, Timestamp::UNIX_EPOCH), Verdict::Speak { is_sure: true });
        assert_eq!(judge(Speech::of(Some(Version::Two)), 9, &answer, Timestamp::UNIX_EPOCH), Verdict::Refused { reason: "not_written" });
    }
}
