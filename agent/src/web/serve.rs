//! Accepts connections and answers on each, with a bound on everything: how many, how long their headers, how slow their readers.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::answer::{Pieces, Sent, plain};
use super::guard::Visitor;
use super::patient::Patient;
use super::room::{Place, Room, Seat, Served, Serving};
use super::{Site, open};

/// Connections served at once.
const CONNECTIONS: usize = 256;
/// Request line and headers of one request, in bytes.
const HEADERS: usize = 16 << 10;
/// For the TLS handshake and the headers of a request to arrive, and for its reader to take the next piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For open answers to end once we stop: a stop must not look like a hang.
const LAST: Duration = Duration::from_secs(2);

/// Serves until `stop` ends, then lets open answers finish for a while.
pub async fn serve(listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = ()>) {
    let room = Room::new(CONNECTIONS);
    let graceful = GracefulShutdown::new();
    // The page's charts need every report, also while nobody looks.
    let follower = tokio::spawn(follow(Arc::clone(&site)));
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let accepted = listener.accept().await;
            (room.place().await, accepted)
        };
        let (seat, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&site), seat, graceful.watcher()))),
            Err(problem) => {
                // Out of descriptors: waiting lets others be closed, a tight loop would not.
                tracing::warn!("a connection could not be accepted: {problem}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    follower.abort();
    site.events.end();
    let _ = tokio::time::timeout(LAST, graceful.shutdown()).await;
}

async fn follow(site: Arc<Site>) {
    let mut reports = site.reports.clone();
    reports.mark_changed();
    while reports.changed().await.is_ok() {
        if let Some(published) = &*reports.borrow_and_update() {
            site.page.add(published);
        }
    }
}

/// What a connection's answers need.
struct Here {
    site: Arc<Site>,
    place: Arc<Place>,
    /// Our end.
    on: IpAddr,
}

/// One connection, until it ends or another one needs its place.
async fn connection(stream: TcpStream, site: Arc<Site>, seat: Seat, watcher: Watcher) {
    // A connection that is gone already has no address.
    let Ok(on) = stream.local_addr() else { return };
    let stream = Patient::new(stream, PATIENCE);
    let here = Here { site, place: seat.place(), on: on.ip() };
    let talk = async {
        match here.site.guard.tls() {
            None => requests(stream, here, watcher).await,
            Some(tls) => match tokio::time::timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await {
                Ok(Ok(stream)) => requests(stream, here, watcher).await,
                Ok(Err(problem)) => tracing::debug!("a TLS handshake failed: {problem}"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    };
    tokio::select! {
        () = talk => {}
        () = seat.leave() => tracing::debug!("an idle connection made room"),
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, here: Here, watcher: Watcher) {
    let service = service_fn(|request: Request<Incoming>| answer(&here, request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEADERS);
    if let Err(problem) = watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!("a connection ended early: {problem}");
    }
}

async fn answer(Here { site, place, on }: &Here, request: Request<Incoming>) -> Result<Response<Served<Sent>>, Infallible> {
    let visitor = if open(request.uri().path()) { Visitor::Anyone } else { site.guard.judge(request.headers()).await };
    // Only now: whoever waits for a password to be checked makes room like one that is idle, so that guessers shut nobody out.
    let serving = Serving::at(place);
    let mut answer = match visitor {
        Visitor::Stranger => stranger().map(Sent::Pieces),
        visitor => match site.events(&request, visitor, *on) {
            Some(events) => events.map(Sent::Stream),
            None => site.answer(&request, visitor, *on).map(Sent::Pieces),
        },
    };
    answer.headers_mut().extend(site.guard.headers());
    site.agent.count_request(known(request.uri().path()), answer.status().as_u16());
    Ok(answer.map(|body| serving.until(body)))
}

/// Asks for a name and a password, as browsers and Prometheus know it.
fn stranger() -> Response<Pieces> {
    let mut answer = plain(StatusCode::UNAUTHORIZED, "unauthorized: give the password or token of the web config file\n");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tare\", charset=\"UTF-8\""));
    answer
}

/// The path as one of ours, so that strangers cannot make series.
fn known(path: &str) -> &'static str {
    [
        "/",
        "/workload",
        "/events",
        "/tare.css",
        "/tare.js",
        "/tare.svg",
        "/metrics",
        "/metrics/cadvisor",
        "/metrics/node",
        "/healthz",
        "/readyz",
        "/report.json",
        "/sd",
    ]
    .into_iter()
    .find(|known| *known == path)
    .unwrap_or("other")
}
