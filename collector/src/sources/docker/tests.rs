//! The source against a daemon that breaks in every way real ones do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::STALE;
use crate::snapshot::Health;
use crate::sources::Network;
use crate::units::{Bytes, Cores, Limit, Stamp};
use fake::{Daemon, Fault};

#[path = "../../../../tests/fakes/docker.rs"]
pub(super) mod fake;

const NOW: &str = "2026-03-02T10:00:10Z";
const CANARY: &str = "CANARY-hunter2";

fn settings() -> Settings {
    Settings { max_containers: 5000, relist: Duration::from_secs(3600), linger: Duration::from_secs(300) }
}

fn source(address: Address) -> DockerSource {
    DockerSource::new(address, Clock::Fixed(Stamp { wall: NOW.parse().ok(), boot: None }), settings())
}

fn unix(path: &Path) -> DockerSource {
    source(Address::Unix(path.into()))
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Folder {
        Folder { folder: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }
}

async fn read(source: &mut DockerSource) -> Reading {
    source.read(Instant::now() + Duration::from_secs(20)).await
}

/// A read with so little time that what hangs is noticed at once.
async fn glance(source: &mut DockerSource) -> Reading {
    source.read(Instant::now() + Duration::from_millis(150)).await
}

/// Waits for the event stream to tell something. The time is only a bound on a broken test.
async fn news(source: &DockerSource) {
    tokio::time::timeout(Duration::from_secs(20), source.woken().notified()).await.unwrap();
}

fn containers(reading: &Reading) -> &Containers {
    match &reading.told {
        Some(Told::Docker(containers)) => containers,
        other => panic!("{other:?} {:?}", reading.gaps),
    }
}

fn names(reading: &Reading) -> Vec<&str> {
    containers(reading).containers.iter().map(|container| container.about.label()).collect()
}

fn why(reading: &Reading) -> &str {
    assert_eq!(reading.gaps.len(), 1, "{:?}", reading.gaps);
    &reading.gaps[0].why
}

fn row(id: &str, state: &str) -> Value {
    json!({"Id": id, "Names": [format!("/{id}-name")], "Image": "web:1", "ImageID": "sha256:ab", "Command": format!("serve {CANARY}"), "State": state,
        "Status": "Up 5 seconds", "Labels": {"secret": CANARY, "com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
        "HostConfig": {"NetworkMode": "bridge"}})
}

fn inspect(id: &str, state: &str) -> Value {
    json!({"Id": id, "Name": format!("/{id}-name"), "Image": "sha256:ab", "RestartCount": 0, "Path": CANARY, "Args": [CANARY],
        "State": {"Status": state, "Running": state == "running", "OOMKilled": false, "Pid": 77, "ExitCode": 0,
            "StartedAt": "2026-03-02T10:00:05Z", "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "healthy", "FailingStreak": 0, "Log": [{"Output": CANARY}]}},
        "Config": {"Image": "web:1", "Env": [format!("PASSWORD={CANARY}")], "Cmd": [CANARY], "Entrypoint": [CANARY],
            "Labels": {"secret": CANARY, "com.docker.compose.project": "shop", "com.docker.compose.service": "web"}},
        "HostConfig": {"NetworkMode": "bridge", "CpuShares": 512, "Memory": 1 << 30, "MemoryReservation": 0, "MemorySwap": 3u64 << 30,
            "NanoCpus": 1_500_000_000, "PidsLimit": 100}})
}

fn put(daemon: &Daemon, id: &str, state: &str) {
    let mut row = row(id, state);
    if state == "running" {
        row["Status"] = "Up 5 seconds (healthy)".into();
    }
    daemon.put(row, inspect(id, state));
}

fn event(id: &str, action: &str, nanos: i64) -> Value {
    json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": {"exitCode": "137", "secret": CANARY}}, "time": nanos / 1_000_000_000, "timeNano": nanos})
}

/// 2026-03-02T10:00:08Z
const T: i64 = 1_772_445_608_000_000_000;

/// A source whose event stream is open and whose list was taken after that.
async fn listening(folder: &Folder) -> DockerSource {
    let mut source = unix(&folder.socket());
    read(&mut source).await;
    news(&source).await;
    read(&mut source).await;
    source
}

#[tokio::test]
async fn a_container_is_told_in_full_and_nothing_secret_is_kept() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = unix(&folder.socket());
    let reading = read(&mut source).await;
    assert_eq!(reading.gaps, []);
    let told = containers(&reading);
    let docker = told.docker.as_deref().unwrap();
    assert_eq!((&*docker.version, &*docker.api, docker.root.as_deref()), ("26.1.5", "1.45", Some("/var/lib/docker")));
    let container = &*told.containers[0];
    let about = &*container.about;
    assert_eq!((about.name.as_deref(), about.image.as_deref(), about.digest.as_deref()), (Some("a1-name"), Some("web:1"), Some("sha256:ab")));
    assert_eq!(about.compose.as_ref().map(|compose| (&*compose.project, &*compose.service)), Some(("shop", "web")));
    assert_eq!((container.state, container.health, container.restarts, container.exit), (State::Running, Some(Health::Healthy), Some(0), None));
    assert_eq!((container.started, container.ended), ("2026-03-02T10:00:05Z".parse().ok(), None));
    assert_eq!((container.pid, &container.network, container.oom), (Some(77), &Network::Own, Some(false)));
    assert_eq!((container.asked.cores, container.asked.memory), (Some(Cores(0.5)), Some(Bytes::GIB)));
    assert_eq!((container.limits.cores, container.limits.memory), (Limit::Of(Cores(1.5)), Limit::Of(Bytes::GIB)));
    assert_eq!((container.limits.swap, container.limits.pids), (Limit::Of(Bytes(2 << 30)), Limit::Of(100)));
    assert!(!format!("{reading:?} {source:?}").contains(CANARY));
    assert!(daemon.asked().iter().any(|asked| asked.starts_with("/v1.45/containers/json")));
}

#[tokio::test]
async fn a_quiet_host_costs_its_daemon_nothing_and_allocates_nobody_anew() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = listening(&folder).await;
    let before = read(&mut source).await;
    daemon.asked();
    for _ in 0..3 {
        let after = read(&mut source).await;
        assert!(Arc::ptr_eq(&containers(&before).containers[0].about, &containers(&after).containers[0].about));
        assert_eq!(after.gaps, []);
    }
    assert_eq!(daemon.asked(), Vec::<String>::new());

    let mut paused = inspect("a1", "paused");
    paused["RestartCount"] = 3.into();
    daemon.put(row("a1", "paused"), paused);
    daemon.emit(event("a1", "exec_create: sh -c secret", T));
    daemon.emit(event("a1", "pause", T + 1));
    news(&source).await;
    let after = read(&mut source).await;
    assert_eq!(containers(&after).containers[0].state, State::Paused);
    assert!(Arc::ptr_eq(&containers(&before).containers[0].about, &containers(&after).containers[0].about));
    assert_eq!(daemon.asked(), ["/v1.45/containers/a1/json"]);
}

#[tokio::test]
async fn how_a_container_ended_outlives_it() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = listening(&folder).await;
    daemon.remove("a1");
    daemon.emit(event("a1", "die", T));
    news(&source).await;
    daemon.emit(event("a1", "destroy", T + 1));
    news(&source).await;
    let reading = read(&mut source).await;
    let container = &*containers(&reading).containers[0];
    assert_eq!((container.state, container.exit, container.pid), (State::Exited, Some(137), None));
    assert_eq!((container.started, container.ended), ("2026-03-02T10:00:05Z".parse().ok(), "2026-03-02T10:00:08Z".parse().ok()));
    source.clock = Clock::Fixed(Stamp { wall: "2026-03-02T10:05:09Z".parse().ok(), boot: None });
    assert_eq!(names(&read(&mut source).await), Vec::<&str>::new());
}

#[tokio::test]
async fn one_that_came_and_went_between_two_turns_is_known_by_its_events() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    let mut source = listening(&folder).await;
    let words = json!({"image": "shop/job:3", "name": "job", "exitCode": "3", "maintainer": CANARY});
    for (action, nanos) in [("start", T), ("oom", T + 300_000_000), ("die", T + 400_000_000), ("destroy", T + 500_000_000)] {
        let mut said = event("a1", action, nanos);
        said["Actor"]["Attributes"] = words.clone();
        daemon.emit(said);
    }
    while source.events.as_ref().is_some_and(|events| events.peek(|changes| !changes.of.values().any(|change| change.gone))) {
        news(&source).await;
    }
    let reading = read(&mut source).await;
    let job = &*containers(&reading).containers[0];
    assert_eq!((job.about.name.as_deref(), job.about.image.as_deref()), (Some("job"), Some("shop/job:3")));
    assert_eq!((job.state, job.exit, job.oom), (State::Exited, Some(3), Some(true)));
    assert_eq!((job.started, job.ended), ("2026-03-02T10:00:08Z".parse().ok(), "2026-03-02T10:00:08.4Z".parse().ok()));
    assert!(!format!("{job:?}").contains(CANARY));
    assert_eq!(reading.gaps, []);
}

/// A turn may fall between the two.
#[tokio::test]
async fn a_kill_is_known_whichever_turn_hears_of_it() {
    for order in [["oom", "die"], ["die", "oom"]] {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.socket());
        let mut source = listening(&folder).await;
        let mut reading = None;
        for (turn, actions) in [vec!["start"], vec![order[0]], vec![order[1]]].into_iter().enumerate() {
            for action in actions {
                let mut said = event("a1", action, T + turn as i64 * 100_000_000);
                said["Actor"]["Attributes"] = json!({"name": "job", "exitCode": "137"});
                daemon.emit(said);
            }
            news(&source).await;
            reading = Some(read(&mut source).await);
        }
        let reading = reading.unwrap();
        let job = &*containers(&reading).containers[0];
        assert_eq!((job.state, job.exit, job.oom), (State::Exited, Some(137), Some(true)), "{order:?}");
    }
}

#[tokio::test]
async fn what_is_deleted_is_not_being_deleted_any_more() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = listening(&folder).await;
    let mut removing = inspect("a1", "removing");
    removing["State"]["FinishedAt"] = "2026-03-02T10:00:08Z".into();
    daemon.put(row("a1", "removing"), removing);
    daemon.emit(event("a1", "die", T));
    news(&source).await;
    assert_eq!(containers(&read(&mut source).await).containers[0].state, State::Removing);
    daemon.remove("a1");
    daemon.emit(event("a1", "destroy", T + 1));
    news(&source).await;
    assert_eq!(containers(&read(&mut source).await).containers[0].state, State::Exited);
}

#[tokio::test]
async fn a_daemon_that_dies_and_comes_back_is_taken_up_where_it_was_left() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    put(&daemon, "b2", "running");
    let mut source = listening(&folder).await;
    daemon.emit(event("b2", "update", T));
    news(&source).await;
    read(&mut source).await;

    let remains = daemon.die();
    news(&source).await;
    let dead = read(&mut source).await;
    assert!(dead.told.is_none() && why(&dead).contains("is not there"), "{dead:?}");

    remains.unheard(event("a1", "die", T + 1));
    remains.unheard(event("a1", "destroy", T + 2));
    let daemon = remains.again();
    daemon.remove("a1");
    daemon.version(json!({"Version": "28.0.0", "ApiVersion": "1.48"}));
    put(&daemon, "c3", "running");
    news(&source).await;
    assert!(daemon.asked().iter().any(|asked| asked.contains("since=1772445608.000000000")));
    // The past events may come a moment after the stream's head.
    while source.events.as_ref().is_some_and(|events| events.peek(|changes| changes.of.len() < 2)) {
        news(&source).await;
    }
    let back = read(&mut source).await;
    assert_eq!(names(&back), ["a1-name", "b2-name", "c3-name"]);
    assert_eq!((containers(&back).containers[0].state, containers(&back).containers[0].exit), (State::Exited, Some(137)));
    assert_eq!(&*containers(&back).docker.as_ref().unwrap().version, "28.0.0");
    assert_eq!(back.gaps, []);
}

#[tokio::test]
async fn a_stream_cut_in_the_middle_of_an_event_is_opened_again_and_misses_nothing() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = listening(&folder).await;
    put(&daemon, "b2", "running");
    let half = event("b2", "start", T).to_string();
    daemon.emit_bytes(half[..half.len() / 2].to_owned().into());
    daemon.hang_up();
    news(&source).await;
    assert_eq!(names(&read(&mut source).await), ["a1-name", "b2-name"]);
}

#[tokio::test]
async fn without_events_every_turn_lists() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    daemon.fault("/events", Some(Fault::Status(403, "no".into())));
    put(&daemon, "a1", "running");
    let mut source = unix(&folder.socket());
    assert_eq!(names(&read(&mut source).await), ["a1-name"]);
    put(&daemon, "b2", "running");
    assert_eq!(names(&read(&mut source).await), ["a1-name", "b2-name"]);
    daemon.remove("a1");
    assert_eq!(names(&read(&mut source).await), ["b2-name"]);
}

#[tokio::test]
async fn a_socket_that_is_none_says_so_and_heals_without_a_restart() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut source = unix(&path);
    assert!(why(&read(&mut source).await).contains("is not there: this host has no Docker"));
    fs::create_dir(&path).unwrap();
    assert!(why(&read(&mut source).await).contains("is a directory: the host path did not exist"));
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert!(why(&read(&mut source).await).contains("is a file, no socket"));
    fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(why(&read(&mut source).await).contains("connection refused"));
    fs::remove_file(&path).unwrap();

    let daemon = Daemon::start(&path);
    put(&daemon, "a1", "running");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if !rustix::process::geteuid().is_root() {
        assert!(why(&read(&mut source).await).contains("permission denied: it belongs to group"));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(names(&read(&mut source).await), ["a1-name"]);
}

#[test]
fn a_refused_socket_names_the_group_to_join() {
    let folder = Folder::new();
    let _listener = std::os::unix::net::UnixListener::bind(folder.socket()).unwrap();
    let said = explain(&Error::file(folder.socket(), rustix::io::Errno::ACCESS));
    assert!(said.contains(&format!("with the group {}", rustix::process::getgid().as_raw())), "{said}");
}

#[tokio::test]
async fn a_daemon_that_breaks_off_is_a_gap_with_a_reason_and_a_fix() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    let mut source = unix(&folder.socket());
    for path in ["/version", "/containers/json"] {
        for (fault, words) in [
            (Fault::Hang, "the daemon hangs"),
            (Fault::HangMidAnswer, "the daemon hangs"),
            (Fault::Cut, ""),
            (Fault::Close, "see that the Docker daemon runs"),
            (Fault::Huge(17 << 20), "larger than"),
            (Fault::Status(500, "boom".into()), "HTTP 500: boom"),
            (Fault::Status(403, "<html>no</html>".into()), "socket proxy"),
            (Fault::Body("<html>".into()), ""),
            (Fault::Body(String::new()), ""),
            (Fault::Body("{\"message\": \"x\"}".into()), ""),
        ] {
            daemon.fault(path, Some(fault.clone()));
            source.probe.is_expected();
            let reading = if words.contains("hangs") { glance(&mut source).await } else { read(&mut source).await };
            assert!(reading.told.is_none(), "{path} {fault:?}");
            assert!(why(&reading).contains(words) && why(&reading).contains("; fix: "), "{path} {fault:?} {}", why(&reading));
            daemon.fault(path, None);
        }
    }
    source.probe.is_expected();
    assert_eq!(names(&read(&mut source).await), ["a1-name"]);
}

#[tokio::test]
async fn a_daemon_that_never_answered_is_asked_seldom_until_its_socket_is_made_anew() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    daemon.fault("/version", Some(Fault::Status(500, "boom".into())));
    let mut source = unix(&folder.socket());
    let first = read(&mut source).await;
    daemon.asked();
    daemon.fault("/version", None);
    assert_eq!((&read(&mut source).await.gaps, daemon.asked().len()), (&first.gaps, 0), "the reason stays, nobody is asked");
    source.probe.wait(Duration::from_secs(30));
    assert_eq!(names(&read(&mut source).await), ["a1-name"]);

    let remains = daemon.die();
    for _ in 0..3 {
        assert!(read(&mut source).await.told.is_none());
    }
    source.probe.wait(STALE);
    assert!(read(&mut source).await.told.is_none() && source.probe.is_silent());
    let daemon = remains.again();
    assert_eq!(names(&read(&mut source).await), ["a1-name"], "a new socket is asked at once");
    drop(daemon);
}

#[tokio::test]
async fn a_container_with_a_broken_inspect_costs_itself_only() {
    for fault in [Fault::Cut, Fault::Close, Fault::Huge(2 << 20), Fault::Status(500, "boom".into()), Fault::Body("[]".into()), Fault::Body("{}".into())] {
        let folder = Folder::new();
        let daemon = Daemon::start(&folder.socket());
        put(&daemon, "a1", "running");
        put(&daemon, "b2", "running");
        daemon.fault("/a1/json", Some(fault));
        let mut source = unix(&folder.socket());
        let reading = read(&mut source).await;
        assert_eq!(names(&reading), ["a1-name", "b2-name"]);
        assert_eq!(containers(&reading).containers[0].state, State::Running);
        assert_eq!((containers(&reading).containers[0].pid, containers(&reading).containers[1].pid), (None, Some(77)));
        assert!(why(&reading).starts_with("1 container could not be inspected, first a1-name: "), "{}", why(&reading));
        daemon.fault("/a1/json", None);
        let reading = read(&mut source).await;
        assert_eq!((containers(&reading).containers[0].pid, reading.gaps), (Some(77), vec![]));
    }
}

#[tokio::test]
async fn what_is_not_inspected_in_time_is_done_next() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    put(&daemon, "a1", "running");
    put(&daemon, "b2", "running");
    daemon.fault("/b2/json", Some(Fault::HangMidAnswer));
    let mut source = unix(&folder.socket());
    let reading = source.read(Instant::now() + Duration::from_secs(2)).await;
    assert_eq!(names(&reading), ["a1-name", "b2-name"]);
    assert!(why(&reading).contains("1 container not inspected in time"));
    daemon.fault("/b2/json", None);
    let reading = read(&mut source).await;
    assert_eq!((containers(&reading).containers[1].pid, reading.gaps), (Some(77), vec![]));
}

#[tokio::test]
async fn containers_whose_inspect_hangs_do_not_keep_the_others_waiting() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    for id in ["a1", "a2", "a3", "a4", "a5", "z9"] {
        put(&daemon, id, "running");
    }
    (1..=5).for_each(|n| daemon.fault(&format!("/a{n}/json"), Some(Fault::Hang)));
    let mut source = unix(&folder.socket());
    let pids = |reading: &Reading| containers(reading).containers.iter().filter_map(|one| one.pid).count();
    let mut turns = 0;
    while pids(&source.read(Instant::now() + Duration::from_secs(2)).await) == 0 {
        turns += 1;
        assert!(turns < 10, "z9 never had its turn");
    }
}

#[tokio::test]
async fn a_daemon_too_old_or_too_new_is_refused_by_name() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    let mut source = unix(&folder.socket());
    for (version, words) in [
        (json!({"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}), "Docker 19.03.15 speaks API 1.40"),
        (json!({"Version": "1.9", "ApiVersion": "1.9"}), "upgrade to Docker 20.10"),
        (json!({"Version": "40.0", "ApiVersion": "1.99", "MinAPIVersion": "1.80"}), "fix: upgrade Tare"),
        (json!({"ApiVersion": 7}), "does not say its API version"),
        (json!({"ApiVersion": "2.0"}), "does not say its API version"),
    ] {
        daemon.version(version);
        source.probe.is_expected();
        let reading = read(&mut source).await;
        assert!(reading.told.is_none() && why(&reading).contains(words), "{}", why(&reading));
    }
    for (version, path) in [("1.41", "/v1.41/"), ("1.53", "/v1.53/"), ("1.60", "/v1.53/")] {
        daemon.version(json!({"Version": "x", "ApiVersion": version}));
        daemon.asked();
        let mut source = unix(&folder.socket());
        assert_eq!(read(&mut source).await.gaps, []);
        assert!(daemon.asked().iter().any(|asked| asked.starts_with(path)), "{version}");
    }
}

#[tokio::test]
async fn more_containers_than_allowed_are_cut_and_counted_the_running_ones_last() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    for id in ["a1", "b2"] {
        let mut ended = inspect(id, "exited");
        ended["State"]["FinishedAt"] = "2026-03-02T10:00:09Z".into();
        daemon.put(row(id, "exited"), ended);
    }
    put(&daemon, "y8", "running");
    put(&daemon, "z9", "running");
    let mut source = unix(&folder.socket());
    source.settings.max_containers = 3;
    let reading = read(&mut source).await;
    assert_eq!((names(&reading), containers(&reading).cut), (vec!["a1-name", "y8-name", "z9-name"], 1));
}

#[tokio::test]
async fn which_containers_are_told() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder.socket());
    for (id, state, finished) in [
        ("a-running", "running", "0001-01-01T00:00:00Z"),
        ("b-paused", "paused", "0001-01-01T00:00:00Z"),
        ("c-looping", "restarting", "2026-03-02T10:00:09Z"),
        ("d-created", "created", "0001-01-01T00:00:00Z"),
        ("e-just-ended", "exited", "2026-03-02T10:00:09Z"),
        ("f-long-ended", "exited", "2026-03-02T09:00:00Z"),
        ("g-dead", "dead", "0001-01-01T00:00:00Z"),
        ("h-new-word", "stopping", "0001-01-01T00:00:00Z"),
        ("i-no-word", "hibernating", "0001-01-01T00:00:00Z"),
    ] {
        let mut inspect = inspect(id, state);
        inspect["State"]["FinishedAt"] = finished.into();
        inspect["State"]["ExitCode"] = 3.into();
        inspect["State"]["Running"] = true.into();
        if id.starts_with('f') {
            inspect["State"]["StartedAt"] = "2026-03-02T08:00:00Z".into();
        }
        daemon.put(row(id, state), inspect);
    }
    let mut source = unix(&folder.socket());
    let reading = read(&mut source).await;
    let told: Vec<_> = containers(&reading).containers.iter().map(|c| (c.about.label(), c.state, c.exit, c.started.is_some(), c.ended.is_some())).collect();
    assert_eq!(
        told,
        [
            ("a-running-name", State::Running, None, true, false),
            ("b-paused-name", State::Paused, None, true, false),
            ("c-looping-name", State::Restarting, Some(3), false, false),
            ("e-just-ended-name", State::Exited, Some(3), true, true),
            ("h-new-word-name", State::Running, None, true, false),
            ("i-no-word-name", State::Running, None, true, false),
        ]
    );
}

#[test]
fn what_was_asked_for_and_what_is_the_limit() {
    let told = |host: Value| {
        answers::inspect(json!({"Id": "a", "State": {"Status": "running"}, "HostConfig": host}).to_string().as_bytes()).unwrap().container().unwrap()
    };
    for (host, cores, memory) in [
        (json!({"CpuShares": 0, "Memory": 0}), None, None),
        (json!({"CpuShares": 2}), None, None),
        (json!({"CpuShares": 1024}), None, None),
        (json!({"CpuShares": 256, "Memory": 100, "MemoryReservation": 50}), Some(0.25), Some(50)),
        (json!({"CpuShares": -5, "Memory": 100, "MemoryReservation": 0}), None, Some(100)),
        (json!({"CpuShares": "512", "Memory": 1e30}), None, None),
        (json!(null), None, None),
    ] {
        let asked = told(host.clone()).asked;
        assert_eq!((asked.cores, asked.memory), (cores.map(Cores), memory.map(Bytes)), "{host}");
    }
    for (host, cores) in [
        (json!({"NanoCpus": 500_000_000}), Limit::Of(Cores(0.5))),
        (json!({"CpuQuota": 150_000, "CpuPeriod": 50_000}), Limit::Of(Cores(3.0))),
        (json!({"CpuQuota": 150_000, "CpuPeriod": 0}), Limit::Of(Cores(1.5))),
        (json!({"CpuQuota": -1}), Limit::Unlimited),
        (json!({"NanoCpus": 0, "CpusetCpus": "0-1,3"}), Limit::Of(Cores(3.0))),
        (json!({"NanoCpus": 1_500_000_000, "CpusetCpus": "0-1"}), Limit::Of(Cores(1.5))),
        (json!({"NanoCpus": 0, "CpusetCpus": ""}), Limit::Unlimited),
        (json!({"Memory": 0}), Limit::Unknown),
        (json!([]), Limit::Unknown),
    ] {
        assert_eq!(told(host.clone()).limits.cores, cores, "{host}");
    }
    for (memory, limit) in [(json!(0), Limit::Unlimited), (json!(7), Limit::Of(Bytes(7))), (json!(null), Limit::Unknown), (json!("7"), Limit::Unknown)] {
        assert_eq!(told(json!({"Memory": memory})).limits.memory, limit, "{memory}");
    }
    for (pids, limit) in [(json!(null), Limit::Unlimited), (json!(0), Limit::Unlimited), (json!(-1), Limit::Unlimited), (json!(7), Limit::Of(7))] {
        assert_eq!(told(json!({"PidsLimit": pids})).limits.pids, limit, "{pids}");
    }
    for (host, swap) in [
        (json!({"Memory": 0, "MemorySwap": 0}), Limit::Unlimited),
        (json!({"Memory": 10, "MemorySwap": -1}), Limit::Unlimited),
        (json!({"Memory": 10, "MemorySwap": 25}), Limit::Of(Bytes(15))),
        (json!({"Memory": 10, "MemorySwap": 10}), Limit::Of(Bytes(0))),
        (json!({"Memory": 10, "MemorySwap": 0}), Limit::Unknown),
    ] {
        assert_eq!(told(host.clone()).limits.swap, swap, "{host}");
    }
    for (mode, network) in [("host", Network::Host), ("container:a1", Network::Of("a1".into())), ("none", Network::Own), ("", Network::Unknown)] {
        assert_eq!(told(json!({"NetworkMode": mode})).network, network);
    }
}

#[test]
fn odd_rows_of_a_list_cost_nothing_and_bollards_own_model_would_refuse_them() {
    let odd = json!([
        {"Id": "a", "Names": null, "Labels": null, "State": "hibernating", "Status": null, "HostConfig": null},
        {"Id": "b", "Names": [], "Labels": {"com.docker.compose.project": "é".repeat(40_000), "com.docker.compose.service": "s"}, "State": "running"},
        {"Id": 7, "State": "running"}, null, "x", {},
        {"Id": "c", "Names": ["/other/alias", "/c"], "Labels": [1], "State": "running", "Status": "Up 3 minutes (unhealthy)"},
        {"Id": "../../evil?x", "State": "running"}
    ]);
    let (rows, _) = answers::list(odd.to_string().as_bytes()).unwrap();
    let told: Vec<_> = rows.iter().filter_map(Row::container).collect();
    let names: Vec<_> = told.iter().map(|container| (container.about.id.as_str(), container.about.name.as_deref())).collect();
    assert_eq!(names, [("b", None), ("c", Some("c"))]);
    assert_eq!(told[0].about.compose.as_ref().unwrap().project.len(), 512);
    assert_eq!(told[1].health, Some(Health::Unhealthy));
    assert!(serde_json::from_value::<bollard::models::ContainerSummary>(odd[0].clone()).is_err());
}

#[tokio::test]
async fn nowhere_is_quiet() {
    let reading = read(&mut source(Address::Nowhere)).await;
    assert!(reading.told.is_none() && reading.gaps.is_empty());
}

fn fixtures() -> Option<PathBuf> {
    let fixtures = std::env::var_os("TARE_FIXTURES").map(PathBuf::from);
    if fixtures.is_none() {
        println!("skipped: TARE_FIXTURES is not set");
    }
    fixtures
}

#[tokio::test]
async fn recorded_answers_are_read_like_a_daemon() {
    let Some(fixtures) = fixtures() else { return };
    let replay = async |name: &str| read(&mut source(Address::Answers(fixtures.join("trials").join(name).join("docker/answers.json")))).await;
    let reading = replay("26-names-null").await;
    assert_eq!((names(&reading), &reading.gaps[..], containers(&reading).docker.is_none()), (vec!["web"], &[][..], true));
    let reading = replay("28-restarting-and-uptime").await;
    let told: Vec<_> = containers(&reading).containers.iter().map(|c| (c.about.label(), c.state, c.restarts, c.exit, c.started)).collect();
    assert_eq!(told, [("web", State::Running, Some(0), None, "2026-03-02T10:00:05Z".parse().ok()), ("loop", State::Restarting, Some(17), Some(1), None)]);
    // Only the list was recorded.
    let reading = replay("10-tmpfs-is-not-cache").await;
    assert_eq!((names(&reading), &reading.gaps[..]), (vec!["shm"], &[][..]));
}

#[tokio::test]
async fn answers_of_real_daemons_are_understood() {
    let Some(fixtures) = fixtures() else { return };
    for host in ["docker20-cgroup1-systemd252", "docker20-cgroup2-systemd252", "docker26-cgroup2-systemd257", "docker28-cgroup2-systemd262"] {
        let bundle: Value = serde_json::from_slice(&fs::read(fixtures.join("lab").join(host).join("docker.json")).unwrap()).unwrap();
        let (rows, _) = answers::list(bundle["containers.json"].as_str().unwrap().as_bytes()).unwrap();
        assert!(rows.len() > 5 && rows.iter().all(|row| row.container().is_some()), "{host}");
        for (_, text) in bundle.as_object().unwrap().iter().filter(|(file, _)| file.starts_with("inspect/")) {
            let text = text.as_str().unwrap();
            let text = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let container = answers::inspect(text.as_bytes()).unwrap().container().unwrap();
            let row = rows.iter().find(|row| row.id().as_ref() == Some(&container.about.id)).unwrap();
            assert!(!row.differs(&container), "{host} {container:?} {row:?}");
            assert!(container.about.name.is_some() && container.started.is_some() && container.network != Network::Unknown);
            assert_eq!(container.pid.is_some(), container.state == State::Running, "{host} {container:?}");
        }
    }
}
