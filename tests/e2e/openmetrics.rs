//! A strict reader of OpenMetrics 1.0, written from its specification; what we serve read by it and by the format's own Python library; and the ways to ask for it.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::case::Case;
use crate::exposition::{Exposition, Sample, is_name, sample, unescape};
use crate::program::{self, Answer, Served};

const PATHS: [&str; 3] = ["/metrics", "/metrics/cadvisor", "/metrics/node"];
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

/// Every family: its type, its unit and its samples.
#[derive(Debug, Default)]
pub struct Open {
    /// By the family's name.
    pub families: BTreeMap<String, OpenFamily>,
}

/// One of them.
#[derive(Debug, Default)]
pub struct OpenFamily {
    kind: Option<String>,
    unit: Option<String>,
    help: Option<String>,
    samples: Vec<Sample>,
}

impl Open {
    /// Reads a whole answer. Errors name the line and what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Open, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("no UTF-8: {e}"))?;
        let lines = text.strip_suffix("# EOF\n").ok_or("it does not end in # EOF")?;
        if !lines.is_empty() && !lines.ends_with('\n') {
            return Err("# EOF is no line of its own".into());
        }
        let (mut open, mut current, mut series) = (Open::default(), String::new(), HashSet::new());
        for line in lines.split_terminator('\n') {
            open.line(line, &mut current, &mut series).map_err(|problem| format!("{problem}: {line}"))?;
        }
        open.check()?;
        Ok(open)
    }

    fn line(&mut self, line: &str, current: &mut String, series: &mut HashSet<(String, BTreeMap<String, String>)>) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if name != current {
                if !is_name(name, true) || self.families.contains_key(name) {
                    return Err(format!("{name} is no name, or its lines do not stand together"));
                }
                *current = name.into();
                self.families.insert(name.into(), OpenFamily::default());
            }
            let family = self.families.get_mut(name).expect("it was put in");
            if !family.samples.is_empty() {
                return Err("said after a sample".into());
            }
            let slot = match what {
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                "HELP" => &mut family.help,
                _ => return Err("no such comment".into()),
            };
            let text = if what == "HELP" { unescape(rest, true)? } else { rest.into() };
            return if slot.replace(text).is_some() { Err(format!("a second {what}")) } else { Ok(()) };
        }
        if line.is_empty() || line.starts_with('#') {
            return Err("neither a comment of ours nor a sample".into());
        }
        let sample = sample(line)?;
        let family = self.families.get_mut(current.as_str()).ok_or("a sample without a family")?;
        let suffix = sample.name.strip_prefix(current.as_str()).ok_or("a sample of another family")?;
        let allowed: &[&str] = match family.kind.as_deref() {
            Some("counter") => &["_total"],
            Some("info") => &["_info"],
            Some("histogram") => &["_bucket", "_sum", "_count"],
            Some("gauge" | "unknown") => &[""],
            other => return Err(format!("no such type here: {other:?}")),
        };
        if !allowed.contains(&suffix) {
            return Err(format!("{suffix:?} is no suffix of it"));
        }
        match family.kind.as_deref() {
            Some("info") if sample.value != 1.0 => return Err("an info that is not 1".into()),
            Some("counter" | "histogram") if sample.value.is_nan() || sample.value < 0.0 => return Err("a counter below zero".into()),
            _ => {}
        }
        if let Some(le) = sample.labels.get("le").filter(|le| !le.contains(['.', 'e', 'I'])) {
            return Err(format!("le {le} is no float as OpenMetrics writes it"));
        }
        family.samples.push(sample.clone());
        if series.insert((sample.name, sample.labels)) { Ok(()) } else { Err("the same series twice".into()) }
    }

    fn check(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        for (name, family) in &self.families {
            if family.help.as_deref().is_none_or(str::is_empty) || family.samples.is_empty() {
                return Err(format!("{name} has no help or no sample"));
            }
            if family.unit.as_ref().is_some_and(|unit| !name.ends_with(&format!("_{unit}")) || family.kind.as_deref() == Some("info")) {
                return Err(format!("{name} does not end in its unit, or may have none"));
            }
            let suffixes: &[&str] = match family.kind.as_deref() {
                Some("counter") => &["", "_total", "_created"],
                Some("info") => &["", "_info"],
                Some("histogram") => &["", "_bucket", "_sum", "_count", "_created"],
                _ => &[""],
            };
            if let Some(clash) = suffixes.iter().map(|suffix| format!("{name}{suffix}")).find(|full| !names.insert(full.clone())) {
                return Err(format!("two families could both have {clash}"));
            }
        }
        Ok(())
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.values().flat_map(|family| &family.samples)
    }
}

/// A page in this format and coding, unpacked.
fn page(served: &Served, path: &str, accept: &str, coding: &str) -> Vec<u8> {
    let answer = program::ask(served.address, "GET", path, &[("Accept", accept), ("Accept-Encoding", coding)]).unwrap();
    assert_eq!((answer.status, answer.header("vary")), (200, Some("Accept, Accept-Encoding")));
    let kind = if accept == OPEN { "application/openmetrics-text; version=1.0.0; charset=utf-8" } else { "text/plain; version=0.0.4; charset=utf-8" };
    assert_eq!(answer.header("content-type"), Some(kind));
    assert_eq!(answer.header("content-encoding"), (coding == "gzip").then_some("gzip"));
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    if coding == "gzip" { unpack(&answer) } else { answer.body }
}

fn unpack(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut text).unwrap();
    text
}

/// Name, labels and value of what is not Tare's own: that moves between two answers.
fn steady<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<String> {
    let mut all: Vec<String> = samples
        .filter(|sample| !sample.name.starts_with("tare_agent_"))
        .map(|sample| format!("{} {:?} {}", sample.name, sample.labels, sample.value))
        .collect();
    all.sort();
    all
}

#[test]
fn every_host_says_the_same_in_each_format_and_coding() {
    for case in Case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts")) {
        let served = program::serve([Path::new("--replay"), &case.folder]).unwrap();
        served.metrics().unwrap();
        for path in PATHS {
            let text = Exposition::read(&page(&served, path, "text/plain", "identity")).map(|text| steady(text.samples()));
            // Other programs have counters without _total, which the reader of our own names does not allow.
            let open = page(&served, path, OPEN, "gzip");
            let read = Open::read(&open).unwrap_or_else(|problem| panic!("{} {path}: {problem}", case.id));
            assert!(!read.families.is_empty(), "{} {path}", case.id);
            match text {
                Ok(text) => assert_eq!(text, steady(read.samples()), "{} {path}", case.id),
                Err(problem) => assert!(path != "/metrics" && problem.ends_with("counters and only they end in _total"), "{} {path}: {problem}", case.id),
            }
            let plain = page(&served, path, OPEN, "identity");
            assert_eq!(steady(Open::read(&plain).unwrap().samples()), steady(read.samples()));
            assert_eq!(page(&served, path, "text/plain", "gzip").len(), page(&served, path, "text/plain", "identity").len(), "{} {path}", case.id);
        }
    }
}

#[test]
fn the_python_library_of_the_format_reads_us() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python");
    let program = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as read\nprint(sum(len(f.samples) for f in read(sys.stdin.read())))";
    for case in Case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts")) {
        let served = program::serve([Path::new("--replay"), &case.folder]).unwrap();
        served.metrics().unwrap();
        for path in PATHS {
            let text = page(&served, path, OPEN, "gzip");
            let mut python = Command::new("python3");
            python
                .args(["-c", program])
                .env("PYTHONPATH", &tools)
                .env("PYTHONIOENCODING", "utf-8")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let Ok(mut child) = python.spawn() else { return println!("skipped: the OpenMetrics parser of prometheus_client: no python3") };
            // One that cannot import its library ends without reading.
            let _ = child.stdin.take().unwrap().write_all(&text);
            let said = child.wait_with_output().unwrap();
            let problem = String::from_utf8_lossy(&said.stderr);
            if problem.contains("ModuleNotFoundError") {
                return println!("skipped: the OpenMetrics parser of prometheus_client: not installed");
            }
            assert!(said.status.success(), "{} {path}: {problem}", case.id);
            assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), Open::read(&text).unwrap().samples().count().to_string(), "{} {path}", case.id);
        }
    }
}

#[test]
fn asking_is_answered_as_http_wants_it() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/v2-systemd");
    let served = program::serve([Path::new("--replay"), &host]).unwrap();
    served.metrics().unwrap();
    let ask = |method: &str, path: &str, coding: &str| program::ask(served.address, method, path, &[("Accept-Encoding", coding)]).unwrap();
    // Of the page that has no counters of its own request in it.
    let got = ask("GET", "/metrics/cadvisor", "gzip");
    let head = ask("HEAD", "/metrics/cadvisor", "gzip");
    for name in ["content-type", "content-encoding", "content-length", "vary"] {
        assert!(head.header(name).is_some() && head.header(name) == got.header(name), "{name}: {:?}", head.header(name));
    }
    assert!(head.body.is_empty());
    assert_eq!(ask("GET", "/metrics", "identity;q=0, br").status, 406);
    assert_eq!(ask("GET", "/metrics", "br, zstd;q=0.9").header("content-encoding"), None);
    let long = format!("{}gzip", "br;q=0.1, ".repeat(1_500));
    assert_eq!(ask("GET", "/metrics", &long).header("content-encoding"), Some("gzip"));
    assert_eq!(ask("GET", "/metrics", &"x".repeat(40_000)).status, 431);
    assert_eq!(ask("GET", "/metrics", "gzip").status, 200);
}

#[test]
fn the_strict_reader_names_what_is_wrong() {
    let head = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds A.\na_seconds_total 1\n";
    assert!(Open::read(format!("{head}# EOF\n").as_bytes()).is_ok());
    for (wrong, problem) in [
        (head.to_owned(), "# EOF"),
        (format!("{head}a_seconds 1\n# EOF\n"), "no suffix"),
        (format!("{head}a_seconds_total 2\n# EOF\n"), "twice"),
        (format!("{head}\n# EOF\n"), "neither"),
        (format!("{head}# EOF\na_seconds_total 1\n"), "# EOF"),
        ("# TYPE a gauge\n# UNIT a seconds\n# HELP a A.\na 1\n# EOF\n".into(), "its unit"),
        ("# TYPE a info\n# HELP a A.\na_info 2\n# EOF\n".into(), "not 1"),
        ("# TYPE a info\n# HELP a A.\na_info 1\n# TYPE a_info gauge\n# HELP a_info A.\na_info 1\n# EOF\n".into(), "twice"),
        ("# TYPE a gauge\n# HELP a A.\na 1\n# TYPE b gauge\n# HELP b B.\nb 1\n# HELP a A.\n# EOF\n".into(), "stand together"),
        ("# TYPE a histogram\n# HELP a A.\na_bucket{le=\"1\"} 1\n# EOF\n".into(), "no float"),
    ] {
        let said = Open::read(wrong.as_bytes()).unwrap_err();
        assert!(said.contains(problem), "{wrong}: {said}");
    }
}
