//! Frames that stand alone: written and read they are the same, whatever bytes say nothing breaks, and peaks are those of all frames.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::codec::{Codec, Damaged, Read, SCHEMA};
use super::*;
use crate::cost::UsdPerHour;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::Count),
        any::<f64>().prop_filter("a frame holds no other", |real| real.is_finite()).prop_map(Value::Real),
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Value::Time(Duration::new(seconds, nanoseconds))),
        any::<i64>().prop_map(|usd| Value::Usd(UsdPerHour(usd))),
    ]
}

fn labels(pairs: &BTreeMap<String, String>) -> Labels {
    Labels(pairs.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect())
}

fn named() -> impl Strategy<Value = Named> {
    let kind = prop::sample::select(vec![Kind::Counter, Kind::Level, Kind::Gauge, Kind::Histogram, Kind::Info]);
    let tier = prop::sample::select(vec![Tier::Essential, Tier::Standard, Tier::Detail]);
    let split = prop::option::of(("[a-z]{1,4}", vec("\\PC{1,4}", 1..4)));
    ("[a-z.]{1,9}", "[a-z_]{1,9}", "[a-z]{0,4}", kind, tier, "\\PC{0,20}", split).prop_map(|(otel, prometheus, unit, kind, tier, help, split)| Named {
        otel,
        prometheus,
        unit,
        kind,
        tier,
        help,
        split,
    })
}

fn family(rows: usize) -> impl Strategy<Value = PackedFamily> {
    let points = btree_map((0..rows.max(1) as u32, 0u32..4), value(), 1..12);
    (named(), points, vec((any::<prop::sample::Index>(), (value(), value())), 0..3)).prop_map(move |(about, points, peaks)| {
        let words = about.split.as_ref().map_or(1, |(_, words)| words.len() as u32);
        let points: Vec<_> = points.into_iter().filter(|((_, word), _)| *word < words && rows > 0).collect();
        let points: Vec<_> = points.into_iter().map(|((row, word), value)| Point { row, word, value }).collect();
        let peaks: BTreeMap<u32, _> =
            if points.is_empty() { BTreeMap::new() } else { peaks.into_iter().map(|(at, peak)| (at.index(points.len()) as u32, peak)).collect() };
        PackedFamily { about: Arc::new(about), points, peaks: peaks.into_iter().map(|(point, (least, most))| Peak { point, least, most }).collect() }
    })
}

fn frame() -> impl Strategy<Value = Packed> {
    let rows = btree_set(btree_map("[a-z_]{1,5}", "\\PC{1,8}", 0..5), 0..8);
    let at = (-377_705_023_201i64..253_402_207_200, 0i32..1_000_000_000).prop_filter_map("no moment", |(second, nano)| Timestamp::new(second, nano).ok());
    (at, rows).prop_flat_map(|(at, rows)| {
        let rows: Vec<Labels> = rows.iter().map(labels).collect();
        vec(family(rows.len()), 0..5).prop_map(move |families| Packed { at, rows: rows.clone(), families })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in vec(frame(), 1..4)) {
        let (mut writer, mut reader) = (Codec::default(), Codec::default());
        for frame in frames {
            let bytes = writer.write(&frame).unwrap();
            prop_assert_eq!(reader.read(&bytes).unwrap(), Read::Frame(frame.clone()));
            let Ok(Read::Frame(own)) = writer.read(&bytes) else { panic!("it reads what it wrote") };
            let distinct: BTreeSet<_> = frame.families.iter().map(|family| &family.about.prometheus).collect();
            // Two metrics of one name are no frame of ours; each by itself is the same allocation.
            if distinct.len() == frame.families.len() {
                prop_assert!(own.families.iter().zip(&frame.families).all(|(own, family)| Arc::ptr_eq(&own.about, &family.about)));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_as_some_frame(frame in frame(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut codec = Codec::default();
        let mut bytes = codec.write(&frame).unwrap();
        prop_assert!(codec.read(&bytes[..cut.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        if let Ok(Read::Frame(read)) = codec.read(&bytes) {
            let again = codec.write(&read).unwrap();
            prop_assert_eq!(codec.read(&again).unwrap(), Read::Frame(read));
        }
    }

    /// The same for bytes that are well packed, so that it is our own reader that meets them.
    #[test]
    fn hostile_bytes_are_refused_or_read_as_some_frame(raw in vec(any::<u8>(), 0..200)) {
        let mut codec = Codec::default();
        if let Ok(Read::Frame(read)) = codec.read(&packed(&raw)) {
            let again = codec.write(&read).unwrap();
            prop_assert_eq!(codec.read(&again).unwrap(), Read::Frame(read));
        }
    }

    #[test]
    fn peaks_are_the_least_and_the_most_of_all_frames(looks in vec(vec(prop::option::of(0u64..20), 3), 1..6), kind in prop::sample::select(vec![Kind::Level, Kind::Gauge])) {
        let frames: Vec<Packed> = looks.iter().map(|values| levels(values, kind)).collect();
        let mut last: Option<Packed> = None;
        for mut frame in frames {
            if let Some(before) = &last {
                frame.keep_peaks(before);
            }
            last = Some(frame);
        }
        let last = last.unwrap();
        let family = &last.families[0];
        for (at, point) in family.points.iter().enumerate() {
            let row: usize = last.rows[point.row as usize].0[0].1.parse().unwrap();
            // Back to when the series began; where it was away in between, it began anew.
            let seen: Vec<u64> = looks.iter().rev().map_while(|values| values[row]).collect();
            let (least, most) = (seen.iter().min().copied(), seen.iter().max().copied());
            let peak = family.peaks.iter().find(|peak| peak.point == at as u32);
            let told = peak.map_or((point.value, point.value), |peak| (peak.least, peak.most));
            prop_assert_eq!(told, (Value::Count(least.unwrap()), Value::Count(most.unwrap())));
            prop_assert!(peak.is_none_or(|peak| peak.least != point.value || peak.most != point.value), "a peak that says nothing is not kept");
        }
    }
}

/// One series a row that has a value; the row's label is its number.
fn levels(values: &[Option<u64>], kind: Kind) -> Packed {
    let there: Vec<(usize, u64)> = values.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?))).collect();
    let rows = there.iter().map(|(row, _)| labels(&BTreeMap::from([("row".to_owned(), row.to_string())]))).collect();
    let points = there.iter().zip(0..).map(|((_, value), row)| Point { row, word: 0, value: Value::Count(*value) }).collect();
    let about = Named { otel: "x".into(), prometheus: "x".into(), unit: String::new(), kind, tier: Tier::Detail, help: String::new(), split: None };
    Packed { at: Timestamp::UNIX_EPOCH, rows, families: vec![PackedFamily { about: Arc::new(about), points, peaks: Vec::new() }] }
}

fn packed(raw: &[u8]) -> Vec<u8> {
    [&SCHEMA.to_le_bytes(), &*zstd::bulk::compress(raw, 1).unwrap()].concat()
}

#[test]
fn counters_have_no_peaks() {
    let mut now = levels(&[Some(7)], Kind::Counter);
    now.keep_peaks(&levels(&[Some(3)], Kind::Counter));
    assert_eq!(now, levels(&[Some(7)], Kind::Counter));
}

#[test]
fn a_schema_we_do_not_know_is_named_and_what_is_none_is_refused() {
    let mut codec = Codec::default();
    assert_eq!(codec.read(b"\x02\x00later"), Ok(Read::Unknown(2)));
    for (bytes, why) in [
        (b"".to_vec(), "it ends early"),
        (b"\x01\x00".to_vec(), "it ends early, or says what nobody can read"),
        (b"\x01\x00not zstd".to_vec(), "it cannot be unpacked"),
        (packed(b""), "it ends early, or says what nobody can read"),
        // A moment, then more words than there are bytes.
        (packed(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), "a list longer than it can be"),
        (packed(&[0, 0, 0, 1, 1, 0, 0]), "an unknown word"),
        // One word, a label whose name and value it is, twice.
        (packed(&[0, 0, 1, 1, b'a', 1, 2, 0, 0, 0, 0, 0]), "labels out of order"),
        (packed(&[0, 0, 0, 0, 0, 7]), "it goes on after its end"),
        // A family without names of kind 5.
        (packed(&[0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0]), "an unknown kind"),
        (packed(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0]), "an unknown tier"),
        // A point of row 0, of which there is none.
        (packed(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]), "a point without a row"),
        // One row without labels, a point of its second word.
        (packed(&[0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0]), "points out of order"),
        // Ten thousand times 32 MiB of zeros.
        (packed(&vec![0; (32 << 20) + 1]), "it cannot be unpacked"),
    ] {
        assert_eq!(codec.read(&bytes), Err(Damaged(why)), "{:?}", &bytes[..bytes.len().min(40)]);
    }
}

/// What older Tares wrote is read by every later one. If this fails, the schema has changed: give it a new number and keep reading this one.
#[test]
fn the_first_schema_is_read_for_ever() {
    let raw = [
        // 1 s and 5 ns; words
        &[2, 10, 3][..],
        b"\x01a\x02be\x01c",
        // one row: a = be; one family
        &[1, 1, 0, 1, 1],
        b"\x03o.p\x03p_t\x01s",
        &[1, 2],
        b"\x01H\x01\x01w",
        // two words
        &[2],
        b"\x01r\x01t",
        // two points: word 0 count 300; word 1 1.5 s
        &[2, 0, 0, 0, 0xac, 2, 0, 1, 2, 1, 0x80, 0xca, 0xb5, 0xee, 1],
        // a peak of the second, from 1 usd to 0.5
        &[1, 1, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
    ]
    .concat();
    let about = Named {
        otel: "o.p".into(),
        prometheus: "p_t".into(),
        unit: "s".into(),
        kind: Kind::Level,
        tier: Tier::Detail,
        help: "H".into(),
        split: Some(("w".into(), vec!["r".into(), "t".into()])),
    };
    let frame = Packed {
        at: Timestamp::new(1, 5).unwrap(),
        rows: vec![labels(&BTreeMap::from([("a".to_owned(), "be".to_owned())]))],
        families: vec![PackedFamily {
            about: Arc::new(about),
            points: vec![Point { row: 0, word: 0, value: Value::Count(300) }, Point { row: 0, word: 1, value: Value::Time(Duration::from_millis(1500)) }],
            peaks: vec![Peak { point: 1, least: Value::Usd(UsdPerHour(1)), most: Value::Real(0.5) }],
        }],
    };
    // The third word is used by nobody.
    assert_eq!(Codec::default().read(&packed(&raw)), Ok(Read::Frame(frame)));
}
