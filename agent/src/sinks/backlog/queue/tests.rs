//! Laws of the queue: each sink gets every frame once and in order, or is told that it lost it; no bound is passed.

use proptest::prelude::*;

use super::*;

const SINKS: [&str; 3] = ["a", "b", "c"];
const BOUNDS: Bounds = Bounds { memory: 2000, frames: 12, age: Duration::from_secs(100), patience: Duration::from_secs(30) };

fn frame(second: i64) -> Packed {
    Packed { at: Timestamp::from_second(second).unwrap(), rows: Vec::new(), families: Vec::with_capacity(0) }
}

/// What a sink was given, by the moment of its frame, and whether it has it still.
fn take(queue: &mut Queue, sink: usize) -> Option<u64> {
    let at = |frame: &Packed| frame.at.as_second() as u64;
    match queue.give(sink) {
        Give::Frame(frame) => Some(at(&frame)),
        Give::Nothing => None,
        Give::Ask => queue.hand_out(sink).map(|(number, _)| number),
    }
}

proptest! {
    #[test]
    fn each_frame_is_taken_once_in_order_or_lost(steps in prop::collection::vec((0u8..9, 0usize..3, 1usize..900), 1..200)) {
        let mut queue = Queue::new(BOUNDS, &SINKS, 0);
        let (mut pushed, mut now) = (0u64, 0i64);
        let mut taken: [Vec<u64>; 3] = Default::default();
        let mut given = [None::<u64>; 3];
        let mut lost = [0u64; 3];
        let mut count = |queue: &mut Queue| {
            for Lost { sink, .. } in queue.lost.drain(..) {
                lost[SINKS.iter().position(|name| *name == sink).unwrap()] += 1;
            }
            lost
        };
        for (what, sink, much) in steps {
            match what {
                0..3 => {
                    queue.push(frame(now));
                    // A frame's number is its moment too, so that one that is given at once can be told.
                    (pushed, now) = (pushed + 1, now + 1);
                }
                3 | 4 => {
                    let next = take(&mut queue, sink);
                    if let (Some(before), Some(next)) = (given[sink], next) {
                        prop_assert!(next >= before, "it is the same until it is done, or a later one where it fell off");
                    }
                    given[sink] = next;
                }
                5 => {
                    queue.done(sink);
                    taken[sink].extend(given[sink].take());
                }
                6 => {
                    if let Some((number, ..)) = queue.to_keep() {
                        queue.lay_up();
                        // Order is kept: behind what is laid up in memory nothing goes to disk.
                        let kept = if much % 2 == 0 && queue.to_disk().is_none() { Kept::Disk(Place::default()) } else { Kept::Memory(vec![0; much].into()) };
                        queue.keep(number, kept);
                    }
                }
                7 => {
                    if let Some((number, ..)) = queue.to_disk() {
                        queue.keep(number, Kept::Disk(Place::default()));
                    }
                }
                _ => queue.cut(queue.needed() + much as u64 % 4),
            }
            count(&mut queue);
            prop_assert!(queue.memory() <= BOUNDS.memory && queue.frames() <= BOUNDS.frames);
            prop_assert_eq!(queue.memory(), queue.items.iter().map(Item::memory).sum::<usize>());
            let age = queue.items.back().zip(queue.items.front()).map(|(last, first)| last.at.duration_since(first.at).as_secs());
            prop_assert!(age.is_none_or(|age| age <= 100));
        }
        for (sink, taken) in taken.iter_mut().enumerate() {
            while let Some(next) = take(&mut queue, sink) {
                queue.done(sink);
                taken.push(next);
            }
            prop_assert_eq!(queue.behind(sink), Behind { frames: 0, bytes: 0, oldest: None });
        }
        prop_assert!(queue.is_empty() && queue.memory() == 0);
        let lost = count(&mut queue);
        for ((taken, lost), sink) in taken.iter().zip(lost).zip(SINKS) {
            prop_assert!(taken.is_sorted_by(|a, b| a < b), "in order, none twice: {:?}", taken);
            prop_assert_eq!(taken.len() as u64 + lost, pushed, "{} is told of all", sink);
        }
    }
}

#[test]
fn a_sink_is_away_when_it_is_too_far_behind() {
    let mut queue = Queue::new(Bounds { memory: 1 << 20, frames: 1000, ..BOUNDS }, &SINKS[..2], 0);
    for second in 0..100 {
        assert!(!queue.push(frame(second * 10)), "both keep up");
        for sink in 0..2 {
            assert_eq!(take(&mut queue, sink), Some(second as u64 * 10));
            queue.done(sink);
        }
    }
    let away: Vec<bool> = (0..5).map(|n| queue.push(frame(1000 + n * 10))).collect();
    assert_eq!(away, [false, false, false, false, true], "once, after 30 s");
}

#[test]
fn without_sinks_nothing_waits() {
    let mut queue = Queue::new(BOUNDS, &[], 0);
    queue.push(frame(0));
    assert!(queue.is_empty());
}
