//! Processes the answer to a sessionless message (contract §6, §5 "Drain"). No session ends its event
//! stream, but a drain does. The guard counts `subscriptions/listen` streams.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

use axum::body::Body;
use http::{Response, Version};

use crate::extract::McpMessage;
use crate::guard::answer::head::AnswerHead;
use crate::guard::body::boxed;
use crate::guard::body::endable::{EndableStream, StreamEnd};
use crate::guard::body::trailers;
use crate::guard::pass_on::PassOn;
use crate::promises::MAX_LISTENERS;
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Drain, TaskToken};
use crate::sync::Notify;

/// A sessionless message that the inner service is answering.
#[derive(Debug)]
pub(crate) struct ModernCall {
    /// The id of a request, for the last event of its stream. `None` for other messages, and for
    /// `subscriptions/listen`, whose clients need no last event.
    request: Option<InlineBytes>,
    listener: Option<Listener>,
    drain: Arc<Drain>,
    /// Makes a drain wait for the call.
    token: TaskToken,
    version: Version,
}

impl ModernCall {
    pub(crate) fn new(
        message: &McpMessage,
        listener: Option<Listener>,
        drain: Arc<Drain>,
        version: Version,
    ) -> Self {
        let request = message.request_id().filter(|_| listener.is_none());
        Self {
            request: request.cloned(),
            listener,
            token: drain.calls().start(),
            drain,
            version,
        }
    }
}

impl PassOn for ModernCall {
    /// Passes the answer on without a session header. An event stream ends with the drain.
    fn pass(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let flags = AnswerHead::read(&parts.headers).flags;
        if flags.has_session_id {
            parts.headers.remove(&SESSION_ID);
        }
        if !flags.may_end_early(&body) {
            let body = match trailers::may_follow(&body, flags, self.version) {
                true => trailers::without_session_id(body),
                false => body,
            };
            return Response::from_parts(parts, body);
        }
        let end = DrainEnd {
            request: self.request.filter(|_| !flags.is_encoded),
            drain: self.drain,
            _token: self.token,
            _listener: self.listener,
        };
        Response::from_parts(parts, boxed(EndableStream::new(body, end)))
    }
}

/// One open `subscriptions/listen` stream. Frees its place on drop.
#[derive(Debug)]
pub(crate) struct Listener(Arc<AtomicUsize>);

impl Listener {
    /// Counts a new stream. Returns `None` if the limit is reached.
    pub(crate) fn acquire(open: &Arc<AtomicUsize>) -> Option<Self> {
        open.fetch_update(AcqRel, Acquire, |open| {
            (open < MAX_LISTENERS).then_some(open + 1)
        })
        .ok()?;
        Some(Self(open.clone()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Ends an event stream with the drain.
struct DrainEnd {
    request: Option<InlineBytes>,
    drain: Arc<Drain>,
    _token: TaskToken,
    _listener: Option<Listener>,
}

impl StreamEnd for DrainEnd {
    fn is_due(&self) -> bool {
        self.drain.is_over()
    }

    fn changed(&self) -> Arc<Notify> {
        self.drain.over()
    }

    fn last_event(&self) -> Option<Refusal> {
        let id = self.request.as_ref()?.as_bytes();
        Some(Refusal::for_message(RefusalReason::Draining, Some(id)))
    }

    fn on_data(&self) {}

    fn withholds_end(&self) -> bool {
        false
    }
}
