//! Numbers as people read them. What is not known has no text here; the tables show it as `–`.

use jiff::Timestamp;

use collector::units::{Cores, Ratio};

use crate::cost::UsdPerHour;

/// `0.21`, `12.4`.
pub(crate) fn cores(cores: Cores) -> String {
    if cores.0 < 99.95 { format!("{:.2}", cores.0) } else { format!("{:.1}", cores.0) }
}

/// `0.3 %`, `42 %`, `160 %`.
pub(crate) fn percent(ratio: Ratio) -> String {
    let percent = ratio.0 * 100.0;
    if (0.05..0.95).contains(&percent) { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// `1.0 GiB`, `0.05 GiB`, always GiB: what is compared stands in one unit.
fn gib(gib: f64) -> String {
    let digits = if gib > 0.0 && gib < 0.095 { 2 } else { 1 };
    format!("{gib:.digits$} GiB")
}

/// `0.50 / 1.0 GiB`; the half that is not known is `–`.
pub(crate) fn cores_and_gib(cores: Option<f64>, gib: Option<f64>) -> Option<String> {
    if cores.is_none() && gib.is_none() {
        return None;
    }
    let cores = cores.map_or("–".into(), |amount| self::cores(Cores(amount)));
    Some(format!("{cores} / {}", gib.map_or("–".into(), self::gib)))
}

/// `1.2 / 8.4 MB/s`: both in the unit that suits the larger.
pub(crate) fn traffic(received: f64, sent: f64) -> String {
    let larger = received.max(sent);
    let (by, unit) = [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")].into_iter().find(|(by, _)| larger >= *by * 0.9995).unwrap_or((1.0, "B/s"));
    let digits = usize::from(by > 1.0 && larger < by * 99.95);
    format!("{:.digits$} / {:.digits$} {unit}", received / by, sent / by)
}

/// A price by its own digits: at least four decimals, at most six.
pub(crate) fn price(rate: UsdPerHour) -> String {
    let text = format!("{rate:.6}");
    let least = text.find('.').map_or(text.len(), |point| point + 5);
    format!("{}{}", &text[..least], text[least..].trim_end_matches('0'))
}

/// What [`rounded`] gives, as text. A rate that need not add up shows itself alike: [`UsdPerHour`]'s own text.
pub(crate) fn usd(shown: i64) -> String {
    UsdPerHour(shown.saturating_mul(SHOWN)).to_string()
}

/// Tables show hundred-thousandths of a dollar an hour: 10,000 nano-dollars.
pub(crate) const SHOWN: i64 = 10_000;

/// `12 s ago`, `3 min ago`, `2 h ago`; from two days on the moment itself: `2026-03-02 10:00 UTC`. A look that seems to lie ahead is now.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    match now.as_second().saturating_sub(at.as_second()) {
        ..1 => "now".into(),
        seconds @ 1..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// Rounds the parts of `total` to `unit` so that they add up to the rounded total: all are cut, and what is missing goes to those cut the most.
/// Parts that do not add up to the total are rounded one by one; a table never mends a sum.
pub(crate) fn rounded(parts: &[i64], total: i64, unit: i64) -> Vec<i64> {
    let nearest = |value: i64| (value + unit / 2).div_euclid(unit);
    if parts.iter().map(|part| i128::from(*part)).sum::<i128>() != i128::from(total) {
        return parts.iter().map(|part| nearest(*part)).collect();
    }
    let mut rounded: Vec<i64> = parts.iter().map(|part| part.div_euclid(unit)).collect();
    let missing = nearest(total) - rounded.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(parts[*at].rem_euclid(unit)));
    for at in order.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
        rounded[at] += 1;
    }
    rounded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0.0, 0.004, 0.21, 12.4, 128.0].map(|c| cores(Cores(c))), ["0.00", "0.00", "0.21", "12.40", "128.0"]);
        assert_eq!([0.0, 0.003, 0.0096, 0.42, 1.6].map(|r| percent(Ratio(r))), ["0 %", "0.3 %", "1 %", "42 %", "160 %"]);
        assert_eq!(traffic(1_200_000.0, 8_400_000.0), "1.2 / 8.4 MB/s");
        assert_eq!(traffic(12.0, 999.0), "12 / 999 B/s");
        assert_eq!(traffic(0.0, 0.0), "0 / 0 B/s");
        assert_eq!([100_800_000, 34_893_000, 98_320_000_000].map(|n| price(UsdPerHour(n))), ["0.1008", "0.034893", "98.3200"]);
        assert_eq!(cores_and_gib(Some(0.5), None).as_deref(), Some("0.50 / –"));
        assert_eq!(cores_and_gib(Some(0.5), Some(0.05)).as_deref(), Some("0.50 / 0.05 GiB"));
        assert_eq!([24_685_000, 24_684_999, 0].map(|nano| UsdPerHour(nano).to_string()), ["0.02469", "0.02468", "0.00000"]);
    }

    #[test]
    fn rounding_keeps_the_sum() {
        // 3 x 1/3 of 10 at one decimal less: 3 + 3 + 4.
        assert_eq!(rounded(&[33, 33, 34], 100, 10), [3, 3, 4]);
        assert_eq!(rounded(&[-6, 106], 100, 10), [-1, 11]);
        // No sum to keep.
        assert_eq!(rounded(&[15, 15], 100, 10), [2, 2]);
    }

    proptest! {
        #[test]
        fn rounded_parts_add_up_and_none_moves_by_a_whole_unit(parts in prop::collection::vec(0i64..1_000_000_000_000, 0..50)) {
            let total = parts.iter().sum();
            let rounded = rounded(&parts, total, 10_000);
            // The total beside the parts is written by the rate itself.
            prop_assert_eq!(usd(rounded.iter().sum()), UsdPerHour(total).to_string());
            for (part, rounded) in parts.iter().zip(rounded) {
                prop_assert!((rounded * 10_000 - part).abs() < 10_000);
            }
        }
    }
}
