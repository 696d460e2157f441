//! Values laid over each other, each with its origin: the built-in file, the user's, variables, flags. Names are checked here, meanings in `Settings`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::{Flag, MANUAL, Warning, Wrong};
use crate::nearest::nearest;

/// The variable that holds a whole settings file.
pub(super) const CONTENT: &str = "TARE_CONFIG_CONTENT";

/// A settings file is a few hundred lines; whatever is larger is none.
const FILE_LIMIT: u64 = 1 << 20;

/// Every setting by its dotted name.
#[derive(Clone, Debug)]
pub struct Layers {
    entries: BTreeMap<String, Entry>,
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
    taken: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in file.
    Default,
    /// A line of a file, or of the variable that holds one.
    Line(String, usize),
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the default"),
            Origin::Line(file, line) => write!(f, "{file} line {line}"),
            Origin::Variable(name) => write!(f, "the variable {name}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Layers {
    /// The built-in file alone.
    pub(super) fn defaults() -> Result<Layers, Wrong> {
        let mut entries = BTreeMap::new();
        let table = MANUAL.parse::<toml::Table>().map_err(|e| Wrong(vec![format!("the built-in settings: {e}")]))?;
        let mut put = |key: String, value: Value| entries.insert(key, Entry { value, origin: Origin::Default, taken: false });
        for (name, value) in table {
            match value {
                Value::Table(section) => section.into_iter().for_each(|(key, value)| drop(put(format!("{name}.{key}"), value))),
                value => drop(put(name, value)),
            }
        }
        Ok(Layers { entries })
    }

    /// Every setting that is not the default: name, value, origin.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        let set = self.entries.iter().filter(|(_, entry)| entry.origin != Origin::Default);
        set.map(|(key, entry)| (key.as_str(), &entry.value, &entry.origin))
    }

    /// One value, marked as used. A name that is not in the built-in file is a mistake of ours; the tests meet every one.
    pub(super) fn take(&mut self, key: &str) -> Entry {
        let entry = self.entries.get_mut(key).expect("every setting is in tare.toml");
        entry.taken = true;
        entry.clone()
    }

    /// Settings of the built-in file that nothing reads.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<&str> {
        self.entries.iter().filter(|(_, entry)| !entry.taken).map(|(key, _)| key.as_str()).collect()
    }

    /// Every name there is.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Lays a file over.
    pub(super) fn file(&mut self, path: &Path, wrong: &mut Vec<String>) {
        let name = path.display().to_string();
        match read(path) {
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.text(text, &name, wrong),
                Err(e) => {
                    let line = bytes[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                    wrong.push(format!("{name} line {line}: not UTF-8"));
                }
            },
            Err(problem) => wrong.push(format!("{name}: {problem}")),
        }
    }

    /// Lays a file's text over.
    pub(super) fn text(&mut self, text: &str, name: &str, wrong: &mut Vec<String>) {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                let at = e.span().map(|span| format!(" line {}", line(span.start))).unwrap_or_default();
                return wrong.push(format!("{name}{at}: {}", e.message().trim_end().replace('\n', ", ")));
            }
        };
        for (key, value) in table.get_ref() {
            let section = format!("{}.", key.get_ref());
            let known = self.entries.keys().any(|known| known.starts_with(&section));
            match value.get_ref() {
                DeValue::Table(inner) if known => {
                    for (inner, value) in inner {
                        self.set(&format!("{section}{}", inner.get_ref()), value.get_ref(), Origin::Line(name.into(), line(inner.span().start)), wrong);
                    }
                }
                value => self.set(key.get_ref(), value, Origin::Line(name.into(), line(key.span().start)), wrong),
            }
        }
    }

    fn set(&mut self, key: &str, value: &DeValue<'_>, origin: Origin, wrong: &mut Vec<String>) {
        let section = format!("{key}.");
        if let Some(entry) = self.entries.get_mut(key) {
            match plain(value) {
                Some(value) if same_kind(&entry.value, &value) => *entry = Entry { value, origin, taken: false },
                _ => wrong.push(format!("{origin}: {key} is {}; allowed is {}", said(value), kind(&entry.value))),
            }
        } else if self.entries.keys().any(|known| known.starts_with(&section)) {
            wrong.push(format!("{origin}: {key} is a section, write [{key}]"));
        } else {
            let meant = nearest(key, self.entries.keys().map(String::as_str)).map(|name| format!(", did you mean {name}?")).unwrap_or_default();
            wrong.push(format!("{origin}: unknown setting {}{meant}", short(key)));
        }
    }

    /// Lays variables over; their type is the default's.
    pub(super) fn env(&mut self, variables: &[(String, OsString)], wrong: &mut Vec<String>, warnings: &mut Vec<Warning>) {
        let names: BTreeMap<String, String> = self.entries.keys().map(|key| (variable(key), key.clone())).collect();
        for (name, text) in variables.iter().filter(|(name, _)| name != CONTENT) {
            match names.get(name) {
                Some(key) => self.word(key, text, Origin::Variable(name.clone()), wrong),
                None => {
                    let bare = |name: &'_ str| name.strip_prefix("TARE_").unwrap_or(name).to_owned();
                    let all: Vec<String> = names.keys().map(|name| bare(name)).collect();
                    let meant = nearest(&bare(name), all.iter().map(String::as_str)).map(|name| format!(", did you mean TARE_{name}?")).unwrap_or_default();
                    warnings.push(Warning(format!("unknown variable {}{meant}", short(name))));
                }
            }
        }
    }

    /// Lays a flag over.
    pub(super) fn flag(&mut self, flag: &Flag, wrong: &mut Vec<String>) {
        self.word(flag.key, OsStr::new(&flag.value), Origin::Flag(flag.flag), wrong);
    }

    fn word(&mut self, key: &str, text: &OsStr, origin: Origin, wrong: &mut Vec<String>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some(text) = text.to_str() else { return wrong.push(format!("{origin}: {key} is not UTF-8")) };
        let value = match &entry.value {
            Value::Boolean(_) => match text {
                "true" | "1" => Some(Value::Boolean(true)),
                "false" | "0" => Some(Value::Boolean(false)),
                _ => None,
            },
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Array(_) => Some(Value::Array(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Value::from).collect())),
            _ => Some(Value::from(text)),
        };
        match value {
            Some(value) => *entry = Entry { value, origin, taken: false },
            None => wrong.push(problem(key, &Value::from(text), &format!("allowed is {}", kind(&entry.value)), &origin)),
        }
    }
}

/// The variables that are meant for Tare. Kubernetes sets `TARE_PORT*` and `TARE_SERVICE_*` in every pod beside a service called `tare`.
pub(super) fn ours(env: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, OsString)> {
    let name = |name: OsString| {
        let name = name.into_string().ok()?;
        let rest = name.strip_prefix("TARE_")?;
        let injected = rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
        (!injected).then_some(name)
    };
    let mut ours: Vec<_> = env.into_iter().filter_map(|(key, value)| Some((name(key)?, value))).collect();
    ours.sort();
    ours
}

/// The variable of a setting.
fn variable(key: &str) -> String {
    format!("TARE_{}", key.to_uppercase().replace('.', "_"))
}

/// Where it came from, key, value, what is allowed.
pub(super) fn problem(key: &str, value: &Value, allowed: &str, origin: &Origin) -> String {
    // A URL may hold a password.
    let value = if key.ends_with("_write.url") { "wrong (not shown, it may hold a password)".into() } else { short(&value.to_string()) };
    format!("{origin}: {key} is {value}; {allowed}")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err("is a directory".into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > FILE_LIMIT { Err(format!("larger than {} MiB", FILE_LIMIT >> 20)) } else { Ok(bytes) }
}

/// A value without places in the text; dates, tables and numbers beyond 64 bits are no value of any setting.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()?),
        DeValue::Boolean(is) => Value::Boolean(*is),
        DeValue::Array(all) => Value::Array(all.iter().map(|value| plain(value.get_ref()).filter(Value::is_str)).collect::<Option<_>>()?),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

fn same_kind(a: &Value, b: &Value) -> bool {
    a.type_str() == b.type_str()
}

fn kind(default: &Value) -> String {
    match default {
        Value::Boolean(_) => "true or false".into(),
        Value::Integer(_) => "a whole number".into(),
        Value::Array(_) => "a list of texts: [\"…\", \"…\"]".into(),
        Value::String(text) if !text.is_empty() => format!("a text, like \"{text}\""),
        _ => "a text: \"…\"".into(),
    }
}

fn said(value: &DeValue<'_>) -> String {
    match (plain(value), value) {
        (Some(value), _) => short(&value.to_string()),
        (None, DeValue::Float(number)) => short(number.as_str()),
        (None, DeValue::Integer(number)) => short(number.as_str()),
        (None, DeValue::Array(_)) => "a list of other things".into(),
        (None, DeValue::Table(_)) => "a section".into(),
        (None, _) => "a date".into(),
    }
}

/// What a stranger wrote, cut and printable.
fn short(text: &str) -> String {
    let mut clean: String = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        clean.push('…');
    }
    clean
}
