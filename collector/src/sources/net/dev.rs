//! `/proc/<pid>/net/dev`: the counters of one network name space. Text in, values out.

use std::borrow::Cow;

use crate::snapshot::{Interface, Net, Traffic};
use crate::sources::text::digits;
use crate::units::Bytes;

/// No more interfaces of one name space are counted.
pub const MOST_INTERFACES: usize = 256;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dev {
    /// Every interface but `lo`, in the file's order.
    pub net: Net,
    /// Interfaces beyond the bound, not counted.
    pub cut: u64,
    /// Lines of interfaces whose counters could not be read.
    pub torn: u64,
}

impl Dev {
    /// Nothing of it could be read: not the same as a name space with `lo` alone.
    pub fn is_unknown(&self) -> bool {
        self.net.is_empty() && self.torn > 0
    }
}

/// Reads the whole file. Names are those of `before` where they are the same. A line that is torn or odd costs itself only.
///
/// ```text
/// Inter-|   Receive                                                |  Transmit
///  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
///     lo:  999999      10    0    0    0     0          0         0   999999      10    0    0    0     0       0          0
///   eth0:181033261002 224517415    0    0    0     0          0         0 7033261002 224517415    0    0    0     0       0          0
/// eth0:1:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
/// ```
/// Numbers may stand right behind the colon (before kernel 2.6.39), and an alias has one in its name: the last colon of a line ends the name. A name may be any bytes.
pub fn parse(file: &[u8], before: &[Interface]) -> Dev {
    parse_those(file, before, |_| true)
}

/// The same of those interfaces whose name is `wanted`.
pub(crate) fn parse_those(file: &[u8], before: &[Interface], wanted: impl Fn(&[u8]) -> bool) -> Dev {
    let mut dev = Dev::default();
    for line in file.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memrchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii();
        if name.is_empty() || name == b"lo" || !wanted(name) {
            continue;
        }
        let Some((received, sent)) = counters(&line[colon + 1..]) else {
            dev.torn += 1;
            continue;
        };
        if dev.net.len() == MOST_INTERFACES {
            dev.cut += 1;
            continue;
        }
        let name = String::from_utf8_lossy(name);
        if let Some(had) = dev.net.iter_mut().find(|had| *had.name == *name) {
            // Two names that differ in bad bytes alone become one. The same name again is a line that was read twice.
            if let Cow::Owned(_) = name {
                had.received.add(received);
                had.sent.add(sent);
            }
            continue;
        }
        let had = before.get(dev.net.len()).filter(|had| *had.name == *name).or_else(|| before.iter().find(|had| *had.name == *name));
        dev.net.push(Interface { name: had.map_or_else(|| name.into(), |had| had.name.clone()), received, sent });
    }
    dev
}

/// The sixteen numbers: eight received, eight sent.
fn counters(text: &[u8]) -> Option<(Traffic, Traffic)> {
    let mut numbers = [0; 16];
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for number in &mut numbers {
        *number = digits(words.next()?)?;
    }
    let traffic = |at: usize| Traffic { bytes: Bytes(numbers[at]), packets: numbers[at + 1], errors: numbers[at + 2], dropped: numbers[at + 3] };
    Some((traffic(0), traffic(8)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn torn_lines_alone_are_unknown_and_lo_alone_is_nothing() {
        let numbers = "1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0";
        for (text, unknown) in [("eth0: 5 6", true), ("lo: 1 2", false), ("", false)] {
            assert_eq!(parse(format!("{HEAD}{text}\n").as_bytes(), &[]).is_unknown(), unknown, "{text}");
        }
        assert!(!parse(format!("{HEAD}eth0: 5 6\neth1: {numbers}\n").as_bytes(), &[]).is_unknown());
    }

    fn rows(text: &[u8]) -> Vec<(String, u64, u64)> {
        let file = [HEAD.as_bytes(), text].concat();
        parse(&file, &[]).net.iter().map(|one| (one.name.to_string(), one.received.bytes.0, one.sent.bytes.0)).collect()
    }

    #[test]
    fn every_interface_but_lo_is_counted() {
        let tail = "2 3 4 5 6 7 8 90 11 12 13 14 15 16 17";
        for (line, row) in [
            (format!("    lo: 1 {tail}"), None),
            (format!("  eth0: 1 {tail}"), Some(("eth0", 1, 90))),
            (format!("  eth0:1 {tail}"), Some(("eth0", 1, 90))),
            (format!("eth0:1: 7 {tail}"), Some(("eth0:1", 7, 90))),
            (format!(" lo:0: 7 {tail}"), Some(("lo:0", 7, 90))),
            (format!(" café0: 7 {tail}"), Some(("café0", 7, 90))),
            (format!("  eth0: 18446744073709551615 {tail}\r"), Some(("eth0", u64::MAX, 90))),
            (format!("  eth0: 18446744073709551616 {tail}"), None),
            (format!("  eth0: -1 {tail}"), None),
            ("  eth0: 1 2 3 4 5 6 7 8 90 11".into(), None),
            (format!(": 1 {tail}"), None),
            (String::new(), None),
        ] {
            let expected: Vec<_> = row.map(|(name, received, sent)| (name.to_owned(), received, sent)).into_iter().collect();
            assert_eq!(rows(line.as_bytes()), expected, "{line:?}");
        }
        let interface = &parse(format!("e: 1 {tail}").as_bytes(), &[]).net[0];
        assert_eq!(interface.received, Traffic { bytes: Bytes(1), packets: 2, errors: 3, dropped: 4 });
        assert_eq!(interface.sent, Traffic { bytes: Bytes(90), packets: 11, errors: 12, dropped: 13 });
    }

    #[test]
    fn bad_bytes_in_a_name_are_replaced_and_make_no_second_row() {
        let line = |name: &[u8]| [name, b": 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n"].concat();
        assert_eq!(rows(&[line(b" br\xff0"), line(b" br\xfe0")].concat()), [("br\u{fffd}0".to_owned(), 2, 4)]);
    }

    #[test]
    fn a_line_that_comes_twice_is_counted_once() {
        let line = b" eth0: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(rows(&[&line[..], line].concat()), [("eth0".to_owned(), 1, 2)]);
    }

    #[test]
    fn names_are_kept_and_the_bound_counts_what_it_cuts() {
        let file: String = (0..300).map(|n| format!("v{n}: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n")).collect();
        let first = parse(file.as_bytes(), &[]);
        assert_eq!((first.net.len(), first.cut), (MOST_INTERFACES, 44));
        let shifted = parse(file.split_once('\n').unwrap().1.as_bytes(), &first.net);
        assert!(std::sync::Arc::ptr_eq(&first.net[1].name, &shifted.net[0].name));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file in prop::collection::vec(prop_oneof![Just(b':'), Just(b' '), Just(b'\n'), b'0'..=b'9', any::<u8>()], 0..150)) {
            prop_assert!(parse(&file, &[]).net.iter().all(|one| &*one.name != "lo"));
        }
    }
}
