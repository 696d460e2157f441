//! The introspection of an ECS agent that is all there is to name a task: a real cgroup of a task, no label, and an agent that answers, fails in every way and comes back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use collector::identity::Key;
use collector::snapshot::SourceName;
use tare::report::{Report, WorkloadRow};

use crate::ecs::fake::{self, CANARY, Endpoint, Fault};
use crate::program::{self, PATIENCE, Served};

/// A task of one container in this machine's own tree, made as the agent and Docker make it. Dropped, it is gone.
struct Task {
    id: String,
    container: String,
    inside: Child,
    /// Container and task, in each hierarchy.
    folders: Vec<[PathBuf; 2]>,
}

impl Task {
    /// Errors: this machine lets nobody make cgroups here.
    fn make() -> io::Result<Task> {
        // Its input never comes, so it rests until it is ended.
        let inside = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let pid = inside.id();
        let id = format!("{pid:032x}");
        let mut task = Task { container: format!("{pid:064x}"), id, inside, folders: Vec::new() };
        let root = Path::new("/sys/fs/cgroup");
        let systemd =
            [format!("ecstasks.slice/ecstasks-{0}.slice/docker-{1}.scope", task.id, task.container), format!("ecstasks.slice/ecstasks-{}.slice", task.id)];
        let cgroupfs = [format!("ecs/{}/{}", task.id, task.container), format!("ecs/{}", task.id)];
        let (roots, names) = if root.join("cgroup.controllers").exists() {
            (vec![root.to_owned()], systemd)
        } else {
            let wanted = ["cpu", "cpuacct", "memory", "blkio", "pids"].map(|name| root.join(name));
            (wanted.into_iter().filter(|root| root.join("cgroup.procs").exists()).collect(), cgroupfs)
        };
        for root in roots {
            let folders = names.clone().map(|name| root.join(name));
            fs::create_dir_all(&folders[0])?;
            let procs = folders[0].join("cgroup.procs");
            task.folders.push(folders);
            fs::write(procs, pid.to_string())?;
        }
        if task.folders.is_empty() { Err(io::Error::other("no cgroup tree is mounted")) } else { Ok(task) }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let _ = self.inside.kill();
        let _ = self.inside.wait();
        for folder in self.folders.iter().flatten() {
            // Where several names lead to one hierarchy it may be gone already.
            program::until(|| (fs::remove_dir(folder).is_ok() || !folder.exists()).then_some(()));
        }
        // What is above is left to whoever has tasks of his own in it.
        let above = self.folders.iter().filter_map(|[_, task]| task.parent());
        above.for_each(|above| drop(fs::remove_dir(above)));
    }
}

fn serve(endpoint: &Endpoint) -> Served {
    let mut command = program::command(["run", "--listen", "127.0.0.1:0", "--interval", "2s"]);
    command.envs([("TARE_DOCKER_SOCKET", ""), ("TARE_IMDS_ENABLED", "false"), ("TARE_ECS_AGENT", &endpoint.origin())]);
    program::serve_as(command).unwrap()
}

fn until(served: &Served, what: &str, so: impl Fn(&Report) -> bool) -> Report {
    let report = || {
        let answer = served.get("/report.json").ok().filter(|answer| answer.status == 200)?;
        Some(serde_json::from_slice::<Report>(&answer.body).unwrap())
    };
    program::until(|| report().filter(&so)).unwrap_or_else(|| panic!("{what}: it never came to it: {:?}\n{}", report().map(|report| report.gaps), served.log()))
}

fn row<'a>(report: &'a Report, task: &Task) -> Option<&'a WorkloadRow> {
    report.workloads.iter().find(|row| row.seen.about.key == Key::Task(task.id.as_str().into()))
}

fn is_named(report: &Report, task: &Task) -> bool {
    let container = |row: &WorkloadRow| row.containers.first().and_then(|one| one.seen.about.name.clone());
    row(report, task).is_some_and(|row| &*row.seen.about.name == "checkout" && container(row).as_deref() == Some("app"))
}

/// What is missing of the agent's, in words.
fn gaps(report: &Report) -> Vec<&str> {
    report.gaps.iter().filter(|gap| gap.from == SourceName::EcsAgent).map(|gap| &*gap.why).collect()
}

/// On a busy machine any answer may come too late.
fn says(why: &str, words: &str) -> bool {
    why.contains(words) || why.contains("no answer within")
}

const FAULTS: [(Fault, &str); 10] = [
    (Fault::Silence, "no answer within"),
    (Fault::Reset, "network mode host"),
    (Fault::Limited, "HTTP 429"),
    (Fault::Failed, "HTTP 500"),
    (Fault::Half, "no ECS agent"),
    (Fault::Cut, "broke off"),
    (Fault::Html, "no ECS agent"),
    (Fault::Garbage, "no ECS agent"),
    (Fault::Endless, "larger than"),
    (Fault::Dribble, "no answer within"),
];

#[test]
fn an_agent_that_fails_is_said_costs_only_its_names_and_is_believed_a_while() {
    let task = match Task::make() {
        Ok(task) => task,
        Err(why) => return println!("skipped: agent: no cgroup of a task can be made here: {why}"),
    };
    thread::scope(|scope| {
        for (fault, words) in FAULTS {
            let task = &task;
            scope.spawn(move || is_down_when_tare_starts(task, fault, words));
            if matches!(fault, Fault::Silence | Fault::Limited | Fault::Half | Fault::Endless | Fault::Dribble) {
                scope.spawn(move || breaks_later(task, fault, words));
            }
        }
    });
}

/// The task has its figures and stands under its id; half a minute later it has its name.
fn is_down_when_tare_starts(task: &Task, fault: Fault, words: &str) {
    let name = format!("{fault:?} at the start");
    let endpoint = Endpoint::start(fake::agent(&task.id, &task.container));
    endpoint.fault(Some(("", fault)));
    let served = serve(&endpoint);
    let report = until(&served, &name, |report| row(report, task).is_some_and(|row| row.seen.usage.cpu.is_some()) && !gaps(report).is_empty());
    assert!(gaps(&report).iter().all(|why| says(why, words) && why.contains("; fix: ")), "{name}: {:?}", gaps(&report));
    assert_eq!(&*row(&report, task).unwrap().seen.about.name, task.id, "{name}");
    endpoint.fault(None);
    assert!(endpoint.is_asked(PATIENCE), "{name}");
    let report = until(&served, &name, |report| is_named(report, task) && gaps(report).is_empty());
    assert_eq!((report.cluster.as_deref(), report.host.seen.ecs_agent.as_deref()), (Some("shop"), Some("1.99.1")), "{name}");
    ends_well(served, &name);
}

/// What it said stands, and that it fails is said.
fn breaks_later(task: &Task, fault: Fault, words: &str) {
    let name = format!("{fault:?} later");
    let endpoint = Endpoint::start(fake::agent(&task.id, &task.container));
    let served = serve(&endpoint);
    until(&served, &name, |report| is_named(report, task) && gaps(report).is_empty());
    endpoint.fault(Some(("/v1/tasks", fault)));
    assert!(endpoint.is_asked(PATIENCE), "{name}");
    let report = until(&served, &name, |report| !gaps(report).is_empty());
    assert!(gaps(&report).iter().all(|why| says(why, words)), "{name}: {:?}", gaps(&report));
    assert!(is_named(&report, task), "{name}: {:?}", row(&report, task));
    ends_well(served, &name);
}

fn ends_well(served: Served, name: &str) {
    for path in ["/metrics", "/report.json", "/"] {
        assert!(!served.get(path).unwrap().text().contains(CANARY), "{name}: {path}");
    }
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()) && !log.contains("panicked") && !log.contains(CANARY), "{name}: {status:?} {log}");
}
