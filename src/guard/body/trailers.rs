//! Removes the inner session id from the trailers of an answer (contract §4.4).

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::guard::answer::head::AnswerFlags;
use crate::protocol::headers::SESSION_ID;

/// Removes the session id from a frame of trailers.
#[inline]
pub(crate) fn strip(frame: &mut Frame<Bytes>) {
    if let Some(trailers) = frame.trailers_mut() {
        trailers.remove(&SESSION_ID);
    }
}

/// Returns whether trailers of this body can reach a client with this HTTP version. On HTTP/1, hyper sends
/// no trailers after a body of known length, and none that the head does not announce.
#[inline]
pub(crate) fn may_follow(body: &Body, flags: AnswerFlags, version: Version) -> bool {
    version > Version::HTTP_11 || flags.has_trailer || body.size_hint().exact().is_none()
}

/// Wraps a body, so that its trailers name no session.
pub(crate) fn without_session_id(body: Body) -> Body {
    match body.is_end_stream() {
        true => body,
        false => Body::new(Stripped(body)),
    }
}

struct Stripped(Body);

impl HttpBody for Stripped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut polled = Pin::new(&mut self.0).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled {
            strip(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
