//! What is sent back: a status, the headers every answer has, and a body that many askers may share.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::events::Stream;

/// A short text of our own.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Pieces> {
    typed(status, "text/plain; charset=utf-8", Pieces([Bytes::from_static(text.as_bytes()), Bytes::new()]))
}

/// A body that comes as it is made.
pub(super) fn endless(kind: &'static str, body: Stream) -> Response<Stream> {
    headed(StatusCode::OK, kind, body)
}

/// A body of this content type.
pub(super) fn typed(status: StatusCode, kind: &'static str, body: Pieces) -> Response<Pieces> {
    headed(status, kind, body)
}

fn headed<B>(status: StatusCode, kind: &'static str, body: B) -> Response<B> {
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
pub(super) struct Pieces(pub(super) [Bytes; 2]);

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

/// What a connection is given to send.
pub(super) enum Sent {
    Pieces(Pieces),
    Stream(Stream),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Sent::Pieces(pieces) => Pin::new(pieces).poll_frame(context),
            Sent::Stream(stream) => Pin::new(stream).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Sent::Pieces(pieces) if pieces.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Pieces(pieces) => pieces.size_hint(),
            Sent::Stream(_) => SizeHint::default(),
        }
    }
}
