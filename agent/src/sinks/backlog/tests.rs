//! Sinks that keep up, are away, come back; lives that end and begin again.

use std::fs;
use std::path::Path;

use futures_util::FutureExt;

use super::*;
use crate::metrics::agent::Agent;

const SECOND: Duration = Duration::from_secs(1);

fn settings(state: Option<&Path>) -> Settings {
    Settings { state: state.map(Into::into), spool: Writes::Outage, patience: 30 * SECOND, memory: 1 << 20, disk: 4 << 20, frames: 1000, age: 3600 * SECOND }
}

fn open(settings: &Settings, sinks: &[&'static str]) -> (Backlog, Agent) {
    let agent = Agent::new();
    (Backlog::open(settings, sinks, agent.backlog.clone()).unwrap(), agent)
}

/// The report of a moment, ten seconds a number.
fn frame(number: i64) -> Packed {
    Packed { at: Timestamp::from_second(number * 10).unwrap(), rows: Vec::new(), families: Vec::new() }
}

fn number(frame: &Packed) -> i64 {
    frame.at.as_second() / 10
}

async fn take(backlog: &Backlog, sink: &'static str) -> i64 {
    let frame = backlog.next(sink).await;
    backlog.done(sink);
    number(&frame)
}

/// All that waits for a sink.
async fn take_all(backlog: &Backlog, sink: &'static str) -> Vec<i64> {
    let mut all = Vec::new();
    while backlog.behind(sink).frames > 0 {
        all.push(take(backlog, sink).await);
    }
    all
}

/// Until the keeper has laid up all.
fn settle(backlog: &Backlog) {
    let unsettled = |state: &State| state.queue.away && state.queue.to_keep().is_some();
    while unsettled(&backlog.shared.lock()) {
        std::thread::yield_now();
    }
}

fn segments(state: &Path) -> usize {
    let all = fs::read_dir(state.join(FOLDER)).unwrap();
    all.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "seg")).count()
}

#[tokio::test]
async fn while_all_keep_up_nothing_is_written() {
    let state = tempfile::tempdir().unwrap();
    let (backlog, _) = open(&settings(Some(state.path())), &["a", "b"]);
    for n in 0..50 {
        assert!(backlog.next("a").now_or_never().is_none(), "there is nothing yet");
        backlog.push(frame(n));
        assert_eq!(number(&*backlog.next("a").await), n);
        assert_eq!((take(&backlog, "a").await, take(&backlog, "b").await), (n, n), "until it is done it is the same");
    }
    assert_eq!((segments(state.path()), backlog.place()), (0, Place::Disk(state.path().join(FOLDER))));
    assert_eq!(backlog.behind("a"), Behind { frames: 0, bytes: 0, oldest: None });
}

#[tokio::test]
async fn a_sink_that_waits_is_woken() {
    let (backlog, _) = open(&settings(None), &["a"]);
    let backlog = Arc::new(backlog);
    let waiting = tokio::spawn({
        let backlog = Arc::clone(&backlog);
        async move { take(&backlog, "a").await }
    });
    tokio::task::yield_now().await;
    backlog.push(frame(7));
    assert_eq!(waiting.await.unwrap(), 7);
}

#[tokio::test]
async fn a_sink_that_was_away_gets_all_in_order_while_the_other_goes_on() {
    for state in [Some(tempfile::tempdir().unwrap()), None] {
        let folder = state.as_ref().map(|state| state.path());
        let (backlog, agent) = open(&settings(folder), &["near", "far"]);
        for n in 0..200 {
            backlog.push(frame(n));
            assert_eq!(take(&backlog, "near").await, n);
        }
        settle(&backlog);
        let behind = backlog.behind("far");
        assert_eq!((behind.frames, behind.oldest), (200, Some(frame(0).at)));
        assert_eq!(backlog.unwritten(), if folder.is_some() { 0 } else { 200 });
        assert_eq!(agent.backlog.age.with_label_values(&["far"]).get(), 1990.0);
        assert_eq!(take_all(&backlog, "far").await, (0..200).collect::<Vec<_>>());
        // When nobody waits any more all is in memory again.
        while backlog.shared.lock().queue.away {
            std::thread::yield_now();
        }
        assert_eq!(folder.map(segments).unwrap_or(0), 0);
        backlog.push(frame(200));
        assert_eq!((take(&backlog, "far").await, take(&backlog, "near").await), (200, 200));
    }
}

#[tokio::test]
async fn the_next_life_goes_on_where_this_one_was_stopped() {
    let state = tempfile::tempdir().unwrap();
    let settings = settings(Some(state.path()));
    let (backlog, _) = open(&settings, &["near", "far"]);
    for n in 0..10 {
        backlog.push(frame(n));
        if n < 8 {
            take(&backlog, "near").await;
        }
    }
    assert_eq!(number(&*backlog.next("far").await), 0);
    backlog.close();
    let (backlog, agent) = open(&settings, &["near", "far", "new"]);
    backlog.push(frame(10));
    assert_eq!(take_all(&backlog, "near").await, [8, 9, 10]);
    assert_eq!(take_all(&backlog, "new").await, [10], "a new sink begins with what comes");
    assert_eq!(take_all(&backlog, "far").await, (0..=10).collect::<Vec<_>>());
    let ambiguous = |sink| agent.backlog.ambiguous.with_label_values(&[sink]).get();
    assert_eq!((ambiguous("far"), ambiguous("near"), ambiguous("new")), (1, 0, 0), "far had it and did not say that it was done");
    drop(backlog);
    let (backlog, agent) = open(&settings, &["near", "far"]);
    assert_eq!((backlog.behind("far").frames, agent.backlog.ambiguous.with_label_values(&["far"]).get()), (0, 0));
}

#[tokio::test]
async fn in_always_each_is_on_disk_at_once() {
    let state = tempfile::tempdir().unwrap();
    let settings = Settings { spool: Writes::Always, ..settings(Some(state.path())) };
    let (backlog, _) = open(&settings, &["a"]);
    backlog.push(frame(0));
    settle(&backlog);
    assert_eq!((backlog.unwritten(), segments(state.path())), (0, 1));
    assert_eq!(take(&backlog, "a").await, 0);
    backlog.push(frame(1));
    assert_eq!(take(&backlog, "a").await, 1);
}

/// The oldest fall off, are counted by reason, and the sink gets the rest.
#[tokio::test]
async fn bounds_hold_and_what_they_cut_is_counted() {
    let state = tempfile::tempdir().unwrap();
    let usual = settings(Some(state.path()));
    for (settings, reason, left) in [
        (Settings { age: 50 * SECOND, ..usual.clone() }, "age", 6),
        (Settings { frames: 4, ..usual.clone() }, "frames", 4),
        (Settings { state: None, memory: 1000, ..usual.clone() }, "memory", 0),
    ] {
        let (backlog, agent) = open(&settings, &["a"]);
        for n in 0..20 {
            backlog.push(frame(n));
            settle(&backlog);
        }
        let taken = take_all(&backlog, "a").await;
        assert!(left == 0 || taken.len() == left, "{reason}: {taken:?}");
        assert_eq!(taken, (20 - taken.len() as i64..20).collect::<Vec<_>>(), "{reason}: the newest");
        assert_eq!(agent.backlog.dropped.with_label_values(&["a", reason]).get(), 20 - taken.len() as u64, "{reason}");
    }
}

#[tokio::test]
async fn what_a_newer_tare_wrote_is_counted_and_passed_over() {
    let state = tempfile::tempdir().unwrap();
    let settings = settings(Some(state.path()));
    let (mut spool, _) = Spool::open(&state.path().join(FOLDER), 1 << 20).unwrap();
    let good = crate::metrics::packed::codec::Codec::default().write(&frame(3)).unwrap();
    for (number, bytes) in [(1, &b"\xff\xffwho knows"[..]), (2, b"\x01\x00no frame"), (3, &good)] {
        spool.append(number, number as i64 * 10_000, bytes).unwrap();
    }
    drop(spool);
    let (backlog, agent) = open(&settings, &["a"]);
    assert_eq!(take_all(&backlog, "a").await, [3]);
    let dropped = |reason| agent.backlog.dropped.with_label_values(&["a", reason]).get();
    assert_eq!((dropped("unknown"), dropped("damaged")), (1, 1));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_said_and_memory_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (backlog, agent) = open(&settings(Some(&file)), &["a"]);
    assert!(matches!(backlog.place(), Place::Refused(why) if why.contains("Not a directory")));
    assert_eq!(agent.backlog.errors.with_label_values(&["open"]).get(), 1);
    (0..20).for_each(|n| backlog.push(frame(n)));
    assert_eq!(take_all(&backlog, "a").await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sink_that_asks_and_does_not_wait_misses_nothing() {
    let state = tempfile::tempdir().unwrap();
    let (backlog, _) = open(&Settings { spool: Writes::Always, ..settings(Some(state.path())) }, &["a"]);
    for n in 0..5 {
        backlog.push(frame(n));
        let _ = backlog.next("a").now_or_never();
    }
    assert_eq!(take_all(&backlog, "a").await, [0, 1, 2, 3, 4]);
}
