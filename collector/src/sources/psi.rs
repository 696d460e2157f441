//! Pressure files (`/proc/pressure/*`, `<cgroup>/*.pressure`). Kernel: Documentation/accounting/psi.rst.

use std::time::Duration;

use super::text::{digits, lines, words};
use crate::snapshot::Stall;

/// The two totals of one file; `None` where it does not say how long some task waited (empty, torn, no PSI in this kernel).
///
/// ```text
/// some avg10=0.85 avg60=1.08 avg300=0.65 total=13477164
/// full avg10=0.00 avg60=0.00 avg300=0.00 total=0
/// ```
/// Totals are microseconds. Before kernel 5.13 `cpu` has no `full` line.
pub fn parse(file: &[u8]) -> Option<Stall> {
    let [mut some, mut full] = [None; 2];
    for line in lines(file) {
        let mut words = words(line);
        let place = match words.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            _ => continue,
        };
        *place = words.find_map(|word| word.strip_prefix(b"total=")).and_then(digits).map(Duration::from_micros);
    }
    Some(Stall { some: some?, full })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn totals_are_microseconds() {
        let stall = |some, full: Option<u64>| Some(Stall { some: Duration::from_micros(some), full: full.map(Duration::from_micros) });
        let some = "some avg10=0.85 avg60=1.08 avg300=0.65 total=13477164\n";
        for (file, expected) in [
            (format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"), stall(13_477_164, Some(7))),
            (format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 tot"), stall(13_477_164, None)),
            (some.into(), stall(13_477_164, None)),
            ("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n".into(), None),
            ("some avg10=0.85 total=-1\n".into(), None),
            ("something total=1\n".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(file.as_bytes()), expected, "{file:?}");
        }
        assert_eq!(parse(b"some total=1\n\xff"), stall(1, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&file);
        }
    }
}
