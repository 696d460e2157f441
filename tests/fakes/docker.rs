//! A Docker daemon on a Unix socket that plays list, inspect, stats, version, info and events, and breaks in every way that real ones do.

// Included by several tests, each of which uses a part.
#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Never answers.
    Hang,
    /// Sends half of the answer and then nothing.
    HangMidAnswer,
    /// Sends half of the answer as if it were all.
    Cut,
    /// Sends half of what it announced, then closes.
    Close,
    /// Sends this many blanks.
    Huge(usize),
    /// Another status with this body.
    Status(u16, String),
    /// Another body.
    Body(String),
}

/// The daemon. Dropped, it dies: connections break, the socket is gone.
pub struct Daemon {
    state: Arc<State>,
    path: PathBuf,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    version: Mutex<Value>,
    containers: Mutex<Vec<(Value, Value)>>,
    stats: Mutex<HashMap<String, Value>>,
    faults: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<String>>,
    history: Mutex<Vec<Value>>,
    listeners: Mutex<Vec<UnboundedSender<Bytes>>>,
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Daemon {
    /// A daemon of version 26.1.5 without containers.
    pub fn start(path: &Path) -> Daemon {
        let state =
            State { version: Mutex::new(json!({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux"})), ..State::default() };
        Daemon::run(path, Arc::new(state))
    }

    /// Kills it; what it knew (containers, events, faults) is handed on to [`Daemon::again`].
    pub fn die(self) -> Remains {
        let remains = Remains { state: self.state.clone(), path: self.path.clone() };
        self.state.listeners.lock().unwrap().clear();
        remains
    }

    fn run(path: &Path, state: Arc<State>) -> Daemon {
        let listener = UnixListener::bind(path).unwrap();
        let serving = state.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else { return };
                let state = serving.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let state = state.clone();
                        async move { state.answer(request).await }
                    });
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Daemon { state, path: path.into(), task }
    }

    /// What `/version` says.
    pub fn version(&self, version: Value) {
        *self.state.version.lock().unwrap() = version;
    }

    /// Adds a container or takes its place: its row of the list, and its inspect.
    pub fn put(&self, row: Value, inspect: Value) {
        let mut containers = self.state.containers.lock().unwrap();
        containers.retain(|(old, _)| old["Id"] != row["Id"]);
        containers.push((row, inspect));
    }

    /// What its stats say.
    pub fn stats(&self, id: &str, stats: Value) {
        self.state.stats.lock().unwrap().insert(id.into(), stats);
    }

    /// Forgets one.
    pub fn remove(&self, id: &str) {
        self.state.containers.lock().unwrap().retain(|(row, _)| row["Id"] != id);
        self.state.stats.lock().unwrap().remove(id);
    }

    /// Lets every request whose path ends so go wrong, or right again.
    pub fn fault(&self, path_end: &str, fault: Option<Fault>) {
        let mut faults = self.state.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(path_end.into(), fault),
            None => faults.remove(path_end),
        };
    }

    /// An event happens.
    pub fn emit(&self, event: Value) {
        self.emit_bytes(format!("{event}\n").into());
        self.state.history.lock().unwrap().push(event);
    }

    /// Bytes on the open event streams.
    pub fn emit_bytes(&self, bytes: Bytes) {
        self.state.listeners.lock().unwrap().retain(|listener| listener.send(bytes.clone()).is_ok());
    }

    /// The event streams end; new ones may be opened.
    pub fn hang_up(&self) {
        self.state.listeners.lock().unwrap().clear();
    }

    /// What was asked since the last call, path and query.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A dead daemon.
pub struct Remains {
    state: Arc<State>,
    path: PathBuf,
}

impl Remains {
    /// It is started again.
    pub fn again(self) -> Daemon {
        Daemon::run(&self.path, self.state)
    }

    /// Something happened that nobody could listen to.
    pub fn unheard(&self, event: Value) {
        self.state.history.lock().unwrap().push(event);
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> std::io::Result<Response<Body>> {
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        self.asked.lock().unwrap().push(request.uri().to_string());
        let fault = self.faults.lock().unwrap().iter().find(|(end, _)| path.ends_with(end.as_str())).map(|(_, fault)| fault.clone());
        if matches!(fault, Some(Fault::Hang)) {
            return std::future::pending().await;
        }
        if path.ends_with("/events") && fault.is_none() {
            return Ok(self.events(&query));
        }
        let (status, body) = self.body(&path);
        let half = Bytes::from(body.as_bytes()[..body.len() / 2].to_vec());
        let forever = stream::pending::<Result<Bytes, std::io::Error>>();
        let response = Response::builder().status(status);
        Ok(match fault {
            None | Some(Fault::Hang) => response.body(once(body)),
            Some(Fault::Cut) => response.body(frames(stream::iter([Ok(half)]).boxed())),
            Some(Fault::HangMidAnswer) => response.body(frames(stream::iter([Ok(half)]).chain(forever).boxed())),
            Some(Fault::Close) => response.body(frames(stream::iter([Ok(half), Err(std::io::Error::other("closed"))]).boxed())),
            Some(Fault::Huge(size)) => {
                let piece = Bytes::from(vec![b' '; 64 << 10]);
                response.body(frames(stream::iter((0..size.div_ceil(64 << 10)).map(move |_| Ok(piece.clone()))).boxed()))
            }
            Some(Fault::Status(status, body)) => Response::builder().status(status).body(once(body)),
            Some(Fault::Body(body)) => response.body(once(body)),
        }
        .unwrap())
    }

    fn body(&self, path: &str) -> (u16, String) {
        let containers = self.containers.lock().unwrap();
        let path = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(path);
        match path {
            "/version" => (200, self.version.lock().unwrap().to_string()),
            "/info" => (200, json!({"DockerRootDir": "/var/lib/docker", "Containers": containers.len()}).to_string()),
            "/system/df" => (200, json!({"Volumes": null}).to_string()),
            "/_ping" => (200, "OK".into()),
            "/containers/json" => (200, Value::Array(containers.iter().map(|(row, _)| row.clone()).collect()).to_string()),
            _ => {
                if let Some(id) = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/stats")) {
                    let stats = self.stats.lock().unwrap().get(id).cloned();
                    return stats.map_or_else(|| (404, json!({"message": "No such container"}).to_string()), |stats| (200, stats.to_string()));
                }
                let id = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
                match containers.iter().find(|(row, _)| Some(row["Id"].as_str().unwrap_or_default()) == id) {
                    Some((_, inspect)) => (200, inspect.to_string()),
                    None => (404, json!({"message": "No such container"}).to_string()),
                }
            }
        }
    }

    /// What was heard since `since` (seconds.nanoseconds), then what comes.
    fn events(&self, query: &str) -> Response<Body> {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")).and_then(|since| since.replace('.', "").parse::<i64>().ok());
        let past = self.history.lock().unwrap().clone().into_iter().filter(move |event| since.is_some_and(|since| event["timeNano"].as_i64() >= Some(since)));
        let (sender, receiver) = unbounded_channel();
        for event in past {
            let _ = sender.send(Bytes::from(format!("{event}\n")));
        }
        self.listeners.lock().unwrap().push(sender);
        let coming = stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|bytes| (Ok(bytes), receiver)) });
        Response::new(frames(coming.boxed()))
    }
}

fn once(body: String) -> Body {
    http_body_util::Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed()
}

fn frames(pieces: BoxStream<'static, std::io::Result<Bytes>>) -> Body {
    BodyExt::boxed(StreamBody::new(SyncStream(Mutex::new(pieces)).map(|piece| piece.map(Frame::data))))
}

/// A body must be `Sync`; a stream behind a lock is.
struct SyncStream(Mutex<BoxStream<'static, std::io::Result<Bytes>>>);

impl futures_util::Stream for SyncStream {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        self.get_mut().0.get_mut().unwrap().poll_next_unpin(cx)
    }
}
