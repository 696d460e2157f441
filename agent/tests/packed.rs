//! A packed frame says what the frame says, and shares its words with the one before.

mod made;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tare::metrics::cadvisor::page::Cgroups;
use tare::metrics::frame::Frame;
use tare::metrics::packed::Packed;
use tare::metrics::packed::codec::{Codec, Read};
use tare::metrics::packed::pack::Packer;
use tare::metrics::page::Page;
use tare::metrics::schema::Value;
use tare::report::Report;

/// A value that compares, with the name, the labels sorted, and the word of the split.
type Series = BTreeMap<(String, Vec<(String, String)>, String), String>;

fn series_of_page(page: &impl Page) -> Series {
    let mut all = Series::new();
    for block in page.blocks() {
        for column in block.columns() {
            for sample in &column.samples {
                let mut labels: Vec<_> = block.labels(sample).pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                labels.sort();
                let word = column.split.as_ref().map(|(label, words)| format!("{label}={}", words[sample.word as usize])).unwrap_or_default();
                let twin = all.insert((column.name.clone(), labels, word), format!("{:?}", sample.value));
                assert_eq!(twin, None);
            }
        }
    }
    all
}

fn series_of_packed(frame: &Packed) -> Series {
    let mut all = Series::new();
    for family in &frame.families {
        assert!(!family.points.is_empty(), "{}", family.about.prometheus);
        assert!(family.points.is_sorted_by(|a, b| (a.row, a.word) < (b.row, b.word)), "{}", family.about.prometheus);
        for point in &family.points {
            let labels = &frame.rows[point.row as usize].0;
            assert!(labels.is_sorted_by(|a, b| a.0 < b.0) && labels.iter().all(|(_, value)| !value.is_empty()));
            let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let word = family.about.split.as_ref().map(|(label, words)| format!("{label}={}", words[point.word as usize])).unwrap_or_default();
            all.insert((family.about.prometheus.clone(), labels, word), format!("{:?}", point.value));
        }
    }
    all
}

fn report(containers: usize) -> Report {
    let mut report = made::crowd(containers);
    report.host.seen.usage = made::usage(1);
    report.host.seen.machine = Some(Arc::new(made::machine()));
    // Some of their own: the rows of a container and of its workload have the same labels.
    report.workloads.extend((0..5).map(|n| made::loose(&format!("{n:064x}"), &format!("loose-{n}"))));
    for row in &mut report.workloads {
        row.seen.usage = made::usage(3).into();
    }
    report
}

#[test]
fn a_packed_frame_says_what_the_frame_says() {
    let report = report(30);
    let (mut frame, mut cgroups) = (Frame::new(), Cgroups::of(&Arc::default()));
    frame.fill(&report);
    cgroups.fill(&report);
    let at = Timestamp::from_second(1_760_000_000).unwrap();
    let packed = Packer::default().pack(&frame, at);
    assert_eq!((series_of_packed(&packed), packed.at), (series_of_page(&frame), at));
    assert!(series_of_packed(&packed).len() > 1500);
    let mut rows: Vec<_> = packed.rows.iter().map(|labels| &labels.0).collect();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), packed.rows.len(), "each label set once");
    assert_eq!(series_of_packed(&Packer::default().pack(&cgroups, at)), series_of_page(&cgroups));
}

#[test]
fn a_row_that_stays_is_one_allocation_in_all_frames() {
    let (mut frame, mut packer) = (Frame::new(), Packer::default());
    let mut pack = |report: &Report| {
        frame.fill(report);
        packer.pack(&frame, Timestamp::UNIX_EPOCH)
    };
    let first = pack(&report(30));
    let second = pack(&report(30));
    assert_eq!(first, second);
    assert!(first.rows.iter().zip(&second.rows).all(|(a, b)| Arc::ptr_eq(&a.0, &b.0)));
    assert!(first.families.iter().zip(&second.families).all(|(a, b)| Arc::ptr_eq(&a.about, &b.about)));
    // One goes, and all behind it have another place.
    let mut fewer = report(30);
    fewer.workloads.remove(3);
    let third = pack(&fewer);
    let known = |labels: &_| first.rows.iter().any(|there| Arc::ptr_eq(&there.0, labels));
    assert!(third.rows.len() < first.rows.len() && third.rows.iter().all(|labels| known(&labels.0)));
    let shared: usize = allocation_counter::measure(|| drop(pack(&fewer))).count_total as usize;
    let families = third.families.len();
    assert!(shared <= 2 * families + 20, "{shared} allocations for {families} families");
}

/// What a report costs while it waits; the figures are in tare.toml.
#[test]
fn a_frame_that_waits_is_small() {
    let (mut frame, mut codec) = (Frame::new(), Codec::default());
    let mut report = report(200);
    for (n, row) in report.workloads.iter_mut().enumerate() {
        for container in &mut row.containers {
            container.seen.usage = made::usage(n as u64 * 7_919).into();
        }
    }
    frame.fill(&report);
    let packed = Packer::default().pack(&frame, Timestamp::UNIX_EPOCH);
    let points: usize = packed.families.iter().map(|family| family.points.len()).sum();
    let bytes = codec.write(&packed).unwrap();
    println!("{points} points: {} bytes of memory, {} laid up", packed.weight(), bytes.len());
    assert!(bytes.len() < 3 * points && packed.weight() < 200 * points, "{} {}", bytes.len(), packed.weight());
    let Ok(Read::Frame(read)) = codec.read(&bytes) else { panic!("what is written is read") };
    assert_eq!(read, packed);
    assert!(packed.families.iter().flat_map(|family| &family.points).any(|point| matches!(point.value, Value::Time(_))));
}
