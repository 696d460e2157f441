//! What doctor says of hosts that lack something.

use std::collections::BTreeSet;

use jiff::civil::date;

use collector::snapshot::{Docker, Layer, Seen, Task};
use collector::units::Stamp;

use super::*;
use crate::platform::{Found, Role};
use crate::sample;

fn settings() -> Settings {
    crate::config::load(None, [], &[]).unwrap().settings
}

fn gap(from: SourceName, what: &str, why: &str) -> Gap {
    Gap { from, what: what.into(), why: why.into() }
}

fn ec2() -> Report {
    let mut report = sample::report();
    report.host.seen.cgroups = Some(CgroupVersion::V2);
    report.host.seen.docker = Some(std::sync::Arc::new(Docker { version: "26.1.5".into(), api: "1.45".into(), root: None }));
    report.gaps.clear();
    report
}

fn plain(width: u16) -> Look {
    Look { width: Some(width), colour: false }
}

#[test]
fn a_host_in_good_order() {
    let facts = Facts {
        today: Some(date(2026, 3, 1)),
        port: Some(Port::Free),
        open_files: Some(1 << 20),
        root: Some(false),
        tree: Some("/host/sys/fs/cgroup".into()),
        pushing: None,
    };
    let found = findings(&ec2(), &settings(), &facts);
    let expected = "\
ok       TARE-001  cgroup v2 at /host/sys/fs/cgroup, 4 containers, 0 units
ok       TARE-010  Docker 26.1.5 on /var/run/docker.sock
ok       TARE-020  instance m7i.large, i-0a1b2c3d, us-east-1b
ok       TARE-030  m7i.large in us-east-1: 0.1008 $/h, list price of 2026-02-07
ok       TARE-060  127.0.0.1:9464 is free to serve on
5 ok, 0 warnings, 0 errors                               exit 0 (see --fail-on)
";
    assert_eq!(table(&found, FailOn::Error, plain(100)), expected);
    assert!(!failed(&found, FailOn::Warning));
}

#[test]
fn a_host_in_bad_order() {
    let mut report = ec2();
    report.host.seen.docker = None;
    report.host.seen.instance = Default::default();
    report.host.cost = Default::default();
    report.gaps = vec![
        gap(
            SourceName::Docker,
            "containers",
            "/var/run/docker.sock is a directory: the host path did not exist when the container started; fix: remove the mount, or start Docker before Tare",
        ),
        gap(SourceName::Imds, "instance", "the metadata service answers, but the token never came: the instance's hop limit is 1; fix: run with host network"),
    ];
    let found = findings(&report, &settings(), &Facts { port: Some(Port::Taken("Address already in use".into())), ..Facts::default() });
    let expected = "\
ok       TARE-001  cgroup v2, 4 containers, 0 units
error    TARE-012  /var/run/docker.sock is a directory: the host path did not
         exist when the container started
         names, images, health, restarts and exit codes are unknown
         fix: remove the mount, or start Docker before Tare
warning  TARE-021  the metadata service answers, but the token never came: the
         instance's hop limit is 1
         cost of workloads on this instance is unknown until then
         fix: run with host network
error    TARE-061  127.0.0.1:9464 cannot be served on: Address already in use
         tare run ends at once
         fix: end what has it, or set another: --listen 127.0.0.1:9465
1 ok, 1 warning, 2 errors                               exit 1 (see --fail-on)
";
    assert_eq!(table(&found, FailOn::Error, plain(80)), expected);
    assert!(failed(&found, FailOn::Error) && !failed(&found, FailOn::Never));
    let json = json(&found);
    assert_eq!((&json["schema"], &json["warning"], &json["error"]), (&"tare.doctor/1".into(), &1.into(), &2.into()));
    assert_eq!(json["findings"][1]["code"], "TARE-012");
    assert_eq!(json["findings"][1]["level"], "error");
}

#[test]
fn reasons_of_sources_have_their_codes() {
    use SourceName::{Cgroup, Docker, DockerSizes, DockerStats, Ecs, Host, Imds, Net};
    for (from, what, why, code) in [
        (Cgroup, "containers", "no cgroup tree with a controller is mounted below /sys", "TARE-002"),
        (Cgroup, "memory.stat", "of cgroup /a cannot be read: Permission denied (os error 13)", "TARE-003"),
        (Cgroup, "pressure", "this kernel does not keep it", "TARE-004"),
        (Cgroup, "cpu.stat", "no descriptor was left for 3 files", "TARE-005"),
        (Cgroup, "io", "this kernel (6.10 or newer) counts what a v1 cgroup reads", "TARE-006"),
        (Docker, "containers", "/x is not there: this host has no Docker", "TARE-011"),
        (Docker, "containers", "/x: permission denied: it belongs to group 999", "TARE-013"),
        (Docker, "containers", "/x/containers/json: HTTP 403: no", "TARE-013"),
        (Docker, "containers", "/x: connection refused: the Docker daemon is not running", "TARE-014"),
        (Docker, "containers", "Docker 19.03 speaks API 1.40, Tare needs 1.41 or newer", "TARE-015"),
        (Docker, "containers", "/x: no answer within 2 s", "TARE-016"),
        (Docker, "containers", "2 containers could not be inspected", "TARE-017"),
        (DockerStats, "containers", "2 containers did not answer within 4 s", "TARE-008"),
        (DockerSizes, "sizes", "the size of volumes is unknown or old: HTTP 500", "TARE-019"),
        (Imds, "instance", "http://169.254.169.254: no answer within 1 s: not EC2, or blocked", "TARE-022"),
        (Imds, "instance", "a proxy stands in between", "TARE-023"),
        (Imds, "spot notices", "whether EC2 wants this instance back is not asked any more for an hour: no answer within 1 s", "TARE-025"),
        (Ecs, "tasks", "ecs:DescribeTasks is not allowed: much stays unknown", "TARE-037"),
        (Ecs, "container instances", "ecs:DescribeContainerInstances is not allowed: much stays unknown", "TARE-038"),
        (Ecs, "instances", "ec2:DescribeInstances is not allowed: much stays unknown", "TARE-038"),
        (Ecs, "instances", "ec2:DescribeInstances: no credentials: AWS_ACCESS_KEY_ID is not set", "TARE-037"),
        (Ecs, "cluster", "of 3 ECS tasks only the ids are known, and nobody says which cluster they are of", "TARE-039"),
        (Net, "network", "no process of 3 containers could be looked at", "TARE-040"),
        (Host, "disk", "/var/lib/tare: no answer within 2 s", "TARE-050"),
    ] {
        assert_eq!(codes::of_gap(&gap(from, what, why)).code, code, "{why}");
    }
}

#[test]
fn containers_that_the_tree_does_not_show_are_a_finding_with_its_price() {
    let mut report = ec2();
    report.host.seen.cgroups = None;
    report.gaps = vec![gap(SourceName::Cgroup, "containers", "no cgroup tree with a controller is mounted below /sys")];
    let levels = |report: &Report| {
        let found = findings(report, &settings(), &Facts::default());
        let of = |code: &str| found.iter().find(|finding| finding.code == code).map(|finding| (finding.level, finding.what.clone()));
        (of("TARE-002").map(|(level, _)| level), of("TARE-007").map(|(_, what)| what))
    };
    assert_eq!(levels(&report), (Some(Level::Error), None));
    let containers: Vec<_> = report.workloads.iter_mut().flat_map(|row| &mut row.containers).collect();
    let all = containers.len();
    for container in containers.into_iter().skip(1) {
        std::sync::Arc::make_mut(&mut container.seen.usage).memory.as_mut().unwrap().from = SourceName::DockerStats;
    }
    let said = format!("Docker's stats measure {} of {all} containers: the cgroup tree does not show them", all - 1);
    assert_eq!(levels(&report), (Some(Level::Warning), Some(said)));
}

#[test]
fn sizes_are_a_finding_where_somebody_asks_for_them() {
    let said = |report: &Report, settings: &Settings| {
        let found = findings(report, settings, &Facts::default());
        found.into_iter().find(|finding| finding.code == "TARE-009").map(|finding| finding.what)
    };
    let (mut report, mut settings) = (ec2(), settings());
    assert_eq!(said(&report, &settings), None);
    settings.docker.sizes = Some(std::time::Duration::from_secs(900));
    assert_eq!(said(&report, &settings).unwrap(), "layers and volumes are measured every 15m, not yet at this look");
    let at = Stamp { wall: "2026-03-02T10:00:20Z".parse().ok(), boot: None };
    let container = report.workloads.iter_mut().flat_map(|row| &mut row.containers).next().unwrap();
    container.seen.disk = Some(Seen { at, from: SourceName::DockerSizes, is: Layer::default() });
    assert_eq!(said(&report, &settings).unwrap(), "layers and volumes are measured every 15m, last at 2026-03-02 10:00:20 UTC");
    report.host.seen.docker = None;
    assert_eq!(said(&report, &settings), None, "without a Docker there is nothing to measure");
}

#[test]
fn what_is_meant_to_be_missing_is_no_warning() {
    let mut report = ec2();
    report.host.seen.docker = None;
    report.workloads.retain(|row| row.seen.about.key == Key::System);
    report.gaps = vec![gap(SourceName::Docker, "containers", "/x is not there; fix: start Docker"), gap(SourceName::Imds, "instance", "not EC2; fix: set it")];
    let found = findings(&report, &settings(), &Facts::default());
    assert!(found.iter().all(|finding| finding.level == Level::Ok && finding.fix.is_none()), "{found:?}");
}

#[test]
fn a_hop_limit_costs_the_notices_of_a_spot_instance_where_aws_told_what_it_is() {
    let mut report = ec2();
    report.gaps = vec![gap(SourceName::Imds, "instance", "the token never came: the instance's hop limit is 1; fix: run with host network")];
    let mut found = |market, price: bool| {
        report.host.seen.instance.market = market;
        if !price {
            report.host.cost.price = None;
        }
        let found = findings(&report, &settings(), &Facts::default()).into_iter().find(|finding| finding.code == "TARE-021").unwrap();
        (found.level, found.costs)
    };
    assert_eq!(found(Some(Market::OnDemand), true), (Level::Ok, None));
    assert_eq!(found(Some(Market::Spot), true), (Level::Warning, Some("an interruption of this Spot instance is not announced".into())));
    assert_eq!(found(None, false), (Level::Warning, Some("cost of workloads on this instance is unknown until then".into())));
}

#[test]
fn a_price_that_is_missing_for_its_own_reason_is_a_finding() {
    let mut report = ec2();
    report.host.cost.price = None;
    report.host.cost.why_no_price = Some("m99.large is not in the price list".into());
    let found = findings(&report, &settings(), &Facts::default());
    let finding = found.iter().find(|finding| finding.code == "TARE-031").unwrap();
    assert_eq!(finding.what, "price of this machine unknown: m99.large is not in the price list");
}

#[test]
fn facts_become_findings() {
    let mut settings = settings();
    settings.listen = "0.0.0.0:9464".parse().unwrap();
    settings.web.expose = true;
    settings.docker.socket = None;
    let mut report = ec2();
    report.host.seen.docker = None;
    report.host.seen.instance.market = Some(Market::Spot);
    report.host.cost.region.as_mut().unwrap().assumed = true;
    let facts = Facts { today: Some(date(2026, 11, 1)), port: Some(Port::Tare), open_files: Some(1024), root: Some(true), tree: None, pushing: None };
    let found = findings(&report, &settings, &facts);
    let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["TARE-001", "TARE-018", "TARE-020", "TARE-030", "TARE-032", "TARE-033", "TARE-034", "TARE-060", "TARE-062", "TARE-063", "TARE-064"]);
    assert!(found[4].what.contains("267 days old"), "{}", found[4].what);
}

#[test]
fn codes_are_in_order_and_every_trouble_says_what_it_costs() {
    let names: Vec<&str> = codes::CODES.iter().map(|code| code.code).collect();
    assert_eq!(names, names.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    assert!(codes::CODES.iter().all(|code| (code.level == Level::Ok) == code.costs.is_empty()));
}

#[test]
fn hostile_reasons_stay_on_their_line() {
    let mut report = ec2();
    report.gaps = vec![gap(SourceName::Host, "disk", "a\n\u{1b}[2Jb")];
    let table = table(&findings(&report, &settings(), &Facts::default()), FailOn::Error, Look::PLAIN);
    assert!(table.contains("disk: a\u{fffd}\u{fffd}[2Jb"), "{table}");
}

fn on(platform: Platform) -> Report {
    let mut report = ec2();
    report.host.platform = Some(std::sync::Arc::new(Found { platform, role: Role::Daemon, probes: "Docker: no".into() }));
    report
}

fn codes_of(report: &Report) -> BTreeSet<&'static str> {
    findings(report, &settings(), &Facts::default()).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn the_platform_is_told_with_every_probe() {
    let found = findings(&on(Platform::Docker), &settings(), &Facts::default());
    let platform = found.iter().find(|finding| finding.code == "TARE-070").unwrap();
    assert_eq!((platform.level, platform.what.as_str()), (Level::Ok, "docker, daemon: Docker: no"));
    assert!(!codes_of(&ec2()).contains("TARE-070"), "an older Tare does not say");
}

/// Gives every ECS task a family, or takes it.
fn name_tasks(report: &mut Report, family: Option<&str>) -> usize {
    let tasks = report.workloads.iter_mut().filter(|row| matches!(row.seen.about.key, Key::Task(_)));
    let named = tasks.map(|row| {
        let mut about = (*row.seen.about).clone();
        about.task = Some(Task { family: family.map(Into::into), ..Task::default() }.into());
        row.seen.about = about.into();
        row.containers.len()
    });
    named.sum()
}

#[test]
fn what_ecs_tasks_lack_is_said_only_on_ecs() {
    let mut report = on(Platform::Ecs(Some(Launch::Ec2)));
    report.host.seen.instance.id = None;
    let containers = name_tasks(&mut report, None);
    let found = findings(&report, &settings(), &Facts::default());
    let say = |code: &str| found.iter().find(|finding| finding.code == code).map(|finding| finding.what.clone()).unwrap();
    assert!(say("TARE-071").contains("on EC2, and nobody says on which instance"));
    assert!(say("TARE-073").starts_with(&format!("{containers} container")));

    report.host.platform = on(Platform::Docker).host.platform;
    assert!(codes_of(&report).is_disjoint(&["TARE-071", "TARE-073"].into()));
    report.host.platform = on(Platform::Ecs(Some(Launch::Ec2))).host.platform;
    report.host.seen.instance.id = Some("i-0a1b2c3d".into());
    name_tasks(&mut report, Some("shop"));
    assert!(codes_of(&report).is_disjoint(&["TARE-071", "TARE-073"].into()));
}

#[test]
fn a_machine_of_ones_own_is_not_priced_on_purpose() {
    let mut report = on(Platform::Ecs(Some(Launch::External)));
    report.host.cost = Default::default();
    report.host.seen.instance = Default::default();
    report.gaps = vec![gap(SourceName::Imds, "instance", "no answer within 1.0 s: not EC2, or blocked; fix: set host.instance_type")];
    let found = findings(&report, &settings(), &Facts::default());
    let level = |code: &str| found.iter().find(|finding| finding.code == code).map(|finding| finding.level);
    assert_eq!((level("TARE-072"), level("TARE-022"), level("TARE-031")), (Some(Level::Ok), Some(Level::Ok), None));
}
