//! Processes the answer to `initialize` (contract §4). The *answer* decides whether a session opens.
//!
//! The future holds a [`Slot`], which frees its place on drop. So no place is lost if the future is dropped.

mod body;
mod client;
mod request;
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

use self::body::OpeningBody;
pub(crate) use self::client::client;
use self::request::{InitializeReply, OpeningRequest, set_protocol_version};
use self::stream::OpeningStream;
use super::answer::head::{AnswerFlags, AnswerHead};
use super::body::boxed;
use super::body::trailers::without_session_id;
use super::body_reader::BodyReader;
use super::until_ended::{Cancellable, until_ended};
use crate::extract::McpMessage;
use crate::promises::{MAX_OPENING, OPENING_TIMEOUT};
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, InnerDelete, Phase, Slot};
use crate::sessions::Sessions;

/// An `initialize` that the inner service is answering.
pub(crate) struct Opening {
    slot: Slot,
    sessions: Sessions,
    request: OpeningRequest,
    /// The inner DELETE, in case the inner service opens a session of its own.
    inner_delete: Option<InnerDelete>,
    report_only: bool,
}

impl Cancellable for Opening {
    fn entry(&self) -> &Arc<Entry> {
        self.slot.entry()
    }

    /// Returns whether the session ended before it opened.
    fn is_cancelled(&self) -> bool {
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
            request: OpeningRequest { id, version },
            inner_delete,
            report_only,
        }
    }

    /// Returns the answer to a client whose session ended before it opened.
    pub(crate) fn ended_response(&self) -> Response<Body> {
        let entry = self.slot.entry();
        self.request.refuse(RefusalReason::SessionEnded, entry)
    }

    /// Waits for the inner service's answer and judges it. A result opens the session. Any other answer
    /// passes without a session.
    pub(crate) async fn conclude<F, B, E>(mut self, answer: F) -> Result<Response<Body>, E>
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let response = match until_ended(answer, &mut self).await {
            Some(answer) => answer?,
            None => return Ok(self.ended_response()),
        };
        // This future no longer waits for the end of the session.
        self.entry().lazy.tidy();
        let (mut parts, body) = response.map(Body::new).into_parts();
        let head = AnswerHead::read(&parts.headers);
        let (flags, is_json) = (head.flags, head.is_of("application/json"));
        let is_usable = self.take_inner_id(&mut parts, flags);
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
                    // The answer goes out once the store has the session.
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

    /// Passes an answer that opens no session.
    fn pass(self, parts: Parts, body: Body, is_json: bool) -> Response<Body> {
        if parts.status.is_success() && is_json {
            self.initialize_without_session("its body is empty");
        }
        Response::from_parts(parts, without_session_id(body))
    }

    /// Judges a JSON answer by its body. Returns the answer if it opens the session. Otherwise fails with
    /// the response to send.
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
        // Clients skip a byte order mark.
        match self
            .request
            .read_reply(body.strip_prefix(BOM).unwrap_or(&body))
        {
            InitializeReply::Result(protocol_version) => {
                set_protocol_version(entry, protocol_version);
                return Ok((parts, body));
            }
            InitializeReply::Error => {}
            InitializeReply::Unrelated(why) => self.initialize_without_session(why),
        }
        Err(Box::new(Response::from_parts(parts, Body::from(body))))
    }

    fn initialize_without_session(&self, why: &'static str) {
        if let Some(observers) = self.entry().observers() {
            observers.initialize_without_session(why);
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

    /// Refuses an answer that cannot pass. Only report-only mode passes it.
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

    /// Moves the inner service's session id from the answer into the session. The inner service keeps its
    /// session even if ours does not open. Returns `false` if there is an id and it is invalid.
    fn take_inner_id(&mut self, parts: &mut Parts, flags: AnswerFlags) -> bool {
        if !flags.has_session_id {
            return true;
        }
        let Some(id) = inner_id(&parts.headers) else {
            return false;
        };
        parts.headers.remove(&SESSION_ID);
        if flags.is_encoded && self.report_only {
            // The answer passes unchanged.
            parts.headers.insert(&SESSION_ID, id);
        } else if parts.status.is_success() {
            let entry = self.slot.entry();
            entry.set_inner_id(id);
            if let Some(inner_delete) = self.inner_delete.take() {
                entry.lazy.set_inner_delete(entry, inner_delete);
            }
        }
        true
    }

    /// Passes an event stream. The session is provisional until the response has passed in it.
    fn conclude_stream(self, mut parts: Parts, body: Body, flags: AnswerFlags) -> Response<Body> {
        let entry = self.slot.entry().clone();
        let Some(in_flight) = self.slot.open(Phase::Provisional) else {
            return self.request.refuse(RefusalReason::SessionEnded, &entry);
        };
        parts.headers.insert(&SESSION_ID, entry.id.to_header());
        // The stream may end early.
        parts.headers.remove(CONTENT_LENGTH);
        flags.never_buffer(&mut parts.headers);
        let stream = OpeningStream::new(
            body,
            in_flight,
            self.request,
            self.sessions.store_sync().cloned(),
            self.report_only,
        );
        Response::from_parts(parts, boxed(stream))
    }
}

/// Returns the session id that the inner service set. Equal ids count once, as lines or as a list, because
/// proxies join lines. Returns `None` if two ids differ or one is empty.
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
    // Copied, because the session must not keep the whole head alive.
    HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty())
}

const BOM: &[u8] = b"\xef\xbb\xbf";
