//! The inner service's answers on their way out (contract §5): the session header off, event
//! streams tied to the session, empty acknowledgements 202, its own 404 understood.

use axum::BoxError;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body::Body as HttpBody;

use super::body::{Role, SessionBody, Tail};
use super::head::SESSION_ID;
use super::refusal::{Refusal, RefusalReason};
use crate::config::Settings;
use crate::extract::McpMessage;
use crate::session::{EndReason, InFlight};

/// A request of a live session that the inner service is answering.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) in_flight: InFlight,
    /// What a POST carries; `None` on GET.
    message: Option<McpMessage>,
    /// The request carries `Last-Event-ID`: it resumes a stream.
    resumes: bool,
    max_streams: usize,
    version: Version,
}

impl Call {
    pub(crate) fn stream(mut in_flight: InFlight, parts: &Parts, settings: &Settings) -> Self {
        in_flight.admit();
        Self::new(in_flight, None, parts, settings)
    }

    pub(crate) fn post(
        mut in_flight: InFlight,
        message: McpMessage,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        in_flight.admit_message();
        Self::new(in_flight, Some(message), parts, settings)
    }

    fn new(
        in_flight: InFlight,
        message: Option<McpMessage>,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            in_flight,
            message,
            resumes: parts.headers.contains_key(LAST_EVENT_ID),
            max_streams: settings.max_streams,
            version: parts.version,
        }
    }

    /// The answer where the session ended before the inner service had begun one. 404 would make
    /// one client repeat the call, so a request gets an error of its own.
    pub(crate) fn ended(&self) -> Response<Body> {
        match self.ended_refusal() {
            Some(refusal) => refusal.into_response(self.version),
            None => not_found(self.version),
        }
    }

    /// Whether the answer is a 404 of an inner service that keeps a session of its own: either
    /// that is gone, or the method is unknown to it. [`judge_404`](Self::judge_404) reads which.
    pub(crate) fn is_unclear<B>(&self, response: &Response<B>) -> bool {
        response.status() == StatusCode::NOT_FOUND
            && !self.resumes
            && self.in_flight.entry().inner_id().is_some()
    }

    pub(crate) async fn judge_404<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        let body = to_bytes(Body::new(body), LARGEST_ERROR)
            .await
            .unwrap_or_default();
        if !is_unknown_method(&body) {
            self.in_flight.entry().leave(EndReason::InnerLost);
            return not_found(self.version);
        }
        parts.headers.remove(&SESSION_ID);
        Response::from_parts(parts, Body::from(body))
    }

    /// Passes the answer on.
    pub(crate) fn pass<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(&SESSION_ID);
        let is_event_stream = is_event_stream(&parts.headers);
        if is_event_stream {
            never_buffer(&mut parts.headers);
        }
        if self.expects_no_answer() && parts.status.is_success() && is_empty(&body) {
            // One client opens its GET stream only on 202.
            parts.status = StatusCode::ACCEPTED;
        }
        let is_sized = body.size_hint().exact().is_some();
        let role = match &self.message {
            _ if is_sized && body.size_hint().lower() <= SMALL => {
                return Response::from_parts(parts, Body::new(body));
            }
            _ if !is_event_stream || is_sized || parts.headers.contains_key(CONTENT_LENGTH) => {
                Role::Plain
            }
            None => Role::Stream {
                number: (!self.resumes)
                    .then(|| self.in_flight.entry().extras.add_stream(self.max_streams)),
            },
            Some(_) if parts.headers.contains_key(CONTENT_ENCODING) => {
                Role::Stream { number: None }
            }
            Some(_) => match self.ended_refusal() {
                Some(refusal) => Role::Call {
                    refusal,
                    tail: Tail::default(),
                },
                None => Role::Stream { number: None },
            },
        };
        let body = SessionBody::new(body, self.in_flight, role);
        Response::from_parts(parts, Body::new(body))
    }

    fn expects_no_answer(&self) -> bool {
        self.message
            .as_ref()
            .is_some_and(|message| message.request_id().is_none())
    }

    fn ended_refusal(&self) -> Option<Refusal> {
        let id = self.message.as_ref()?.request_id()?;
        Some(Refusal::of_message(RefusalReason::SessionEnded, Some(id)))
    }
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    has_essence(headers, "text/event-stream")
}

pub(crate) fn has_essence(headers: &HeaderMap, essence: &str) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let text = value.as_bytes();
        let end = text
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(text.len());
        text[..end]
            .trim_ascii()
            .eq_ignore_ascii_case(essence.as_bytes())
    })
}

/// Asks proxies to pass an event stream on as it comes.
pub(crate) fn never_buffer(headers: &mut HeaderMap) {
    headers
        .entry(X_ACCEL_BUFFERING)
        .or_insert(HeaderValue::from_static("no"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
}

pub(crate) fn not_found(version: Version) -> Response<Body> {
    Refusal::of_message(RefusalReason::SessionNotFound, None).into_response(version)
}

fn is_empty<B: HttpBody>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

fn is_unknown_method(body: &[u8]) -> bool {
    let error = serde_json::from_slice::<serde_json::Value>(body);
    error.is_ok_and(|value| value["error"]["code"] == METHOD_NOT_FOUND)
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const METHOD_NOT_FOUND: i64 = -32601;
/// A body of known length up to this fits the socket's buffer: it is over with its head, and is
/// passed on as it is.
const SMALL: u64 = 64 << 10;
const LARGEST_ERROR: usize = 64 << 10;
