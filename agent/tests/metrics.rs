//! A report by hand and the whole text it becomes; names that try to break it; Prometheus' own opinion.

mod made;

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smallvec::smallvec;

use collector::identity::Key;
use collector::snapshot::{About, Device, Disk, Gap, Health, Interface, IoDevice, NetOwner, Own, SourceName, State, Task, TaskState, Traffic};
use collector::units::{Bytes, Cores, Limit, Ratio};
use tare::cost::{Elsewhere, NodeCost, Origin, Otherwise, Part, Per, Price, PriceBasis, Size, UsdPerHour, What};
use tare::metrics::agent::Agent;
use tare::metrics::cadvisor::page::Cgroups;
use tare::metrics::choice::{Choice, Glob};
use tare::metrics::frame::Frame;
use tare::metrics::node::page::Node;
use tare::metrics::page::Page;
use tare::report::{Report, SourceRow, WorkloadRow};
use tare::sinks::prometheus::{Format, encode, encode_own};

fn print(report: &Report) -> String {
    let mut frame = Frame::new();
    frame.fill(report);
    text(&frame)
}

fn text(frame: &impl Page) -> String {
    let mut out = Vec::new();
    encode(frame, &mut out);
    String::from_utf8(out).expect("the text format is UTF-8")
}

/// The lines of one metric, without HELP and TYPE.
fn series<'a>(text: &'a str, metric: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']))).collect()
}

#[test]
fn a_report_becomes_this_text() {
    let mut report = made::report();
    report.cluster = Some("prod".into());
    report.host.seen.name = Some("web-1".into());
    report.host.seen.arch = Some("x86_64".into());
    report.host.seen.cores = Some(2);
    report.host.seen.own = Some(Own { cpu: Duration::from_millis(1250), memory: Bytes(8 << 20) });
    report.host.cost.idle = Some(UsdPerHour(54_630_000));
    let mut web = made::loose("0123456789abcdef", "shop-web-1");
    web.seen.about = Arc::new(collector::snapshot::About { name: "web".into(), project: Some("shop".into()), ..(*web.seen.about).clone() });
    web.cost.now = Some(UsdPerHour(21_323_000));
    let container = &mut web.containers[0];
    container.seen.health = Some(Health::Healthy);
    container.seen.net = NetOwner::Host;
    container.seen.limits.cores = Limit::Of(Cores(0.5));
    container.seen.limits.memory = Limit::Unlimited;
    container.rates.cpu_of_limit = Some(Ratio(1.08));
    report.workloads = vec![web];
    report.gaps = vec![Gap { from: SourceName::Cgroup, what: "pressure".into(), why: "the kernel has PSI off".into() }];
    report.sources = vec![SourceRow { source: SourceName::Docker, answered: None, age: Some(Duration::from_nanos(1)), took: None, failures: 3 }];
    assert_eq!(
        print(&report),
        r#"# HELP tare_container_info What is known about the container. network: own, shared (counted elsewhere), or host (cannot be measured).
# TYPE tare_container_info gauge
tare_container_info{cluster="prod",host="web-1",workload="web",container="shop-web-1",id="0123456789abcdef",role="app",network="host"} 1
# HELP tare_container_state 1 for the state it is in.
# TYPE tare_container_state gauge
tare_container_state{cluster="prod",host="web-1",workload="web",container="shop-web-1",state="running"} 1
# HELP tare_container_health 1 for the verdict of its health check.
# TYPE tare_container_health gauge
tare_container_health{cluster="prod",host="web-1",workload="web",container="shop-web-1",health="healthy"} 1
# HELP tare_container_cpu_limit_cores The tightest CPU limit on it, its own or an ancestor's.
# TYPE tare_container_cpu_limit_cores gauge
tare_container_cpu_limit_cores{cluster="prod",host="web-1",workload="web",container="shop-web-1"} 0.5
# HELP tare_container_cpu_limit_utilization_ratio CPU in use since the last look, over the limit; more than 1 is a burst.
# TYPE tare_container_cpu_limit_utilization_ratio gauge
tare_container_cpu_limit_utilization_ratio{cluster="prod",host="web-1",workload="web",container="shop-web-1"} 1.08
# HELP tare_workload_info What is known about the workload, and its host.
# TYPE tare_workload_info gauge
tare_workload_info{cluster="prod",host="web-1",workload="web",container="shop-web-1",kind="container",project="shop"} 1
# HELP tare_workload_state 1 for the best state of its containers.
# TYPE tare_workload_state gauge
tare_workload_state{cluster="prod",host="web-1",workload="web",container="shop-web-1",state="running"} 1
# HELP tare_workload_containers Its containers that have not ended.
# TYPE tare_workload_containers gauge
tare_workload_containers{cluster="prod",host="web-1",workload="web",container="shop-web-1"} 1
# HELP tare_workload_cost_now_usd_per_hour Its split of the host's price: the larger of asked and used, at the host's own prices. Of a task on Fargate the price of its size.
# TYPE tare_workload_cost_now_usd_per_hour gauge
tare_workload_cost_now_usd_per_hour{cluster="prod",host="web-1",workload="web",container="shop-web-1"} 0.021323
# HELP tare_host_info What is known about the machine.
# TYPE tare_host_info gauge
tare_host_info{cluster="prod",host="web-1",arch="x86_64"} 1
# HELP tare_host_cpu_capacity_cores Online logical CPUs.
# TYPE tare_host_cpu_capacity_cores gauge
tare_host_cpu_capacity_cores{cluster="prod",host="web-1"} 2
# HELP tare_host_cost_idle_usd_per_hour The part of the price that no workload asked for or used. With every workload's cost now it adds up to the price.
# TYPE tare_host_cost_idle_usd_per_hour gauge
tare_host_cost_idle_usd_per_hour{cluster="prod",host="web-1"} 0.05463
# HELP tare_agent_cpu_time_seconds_total CPU time Tare used since it started.
# TYPE tare_agent_cpu_time_seconds_total counter
tare_agent_cpu_time_seconds_total{cluster="prod",host="web-1"} 1.25
# HELP tare_agent_memory_rss_bytes Memory Tare holds.
# TYPE tare_agent_memory_rss_bytes gauge
tare_agent_memory_rss_bytes{cluster="prod",host="web-1"} 8388608
# HELP tare_source_read_age_seconds How old its newest reading is.
# TYPE tare_source_read_age_seconds gauge
tare_source_read_age_seconds{cluster="prod",host="web-1",source="docker"} 0.000000001
# HELP tare_source_read_failures_total Reads that failed since Tare started.
# TYPE tare_source_read_failures_total counter
tare_source_read_failures_total{cluster="prod",host="web-1",source="docker"} 3
# HELP tare_source_gaps What the source could not see at the last look; tare doctor says why.
# TYPE tare_source_gaps gauge
tare_source_gaps{cluster="prod",host="web-1",source="cgroup",what="pressure"} 1
"#
    );
}

#[test]
fn a_task_is_told_by_its_id_and_its_host_stands_on_the_info() {
    let mut report = made::report();
    report.host.seen.name = Some("web-1".into());
    let mut task = made::workload(Key::Task("7f3a".into()), "web");
    Arc::make_mut(&mut task.seen.usage).pids = made::seen(4);
    task.containers = vec![made::container("0123456789abcdef", None)];
    report.workloads = vec![task];
    let text = print(&report);
    assert_eq!(series(&text, "tare_workload_pids"), [r#"tare_workload_pids{workload="web",task="7f3a"} 4"#]);
    assert_eq!(series(&text, "tare_container_state"), [r#"tare_container_state{workload="web",task="7f3a",container="0123456789ab",state="running"} 1"#]);
    assert_eq!(series(&text, "tare_workload_info"), [r#"tare_workload_info{workload="web",task="7f3a",host="web-1",kind="task"} 1"#]);
}

#[test]
fn tags_that_are_wanted_and_the_word_of_an_end_stand_on_the_info_of_a_task() {
    let tags = [("a-b", "1"), ("a.b", "2"), ("team", "pay\"ments"), ("secret", "x")].map(|(key, value)| (key.into(), value.into())).to_vec();
    let mut task = made::workload(Key::Task("77aa".into()), "api");
    task.seen.about = Arc::new(collector::snapshot::About { task: Some(Arc::new(Task { tags, ..Task::default() })), ..(*task.seen.about).clone() });
    let mut report = made::report();
    report.workloads = vec![task];
    let choice = Choice::default().tagged(&["team", "a.b", "a-b"].map(Into::into), &[("tag_team".into(), "x".into())]);
    let mut frame = Frame::of(&Arc::new(choice));
    let mut info = |report: &Report| {
        frame.fill(report);
        series(&text(&frame), "tare_workload_info").concat()
    };
    let start = r#"tare_workload_info{workload="api",task="77aa",kind="task""#;
    let tags = r#"tag_a_b_2="1",tag_a_b="2",tag_team_2="pay\"ments"} 1"#;
    assert_eq!(info(&report), format!("{start},{tags}"));
    // The row is the same as before, and what is told of it is not.
    report.workloads[0].seen.task = Some(Arc::new(TaskState { stop_code: Some("SpotInterruption".into()), ..TaskState::default() }));
    assert_eq!(info(&report), format!("{start},stop_code=\"SpotInterruption\",{tags}"));
}

#[test]
fn a_container_made_again_takes_the_name_and_its_figures_stay_apart() {
    let mut old = made::loose("aaaaaaaaaaaaaaaa", "web");
    old.seen.usage = made::usage(1).into();
    let mut frame = Frame::new();
    let mut report = made::report();
    report.workloads = vec![old.clone()];
    frame.fill(&report);
    old.seen.state = State::Ended;
    old.containers[0].seen.state = State::Ended;
    let mut new = made::loose("bbbbbbbbbbbbbbbb", "web");
    new.seen.usage = made::usage(2).into();
    report.workloads = vec![old, new];
    frame.fill(&report);
    let printed = text(&frame);
    assert_eq!(
        series(&printed, "tare_workload_cpu_time_seconds_total"),
        [
            r#"tare_workload_cpu_time_seconds_total{workload="web",container="aaaaaaaaaaaa"} 123.456796"#,
            r#"tare_workload_cpu_time_seconds_total{workload="web",container="web"} 123.456803"#
        ]
    );
    // The ended one holds no memory any more, so it adds none.
    assert_eq!(series(&printed, "tare_workload_memory_usage_bytes"), [r#"tare_workload_memory_usage_bytes{workload="web",container="web"} 665845762"#]);
    assert_eq!(series(&printed, "tare_container_state").len(), 2);
    // When the old one is forgotten nothing about the new one changes.
    report.workloads.remove(0);
    frame.fill(&report);
    assert_eq!(series(&text(&frame), "tare_workload_pids"), [r#"tare_workload_pids{workload="web",container="web"} 14"#]);
}

#[test]
fn one_unit_name_in_two_slices_is_told_by_path() {
    let mut report = made::report();
    report.workloads =
        ["/a.slice/x.service", "/b.slice/x.service", "/b.slice/y.service"].map(|path| made::workload(Key::Unit(path.into()), &path[9..])).to_vec();
    let text = print(&report);
    let names: Vec<_> = series(&text, "tare_workload_state").iter().map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(names, ["/a.slice/x.service", "/b.slice/x.service", "y.service"]);
}

#[test]
fn interfaces_whose_names_became_the_same_are_counted_together() {
    let traffic = |bytes| Traffic { bytes: Bytes(bytes), ..Traffic::default() };
    let interface = |name: &str, bytes| Interface { name: name.into(), received: traffic(bytes), sent: traffic(0) };
    let mut report = made::report();
    report.host.seen.usage.net = made::seen(smallvec![interface("a\u{fffd}", 5), interface("b", 1), interface("a\u{fffd}", 7)]);
    let mut frame = Frame::new();
    for _ in 0..2 {
        frame.fill(&report);
        let received: Vec<String> =
            series(&text(&frame), "tare_host_network_io_bytes_total").iter().filter(|line| line.contains("receive")).map(|line| (*line).to_owned()).collect();
        assert_eq!(
            received,
            [
                "tare_host_network_io_bytes_total{interface=\"a\u{fffd}\",direction=\"receive\"} 12",
                "tare_host_network_io_bytes_total{interface=\"b\",direction=\"receive\"} 1"
            ]
        );
    }
    // The second row stays what it was while the first becomes its like.
    for names in [["a", "b"], ["b", "b"], ["a", "b"]] {
        report.host.seen.usage.net = made::seen(names.iter().map(|name| interface(name, 1)).collect());
        frame.fill(&report);
        assert_eq!(text(&frame), print(&report), "{names:?}");
    }
}

#[test]
fn a_node_overview_finds_its_names() {
    let mut report = made::report();
    report.host.seen.machine = Some(std::sync::Arc::new(made::machine()));
    report.host.seen.usage = made::usage(5);
    report.host.seen.load = Some([0.5, 0.25, 0.125]);
    report.host.seen.os = Some("linux".into());
    report.host.seen.kernel = Some("6.1.0".into());
    let mut page = Node::of(&Default::default());
    for _ in 0..2 {
        page.fill(&report);
    }
    let mut out = Vec::new();
    encode(&page, &mut out);
    let text = String::from_utf8(out).unwrap();
    read(&text).unwrap();
    for line in [
        "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 90",
        "node_load1 0.5",
        "node_vmstat_pgfault 1",
        "node_netstat_Tcp_RetransSegs 5",
        "node_uname_info{release=\"6.1.0\",sysname=\"Linux\"} 1",
        "node_disk_io_time_seconds_total{device=\"nvme0n1\"} 0.005",
        "node_filesystem_avail_bytes{mountpoint=\"/\",device=\"/dev/nvme0n1p1\",fstype=\"xfs\"} 0",
        "node_network_receive_bytes_total{device=\"eth0\"} 181038261107",
        "node_network_up{device=\"eth0\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    assert!(!text.contains("node_memory_MemAvailable_bytes"), "what is not known is absent");
    let counted = allocation_counter::measure(|| page.fill(&report));
    assert_eq!(counted.count_total, 0, "a steady page allocates nothing");
}

#[test]
fn what_is_not_a_number_is_not_printed() {
    let mut report = made::report();
    let mut row = made::loose("0123456789abcdef", "web");
    row.rates.cpu_of_limit = Some(Ratio(f64::NAN));
    row.rates.memory_of_limit = Some(Ratio(f64::INFINITY));
    row.containers[0].seen.started = made::moment(-5);
    report.workloads = vec![row];
    let text = print(&report);
    for metric in ["tare_workload_cpu_limit_utilization_ratio", "tare_workload_memory_limit_utilization_ratio", "tare_container_start_time_seconds"] {
        assert!(!text.contains(metric), "{text}");
    }
}

/// Names as hostile as a runtime lets them be, and many that are the same.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["web", "db", "0123456789ab", "", "system", "/a.slice/x.service"]).prop_map(str::to_owned),
        2 => r#"["\\\n\r{},= a-c]{0,6}"#,
        1 => any::<String>(),
        1 => Just("ü\"".repeat(400)),
        1 => "[a-b]{300}",
    ]
}

/// Ids from a small set, some alike in their first 12 digits.
fn id() -> impl Strategy<Value = String> {
    prop_oneof!["0123456789ab[0-9a-b]{0,2}", name()]
}

fn any_workload() -> impl Strategy<Value = WorkloadRow> {
    let containers = prop::collection::vec((id(), prop::option::of(name()), any::<bool>(), 0..3i64), 0..3);
    let parts = (prop::collection::vec(name(), 0..4), prop::collection::vec(0..3u32, 0..4), prop::collection::vec(name(), 0..3));
    (0..5, id(), name(), any::<bool>(), containers, parts).prop_map(|(kind, id, name, ended, containers, (interfaces, devices, archs))| {
        let key = match kind {
            0 => Key::Task(id.as_str().into()),
            1 => Key::Pod(id.as_str().into()),
            2 => Key::Loose(id.as_str().into()),
            3 => Key::Unit(id.as_str().into()),
            _ => Key::System,
        };
        let mut row = made::workload(key, &name);
        row.seen.state = if ended { State::Exited } else { State::Running };
        Arc::make_mut(&mut row.seen.usage).pids = made::seen(7);
        let traffic = Traffic::default();
        Arc::make_mut(&mut row.seen.usage).net =
            made::seen(interfaces.iter().map(|name| Interface { name: name.as_str().into(), received: traffic, sent: traffic }).collect());
        Arc::make_mut(&mut row.seen.usage).io = made::seen(
            devices
                .iter()
                .map(|&minor| IoDevice { device: Device { major: 259, minor }, read: Bytes(1), written: Bytes(2), reads: None, writes: Some(u64::MAX) })
                .collect(),
        );
        row.cost.otherwise = archs.iter().map(|arch| fargate(arch)).collect();
        row.containers = containers
            .into_iter()
            .map(|(id, name, ended, started)| {
                let mut row = made::container(&id, name.as_deref());
                row.seen.state = if ended { State::Ended } else { State::Running };
                row.seen.started = made::moment(started);
                Arc::make_mut(&mut row.seen.usage).pids = made::seen(3);
                row
            })
            .collect();
        row
    })
}

fn fargate(arch: &str) -> Otherwise {
    let size = Some(Size { cores: Cores(0.25), memory: Bytes::GIB });
    let on = Elsewhere::Fargate { arch: arch.into(), size };
    Otherwise { on, basis: None, early: true, rate: Some(UsdPerHour(12_345_678)), parts: Vec::new(), why_not: None, project: None }
}

fn any_report() -> impl Strategy<Value = Report> {
    (prop::collection::vec(any_workload(), 0..12), prop::option::of(name()), prop::option::of(name()), prop::collection::vec(name(), 0..4)).prop_map(
        |(workloads, cluster, host, whats)| {
            let mut report = made::report();
            report.workloads = workloads;
            report.cluster = cluster.map(Arc::from);
            report.host.seen.name = host.map(Arc::from);
            report.host.seen.disks =
                whats.iter().map(|what| Disk { what: what.as_str().into(), path: "/".into(), size: Bytes(2), available: Bytes(1) }).collect();
            report.gaps = whats.iter().map(|what| Gap { from: SourceName::Net, what: what.as_str().into(), why: "".into() }).collect();
            report.sources = vec![SourceRow { source: SourceName::Net, answered: None, age: None, took: None, failures: 0 }; 2];
            report
        },
    )
}

/// A strict reader of the text format: series as metric and sorted labels, in order.
fn read(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut closed, mut current) = (Vec::new(), HashSet::new(), String::new());
    if !(text.is_empty() || text.ends_with('\n')) {
        return Err("the last line does not end".into());
    }
    for line in text.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let name = comment.split(' ').next().unwrap_or_default().to_owned();
            if !closed.insert(name.clone()) {
                return Err(format!("{name} comes twice"));
            }
            current = name;
            continue;
        }
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            if comment.split(' ').next() != Some(&current) {
                return Err(format!("TYPE of another metric: {line:?}"));
            }
            continue;
        }
        let rest = line.strip_prefix(&current).ok_or(format!("not of {current}: {line:?}"))?;
        let (mut labels, mut rest) = (Vec::new(), rest);
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (name, value) = rest.split_once("=\"").ok_or(format!("no label: {line:?}"))?;
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
                    return Err(format!("label name {name:?} in {line:?}"));
                }
                let mut escaped = false;
                let end = value.bytes().position(|b| {
                    let ends = b == b'"' && !escaped;
                    escaped = b == b'\\' && !escaped;
                    ends
                });
                let end = end.ok_or(format!("no end of a value: {line:?}"))?;
                labels.push(format!("{name}={:?}", &value[..end]));
                rest = &value[end + 1..];
                match (rest.strip_prefix(','), rest.strip_prefix('}')) {
                    (Some(next), _) => rest = next,
                    (_, Some(next)) => {
                        rest = next;
                        break;
                    }
                    _ => return Err(format!("no end of labels: {line:?}")),
                }
            }
        }
        let names: HashSet<_> = labels.iter().map(|label| label.split('=').next()).collect();
        if names.len() != labels.len() {
            return Err(format!("a label comes twice: {line:?}"));
        }
        let number: f64 = rest.strip_prefix(' ').and_then(|number| number.parse().ok()).ok_or(format!("no number: {line:?}"))?;
        if !number.is_finite() {
            return Err(format!("not finite: {line:?}"));
        }
        labels.sort();
        all.push(format!("{current}{labels:?}"));
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_series_is_valid_and_unique(reports in prop::collection::vec(any_report(), 1..4)) {
        let (mut frame, mut cgroups) = (Frame::new(), Cgroups::of(&Arc::default()));
        for report in &reports {
            frame.fill(report);
            cgroups.fill(report);
            for printed in [text(&frame), text(&cgroups)] {
                let series = read(&printed).map_err(TestCaseError::fail)?;
                let unique: HashSet<_> = series.iter().collect();
                prop_assert_eq!(unique.len(), series.len(), "{}", printed);
            }
        }
    }

    #[test]
    fn a_frame_that_saw_other_reports_prints_the_same_as_a_new_one(reports in prop::collection::vec(any_report(), 2..4)) {
        let (mut frame, mut cgroups, mut new) = (Frame::new(), Cgroups::of(&Arc::default()), Cgroups::of(&Arc::default()));
        for report in &reports {
            frame.fill(report);
            cgroups.fill(report);
        }
        let last = &reports[reports.len() - 1];
        new.fill(last);
        prop_assert_eq!(text(&frame), print(last));
        prop_assert_eq!(text(&cgroups), text(&new));
    }

    #[test]
    fn no_row_is_lost_while_ids_are_unique(names in prop::collection::vec(prop::sample::select(vec!["web", "db", "000000000001"]), 1..20)) {
        let mut report = made::report();
        report.workloads = names.iter().enumerate().map(|(n, name)| made::loose(&format!("{n:012x}{n:052x}"), name)).collect();
        let mut frame = Frame::new();
        frame.fill(&report);
        prop_assert_eq!(frame.cut(), 0);
        prop_assert_eq!(series(&text(&frame), "tare_workload_state").len(), names.len());
    }
}

/// A report in which every metric of the table has a value.
fn full() -> Report {
    let mut report = made::crowd(3);
    let host = &mut report.host;
    host.seen.usage = made::usage(1);
    host.seen.load = Some([0.5, 0.25, 1.0]);
    host.seen.cores = Some(2);
    host.seen.memory = Some(Bytes(8 << 30));
    host.seen.booted = made::moment(1_700_000_000);
    host.seen.own = Some(Own { cpu: Duration::from_secs(1), memory: Bytes(1) });
    host.rates.uptime = Some(Duration::from_secs(7));
    host.seen.disks = vec![Disk { what: "state".into(), path: "/var/lib/tare".into(), size: Bytes(2), available: Bytes(1) }];
    let price = Arc::new(Price {
        source: "a list".into(),
        sku: "m7i.large".into(),
        region: "us-east-1".into(),
        usd: UsdPerHour(100_800_000),
        per: Per::InstanceHour,
        since: jiff::civil::date(2026, 2, 7),
        from: Origin::BuiltIn,
        basis: PriceBasis::Listed,
    });
    host.cost = NodeCost {
        price: Some(price.clone()),
        idle: Some(UsdPerHour(5)),
        break_even: Some(Ratio(0.87)),
        fargate_cover: Some(Ratio(0.43)),
        ..NodeCost::default()
    };
    for row in &mut report.workloads {
        row.seen.usage = made::usage(2).into();
        row.cost.now = Some(UsdPerHour(1));
        let what = [What::Cpu, What::Memory, What::Disk, What::Licence];
        row.cost.parts = what.map(|what| Part { what, asked: None, used: None, amount: 1.0, price: price.clone(), rate: UsdPerHour(21_323_000) }).to_vec();
        row.cost.otherwise = vec![fargate("x86_64"), fargate("arm64")];
        row.seen.limits = row.containers[0].seen.limits;
        row.rates = row.containers[0].rates.clone();
    }
    report.gaps = vec![Gap { from: SourceName::Cgroup, what: "pressure".into(), why: "off".into() }];
    report.sources = vec![SourceRow { source: SourceName::Cgroup, answered: None, age: Some(Duration::ZERO), took: Some(Duration::ZERO), failures: 0 }];
    report
}

#[test]
fn prometheus_itself_has_nothing_to_say_against_it() {
    let mut frame = Frame::new();
    let mut report = full();
    let mut hostile = made::loose("0123456789abcdef", "a\"b\\c\nd");
    hostile.seen.usage = made::usage(1).into();
    report.workloads.push(hostile);
    frame.fill(&report);
    let mut out = Vec::new();
    encode(&frame, &mut out);
    let agent = Agent::new();
    agent.count_request("/metrics", 200);
    agent.tick_duration.observe(0.004);
    agent.count_gap(SourceName::Docker);
    agent.count_cut("containers", 1);
    encode_own(&agent, &Choice::default(), Format::Text, &mut out);
    let promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        println!("skipped: promtool is not installed (Debian package prometheus)");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&out).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
}

/// All pages of a report, as this choice leaves them.
fn chosen(report: &Report, choice: Choice) -> [String; 3] {
    let choice = Arc::new(choice);
    let (mut frame, mut cgroups, mut node) = (Frame::of(&choice), Cgroups::of(&choice), Node::of(&choice));
    let mut report = report.clone();
    report.host.seen.machine = Some(Arc::new(made::machine()));
    report.host.seen.os = Some("linux".into());
    frame.fill(&report);
    cgroups.fill(&report);
    node.fill(&report);
    [text(&frame), text(&cgroups), text(&node)]
}

fn names(text: &str) -> HashSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[test]
fn what_is_not_wanted_is_not_told_and_all_else_is() {
    let report = full();
    let [ours, theirs, node] = chosen(&report, Choice::default());
    let globs = |all: &[&str]| all.iter().map(|glob| Glob((*glob).into())).collect::<Vec<_>>();
    let choice = Choice::new(globs(&["tare_container_*", "container_memory_*", "node_disk_*"]), globs(&["*_info", "*_rss*"]), Vec::new(), &[]);
    for (all, told) in [&ours, &theirs, &node].into_iter().zip(chosen(&report, choice.clone())) {
        let wanted: HashSet<&str> = names(all).into_iter().filter(|name| choice.keeps(name)).collect();
        assert!(wanted.len() > 3 && wanted.len() < names(all).len());
        assert_eq!(names(&told), wanted);
        let lines: HashSet<&str> = all.lines().collect();
        assert!(told.lines().all(|line| lines.contains(line)));
    }
}

/// cAdvisor by default tells no processes, the kubelet does.
#[test]
fn processes_are_told_as_cadvisor_does_on_each_platform() {
    let globs = |all: &[&str]| all.iter().map(|glob| Glob((*glob).into())).collect::<Vec<_>>();
    let mut on_kubernetes = made::crowd(1);
    let pod = About { key: Key::Pod("8f2c".into()), ..About::clone(&on_kubernetes.workloads[0].seen.about) };
    on_kubernetes.workloads[0].seen.about = Arc::new(pod);
    for (report, allow, told) in [
        (&made::crowd(1), &[][..], false),
        (&on_kubernetes, &[], true),
        (&made::crowd(1), &["container_*"], true),
        (&made::crowd(1), &["container_cpu_*"], false),
    ] {
        let [_, cgroups, _] = chosen(report, Choice::new(globs(allow), Vec::new(), Vec::new(), &[]));
        for name in ["container_processes", "container_threads", "container_file_descriptors", "container_ulimits_soft"] {
            assert_eq!(names(&cgroups).contains(name), told, "{name} {allow:?}");
        }
    }
}

#[test]
fn without_every_label_that_describes_each_series_is_still_one() {
    let mut report = full();
    report.workloads.push(made::loose("0123456789abcdef", "loose"));
    report.workloads[3].containers[0].seen.usage = made::usage(4).into();
    let labels = tare::metrics::manual::labels();
    let dropped: Vec<String> = labels.iter().filter(|(_, free)| *free).map(|(name, _)| (*name).to_owned()).collect();
    assert!(dropped.len() > 20);
    let all = chosen(&report, Choice::default());
    let told = chosen(&report, Choice::new(Vec::new(), Vec::new(), dropped.clone(), &[]));
    for (all, told) in all.iter().zip(&told) {
        let series = read(told).unwrap();
        assert_eq!(series.len(), read(all).unwrap().len(), "a series is lost");
        assert_eq!(series.iter().collect::<HashSet<_>>().len(), series.len());
        for label in &dropped {
            assert!(!told.contains(&format!("{{{label}=")) && !told.contains(&format!(",{label}=")), "{label}");
        }
    }
}

#[test]
fn labels_of_ones_own_stand_on_every_series() {
    for told in chosen(&full(), Choice::new(Vec::new(), Vec::new(), Vec::new(), &[("team".into(), "a\"b".into())])) {
        read(&told).unwrap();
        assert!(told.lines().filter(|line| !line.starts_with('#')).all(|line| line.contains("{team=\"a\\\"b\"")), "{told}");
    }
}
