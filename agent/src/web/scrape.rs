//! The last report as Prometheus text: encoded once, shared by all scrapers until the next report.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{Made, Published};
use crate::metrics::agent::Agent;
use crate::metrics::frame::Frame;
use crate::sinks::prometheus;

/// Holds the frame, and the text of the last report.
pub(super) struct Scrape(Mutex<Inner>);

struct Inner {
    frame: Frame,
    /// Rows of the last frame without a series.
    cut: usize,
    made: Made,
}

impl Scrape {
    pub(super) fn new() -> Scrape {
        Scrape(Mutex::new(Inner { frame: Frame::new(), cut: 0, made: Made::default() }))
    }

    /// The report's text; rows that have no series are counted once.
    pub(super) fn text(&self, published: &Published, agent: &Agent) -> Bytes {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { frame, cut, made } = &mut *inner;
        if made.of != Some(published.at) {
            frame.fill(&published.report);
            agent.count_cut("same_labels", frame.cut().saturating_sub(*cut) as u64);
            *cut = frame.cut();
            let mut encoded = Vec::with_capacity(made.bytes.len() + made.bytes.len() / 8);
            prometheus::encode(frame, &mut encoded);
            *made = Made { of: Some(published.at), bytes: encoded.into() };
        }
        made.bytes.clone()
    }
}
