//! A Tare that looks at a whole cluster, against a fake ECS API: what it tells, what a missing right leaves, and a Prometheus that finds other Tares by it.

use std::fs;
use std::path::Path;
use std::process::Command;

use collector::snapshot::{Scope, SourceName};
use serde_json::Value;
use tare::report::Report;

use crate::program::{self, Served};
use crate::prometheus::Prometheus;

#[path = "../fakes/cluster.rs"]
mod fake;

use fake::{Cluster, service, task};

/// `tare` that asks this cluster, and nothing else.
fn replica(arguments: &[&str], cluster: &Cluster) -> Command {
    let mut command = program::command(arguments);
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-1"), ("AWS_EC2_METADATA_DISABLED", "true")];
    command.envs(keys).envs([("TARE_SCOPE", "cluster"), ("TARE_CLUSTER", "shop"), ("TARE_INTERVAL", "1s")]);
    command.env("AWS_ENDPOINT_URL_ECS", cluster.url());
    command
}

const RUN: [&str; 3] = ["run", "--listen", "127.0.0.1:0"];

fn until(served: &Served, so: impl Fn(&Report) -> bool) -> Report {
    let report = || {
        let answer = served.get("/report.json").ok().filter(|answer| answer.status == 200)?;
        Some(serde_json::from_slice::<Report>(&answer.body).unwrap()).filter(&so)
    };
    program::until(report).unwrap_or_else(|| panic!("it never came to it:\n{}", served.log()))
}

fn is_whole(report: &Report) -> bool {
    report.ecs.as_ref().is_some_and(|ecs| ecs.services.is_some() && ecs.tasks.is_some())
}

#[test]
fn a_cluster_has_these_series_and_no_row_of_a_machine() {
    let tasks = vec![task(1, "web", Some("10.0.0.1")), task(2, "web", Some("10.0.0.2")), task(3, "tare", Some("10.0.0.3")), task(4, "tare", None)];
    let cluster = Cluster::start(vec![service("web", 4, 2), service("tare", 2, 2), service("old", 0, 0)], tasks);
    let served = program::serve_as(replica(&RUN, &cluster)).unwrap();
    let report = until(&served, is_whole);
    assert_eq!((report.scope, report.workloads.len(), report.gaps.len()), (Scope::Cluster, 0, 0), "{:?}", report.gaps);
    let text = String::from_utf8(served.metrics().unwrap()).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("tare_agent_") && !line.starts_with("tare_source_")).collect();
    let expected = r#"tare_service_info{cluster="shop",service="old",family="old",revision="3",launch_type="fargate",scheduling="replica",status="active"} 1
tare_service_info{cluster="shop",service="tare",family="tare",revision="3",launch_type="fargate",scheduling="replica",status="active"} 1
tare_service_info{cluster="shop",service="web",family="web",revision="3",launch_type="fargate",scheduling="replica",status="active"} 1
tare_service_tasks_desired{cluster="shop",service="old"} 0
tare_service_tasks_desired{cluster="shop",service="tare"} 2
tare_service_tasks_desired{cluster="shop",service="web"} 4
tare_service_tasks_running{cluster="shop",service="old"} 0
tare_service_tasks_running{cluster="shop",service="tare"} 2
tare_service_tasks_running{cluster="shop",service="web"} 2
tare_service_tasks_pending{cluster="shop",service="old"} 0
tare_service_tasks_pending{cluster="shop",service="tare"} 0
tare_service_tasks_pending{cluster="shop",service="web"} 2
tare_service_deployments{cluster="shop",service="old",rollout="completed"} 1
tare_service_deployments{cluster="shop",service="old",rollout="in_progress"} 0
tare_service_deployments{cluster="shop",service="old",rollout="failed"} 0
tare_service_deployments{cluster="shop",service="old",rollout="unknown"} 0
tare_service_deployments{cluster="shop",service="tare",rollout="completed"} 1
tare_service_deployments{cluster="shop",service="tare",rollout="in_progress"} 0
tare_service_deployments{cluster="shop",service="tare",rollout="failed"} 0
tare_service_deployments{cluster="shop",service="tare",rollout="unknown"} 0
tare_service_deployments{cluster="shop",service="web",rollout="completed"} 1
tare_service_deployments{cluster="shop",service="web",rollout="in_progress"} 0
tare_service_deployments{cluster="shop",service="web",rollout="failed"} 0
tare_service_deployments{cluster="shop",service="web",rollout="unknown"} 0
tare_service_deployment_failed_tasks{cluster="shop",service="old"} 1
tare_service_deployment_failed_tasks{cluster="shop",service="tare"} 1
tare_service_deployment_failed_tasks{cluster="shop",service="web"} 1
tare_cluster_tasks{cluster="shop",service="tare",launch_type="fargate",capacity_provider="FARGATE_SPOT",status="running"} 2
tare_cluster_tasks{cluster="shop",service="web",launch_type="fargate",capacity_provider="FARGATE_SPOT",status="running"} 2
tare_cluster_services{cluster="shop"} 3
tare_cluster_tares{cluster="shop",address="known"} 1
tare_cluster_tares{cluster="shop",address="unknown"} 1"#;
    assert_eq!(told, expected.lines().collect::<Vec<_>>());
    for path in ["/metrics/cadvisor", "/metrics/node", "/"] {
        assert_eq!(served.get(path).unwrap().status, 200, "{path}");
    }
    let asked = cluster.asked();
    let count = |action: &str| asked.iter().filter(|asked| *asked == action).count();
    let counts = ["listservices", "describeservices", "listtasks", "describetasks"].map(count);
    assert_eq!((counts, asked.len()), ([2, 2, 2, 2], 8), "two pages of each, once a minute, and nothing else is asked");
    let sd = served.get("/sd").unwrap();
    assert_eq!((sd.status, sd.header("content-type")), (200, Some("application/json")));
    let targets: Value = serde_json::from_slice(&sd.body).unwrap();
    assert_eq!((targets.as_array().unwrap().len(), &targets[0]["targets"][0]), (1, &"10.0.0.3:9464".into()));
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()), "{log}");
    assert!(log.contains("cluster shop as a whole") && log.contains("cluster)") || log.contains(", cluster"), "{log}");
}

#[test]
fn a_missing_right_is_told_with_what_to_do_and_what_is_not_known_is_no_empty_list() {
    let cluster = Cluster::start(vec![service("web", 1, 1)], vec![task(1, "tare", Some("10.0.0.1"))]);
    cluster.refuse("ListTasks", "AccessDeniedException");
    let served = program::serve_as(replica(&RUN, &cluster)).unwrap();
    let report = until(&served, |report| report.ecs.as_ref().is_some_and(|ecs| ecs.services.is_some()) && !report.gaps.is_empty());
    let gap = &report.gaps[0];
    assert_eq!((gap.from, &*gap.what, report.gaps.len()), (SourceName::EcsCluster, "tasks", 1));
    assert!(gap.why.contains("ecs:ListTasks is not allowed") && gap.why.contains("tare generate iam"), "{}", gap.why);
    assert_eq!(served.get("/sd").unwrap().status, 503);
    let said = program::finish(replica(&["doctor"], &cluster));
    assert!(said.out.contains("TARE-077") && said.out.contains("ecs:ListTasks") && !said.out.contains("TARE-002"), "{}{}", said.out, said.log);
    let said = program::finish(replica(&["generate", "iam"], &cluster));
    for right in ["ecs:ListServices", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks"] {
        assert!(said.out.contains(right), "{}", said.out);
    }
}

#[test]
fn a_prometheus_finds_a_tare_by_another() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/v2-systemd");
    let found = program::serve([Path::new("--replay"), &host]).unwrap();
    assert_eq!(found.get("/sd").unwrap().status, 404, "a machine's knows no others");
    let cluster = Cluster::start(Vec::new(), vec![task(7, "tare", Some(&found.address.ip().to_string()))]);
    let mut command = replica(&RUN, &cluster);
    command.env("TARE_ECS_DISCOVER_PORT", found.address.port().to_string());
    let served = program::serve_as(command).unwrap();
    until(&served, is_whole);
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start_finding(folder.path(), &format!("http://{}/sd", served.address)) else {
        return println!("skipped: prometheus: not installed");
    };
    let query = r#"up{job="tare", service="tare", task="00000000000000000000000000000007", zone="eu-west-1a"}"#;
    assert_eq!(prometheus.query(query), Some(1.0), "{}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    assert_eq!(prometheus.query("sum(tare_container_cpu_time_seconds_total)"), Some(6.5));
}
