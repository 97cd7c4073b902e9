//! `initialize` (contract §4): the inner service is asked, and its *answer* decides whether a
//! session opens.
//!
//! A [`Slot`] is held meanwhile: whatever happens to this future, the place is free again.

mod asked;
mod body;
mod client;
mod stream;

use std::future::{Future, poll_fn};
use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::Body as HttpBody;

use self::asked::{Asked, Outcome, keep_version};
use self::body::OpeningBody;
pub(crate) use self::client::client;
use self::stream::OpeningStream;
use super::answer::head::{AnswerFlags, AnswerHead};
use super::body::boxed;
use super::body::trailers::without_session_id;
use super::body_reader::BodyReader;
use super::until_ended::{Waiting, until_ended};
use crate::extract::McpMessage;
use crate::promises::{MAX_OPENING, OPENING_TIMEOUT};
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{Entry, InnerDelete, Phase, Slot};
use crate::sessions::Sessions;

/// An `initialize` that the inner service is answering.
pub(crate) struct Opening {
    slot: Slot,
    sessions: Sessions,
    request: Asked,
    /// For an inner service that keeps a session of its own.
    inner_delete: Option<InnerDelete>,
    report_only: bool,
}

impl Waiting for Opening {
    fn entry(&self) -> &Arc<Entry> {
        self.slot.entry()
    }

    /// Whether the session was ended before it opened.
    fn is_over(&self) -> bool {
        self.entry().end_reason().is_some()
    }
}

impl Opening {
    pub(crate) fn new(
        slot: Slot,
        sessions: Sessions,
        message: &McpMessage,
        version: Version,
        inner_delete: Option<InnerDelete>,
        report_only: bool,
    ) -> Self {
        let null = || InlineBytes::new(b"null");
        let id = message.request_id().cloned().unwrap_or_else(null);
        Self {
            slot,
            sessions,
            request: Asked { id, version },
            inner_delete,
            report_only,
        }
    }

    /// The answer where nobody waits for the inner service's any more.
    pub(crate) fn ended(&self) -> Response<Body> {
        let entry = self.slot.entry();
        self.request.refuse(RefusalReason::SessionEnded, entry)
    }

    /// Waits for the inner service's answer and judges it: a result opens the session, anything else is
    /// passed on without one.
    pub(crate) async fn conclude<F, B, E>(mut self, answer: F) -> Result<Response<Body>, E>
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let response = match until_ended(answer, &mut self).await {
            Some(answer) => answer?,
            None => return Ok(self.ended()),
        };
        // Nobody waits for the session's end any more.
        self.entry().extras.tidy();
        let (mut parts, body) = response.map(Body::new).into_parts();
        let head = AnswerHead::read(&parts.headers);
        let (flags, is_json) = (head.flags, head.is_of("application/json"));
        let is_usable = self.keep_inner(&mut parts, flags);
        let opens_none = !parts.status.is_success()
            || !(is_json || flags.is_event_stream)
            || body.is_end_stream();
        Ok(match () {
            () if !is_usable => self.refuse(RefusalReason::UnusableAnswer, parts, body),
            () if opens_none => self.pass(parts, body, is_json),
            () if flags.is_encoded => self.refuse(RefusalReason::UnusableAnswer, parts, body),
            () if flags.is_event_stream => self.conclude_stream(parts, body, flags),
            () => {
                let mut reader = BodyReader::of_answer(body, MAX_OPENING, OPENING_TIMEOUT);
                let read = poll_fn(|cx| reader.poll_read(cx)).await;
                match self.judge(parts, read) {
                    // It is given once the store has the session that it opens.
                    Ok((parts, body)) => match self.sessions.keep(self.entry()).await {
                        Ok(()) => self.open(parts, body),
                        Err(unavailable) => {
                            self.refuse(unavailable.into(), parts, Body::from(body))
                        }
                    },
                    Err(response) => *response,
                }
            }
        })
    }

    /// An answer that opens no session passes.
    fn pass(self, parts: Parts, body: Body, is_json: bool) -> Response<Body> {
        if parts.status.is_success() && is_json {
            self.opened_none("its body is empty");
        }
        Response::from_parts(parts, without_session_id(body))
    }

    /// Judges a JSON answer by its body: it opens the session, or another answer is given instead.
    fn judge(
        &self,
        parts: Parts,
        read: Result<Bytes, RefusalReason>,
    ) -> Result<(Parts, Bytes), Box<Response<Body>>> {
        let entry = self.slot.entry();
        let Ok(body) = read else {
            let refusal = self.request.refuse(RefusalReason::UnusableAnswer, entry);
            return Err(Box::new(refusal));
        };
        // A mark that clients skip.
        match self
            .request
            .outcome(body.strip_prefix(BOM).unwrap_or(&body))
        {
            Outcome::Result(protocol_version) => {
                keep_version(entry, protocol_version);
                return Ok((parts, body));
            }
            Outcome::Error => {}
            Outcome::Unrelated(why) => self.opened_none(why),
        }
        Err(Box::new(Response::from_parts(parts, Body::from(body))))
    }

    fn opened_none(&self, why: &'static str) {
        if let Some(observers) = self.entry().observers() {
            observers.opened_none(why);
        }
    }

    fn open(self, mut parts: Parts, body: Bytes) -> Response<Body> {
        let Self { slot, request, .. } = self;
        let entry = slot.entry().clone();
        let Some(in_flight) = slot.open(Phase::Live) else {
            return request.refuse(RefusalReason::SessionEnded, &entry);
        };
        parts.headers.insert(&SESSION_ID, entry.id.to_header());
        Response::from_parts(parts, Body::new(OpeningBody::new(body, in_flight)))
    }

    /// The answer cannot be passed on, but in report-only mode.
    fn refuse(self, reason: RefusalReason, parts: Parts, body: Body) -> Response<Body> {
        let entry = self.slot.entry();
        match entry.observers() {
            Some(observers) if self.report_only => {
                Refusal::report(reason, &observers);
                Response::from_parts(parts, body)
            }
            _ => self.request.refuse(reason, entry),
        }
    }

    /// Takes the inner service's own session id off the answer. It keeps that session whatever becomes of ours.
    /// Whether the id, if there is one, is usable.
    fn keep_inner(&mut self, parts: &mut Parts, flags: AnswerFlags) -> bool {
        if !flags.has_session_id {
            return true;
        }
        let Some(id) = inner_id(&parts.headers) else {
            return false;
        };
        parts.headers.remove(&SESSION_ID);
        if flags.is_encoded && self.report_only {
            // It passes as it came.
            parts.headers.insert(&SESSION_ID, id);
        } else if parts.status.is_success() {
            let entry = self.slot.entry();
            entry.keep_inner_id(id);
            if let Some(inner_delete) = self.inner_delete.take() {
                entry.extras.set_inner_delete(entry, inner_delete);
            }
        }
        true
    }

    /// The response will pass in the stream: until then the session is provisional.
    fn conclude_stream(self, mut parts: Parts, body: Body, flags: AnswerFlags) -> Response<Body> {
        let entry = self.slot.entry().clone();
        let Some(in_flight) = self.slot.open(Phase::Provisional) else {
            return self.request.refuse(RefusalReason::SessionEnded, &entry);
        };
        parts.headers.insert(&SESSION_ID, entry.id.to_header());
        // The stream may end before its time.
        parts.headers.remove(CONTENT_LENGTH);
        flags.never_buffer(&mut parts.headers);
        let stream = OpeningStream::new(
            body,
            in_flight,
            self.request,
            self.sessions,
            self.report_only,
        );
        Response::from_parts(parts, boxed(stream))
    }
}

/// The session id that the inner service names. Equal ones count once, be they lines or, as proxies
/// join them, a list. `None` where there are two, or an empty one.
fn inner_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers
        .get_all(&SESSION_ID)
        .iter()
        .map(HeaderValue::as_bytes);
    let first = lines.next()?;
    if first.is_empty() || lines.any(|line| line != first) {
        return None;
    }
    let mut members = first.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let member = members.next()?;
    let id = match members.next() {
        Some(next) if next == member && members.all(|next| next == member) => member,
        _ => first,
    };
    // A copy: it must not keep the whole head alive as long as the session lives.
    HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty())
}

const BOM: &[u8] = b"\xef\xbb\xbf";
