//! Places for connections. When all are taken, the one that has been idle longest makes room: whoever opens many and sends nothing shuts nobody out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

/// So many connections and no more.
pub(super) struct Room {
    most: usize,
    /// In the order in which they came or last did something.
    taken: Mutex<VecDeque<Arc<Place>>>,
    /// A place was given back.
    freed: Notify,
}

/// The place of one connection.
#[derive(Default)]
pub(super) struct Place {
    /// Answers under way.
    serving: AtomicUsize,
    leave: Notify,
}

impl Room {
    pub(super) fn new(most: usize) -> Arc<Room> {
        Arc::new(Room { most, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place, at the cost of the longest idle connection where none is free; waits only while every connection is being answered.
    pub(super) async fn place(self: &Arc<Self>) -> Seat {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.take() {
                return Seat { room: Arc::clone(self), place };
            }
            freed.await;
        }
    }

    fn take(&self) -> Option<Arc<Place>> {
        let mut taken = self.taken();
        if taken.len() >= self.most {
            let idle = taken.iter().position(|place| place.serving.load(Ordering::Relaxed) == 0)?;
            taken.remove(idle)?.leave.notify_one();
        }
        let place = Arc::new(Place::default());
        taken.push_back(Arc::clone(&place));
        Some(place)
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, place: &Arc<Place>) {
        self.taken().retain(|taken| !Arc::ptr_eq(taken, place));
        self.freed.notify_waiters();
    }
}

/// A place that is given back when its connection ends.
pub(super) struct Seat {
    room: Arc<Room>,
    place: Arc<Place>,
}

impl Seat {
    /// Ends when somebody else needs the place.
    pub(super) async fn leave(&self) {
        self.place.leave.notified().await;
    }

    /// For the connection's answers.
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.give_back(&self.place);
    }
}

/// While it lives its connection is not idle.
pub(super) struct Serving(Arc<Place>);

impl Serving {
    pub(super) fn at(place: &Arc<Place>) -> Serving {
        place.serving.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(place))
    }

    /// Until this body has been taken by the connection.
    pub(super) fn until<B>(self, body: B) -> Served<B> {
        Served { body, _serving: self }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose connection is not idle while it lasts.
pub(super) struct Served<B> {
    body: B,
    _serving: Serving,
}

impl<B: Body + Unpin> Body for Served<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_longest_idle_one_makes_room_and_one_that_is_answered_stays() {
        let room = Room::new(2);
        let (first, second) = (room.place().await, room.place().await);
        let answer = Serving::at(&first.place());
        let third = room.place().await;
        assert!(second.leave().now_or_never().is_some(), "idle");
        assert!(first.leave().now_or_never().is_none() && third.leave().now_or_never().is_none());
        drop(second);
        assert_eq!(room.taken().len(), 2, "the place of the one that left was given away already");
        let answer_too = Serving::at(&third.place());
        let mut fourth = std::pin::pin!(room.place());
        assert!(fourth.as_mut().now_or_never().is_none(), "all are being answered");
        drop((third, answer_too));
        fourth.await;
        drop((first, answer));
        assert!(room.taken().is_empty());
    }
}
