//! Whole tables, as they stand on a terminal.

use std::sync::Arc;

use proptest::prelude::*;

use collector::snapshot::{About, ContainerAbout, Gap, SourceName};

use collector::snapshot::Health;

use super::*;
use crate::sample;

fn at(report: &Report, width: u16) -> String {
    table(report, &Shown::new(sample::now(), Look { width: Some(width), colour: false }))
}

#[test]
fn the_table_fits_a_terminal_of_100_columns() {
    let expected = "\
prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand, 0.1008 $/h)                           12 s ago
WORKLOAD   TASK/CONTAINER    CPU  of limit  THROTTLED    MEMORY  of limit      NET in/out  RESTARTS
api        91bc… ⋅ running  0.40    160 %!      31 %!  1.40 GiB     70 %   100 / 100 kB/s         2
web        7f3a… ⋅ running  0.21     42 %      0.3 %    635 MiB     62 %   1.2 / 8.4 MB/s         0
  app                       0.20        –          –    588 MiB        –         (task's)         0
  envoy                     0.01        –          –   47.0 MiB        –         (task's)         0
ecs-agent  ec5a… ⋅ running  0.01        –          –   51.0 MiB        –         (host's)         0
system     host             0.03        –          –    410 MiB        –                –         –
api: throttled in 31 % of its periods
not seen: pressure (kernel has PSI off)                                        tare doctor explains
";
    assert_eq!(at(&sample::report(), 100), expected);
}

#[test]
fn a_narrow_terminal_keeps_what_tells_most() {
    let head = |width| at(&sample::report(), width).lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(head(80), "WORKLOAD TASK/CONTAINER CPU of limit THROTTLED MEMORY of limit");
    assert_eq!(head(60), "WORKLOAD TASK/CONTAINER CPU MEMORY of limit");
    assert_eq!(head(40), "WORKLOAD CPU MEMORY of limit");
    for width in [40, 60, 80, 100, 140] {
        for line in at(&sample::report(), width).lines() {
            assert!(super::super::table::columns(line) <= width.into(), "{width}: {line}");
        }
    }
}

#[test]
fn a_pipe_cuts_nothing_and_colours_nothing() {
    let mut report = sample::report();
    rename(&mut report.workloads[0], &"n".repeat(300));
    let table = table(&report, &Shown::new(sample::now(), Look::PLAIN));
    assert!(table.contains(&"n".repeat(300)) && !table.contains('\u{1b}'));
}

#[test]
fn colour_marks_what_is_wrong_and_nothing_that_is_well() {
    let table = table(&sample::report(), &Shown::new(sample::now(), Look { width: Some(120), colour: true }));
    let coloured: Vec<_> = table.lines().filter(|line| line.contains("\u{1b}[38;5;1m")).collect();
    assert_eq!(coloured.len(), 1);
    assert!(coloured[0].contains("160 %!") && coloured[0].contains("31 %!"));
}

#[test]
fn states_say_what_happened() {
    let ended = |exit, oom| ContainerRow {
        seen: Container { state: State::Exited, exit, oom, ..sample::container("x", 0.0, 0, NetOwner::Own).seen },
        ..sample::container("x", 0.0, 0, NetOwner::Own)
    };
    for (container, said) in [
        (ended(Some(0), Some(false)), ("exited 0", Tone::Quiet)),
        (ended(Some(3), Some(false)), ("exited 3", Tone::Alarm)),
        (ended(Some(137), Some(true)), ("out of memory", Tone::Alarm)),
        (ended(None, None), ("ended", Tone::Quiet)),
    ] {
        assert_eq!(words::state(State::Exited, Some(&container)), (said.0.into(), said.1));
    }
    assert_eq!(words::state(State::Ended, None), ("ended".into(), Tone::Quiet));
    let mut sick = sample::container("x", 0.1, 1, NetOwner::Own);
    sick.seen.health = Some(Health::Unhealthy);
    assert_eq!(words::state(State::Running, Some(&sick)), ("unhealthy".into(), Tone::Alarm));
}

#[test]
fn a_warning_of_one_container_of_several_is_told_once_and_by_its_name() {
    let mut report = sample::report();
    let web = report.workloads.iter_mut().find(|row| &*row.seen.about.name == "web").unwrap();
    web.containers[1].warnings.push("restarting".into());
    web.warnings.push("restarting".into());
    web.warnings.push("memory at 95.0 % of its limit".into());
    let table = at(&report, 120);
    assert_eq!(table.matches("restarting").count(), 1, "{table}");
    assert!(table.contains("web/envoy: restarting") && table.contains("web: memory at 95.0 % of its limit"), "{table}");
}

#[test]
fn what_ended_stands_below_what_runs() {
    let mut report = sample::report();
    report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "api").for_each(|row| row.seen.state = State::Exited);
    let order: Vec<String> = at(&report, 100).lines().skip(2).take(6).map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(order, ["web", "app", "envoy", "ecs-agent", "api", "system"]);
}

fn units(report: &mut Report, count: usize) {
    report.workloads.extend((0..count).map(|n| {
        sample::workload(Key::Unit(format!("/system.slice/u{n:03}.service").as_str().into()), &format!("u{n:03}.service"), [0.001 * n as f64, 0.0], 2, None)
    }));
}

#[test]
fn quiet_units_share_a_row_beside_containers() {
    let mut report = sample::report();
    units(&mut report, 23);
    let table = at(&report, 100);
    let tail: Vec<&str> = table.lines().skip(7).take(5).map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(tail, ["u020.service", "u021.service", "u022.service", "20 more units", "system"]);
    assert!(table.contains("0.19        –"), "the CPU of the quiet ones is added up: {table}");
    let all = super::table(&report, &Shown { all: true, ..Shown::new(sample::now(), Look::PLAIN) });
    assert!(all.contains("u000.service") && !all.contains("more units"));
}

#[test]
fn without_containers_the_units_are_the_rows() {
    let mut report = sample::report();
    report.workloads.clear();
    units(&mut report, 200);
    let table = at(&report, 100);
    assert!(table.lines().nth(2).unwrap().starts_with("u195.service"));
    assert!(table.contains("180 more units"), "{table}");
    report.workloads.clear();
    assert!(at(&report, 100).contains("nothing to show: no container and no unit was seen"));
}

#[test]
fn several_gaps_are_named_and_one_is_explained() {
    let mut report = sample::report();
    report.gaps.push(Gap { from: SourceName::Docker, what: "containers".into(), why: "no socket".into() });
    let table = at(&report, 100);
    assert!(table.lines().last().unwrap().starts_with("not seen: pressure, containers   "), "{table}");
}

fn rename(row: &mut WorkloadRow, name: &str) {
    row.seen.about = Arc::new(About { name: name.into(), ..(*row.seen.about).clone() });
}

proptest! {
    #[test]
    fn names_from_outside_neither_break_the_table_nor_reach_the_terminal(name in "[\\x00-\\x20\u{1b}\u{9b}\u{202e}a-z\u{4e00}\u{301}]{0,40}", width in 40u16..200) {
        let mut report = sample::report();
        report.workloads.iter_mut().for_each(|row| rename(row, &name));
        for row in report.workloads.iter_mut().flat_map(|row| &mut row.containers) {
            row.seen.about = Arc::new(ContainerAbout { name: Some(name.as_str().into()), ..(*row.seen.about).clone() });
        }
        report.cluster = Some(name.as_str().into());
        report.gaps.iter_mut().for_each(|gap| gap.why = name.as_str().into());
        let table = at(&report, width);
        // Ten, and more only where a warning takes several.
        prop_assert!((10..16).contains(&table.lines().count()));
        let reaches = table.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
        prop_assert!(!reaches);
        for line in table.lines() {
            prop_assert!(super::super::table::columns(line) <= width.into(), "{}", line);
        }
    }
}

#[test]
fn a_shared_network_names_the_one_it_is_counted_at() {
    let mut report = sample::report();
    let api = report.workloads.iter().flat_map(|row| &row.containers).find(|one| one.seen.about.label() == "api").unwrap().seen.about.id.clone();
    let row = report.workloads.iter_mut().find(|row| &*row.seen.about.name == "ecs-agent").unwrap();
    row.containers[0].seen.net = NetOwner::Of(api);
    assert!(at(&report, 100).contains("(of api)"), "{}", at(&report, 100));
}
