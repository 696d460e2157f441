//! Numbers that carry their unit. Spans of time are `std::time::Duration`; everything else that is measured is one of these.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Bytes, as the kernel counts them. JSON: an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// One GiB, the unit AWS bills memory and disk in (it writes "GB").
    pub const GIB: Bytes = Bytes(1 << 30);

    /// The amount in GiB.
    pub fn gib(self) -> f64 {
        self.0 as f64 / Self::GIB.0 as f64
    }

    /// `self - other`, or zero where `other` is larger.
    pub fn less(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    /// Three significant digits and a binary unit: `635 MiB`, `1.40 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut amount = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while amount >= 1000.0 && unit + 1 < UNITS.len() {
            amount /= 1024.0;
            unit += 1;
        }
        let digits = if amount < 9.995 {
            2
        } else if amount < 99.95 {
            1
        } else {
            0
        };
        write!(f, "{amount:.digits$} {}", UNITS[unit])
    }
}

/// CPU cores in use or granted; 0.25 is a quarter of one core. JSON: a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cores(pub f64);

/// A share: 1.0 is all of it, more than 1.0 is possible and never cut. JSON: a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(pub f64);

/// A limit as the kernel or the runtime states it. JSON: `null`, `"unlimited"` or the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(from = "LimitWord<T>", into = "LimitWord<T>", bound(serialize = "T: Copy + Serialize", deserialize = "T: Deserialize<'de>"))]
pub enum Limit<T> {
    /// Nobody could say.
    #[default]
    Unknown,
    /// Known to have no limit.
    Unlimited,
    /// Known to be limited to this.
    Of(T),
}

impl<T: Copy + PartialOrd> Limit<T> {
    /// The value of a real limit.
    pub fn value(self) -> Option<T> {
        match self {
            Limit::Of(value) => Some(value),
            Limit::Unknown | Limit::Unlimited => None,
        }
    }

    /// The smaller of two limits that both apply. Unknown gives way to what is known.
    pub fn tightest(self, other: Limit<T>) -> Limit<T> {
        match (self, other) {
            (Limit::Of(a), Limit::Of(b)) => Limit::Of(if b < a { b } else { a }),
            (Limit::Of(a), _) | (_, Limit::Of(a)) => Limit::Of(a),
            (Limit::Unlimited, _) | (_, Limit::Unlimited) => Limit::Unlimited,
            _ => Limit::Unknown,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LimitWord<T> {
    Of(T),
    Word(UnlimitedWord),
    None(()),
}

#[derive(Serialize, Deserialize)]
enum UnlimitedWord {
    #[serde(rename = "unlimited")]
    Unlimited,
}

impl<T> From<LimitWord<T>> for Limit<T> {
    fn from(word: LimitWord<T>) -> Self {
        match word {
            LimitWord::Of(value) => Limit::Of(value),
            LimitWord::Word(UnlimitedWord::Unlimited) => Limit::Unlimited,
            LimitWord::None(()) => Limit::Unknown,
        }
    }
}

impl<T> From<Limit<T>> for LimitWord<T> {
    fn from(limit: Limit<T>) -> Self {
        match limit {
            Limit::Of(value) => LimitWord::Of(value),
            Limit::Unlimited => LimitWord::Word(UnlimitedWord::Unlimited),
            Limit::Unknown => LimitWord::None(()),
        }
    }
}

/// The moment a group of readings was taken, by two clocks. A replayed host without clocks has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The calendar clock (CLOCK_REALTIME). It may jump.
    pub wall: Option<Timestamp>,
    /// Time since boot, suspend included (CLOCK_BOOTTIME). It never jumps. JSON: seconds.
    #[serde(with = "seconds::option")]
    pub boot: Option<Duration>,
}

impl Stamp {
    /// The later of the two, clock by clock.
    pub fn latest(self, other: Stamp) -> Stamp {
        Stamp { wall: self.wall.max(other.wall), boot: self.boot.max(other.boot) }
    }

    /// The time from `earlier` to `self`: by the boot clock when both have it, else by the wall.
    /// `None` when neither clock is known twice or no time has passed.
    pub fn since(&self, earlier: &Stamp) -> Option<Duration> {
        let span = match (self.boot, earlier.boot) {
            (Some(now), Some(then)) => now.checked_sub(then)?,
            _ => Duration::try_from(self.wall?.duration_since(earlier.wall?)).ok()?,
        };
        (!span.is_zero()).then_some(span)
    }
}

/// `Duration` as seconds in JSON: `2.5`.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes seconds.
    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        span.as_secs_f64().serialize(to)
    }

    /// Reads seconds; negative or not finite is an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }

    /// The same for a span that may be unknown.
    pub mod option {
        use super::*;

        /// Writes seconds or null.
        pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
            span.map(|span| span.as_secs_f64()).serialize(to)
        }

        /// Reads seconds or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
            Option::<f64>::deserialize(from)?.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (635 << 20, "635 MiB"), (1_503_238_553, "1.40 GiB"), (1023 << 20, "1.00 GiB")] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn the_tightest_limit_wins_and_unknown_gives_way() {
        use Limit::{Of, Unknown, Unlimited};
        for (a, b, tightest) in
            [(Of(2), Of(3), Of(2)), (Unlimited, Of(3), Of(3)), (Unknown, Of(3), Of(3)), (Unknown, Unlimited, Unlimited), (Unknown, Unknown, Unknown)]
        {
            assert_eq!(a.tightest(b), tightest);
            assert_eq!(b.tightest(a), tightest);
        }
    }

    #[test]
    fn a_limit_keeps_its_word_in_json() {
        for (limit, json) in [(Limit::Of(Bytes(7)), "7"), (Limit::Unlimited, "\"unlimited\""), (Limit::Unknown, "null")] {
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
            assert_eq!(serde_json::from_str::<Limit<Bytes>>(json).unwrap(), limit);
        }
    }

    #[test]
    fn the_boot_clock_is_believed_before_the_wall() {
        let at = |wall: i64, boot: u64| Stamp { wall: Timestamp::from_second(wall).ok(), boot: Some(Duration::from_secs(boot)) };
        assert_eq!(at(100, 20).since(&at(500, 10)), Some(Duration::from_secs(10)));
        assert_eq!(at(100, 10).since(&at(50, 10)), None);
        let wall = |second| Stamp { boot: None, ..at(second, 0) };
        assert_eq!(wall(7).since(&wall(5)), Some(Duration::from_secs(2)));
        assert_eq!(wall(5).since(&wall(7)), None);
        assert_eq!(Stamp::default().since(&at(5, 5)), None);
    }
}
