//! Accepts connections and answers on each, with a bound on everything: how many, how long their headers, how slow their readers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Site;
use super::patient::Patient;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Request line and headers of one request, in bytes.
const HEADERS: usize = 16 << 10;
/// For the headers of a request to arrive, and for its reader to take the next piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For open answers to end once we stop: a stop must not look like a hang.
const LAST: Duration = Duration::from_secs(2);

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
