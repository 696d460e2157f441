//! Recorded answers: what a daemon said once, found again by method, path and query, or what an endpoint said, a file each. Pure but for reading the files.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::roots::{self, JSON_LIMIT};

/// What was recorded of one endpoint.
#[derive(Debug)]
pub(super) enum Answers {
    /// One file: `"METHOD path?query"` to `{status, headers?, body}`. A body is JSON or a text.
    Listed(HashMap<(String, String), Vec<Answer>>),
    /// A folder of bodies as they came, each the answer of a GET that went well; [`body_file`] names them.
    Bodies(PathBuf),
}

#[derive(Debug)]
pub(super) struct Answer {
    version: Option<String>,
    query: Query,
    status: u16,
    body: Bytes,
}

/// The pairs of a query that say more than the daemon's defaults do.
type Query = BTreeMap<String, String>;

#[derive(Deserialize)]
struct AnswerFile {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    body: Value,
}

fn ok() -> u16 {
    200
}

impl Answers {
    /// Reads the file; of a folder nothing yet. Errors: it cannot be read, is no JSON of that form, or is larger than 64 MiB.
    pub(super) fn read(path: &Path) -> Result<Answers, Error> {
        if path.is_dir() {
            return Ok(Answers::Bodies(path.into()));
        }
        Answers::parse(&whole(path)?).map_err(|e| Error::Text { path: path.into(), problem: e.to_string() })
    }

    fn parse(text: &[u8]) -> Result<Answers, serde_json::Error> {
        let mut by_path: HashMap<_, Vec<Answer>> = HashMap::new();
        for (asked, AnswerFile { status, body }) in serde_json::from_slice::<BTreeMap<String, AnswerFile>>(text)? {
            let (method, path) = asked.split_once(' ').unwrap_or(("GET", &asked));
            let (version, path, query) = take_apart(path);
            let body = match body {
                Value::Null => Bytes::new(),
                Value::String(text) => text.into(),
                json => json.to_string().into(),
            };
            by_path.entry((method.to_owned(), path.to_owned())).or_default().push(Answer { version: version.map(str::to_owned), query, status, body });
        }
        Ok(Answers::Listed(by_path))
    }

    /// Status and body; what is not there is a 404. Errors: the body's file cannot be read, or is larger than 64 MiB.
    pub(super) fn find(&self, method: &str, path: &str) -> Result<(u16, Bytes), Error> {
        let found = match self {
            Answers::Listed(by_path) => listed(by_path, method, path),
            Answers::Bodies(folder) => body(folder, method, path)?.map(|body| (200, body)),
        };
        Ok(found.unwrap_or((404, Bytes::from_static(b"not recorded"))))
    }
}

/// By path and query, else by the bare path. A path without a version is meant for every version unless the file lists versions of it.
fn listed(by_path: &HashMap<(String, String), Vec<Answer>>, method: &str, path: &str) -> Option<(u16, Bytes)> {
    let (version, path, query) = take_apart(path);
    let recorded = by_path.get(&(method.to_owned(), path.to_owned()))?;
    let versions = recorded.iter().any(|answer| answer.version.is_some());
    let meant = |answer: &&Answer| if versions { answer.version.as_deref() == version } else { true };
    let found = recorded.iter().filter(meant).find(|answer| answer.query == query);
    let found = found.or_else(|| recorded.iter().filter(meant).find(|answer| answer.query.is_empty()))?;
    Some((found.status, found.body.clone()))
}

fn body(folder: &Path, method: &str, path: &str) -> Result<Option<Bytes>, Error> {
    if method != "GET" {
        return Ok(None);
    }
    match whole(&folder.join(body_file(path))) {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(|body| Some(body.into())),
    }
}

/// The file that holds the answer to `GET path`, whatever the query: `task-stats.json` for `/task/stats`, `container.json` for the endpoint's own address.
pub(crate) fn body_file(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path).trim_matches('/');
    format!("{}.json", if path.is_empty() { "container".into() } else { path.replace('/', "-") })
}

fn whole(path: &Path) -> Result<Vec<u8>, Error> {
    let text = roots::read(path, JSON_LIMIT + 1).map_err(|e| Error::file(path, e))?;
    if text.len() > JSON_LIMIT { Err(Error::TooLarge { address: path.display().to_string(), limit: JSON_LIMIT }) } else { Ok(text) }
}

/// `/v1.45/containers/json?all=1` to version, path and query.
fn take_apart(path: &str) -> (Option<&str>, &str, Query) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let version = path.strip_prefix("/v").and_then(|rest| rest.split_once('/')).map(|(version, _)| version);
    let version = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()) && version.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    let path = version.map_or(path, |version| &path["/v".len() + version.len()..]);
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), flag(value).to_owned())).filter(|(name, value)| !is_default(name, value)).collect();
    (version, path, query)
}

fn flag(value: &str) -> &str {
    match value {
        "1" | "True" | "TRUE" => "true",
        "0" | "False" | "FALSE" => "false",
        other => other,
    }
}

/// Docker's defaults (Engine API reference): a pair that says them says nothing.
fn is_default(name: &str, value: &str) -> bool {
    match name {
        "all" | "size" | "one-shot" | "verbose" => matches!(value, "" | "false"),
        "stream" => value == "true",
        "limit" => matches!(value, "" | "-1" | "false"),
        "filters" => matches!(value, "" | "{}" | "%7B%7D"),
        "since" | "until" => matches!(value, "" | "false"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_path_and_query_then_by_the_bare_path() {
        let answers = Answers::parse(
            br#"{
            "GET /containers/json?all=true": {"status": 200, "body": ["all"]},
            "GET /containers/json": {"status": 200, "body": ["running"]},
            "GET /containers/a/json?size=false": {"body": {"Id": "a"}},
            "GET /v1.41/info": {"body": "old"},
            "GET /v1.45/info": {"body": "new"},
            "GET /info": {"body": "bare"},
            "PUT /latest/api/token": {"status": 200, "headers": {"x": "y"}, "body": "TOKEN"},
            "GET /gone": {"status": 410}
        }"#,
        )
        .unwrap();
        for (method, path, status, body) in [
            ("GET", "/v1.45/containers/json?all=true", 200, r#"["all"]"#),
            ("GET", "/containers/json?all=1&size=0&limit=-1", 200, r#"["all"]"#),
            ("GET", "/containers/json?all=false", 200, r#"["running"]"#),
            ("GET", "/containers/json?all=true&filters=x", 200, r#"["running"]"#),
            ("GET", "/v1.50/containers/a/json", 200, r#"{"Id":"a"}"#),
            ("GET", "/v1.41/info", 200, "old"),
            ("GET", "/v1.45/info", 200, "new"),
            ("GET", "/v1.44/info", 404, "not recorded"),
            ("GET", "/info", 200, "bare"),
            ("PUT", "/latest/api/token", 200, "TOKEN"),
            ("GET", "/latest/api/token", 404, "not recorded"),
            ("GET", "/volumes/json", 404, "not recorded"),
            ("GET", "/gone", 410, ""),
        ] {
            assert_eq!(answers.find(method, path).unwrap(), (status, Bytes::from(body)), "{method} {path}");
        }
    }

    #[test]
    fn a_folder_holds_the_bodies_as_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tmde");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in [
            ("container.json", "{}"),
            ("task.json", "{\"Family\": \"shop\"}\n"),
            ("task-stats.json", "null"),
            ("v1-tasks.json", "{\"Tasks\":"),
            ("empty.json", ""),
            ("../outside.json", "no"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        std::fs::create_dir(folder.join("odd.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join("endless.json")).unwrap();
        let answers = Answers::read(&folder).unwrap();
        for (method, path, status, body) in [
            ("GET", "", 200, "{}"),
            ("GET", "/", 200, "{}"),
            ("GET", "/task", 200, "{\"Family\": \"shop\"}\n"),
            ("GET", "/task/stats", 200, "null"),
            ("GET", "/v1/tasks?dockerid=a1", 200, "{\"Tasks\":"),
            ("GET", "/empty", 200, ""),
            ("PUT", "/task", 404, "not recorded"),
            ("GET", "/tasks", 404, "not recorded"),
            ("GET", "/Task", 404, "not recorded"),
            ("GET", "/v2/tasks", 404, "not recorded"),
            ("GET", "/../outside", 404, "not recorded"),
        ] {
            assert_eq!(answers.find(method, path).unwrap(), (status, Bytes::from(body)), "{method} {path}");
        }
        for (path, words) in [("/odd", "odd.json"), ("/endless", "larger than")] {
            assert!(answers.find("GET", path).unwrap_err().to_string().contains(words), "{path}");
        }
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.json");
        for text in ["", "[]", "{\"GET /\": 1}", "{\"GET /\": {\"status\": 70000}}", "{\"GET /\""] {
            std::fs::write(&path, text).unwrap();
            assert!(Answers::read(&path).unwrap_err().to_string().contains("answers.json"), "{text}");
        }
        assert!(Answers::read(&dir.path().join("none")).is_err());
    }
}
