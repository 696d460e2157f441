//! Hosts of our own, kept in `tests/hosts`: the right answers, and the whole text of `/metrics` and `/metrics/cadvisor` to the byte.
//!
//! `UPDATE=1 cargo test -p tare --test e2e hosts` writes the texts anew; the difference is for a person to read.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tare::metrics::families::AGENT;

use crate::case::Case;
use crate::program;
use crate::trials::Tally;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts")
}

#[test]
fn hosts_of_our_own_have_the_right_answers() {
    Tally::of(Case::all(&folder())).conclude();
}

#[test]
fn hosts_of_our_own_have_their_whole_metrics() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut changed = Vec::new();
    for case in Case::all(&folder()) {
        let served = program::serve([Path::new("--replay"), &case.folder]).unwrap();
        let text = without_agent(&String::from_utf8(served.metrics().unwrap()).unwrap());
        let cadvisor = served.get("/metrics/cadvisor").unwrap().text();
        for (name, text) in [("metrics.txt", text), ("cadvisor.txt", cadvisor)] {
            let path = case.folder.join(name);
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if update {
                fs::write(&path, &text).unwrap();
            } else if text != expected {
                changed.push(format!("{} {name}:\n{}", case.id, difference(&expected, &text)));
            }
        }
    }
    assert!(changed.is_empty(), "UPDATE=1 writes them anew; first read what changed:\n{}", changed.join("\n"));
}

/// Nothing that was used is lost: what a task's or pod's containers were seen to use, and its remainder, are its own counter, at every look of every recorded host.
#[tokio::test]
async fn tasks_and_pods_are_their_containers_and_their_remainder() {
    let settings = tare::config::load(None, [], &[]).unwrap().settings;
    let trials = std::env::var_os("TARE_FIXTURES").map(|fixtures| Path::new(&fixtures).join("trials")).filter(|trials| trials.is_dir());
    let mut held = 0;
    for case in [Some(folder()), trials].into_iter().flatten().flat_map(|folder| Case::all(&folder)) {
        let Ok(reports) = tare::pipeline::replay(&settings, &case.folder).await else { continue };
        for (look, report) in reports.iter().enumerate() {
            for row in &report.workloads {
                let (Some(rest), Some(own)) = (row.seen.remainder, row.seen.usage.cpu) else { continue };
                let name = format!("{} look {look}: {}", case.id, row.seen.about.name);
                let containers: Duration = row.containers.iter().filter_map(|one| one.seen.usage.cpu).map(|cpu| cpu.is.time).sum();
                assert_eq!(containers, rest.attributed, "{name}");
                assert_eq!(containers + rest.cpu, own.is.time.max(containers), "{name}");
                held += 1;
            }
        }
    }
    assert!(held > 3, "hosts of our own have tasks and pods");
}

/// The text less what Tare tells of itself: that differs with every run and version.
pub fn without_agent(text: &str) -> String {
    let own: HashSet<String> = AGENT.metrics.iter().map(|metric| metric.about.prometheus()).collect();
    let is_own = |line: &&str| {
        let words = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).unwrap_or(line);
        let name = words.split(['{', ' ']).next().unwrap_or_default();
        own.contains(name) || ["_bucket", "_sum", "_count"].iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|name| own.contains(name)))
    };
    text.lines().filter(|line| !is_own(line)).map(|line| format!("{line}\n")).collect()
}

/// Lines that only one of them has.
pub fn difference(expected: &str, text: &str) -> String {
    let lines = |text: &'_ str| text.lines().map(str::to_owned).collect::<HashSet<String>>();
    let (old, new) = (lines(expected), lines(text));
    let gone = expected.lines().filter(|line| !new.contains(*line)).map(|line| format!("- {line}\n"));
    let come = text.lines().filter(|line| !old.contains(*line)).map(|line| format!("+ {line}\n"));
    let all: Vec<String> = gone.chain(come).collect();
    if all.is_empty() { "the same lines in another order\n".into() } else { all.into_iter().take(80).collect() }
}
