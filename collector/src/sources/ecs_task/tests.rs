//! What the endpoint says, on each platform and in each mood.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::identity::Key;
use crate::merge::merge;
use crate::snapshot::{Launch, NetOwner, Role, Scope, Snapshot, State, Workload};
use crate::sources::metadata::{Answer, Service};
use crate::units::{Bytes, Cores, Limit};

const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
const BASE: &str = "/v4/a1b2";

fn settings() -> Settings {
    Settings { every: Duration::ZERO, tags: vec!["team".into()] }
}

fn source(address: Address) -> EcsTask {
    EcsTask::new(Endpoint { address, base: BASE.into() }, Clock::Fixed(Default::default()), Settings { tags: vec![], ..settings() })
}

async fn read(source: &mut EcsTask) -> Reading {
    source.read(Instant::now() + Duration::from_secs(60)).await
}

fn told(reading: &Reading) -> &Tasks {
    match &reading.told {
        Some(Told::Tasks(tasks)) => tasks,
        other => panic!("{other:?} {:?}", reading.gaps),
    }
}

/// A task on Fargate as its endpoint tells it: one container runs, one has ended, one is not made yet.
fn fargate() -> Value {
    let container = |id: &str, name: &str, status: &str| {
        json!({
            "DockerId": id, "Name": name, "DockerName": name, "Image": "shop/checkout:7", "ImageID": "sha256:ab", "Labels": {"SECRET": "CANARY-7f3a"},
            "DesiredStatus": "RUNNING", "KnownStatus": status, "Limits": {"CPU": 2}, "CreatedAt": "2026-03-02T10:00:00Z",
            "StartedAt": "2026-03-02T10:00:01.5Z", "Type": "NORMAL", "LogOptions": {"token": "CANARY-7f3a"},
            "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.0.7"]}]
        })
    };
    let mut ended = container(&format!("{TASK}-1111111111"), "init", "STOPPED");
    ended["ExitCode"] = 0.into();
    ended["FinishedAt"] = "2026-03-02T10:00:03Z".into();
    let mut app = container(&format!("{TASK}-2222222222"), "app", "RUNNING");
    app["Limits"] = json!({"CPU": 512, "Memory": 256});
    app["Health"] = json!({"status": "HEALTHY", "output": "CANARY-7f3a"});
    json!({
        "Cluster": "arn:aws:ecs:eu-west-1:111122223333:cluster/shop",
        "TaskARN": format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{TASK}"),
        "Family": "checkout", "Revision": "41", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": {"CPU": 0.5, "Memory": 1024},
        "PullStartedAt": "2026-03-02T09:59:40Z", "PullStoppedAt": "2026-03-02T09:59:55Z", "AvailabilityZone": "eu-west-1a", "LaunchType": "FARGATE",
        "TaskTags": {"team": "payments", "other": "CANARY-7f3a"},
        "Containers": [ended, app, container("", "late", "NONE")],
        "ClockDrift": {"ClockErrorBound": 0.5, "ReferenceTimestamp": "2026-03-02T10:00:00Z", "ClockSynchronizationStatus": "SYNCHRONIZED"},
        "EphemeralStorageMetrics": {"Utilized": 300, "Reserved": 20496}
    })
}

/// Counters so many seconds after ten o'clock; the sentinel of cgroup v2 as the limit.
fn sample(second: u64) -> Value {
    json!({
        "read": format!("2026-03-02T10:00:{second:02}Z"), "preread": "2026-03-02T10:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": second * 100_000_000}, "system_cpu_usage": 1, "online_cpus": 2},
        "memory_stats": {"usage": 2_000_000 + second, "stats": {"inactive_file": 500_000}, "limit": u64::MAX},
        "blkio_stats": {"io_service_bytes_recursive": [{"major": 259, "minor": 0, "op": "read", "value": 4096}, {"major": 259, "op": "write"}]},
        "networks": {"eth1": {"rx_bytes": 700 + second, "rx_packets": 7, "tx_bytes": 30, "tx_packets": 3}}
    })
}

fn stats(second: u64) -> Value {
    json!({format!("{TASK}-1111111111"): null, format!("{TASK}-2222222222"): sample(second)})
}

async fn on_fargate() -> Service {
    let service = Service::start().await;
    service.says(&format!("{BASE}/task"), Answer::Text(fargate().to_string()));
    service.says(&format!("{BASE}/task/stats"), Answer::Text(stats(10).to_string()));
    service
}

fn only(snapshot: &Snapshot) -> &Workload {
    assert_eq!(snapshot.workloads.len(), 1, "{snapshot:#?}");
    &snapshot.workloads[0]
}

#[tokio::test]
async fn a_task_on_fargate_is_told_with_its_size_its_pull_and_what_it_uses() {
    let service = on_fargate().await;
    let mut source = source(Address::Http(service.url()));
    let reading = read(&mut source).await;
    assert_eq!(reading.gaps, []);
    let snapshot = merge(&[std::sync::Arc::new(reading)], None);
    assert_eq!((snapshot.scope, snapshot.host.cluster.as_deref()), (Scope::Task, Some("shop")));
    let task = only(&snapshot);
    assert_eq!((&task.about.key, &*task.about.name), (&Key::Task(TASK.into()), "checkout"));
    let about = task.about.task.as_ref().unwrap();
    assert_eq!((about.launch, about.revision.as_deref(), about.service.as_deref()), (Some(Launch::Fargate), Some("41"), None));
    assert_eq!((task.asked.cores, task.asked.memory), (Some(Cores(0.5)), Some(Bytes(1 << 30))));
    let state = task.task.as_ref().unwrap();
    assert_eq!(state.pull_stopped.unwrap().duration_since(state.pull_started.unwrap()).as_secs(), 15);
    assert_eq!(state.storage.unwrap().reserved, Some(Bytes(20_496 << 20)));
    assert_eq!(state.clock.unwrap().error_bound, Some(Duration::from_micros(500)));
    let usage = &task.usage;
    assert_eq!(usage.cpu.unwrap().is.time, Duration::from_secs(1));
    assert_eq!(usage.memory.unwrap().is.working_set, Some(Bytes(1_500_010)));
    assert_eq!(usage.net.as_ref().unwrap().is[0].received.bytes, Bytes(710));

    let [init, app] = task.containers.as_slice() else { panic!("{:#?}", task.containers) };
    assert_eq!((init.state, init.exit, init.usage.cpu, init.about.role), (State::Exited, Some(0), None, Role::App));
    assert_eq!((app.state, app.asked.cores, app.limits.memory), (State::Running, Some(Cores(0.5)), Limit::Of(Bytes(256 << 20))));
    assert_eq!((app.limits.cores, &app.net), (Limit::Of(Cores(0.5)), &NetOwner::Workload));
    assert!(!format!("{snapshot:?}").contains("CANARY"), "a label, a log option, a tag or a health check's words got out");
}

#[tokio::test]
async fn who_is_asked_once_a_minute_or_when_a_container_comes_and_use_every_turn() {
    let service = on_fargate().await;
    let mut source = source(Address::Http(service.url()));
    let all = |paths: &[&str]| paths.iter().map(|path| format!("GET {BASE}{path}")).collect::<Vec<_>>();
    read(&mut source).await;
    assert_eq!(service.asked(), all(&["/tasks", "/task", "/task/stats"]));
    let first = told(&read(&mut source).await).tasks[0].clone();
    assert_eq!(service.asked(), all(&["/task/stats"]));
    let mut more = stats(20);
    more["a1".to_owned()] = sample(20);
    service.says(&format!("{BASE}/task/stats"), Answer::Text(more.to_string()));
    let reading = read(&mut source).await;
    assert_eq!(service.asked(), all(&["/task/stats", "/task"]));
    assert!(Arc::ptr_eq(&first, &told(&reading).tasks[0]), "nothing of it has changed");
    read(&mut source).await;
    assert_eq!(service.asked(), all(&["/task/stats"]), "a stranger is asked about once");
    service.says(&format!("{BASE}/task/stats"), Answer::Text(json!({format!("{TASK}-2222222222"): null, "a1": sample(30)}).to_string()));
    read(&mut source).await;
    assert_eq!(service.asked(), all(&["/task/stats", "/task"]), "one that was measured is gone");
    source.told = None;
    read(&mut source).await;
    assert_eq!(service.asked()[0], format!("GET {BASE}/task"));
}

#[tokio::test]
async fn an_odd_answer_about_all_tasks_hides_its_own_from_nobody() {
    let service = on_fargate().await;
    service.says(&format!("{BASE}/tasks"), Answer::Status(503));
    let mut source = source(Address::Http(service.url()));
    let reading = read(&mut source).await;
    assert_eq!((reading.gaps.len(), told(&reading).own.as_ref().map(|task| task.as_str())), (0, Some(TASK)));
    service.says(&format!("{BASE}/task/stats"), Answer::Status(500));
    assert_eq!(told(&read(&mut source).await).stats.len(), 1, "for a while the last figures stand");
    source.measured = Instant::now().checked_sub(STALE);
    assert_eq!(told(&read(&mut source).await).stats, [], "old figures are no figures");
}

#[tokio::test]
async fn tags_are_asked_for_once_and_only_those_that_are_wanted_are_kept() {
    let service = on_fargate().await;
    let mut with_tags = fargate();
    with_tags["Errors"] = json!([{"ErrorField": "ContainerInstanceTags", "ErrorCode": "AccessDenied", "ErrorMessage": "not allowed"}]);
    service.says(&format!("{BASE}/taskWithTags"), Answer::Text(with_tags.to_string()));
    let mut source = EcsTask::new(Endpoint { address: Address::Http(service.url()), base: BASE.into() }, Clock::Fixed(Default::default()), settings());
    let reading = read(&mut source).await;
    assert_eq!(told(&reading).tasks[0].about.tags, [("team".into(), "payments".into())]);
    assert!(reading.gaps[0].why.contains("ecs:ListTagsForResource"), "{:?}", reading.gaps);
    assert!(service.asked().iter().any(|asked| asked.ends_with("/taskWithTags")));
    source.told = None;
    let reading = read(&mut source).await;
    assert_eq!((told(&reading).tasks[0].about.tags.len(), reading.gaps.len()), (1, 0), "they stay without being asked for again");
    assert!(!service.asked().iter().any(|asked| asked.ends_with("/taskWithTags")));
}

#[tokio::test]
async fn each_refusal_has_its_reason_and_what_was_told_stays() {
    let service = on_fargate().await;
    let mut source = source(Address::Http(service.url()));
    read(&mut source).await;
    for (answer, words) in [
        (Answer::Status(500), "could not find it out"),
        (Answer::Status(404), "another container's"),
        (Answer::Text("<html>login</html>".into()), "no stats"),
        (Answer::Text("{\"a1\": {\"read\"".into()), "no stats"),
        (Answer::Text("7".into()), "no stats"),
        (Answer::Text("x".repeat(ANSWER_LIMIT + 1)), "proxy"),
    ] {
        service.says(&format!("{BASE}/task/stats"), answer);
        let reading = read(&mut source).await;
        assert!(reading.gaps[0].why.contains(words), "{:?}", reading.gaps);
        assert_eq!(told(&reading).tasks.len(), 1);
    }
    source.told = None;
    service.says(&format!("{BASE}/task"), Answer::Text(json!({"TaskARN": "arn:aws:ecs"}).to_string()));
    let reading = read(&mut source).await;
    assert!(reading.gaps.iter().any(|gap| gap.why.contains("no task's ARN")), "{:?}", reading.gaps);
    let mut nobody = self::source(Address::Http("http://127.0.0.1:1".into()));
    let reading = read(&mut nobody).await;
    assert!(reading.told.is_none() && reading.gaps[0].why.contains("51679"), "{:?}", reading.gaps);
    assert!(!nobody.probe.asks(Instant::now()), "who is not there is not asked at every turn");
    let silent = read(&mut self::source(Address::Nowhere)).await;
    assert!(silent.told.is_none() && silent.gaps.is_empty());
}

#[tokio::test]
async fn who_is_refused_for_asking_too_often_asks_less_often() {
    let service = on_fargate().await;
    let mut source = source(Address::Http(service.url()));
    read(&mut source).await;
    service.says(&format!("{BASE}/task/stats"), Answer::Status(429));
    service.asked();
    let mut asked = Vec::new();
    for _ in 0..14 {
        let reading = read(&mut source).await;
        assert!(reading.gaps[0].why.contains("too often"), "{:?}", reading.gaps);
        assert_eq!(told(&reading).stats.len(), 1, "what was last told stays");
        asked.push(service.asked().len());
    }
    assert_eq!(asked, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    service.says(&format!("{BASE}/task/stats"), Answer::Text(stats(30).to_string()));
    assert_eq!(read(&mut source).await.gaps, []);
    assert_eq!(read(&mut source).await.gaps, []);
    assert_eq!(service.asked().len(), 2, "every turn again");
}

#[tokio::test]
async fn a_daemon_on_a_managed_instance_sees_every_task() {
    let service = Service::start().await;
    let (mut one, mut other) = (fargate(), fargate());
    one["LaunchType"] = "MANAGED_INSTANCES".into();
    one["Group"] = "service:web".into();
    other["TaskARN"] = format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{}", TASK.replace("0f", "1f")).into();
    other["Group"] = "daemon:monitor".into();
    other["Containers"] = json!([]);
    service.says(&format!("{BASE}/tasks"), Answer::Text(json!([one, other, {"TaskARN": 7}, "odd"]).to_string()));
    service.says(&format!("{BASE}/tasks/stats"), Answer::Text(json!([{}, stats(10), null]).to_string()));
    let reading = read(&mut source(Address::Http(service.url()))).await;
    assert_eq!(reading.gaps, []);
    let tasks = told(&reading);
    let names: Vec<_> = tasks.tasks.iter().map(|task| (task.about.service.as_deref(), task.about.group.as_deref())).collect();
    assert_eq!(names, [(Some("web"), None), (None, Some("daemon:monitor"))]);
    assert_eq!((&tasks.own, tasks.stats.len()), (&None, 1));
    let snapshot = merge(&[Arc::new(reading)], None);
    assert_eq!(snapshot.scope, Scope::Node);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = (answer::task(&bytes, &[]), answer::tasks(&bytes, &[]), parse_all(&bytes, SourceName::EcsTask));
    }

    /// Whatever is cut off, changed or of another type: nothing panics, and what is told is of this task.
    #[test]
    fn a_damaged_answer_tells_of_its_task_or_nothing(at in 0_usize..3_000, with in "[0-9\"{}\\[\\],:a-z]{0,4}") {
        let text = fargate().to_string();
        let at = text.floor_char_boundary(at.min(text.len()));
        let damaged = format!("{}{with}{}", &text[..at], &text[at..]);
        if let Ok((task, _)) = answer::task(damaged.as_bytes(), &[]) {
            proptest::prop_assert!(task.about.arn.as_ref().is_some_and(|arn| arn.id() == task.id));
        }
    }
}

/// The recorded answer of that name, or where the recordings are not here, `None`.
fn recorded() -> Option<PathBuf> {
    let fixtures = std::env::var_os("TARE_FIXTURES").map(|fixtures| PathBuf::from(fixtures).join("metadata/tmde"));
    if fixtures.is_none() {
        println!("skipped: TARE_FIXTURES is not set");
    }
    fixtures
}

fn file(folder: &Path, name: &str) -> Option<Vec<u8>> {
    fs::read(folder.join(name)).ok()
}

/// What a recorded endpoint says, joined.
fn snapshot_of(folder: &Path) -> Snapshot {
    let all = file(folder, "tasks.json");
    let tasks = match &all {
        Some(body) => answer::tasks(body, &[]).unwrap(),
        None => vec![answer::task(&file(folder, "task.json").unwrap(), &[]).unwrap().0],
    };
    let body = file(folder, "task-stats.json").or_else(|| file(folder, "tasks-stats.json")).unwrap();
    let samples = parse_all(&body, SourceName::EcsTask).unwrap();
    let mut stats: Vec<ContainerStats> = samples.into_iter().filter_map(|(id, sample)| Some(super::stats(id, sample?))).collect();
    stats.sort_by(|a, b| a.id.cmp(&b.id));
    let own = all.is_none().then(|| tasks[0].id.clone());
    let told = Tasks { own, tasks: tasks.into_iter().map(Arc::new).collect(), stats, ..Tasks::default() };
    merge(&[Arc::new(Reading { from: SourceName::EcsTask, at: Default::default(), told: Some(Told::Tasks(told)), gaps: vec![] })], None)
}

#[test]
fn recorded_endpoints_give_the_expected_figures() {
    let Some(fixtures) = recorded() else { return };
    let mut checked = 0;
    for name in ["fargate-cgroupv1", "ec2-bridge", "ec2-awsvpc-composed", "ec2-awsvpc-cgroupv2-pause-only", "managed-instances-daemon"] {
        let folder = fixtures.join(name);
        let expect: Value = serde_json::from_slice(&file(&folder, "expect.json").unwrap()).unwrap();
        let snapshot = snapshot_of(&folder);
        let container = |id: &str| snapshot.workloads.iter().flat_map(|task| &task.containers).find(|one| one.about.id.as_str() == id);
        let mut is = |what: &str, expected: &Value, seen: Value| {
            checked += 1;
            let (a, b) = (expected.as_f64(), seen.as_f64());
            let same = a.zip(b).map_or(*expected == seen, |(a, b)| (a - b).abs() <= a.abs().max(1.0) * 1e-6);
            assert!(same, "{name}: {what}: expected {expected}, seen {seen}");
        };
        // Either the figures of each container stand with it, or all in one place.
        let nested = expect["containers"].as_object().into_iter().flatten().filter_map(|(id, one)| Some((id, one.get("stats")?)));
        let flat = expect["stats"].as_object().into_iter().flatten();
        for (id, stats) in nested.chain(flat) {
            let Some(one) = container(id) else { panic!("{name}: no {id}") };
            let usage = &one.usage;
            if stats.is_null() {
                is("no sample", &Value::Null, json!(usage.cpu.map(|cpu| cpu.is.time.as_secs_f64())));
                continue;
            }
            is("cpu_seconds_total", &stats["cpu_seconds_total"], json!(usage.cpu.map(|cpu| cpu.is.time.as_secs_f64())));
            if let Some(set) = stats.get("working_set_bytes") {
                is("working_set_bytes", set, json!(usage.memory.and_then(|memory| memory.is.working_set).map(|bytes| bytes.0)));
            }
            let sum = |of: fn(&crate::snapshot::IoDevice) -> Bytes| usage.io.as_ref().map_or(0, |io| io.is.iter().map(|one| of(one).0).sum::<u64>());
            is("blk_read_bytes", &stats["blk_read_bytes"], json!(sum(|io| io.read)));
            is("blk_write_bytes", &stats["blk_write_bytes"], json!(sum(|io| io.written)));
        }
        for (id, one) in expect["containers"].as_object().into_iter().flatten() {
            if let Some(limit) = one.get("effective_memory_limit_bytes") {
                is("effective memory limit", limit, json!(container(id).unwrap().limits.memory.value().map(|bytes| bytes.0)));
            }
        }
        let first = &snapshot.workloads[0];
        for (interface, counters) in expect["task_network_bytes_counted_once"].as_object().into_iter().flatten() {
            let net = first.usage.net.as_ref().unwrap();
            let seen = net.is.iter().find(|one| *one.name == **interface).unwrap();
            is("received", &counters["rx_bytes"], json!(seen.received.bytes.0));
            is("sent", &counters["tx_bytes"], json!(seen.sent.bytes.0));
        }
        let state = first.task.as_ref().unwrap();
        for (what, seen) in [
            ("task_vcpu", json!(state.size.cores.map(|cores| cores.0))),
            ("task_memory_bytes", json!(state.size.memory.map(|bytes| bytes.0))),
            ("service_name", json!(first.about.task.as_ref().unwrap().service)),
            ("cluster_name", json!(snapshot.host.cluster)),
            ("ephemeral_storage_reserved_bytes", json!(state.storage.and_then(|disk| disk.reserved).map(|bytes| bytes.0))),
            ("pull_seconds", json!(state.pull_started.zip(state.pull_stopped).map(|(from, to)| to.duration_since(from).as_secs_f64()))),
        ] {
            if let Some(expected) = expect.get(what) {
                is(what, expected, seen);
            }
        }
        for (id, task) in expect["tasks"].as_object().into_iter().flatten() {
            let seen = snapshot.workloads.iter().find(|one| one.about.key == Key::Task(id.as_str().into())).unwrap();
            is("service of a task", &task["service_name"], json!(seen.about.task.as_ref().unwrap().service));
            is("vCPU of a task", &task["task_vcpu"], json!(seen.asked.cores.map(|cores| cores.0)));
        }
    }
    println!("{checked} figures");
    assert!(checked > 60, "only {checked}");
}
