//! Money that adds up: whole nano-dollars, never floats.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A rate of spending, in nano-dollars an hour. JSON: dollars an hour, a number with up to nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsdPerHour(pub i64);

impl UsdPerHour {
    /// A month as AWS's pricing calculator counts it: 730 hours.
    pub const MONTH: Duration = Duration::from_secs(730 * 3600);

    /// Dollars an hour, for showing and for sinks.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// What is spent at this rate in `span`.
    pub fn over(self, span: Duration) -> Usd {
        let millis = i128::try_from(span.as_millis()).unwrap_or(i128::MAX);
        Usd(i128::from(self.0).saturating_mul(millis))
    }

    /// `thousandths` / 1,000 units at this price each, to the nearest nano-dollar.
    pub fn times(self, thousandths: u64) -> UsdPerHour {
        let nano = (i128::from(self.0) * i128::from(thousandths) + 500) / 1000;
        UsdPerHour(i64::try_from(nano).unwrap_or(i64::MAX))
    }
}

impl Add for UsdPerHour {
    type Output = UsdPerHour;

    /// Stops at the largest rate, nine billion dollars an hour: only a hostile report reaches it.
    fn add(self, other: UsdPerHour) -> UsdPerHour {
        UsdPerHour(self.0.saturating_add(other.0))
    }
}

impl Sub for UsdPerHour {
    type Output = UsdPerHour;

    fn sub(self, other: UsdPerHour) -> UsdPerHour {
        UsdPerHour(self.0.saturating_sub(other.0))
    }
}

impl Sum for UsdPerHour {
    fn sum<I: Iterator<Item = UsdPerHour>>(rates: I) -> UsdPerHour {
        rates.fold(UsdPerHour(0), UsdPerHour::add)
    }
}

impl fmt::Display for UsdPerHour {
    /// Five decimals, as the tables show it; `{:.6}` gives another number of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(5);
        f.write_str(&decimal(i128::from(self.0), 1_000_000_000, digits))
    }
}

impl Serialize for UsdPerHour {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.usd().serialize(to)
    }
}

impl<'de> Deserialize<'de> for UsdPerHour {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<UsdPerHour, D::Error> {
        Ok(UsdPerHour((f64::deserialize(from)? * 1e9).round() as i64))
    }
}

/// An amount of money, in nano-dollars an hour x milliseconds, so that nothing is rounded before it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(pub i128);

impl Usd {
    /// Dollars, for showing and for sinks.
    pub fn usd(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }

    /// One dollar.
    const ONE: i128 = 1_000_000_000 * 3_600_000;
}

impl Add for Usd {
    type Output = Usd;

    fn add(self, other: Usd) -> Usd {
        Usd(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Usd {
    /// Two decimals; `{:.8}` gives another number of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, Self::ONE, f.precision().unwrap_or(2)))
    }
}

/// `amount / one` with so many decimals, rounded half away from zero: what a pocket calculator shows, which binary floats do not.
pub(crate) fn decimal(amount: i128, one: i128, digits: usize) -> String {
    let digits = digits.min(18);
    let scale = 10_i128.pow(digits as u32);
    let (whole, rest) = (amount.unsigned_abs() / one.unsigned_abs(), amount.unsigned_abs() % one.unsigned_abs());
    let tail = (rest * scale.unsigned_abs() * 2 + one.unsigned_abs()) / (2 * one.unsigned_abs());
    let (whole, tail) = if tail == scale.unsigned_abs() { (whole + 1, 0) } else { (whole, tail) };
    let sign = if amount < 0 && (whole, tail) != (0, 0) { "-" } else { "" };
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{tail:0digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_on_paper() {
        for (nano, digits, text) in [
            (21_323_077, 5, "0.02132"),
            (8_564_625, 8, "0.00856463"),
            (999_999_999, 2, "1.00"),
            (-1, 5, "0.00000"),
            (-500_000_000, 1, "-0.5"),
            (1_500_000_000, 0, "2"),
            (i64::MAX, 9, "9223372036.854775807"),
            (i64::MIN, 9, "-9223372036.854775808"),
        ] {
            assert_eq!(format!("{:.digits$}", UsdPerHour(nano)), text);
        }
        assert_eq!(UsdPerHour(12_342_500).to_string(), "0.01234");
    }

    #[test]
    fn amounts_are_rounded_only_when_shown() {
        let third = UsdPerHour(1).over(Duration::from_secs(1200));
        assert_eq!(format!("{:.9}", third), "0.000000000");
        assert_eq!(format!("{:.9}", third + third + third), "0.000000001");
        assert_eq!(format!("{:.6}", UsdPerHour(12_342_500).over(UsdPerHour::MONTH)), "9.010025");
    }

    #[test]
    fn nothing_overflows() {
        let most = UsdPerHour(i64::MAX);
        assert_eq!(most + most, most);
        assert_eq!(most.times(u64::MAX), most);
        assert!(most.over(Duration::MAX) + most.over(Duration::MAX) >= Usd(i128::MAX / 2));
        assert!(!format!("{:.18}", most.over(Duration::MAX)).is_empty());
    }

    #[test]
    fn json_is_dollars() {
        assert_eq!(serde_json::to_string(&UsdPerHour(100_800_000)).unwrap(), "0.1008");
        assert_eq!(serde_json::from_str::<UsdPerHour>("0.1008").unwrap(), UsdPerHour(100_800_000));
    }
}
