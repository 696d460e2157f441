//! What one look after another becomes: rates, closing records, what lingers and for how long.

use collector::identity::{ContainerId, Key};
use collector::snapshot::{About, Asked, ContainerAbout, Cpu, Memory, Role, Seen, SourceName, Usage, Weights};
use collector::units::{Bytes, Ratio};

use super::*;

const ID: &str = "a1";

fn at(second: i64) -> Stamp {
    Stamp { wall: Timestamp::from_second(second).ok(), boot: Some(Duration::from_secs(second as u64)) }
}

fn usage(second: i64, cpu_seconds: u64) -> Usage {
    let seen = |is| Some(Seen { at: at(second), from: SourceName::Cgroup, is });
    let memory = Memory { working_set: Some(Bytes(99)), ..Memory::default() };
    Usage {
        cpu: seen(Cpu { time: Duration::from_secs(cpu_seconds), ..Cpu::default() }),
        memory: Some(Seen { at: at(second), from: SourceName::Cgroup, is: memory }),
        ..Usage::default()
    }
}

fn loose(state: State, start: u64, usage: Usage) -> Workload {
    let limits = Limits { memory: Limit::Of(Bytes(100)), ..Limits::default() };
    let container = Container {
        about: Arc::new(ContainerAbout { id: ContainerId::from(ID), name: Some("web".into()), image: None, digest: None, compose: None, role: Role::App }),
        start,
        cgroup: Some("/docker/a1".into()),
        state,
        health: None,
        restarts: None,
        exit: None,
        oom: None,
        started: Timestamp::from_second(5).ok(),
        ended: None,
        asked: Asked::default(),
        own: limits,
        limits,
        weights: Weights::default(),
        net: NetOwner::Unknown,
        usage: usage.clone().into(),
        disk: None,
    };
    Workload {
        about: Arc::new(About { key: Key::Loose(ContainerId::from(ID)), name: "web".into(), project: None, task: None }),
        cgroup: container.cgroup.clone(),
        start,
        state,
        started: container.started,
        ended: None,
        task: None,
        asked: Asked::default(),
        own: limits,
        limits,
        usage: usage.into(),
        remainder: None,
        containers: vec![container],
    }
}

fn snapshot(second: i64, workloads: Vec<Workload>) -> Snapshot {
    Snapshot { at: at(second), workloads, ..Snapshot::default() }
}

fn reporter() -> Reporter {
    let settings = crate::cost::Settings { weights: crate::cost::Weights::SCAD };
    Reporter::new(None, Duration::from_secs(300), Reckoning::new(crate::cost::book::Book::built_in(), settings, None))
}

#[test]
fn a_running_one_has_rates_uptime_and_warnings_from_the_second_look_on() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let report = reporter.report(&snapshot(20, vec![loose(State::Running, 1, usage(20, 7))]), vec![]);
    let row = &report.workloads[0];
    assert_eq!((row.rates.cpu, row.containers[0].rates.cpu), (Some(Cores(0.5)), Some(Cores(0.5))));
    assert_eq!(row.rates.uptime, Some(Duration::from_secs(15)));
    assert_eq!(row.warnings.iter().map(|words| &**words).collect::<Vec<_>>(), ["memory at 99.0 % of its limit"]);
}

#[test]
fn the_same_id_with_another_start_is_another_thing() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let report = reporter.report(&snapshot(20, vec![loose(State::Running, 2, usage(20, 7))]), vec![]);
    assert_eq!((report.workloads[0].rates.cpu, report.workloads[0].containers[0].rates.cpu), (None, None));
}

/// A pod whose own cgroup is not seen: its figures are sums over its containers.
fn pod(second: i64, containers: &[(&str, u64, u64)]) -> Workload {
    let one = |(id, cpu_seconds, kills): &(&str, u64, u64)| {
        let mut one = loose(State::Running, 1, usage(second, *cpu_seconds)).containers.remove(0);
        one.about = Arc::new(ContainerAbout { id: (*id).into(), ..ContainerAbout::clone(&one.about) });
        one.cgroup = Some(format!("/pod/{id}").as_str().into());
        Arc::make_mut(&mut one.usage).memory.as_mut().unwrap().is.oom_kills = Some(*kills);
        one
    };
    let mut usage = usage(second, containers.iter().map(|one| one.1).sum());
    usage.memory.as_mut().unwrap().is.oom_kills = Some(containers.iter().map(|one| one.2).sum());
    Workload {
        about: Arc::new(About { key: Key::Pod("70859706".into()), name: "web".into(), project: None, task: None }),
        cgroup: None,
        limits: Limits { cores: Limit::Of(Cores(2.0)), ..Limits::default() },
        containers: containers.iter().map(one).collect(),
        ..loose(State::Running, 0, usage)
    }
}

#[test]
fn a_container_that_joins_is_no_burst_of_cpu_and_no_kill() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![pod(10, &[("a1", 2, 0)])]), vec![]);
    let both = reporter.report(&snapshot(20, vec![pod(20, &[("a1", 7, 0), ("b2", 900, 3)])]), vec![]);
    let row = &both.workloads[0];
    assert_eq!((row.rates.cpu, row.rates.cpu_of_limit), (None, None));
    assert!(!row.warnings.iter().any(|words| words.contains("killed")), "{:?}", row.warnings);
    let later = reporter.report(&snapshot(30, vec![pod(30, &[("a1", 12, 0), ("b2", 915, 3)])]), vec![]);
    assert_eq!((later.workloads[0].rates.cpu, later.workloads[0].rates.cpu_of_limit), (Some(Cores(2.0)), Some(Ratio(1.0))));
}

#[test]
fn one_that_has_ended_hides_nothing_of_the_others() {
    let mut reporter = reporter();
    let mut cores = |second, web: u64, job: Option<u64>| {
        let mut pod = pod(second, &[("a1", web, 0), ("b2", job.unwrap_or(0), 0)]);
        if job.is_none() {
            (pod.containers[1].state, pod.containers[1].usage) = (State::Exited, Arc::default());
        }
        reporter.report(&snapshot(second, vec![pod]), vec![]).workloads[0].rates.cpu
    };
    assert_eq!(cores(10, 2, Some(1)), None);
    assert_eq!(cores(20, 7, Some(6)), Some(Cores(1.0)));
    assert_eq!(cores(30, 12, None), None, "what it used before its end is not known");
    assert_eq!(cores(40, 17, None), Some(Cores(0.5)));
}

#[test]
fn where_all_have_ended_no_rate_is_known() {
    let mut reporter = reporter();
    let mut pod = pod(10, &[("a1", 2, 0)]);
    (pod.state, pod.containers[0].state) = (State::Exited, State::Exited);
    reporter.report(&snapshot(10, vec![pod.clone()]), vec![]);
    assert_eq!(reporter.report(&snapshot(20, vec![pod]), vec![]).workloads[0].rates.cpu, None);
}

#[test]
fn what_is_gone_lingers_five_minutes_with_its_last_figures() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let report = reporter.report(&snapshot(20, vec![]), vec![]);
    let row = &report.workloads[0];
    assert_eq!((row.seen.state, row.seen.ended), (State::Ended, Timestamp::from_second(20).ok()));
    assert_eq!((&*row.seen.usage, row.rates.cpu, row.rates.uptime), (&usage(10, 2), None, None));
    assert_eq!(reporter.report(&snapshot(320, vec![]), vec![]).workloads.len(), 1);
    assert_eq!(reporter.report(&snapshot(321, vec![]), vec![]).workloads.len(), 0);
}

#[test]
fn what_has_ended_is_bounded_the_newest_stay_and_the_rest_is_counted() {
    let named = |number: usize| {
        let mut one = loose(State::Running, 1, usage(10, 2));
        one.about = Arc::new(About { key: Key::Loose(format!("{number:06}").as_str().into()), ..(*one.about).clone() });
        one
    };
    let mut reporter = reporter();
    reporter.report(&snapshot(10, (0..LINGERING).map(named).collect()), vec![]);
    reporter.report(&snapshot(20, (LINGERING..LINGERING + 300).map(named).collect()), vec![]);
    assert_eq!(reporter.forgotten(), 0);
    let report = reporter.report(&snapshot(30, vec![]), vec![]);
    assert_eq!((report.workloads.len(), reporter.forgotten()), (LINGERING, 300));
    let newest = report.workloads.iter().filter(|row| row.seen.ended == Timestamp::from_second(30).ok()).count();
    assert_eq!(newest, 300);
}

#[test]
fn the_ended_containers_of_a_pod_that_goes_on_are_bounded_too() {
    let mut reporter = reporter();
    let names: Vec<String> = (0..500).map(|number| format!("{number:04}")).collect();
    let all: Vec<(&str, u64, u64)> = names.iter().map(|name| (name.as_str(), 1, 0)).collect();
    reporter.report(&snapshot(10, vec![pod(10, &all)]), vec![]);
    for second in [20, 30] {
        let report = reporter.report(&snapshot(second, vec![pod(second, &all[..1])]), vec![]);
        assert_eq!((report.workloads[0].containers.len(), reporter.forgotten()), (1 + LINGERING_WITHIN, 299));
    }
}

#[test]
fn an_end_says_how_long_it_ran_and_how_old_its_last_figures_are() {
    let over = |state, second| {
        let mut one = loose(state, 1, usage(15, 2));
        one.containers[0].ended = Timestamp::from_second(second).ok();
        one
    };
    let closing = |snapshot: Snapshot| reporter().report(&snapshot, vec![]).workloads[0].containers[0].closing;
    let said = |run_time, age| Some(Closing { run_time: Some(Duration::from_secs(run_time)), last_reading_age: Some(Duration::from_secs(age)) });
    assert_eq!(closing(snapshot(20, vec![over(State::Exited, 17)])), said(12, 2));
    assert_eq!(closing(snapshot(20, vec![over(State::Exited, 14)])), said(9, 0));
    assert_eq!(closing(snapshot(20, vec![loose(State::Running, 1, usage(15, 2))])), None);
    // Nobody saw the end; the look that misses it does not make one up.
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    for second in [20, 30] {
        let gone = reporter.report(&snapshot(second, vec![]), vec![]);
        assert_eq!(gone.workloads[0].containers[0].closing, Some(Closing::default()));
    }
}

#[test]
fn a_closing_record_keeps_what_only_the_look_before_knew() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let last = Usage { memory: None, ..usage(12, 7) };
    let row = &reporter.report(&snapshot(20, vec![loose(State::Ended, 1, last)]), vec![]).workloads[0].containers[0];
    assert_eq!((row.seen.usage.cpu, row.seen.usage.memory, row.rates.cpu), (usage(12, 7).cpu, usage(10, 2).memory, None));
}

#[test]
fn what_was_being_deleted_and_is_gone_has_ended() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Removing, 1, usage(10, 2))]), vec![]);
    let row = &reporter.report(&snapshot(20, vec![]), vec![]).workloads[0];
    assert_eq!((row.seen.state, row.containers[0].seen.state), (State::Ended, State::Ended));
}

#[test]
fn one_that_the_runtime_says_has_exited_keeps_its_last_figures() {
    let mut reporter = reporter();
    reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let report = reporter.report(&snapshot(20, vec![loose(State::Exited, 0, Usage::default())]), vec![]);
    assert_eq!((report.workloads[0].seen.state, &*report.workloads[0].containers[0].seen.usage), (State::Exited, &usage(10, 2)));
}

#[test]
fn a_report_survives_json() {
    let mut reporter = reporter();
    let report = reporter.report(&snapshot(10, vec![loose(State::Running, 1, usage(10, 2))]), vec![]);
    let text = serde_json::to_string(&*report).unwrap();
    assert_eq!(&serde_json::from_str::<Report>(&text).unwrap(), &*report);
    assert_eq!(text.matches("\"containers\"").count(), 1);
}
