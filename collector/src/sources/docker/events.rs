//! The daemon's event stream: which containers must be looked at again, kept open in the background, resumed where it broke off.
//!
//! This is bollard's part: its query, its line decoder and its model of an event (whose words are all optional), over our own transport.
//! What was heard is not queued but joined: one entry a container, so a storm of events costs no more than the containers there are.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::answers::{self, Spoken, is_id};
use crate::http::Client;
use crate::identity::ContainerId;

/// The stream, until dropped.
#[derive(Debug)]
pub(super) struct Events {
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

/// What the stream has told since it was last asked.
#[derive(Debug)]
struct Heard {
    changes: Mutex<Changes>,
    woken: Arc<Notify>,
}

/// What is different.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Containers something happened to; at most [`LIMIT`], beyond it all are listed anew.
    pub(super) of: BTreeMap<ContainerId, Change>,
    /// The stream was opened: whatever happened before is only in the list.
    pub(super) relist: bool,
    /// The stream is open.
    pub(super) listening: bool,
}

/// What happened to one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Who it is, by the event's own words: all that is ever told of one that is deleted before anybody can ask for it.
    pub(super) about: Option<Spoken>,
    /// When it was last started.
    pub(super) started: Option<Timestamp>,
    /// It ended, and was not started since.
    pub(super) ended: Option<End>,
    /// The kernel killed in it for memory since its last start.
    pub(super) oom: bool,
    /// The daemon forgot it.
    pub(super) gone: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// When.
    pub(super) at: Timestamp,
    /// `exitCode`, which is a text in events.
    pub(super) exit: Option<i64>,
}

/// Containers whose changes are held one by one.
const LIMIT: usize = 10_000;

/// The stream is opened anew after so many bytes: the decoder holds an unfinished line whole, however long it gets.
const STREAM_LIMIT: usize = 16 << 20;

/// A stream that lasted so long was a good one: the next break is tried again at once.
const GOOD: Duration = Duration::from_secs(30);

/// The events we ask for. The daemon drops the rest itself: the command lines of `exec_*`, and `create`, which we do not show.
const ACTIONS: [&str; 10] = ["start", "die", "oom", "pause", "unpause", "update", "rename", "health_status", "restart", "destroy"];

impl Events {
    /// Opens the stream in a task of its own, which tries again for ever, ever slower up to once a minute.
    pub(super) fn listen(client: Arc<Client>, woken: Arc<Notify>) -> Events {
        let heard = Arc::new(Heard { changes: Mutex::default(), woken });
        let task = tokio::spawn(listen(client, heard.clone()));
        Events { heard, task }
    }

    /// What changed since the last call.
    pub(super) fn take(&self) -> Changes {
        let mut changes = self.heard.changes();
        Changes { listening: changes.listening, relist: std::mem::take(&mut changes.relist), of: std::mem::take(&mut changes.of) }
    }

    /// A look at what is waiting.
    #[cfg(test)]
    pub(super) fn peek<T>(&self, look: impl FnOnce(&Changes) -> T) -> T {
        look(&self.heard.changes())
    }

    /// Whether the task is no more: its runtime ended or it panicked.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heard {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        // Nothing in here is left half done by a panic.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listening(&self, listening: bool) {
        let mut changes = self.changes();
        let was = std::mem::replace(&mut changes.listening, listening);
        changes.relist |= listening;
        drop(changes);
        if listening != was {
            self.woken.notify_one();
        }
    }

    fn hear(&self, event: EventMessage) {
        if note(event, &mut self.changes()) {
            self.woken.notify_one();
        }
    }
}

async fn listen(client: Arc<Client>, heard: Arc<Heard>) {
    let (mut since, mut failures) = (None, 0);
    loop {
        let opened = Instant::now();
        if let Err(error) = follow(&client, &heard, &mut since).await {
            tracing::debug!(%error, "the event stream ended");
        }
        heard.listening(false);
        failures = if opened.elapsed() > GOOD { 0 } else { failures + 1 };
        tokio::time::sleep(pause(failures)).await;
    }
}

/// Follows one stream to its end.
async fn follow(client: &Arc<Client>, heard: &Arc<Heard>, since: &mut Option<i64>) -> Result<(), bollard::errors::Error> {
    let transport = {
        let (client, heard) = (client.clone(), heard.clone());
        move |request: BollardRequest| {
            let (client, heard) = (client.clone(), heard.clone());
            async move {
                let response = client.stream(request, STREAM_LIMIT).await.map_err(io::Error::other)?;
                // The head of the answer comes at once; from here on nothing is missed that the next list does not hold.
                if response.status().is_success() {
                    heard.listening(true);
                }
                Ok(response)
            }
        }
    };
    let docker = Docker::connect_with_custom_transport(transport, Some("http://docker"), 30, API_DEFAULT_VERSION)?;
    let filters = HashMap::from([("type", vec!["container"]), ("event", ACTIONS.to_vec())]);
    let filters = filters.into_iter().map(|(key, words)| (key.to_owned(), words.into_iter().map(str::to_owned).collect())).collect();
    let options = EventsOptions { since: since.map(seconds), until: None, filters: Some(filters) };
    let mut events = docker.events(Some(options));
    while let Some(event) = events.next().await {
        let event = event?;
        *since = event.time_nano.or(*since);
        heard.hear(event);
    }
    Ok(())
}

/// `1772445601.123456789`, the only form in which `since` takes nanoseconds.
fn seconds(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// A quarter of a second, doubled with each failure, a minute at most.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.min(8)).min(Duration::from_secs(60))
}

/// Notes one event; whether it was one of ours.
fn note(event: EventMessage, changes: &mut Changes) -> bool {
    let at = event.time_nano.and_then(|nanos| Timestamp::from_nanosecond(nanos.into()).ok());
    let (Some(action), Some(actor)) = (event.action, event.actor) else { return false };
    let action = action.split(':').next().unwrap_or_default();
    let Some(id) = actor.id.filter(|id| is_id(id)) else { return false };
    if !ACTIONS.contains(&action) {
        return false;
    }
    let id = ContainerId::from(id.as_str());
    if changes.of.len() >= LIMIT && !changes.of.contains_key(&id) {
        changes.relist = true;
        return true;
    }
    let words = actor.attributes.unwrap_or_default();
    let change = changes.of.entry(id.clone()).or_default();
    match action {
        "die" => change.ended = at.map(|at| End { at, exit: words.get("exitCode").and_then(|code| code.parse().ok()) }),
        "start" => *change = Change { started: at, ..Change::default() },
        "oom" => change.oom = true,
        "destroy" => change.gone = true,
        _ => {}
    }
    if matches!(action, "start" | "die") {
        change.about = Some(answers::spoken(id, &words));
    }
    true
}

/// How many containers a piece of the stream speaks of. The fuzzer's way in; in use, bollard's decoder cuts the lines.
#[doc(hidden)]
pub fn spoken_of(stream: &[u8]) -> usize {
    let mut changes = Changes::default();
    for event in stream.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
        note(event, &mut changes);
    }
    changes.of.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{ContainerAbout, Role};

    fn heard(lines: &[&str]) -> Changes {
        let mut changes = Changes::default();
        for line in lines {
            note(serde_json::from_str(line).unwrap(), &mut changes);
        }
        changes
    }

    fn line(action: &str, attributes: &str, nanos: i64) -> String {
        format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"a1","Attributes":{attributes}}},"time":1,"timeNano":{nanos}}}"#)
    }

    #[test]
    fn an_end_is_kept_until_the_next_start() {
        let die = line("die", r#"{"exitCode":"137","name":"web"}"#, 1_772_445_601_123_456_789);
        let end = Some(End { at: "2026-03-02T10:00:01.123456789Z".parse().unwrap(), exit: Some(137) });
        let (start, destroy) = (line("start", "null", 5), line("destroy", "{}", 6));
        let plain = |lines: &[&str]| Change { about: None, ..heard(lines).of.remove(&"a1".into()).unwrap() };
        assert_eq!(plain(&[&die]), Change { ended: end, ..Change::default() });
        assert_eq!(plain(&[&die, &destroy]), Change { ended: end, gone: true, ..Change::default() });
        let started = Timestamp::from_nanosecond(5).ok();
        assert_eq!(plain(&[&line("oom", "{}", 4), &die, &start]), Change { started, ..Change::default() });
        assert_eq!(plain(&[&start, &line("oom", "{}", 6), &die]), Change { started, ended: end, oom: true, ..Change::default() });
        assert_eq!(heard(&[&line("die", "null", 7)]).of[&"a1".into()].ended.unwrap().exit, None);
    }

    #[test]
    fn an_event_says_who_it_is_and_no_other_label_is_kept() {
        let words =
            r#"{"image":"shop/job:3","name":"shop-job-1","exitCode":"0","com.docker.compose.project":"shop","com.docker.compose.service":"job","secret":"x"}"#;
        let about = heard(&[&line("die", words, 7)]).of[&"a1".into()].about.clone().unwrap().about;
        let compose = Some(crate::snapshot::Compose { project: "shop".into(), service: "job".into() });
        let said =
            ContainerAbout { id: "a1".into(), name: Some("shop-job-1".into()), image: Some("shop/job:3".into()), digest: None, compose, role: Role::App };
        assert_eq!(*about, said);
    }

    #[test]
    fn what_is_not_ours_is_dropped() {
        for action in ["exec_create: sh -c SECRET", "exec_start: x", "exec_die", "attach", "create", ""] {
            assert!(heard(&[&line(action, "{}", 1)]).of.is_empty(), "{action}");
        }
        assert!(
            heard(&["{}", r#"{"Action":"die"}"#, r#"{"Action":"die","Actor":{"ID":"","Attributes":null}}"#, r#"{"Action":"die","Actor":{"ID":"../a1?x"}}"#])
                .of
                .is_empty()
        );
        assert!(heard(&[&line("health_status: healthy", "null", 1)]).of.contains_key(&"a1".into()));
    }

    #[test]
    fn a_storm_over_more_containers_than_we_hold_asks_for_a_list() {
        let mut changes = Changes::default();
        for n in 0..LIMIT + 5 {
            note(serde_json::from_str(&line("start", "{}", 1).replace("a1", &format!("c{n}"))).unwrap(), &mut changes);
        }
        assert_eq!((changes.of.len(), changes.relist), (LIMIT, true));
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!([0, 1, 4, 8, 400].map(|failures| pause(failures).as_millis()), [250, 500, 4_000, 60_000, 60_000]);
        assert_eq!(seconds(1_772_445_601_000_000_007), "1772445601.000000007");
    }
}
