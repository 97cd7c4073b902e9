//! The request that opens a session, and which message answers it.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use http::{Response, Version};

use crate::guard::span;
use crate::promises::MAX_CLIENT_TEXT;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::message::{self, Bounds, MessageKind};
use crate::protocol::revision;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::Entry;

/// What is kept of the request while its response is awaited.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its id, as it was written.
    pub(super) id: InlineBytes,
    pub(super) version: Version,
}

impl Asked {
    /// Reads one of the inner service's messages. The response is the message without a method whose
    /// id equals the request's, or an error without an id.
    pub(super) fn outcome(&self, body: &[u8]) -> Outcome {
        let message = match message::read(body, Bounds::OF_ANSWERS) {
            Ok(message) => message,
            Err(flaw) if flaw.reason == RefusalReason::ParseError => {
                return Outcome::Unrelated("its body is not JSON");
            }
            Err(_) => return Outcome::Unrelated("its body is not one JSON-RPC message"),
        };
        let answers = match message.id {
            Some(id) => is_same_id(id, self.id.as_bytes()),
            None => message.is_error,
        };
        match message.kind {
            MessageKind::Response if answers && message.is_error => Outcome::Error,
            MessageKind::Response if answers => {
                Outcome::Result(message.protocol_version().as_deref().map(revision::known))
            }
            MessageKind::Response => Outcome::Unrelated("its id is not that of the request"),
            MessageKind::Request | MessageKind::Notification => {
                Outcome::Unrelated("its message has a method and is no response")
            }
        }
    }

    pub(super) fn refuse(&self, reason: RefusalReason, entry: &Entry) -> Response<Body> {
        self.refusal(reason).respond_in(entry, self.version)
    }

    pub(super) fn refusal(&self, reason: RefusalReason) -> Refusal {
        Refusal::of_message(reason, Some(self.id.as_bytes()))
    }
}

/// What a message says to an `initialize`.
pub(super) enum Outcome {
    Error,
    /// Opened, with this protocol version.
    Result(Option<Cow<'static, str>>),
    /// Nothing, and why.
    Unrelated(&'static str),
}

/// Ids are equal as values: an inner service may write a string with other escapes.
fn is_same_id(one: &[u8], other: &[u8]) -> bool {
    let value = |id| serde_json::from_slice::<serde_json::Value>(id).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

/// Keeps the version that a result names, whatever it is, unless it is longer than any can be.
pub(super) fn keep_version(entry: &Arc<Entry>, version: Option<Cow<'static, str>>) {
    let Some(version) = version else { return };
    if version.len() > MAX_CLIENT_TEXT {
        return;
    }
    if revision::names_modern(version.as_bytes()) {
        span::version_without_initialize(entry);
    }
    entry.keep_protocol_version(version);
}
