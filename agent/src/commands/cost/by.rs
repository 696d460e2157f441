//! `tare cost --by project`: one row for all workloads that have something in common. It adds up to the node as the whole table does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use collector::identity::Key;
use collector::units::Bytes;

use crate::args::By;
use crate::cost::UsdPerHour;
use crate::query::{Row, field};
use crate::report::{Report, WorkloadRow};
use crate::words::figures;

use super::super::csv;
use super::super::shown::Shown;
use super::super::table::{Cell, Column, Tone, draw, say};
use super::{Amount, amounts, fargate, head, paragraph, runs};

/// The groups of one report. JSON: `{"schema": "tare.cost_by/1", "by": "project", "price": 0.1008, "idle": …, "groups": [{name, workloads, uncharged, asked, used, now, total, fargate}]}`,
/// cores, GiB and dollars an hour; null is not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Groups {
    schema: &'static str,
    /// When the look ended, RFC 3339.
    at: Option<String>,
    by: &'static str,
    /// What the machine costs.
    pub price: Option<UsdPerHour>,
    /// What nobody asked for or used.
    pub idle: Option<UsdPerHour>,
    /// The dearest first.
    pub groups: Vec<Group>,
}

/// Workloads that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common; `null` where they have no such thing.
    pub name: Option<String>,
    /// How many.
    pub workloads: usize,
    /// How many of them could not be charged; they are in no sum.
    pub uncharged: usize,
    /// What they asked for. `None`: one of them asked for nothing.
    pub asked: Amount,
    /// What they used. `None`: not known of one of them.
    pub used: Amount,
    /// The split of the node of those that could be charged. `None`: none could.
    pub now: Option<UsdPerHour>,
    /// The same with idle.
    pub total: Option<UsdPerHour>,
    /// What they would cost on Fargate. `None`: not known of one of them, or priced with others outside of the group.
    pub fargate: Option<UsdPerHour>,
}

/// Groups what runs. Rows that are not wanted stand in no group.
pub fn groups(report: &Report, by: By, shown: &Shown<'_>) -> Groups {
    let found = shown.query.of(report);
    let mut members: BTreeMap<Option<String>, Vec<&WorkloadRow>> = BTreeMap::new();
    for row in found.workloads.iter().filter(runs) {
        members.entry(name(row, &found, by)).or_default().push(row);
    }
    let sum = |rates: Vec<Option<UsdPerHour>>| rates.into_iter().sum::<Option<UsdPerHour>>();
    let group = |(name, rows): (Option<String>, Vec<&WorkloadRow>)| Group {
        name,
        workloads: rows.len(),
        uncharged: rows.iter().filter(|row| row.cost.now.is_none()).count(),
        asked: rows.iter().map(|row| amounts(row)[0]).sum(),
        used: rows.iter().map(|row| amounts(row)[1]).sum(),
        now: rows.iter().filter_map(|row| row.cost.now).reduce(|a, b| a + b),
        total: rows.iter().filter_map(|row| row.cost.total).reduce(|a, b| a + b),
        fargate: sum(rows.iter().map(|row| elsewhere(row, by)).collect()),
    };
    let mut groups: Vec<Group> = members.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.now));
    let node = &report.host.cost;
    Groups {
        schema: "tare.cost_by/1",
        at: report.at.wall.map(|at| at.to_string()),
        by: word(by),
        price: node.price.as_ref().map(|price| price.usd),
        idle: node.idle,
        groups,
    }
}

/// A compose project is sized as one task, whose rate stands at its first workload: it is whole in a group by project alone.
fn elsewhere(row: &WorkloadRow, by: By) -> Option<UsdPerHour> {
    let otherwise = fargate(&row.cost)?;
    match (&otherwise.project, by) {
        (Some(_), By::Project) => Some(otherwise.rate.unwrap_or_default()),
        (Some(_), _) => None,
        (None, _) => otherwise.rate,
    }
}

fn name(workload: &WorkloadRow, report: &Report, by: By) -> Option<String> {
    let own = || workload.seen.about.name.to_string();
    let task = workload.seen.about.task.as_deref();
    let containers = || workload.containers.iter().map(|one| &one.seen.about);
    match by {
        By::Workload => Some(own()),
        By::Service => {
            let ecs = task.and_then(|task| task.service.as_ref());
            let service = ecs.or_else(|| containers().find_map(|about| Some(&about.compose.as_ref()?.service)));
            Some(service.map_or_else(own, ToString::to_string))
        }
        By::Family => task?.family.as_ref().map(ToString::to_string),
        By::Cluster => task?.cluster.as_ref().map(ToString::to_string),
        By::Launch => task?.launch.map(|launch| launch.as_str().to_owned()),
        By::Project => workload.seen.about.project.as_ref().map(ToString::to_string),
        By::Image => {
            let images: BTreeSet<&str> = containers().filter_map(|about| about.image.as_deref()).collect();
            (!images.is_empty()).then(|| images.into_iter().collect::<Vec<_>>().join(" + "))
        }
        By::Kind => Some(match workload.seen.about.key {
            Key::Loose(_) => "container".into(),
            _ => match field::find("kind").map(|kind| kind.of(&Row { report, workload, inner: None })) {
                Ok(field::Value::Text(text)) => text.into_owned(),
                _ => own(),
            },
        }),
    }
}

fn word(by: By) -> &'static str {
    match by {
        By::Workload => "workload",
        By::Service => "service",
        By::Family => "family",
        By::Cluster => "cluster",
        By::Launch => "launch",
        By::Project => "project",
        By::Image => "image",
        By::Kind => "kind",
    }
}

const FARGATE: &str = "FARGATE $/h";

/// The groups as a table.
pub fn table(report: &Report, groups: &Groups, shown: &Shown<'_>) -> String {
    let look = shown.look;
    let head_of = match groups.by {
        "service" => "SERVICE",
        "family" => "FAMILY",
        "cluster" => "CLUSTER",
        "launch" => "LAUNCH",
        "project" => "PROJECT",
        "image" => "IMAGE",
        "kind" => "KIND",
        _ => "WORKLOAD",
    };
    let columns = [
        Column { head: head_of, least: Some(12), leaves: 0 },
        Column { head: "WORKLOADS", least: None, leaves: 3 },
        Column { head: "ASKED", least: None, leaves: 1 },
        Column { head: "USED", least: None, leaves: 2 },
        Column { head: "NOW $/h", least: None, leaves: 0 },
        Column { head: "WITH IDLE", least: None, leaves: 4 },
        Column { head: FARGATE, least: None, leaves: 5 },
    ];
    let wanted: i64 = groups.groups.iter().filter_map(|group| group.now).map(|now| now.0).sum();
    let all = |rate: fn(&WorkloadRow) -> Option<UsdPerHour>| report.workloads.iter().filter(runs).filter_map(rate).map(|rate| rate.0).sum::<i64>();
    let others = report.workloads.iter().filter(runs).count() - groups.groups.iter().map(|group| group.workloads).sum::<usize>();
    let (price, idle) = (groups.price.map_or(0, |price| price.0), groups.idle.map_or(0, |idle| idle.0));
    let rate = |rates: &dyn Fn(&Group) -> Option<UsdPerHour>| groups.groups.iter().map(|group| rates(group).map_or(0, |rate| rate.0)).collect::<Vec<i64>>();
    let (mut now, mut total) = (rate(&|group| group.now), rate(&|group| group.total));
    now.extend([all(|row| row.cost.now) - wanted, idle]);
    total.push(all(|row| row.cost.total) - total.iter().sum::<i64>());
    let (now, total) = (figures::rounded(&now, price, figures::SHOWN), figures::rounded(&total, price, figures::SHOWN));
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    for (at, group) in groups.groups.iter().enumerate() {
        let none = format!("(no {})", groups.by);
        let name = Cell::new(group.name.as_deref().unwrap_or(&none)).tone_if(group.name.is_none(), Tone::Quiet);
        let [now, total] = [group.now.map(|_| figures::usd(now[at])), group.total.map(|_| figures::usd(total[at]))];
        let [asked, used] = [group.asked, group.used].map(|amount| Cell::of(amount.shown()));
        let fargate = Cell::of(group.fargate.map(|rate| rate.to_string()));
        cells.push(vec![name, Cell::new(group.workloads.to_string()), asked, used, Cell::of(now), Cell::of(total), fargate]);
    }
    let at = groups.groups.len();
    let blank = || Cell::new("");
    if others > 0 {
        let priced = |rate: i64| Cell::of(groups.price.map(|_| figures::usd(rate)));
        cells.push(vec![Cell::new("others").tone(Tone::Quiet), Cell::new(others.to_string()), blank(), blank(), priced(now[at]), priced(total[at]), blank()]);
    }
    // Where only one task is seen nobody knows what is idle, and nothing adds up to the node.
    if let (Some(price), Some(_)) = (groups.price, groups.idle) {
        let price = Cell::new(price.to_string());
        cells.push(vec![Cell::new("idle"), blank(), blank(), blank(), Cell::new(figures::usd(now[at + 1])), blank(), blank()]);
        cells.push(vec![Cell::new("total"), blank(), blank(), blank(), price.clone().tone(Tone::Head), price, blank()]);
    }
    let uncharged: usize = groups.groups.iter().map(|group| group.uncharged).sum();
    let drawn = draw(&columns, &cells, look);
    let mut out = String::new();
    if shown.headers {
        head(&mut out, report, shown, drawn.wide);
    }
    drawn.lines.iter().skip(usize::from(!shown.headers)).for_each(|line| say(&mut out, line));
    if shown.headers && uncharged > 0 && groups.price.is_some() {
        paragraph(&mut out, &format!("{uncharged} of them could not be charged, and are in no sum"), Tone::Notice, look);
    }
    if shown.headers && !drawn.left_out.contains(&FARGATE) && groups.groups.iter().any(|group| group.fargate.is_none()) {
        paragraph(&mut out, "–  on Fargate: not every workload of it has a price of its own", Tone::Quiet, look);
    }
    out
}

/// The line of names.
pub fn csv_head() -> String {
    csv::line(
        [
            "at",
            "group",
            "workloads",
            "uncharged",
            "now_usd_per_hour",
            "total_usd_per_hour",
            "fargate_usd_per_hour",
            "cpu_asked_cores",
            "cpu_cores",
            "memory_asked_bytes",
            "memory_bytes",
        ]
        .into_iter()
        .map(str::to_owned),
    )
}

/// A line a group.
pub fn csv_lines(groups: &Groups) -> String {
    let money = |rate: Option<UsdPerHour>| rate.map(|rate| rate.usd().to_string()).unwrap_or_default();
    let line = |group: &Group| {
        let name = group.name.clone().unwrap_or_default();
        let at = groups.at.clone().unwrap_or_default();
        let bytes = |gib: Option<f64>| gib.map(|gib| (gib * Bytes::GIB.0 as f64).round());
        let figures = [group.asked.cores, group.used.cores, bytes(group.asked.gib), bytes(group.used.gib)]
            .map(|figure| figure.map(|figure| figure.to_string()).unwrap_or_default());
        let counts = [group.workloads, group.uncharged].map(|count| count.to_string());
        let money = [group.now, group.total, group.fargate].map(money);
        csv::line([at, name].into_iter().chain(counts).chain(money).chain(figures))
    };
    groups.groups.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::ValueEnum;
    use collector::snapshot::{About, Launch, Task};

    use super::*;
    use crate::commands::table::Look;
    use crate::query::{Filter, Query};
    use crate::sample;

    fn shown() -> Shown<'static> {
        Shown::new(sample::now(), Look { width: Some(90), colour: false })
    }

    /// web and api are of one project.
    fn report() -> Report {
        let mut report = sample::report();
        for row in report.workloads.iter_mut().filter(|row| matches!(&*row.seen.about.name, "web" | "api")) {
            row.seen.about = Arc::new(About { project: Some("shop".into()), ..(*row.seen.about).clone() });
        }
        report
    }

    #[test]
    fn groups_add_up_on_the_screen() {
        let report = report();
        let expected = "\
prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand)
0.1008 $/h  73.58 $/month   list price of 2026-02-07, built in
PROJECT       WORKLOADS           ASKED            USED  NOW $/h  WITH IDLE  FARGATE $/h
shop                  2  0.75 / 3.0 GiB  0.61 / 2.0 GiB  0.04303    0.09394      0.04370
(no project)          2               –  0.04 / 0.5 GiB  0.00314    0.00686            –
idle                                                     0.05463
total                                                    0.10080    0.10080
–  on Fargate: not every workload of it has a price of its own
";
        assert_eq!(table(&report, &groups(&report, By::Project, &shown()), &shown()), expected);
        for by in By::value_variants() {
            let by = *by;
            let groups = groups(&report, by, &shown());
            let sum: i64 = groups.groups.iter().filter_map(|group| group.now).map(|now| now.0).sum();
            assert_eq!(sum + groups.idle.unwrap().0, groups.price.unwrap().0, "{by:?}");
            assert_eq!(groups.groups.iter().map(|group| group.workloads).sum::<usize>(), 4);
        }
    }

    /// Two tasks of one service, the second on Fargate, one task without a service, and two rows that are no task.
    fn tasks() -> Report {
        let mut report = sample::report();
        let web = report.workloads.iter().find(|row| &*row.seen.about.name == "web").unwrap().clone();
        report.workloads.retain(|row| &*row.seen.about.name != "api");
        for (id, service, launch) in [("7f3a", Some("web"), Launch::Ec2), ("91bc", Some("web"), Launch::Fargate), ("a0a0", None, Launch::Ec2)] {
            let family = if service.is_some() { "checkout" } else { "migrate" };
            let task =
                Task { cluster: Some("prod".into()), family: Some(family.into()), service: service.map(Into::into), launch: Some(launch), ..Task::default() };
            let mut row = web.clone();
            row.seen.about =
                Arc::new(About { key: Key::Task(id.into()), name: service.unwrap_or(family).into(), task: Some(Arc::new(task)), ..(*web.seen.about).clone() });
            report.workloads.push(row);
        }
        report.workloads.retain(|row| row.seen.about.task.is_some() || &*row.seen.about.name != "web");
        let taken: UsdPerHour = report.workloads.iter().filter_map(|row| row.cost.now).sum();
        let price = report.host.cost.price.as_ref().unwrap().usd;
        report.host.cost.idle = Some(UsdPerHour(price.0 - taken.0));
        let mut left = price.0;
        for row in &mut report.workloads {
            let share = row.cost.now.unwrap().0 * price.0 / taken.0;
            left -= share;
            row.cost.total = Some(UsdPerHour(share));
        }
        let last = report.workloads.last_mut().unwrap();
        last.cost.total = last.cost.total.map(|total| UsdPerHour(total.0 + left));
        report
    }

    #[test]
    fn tasks_are_grouped_by_what_ecs_says_of_them() {
        let report = tasks();
        let of = |by| {
            let of = |group: Group| (group.name.unwrap_or_else(|| "–".into()), group.workloads, group.asked.cores, group.asked.gib);
            let mut found: Vec<_> = groups(&report, by, &shown()).groups.into_iter().map(of).collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        };
        let row = |name: &str, count, asked: Option<(f64, f64)>| (name.to_owned(), count, asked.map(|asked| asked.0), asked.map(|asked| asked.1));
        let alone = [row("ecs-agent", 1, None), row("system", 1, None)];
        let none = row("–", 2, None);
        assert_eq!(of(By::Service), [&alone[..1], &[row("migrate", 1, Some((0.5, 1.0)))], &alone[1..], &[row("web", 2, Some((1.0, 2.0)))]].concat());
        assert_eq!(of(By::Family), [row("checkout", 2, Some((1.0, 2.0))), row("migrate", 1, Some((0.5, 1.0))), none.clone()]);
        assert_eq!(of(By::Cluster), [row("prod", 3, Some((1.5, 3.0))), none.clone()]);
        assert_eq!(of(By::Launch), [row("ec2", 2, Some((1.0, 2.0))), row("fargate", 1, Some((0.5, 1.0))), none]);
    }

    #[test]
    fn tasks_add_up_on_the_screen() {
        let report = tasks();
        for by in By::value_variants() {
            let groups = groups(&report, *by, &shown());
            let of = |rate: fn(&Group) -> Option<UsdPerHour>| groups.groups.iter().map(rate).map(|rate| rate.unwrap().0).sum::<i64>();
            assert_eq!((of(|group| group.now) + groups.idle.unwrap().0, of(|group| group.total)), (100_800_000, 100_800_000), "{by:?}");
            assert_eq!(groups.groups.iter().map(|group| group.workloads).sum::<usize>(), 5, "{by:?}");
        }
    }

    #[test]
    fn a_narrow_terminal_keeps_the_money() {
        let report = tasks();
        let expected = "\
SERVICE    NOW $/h  WITH IDLE  FARGATE $/h
web        0.04265    0.06406      0.04937
migrate    0.02132    0.03203      0.02469
system     0.00260    0.00390            –
ecs-agent  0.00054    0.00081            –
idle       0.03369
total      0.10080    0.10080
";
        let narrow = |width| Shown { look: Look { width: Some(width), colour: false }, ..shown() };
        let of = |width| table(&report, &groups(&report, By::Service, &narrow(width)), &narrow(width));
        assert!(of(46).contains(expected), "{}", of(46));
        assert!(of(46).contains("on Fargate:") && !of(24).contains("on Fargate:"), "what is left out needs no explanation: {}", of(24));
    }

    #[test]
    fn where_one_task_is_seen_nothing_is_said_of_idle() {
        let mut report = tasks();
        report.workloads.retain(|row| row.seen.about.key == Key::Task("7f3a".into()));
        report.host.cost.idle = None;
        report.workloads.iter_mut().for_each(|row| row.cost.total = None);
        let text = table(&report, &groups(&report, By::Service, &shown()), &shown());
        let rows: Vec<Vec<&str>> = text.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [["web", "1", "0.50", "/", "1.0", "GiB", "0.21", "/", "0.6", "GiB", "0.02132", "–", "0.02469"]], "{text}");
    }

    #[test]
    fn a_file_has_the_figures_of_the_table() {
        let lines = csv_lines(&groups(&tasks(), By::Service, &shown()));
        let web = lines.lines().find(|line| line.contains(",web,")).unwrap();
        assert!(web.ends_with(",1,0.42,2147483648,1331691520"), "{web}");
        assert!(lines.lines().all(|line| line.split(',').count() == csv_head().split(',').count()), "{lines}");
    }

    #[test]
    fn what_could_not_be_charged_is_said() {
        let mut report = report();
        report.workloads.iter_mut().filter(|row| &*row.seen.about.name == "api").for_each(|row| row.cost = Default::default());
        let groups = groups(&report, By::Project, &shown());
        let shop = groups.groups.iter().find(|group| group.name.as_deref() == Some("shop")).unwrap();
        assert_eq!((shop.workloads, shop.uncharged, shop.now), (2, 1, Some(UsdPerHour(21_323_077))));
        assert!(table(&report, &groups, &shown()).contains("1 of them could not be charged"));
        assert!(csv_lines(&groups).contains(",shop,2,1,0.021323077,"));
    }

    #[test]
    fn what_the_filter_leaves_out_stands_in_one_row() {
        let report = report();
        let shown = Shown { query: Query { filter: Some(Filter::read("workload!=web").unwrap()), sort: None }, ..shown() };
        let table = table(&report, &groups(&report, By::Kind, &shown), &shown);
        let shown: Vec<&str> = table.lines().skip(3).take(5).collect();
        assert!(shown[3].starts_with("others"), "{table}");
        let column = |line: &&str| line.split_whitespace().find(|word| word.starts_with("0.") && word.len() == 7).and_then(|word| word.parse::<f64>().ok());
        assert!((shown.iter().filter_map(column).sum::<f64>() - 0.1008).abs() < 1e-9, "{table}");
    }
}
