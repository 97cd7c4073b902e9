//! The body of a JSON answer to `initialize`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::session::{EndReason, InFlight};

/// The body of a JSON answer to `initialize`. Ends the session if the client does not take it.
#[derive(Debug)]
pub(super) struct OpeningBody {
    /// `None` once the client has taken it.
    answer: Option<(Bytes, InFlight)>,
}

impl OpeningBody {
    pub(super) fn new(data: Bytes, in_flight: InFlight) -> Self {
        Self {
            answer: Some((data, in_flight)),
        }
    }
}

impl Body for OpeningBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((data, in_flight)) = self.answer.take() else {
            return Poll::Ready(None);
        };
        in_flight.carried();
        in_flight.entry().confirm();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.answer.as_ref().map_or(0, |(data, _)| data.len());
        SizeHint::with_exact(left as u64)
    }
}

impl Drop for OpeningBody {
    fn drop(&mut self) {
        if let Some((_, in_flight)) = &self.answer {
            in_flight.entry().leave(EndReason::Abandoned);
        }
    }
}
