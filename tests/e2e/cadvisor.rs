//! `/metrics/cadvisor` beside cAdvisor: names and types, and what boards and rules ask of a real Prometheus that scraped it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::program;
use crate::prometheus::Prometheus;

/// What boards and rules ask for, and its type in cAdvisor 0.60. Always checked; the whole list is where `TARE_FIXTURES` is.
const ASKED_FOR: [(&str, &str); 37] = [
    ("container_cpu_cfs_periods_total", "counter"),
    ("container_cpu_cfs_throttled_periods_total", "counter"),
    ("container_cpu_cfs_throttled_seconds_total", "counter"),
    ("container_cpu_system_seconds_total", "counter"),
    ("container_cpu_usage_seconds_total", "counter"),
    ("container_cpu_user_seconds_total", "counter"),
    ("container_fs_reads_bytes_total", "counter"),
    ("container_fs_reads_total", "counter"),
    ("container_fs_writes_bytes_total", "counter"),
    ("container_fs_writes_total", "counter"),
    ("container_last_seen", "gauge"),
    ("container_memory_cache", "gauge"),
    ("container_memory_failures_total", "counter"),
    ("container_memory_max_usage_bytes", "gauge"),
    ("container_memory_rss", "gauge"),
    ("container_memory_swap", "gauge"),
    ("container_memory_usage_bytes", "gauge"),
    ("container_memory_working_set_bytes", "gauge"),
    ("container_network_receive_bytes_total", "counter"),
    ("container_network_receive_errors_total", "counter"),
    ("container_network_receive_packets_dropped_total", "counter"),
    ("container_network_receive_packets_total", "counter"),
    ("container_network_transmit_bytes_total", "counter"),
    ("container_network_transmit_errors_total", "counter"),
    ("container_network_transmit_packets_dropped_total", "counter"),
    ("container_network_transmit_packets_total", "counter"),
    ("container_oom_events_total", "counter"),
    ("container_pressure_cpu_waiting_seconds_total", "counter"),
    ("container_pressure_io_waiting_seconds_total", "counter"),
    ("container_pressure_memory_waiting_seconds_total", "counter"),
    ("container_spec_cpu_period", "gauge"),
    ("container_spec_cpu_quota", "gauge"),
    ("container_spec_memory_limit_bytes", "gauge"),
    ("container_start_time_seconds", "gauge"),
    ("container_threads", "gauge"),
    ("machine_cpu_cores", "gauge"),
    ("machine_memory_bytes", "gauge"),
];

fn hosts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts")
}

/// Every name that any host of ours tells, and its type.
fn told() -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for case in Case::all(&hosts()) {
        let served = program::serve([Path::new("--replay"), &case.folder]).unwrap();
        served.metrics().unwrap();
        let text = served.get("/metrics/cadvisor").unwrap().text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        told.extend(types.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    }
    told
}

#[test]
fn names_and_types_are_those_of_cadvisor() {
    let told = told();
    for (name, kind) in ASKED_FOR {
        assert_eq!(told.get(name).map(String::as_str), Some(kind), "{name}");
    }
    let list = std::env::var_os("TARE_FIXTURES").map(|fixtures| Path::new(&fixtures).join("../facts/metric_names.csv"));
    let Some(list) = list.and_then(|list| fs::read_to_string(list).ok()) else {
        return println!("skipped: the whole list of cAdvisor's names: TARE_FIXTURES is not set, or has none beside it");
    };
    let known: BTreeMap<&str, &str> = list.lines().filter_map(|line| line.strip_prefix("cadvisor,")?.split(',').nth(1).zip(line.split(',').nth(3))).collect();
    assert!(known.len() > 100, "the list is read");
    let table: Vec<String> =
        tare::metrics::manual::names().into_iter().filter(|name| !name.starts_with("tare_") && name != "kube_pod_info" && !name.starts_with("node_")).collect();
    assert!(table.len() > 70);
    for name in &table {
        assert!(known.contains_key(name.as_str()), "cAdvisor has no {name}");
    }
    for (name, kind) in told.iter().filter(|(name, _)| *name != "kube_pod_info") {
        assert_eq!(known.get(name.as_str()), Some(&kind.as_str()), "{name}");
    }
}

/// What the kubernetes-mixin's rules multiply with, to learn the node.
const NODE: &str =
    r#"on (cluster, namespace, pod) group_left(node) topk by (cluster, namespace, pod) (1, max by (cluster, namespace, pod, node) (kube_pod_info{node!=""}))"#;
/// The block devices that boards look for.
const DEVICES: &str = r#"device=~"(/dev.+)|mmcblk.p.+|nvme.+|rbd.+|sd.+|vd.+|xvd.+|dm-.+""#;

#[test]
fn boards_and_rules_made_for_cadvisor_get_their_answers() {
    let served = program::serve([Path::new("--replay"), &hosts().join("v2-systemd")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start(folder.path(), served.address) else {
        return println!("skipped: prometheus: not installed");
    };
    let rule = |metric: &str| format!(r#"{metric}{{job="cadvisor", image!=""}} * {NODE}"#);
    let throttled = r#"sum(increase(container_cpu_cfs_throttled_periods_total{container!="", job="cadvisor"}[5m])) without (id, metrics_path, name, image, endpoint, node)
        / sum(increase(container_cpu_cfs_periods_total{job="cadvisor"}[5m])) without (id, metrics_path, name, image, endpoint, node)"#;
    // The query, and how many answers it has: the host runs two containers, one of a compose project and with limits, and two units.
    for (query, answers) in [
        (format!(r#"sum by (cluster, namespace, pod, container) (rate(container_cpu_usage_seconds_total{{job="cadvisor", image!=""}}[5m])) * {NODE}"#), 2.0),
        (rule("container_memory_working_set_bytes"), 2.0),
        (rule("container_memory_rss"), 2.0),
        (rule("container_memory_cache"), 2.0),
        (throttled.to_owned(), 1.0),
        (r#"sum(rate(container_cpu_usage_seconds_total{instance=~".+",name=~".+"}[5m])) by (name) * 100"#.to_owned(), 2.0),
        (r#"sum(container_memory_rss{instance=~".+",name=~".+"}) by (name)"#.to_owned(), 2.0),
        (r#"container_last_seen{name=~".+"}"#.to_owned(), 2.0),
        (r#"(time() - container_start_time_seconds{name=~".+"}) / 86400"#.to_owned(), 2.0),
        (r#"sum by (namespace, pod) (increase(container_oom_events_total{namespace=~".*", pod=~".+"}[5m]))"#.to_owned(), 2.0),
        (r#"sum(rate(container_network_receive_bytes_total{name=~".+"}[5m])) by (name)"#.to_owned(), 1.0),
        (r#"sum(rate(container_network_transmit_bytes_total{job="cadvisor", namespace=~".+"}[5m])) by (pod)"#.to_owned(), 1.0),
        (
            format!(
                r#"ceil(sum by (pod) (rate(container_fs_reads_total{{job="cadvisor", {DEVICES}, container!=""}}[5m]) + rate(container_fs_writes_total{{job="cadvisor", {DEVICES}, container!=""}}[5m])))"#
            ),
            1.0,
        ),
        (r#"container_memory_working_set_bytes{name=~".+"} / (container_spec_memory_limit_bytes{name=~".+"} > 0)"#.to_owned(), 1.0),
        (r#"sum by (name) (container_spec_cpu_quota{name=~".+"} / container_spec_cpu_period)"#.to_owned(), 1.0),
        (r#"sum(container_memory_working_set_bytes{id="/"}) / sum(machine_memory_bytes) * 100"#.to_owned(), 1.0),
        (
            r#"sum by (container_label_com_docker_compose_service) (container_memory_usage_bytes{container_label_com_docker_compose_project="shop"})"#
                .to_owned(),
            1.0,
        ),
    ] {
        assert_eq!(prometheus.query(&format!("count({query})")), Some(answers), "{query}");
    }
    // 5.0 s of web and 1.5 s of db: neither the root nor a unit is among them.
    assert_eq!(prometheus.query(r#"sum(container_cpu_usage_seconds_total{container!=""})"#), Some(6.5));
    assert_eq!(prometheus.query(r#"sum(machine_cpu_cores{job="cadvisor"})"#), Some(2.0));
    // A node joined to what is on it.
    assert_eq!(prometheus.query(&format!("count({} == 0) or vector(0)", rule("container_memory_working_set_bytes"))), Some(0.0));
}
