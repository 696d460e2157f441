//! Recorded answers: what a daemon said once, found again by method, path and query. Pure but for reading the file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::roots::{self, JSON_LIMIT};

/// The answers of one file: `"METHOD path?query"` to `{status, headers?, body}`. A body is JSON or a text.
#[derive(Debug)]
pub(super) struct Answers {
    by_path: HashMap<(String, String), Vec<Answer>>,
}

#[derive(Debug)]
struct Answer {
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
    /// Reads the file. Errors: it cannot be read, is no JSON of that form, or is larger than 64 MiB.
    pub(super) fn read(path: &Path) -> Result<Answers, Error> {
        let text = roots::read(path, JSON_LIMIT + 1).map_err(|e| Error::file(path, e))?;
        if text.len() > JSON_LIMIT {
            return Err(Error::TooLarge { address: path.display().to_string(), limit: JSON_LIMIT });
        }
        Answers::parse(&text).map_err(|e| Error::Text { path: path.into(), problem: e.to_string() })
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
        Ok(Answers { by_path })
    }

    /// Status and body: by path and query, else by the bare path. A path without a version is meant for every version
    /// unless the file lists versions of it. What is not there is a 404.
    pub(super) fn find(&self, method: &str, path: &str) -> (u16, Bytes) {
        let (version, path, query) = take_apart(path);
        let recorded = self.by_path.get(&(method.to_owned(), path.to_owned())).map_or(&[][..], Vec::as_slice);
        let versions = recorded.iter().any(|answer| answer.version.is_some());
        let meant = |answer: &&Answer| if versions { answer.version.as_deref() == version } else { true };
        let found = recorded.iter().filter(meant).find(|answer| answer.query == query);
        match found.or_else(|| recorded.iter().filter(meant).find(|answer| answer.query.is_empty())) {
            Some(answer) => (answer.status, answer.body.clone()),
            None => (404, Bytes::from_static(b"not recorded")),
        }
    }
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
            assert_eq!(answers.find(method, path), (status, Bytes::from(body)), "{method} {path}");
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
