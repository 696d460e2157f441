//! ECS from outside: the whole `/metrics` of a task on each platform, an endpoint that fails in every way, and no secret in anything that is told.
//!
//! `UPDATE=1 cargo test -p tare --test e2e ecs` writes the texts in `tests/ecs` anew; the difference is for a person to read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use collector::identity::Key;
use collector::snapshot::SourceName;
use regex::Regex;
use tare::report::Report;

use crate::hosts::{difference, without_agent};
use crate::program::{self, Served};

#[path = "../fakes/ecs.rs"]
pub mod fake;

use fake::{CANARY, Endpoint, Fault};

/// `tare` as part of a task that sees neither the machine's containers nor its runtime, asked and told every second.
fn sidecar(arguments: &[&str], url: &str) -> Command {
    let mut command = program::command(arguments);
    let unseen = [("TARE_DOCKER_SOCKET", ""), ("TARE_CGROUP_MAX_GROUPS", "1"), ("TARE_NETWORK_SCAN", "false"), ("TARE_ECS_AGENT", "")];
    command.envs(unseen).envs([("TARE_INTERVAL", "1s"), ("TARE_ECS_STATS_EVERY", "1s"), ("TARE_IMDS_ENABLED", "false")]);
    command.env("ECS_CONTAINER_METADATA_URI_V4", url);
    command
}

fn serve(command: Command) -> Served {
    program::serve_as(command).unwrap()
}

fn report(served: &Served) -> Option<Report> {
    let answer = served.get("/report.json").ok().filter(|answer| answer.status == 200)?;
    Some(serde_json::from_slice(&answer.body).unwrap())
}

fn until(served: &Served, what: &str, so: impl Fn(&Report) -> bool) -> Report {
    program::until(|| report(served).filter(&so))
        .unwrap_or_else(|| panic!("{what}: it never came to it: {:?}\n{}", report(served).map(|report| report.gaps), served.log()))
}

fn has_tasks(report: &Report) -> bool {
    report.workloads.iter().any(|row| matches!(row.seen.about.key, Key::Task(_)))
}

/// What is missing of the task, in words.
fn gaps(report: &Report) -> Vec<String> {
    report.gaps.iter().filter(|gap| gap.from == SourceName::EcsTask).map(|gap| format!("{}: {}", gap.what, gap.why)).collect()
}

#[test]
fn each_platform_has_its_whole_metrics() {
    if !cfg!(target_arch = "x86_64") {
        return println!("skipped: ecs: the texts hold prices of x86_64");
    }
    let mut changed = Vec::new();
    for (name, platform) in fake::platforms() {
        let endpoint = Endpoint::start(platform);
        let mut command = sidecar(&RUN, &endpoint.url());
        // The machine of the test is nobody's task.
        command.env("TARE_METRICS_DENY", "tare_agent_*,tare_host_*,tare_source_*");
        let served = serve(command);
        until(&served, name, |report| has_tasks(report) && gaps(report).is_empty());
        let text = masked(&without_agent(&String::from_utf8(served.metrics().unwrap()).unwrap()));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/ecs/{name}.txt"));
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        } else if text != expected {
            changed.push(format!("{name}:\n{}", difference(&expected, &text)));
        }
    }
    assert!(changed.is_empty(), "UPDATE=1 writes them anew; first read what changed:\n{}", changed.join("\n"));
}

const RUN: [&str; 3] = ["run", "--listen", "127.0.0.1:0"];

/// The name of this machine, what else runs on it and the time that has passed since 2026-03-02 differ with every run.
fn masked(text: &str) -> String {
    let host = Regex::new(r#"host="[^"]*""#).unwrap();
    let age = Regex::new(r"(?m)^(tare_\w+_uptime_seconds\{.*\}) \S+$").unwrap();
    let text: String = text.lines().filter(|line| !line.contains(r#"workload="system""#)).map(|line| format!("{line}\n")).collect();
    age.replace_all(&host.replace_all(&text, r#"host="HOST""#), "$1 AGE").into_owned()
}

/// Each fault, for all paths from the first question on and for the stats of a known task: said in words, what was told stays, and all is well again by itself.
#[test]
fn an_endpoint_that_fails_is_said_costs_only_itself_and_recovers() {
    let cases = [
        (Fault::Silence, "51679"),
        (Fault::Reset, "51679"),
        (Fault::Limited, "ecs.stats_every"),
        (Fault::Failed, "unable to get the task"),
        (Fault::Half, "EOF"),
        (Fault::Cut, "broke off"),
        (Fault::Html, "expected value"),
        (Fault::Garbage, "expected value"),
        (Fault::Endless, "a proxy may stand"),
        (Fault::Dribble, "51679"),
    ];
    thread::scope(|scope| {
        for (fault, words) in cases {
            scope.spawn(move || fails_and_recovers(fault, words));
        }
    });
}

fn fails_and_recovers(fault: Fault, words: &str) {
    let name = format!("{fault:?}");
    let endpoint = Endpoint::start(fake::fargate());
    endpoint.fault(Some(("", fault)));
    let served = serve(sidecar(&RUN, &endpoint.url()));
    let report = until(&served, &name, |report| !gaps(report).is_empty());
    assert!(!has_tasks(&report) && report.host.seen.memory.is_some(), "{name}: the rest goes on");
    endpoint.fault(None);
    // Who gave no answer that can be used is asked again after half a minute.
    assert!(endpoint.is_asked(program::PATIENCE), "{name}");
    until(&served, &name, |report| has_tasks(report) && gaps(report).is_empty());

    endpoint.fault(Some(("/task/stats", fault)));
    let report = until(&served, &name, |report| !gaps(report).is_empty());
    assert!(gaps(&report).iter().any(|gap| gap.contains("/task/stats") || gap.contains("no stats")), "{name}: {:?}", gaps(&report));
    assert!(gaps(&report).iter().any(|gap| gap.contains(words)), "{name}: {:?}", gaps(&report));
    assert!(has_tasks(&report), "{name}: who it is stays known");
    for path in ["/metrics", "/report.json", "/"] {
        assert!(!served.get(path).unwrap().text().contains(CANARY), "{name}: {path}");
    }
    endpoint.fault(None);
    until(&served, &name, |report| has_tasks(report) && gaps(report).is_empty());
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()) && !log.contains("panicked") && !log.contains(CANARY), "{name}: {status:?} {log}");
}

#[test]
fn a_rate_is_taken_between_the_times_that_the_readings_name() {
    let fargate = fake::fargate();
    let mut later = fargate["/task/stats"].clone();
    let (id, _) = later.as_object().unwrap().iter().find(|(_, used)| !used.is_null()).unwrap();
    let id = id.clone();
    later[&id]["cpu_stats"]["cpu_usage"]["total_usage"] = 4_500_000_000_u64.into();
    later[&id]["read"] = "2026-03-02T10:01:10Z".into();
    let endpoint = Endpoint::start(fargate);
    let served = serve(sidecar(&RUN, &endpoint.url()));
    until(&served, "the first", has_tasks);
    endpoint.says("/task/stats", later);
    let cores = |report: &Report| report.workloads[0].containers.iter().find(|one| one.seen.about.id.as_str() == id)?.rates.cpu.map(|cpu| cpu.0);
    // 2.5 seconds of CPU in ten by its own clock, in one by ours.
    let report = until(&served, "the second", |report| cores(report).is_some());
    assert!((cores(&report).unwrap() - 0.25).abs() < 1e-9, "{:?}", cores(&report));
    let asked = endpoint.asked();
    let count = |path: &str| asked.iter().filter(|asked| **asked == path).count();
    assert_eq!((count("/tasks"), count("/task"), count("/taskWithTags")), (1, 1, 0), "who it is is asked once a minute: {asked:?}");
}

/// Labels, environment, commands, log options, a health check's words and tags that nobody asked for.
#[test]
fn no_secret_of_a_task_is_told_written_or_recorded() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for (name, platform) in fake::platforms() {
            let record = folder.path().join(name);
            scope.spawn(move || keeps_its_secrets(name, platform, &record));
        }
    });
    let files = files(folder.path());
    for (name, _) in fake::platforms() {
        assert!(files.iter().any(|file| file.starts_with(folder.path().join(name)) && file.ends_with("tmde/task.json")), "{name}: {files:?}");
    }
    for file in files {
        assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(CANARY), "{}", file.display());
    }
}

fn keeps_its_secrets(name: &str, platform: fake::Platform, record: &Path) {
    assert!(platform["/task"].to_string().contains(CANARY), "{name} has something to hide");
    let endpoint = Endpoint::start(platform);
    let with_tags = |arguments: &[&str]| {
        let mut command = sidecar(arguments, &endpoint.url());
        command.env("TARE_ECS_TAGS", "team").env("TARE_LOG_LEVEL", "trace");
        command
    };
    let served = serve(with_tags(&RUN));
    until(&served, name, |report| has_tasks(report) && gaps(report).is_empty());
    for path in ["/metrics", "/metrics/cadvisor", "/metrics/node", "/report.json", "/"] {
        let said = served.get(path).unwrap();
        assert!(said.status == 200 && !said.text().contains(CANARY), "{name}: {path} {}", said.status);
    }
    let (_, log) = served.stop();
    assert!(!log.contains(CANARY), "{name}: {log}");
    for arguments in [&["ps"][..], &["ps", "-o", "json"], &["cost"], &["doctor"], &["record", record.to_str().unwrap()]] {
        let said = program::finish(with_tags(arguments));
        assert!(said.status.code() != Some(2), "{name}: {arguments:?}: {}", said.log);
        assert!(!format!("{}{}", said.out, said.log).contains(CANARY), "{name}: {arguments:?}");
    }
}

fn files(below: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
