//! The `initialize` request, and how a message answers it.

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

/// The facts of an `initialize` that are needed while the guard waits for the response.
#[derive(Debug)]
pub(crate) struct OpeningRequest {
    /// The id of the request, as written.
    pub(super) id: InlineBytes,
    pub(super) version: Version,
}

impl OpeningRequest {
    /// Reads a message of the inner service. The response is the message without a method that has the id
    /// of the request, or an error without an id.
    pub(super) fn read_reply(&self, body: &[u8]) -> InitializeReply {
        let message = match message::read(body, Bounds::FOR_ANSWERS) {
            Ok(message) => message,
            Err(flaw) if flaw.reason == RefusalReason::ParseError => {
                return InitializeReply::Unrelated("its body is not JSON");
            }
            Err(_) => return InitializeReply::Unrelated("its body is not one JSON-RPC message"),
        };
        let answers = match message.id {
            Some(id) => is_same_id(id, self.id.as_bytes()),
            None => message.is_error,
        };
        match message.kind {
            MessageKind::Response if answers && message.is_error => InitializeReply::Error,
            MessageKind::Response if answers => {
                InitializeReply::Result(message.protocol_version().as_deref().map(revision::known))
            }
            MessageKind::Response => {
                InitializeReply::Unrelated("its id is not that of the request")
            }
            MessageKind::Request | MessageKind::Notification => {
                InitializeReply::Unrelated("its message has a method and is no response")
            }
        }
    }

    pub(super) fn refuse(&self, reason: RefusalReason, entry: &Entry) -> Response<Body> {
        self.refusal(reason).respond_in(entry, self.version)
    }

    pub(super) fn refusal(&self, reason: RefusalReason) -> Refusal {
        Refusal::for_message(reason, Some(self.id.as_bytes()))
    }
}

/// How a message answers an `initialize`.
pub(super) enum InitializeReply {
    Error,
    /// The message opens the session, with this protocol version.
    Result(Option<Cow<'static, str>>),
    /// The message is not the response, for this reason.
    Unrelated(&'static str),
}

/// Compares two ids as values, because an inner service may escape a string differently.
fn is_same_id(one: &[u8], other: &[u8]) -> bool {
    let value = |id| serde_json::from_slice::<serde_json::Value>(id).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

/// Stores the version that a result names, even if it is unknown. Ignores a version that is too long.
pub(super) fn set_protocol_version(entry: &Arc<Entry>, version: Option<Cow<'static, str>>) {
    let Some(version) = version else { return };
    if version.len() > MAX_CLIENT_TEXT {
        return;
    }
    if revision::is_sessionless(version.as_bytes()) {
        span::version_without_initialize(entry);
    }
    entry.set_protocol_version(version);
}
