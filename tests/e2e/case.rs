//! One recorded host and what must be said of it: the `case.json` beside its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// `case.json`: only what a machine can check; the rest is for people.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// The folder's name where the file does not say.
    #[serde(default)]
    pub id: String,
    /// All must hold.
    pub expect: Vec<Expectation>,
    /// Where it lies.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One sentence: the figure of something, and what must be true of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Expectation {
    /// Of what.
    pub about: About,
    /// Which figure, by its meaning.
    pub figure: String,
    /// How it is judged.
    pub op: String,
    /// Against what.
    #[serde(default)]
    pub value: Value,
    /// At which look; the last one where it is not said.
    pub at: Option<String>,
    /// Relative, for `approx`.
    pub tol: Option<f64>,
    /// For people.
    pub note: Option<String>,
    /// A second run in words: with these sources only.
    pub only: Option<Value>,
    /// A second run in words: with an answer changed.
    pub run: Option<Value>,
}

/// What an expectation is about.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum About {
    /// `host`, `agent`, `log`, `exposition`, `*`, …
    Word(String),
    /// `{"container": id}`, `{"pod": uid, "interface": name}`, …
    Of(BTreeMap<String, Value>),
}

impl About {
    /// The text of one of its members.
    pub fn member(&self, name: &str) -> Option<String> {
        match self {
            About::Word(_) => None,
            About::Of(members) => members.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            About::Word(word) => f.write_str(word),
            About::Of(members) => {
                let short = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.chars().take(12).collect());
                let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} {}", short(value))).collect();
                f.write_str(&members.join(", "))
            }
        }
    }
}

impl Case {
    /// The cases in the folders below `folder`, by name. A folder without `case.json` is none.
    pub fn all(folder: &Path) -> Vec<Case> {
        let mut folders: Vec<PathBuf> =
            fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.into_iter().filter(|folder| folder.join("case.json").is_file()).map(|folder| Case::read(&folder)).collect()
    }

    fn read(folder: &Path) -> Case {
        let path = folder.join("case.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        case.folder = folder.to_path_buf();
        if case.id.is_empty() {
            case.id = folder.file_name().expect("a folder below a folder has a name").to_string_lossy().into_owned();
        }
        case
    }

    /// The names of its looks in order: `t0`, `t1`, …, or `now`.
    pub fn looks(&self) -> Vec<String> {
        let number = |name: &str| name.strip_prefix('t').and_then(|digits| digits.parse::<u64>().ok());
        let entries = fs::read_dir(&self.folder).expect("the folder was read before").flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| number(name).is_some()).collect();
        names.sort_by_key(|name| number(name));
        if names.is_empty() { vec!["now".into()] } else { names }
    }

    /// Whether something of this name lies in it, in any look.
    pub fn has(&self, below: &str) -> bool {
        self.folder.join(below).exists() || self.looks().iter().any(|look| self.folder.join(look).join(below).exists())
    }
}
