//! Suspends the idle clock of a session until a response body ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::trailers;
use crate::session::InFlight;

/// A response body that keeps its session in use until it ends.
#[derive(Debug)]
pub(crate) struct InFlightBody {
    body: Body,
    /// `None` once the body has ended.
    in_flight: Option<InFlight>,
}

impl InFlightBody {
    pub(crate) fn new(body: Body, in_flight: InFlight) -> Self {
        let in_flight = (!body.is_end_stream()).then(|| in_flight.into_body());
        Self { body, in_flight }
    }
}

impl HttpBody for InFlightBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, in_flight } = &mut *self;
        let Some(live) = in_flight else {
            return Poll::Ready(None);
        };
        let mut polled = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut polled {
            trailers::strip(frame);
            if frame.is_data() {
                live.carried();
            }
        }
        // The consumer may not poll again.
        if !matches!(polled, Some(Ok(_))) || body.is_end_stream() {
            *in_flight = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.in_flight.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.in_flight {
            Some(_) => self.body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
