//! The HTTP server: the last report as a page, as `/metrics` and as `/report.json`, and whether Tare is well. A request never starts a look.

mod access;
mod answer;
mod events;
mod guard;
mod negotiate;
mod page;
mod patient;
mod room;
mod scrape;
mod serve;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use collector::snapshot::Scope;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use crate::metrics::agent::Agent;
use crate::metrics::cadvisor::page::Cgroups;
use crate::metrics::choice::Choice;
use crate::metrics::frame::Frame;
use crate::metrics::node::page::Node;
use crate::report::Report;
use crate::sinks::discovery;
use crate::sinks::prometheus::encode_own;

pub use access::Settings;
pub use guard::Guard;
pub use serve::serve;

use answer::{Pieces, plain, typed};
use events::Events;
use guard::Visitor;
use page::Page;
use scrape::Scrape;

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
    guard: Guard,
    /// A report older than this is no longer "ready".
    stale: Option<Duration>,
    choice: Arc<Choice>,
    scrape: Scrape<Frame>,
    cadvisor: Scrape<Cgroups>,
    node: Scrape<Node>,
    json: Mutex<Made>,
    page: Page,
    events: Events,
}

/// Bytes made once of a report and shared by all who ask until the next one, so that many slow readers hold one copy.
#[derive(Default)]
struct Made {
    of: Option<Instant>,
    bytes: Bytes,
}

impl Site {
    /// `stale`: the age from which the last report no longer counts as ready; `None` for a replay.
    pub fn new(reports: watch::Receiver<Option<Published>>, agent: Arc<Agent>, settings: Settings, guard: Guard, stale: Option<Duration>) -> Site {
        let choice = Arc::default();
        let events = Events::of(reports.clone());
        let (scrape, cadvisor, node) = (Scrape::new(Frame::of(&choice)), Scrape::new(Cgroups::of(&choice)), Scrape::new(Node::of(&choice)));
        Site { reports, agent, settings, guard, stale, choice, scrape, cadvisor, node, json: Mutex::default(), page: Page::default(), events }
    }

    /// Tells only the metrics and labels that are wanted.
    pub fn choosing(self, choice: &Arc<Choice>) -> Site {
        let (scrape, cadvisor, node) = (Scrape::new(Frame::of(choice)), Scrape::new(Cgroups::of(choice)), Scrape::new(Node::of(choice)));
        Site { scrape, cadvisor, node, choice: Arc::clone(choice), ..self }
    }

    /// `on`: our own end of the connection.
    fn answer<B>(&self, request: &Request<B>, visitor: Visitor, on: IpAddr) -> Response<Pieces> {
        let path = request.uri().path();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => self.metrics(request.headers()),
            "/metrics/cadvisor" => self.cadvisor.answer(self.published().as_ref(), &self.agent, request.headers(), |_, _| {}),
            "/metrics/node" => self.node.answer(self.published().as_ref(), &self.agent, request.headers(), |_, _| {}),
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/report.json" => match self.settings.refusal(on, request, visitor) {
                None => self.report(),
                Some(refusal) => plain(StatusCode::FORBIDDEN, refusal),
            },
            "/sd" => match self.settings.refusal(on, request, visitor) {
                None => self.targets(),
                Some(refusal) => plain(StatusCode::FORBIDDEN, refusal),
            },
            "/" | "/workload" => match self.settings.refusal(on, request, visitor) {
                None => self.page(path, request.uri().query().unwrap_or_default(), request.headers()),
                Some(refusal) => plain(StatusCode::FORBIDDEN, refusal),
            },
            // One that listens is given its stream before it comes here.
            "/events" => match self.settings.refusal(on, request, visitor) {
                None => plain(StatusCode::SERVICE_UNAVAILABLE, "too many listen already\n"),
                Some(refusal) => plain(StatusCode::FORBIDDEN, refusal),
            },
            path => page::asset(path).unwrap_or_else(|| {
                plain(StatusCode::NOT_FOUND, "not here; tare serves /metrics, /metrics/cadvisor, /metrics/node, /report.json, /healthz and /readyz\n")
            }),
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Pieces> {
        self.scrape.answer(self.published().as_ref(), &self.agent, headers, |format, out| encode_own(&self.agent, &self.choice, format, out))
    }

    fn page(&self, path: &str, asked: &str, headers: &HeaderMap) -> Response<Pieces> {
        let Some(published) = self.published() else { return page::empty(StatusCode::SERVICE_UNAVAILABLE, "no report yet: the first look is under way") };
        // A page as it is is more use to whoever takes neither than a refusal.
        let coding = negotiate::coding(headers).unwrap_or(negotiate::Coding::Identity);
        self.page.view(path, asked, coding, &published).unwrap_or_else(|| page::empty(StatusCode::NOT_FOUND, "no such workload runs here now"))
    }

    /// The events for who may see the page; `None`: what `answer` says.
    fn events<B>(&self, request: &Request<B>, visitor: Visitor, on: IpAddr) -> Option<Response<events::Stream>> {
        let may = request.uri().path() == "/events" && *request.method() == Method::GET && self.settings.refusal(on, request, visitor).is_none();
        Some(answer::endless("text/event-stream", may.then(|| self.events.stream()).flatten()?))
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

    /// Where the Tares of the cluster are. What is not known must not look like none: of an error Prometheus keeps the list it has.
    fn targets(&self) -> Response<Pieces> {
        let report = self.published().map(|published| published.report);
        let ecs = report.as_ref().and_then(|report| report.ecs.as_deref());
        match ecs.and_then(discovery::targets) {
            Some(body) => typed(StatusCode::OK, "application/json", Pieces([body.into(), Bytes::new()])),
            None if report.is_some_and(|report| report.scope != Scope::Cluster) => {
                plain(StatusCode::NOT_FOUND, "this Tare looks at one machine and knows no others; one with scope = \"cluster\" does\n")
            }
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the tasks of the cluster are not known; tare doctor says why\n"),
        }
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
}

/// What says nothing but that Tare lives needs no password: load balancers and container runtimes have none to give.
fn open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::sample;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const OPEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

    fn site(expose: bool) -> Site {
        let settings = Settings { expose, hosts: vec!["tare.example.com".into()], config_file: None };
        Site::new(watch::channel(None).1, Arc::new(Agent::new()), settings, Guard::new(None).unwrap(), None)
    }

    fn get(site: &Site, path: &str, host: &str, on: IpAddr) -> StatusCode {
        let request = Request::builder().uri(path).header(header::HOST, host).body(()).unwrap();
        site.answer(&request, Visitor::Anyone, on).status()
    }

    #[test]
    fn an_open_address_serves_only_what_is_harmless_until_exposed() {
        let closed = site(false);
        for (path, status) in [("/metrics", 200), ("/healthz", 200), ("/readyz", 503), ("/report.json", 403), ("/sd", 403), ("/nowhere", 404)] {
            assert_eq!(get(&closed, path, "10.0.0.7:9464", OPEN), status, "{path}");
        }
        assert_eq!(["/report.json", "/sd"].map(|path| get(&site(true), path, "10.0.0.7:9464", OPEN)), [StatusCode::SERVICE_UNAVAILABLE; 2]);
        for loopback in [LOOPBACK, "::1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap()] {
            assert_eq!(get(&closed, "/report.json", "127.0.0.1:9464", loopback), 503, "who is on this machine may see it");
        }
    }

    #[test]
    fn a_foreign_host_header_does_not_see_the_report() {
        let site = site(false);
        for (host, status) in
            [("localhost:9464", 503), ("[::1]:9464", 503), ("tare.example.com", 503), ("evil.example.com", 403), ("", 403), ("localhost.evil.com", 403)]
        {
            assert_eq!(get(&site, "/report.json", host, LOOPBACK), status, "{host}");
        }
        assert_eq!(get(&site, "/metrics", "evil.example.com", LOOPBACK), 200);
    }

    #[test]
    fn all_who_ask_share_one_copy_and_rows_without_a_series_are_counted() {
        let mut report = sample::report();
        let twin = report.workloads.iter().find(|row| matches!(row.seen.about.key, collector::identity::Key::Task(_))).unwrap().clone();
        report.workloads.push(twin);
        let agent = Arc::new(Agent::new());
        let (publish, reports) = watch::channel(Some(Published { report: Arc::new(report), at: Instant::now() }));
        let settings = Settings { expose: false, hosts: Vec::new(), config_file: None };
        let site = Site::new(reports, Arc::clone(&agent), settings, Guard::new(None).unwrap(), None);
        for pieces in
            [|site: &Site| site.metrics(&HeaderMap::new()), Site::report].map(|ask| [ask(&site), ask(&site)].map(|answer| answer.into_body().0[0].clone()))
        {
            assert!(!pieces[0].is_empty() && pieces[0].as_ptr() == pieces[1].as_ptr());
        }
        let cut = |site: &Site| {
            let own = site.metrics(&HeaderMap::new()).into_body().0[1].to_vec();
            String::from_utf8(own).unwrap().lines().find_map(|line| line.strip_prefix("tare_agent_cut_total{reason=\"same_labels\"} ")?.parse::<u64>().ok())
        };
        let once = cut(&site);
        assert!(once > Some(0), "the twin's row and its containers'");
        publish.send_modify(|published| published.iter_mut().for_each(|published| published.at += Duration::from_secs(1)));
        assert_eq!(cut(&site), once, "what is still cut is not counted again");
    }

    #[test]
    fn who_has_said_who_they_are_may_see_the_report_anywhere() {
        let request = Request::builder().uri("/report.json").header(header::HOST, "evil.example.com").body(()).unwrap();
        for (visitor, status) in [(Visitor::Known, 503), (Visitor::Anyone, 403)] {
            assert_eq!(site(false).answer(&request, visitor, OPEN).status(), status);
        }
    }

    #[test]
    fn only_reading_is_allowed() {
        let request = Request::builder().method(Method::POST).uri("/metrics").body(()).unwrap();
        assert_eq!(site(false).answer(&request, Visitor::Anyone, LOOPBACK).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
