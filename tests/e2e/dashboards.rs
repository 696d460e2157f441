//! The boards and rules we ship: they name only what exists, and a real Prometheus that reads us has an answer to each of their questions.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::program;
use crate::prometheus::Prometheus;

/// What the recorded hosts have no answer to, and why: a part of the question, and the reason.
const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("tare_host_mount_", "a recorded host has no file systems to ask"),
    ("tare_host_memory_cached_bytes", "the host's /proc/meminfo was recorded without it"),
    ("tare_host_swap_", "the host has no swap"),
    ("tare_host_network_sockets", "the host's /proc/net/sockstat was not recorded"),
    ("tare_host_network_tcp_listen_drops_total", "the host's /proc/net/netstat was recorded without it"),
    ("tare_agent_cpu_time_seconds_total", "what Tare itself takes is not told of a recorded host"),
    ("tare_agent_memory_rss_bytes", "what Tare itself takes is not told of a recorded host"),
    ("tare_container_cpu_periods_total{", "a recorded host stands still: no period passes"),
    ("container:tare_container_cpu_throttled_periods:", "a recorded host stands still: no period passes"),
    ("tare_workload_cpu_periods_total{", "a recorded host stands still: no period passes"),
    ("workload:tare_workload_cpu_throttled_periods:", "a recorded host stands still: no period passes"),
    ("tare_service_", "no recorded host is a whole cluster"),
    ("tare_cluster_", "no recorded host is a whole cluster"),
    ("tare_workload_memory_limit_utilization_ratio{task!=", "without its threshold each task is spoken of by its containers"),
];

/// Labels that Prometheus sets.
const SCRAPED: &[&str] = &["instance", "job", "le"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

fn boards() -> Vec<(String, Value)> {
    let read = |name: &&str| (name.to_string(), serde_json::from_str(&fs::read_to_string(folder().join("grafana").join(name)).unwrap()).unwrap());
    ["containers.json", "ecs.json", "host.json"].iter().map(read).collect()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

/// Every question of a board: the panel's title, the expression, its legend.
fn questions(board: &Value) -> Vec<(&str, &str, &str)> {
    let of = |panel| list(panel, "targets").iter().map(move |target| (text(panel, "title"), text(target, "expr"), text(target, "legendFormat")));
    list(board, "panels").iter().flat_map(of).collect()
}

/// The values a label may have; none where any.
type Words = HashSet<String>;

/// Each metric and its labels, out of the manual.
fn metrics() -> HashMap<String, HashMap<String, Words>> {
    let manual = tare::metrics::manual::manual();
    let word = Regex::new(r"`([a-z_]+)`").unwrap();
    let row = Regex::new(r"^\| `(tare_[a-z0-9_]+)` \|(?:[^|]*\|){3}([^|]*)\|").unwrap();
    let (mut found, mut shared) = (HashMap::new(), Vec::new());
    for line in manual.lines() {
        if line.starts_with("## ") {
            shared.clear();
        } else if line.starts_with("On each series") {
            shared = word.captures_iter(line).map(|name| name[1].to_owned()).collect();
        } else if let Some(row) = row.captures(line) {
            let mut labels: HashMap<String, Words> = shared.iter().map(|name: &String| (name.clone(), Words::new())).collect();
            for cell in row[2].split(", `") {
                let (name, words) = cell.split_once(':').unwrap_or((cell, ""));
                labels.insert(name.trim_matches([' ', '`']).to_owned(), words.split_whitespace().map(str::to_owned).collect());
            }
            labels.remove("");
            found.insert(row[1].to_owned(), labels);
        }
    }
    found
}

/// What a question says that is not in the table of metrics.
fn unknown(question: &str, legend: &str, metrics: &HashMap<String, HashMap<String, Words>>) -> Vec<String> {
    let name = Regex::new(r"\b(?:[a-z_]+:)?(tare_[a-z0-9_]+)(:[a-z0-9_]+)?(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let (mut wrong, mut known) = (Vec::new(), SCRAPED.iter().map(ToString::to_string).collect::<HashSet<String>>());
    for used in name.captures_iter(question) {
        let metric = used[1].strip_suffix("_bucket").unwrap_or(&used[1]);
        // What a rule records has the labels of its metric; its family has no `_total`.
        let Some(labels) = metrics.get(metric).or_else(|| used.get(2).and_then(|_| metrics.get(&format!("{metric}_total")))) else {
            wrong.push(metric.to_owned());
            continue;
        };
        known.extend(labels.keys().cloned());
        for asked in matcher.captures_iter(used.get(3).map_or("", |selector| selector.as_str())) {
            let (label, value) = (&asked[1], &asked[3]);
            match labels.get(label) {
                None if !SCRAPED.contains(&label) => wrong.push(format!("{metric}{{{label}}}")),
                Some(words) if !words.is_empty() && !value.contains('$') => {
                    wrong.extend(value.split('|').filter(|value| !words.contains(*value)).map(|value| format!("{metric}{{{label}={value}}}")));
                }
                _ => {}
            }
        }
    }
    let grouped = Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^)]*)\)").unwrap();
    let legends = Regex::new(r"\{\{([a-z_]+)\}\}").unwrap();
    let lists = grouped.captures_iter(question).flat_map(|list| list[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    let labels: BTreeSet<String> = lists.chain(legends.captures_iter(legend).map(|label| label[1].to_owned())).collect();
    wrong.extend(labels.into_iter().filter(|label| !label.is_empty() && !known.contains(label)).map(|label| format!("label {label}")));
    wrong
}

/// A question as Grafana asks it, with every variable at "All" and a minute between two points.
fn asked(question: &str) -> String {
    let all = question.replace("$__rate_interval", "1m").replace("$task", ".+");
    ["$cluster", "$host", "$instance", "$workload", "$service"].iter().fold(all, |question, name| question.replace(name, ".*"))
}

#[test]
fn the_checker_of_names_sees_what_is_wrong() {
    let metrics = metrics();
    let wrong = |question: &str, legend: &str| unknown(question, legend, &metrics);
    assert_eq!(wrong(r#"sum by (container) (rate(tare_container_cpu_time_seconds_total{instance=~"$instance"}[1m]))"#, "{{container}}"), [""; 0]);
    assert_eq!(wrong("tare_container_cpu_minutes_total", ""), ["tare_container_cpu_minutes_total"]);
    assert_eq!(wrong(r#"tare_host_load{container="x"}"#, ""), ["tare_host_load{container}"]);
    assert_eq!(wrong(r#"tare_host_load{window="2m"}"#, ""), ["tare_host_load{window=2m}"]);
    assert_eq!(wrong("sum by (image) (tare_host_load)", "{{pod}}"), ["label image", "label pod"]);
    assert_eq!(wrong("container:tare_container_cpu_throttled_periods:ratio_rate5m", ""), [""; 0]);
    assert_eq!(wrong("tare_container_cpu_throttled_periods", ""), ["tare_container_cpu_throttled_periods"]);
}

#[test]
fn boards_name_only_metrics_and_labels_that_exist() {
    let metrics = metrics();
    assert!(metrics.len() > 200, "the manual was read");
    for (name, board) in boards() {
        for (title, question, legend) in questions(&board) {
            assert_eq!(unknown(question, legend, &metrics), [""; 0], "{name}: {title}: {question}");
        }
        for variable in list(&board["templating"], "list").iter().filter(|variable| variable["type"] == "query") {
            let question = text(&variable["query"], "query");
            assert_eq!(text(variable, "definition"), question, "{name}");
            let (series, label) =
                question.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).and_then(|rest| rest.rsplit_once(", ")).unwrap();
            assert_eq!(unknown(series, &format!("{{{{{label}}}}}"), &metrics), [""; 0], "{name}: {question}");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_asks_the_chosen_source() {
    let counter = Regex::new(r"tare_[a-z_]+_total\b").unwrap();
    let used = Regex::new(r"\$([a-z_]+)|\$\{([a-z_]+)\}").unwrap();
    let mut uids = HashSet::new();
    for (name, board) in boards() {
        assert!(uids.insert(text(&board, "uid").to_owned()) && board["id"].is_null() && board["schemaVersion"] == 39, "{name}");
        let variables: Vec<&str> = list(&board["templating"], "list").iter().map(|variable| text(variable, "name")).collect();
        // A task on Fargate has no host.
        let first: &[&str] = if name == "ecs.json" { &["datasource", "cluster", "instance"] } else { &["datasource", "cluster", "host", "instance"] };
        assert!(variables.starts_with(first), "{name}: {variables:?}");
        let (mut ids, mut taken) = (HashSet::new(), HashSet::new());
        for panel in list(&board, "panels") {
            let title = format!("{name}: {}", text(panel, "title"));
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id stands twice");
            assert!(!text(panel, "title").is_empty() && text(panel, "description").ends_with('.') && !list(panel, "targets").is_empty(), "{title}");
            let unit = text(&panel["fieldConfig"]["defaults"], "unit");
            assert!(["short", "none", "percentunit", "bytes", "Bps", "s", "currencyUSD"].contains(&unit), "{title}: the unit {unit:?}");
            for of in std::iter::once(panel).chain(list(panel, "targets")) {
                assert_eq!(of["datasource"]["uid"], "${datasource}", "{title}");
            }
            for variable in used.captures_iter(&panel.to_string()).filter_map(|found| found.get(1).or(found.get(2))).map(|found| found.as_str()) {
                assert!(variables.contains(&variable) || variable == "__rate_interval", "{title}: no variable {variable}");
            }
            for target in list(panel, "targets") {
                let question = text(target, "expr");
                // A table shows how far a counter is; a line shows how fast it goes.
                let plain = counter
                    .find_iter(question)
                    .filter(|found| !question[..found.start()].ends_with("rate(") && !question[..found.start()].ends_with("increase("));
                assert!(panel["type"] == "table" || plain.count() == 0, "{title}: a counter as it is: {question}");
                // What is told of a whole cluster is of no host.
                let whole = question.contains("{cluster=~\"$cluster\"");
                assert!(whole || question.contains("=~\"$instance\""), "{title}: the chosen hosts do not matter: {question}");
            }
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            for cell in (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y))) {
                assert!(cell.0 < 24 && taken.insert(cell), "{title}: lies over another, or outside");
            }
        }
    }
}

#[test]
fn promtool_passes_the_rules_and_their_tests() {
    let rules = folder().join("rules");
    for (what, file) in [("check", "tare.rules.yaml"), ("test", "tare.test.yaml")] {
        let Ok(said) = Command::new("promtool").args([what, "rules", file]).current_dir(&rules).output() else {
            return println!("skipped: promtool: not installed");
        };
        assert!(said.status.success(), "{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn every_alert_fires_in_a_test_stays_quiet_in_another_and_says_what_to_do() {
    let read = |path: &str| fs::read_to_string(folder().join(path)).unwrap();
    let (rules, tests, readme) = (read("rules/tare.rules.yaml"), read("rules/tare.test.yaml"), read("README.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8);
    // A case in which it is quiet all along, not only at first.
    let alert = |case: &str| case.split("- alertname: ").nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
    let cases: Vec<(String, bool)> = tests.split("  - name: ").filter_map(|case| Some((alert(case)?, case.contains("exp_labels")))).collect();
    for alert in &alerts {
        for fires in [true, false] {
            assert!(cases.contains(&((*alert).to_owned(), fires)), "{alert}: no test in which it {}", if fires { "fires" } else { "stays quiet" });
        }
        assert!(readme.contains(&format!("\n### {alert}\n")) && rules.contains(&format!("README.md#{}'", alert.to_lowercase())), "{alert}: no runbook");
    }
    for part in ["severity: ", "summary: ", "description: ", "runbook: "] {
        assert_eq!(rules.matches(&format!(" {part}")).count(), alerts.len(), "each alert has one {part}");
    }
}

#[test]
fn a_prometheus_that_reads_us_answers_every_question() {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts");
    let served = ["v2-systemd", "v2-ecs-named"].map(|host| program::serve([Path::new("--replay"), &hosts.join(host)]).unwrap());
    let targets = served.each_ref().map(|one| one.address);
    let data = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start_ruled(data.path(), &targets, &folder().join("rules/tare.rules.yaml").canonicalize().unwrap()) else {
        return println!("skipped: prometheus: not installed");
    };
    // A rate needs two readings, and what is recorded two evaluations.
    assert!(prometheus.query("rate(tare_agent_ticks_total[1m])").is_some(), "no second reading came");
    let rules: Value = serde_json::from_slice(&prometheus.get("/api/v1/rules").unwrap().body).unwrap();
    let rules: Vec<&Value> = list(&rules["data"], "groups").iter().flat_map(|group| list(group, "rules")).collect();
    assert!(rules.len() > 12, "{rules:?}");
    let boards = boards();
    let mut asks: Vec<(String, String)> = boards
        .iter()
        .flat_map(|(name, board)| questions(board).into_iter().map(move |(title, question, _)| (format!("{name}: {title}"), asked(question))))
        .collect();
    let (metrics, threshold) = (metrics(), Regex::new(r" (<|>|==) [0-9.]+").unwrap());
    for rule in &rules {
        assert_eq!(unknown(text(rule, "query"), "", &metrics), [""; 0], "{}", text(rule, "name"));
        // What an alert looks at must be there; whether it is too much is another matter.
        let looks_at = threshold.replace_all(text(rule, "query"), "").replace("absent(", "(").replace("[1d:10m]", "[1d:1s]");
        asks.push((text(rule, "name").to_owned(), looks_at));
    }
    let mut excused = HashSet::new();
    for (whose, question) in asks {
        if let Some((part, _)) = MAY_BE_EMPTY.iter().find(|(part, _)| question.contains(part)) {
            // A question all the same, and no excuse that is not needed.
            let answer = prometheus.answer(&question);
            assert!(answer["status"] == "success" && list(&answer["data"], "result").is_empty(), "{whose}: {question}: {answer}");
            excused.insert(*part);
            continue;
        }
        let answered = program::until(|| (!list(&prometheus.answer(&question)["data"], "result").is_empty()).then_some(()));
        assert!(answered.is_some(), "{whose}: no answer to {question}: {}", prometheus.answer(&question));
    }
    for (part, _) in MAY_BE_EMPTY {
        assert!(excused.contains(part), "nobody asks for {part}");
    }
}
