//! `initialize` (contract §4): the inner service is asked, and its *answer* decides whether a
//! session opens.
//!
//! A [`Slot`] is held meanwhile: whatever happens to this future, the place is free again.

mod events;
pub(crate) mod stream;

use std::borrow::Cow;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Limited};

use self::stream::OpeningStream;
use super::answer::{has_essence, is_event_stream, never_buffer, not_found};
use super::body::{Role, SessionBody};
use super::era::LEGACY_REVISIONS;
use super::head::SESSION_ID;
use super::message::{self, Message, MessageKind};
use super::refusal::{Refusal, RefusalReason};
use crate::extract::McpMessage;
use crate::session::{Client, Phase, Slot};

/// An `initialize` that the inner service is answering.
pub(crate) struct Opening {
    pub(crate) slot: Slot,
    pub(crate) message: McpMessage,
    pub(crate) version: Version,
}

impl Opening {
    /// Judges the answer: a result opens the session, anything else is passed on without one.
    pub(crate) async fn conclude<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        let inner_id = match take_inner_id(&mut parts.headers) {
            Ok(inner_id) => inner_id,
            Err(UnusableId) => return self.unusable(),
        };
        let is_stream = is_event_stream(&parts.headers);
        let is_json = has_essence(&parts.headers, "application/json");
        if !parts.status.is_success() || !(is_json || is_stream) || body.is_end_stream() {
            return Response::from_parts(parts, Body::new(body));
        }
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return self.unusable();
        }
        if is_stream {
            return self.conclude_stream(inner_id, parts, Body::new(body));
        }
        let body = match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return self.unusable(),
        };
        let Some(Outcome::Result(protocol_version)) = outcome(&body, &self.message) else {
            return Response::from_parts(parts, Body::from(body));
        };
        let entry = self.slot.entry().clone();
        let Some(in_flight) = self.slot.open(inner_id, Phase::Live) else {
            return not_found(self.version);
        };
        entry.confirm(protocol_version);
        parts.headers.insert(&SESSION_ID, entry.id.to_header());
        let body = SessionBody::new(Body::from(body), in_flight, Role::Opening);
        Response::from_parts(parts, Body::new(body))
    }

    /// The response will pass in the stream: until then the session is provisional.
    fn conclude_stream(
        self,
        inner_id: Option<HeaderValue>,
        mut parts: Parts,
        body: Body,
    ) -> Response<Body> {
        let entry = self.slot.entry().clone();
        let Some(in_flight) = self.slot.open(inner_id, Phase::Provisional) else {
            return not_found(self.version);
        };
        parts.headers.insert(&SESSION_ID, entry.id.to_header());
        never_buffer(&mut parts.headers);
        let role = Role::OpeningStream(Box::new(OpeningStream::new(self.message)));
        Response::from_parts(parts, Body::new(SessionBody::new(body, in_flight, role)))
    }

    fn unusable(&self) -> Response<Body> {
        Refusal::of_message(RefusalReason::UnusableAnswer, self.message.request_id())
            .into_response(self.version)
    }
}

/// What a message says to an `initialize`.
enum Outcome {
    Error,
    /// Opened, with this protocol version.
    Result(Option<Cow<'static, str>>),
}

/// Reads one of the inner service's messages. `None` if it is not the response: that is the
/// message without a method whose id equals the request's, or an error without an id.
fn outcome(body: &[u8], request: &McpMessage) -> Option<Outcome> {
    let message = message::read(body, LARGEST_DEPTH).ok()?;
    let answers = match message.id {
        Some(id) => request.id().is_some_and(|asked| is_same_id(id, asked)),
        None => message.is_error,
    };
    if message.kind != MessageKind::Response || !answers {
        return None;
    }
    Some(match message.is_error {
        true => Outcome::Error,
        false => Outcome::Result(message.fields.protocol_version.map(known_version)),
    })
}

/// What the client says of itself, fit to be shown and kept.
pub(crate) fn client(message: &Message<'_>) -> Client {
    let clean = |text: &Option<Cow<'_, str>>| {
        let mut clean = String::new();
        for letter in text.as_deref()?.chars() {
            let letter = if letter.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                letter
            };
            if clean.len() + letter.len_utf8() > LONGEST_CLIENT_TEXT {
                break;
            }
            clean.push(letter);
        }
        Some(clean.into_boxed_str())
    };
    Client {
        name: clean(&message.fields.client_name),
        version: clean(&message.fields.client_version),
    }
}

/// The inner service's own session id, taken off its answer.
fn take_inner_id(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, UnusableId> {
    let mut ids = headers.get_all(&SESSION_ID).iter();
    let id = match (ids.next(), ids.next()) {
        (None, _) => None,
        (Some(id), None) if !id.is_empty() => Some(id.clone()),
        _ => return Err(UnusableId),
    };
    headers.remove(&SESSION_ID);
    Ok(id)
}

/// Set twice, or empty.
struct UnusableId;

/// Ids are equal as values: an inner service may write a string with other escapes.
fn is_same_id(one: &str, other: &str) -> bool {
    let value = |id| serde_json::from_str::<serde_json::Value>(id).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

fn known_version(version: Cow<'_, str>) -> Cow<'static, str> {
    match LEGACY_REVISIONS.into_iter().find(|known| *known == version) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(version.into_owned()),
    }
}

const LARGEST_ANSWER: usize = 1 << 20;
const LARGEST_DEPTH: usize = 127;
const LONGEST_CLIENT_TEXT: usize = 128;
