//! The HTTP server: the last report as `/metrics` and `/report.json`, and whether Tare is well. A request never starts a look.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::metrics::agent::Agent;
use crate::metrics::frame::Frame;
use crate::report::Report;
use crate::sinks::prometheus;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Request line and headers of one request, in bytes.
const HEADERS: usize = 16 << 10;
/// For the headers to arrive, and for open answers to end once we stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who may see what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Serve the report on an address that others can reach.
    pub expose: bool,
    /// Host headers to accept for the report, beside loopback names and the listening address.
    pub hosts: Vec<String>,
}

/// A report and the moment it was made.
#[derive(Clone)]
pub struct Published {
    /// The report.
    pub report: Arc<Report>,
    /// When it was made.
    pub at: Instant,
}

/// What the server serves.
pub struct Site {
    reports: watch::Receiver<Option<Published>>,
    agent: Arc<Agent>,
    settings: Settings,
    address: SocketAddr,
    /// A report older than this is no longer "ready".
    stale: Option<Duration>,
    text: Mutex<Text>,
}

/// The last report as text, made once and shared by all scrapes until the next report.
struct Text {
    of: Option<Instant>,
    frame: Frame,
    text: Bytes,
}

impl Site {
    /// A site on `address`. `stale`: the age from which the last report no longer counts as ready; `None` for a replay.
    pub fn new(reports: watch::Receiver<Option<Published>>, agent: Arc<Agent>, settings: Settings, address: SocketAddr, stale: Option<Duration>) -> Site {
        Site { reports, agent, settings, address, stale, text: Mutex::new(Text { of: None, frame: Frame::new(), text: Bytes::new() }) }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/report.json" => match self.refusal(request) {
                None => self.report(),
                Some(refusal) => plain(StatusCode::FORBIDDEN, refusal),
            },
            "/" => plain(StatusCode::OK, "tare serves /metrics, /report.json, /healthz and /readyz\n"),
            _ => plain(StatusCode::NOT_FOUND, "not here; tare serves /metrics, /report.json, /healthz and /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = Vec::new();
        if let Some(published) = self.published() {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            if text.of != Some(published.at) {
                let Text { of, frame, text } = &mut *text;
                frame.fill(&published.report);
                let mut encoded = Vec::with_capacity(text.len() + text.len() / 8);
                prometheus::encode(frame, &mut encoded);
                (*of, *text) = (Some(published.at), encoded.into());
            }
            body.extend_from_slice(&text.text);
        }
        self.agent.gather(&mut body);
        typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
    }

    fn report(&self) -> Response<Full<Bytes>> {
        let Some(published) = self.published() else { return plain(StatusCode::SERVICE_UNAVAILABLE, "no report yet\n") };
        match serde_json::to_vec(&*published.report) {
            Ok(body) => typed(StatusCode::OK, "application/json", body),
            Err(problem) => {
                tracing::error!("the report cannot be written as JSON: {problem}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be written as JSON\n")
            }
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        match self.published() {
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "no report yet\n"),
            Some(published) if self.stale.is_some_and(|stale| published.at.elapsed() > stale) => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "the last report is old: looking takes too long\n")
            }
            Some(_) => plain(StatusCode::OK, "ready\n"),
        }
    }

    fn published(&self) -> Option<Published> {
        self.reports.borrow().clone()
    }

    /// Why this request may not see the report. The Host header is checked so that a web page elsewhere cannot read it by DNS rebinding.
    fn refusal<B>(&self, request: &Request<B>) -> Option<&'static str> {
        if !self.address.ip().is_loopback() && !self.settings.expose {
            return Some("this address is open to others and the report is not exposed: set web.expose = true, or listen on 127.0.0.1\n");
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        (!self.knows(host)).then_some("unknown Host header: add the name to web.hosts\n")
    }

    fn knows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<std::net::IpAddr>().is_ok();
        literal || name.eq_ignore_ascii_case("localhost") || self.settings.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Serves until `stop` ends, then lets open answers finish for a while.
pub async fn serve(listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(problem) => {
                // Out of descriptors: waiting lets others be closed, a tight loop would not.
                tracing::warn!("a connection could not be accepted: {problem}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = site.answer(&request);
            site.agent.count_request(known(request.uri().path()), answer.status().as_u16());
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEADERS).serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(problem) = connection.await {
                tracing::debug!("a connection ended early: {problem}");
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(PATIENCE, graceful.shutdown()).await;
}

/// The path as one of ours, so that strangers cannot make series.
fn known(path: &str) -> &'static str {
    ["/", "/metrics", "/healthz", "/readyz", "/report.json"].into_iter().find(|known| *known == path).unwrap_or("other")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // `tare doctor` knows a running Tare by it.
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("tare/", env!("CARGO_PKG_VERSION"))));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(address: &str, expose: bool) -> Site {
        let settings = Settings { expose, hosts: vec!["tare.example.com".into()] };
        Site::new(watch::channel(None).1, Arc::new(Agent::new()), settings, address.parse().unwrap(), None)
    }

    fn get(site: &Site, path: &str, host: &str) -> StatusCode {
        let request = Request::builder().uri(path).header(header::HOST, host).body(()).unwrap();
        site.answer(&request).status()
    }

    #[test]
    fn an_open_address_serves_only_what_is_harmless_until_exposed() {
        let closed = site("0.0.0.0:9464", false);
        for (path, status) in [("/metrics", 200), ("/healthz", 200), ("/readyz", 503), ("/report.json", 403), ("/nowhere", 404)] {
            assert_eq!(get(&closed, path, "10.0.0.7:9464"), status, "{path}");
        }
        assert_eq!(get(&site("0.0.0.0:9464", true), "/report.json", "10.0.0.7:9464"), 503);
        assert_eq!(get(&site("127.0.0.1:9464", false), "/report.json", "127.0.0.1:9464"), 503);
    }

    #[test]
    fn a_foreign_host_header_does_not_see_the_report() {
        let site = site("127.0.0.1:9464", false);
        for (host, status) in
            [("localhost:9464", 503), ("[::1]:9464", 503), ("tare.example.com", 503), ("evil.example.com", 403), ("", 403), ("localhost.evil.com", 403)]
        {
            assert_eq!(get(&site, "/report.json", host), status, "{host}");
        }
        assert_eq!(get(&site, "/metrics", "evil.example.com"), 200);
    }

    #[test]
    fn only_reading_is_allowed() {
        let request = Request::builder().method(Method::POST).uri("/metrics").body(()).unwrap();
        assert_eq!(site("127.0.0.1:1", false).answer(&request).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
