//! What the inner service gets: the handle in the extensions, its own session id or none, and
//! exactly the bytes that were judged (contract row 23, §4.4).

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;

use super::answer::LAST_EVENT_ID;
use super::era::Era;
use super::head::{SESSION_ID, Traits, VersionHeader};
use crate::extract::{Guarded, McpMessage};
use crate::observe;
use crate::session::{Entry, McpSession};

/// Makes a request of a session ready for the inner service.
pub(crate) fn prepare(parts: &mut Parts, entry: &Arc<Entry>, message: Option<McpMessage>) {
    observe::record(Some(entry), message.as_ref());
    attach(parts, entry, message);
}

/// Gives a request the session's handle, and the inner service's own id or none.
pub(crate) fn attach(parts: &mut Parts, entry: &Arc<Entry>, message: Option<McpMessage>) {
    let stream_era = match message {
        Some(_) => None,
        None => {
            let version = VersionHeader::read(&parts.headers);
            Some(Era::legacy(None, version, entry.protocol_version()))
        }
    };
    match entry.inner_id() {
        Some(id) => drop(parts.headers.insert(&SESSION_ID, id.clone())),
        None => drop(parts.headers.remove(&SESSION_ID)),
    }
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        message,
        stream_era,
    });
}

/// Makes a message ready where there are no sessions: the session header stays as it is.
pub(crate) fn prepare_stateless(parts: &mut Parts, message: McpMessage) {
    observe::record(None, Some(&message));
    parts.extensions.insert(Guarded {
        message: Some(message),
        ..Guarded::default()
    });
}

/// Makes a message of the modern era ready, which knows neither sessions nor resumed streams.
pub(crate) fn prepare_modern(parts: &mut Parts, message: McpMessage) {
    parts.headers.remove(&SESSION_ID);
    parts.headers.remove(LAST_EVENT_ID);
    prepare_stateless(parts, message);
}

/// Describes a body of `length` bytes that stands there whole; `traits` is what the head says of it.
pub(crate) fn reframe(parts: &mut Parts, traits: Traits, length: usize) {
    if traits.is_foreign {
        for name in [TRANSFER_ENCODING, EXPECT, TRAILER] {
            parts.headers.remove(name);
        }
    }
    if traits.length != Some(length as u64) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
}
