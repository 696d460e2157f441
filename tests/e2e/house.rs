//! Our own promises: rooms know only the rooms before them, the middle touches nothing, every name and setting that is spoken of exists.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The plan. A module uses only those before it; one that is not built yet is not missed.
const COLLECTOR: &[&str] = &["units", "error", "identity", "snapshot", "roots", "http", "sources", "merge", "looker", "record"];
/// The same for the program.
const AGENT: &[&str] = &[
    "nearest", "rates", "cost", "health", "platform", "ledger", "report", "explain", "verdict", "query", "words", "metrics", "spool", "store", "sinks", "aws",
    "logs", "web", "top", "config", "args", "pipeline", "commands",
];
/// What lies between looking and telling.
const PURE: &[&str] = &[
    "collector/src/merge",
    "collector/src/units",
    "collector/src/identity",
    "collector/src/snapshot",
    "agent/src/rates",
    "agent/src/cost",
    "agent/src/health",
    "agent/src/platform",
    "agent/src/ledger",
    "agent/src/report",
    "agent/src/metrics",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All files with this ending below a folder, sorted; build output and hidden folders left out.
fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && name != "hosts" && !name.to_string_lossy().starts_with('.') {
            found.extend(files(&path, ending));
        } else if path.is_file() && path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A source file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let plain = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(plain).map(|line| format!("{line}\n")).collect()
}

/// Whether a file is there for tests only: a module that its parent declares under `#[cfg(test)]`.
fn is_for_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let folder = path.parent().unwrap();
    let beside = [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
    beside.iter().filter_map(|parent| fs::read_to_string(parent).ok()).any(|text| text.contains(&format!("#[cfg(test)]\nmod {name};")))
}

/// The top modules of the same crate that a file names, by `crate::…` or by `super::…` that reaches the root.
fn used(path: &Path, source: &Path) -> HashSet<String> {
    let text = code(path);
    let mut used = HashSet::new();
    let name = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    used.extend(name.captures_iter(&text).map(|found| found[1].to_owned()));
    for list in Regex::new(r"\bcrate::\{([^;]*)\};").unwrap().captures_iter(&text) {
        used.extend(heads(&list[1]));
    }
    let parts = path.strip_prefix(source).unwrap().with_extension("");
    let depth = parts.components().filter(|part| part.as_os_str() != "mod").count();
    for found in Regex::new(r"(?m)^use ((?:super::)+)([a-z_]+)").unwrap().captures_iter(&text) {
        if found[1].matches("super").count() == depth {
            used.insert(found[2].to_owned());
        }
    }
    used
}

/// `a::{b, c}, d` names `a` and `d`.
fn heads(list: &str) -> Vec<String> {
    let mut depth = 0;
    let outer: String = list
        .chars()
        .filter(|character| {
            depth += i32::from(*character == '{') - i32::from(*character == '}');
            depth == 0 && *character != '}'
        })
        .collect();
    outer.split(',').filter_map(|path| path.trim().split("::").next()).filter(|head| !head.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_reader_of_imports_sees_them_all() {
    assert_eq!(heads("cost::{self, split::{A, B}}, rates, report::Report"), ["cost", "rates", "report"]);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cost")).unwrap();
    let path = folder.path().join("cost/split.rs");
    fs::write(&path, "// crate::not\nuse crate::{web, rates::Rates};\nuse super::super::args;\nuse super::money;\nfn f() { crate::config::g() }\n#[cfg(test)]\nmod tests {\nuse crate::commands;\n}\n").unwrap();
    let mut used: Vec<String> = used(&path, folder.path()).into_iter().collect();
    used.sort();
    assert_eq!(used, ["args", "config", "rates", "web"]);
}

#[test]
fn a_module_uses_only_modules_before_it() {
    let mut wrong = Vec::new();
    for (source, order) in [("collector/src", COLLECTOR), ("agent/src", AGENT)] {
        let source = root().join(source);
        let declared = code(&source.join("lib.rs"));
        let declared: Vec<&str> = declared.lines().filter_map(|line| line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'))).collect();
        let planned: Vec<&str> = order.iter().copied().filter(|module| declared.contains(module)).collect();
        assert_eq!(declared, planned, "{}: lib.rs declares its modules in the plan's order", source.display());
        for path in files(&source, ".rs").into_iter().filter(|path| !is_for_tests(path)) {
            let below = path.strip_prefix(&source).unwrap();
            let module = below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            let Some(place) = order.iter().position(|name| *name == module) else { continue };
            let later = used(&path, &source).into_iter().filter(|name| order.iter().position(|other| other == name).is_some_and(|other| other > place));
            wrong.extend(later.map(|later| format!("{} uses {later}, which comes after {module}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_collector_never_names_the_agent() {
    let manifest = fs::read_to_string(root().join("collector/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("tare") || line.contains("path = \"../agent\"")), "collector/Cargo.toml depends on the agent");
    let agent = Regex::new(r"\btare::").unwrap();
    for path in files(&root().join("collector"), ".rs") {
        assert!(!agent.is_match(&code(&path)), "{} names the agent", path.display());
    }
}

#[test]
fn nothing_between_looking_and_telling_touches_the_world() {
    let touch = Regex::new(r"std::(fs|net|env|process|thread|io::(stdin|stdout|stderr))\b|\b(tokio|hyper|rustix|bollard|sysinfo)::|\b(Instant|SystemTime|Timestamp|Zoned)::now\b|\b(File|OpenOptions|Command)::|\be?print(ln)?!|\btracing::").unwrap();
    let mut wrong = Vec::new();
    for path in ["collector/src", "agent/src"].iter().flat_map(|source| files(&root().join(source), ".rs")) {
        let below = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let pure = PURE.iter().any(|pure| below.strip_prefix(pure).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"));
        if pure && !is_for_tests(&path) {
            wrong.extend(touch.find_iter(&code(&path)).map(|found| format!("{below} says {}", found.as_str())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_that_is_spoken_of_exists() {
    let name = Regex::new(r"\btare_[a-z][a-z0-9_]*[a-z0-9]\b").unwrap();
    let manual = tare::metrics::manual::manual();
    let known: HashSet<&str> = name.find_iter(&manual).map(|found| found.as_str()).collect();
    assert!(known.len() > 50, "the manual names its metrics");
    let texts = [".md", ".toml", ".json", ".yaml", ".yml", ".rules"].iter().flat_map(|ending| files(&root(), ending));
    let mut wrong = Vec::new();
    for path in texts.filter(|path| !path.starts_with(root().join("tests"))) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let base = |name: &str| {
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix).map(str::to_owned)).unwrap_or_else(|| name.to_owned())
        };
        // What a rule records of a counter has its name without `_total`, between colons.
        let recorded = |name: &str| text.contains(&format!(":{name}:")) && known.contains(format!("{name}_total").as_str());
        let exists = |name: &str| known.contains(name) || known.contains(base(name).as_str()) || recorded(name);
        let unknown = name.find_iter(&text).map(|found| found.as_str()).filter(|name| !exists(name));
        wrong.extend(unknown.map(|name| format!("{}: {name}", path.display())));
    }
    assert!(wrong.is_empty(), "no such metric:\n{}", wrong.join("\n"));
}

#[test]
fn every_setting_is_explained_and_read() {
    let manual = fs::read_to_string(root().join("agent/tare.toml")).unwrap();
    let readers: String = files(&root().join("agent/src"), ".rs").iter().filter(|path| !is_for_tests(path)).map(|path| code(path)).collect();
    let mut before = "";
    let mut settings = 0;
    for line in manual.lines() {
        let name = line.split_once(" = ").map(|(name, _)| name).filter(|name| !name.starts_with('#'));
        if let Some(name) = name {
            settings += 1;
            assert!(before.starts_with('#'), "{name} has no explanation above it");
            assert!(Regex::new(&format!(r"\b{name}\b")).unwrap().is_match(&readers), "nobody reads {name}");
        }
        before = line;
    }
    assert!(settings > 10, "the file of settings holds settings");
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in ["collector", "agent", "tests"].iter().flat_map(|folder| files(&root().join(folder), ".rs")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not open with a sentence", path.display());
    }
}
