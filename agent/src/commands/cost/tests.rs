//! Whole tables, as they stand on a terminal.

use std::sync::Arc;

use collector::identity::TaskArn;
use collector::snapshot::{About, Task};

use super::*;
use crate::cost::NodeCost;
use crate::sample;

fn verdict(row: &WorkloadRow) -> Option<String> {
    Some(match &*row.seen.about.name {
        "web" => "Fargate is cheaper while this node stays under 87 % full".into(),
        "api" => "uses more CPU than it asked for: Fargate would throttle it at 0.25".into(),
        _ => fargate(&row.cost)?.why_not.as_deref()?.to_owned(),
    })
}

fn at(report: &Report, width: u16) -> String {
    table(report, &Shown::new(sample::now(), Look { width: Some(width), colour: false }), &verdict)
}

#[test]
fn the_table_adds_up_on_the_screen() {
    let expected = "\
prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand)                             0.1008 $/h  73.58 $/month   list price of 2026-02-07, built in
WORKLOAD            ASKED             USED  NOW $/h  WITH IDLE  FARGATE $/h  SAYS
api        0.25 / 2.0 GiB   0.40 / 1.4 GiB  0.02171    0.04740      0.01901  uses more CPU than it asked for: Fargate would throttle it at 0.25
web        0.50 / 1.0 GiB   0.21 / 0.6 GiB  0.02132    0.04655      0.02469  Fargate is cheaper while this node stays under 87 % full
ecs-agent               –  0.01 / 0.05 GiB  0.00054    0.00118            –  host process
system                  –   0.03 / 0.4 GiB  0.00260    0.00567            –  host process
idle       1.06 / 4.5 GiB                   0.05463
total                                       0.10080    0.10080               = the node
break-even: this node is worth its price from 87 % full (its tasks would cost 43 % of it on Fargate)                    tare cost --explain api
";
    assert_eq!(at(&sample::report(), 150), expected);
    let column = |from, to| {
        expected.lines().skip(2).take(5).filter_map(move |line| line.chars().skip(from).take(to - from).collect::<String>().trim().parse::<f64>().ok())
    };
    assert!((column(44, 51).sum::<f64>() - 0.1008).abs() < 1e-9);
    assert!((column(53, 62).sum::<f64>() - 0.1008).abs() < 1e-9);
}

#[test]
fn a_narrow_terminal_puts_the_sentence_below_its_row() {
    let expected = "\
prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand)
0.1008 $/h  73.58 $/month   list price of 2026-02-07, built in
WORKLOAD            ASKED             USED  NOW $/h  WITH IDLE  FARGATE $/h
api        0.25 / 2.0 GiB   0.40 / 1.4 GiB  0.02171    0.04740      0.01901
  uses more CPU than it asked for: Fargate would throttle it at 0.25
web        0.50 / 1.0 GiB   0.21 / 0.6 GiB  0.02132    0.04655      0.02469
  Fargate is cheaper while this node stays under 87 % full
ecs-agent               –  0.01 / 0.05 GiB  0.00054    0.00118            –
  host process
system                  –   0.03 / 0.4 GiB  0.00260    0.00567            –
idle       1.06 / 4.5 GiB                   0.05463
total                                       0.10080    0.10080
break-even: this node is worth its price from 87 % full (its tasks would cost
    43 % of it on Fargate)
tare cost --explain api
";
    assert_eq!(at(&sample::report(), 80), expected);
    for width in [50, 60, 80, 100, 120, 140] {
        for line in at(&sample::report(), width).lines() {
            assert!(columns(line) <= width.into(), "{width}: {line}");
        }
    }
}

#[test]
fn without_a_price_fargate_alone_is_shown_and_why() {
    let mut report = sample::report();
    report.host.cost =
        NodeCost { why_no_price: Some("not EC2 (no metadata service). Set host.instance_type".into()), region: report.host.cost.region, ..NodeCost::default() };
    report.host.seen.instance = Default::default();
    report.host.cost.region.as_mut().unwrap().assumed = true;
    report.workloads.iter_mut().for_each(|row| row.cost.now = None);
    let table = at(&report, 140);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("prod · web-1 (x86_64, 2 cores, 8.00 GiB)") && lines[0].ends_with("12 s ago"), "{table}");
    assert_eq!(lines[1], "price of this machine unknown: not EC2 (no metadata service). Set host.instance_type");
    assert_eq!(lines[2], "~ prices of us-east-1: nobody said which region this is, set host.region");
    assert!(lines[3].starts_with("WORKLOAD") && !lines[3].contains("NOW") && lines[3].contains("FARGATE"), "{table}");
    assert!(lines[4].starts_with("web") && lines[4].contains("0.02469"), "the dearest first: {table}");
    assert!(!table.contains("total"));
}

#[test]
fn what_could_not_be_charged_is_not_hidden_in_the_sum() {
    let mut report = sample::report();
    report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "api").for_each(|row| {
        row.cost.now = None;
        row.cost.total = None;
    });
    let table = at(&report, 150);
    assert!(table.contains("the node; not every workload could be charged") && !table.contains("= the node"), "{table}");
}

#[test]
fn tasks_of_one_service_are_told_apart() {
    let mut report = sample::report();
    report.workloads.iter_mut().filter(|row| matches!(row.seen.about.key, Key::Task(_))).for_each(|row| {
        row.seen.about = Arc::new(About { name: "web".into(), ..(*row.seen.about).clone() });
    });
    let table = at(&report, 150);
    let names: Vec<&str> = table.lines().skip(2).map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(names[..4], ["web 91bc…", "web 7f3a…", "ecs-agent", "system"], "{table}");
    assert!(table.trim_end().ends_with("tare cost --explain web"), "{table}");
}

#[test]
fn what_ended_is_not_in_the_table() {
    let mut report = sample::report();
    let mut once = sample::workload(Key::Loose("0ce".into()), "once", [0.0, 0.0], 0, None);
    once.seen.state = State::Exited;
    once.cost = Cost { now: Some(UsdPerHour(0)), total: Some(UsdPerHour(0)), ..Cost::default() };
    report.workloads.push(once);
    assert_eq!(at(&report, 150), at(&sample::report(), 150));
}

#[test]
fn before_the_second_look_nobody_says_how_much_cpu_is_free() {
    let mut report = sample::report();
    let parts = report.workloads.iter_mut().flat_map(|row| &mut row.cost.parts).filter(|part| part.what == What::Cpu);
    parts.for_each(|part| (part.asked, part.used, part.amount) = (None, None, 0.0));
    assert!(at(&report, 150).contains("idle          – / 4.5 GiB"), "{}", at(&report, 150));
}

#[test]
fn guesses_carry_their_mark() {
    let mut report = sample::report();
    report.host.seen.instance.market = Some(Market::Spot);
    report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "web").for_each(|row| row.cost.otherwise[0].early = true);
    let table = at(&report, 150);
    assert!(table.contains("Spot)") && table.contains("~0.1008 $/h  ~73.58 $/month"), "{table}");
    assert!(table.contains("~0.02469") && table.contains("~ seen for less than an hour"), "{table}");
}

#[test]
fn one_rate_for_a_compose_project_stands_once() {
    let mut report = sample::report();
    report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "web").for_each(|row| {
        row.cost.otherwise[0].rate = None;
        row.cost.otherwise[0].project = Some("shop".into());
    });
    assert!(at(&report, 150).contains("(in shop)"));
}

#[test]
fn the_host_s_quiet_units_are_charged_in_one_row_that_still_adds_up() {
    let mut report = sample::report();
    let system = report.workloads.iter().position(|row| row.seen.about.key == Key::System).unwrap();
    let whole = report.workloads[system].cost.clone();
    // The system's cost, cut into three units and what is left.
    for n in 0..3 {
        let mut unit = sample::workload(Key::Unit(format!("/system.slice/u{n}.service").as_str().into()), &format!("u{n}.service"), [0.001, 0.0], 2, None);
        unit.cost = Cost { now: whole.now.map(|now| UsdPerHour(now.0 / 4)), total: whole.total.map(|total| UsdPerHour(total.0 / 4)), ..Cost::default() };
        report.workloads.push(unit);
    }
    let left = |rate: Option<UsdPerHour>| rate.map(|rate| UsdPerHour(rate.0 - 3 * (rate.0 / 4)));
    report.workloads[system].cost = Cost { now: left(whole.now), total: left(whole.total), ..whole };
    let table = at(&report, 150);
    assert!(table.contains("3 more units") && table.contains("= the node"), "{table}");
    assert!(table.find("3 more units") < table.find("system"), "{table}");
}

#[test]
fn a_task_is_explained_by_its_name_its_id_or_the_start_of_it() {
    let mut report = sample::report();
    let arn = "arn:aws:ecs:us-east-1:111122223333:task/prod/7f3ac0de00000000000000000000aaaa";
    let web = report.workloads.iter_mut().find(|row| &*row.seen.about.name == "web").unwrap();
    let task = Task { arn: TaskArn::parse(arn), ..Task::default() };
    web.seen.about = Arc::new(About { task: Some(Arc::new(task)), ..(*web.seen.about).clone() });
    for name in ["web", "envoy", "7f3ac0de00000000000000000000aaaa", "7f3a", "7f3a…", arn] {
        assert!(explain(&report, name).unwrap().starts_with("web, task 7f3ac0de"), "{name}");
    }
    // Fewer characters than a table shows would meet too many.
    for name in ["7f3", "7…", "", "7f3b", "arn:aws:ecs"] {
        assert!(explain(&report, name).unwrap_err().to_string().contains("no workload is called"), "{name}");
    }
    // A name comes before the start of an id.
    report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "api").for_each(|row| {
        row.seen.about = Arc::new(About { name: "7f3a".into(), ..(*row.seen.about).clone() });
    });
    assert!(explain(&report, "7f3a").unwrap().starts_with("7f3a, task 91bc"));
}
