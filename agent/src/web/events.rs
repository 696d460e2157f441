//! Server-sent events (WHATWG HTML, 9.2): one for each report, so that an open page knows when to ask anew. They carry no figures.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Published;

/// Pages that listen at once; more are told to come later.
const LISTENERS: usize = 64;
/// Without a report for so long a comment goes out: proxies end what is silent, and a reader that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Hands out streams of events.
pub(super) struct Events {
    reports: watch::Receiver<Option<Published>>,
    room: Arc<Semaphore>,
    /// Becomes true when the server ends.
    ended: watch::Sender<bool>,
}

impl Events {
    pub(super) fn of(reports: watch::Receiver<Option<Published>>) -> Events {
        Events { reports, room: Arc::new(Semaphore::new(LISTENERS)), ended: watch::Sender::new(false) }
    }

    /// A stream of its own, beginning with the report that is there; `None`: too many listen already.
    pub(super) fn stream(&self) -> Option<Stream> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let mut reports = self.reports.clone();
        reports.mark_changed();
        Some(Stream { next: Box::pin(next(reports, self.ended.subscribe())), _permit: permit })
    }

    /// Ends all streams.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// The events of one listener. It holds one event at most: who reads slowly gets the newest.
pub(super) struct Stream {
    next: Pin<Box<dyn Future<Output = Option<Event>> + Send>>,
    _permit: OwnedSemaphorePermit,
}

struct Event {
    text: Bytes,
    reports: watch::Receiver<Option<Published>>,
    ended: watch::Receiver<bool>,
}

async fn next(mut reports: watch::Receiver<Option<Published>>, mut ended: watch::Receiver<bool>) -> Option<Event> {
    let text = tokio::select! {
        _ = ended.wait_for(|ended| *ended) => return None,
        changed = reports.changed() => {
            changed.ok()?;
            let at = reports.borrow_and_update().as_ref().and_then(|published| published.report.at.wall);
            Bytes::from(format!("event: report\ndata: {}\n\n", at.map(|at| at.to_string()).unwrap_or_default()))
        }
        () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b": nothing new\n\n"),
    };
    Some(Event { text, reports, ended })
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = std::task::ready!(self.next.as_mut().poll(context));
        Poll::Ready(event.map(|Event { text, reports, ended }| {
            self.next = Box::pin(next(reports, ended));
            Ok(Frame::data(text))
        }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use std::time::Instant;

    use super::*;
    use crate::sample;

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_of_the_report_that_is_there_of_each_new_one_and_of_the_end() {
        let published = || Some(Published { report: Arc::new(sample::report()), at: Instant::now() });
        let (publish, reports) = watch::channel(published());
        let events = Events::of(reports);
        let mut stream = events.stream().unwrap();
        let said = async |stream: &mut Stream| String::from_utf8(stream.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap();
        assert_eq!(said(&mut stream).await, "event: report\ndata: 2026-09-14T14:37:00Z\n\n");
        assert_eq!(said(&mut stream).await, ": nothing new\n\n");
        // Two while nobody read are one.
        publish.send_replace(published());
        publish.send_replace(published());
        assert!(said(&mut stream).await.starts_with("event: report"));
        assert_eq!(said(&mut stream).await, ": nothing new\n\n");
        events.end();
        assert!(stream.frame().await.is_none());
    }

    #[tokio::test]
    async fn so_many_listen_and_no_more() {
        let events = Events::of(watch::channel(None).1);
        let mut all: Vec<Stream> = (0..LISTENERS).map(|_| events.stream().unwrap()).collect();
        assert!(events.stream().is_none());
        all.pop();
        assert!(events.stream().is_some(), "a place is free again");
    }
}
