//! Money that adds up: whole nano-dollars, never floats.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A rate of spending, in nano-dollars an hour. JSON: dollars an hour, a number with up to nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsdPerHour(pub i64);

impl UsdPerHour {
    /// Dollars an hour, for showing and for sinks.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for UsdPerHour {
    type Output = UsdPerHour;

    fn add(self, other: UsdPerHour) -> UsdPerHour {
        UsdPerHour(self.0 + other.0)
    }
}

impl Sub for UsdPerHour {
    type Output = UsdPerHour;

    fn sub(self, other: UsdPerHour) -> UsdPerHour {
        UsdPerHour(self.0 - other.0)
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
        write!(f, "{:.*}", f.precision().unwrap_or(5), self.usd())
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
