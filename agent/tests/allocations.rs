//! A tick in which nobody comes or goes is named and encoded without one allocation.

mod made;

use tare::metrics::frame::Frame;
use tare::sinks::prometheus::encode;

#[test]
fn the_steady_state_allocates_nothing() {
    let mut report = made::crowd(50);
    report.host.seen.usage = made::usage(1);
    report.host.seen.arch = Some("x86_64".into());
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
            row.containers[0].seen.usage = made::usage(n);
        }
        let counted = allocation_counter::measure(|| {
            assert!(tick(&report) > 100_000);
        });
        assert_eq!(counted.count_total, 0, "tick {n}");
    }
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
