//! A strict reader has what a frame says, whatever comes and goes between frames.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::fake::{read_one, read_two};
use super::*;
use crate::metrics::choice::Glob;
use crate::metrics::schema::Value;

/// A metric, and its points: row, word, value.
type Metric = (Arc<Named>, Vec<(u32, u32, f64)>);

/// A series by its labels, its value's bits.
type Written = BTreeMap<Vec<(String, String)>, u64>;

fn all() -> Wanted {
    Wanted { tier: Tier::Detail, choice: Choice::default() }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    pairs.sort();
    Labels(pairs.into())
}

fn named(name: &str, kind: Kind, tier: Tier, split: Option<(&str, &[&str])>) -> Arc<Named> {
    let split = split.map(|(label, words)| (label.to_owned(), words.iter().map(|word| (*word).to_owned()).collect()));
    Arc::new(Named { otel: name.into(), prometheus: name.into(), unit: "seconds".into(), kind, tier, help: format!("Help of {name}."), split })
}

fn frame(at: i64, rows: &[Labels], families: Vec<Metric>) -> Arc<Packed> {
    let points = |points: Vec<(u32, u32, f64)>| points.into_iter().map(|(row, word, value)| Point { row, word, value: Value::Real(value) }).collect();
    let families = families.into_iter().map(|(about, all)| PackedFamily { about, points: points(all), peaks: Vec::new() }).collect();
    Arc::new(Packed { at: Timestamp::from_millisecond(at).unwrap(), rows: rows.to_vec(), families })
}

/// What a frame says, reckoned the plain way.
fn meant(frame: &Packed, wanted: &Wanted, external: &[(&str, &str)]) -> Written {
    let mut all = Written::new();
    for family in frame.families.iter().filter(|family| family.about.tier <= wanted.tier && wanted.choice.keeps(&family.about.prometheus)) {
        for point in &family.points {
            let mut labels: Vec<(String, String)> =
                frame.rows[point.row as usize].0.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            labels.extend(external.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            labels.push(("__name__".into(), family.about.prometheus.clone()));
            labels.extend(family.about.split.iter().map(|(label, words)| (label.clone(), words[point.word as usize].clone())));
            labels.sort();
            all.insert(labels, as_read(point.value).to_bits());
        }
    }
    all
}

/// All pieces of the frame that the encoder is at, as a reader has them; each within its bounds.
fn written(encoder: &mut Encoder, version: Version, most: usize) -> Written {
    let (mut all, mut from) = (Written::new(), 0);
    let at = encoder.now.as_ref().unwrap().at.as_millisecond();
    while from < encoder.series() {
        let to = encoder.write(version, from, most);
        let series = match version {
            Version::One => read_one(encoder.body()).unwrap().0,
            Version::Two => read_two(encoder.body()).unwrap(),
        };
        assert!(to > from && series.len() == to - from && series.len() <= most, "{from} {to} {}", series.len());
        for one in series {
            assert_eq!(one.samples.len(), 1);
            assert_eq!(one.samples[0].0, at);
            assert_eq!(all.insert(one.labels, one.samples[0].1), None, "a series is told twice");
        }
        from = to;
    }
    all
}

#[test]
fn a_request_is_what_the_specification_says_to_the_byte() {
    let mut encoder = Encoder::new(all(), Vec::new());
    let up = named("up", Kind::Gauge, Tier::Detail, None);
    encoder.turn(frame(1, &[labels(&[("a", "b")])], vec![(up, vec![(0, 0, 1.0)])]));
    assert_eq!(encoder.write(Version::One, 0, SERIES), 1);
    let one = b"\x0a\x25\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x06\x0a\x01a\x12\x01b\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x01";
    assert_eq!(encoder.body(), one.as_slice(), "{:x?}", encoder.body());
    encoder.write(Version::Two, 0, SERIES);
    let words = b"\x22\0\x22\x01a\x22\x01b\x22\x08__name__\x22\x02up\x22\x0bHelp of up.\x22\x07seconds";
    let series = b"\x2a\x1b\x0a\x04\x03\x04\x01\x02\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x01\x2a\x06\x08\x02\x18\x05\x20\x06";
    assert_eq!(encoder.body(), [words.as_slice(), series].concat(), "{:x?}", encoder.body());
}

#[test]
fn what_a_metric_is_goes_beside_the_series_in_one_and_on_them_in_two() {
    let time = named("t_seconds_total", Kind::Counter, Tier::Essential, None);
    let info = named("t_info", Kind::Info, Tier::Standard, None);
    let rare = named("t_rare", Kind::Gauge, Tier::Detail, None);
    let mut encoder = Encoder::new(Wanted { tier: Tier::Standard, choice: Choice::default() }, Vec::new());
    let points = || vec![(0, 0, 1.0)];
    encoder.turn(frame(1, &[labels(&[("a", "b")])], vec![(time, points()), (info, points()), (rare, points())]));
    assert_eq!(encoder.write_metadata(), 2);
    let (series, metadata) = read_one(encoder.body()).unwrap();
    let told = |name: &str, kind| (kind, format!("Help of {name}."), "seconds".to_owned());
    let expected = BTreeMap::from([("t_seconds_total", 1), ("t_info", 6)].map(|(name, kind)| (name.to_owned(), told(name, kind))));
    assert_eq!((series.len(), metadata), (0, expected.clone()));
    encoder.write(Version::Two, 0, SERIES);
    for one in read_two(encoder.body()).unwrap() {
        let name = one.labels.iter().find(|(name, _)| name == "__name__").unwrap().1.clone();
        assert_eq!(one.about.as_ref(), expected.get(&name), "{name}");
    }
}

#[test]
fn what_has_ended_is_marked_once_whoever_comes_in_between() {
    let words = ("state", &["runs", "ends"][..]);
    let (cpu, state) = (named("cpu", Kind::Counter, Tier::Detail, None), named("state", Kind::Gauge, Tier::Detail, Some(words)));
    let [a, b, c] = ["a", "b", "c"].map(|name| labels(&[("container", name)]));
    let mut encoder = Encoder::new(all(), vec![("team".into(), "x".into())]);
    let series = |name: &str, container: &str, word: Option<&str>| {
        let mut all = vec![("__name__".to_owned(), name.to_owned()), ("container".into(), container.into())];
        all.extend(word.map(|word| ("state".into(), word.into())));
        all.push(("team".into(), "x".into()));
        all
    };
    let bits = f64::to_bits;
    encoder.turn(frame(1, &[a.clone(), b.clone()], vec![(cpu.clone(), vec![(0, 0, 1.0), (1, 0, 2.0)]), (state.clone(), vec![(0, 0, 1.0), (1, 0, 1.0)])]));
    assert_eq!(written(&mut encoder, Version::Two, 3).len(), 4);
    // b ends and c comes first; a is in another state. The labels of a were made anew, as a later Tare would.
    encoder.turn(frame(2, &[c, labels(&[("container", "a")])], vec![(state.clone(), vec![(1, 1, 1.0)]), (cpu.clone(), vec![(0, 0, 3.0), (1, 0, 1.0)])]));
    let expected = Written::from([
        (series("cpu", "c", None), bits(3.0)),
        (series("cpu", "a", None), bits(1.0)),
        (series("state", "a", Some("ends")), bits(1.0)),
        (series("cpu", "b", None), ENDED),
        (series("state", "b", Some("runs")), ENDED),
        (series("state", "a", Some("runs")), ENDED),
    ]);
    for (version, most) in [(Version::One, 1), (Version::Two, 2), (Version::One, SERIES)] {
        assert_eq!(written(&mut encoder, version, most), expected);
    }
    // A metric that is gone as a whole, in the words of a later Tare.
    let renamed = named("state", Kind::Gauge, Tier::Detail, Some(("state", &["ends", "begins"])));
    encoder.turn(frame(3, &[a], vec![(renamed, vec![(0, 0, 1.0)])]));
    let expected = Written::from([(series("state", "a", Some("ends")), bits(1.0)), (series("cpu", "c", None), ENDED), (series("cpu", "a", None), ENDED)]);
    assert_eq!(written(&mut encoder, Version::Two, SERIES), expected);
    encoder.turn(frame(4, &[], Vec::new()));
    assert_eq!(written(&mut encoder, Version::One, SERIES), Written::from([(series("state", "a", Some("ends")), ENDED)]));
    encoder.turn(frame(5, &[], Vec::new()));
    assert_eq!(encoder.series(), 0);
}

#[test]
fn a_piece_is_bounded_in_bytes_too() {
    let rows: Vec<Labels> = (0..2000).map(|at| labels(&[("a", &format!("{at:01000}"))])).collect();
    let points = (0..2000).map(|row| (row, 0, 1.0)).collect();
    let mut encoder = Encoder::new(all(), Vec::new());
    encoder.turn(frame(1, &rows, vec![(named("up", Kind::Gauge, Tier::Detail, None), points)]));
    for version in [Version::One, Version::Two] {
        let to = encoder.write(version, 0, SERIES);
        assert!((900..1100).contains(&to) && encoder.body().len() < SIZE + 2000, "{version:?} {to} {}", encoder.body().len());
        assert_eq!(written(&mut encoder, version, SERIES).len(), 2000);
    }
}

#[test]
fn what_points_nowhere_is_left_out() {
    let state = named("state", Kind::Gauge, Tier::Detail, Some(("state", &["runs"])));
    let mut encoder = Encoder::new(all(), Vec::new());
    for at in 1..3 {
        encoder.turn(frame(at, &[labels(&[("a", "b")])], vec![(state.clone(), vec![(0, 0, 1.0), (0, 7, 1.0), (9, 0, 1.0)])]));
        assert_eq!(encoder.series(), 1);
    }
}

const WORDS: &[&str] = &["one", "two", "three"];

/// Frames of a small world in which all comes and goes.
fn frames() -> impl Strategy<Value = Vec<Arc<Packed>>> {
    let value = prop_oneof![
        any::<u64>().prop_map(Value::Count),
        (-1e9..1e9).prop_map(Value::Real),
        any::<u32>().prop_map(|s| Value::Time(std::time::Duration::new(u64::from(s), s % 1_000_000_000)))
    ];
    let one = (proptest::collection::btree_map((0..6usize, 0..8usize, 0..3u32), value, 0..60), any::<u64>());
    proptest::collection::vec(one, 1..5).prop_map(|all| {
        let splits = |family: usize| (family % 2 == 1).then_some((["Kind", "state", "zone"][family / 2 % 3], WORDS));
        let tier = |family: usize| [Tier::Essential, Tier::Standard, Tier::Detail][family % 3];
        let abouts: Vec<Arc<Named>> = (0..6).map(|family| named(&format!("m_{family}"), Kind::Gauge, tier(family), splits(family))).collect();
        let sets: Vec<Labels> = (0..8)
            .map(|row| labels(&[("a", &*"x".repeat(row + 1)), ("UPPER", "u"), ("host", &*format!("h-{}", row % 2)), ("z", "z")][..1 + row % 4]))
            .collect();
        let mut at = 1_760_000_000_000;
        all.into_iter()
            .map(|(points, seed)| {
                at += 1 + (seed % 1000) as i64;
                // Rows in another order each time, now and then made anew.
                let order: Vec<usize> = (0..8).map(|row| (row + seed as usize % 8) % 8).collect();
                let rows: Vec<Labels> =
                    order.iter().map(|&row| if seed % 3 == 0 { Labels(sets[row].0.iter().cloned().collect()) } else { sets[row].clone() }).collect();
                let place = |row: usize| order.iter().position(|there| *there == row).unwrap() as u32;
                let family = |family: usize| {
                    let of = points.iter().filter(|((of, _, word), _)| *of == family && (family % 2 == 1 || *word == 0));
                    PackedFamily {
                        about: abouts[family].clone(),
                        points: of.map(|((_, row, word), value)| Point { row: place(*row), word: *word, value: *value }).collect(),
                        peaks: Vec::new(),
                    }
                };
                let mut families: Vec<PackedFamily> = (0..6).map(family).filter(|family| !family.points.is_empty()).collect();
                if seed % 2 == 0 {
                    families.reverse();
                }
                Arc::new(Packed { at: Timestamp::from_millisecond(at).unwrap(), rows, families })
            })
            .collect()
    })
}

proptest! {
    /// Whatever comes and goes: a strict reader has each series of the frame with its value, each that is gone with the mark, and nothing else; in both versions,
    /// in pieces of any size.
    #[test]
    fn a_strict_reader_has_the_frame(frames in frames(), most in 1..70usize, deny in any::<bool>(), tier in 0..3usize) {
        let wanted = Wanted {
            tier: [Tier::Essential, Tier::Standard, Tier::Detail][tier],
            choice: Choice::new(Vec::new(), if deny { vec![Glob("m_3".into())] } else { Vec::new() }, Vec::new(), &[]),
        };
        let external = [("Team", "t"), ("b", "2"), ("zz", "3")];
        let pairs = external.iter().rev().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut encoder = Encoder::new(wanted.clone(), pairs);
        let mut before = Written::new();
        for frame in frames {
            let mut expected = meant(&frame, &wanted, &external);
            let now = expected.clone();
            for gone in before.into_keys() {
                expected.entry(gone).or_insert(ENDED);
            }
            encoder.turn(frame);
            prop_assert_eq!(written(&mut encoder, Version::One, most), expected.clone());
            prop_assert_eq!(written(&mut encoder, Version::Two, most), expected);
            before = now;
        }
    }

    #[test]
    fn a_varint_has_the_length_it_says(number in any::<u64>(), by in 0..64u32) {
        let mut out = Vec::new();
        varint(number >> by, &mut out);
        prop_assert_eq!(out.len(), varint_len(number >> by));
    }
}
