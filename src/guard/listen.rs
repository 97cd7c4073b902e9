//! `subscriptions/listen` streams of the modern era: they have no session, so they are counted here
//! (contract §6).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// One open stream; given back on drop.
#[derive(Debug)]
pub(crate) struct Listener(Arc<AtomicUsize>);

impl Listener {
    /// `None` beyond the limit.
    pub(crate) fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        open.fetch_update(AcqRel, Acquire, |open| (open < MOST).then_some(open + 1))
            .ok()?;
        Some(Self(open.clone()))
    }

    /// Counts the stream as long as its body is open.
    pub(crate) fn hold(self, body: Body) -> Body {
        Body::new(Held {
            body,
            _listener: self,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

struct Held {
    body: Body,
    _listener: Listener,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

const MOST: usize = 1024;
