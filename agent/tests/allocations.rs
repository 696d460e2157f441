//! A tick in which nobody comes or goes is named and encoded without one allocation, and looked at and reported with few.

mod made;

use std::sync::Arc;
use std::time::Duration;

use collector::merge::merge;
use collector::sources::Look;
use tare::cost::book::Book;
use tare::cost::{Reckoning, Settings, Weights};
use tare::metrics::cadvisor::page::Cgroups;
use tare::metrics::frame::Frame;
use tare::metrics::page::Page;
use tare::report::{Report, Reporter};
use tare::sinks::gzip::{Blocks, Gzip};
use tare::sinks::prometheus::{Format, encode, encode_in_blocks};

#[test]
fn the_steady_state_allocates_nothing() {
    let mut report = made::crowd(50);
    report.host.seen.usage = made::usage(1);
    report.host.seen.arch = Some("x86_64".into());
    report.host.seen.machine = Some(Arc::new(made::machine()));
    report.host.seen.instance.kind = Some("m7i.large".into());
    let (mut frame, mut out) = (Frame::new(), Vec::new());
    let mut tick = |report: &_| {
        out.clear();
        frame.fill(report);
        encode(&frame, &mut out);
        out.len()
    };
    let first = allocation_counter::measure(|| {
        tick(&report);
    });
    assert!(first.count_total > 0, "the counter counts");
    // Buffers may still grow once where the second tick is longer than the first.
    tick(&report);
    for n in 0..5 {
        for row in &mut report.workloads {
            row.containers[0].seen.usage = made::usage(n).into();
        }
        let counted = allocation_counter::measure(|| {
            assert!(tick(&report) > 100_000);
        });
        assert_eq!(counted.count_total, 0, "tick {n}");
    }
}

#[test]
fn the_cadvisor_page_allocates_nothing_either() {
    let mut report = made::crowd(50);
    report.host.seen.usage = made::usage(1);
    let (mut page, mut out) = (Cgroups::of(&Arc::default()), Vec::new());
    let mut tick = |report: &_| {
        out.clear();
        page.fill(report);
        encode(&page, &mut out);
        out.len()
    };
    tick(&report);
    tick(&report);
    for n in 0..5 {
        for row in &mut report.workloads {
            row.containers[0].seen.usage = made::usage(n).into();
        }
        let counted = allocation_counter::measure(|| assert!(tick(&report) > 100_000));
        assert_eq!(counted.count_total, 0, "tick {n}");
    }
}

/// Packing needs its own tables once, and then no more than the bytes that it hands out; the text in between is one block.
#[test]
fn packing_holds_one_block_of_text() {
    let mut report = made::crowd(200);
    let (mut frame, mut gzip, mut blocks, mut block) = (Frame::new(), Gzip::new(), Blocks::default(), Vec::new());
    let mut tick = |report: &Report| {
        frame.fill(report);
        let mut writer = gzip.begin(&mut blocks);
        encode_in_blocks(&frame, Format::OpenMetrics, &mut block, |block| {
            writer.write(block);
            block.clear();
        });
        writer.write(&block);
        block.clear();
        (writer.finish().bytes.len(), blocks.deflated)
    };
    let (packed, all) = tick(&report);
    let counted = allocation_counter::measure(|| assert_eq!(tick(&report), (packed, 0)));
    assert!(counted.count_total <= 3 && counted.bytes_max <= (packed + (17 << 10)) as u64, "{counted:?} for {packed} bytes");
    // What uses more says so in its own blocks.
    report.workloads.iter_mut().for_each(|row| row.containers[0].seen.usage = made::usage(7).into());
    let (_, some) = tick(&report);
    println!("of {all} blocks {some} changed with all usage");
    assert!(some > 0 && some < all * 3 / 4, "{some} of {all}");
}

#[test]
fn after_some_have_gone_it_is_steady_again() {
    let (few, many) = (made::crowd(40), made::crowd(50));
    let mut frame = Frame::new();
    frame.fill(&many);
    frame.fill(&few);
    frame.fill(&few);
    let counted = allocation_counter::measure(|| frame.fill(&few));
    assert_eq!(counted.count_total, 0);
}

/// From the kernel's files to the report. What is left of each container are the lists that its rows own.
#[test]
fn a_look_and_its_report_allocate_little() {
    const CONTAINERS: u64 = 100;
    let (_folder, roots) = made::tree::host(CONTAINERS as usize).unwrap();
    let mut cgroups = made::tree::cgroups(&roots);
    let mut reporter = Reporter::new(None, Duration::from_secs(300), Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None));
    let mut before = None;
    let mut tick = || {
        let (mut snapshot, mut report) = (None, None);
        let reading = Arc::new(cgroups.look(&[]));
        let merged = allocation_counter::measure(|| snapshot = Some(merge(std::slice::from_ref(&reading), before.as_ref())));
        let now = snapshot.take().unwrap();
        let reported = allocation_counter::measure(|| report = Some(reporter.report(&now, Vec::new())));
        assert_eq!(report.unwrap().workloads.len() as u64, CONTAINERS + 1);
        let looked = allocation_counter::measure(|| drop(cgroups.look(&[])));
        before = Some(now);
        [looked, merged, reported].map(|counted| counted.count_total)
    };
    // All files are open and every figure has a past.
    for _ in 0..7 {
        tick();
    }
    let [looked, merged, reported] = tick();
    println!("allocations for {CONTAINERS} containers: look {looked}, merge {merged}, report {reported}");
    assert!(looked <= 10 && merged <= 3 * CONTAINERS && reported <= 3 * CONTAINERS, "look {looked}, merge {merged}, report {reported}");
}
