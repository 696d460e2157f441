//! The HTTP server: the last report as `/metrics` and `/report.json`, and whether Tare is well. A request never starts a look.

mod patient;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Incoming, SizeHint};
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

use patient::Patient;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Request line and headers of one request, in bytes.
const HEADERS: usize = 16 << 10;
/// For the headers of a request to arrive, and for its reader to take the next piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For open answers to end once we stop: a stop must not look like a hang.
const LAST: Duration = Duration::from_secs(2);

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
    metrics: Mutex<Metrics>,
    json: Mutex<Made>,
}

/// Bytes made once of a report and shared by all who ask until the next one, so that many slow readers hold one copy.
#[derive(Default)]
struct Made {
    of: Option<Instant>,
    bytes: Bytes,
}

/// The last report as Prometheus text.
struct Metrics {
    frame: Frame,
    /// Rows of the last frame without a series.
    cut: usize,
    made: Made,
}

impl Site {
    /// A site on `address`. `stale`: the age from which the last report no longer counts as ready; `None` for a replay.
    pub fn new(reports: watch::Receiver<Option<Published>>, agent: Arc<Agent>, settings: Settings, address: SocketAddr, stale: Option<Duration>) -> Site {
        let metrics = Mutex::new(Metrics { frame: Frame::new(), cut: 0, made: Made::default() });
        Site { reports, agent, settings, address, stale, metrics, json: Mutex::default() }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Pieces> {
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

    fn metrics(&self) -> Response<Pieces> {
        let report = self.published().map_or_else(Bytes::new, |published| self.encoded(&published));
        let mut own = Vec::new();
        self.agent.gather(&mut own);
        typed(StatusCode::OK, prometheus::CONTENT_TYPE, Pieces([report, own.into()]))
    }

    fn encoded(&self, published: &Published) -> Bytes {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let Metrics { frame, cut, made } = &mut *metrics;
        if made.of != Some(published.at) {
            frame.fill(&published.report);
            self.agent.count_cut("same_labels", frame.cut().saturating_sub(*cut) as u64);
            *cut = frame.cut();
            let mut encoded = Vec::with_capacity(made.bytes.len() + made.bytes.len() / 8);
            prometheus::encode(frame, &mut encoded);
            *made = Made { of: Some(published.at), bytes: encoded.into() };
        }
        made.bytes.clone()
    }

    fn report(&self) -> Response<Pieces> {
        let Some(published) = self.published() else { return plain(StatusCode::SERVICE_UNAVAILABLE, "no report yet\n") };
        let mut made = self.json.lock().unwrap_or_else(PoisonError::into_inner);
        if made.of != Some(published.at) {
            match serde_json::to_vec(&*published.report) {
                Ok(body) => *made = Made { of: Some(published.at), bytes: body.into() },
                Err(problem) => {
                    tracing::error!("the report cannot be written as JSON: {problem}");
                    return plain(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be written as JSON\n");
                }
            }
        }
        typed(StatusCode::OK, "application/json", Pieces([made.bytes.clone(), Bytes::new()]))
    }

    fn ready(&self) -> Response<Pieces> {
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
        let stream = TokioIo::new(Patient::new(stream, PATIENCE));
        let site = Arc::clone(&site);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = site.answer(&request);
            site.agent.count_request(known(request.uri().path()), answer.status().as_u16());
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEADERS).serve_connection(stream, service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(problem) = connection.await {
                tracing::debug!("a connection ended early: {problem}");
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST, graceful.shutdown()).await;
}

/// The path as one of ours, so that strangers cannot make series.
fn known(path: &str) -> &'static str {
    ["/", "/metrics", "/healthz", "/readyz", "/report.json"].into_iter().find(|known| *known == path).unwrap_or("other")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Pieces> {
    typed(status, "text/plain; charset=utf-8", Pieces([Bytes::from_static(text.as_bytes()), Bytes::new()]))
}

fn typed(status: StatusCode, kind: &'static str, body: Pieces) -> Response<Pieces> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // `tare doctor` knows a running Tare by it.
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("tare/", env!("CARGO_PKG_VERSION"))));
    answer
}

/// A body of two pieces: what all askers share, and what was made for this one. Sent in this order, neither is copied.
struct Pieces([Bytes; 2]);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        let next = self.0.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
        Poll::Ready(next.map(|piece| Ok(hyper::body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

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
    fn all_who_ask_share_one_copy_and_rows_without_a_series_are_counted() {
        let mut report = sample::report();
        let twin = report.workloads.iter().find(|row| matches!(row.seen.about.key, collector::identity::Key::Task(_))).unwrap().clone();
        report.workloads.push(twin);
        let agent = Arc::new(Agent::new());
        let (publish, reports) = watch::channel(Some(Published { report: Arc::new(report), at: Instant::now() }));
        let settings = Settings { expose: false, hosts: Vec::new() };
        let site = Site::new(reports, Arc::clone(&agent), settings, "127.0.0.1:1".parse().unwrap(), None);
        for pieces in [Site::metrics, Site::report].map(|ask| [ask(&site), ask(&site)].map(|answer| answer.into_body().0[0].clone())) {
            assert!(!pieces[0].is_empty() && pieces[0].as_ptr() == pieces[1].as_ptr());
        }
        let cut = |site: &Site| {
            let own = site.metrics().into_body().0[1].to_vec();
            String::from_utf8(own).unwrap().lines().find_map(|line| line.strip_prefix("tare_agent_cut_total{reason=\"same_labels\"} ")?.parse::<u64>().ok())
        };
        let once = cut(&site);
        assert!(once > Some(0), "the twin's row and its containers'");
        publish.send_modify(|published| published.iter_mut().for_each(|published| published.at += Duration::from_secs(1)));
        assert_eq!(cut(&site), once, "what is still cut is not counted again");
    }

    #[test]
    fn only_reading_is_allowed() {
        let request = Request::builder().method(Method::POST).uri("/metrics").body(()).unwrap();
        assert_eq!(site("127.0.0.1:1", false).answer(&request).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
