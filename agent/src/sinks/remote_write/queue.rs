//! Frames that wait to be sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::metrics::packed::Packed;

/// Hands out frames, the oldest first.
pub trait Queue: Send + Sync {
    /// The oldest frame that this sink has not done; the same one again until it has, unless it fell off meanwhile. Waits while there is none.
    fn next(&self, sink: &'static str) -> impl Future<Output = Arc<Packed>> + Send;

    /// The frame that was handed out last was taken, or refused for good.
    fn done(&self, sink: &'static str);

    /// A request of this sink got no answer, so nobody knows whether it was taken, and it is sent again.
    fn doubt(&self, _sink: &'static str) {}
}

/// A queue in memory for one sink.
pub struct Recent {
    most: usize,
    /// And whether the first one is handed out.
    frames: Mutex<(VecDeque<Arc<Packed>>, bool)>,
    more: Notify,
    fewer: Notify,
}

impl Recent {
    /// Keeps this many; the oldest fall off.
    pub fn new(most: usize) -> Recent {
        Recent { most, frames: Mutex::default(), more: Notify::new(), fewer: Notify::new() }
    }

    /// Adds a frame.
    pub fn push(&self, frame: Packed) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.0.len() == self.most {
            frames.0.pop_front();
            frames.1 = false;
        }
        frames.0.push_back(Arc::new(frame));
        drop(frames);
        self.more.notify_waiters();
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).0.len()
    }

    /// Waits until none does.
    pub async fn drained(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.waiting() == 0 {
                return;
            }
            fewer.await;
        }
    }

    fn first(&self) -> Option<Arc<Packed>> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.1 = !frames.0.is_empty();
        frames.0.front().cloned()
    }
}

impl Queue for Recent {
    async fn next(&self, _sink: &'static str) -> Arc<Packed> {
        loop {
            let more = self.more.notified();
            if let Some(frame) = self.first() {
                return frame;
            }
            more.await;
        }
    }

    fn done(&self, _sink: &'static str) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        // What fell off while it was being sent is not there any more.
        if std::mem::take(&mut frames.1) {
            frames.0.pop_front();
        }
        drop(frames);
        self.fewer.notify_waiters();
    }
}
