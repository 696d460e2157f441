//! Recorded hosts with the right answer: every expectation of every `case.json` in a folder, over what the built program says of that host.
//!
//! `TARE_TRIALS` names the folder, else `TARE_FIXTURES/trials`. Hosts of our own are in [`crate::hosts`] and go the same way.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use tare::report::Report;

use crate::case::{About, Case, Expectation};
use crate::exposition::Exposition;
use crate::figures::{NoFigure, Part, Row};
use crate::judge::{Found, Verdict, judge};
use crate::{program, question, rows};

#[test]
fn every_trial_has_the_right_answer() {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let folder = named("TARE_TRIALS").or_else(|| named("TARE_FIXTURES").map(|fixtures| fixtures.join("trials")));
    match folder.filter(|folder| folder.is_dir()) {
        Some(folder) => Tally::of(Case::all(&folder)).conclude(),
        None => println!("skipped: trials: neither TARE_TRIALS nor TARE_FIXTURES/trials names a folder"),
    }
}

/// What became of many expectations.
#[derive(Default)]
pub struct Tally {
    held: usize,
    skipped: usize,
    broken: Vec<String>,
}

impl Tally {
    /// Tries every case.
    pub fn of(cases: Vec<Case>) -> Tally {
        let mut tally = Tally::default();
        for case in &cases {
            tally.try_case(case);
        }
        if cases.is_empty() {
            tally.broken.push("there is no case in this folder".into());
        }
        tally
    }

    /// Says what became of all, and fails where something is broken.
    pub fn conclude(self) {
        println!("trials: {} held, {} broken, {} skipped", self.held, self.broken.len(), self.skipped);
        assert!(self.broken.is_empty(), "{} broken:\n{}", self.broken.len(), self.broken.join("\n"));
    }

    fn try_case(&mut self, case: &Case) {
        let told = Told::of(case);
        for (number, expected) in case.expect.iter().enumerate() {
            let name = format!("{} #{number} {} {} {}", case.id, expected.about, expected.figure, expected.op);
            match expect(case, &told, expected) {
                Verdict::Held => {
                    self.held += 1;
                    if matches!(&expected.about, About::Word(word) if word == "all sinks") {
                        self.skipped += 1;
                        println!("skipped: {name} in CloudWatch, EMF, OTLP and remote write: sinks that push are not built yet");
                    }
                }
                Verdict::Skipped(why) => {
                    self.skipped += 1;
                    println!("skipped: {name}: {why}");
                }
                Verdict::Broken(seen) => {
                    let at = expected.at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
                    let note = expected.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
                    self.broken.push(format!("{name} {}{at}: {seen}{note}", expected.value));
                }
            }
        }
        if let Err(problem) = told.exposition(None) {
            self.broken.push(format!("{}: /metrics: {problem}", case.id));
        }
    }
}

/// All that Tare says of one host.
enum Told {
    /// A recorded host, look by look, and a server that plays it.
    Host(Box<Host>),
    /// A question.
    Answer(question::Answer),
    /// Nothing, and why.
    Nothing(String),
    /// A kind of question that is not understood.
    Unasked(String),
}

struct Host {
    looks: Vec<String>,
    reports: Vec<Report>,
    log: String,
    served: Result<Page, String>,
}

struct Page {
    metrics: Vec<u8>,
    health: String,
}

impl Told {
    fn of(case: &Case) -> Told {
        if case.folder.join("question.json").exists() {
            return question::answer(&case.folder).map_or_else(Told::Unasked, Told::Answer);
        }
        let (reports, said) = match program::reports(&case.folder) {
            Ok(told) => told,
            Err(problem) => return Told::Nothing(problem),
        };
        let looks = case.looks();
        if looks.len() != reports.len() {
            return Told::Nothing(format!("{} looks, {} reports", looks.len(), reports.len()));
        }
        let mut log = said.log;
        let served = page(&case.folder, &mut log);
        Told::Host(Box::new(Host { looks, reports, log, served }))
    }

    /// The text of `/metrics`: after all looks, or after those up to `at`.
    fn exposition(&self, at: Option<(&Case, &str)>) -> Result<Vec<u8>, String> {
        let Told::Host(host) = self else { return Ok(Vec::new()) };
        let bytes = match at {
            Some((case, at)) if host.looks.last().is_some_and(|last| last != at) => {
                let until = until(case, at)?;
                page(until.path(), &mut String::new())?.metrics
            }
            _ => host.served.as_ref().map_err(Clone::clone)?.metrics.clone(),
        };
        Exposition::read(&bytes)?;
        Ok(bytes)
    }
}

/// Plays a host and asks the server for its pages; what it tells meanwhile is added to `log`.
fn page(folder: &Path, log: &mut String) -> Result<Page, String> {
    let served = program::serve([Path::new("--replay"), folder])?;
    let metrics = served.metrics()?;
    let health = served.get("/healthz")?.text().trim().to_owned();
    let (status, told) = served.stop();
    log.push_str(&told);
    match status {
        Some(status) if status.success() => Ok(Page { metrics, health }),
        other => Err(format!("tare run ended with {other:?}: {told}")),
    }
}

/// The same host without the looks after `at`.
fn until(case: &Case, at: &str) -> Result<tempfile::TempDir, String> {
    let looks = case.looks();
    let place = looks.iter().position(|look| look == at).ok_or_else(|| format!("there is no look {at}"))?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    for entry in std::fs::read_dir(&case.folder).map_err(|e| e.to_string())?.flatten() {
        if !looks[place + 1..].iter().any(|later| entry.file_name() == later.as_str()) {
            std::os::unix::fs::symlink(std::path::absolute(entry.path()).map_err(|e| e.to_string())?, folder.path().join(entry.file_name()))
                .map_err(|e| e.to_string())?;
        }
    }
    Ok(folder)
}

/// Sources that are not built yet, by the folder that stands for them in a recorded host.
const NOT_BUILT: [(&str, &str); 3] = [("kubelet", "the kubelet"), ("kube", "the Kubernetes API"), ("ecs-agent", "the ECS agent")];

fn expect(case: &Case, told: &Told, expected: &Expectation) -> Verdict {
    if expected.only.is_some() || expected.run.is_some() || expected.about.member("only").is_some() || expected.about.member("run").is_some() {
        return Verdict::Skipped("a second run described in words".into());
    }
    let figure = expected.figure.as_str();
    let host = match told {
        Told::Host(host) => host,
        Told::Nothing(problem) => return Verdict::Broken(problem.clone()),
        Told::Unasked(kind) => return Verdict::Skipped(format!("a question that is not understood: {kind}")),
        Told::Answer(answer) => return with(expected, answer.figure(&expected.about, figure).map(|value| vec![found(expected.about.to_string(), value)])),
    };
    if let About::Word(word) = &expected.about {
        match word.as_str() {
            "exposition" => return exposition(case, told, expected),
            "agent" => return with(expected, agent(host, figure)),
            "log" => return with(expected, log(&host.log, figure)),
            "all sinks" => return with(expected, sinks(host, figure)),
            _ => {}
        }
    }
    if let Some(source) = needs(case, figure) {
        return Verdict::Skipped(format!("needs {source}, which Tare does not ask yet"));
    }
    let place = match &expected.at {
        None => host.reports.len() - 1,
        Some(at) => match host.looks.iter().position(|look| look == at) {
            Some(place) => place,
            None => return Verdict::Broken(format!("there is no look {at}")),
        },
    };
    let verdict = with(expected, find(host, place, &expected.about, figure));
    // What does not move counts at any look.
    let still = ["limit", "name", "containers", "image", "asked", "state", "workloads", "tasks", "pods"].iter().any(|word| figure.contains(word));
    if matches!(verdict, Verdict::Broken(_)) && still && expected.at.is_none() && !expected.op.starts_with("must_not") && expected.op != "absent" {
        let held = |place: &usize| matches!(with(expected, find(host, *place, &expected.about, figure)), Verdict::Held);
        if (0..place).any(|place| held(&place)) {
            return Verdict::Held;
        }
    }
    verdict
}

/// The source that a figure of this host can only come from, where that is not built.
/// Kernel figures come from the cgroup tree wherever the host has one.
fn needs(case: &Case, figure: &str) -> Option<&'static str> {
    let (_, source) = NOT_BUILT.iter().find(|(folder, _)| case.has(folder))?;
    let figure = figure.rsplit_once("sum_of_").map_or(figure, |(_, rest)| rest.split_once('.').map_or(rest, |(_, figure)| figure));
    let kernel = ["cpu.", "memory.", "io.", "net.", "pids.", "psi.", "increase."].iter().any(|group| figure.starts_with(group));
    (!kernel || !case.has("sys/fs/cgroup")).then_some(source)
}

fn with(expected: &Expectation, found: Result<Vec<Found>, NoFigure>) -> Verdict {
    match found {
        Ok(found) => judge(expected, &found, matches!(&expected.about, About::Word(word) if word == "*")),
        Err(NoFigure::NotYet(why)) => Verdict::Skipped(why.into()),
        Err(NoFigure::Unmapped(name)) => Verdict::Broken(format!("the figure {name} has no place in the report")),
    }
}

fn found(of: String, value: Option<Value>) -> Found {
    Found { of, value, sentences: Vec::new() }
}

/// A figure of the report's rows, at one look.
fn find(host: &Host, place: usize, about: &About, figure: &str) -> Result<Vec<Found>, NoFigure> {
    let report = &host.reports[place];
    if let Some(sum) = figure.strip_prefix("sum_of_") {
        return Ok(vec![found(format!("sum of {sum}"), rows::sum(report, sum)?)]);
    }
    let rows = rows::rows(report, about)?;
    if let ([Row::Host(_)], Some(count)) = (&rows[..], rows::count(report, figure)) {
        return Ok(vec![found("host".into(), Some(count))]);
    }
    let part = Part::of(about);
    let value = |row: Row<'_>| match figure.strip_prefix("increase.") {
        Some(counter) => increase(host, place, row, counter, &part),
        None => row.figure(figure, &part),
    };
    rows.into_iter().map(|row| Ok(Found { of: row.name(), value: value(row)?, sentences: row.sentences(figure) })).collect()
}

/// What a counter grew by since the look before. Of a thing that was made anew since, or seen for the first time, nothing is known.
fn increase(host: &Host, place: usize, row: Row<'_>, counter: &str, part: &Part) -> Result<Option<Value>, NoFigure> {
    let now = row.figure(counter, part)?;
    let Some(before) = place.checked_sub(1).map(|place| &host.reports[place]) else { return Ok(None) };
    let Some(before) = rows::rows(before, &About::Word("*".into()))?.into_iter().find(|before| row.same(*before)) else { return Ok(None) };
    if row.started_again(before) {
        return Ok(None);
    }
    let then = before.figure(counter, part)?;
    Ok(match (now.as_ref().and_then(Value::as_u64), then.as_ref().and_then(Value::as_u64)) {
        (Some(now), Some(then)) => now.checked_sub(then).map(Value::from),
        _ => now.zip(then).and_then(|(now, then)| Some(now.as_f64()? - then.as_f64()?)).filter(|grown| *grown >= 0.0).map(Value::from),
    })
}

/// Figures of Tare itself.
fn agent(host: &Host, figure: &str) -> Result<Vec<Found>, NoFigure> {
    let last = host.reports.last().expect("a host has at least one report");
    let gaps = || last.gaps.iter().map(|gap| format!("{} {}: {}", gap.from.as_str(), gap.what, gap.why)).collect::<Vec<_>>();
    let value = match figure {
        "gaps" => Some(gaps().into()),
        "tick" => Some("done".into()),
        "health" => host.served.as_ref().ok().map(|page| Value::from(page.health.clone())),
        "panics" => Some(host.log.matches("panicked at").count().into()),
        other => return Err(NoFigure::Unmapped(format!("agent {other}"))),
    };
    Ok(vec![Found { of: "agent".into(), value, sentences: gaps() }])
}

/// Figures of what Tare tells on standard error.
fn log(log: &str, figure: &str) -> Result<Vec<Found>, NoFigure> {
    let at = |level: &str| {
        log.lines().filter(|line| line.split_whitespace().take(3).any(|word| word == level) || line.contains(&format!("\"level\":\"{level}\""))).count()
    };
    let value: Value = match figure {
        "lines_at_error" => at("ERROR").into(),
        "lines_at_warn" | "lines_at_warning" => at("WARN").into(),
        "lines" => log.lines().map(Value::from).collect::<Vec<_>>().into(),
        "text" => log.into(),
        other => return Err(NoFigure::Unmapped(format!("log {other}"))),
    };
    Ok(vec![Found { of: "log".into(), value: Some(value), sentences: log.lines().map(str::to_owned).collect() }])
}

/// What every sink must keep to. Those that push are not built; the report and `/metrics` are held to it.
fn sinks(host: &Host, figure: &str) -> Result<Vec<Found>, NoFigure> {
    match figure {
        // `/metrics` has no timestamps at all: the strict reader refuses them.
        "timestamp" => {
            let mut times = Vec::new();
            timestamps(&serde_json::to_value(&host.reports).expect("a report is plain data"), &mut times);
            Ok(vec![found("report".into(), (!times.is_empty()).then(|| times.into()))])
        }
        "text" => {
            let text = serde_json::to_string(&host.reports).expect("a report is plain data");
            let metrics = host.served.as_ref().map(|page| String::from_utf8_lossy(&page.metrics).into_owned()).unwrap_or_default();
            Ok(vec![found("report".into(), Some(text.into())), found("/metrics".into(), Some(metrics.into()))])
        }
        _ => Err(NoFigure::NotYet("sinks that push are not built yet")),
    }
}

/// Every instant in a JSON value.
fn timestamps(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => into.push(value.clone()),
        Value::Array(members) => members.iter().for_each(|member| timestamps(member, into)),
        Value::Object(members) => members.values().for_each(|member| timestamps(member, into)),
        _ => {}
    }
}

/// Figures of the text of `/metrics`.
fn exposition(case: &Case, told: &Told, expected: &Expectation) -> Verdict {
    let bytes = match told.exposition(expected.at.as_deref().map(|at| (case, at))) {
        Ok(bytes) => bytes,
        Err(problem) => return Verdict::Broken(problem),
    };
    let read = Exposition::read(&bytes).expect("it was read just now");
    match expected.op.as_str() {
        "valid" => match crate::prometheus::check_metrics(&bytes) {
            Some(Err(complaint)) => Verdict::Broken(complaint),
            Some(Ok(())) | None => Verdict::Held,
        },
        // The strict reader refuses a series that stands twice.
        "unique_per_series" => Verdict::Held,
        "finite" => match read.samples().find(|sample| !sample.value.is_finite()) {
            Some(sample) => Verdict::Broken(format!("{sample:?}")),
            None => Verdict::Held,
        },
        _ => {
            let text = Value::from(String::from_utf8_lossy(&bytes).into_owned());
            let value = match expected.figure.as_str() {
                "text" => Some(text),
                "names" => Some(read.families.iter().map(|family| family.name.as_str()).collect::<Vec<_>>().into()),
                label => {
                    let values: Vec<&str> =
                        read.samples().filter_map(|sample| sample.labels.get(label.trim_start_matches("label.")).map(String::as_str)).collect();
                    (!values.is_empty()).then(|| values.into())
                }
            };
            judge(expected, &[found("/metrics".into(), value)], false)
        }
    }
}
