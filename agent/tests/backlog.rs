//! The backlog in the bad world: a Tare that is killed a hundred times, a full disk, a day with nobody to send to.
//!
//! The lives are real processes: this program starts itself. What a sink's far end has taken is a file of numbers, a line each, that outlives them.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "all of it is tests")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tare::metrics::agent::Agent;
use tare::metrics::packed::{Labels, Named, Packed, PackedFamily, Point};
use tare::metrics::schema::{Kind, Tier, Value};
use tare::sinks::backlog::{Backlog, Place, Settings, Writes};

const FOLDER: &str = "TARE_TEST_BACKLOG";
const ROLE: &str = "TARE_TEST_BACKLOG_ROLE";
const SECOND: Duration = Duration::from_secs(1);
/// A report comes every ten seconds, and a sink is away after thirty.
const INTERVAL: i64 = 10;
/// So many frames at most are not on disk: those of thirty seconds, one that is being written and one that has just come.
const UNWRITTEN: usize = 6;
const KILLS: usize = 100;

fn settings(state: &Path) -> Settings {
    Settings {
        state: Some(state.into()),
        spool: Writes::Outage,
        patience: 30 * SECOND,
        memory: 8 << 20,
        disk: 64 << 20,
        frames: 100_000,
        age: 30 * 24 * 3600 * SECOND,
    }
}

/// Frames of so many series, whose values move.
struct Frames {
    rows: Vec<Labels>,
    about: Vec<Arc<Named>>,
}

impl Frames {
    fn new(rows: usize, families: usize) -> Frames {
        let row = |n: usize| Labels([("container".into(), format!("web-{n}").into()), ("host".into(), "ip-10-0-1-17.ec2.internal".into())].into());
        let about = |n: usize| Named {
            otel: format!("container.x{n}"),
            prometheus: format!("tare_container_x{n}_total"),
            unit: String::new(),
            kind: Kind::Counter,
            tier: Tier::Standard,
            help: "What it counts.".into(),
            split: None,
        };
        Frames { rows: (0..rows).map(row).collect(), about: (0..families).map(|n| Arc::new(about(n))).collect() }
    }

    fn at(&self, number: u64) -> Packed {
        let point = |row: usize, family: usize| Point {
            row: row as u32,
            word: 0,
            value: Value::Count(number.wrapping_mul(row as u64 * 7_919 + family as u64 * 104_729 + 1)),
        };
        let family = |(n, about): (usize, &Arc<Named>)| PackedFamily {
            about: Arc::clone(about),
            points: (0..self.rows.len()).map(|row| point(row, n)).collect(),
            peaks: Vec::new(),
        };
        let at = Timestamp::from_second(number as i64 * INTERVAL).unwrap();
        Packed { at, rows: self.rows.clone(), families: self.about.iter().enumerate().map(family).collect() }
    }
}

/// The numbers in a file; a line that was torn by a kill is none.
fn numbers(path: &Path) -> Vec<u64> {
    fs::read_to_string(path).unwrap_or_default().split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect()
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn note(mut to: &File, number: u64) {
    to.write_all(format!("{number}\n").as_bytes()).unwrap();
}

/// A sink: whatever it is given its far end takes, until nothing waits and it is told to end.
async fn send(backlog: Arc<Backlog>, sink: &'static str, taken: File) {
    loop {
        let frame = backlog.next(sink).await;
        note(&taken, (frame.at.as_second() / INTERVAL) as u64);
        backlog.done(sink);
        say();
    }
}

/// A sign of life for who may kill us.
fn say() {
    println!("and on");
}

/// One life, if this process was started to live one. What fails in here fails the test that started it.
#[test]
fn a_life() {
    let (Some(folder), Ok(role)) = (std::env::var_os(FOLDER).map(PathBuf::from), std::env::var(ROLE)) else { return };
    match &*role {
        "a-day-on-disk" => a_day(&settings(&folder)),
        "a-day-in-memory" => a_day(&Settings { state: None, memory: 32 << 20, ..settings(&folder) }),
        role => live(&folder, role == "near", role == "last"),
    }
}

/// Pushes and sends until it is killed. `near`: only the near far end takes anything. `last`: nothing is pushed, and it ends when all is taken.
fn live(folder: &Path, near: bool, last: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let agent = Agent::new();
    let backlog = Arc::new(Backlog::open(&settings(folder), &["near", "far"], agent.backlog.clone()).unwrap());
    assert_eq!(backlog.place(), Place::Disk(folder.join("spool")));
    for sink in ["near", "far"] {
        note(&append(&folder.join(format!("{sink}.doubt"))), agent.backlog.ambiguous.with_label_values(&[sink]).get());
    }
    for sink in if near { &["near"][..] } else { &["near", "far"] } {
        runtime.spawn(send(Arc::clone(&backlog), sink, append(&folder.join(format!("{sink}.taken")))));
    }
    if last {
        while ["near", "far"].iter().any(|sink| backlog.behind(sink).frames > 0) {
            std::thread::yield_now();
        }
        return;
    }
    let (frames, pushed) = (Frames::new(20, 10), append(&folder.join("pushed")));
    for number in numbers(&folder.join("pushed")).last().map_or(0, |last| last + 1).. {
        // The clock of this world is quick, the disk is not: a report comes when those before it are where they would be after ten seconds.
        while backlog.unwritten() >= UNWRITTEN {
            std::thread::yield_now();
        }
        note(&pushed, number);
        backlog.push(frames.at(number));
        say();
    }
}

/// 8640 reports and nobody to send them to. How much memory that takes is on the last line.
fn a_day(settings: &Settings) {
    let (frames, agent) = (Frames::new(50, 20), Agent::new());
    let before = resident();
    let backlog = Backlog::open(settings, &["a", "b"], agent.backlog.clone()).unwrap();
    let mut most = 0;
    for number in 0..8640 {
        while backlog.unwritten() >= UNWRITTEN && settings.state.is_some() {
            std::thread::yield_now();
        }
        backlog.push(frames.at(number));
        if number % 20 == 0 {
            most = most.max(resident());
            let disk: u64 = files(&settings.state.iter().map(|state| state.join("spool")).collect::<PathBuf>());
            assert!(disk <= settings.disk, "{disk}");
        }
    }
    let behind = backlog.behind("a");
    let dropped = |reason| agent.backlog.dropped.with_label_values(&["a", reason]).get();
    assert_eq!(behind.frames as u64 + dropped("memory") + dropped("disk") + dropped("age"), 8640, "what is not there is counted");
    println!("{} frames of {} bytes wait; memory {} KiB", behind.frames, behind.bytes / behind.frames as u64, most - before);
}

/// KiB of memory of this process that no file backs.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}

fn files(folder: &Path) -> u64 {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
}

fn start(folder: &Path, role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_life", "--nocapture"]).env(FOLDER, folder).env(ROLE, role);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// The next of a row of numbers that look like chance and are the same in every run.
fn chance(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn a_hundred_kills_lose_what_was_not_on_disk_and_double_what_was_being_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d;
    for kill in 0..KILLS {
        // The far end is away for sixty lives, then both take.
        let mut life = start(folder.path(), if kill < 60 { "near" } else { "both" });
        let signs = BufReader::new(life.stdout.take().unwrap()).lines().map_while(Result::ok).filter(|line| line == "and on");
        let lived = signs.take(chance(&mut state) % 120).count();
        life.kill().unwrap();
        let ended = life.wait().unwrap();
        assert!(!ended.success() && ended.code().is_none(), "life {kill} was killed after {lived} signs, and did not end by itself: {ended}");
    }
    let mut last = start(folder.path(), "last");
    std::io::copy(&mut last.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(last.wait().unwrap().success());

    let pushed = numbers(&folder.path().join("pushed"));
    assert!(pushed.len() > 720, "two hours and more: {}", pushed.len());
    for sink in ["near", "far"] {
        let taken = numbers(&folder.path().join(format!("{sink}.taken")));
        assert!(taken.is_sorted(), "{sink}: in order");
        let mut times = BTreeMap::new();
        taken.iter().for_each(|number| *times.entry(*number).or_insert(0) += 1);
        let lost = pushed.iter().filter(|number| !times.contains_key(number)).count();
        let doubled: u64 = times.values().map(|times| times - 1).sum();
        let doubted: u64 = numbers(&folder.path().join(format!("{sink}.doubt"))).iter().sum();
        println!("{sink}: of {} reports {lost} lost, {doubled} doubled, {doubted} ambiguous", pushed.len());
        assert!(doubled <= doubted && doubted <= KILLS as u64, "{sink}: {doubled} doubled, {doubted} counted as ambiguous");
        // Of a life at most what was not on disk, and a report that was noted and not yet pushed.
        assert!(lost <= KILLS * (UNWRITTEN + 1), "{sink}: {lost} of {}", pushed.len());
        assert!(times.keys().all(|number| pushed.contains(number)));
    }
    assert!(files(&folder.path().join("spool")) <= 8192, "when all is taken nothing is left but cursors");
}

#[test]
fn a_day_with_nobody_to_send_to_stays_in_its_bounds() {
    for role in ["a-day-on-disk", "a-day-in-memory"] {
        let folder = tempfile::tempdir().unwrap();
        let day = start(folder.path(), role).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&day.stdout).into_owned();
        assert!(day.status.success(), "{said}");
        let line = said.lines().find(|line| line.contains("frames of")).unwrap();
        println!("{role}: {line}");
        let memory: u64 = line.rsplit_once("memory ").and_then(|(_, rest)| rest.strip_suffix(" KiB")?.parse().ok()).unwrap();
        assert!(memory <= 64 << 10, "{role}: {line}");
    }
}

/// A small file system in memory, gone with this. `None`: not ours to mount.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Option<Small> {
        let folder = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path()).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Small(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_all_waits_in_memory_and_goes_back_when_there_is_room() {
    let Some(small) = Small::mount("size=512k") else {
        println!("skipped: a full disk, because no file system can be mounted here");
        return;
    };
    let agent = Agent::new();
    let backlog = Backlog::open(&Settings { disk: 1 << 20, ..settings(small.0.path()) }, &["a"], agent.backlog.clone()).unwrap();
    let frames = Frames::new(50, 20);
    let mut number = 0;
    let is_full = || matches!(backlog.place(), Place::Refused(why) if why.contains("No space left"));
    let mut push = || {
        while backlog.unwritten() >= UNWRITTEN && !is_full() {
            std::thread::yield_now();
        }
        backlog.push(frames.at(number));
        number += 1;
    };
    while !is_full() {
        push();
        assert!(backlog.behind("a").frames < 2000);
    }
    (0..20).for_each(|_| push());
    assert!(agent.backlog.errors.with_label_values(&["write"]).get() > 0);
    // Half of what waits is taken, which makes room.
    let mut taken = Vec::new();
    let mut take = async |much: usize| {
        for _ in 0..much {
            taken.push((backlog.next("a").await.at.as_second() / INTERVAL) as u64);
            backlog.done("a");
        }
        taken.clone()
    };
    let waiting = backlog.behind("a").frames;
    take(waiting / 2).await;
    while backlog.unwritten() > 0 {
        push();
        std::thread::yield_now();
        assert!(backlog.behind("a").frames < 2000);
    }
    assert_eq!(backlog.place(), Place::Disk(small.0.path().join("spool")));
    let rest = backlog.behind("a").frames;
    let all = take(rest).await;
    assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>(), "none lost, none twice, in order");
    assert_eq!(agent.backlog.dropped.with_label_values(&["a", "memory"]).get(), 0);
}
