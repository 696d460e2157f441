//! The metadata services on a loopback port: the instance's, version 2, which hands out tokens and wants them back; a task's answers without one. Both can be silent
//! in every way.

// Included by several tests, each of which uses a part.
#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What it says to one path.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing, ever.
    Never,
    /// Only a status.
    Status(u16),
    /// 200 and this.
    Text(String),
}

/// The service of one spot instance; gone when dropped.
pub struct Service {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Service {
    /// A service where nothing is wrong.
    pub async fn start() -> Service {
        let document =
            r#"{"accountId": "111122223333", "region": "us-east-1", "instanceId": "i-1234567890abcdef0", "architecture": "x86_64", "kernelId": null}"#;
        let answers = [
            ("/latest/api/token", "AQAAAEXAMPLETOKEN=="),
            ("/latest/meta-data/instance-id", "i-1234567890abcdef0"),
            ("/latest/meta-data/instance-type", "m4.xlarge"),
            ("/latest/meta-data/placement/region", "us-east-1"),
            ("/latest/meta-data/placement/availability-zone", "us-east-1a"),
            ("/latest/meta-data/instance-life-cycle", "spot"),
            ("/latest/dynamic/instance-identity/document", document),
        ];
        let answers = answers.into_iter().map(|(path, text)| (path.to_owned(), Answer::Text(text.to_owned()))).collect();
        let state = Arc::new(State { answers: Mutex::new(answers), asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = state.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let state = serving.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let state = state.clone();
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Service { address, state, task }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes one answer.
    pub fn says(&self, path: &str, answer: Answer) {
        self.state.answers.lock().unwrap().insert(path.into(), answer);
    }

    /// What was asked since the last call: `PUT /latest/api/token`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        self.asked.lock().unwrap().push(format!("{} {path}", request.method()));
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let allowed = match *request.method() {
            Method::PUT => header("x-aws-ec2-metadata-token-ttl-seconds").as_deref() == Some("21600"),
            _ if !path.starts_with("/latest/") => true,
            _ => header("x-aws-ec2-metadata-token").is_some_and(|token| !token.is_empty()),
        };
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        let (status, text) = match answer {
            Some(Answer::Never) => std::future::pending().await,
            Some(Answer::Status(status)) => (status, String::new()),
            Some(Answer::Text(text)) if allowed => (200, text),
            None if allowed => (404, "<html>404 - Not Found</html>".into()),
            _ => (401, String::new()),
        };
        Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap()
    }
}
