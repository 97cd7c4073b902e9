//! What the inner service gets: the handle in the extensions, its own session id or none, and
//! exactly the bytes that were judged (contract row 23, §4.4).

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;

use super::answer::LAST_EVENT_ID;
use super::era::Era;
use super::head::{SESSION_ID, Traits};
use crate::extract::{Content, Guarded, McpMessage};
use crate::observe;
use crate::session::{Entry, McpSession};

/// Makes a message of a session ready for the inner service.
#[inline(always)]
pub(crate) fn prepare(parts: &mut Parts, entry: &Arc<Entry>, message: McpMessage, traits: Traits) {
    observe::record(Some(entry), Some(&message));
    readdress(parts, entry, traits);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::Message(message),
    });
}

/// Makes a request of a session ready that has no message.
pub(crate) fn prepare_stream(parts: &mut Parts, entry: &Arc<Entry>, traits: Traits) {
    observe::record(Some(entry), None);
    attach_stream(parts, entry, traits);
}

/// The same, for what nobody looks at from outside.
pub(crate) fn attach_stream(parts: &mut Parts, entry: &Arc<Entry>, traits: Traits) {
    let version = traits.version(&parts.headers);
    let era = Era::legacy(None, version, entry.protocol_version());
    readdress(parts, entry, traits);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::Stream(era),
    });
}

/// Gives a request the inner service's own session id, or none.
#[inline]
fn readdress(parts: &mut Parts, entry: &Entry, traits: Traits) {
    match entry.inner_id() {
        Some(id) => drop(parts.headers.insert(&SESSION_ID, id.clone())),
        None if traits.lacks_session_id => {}
        None => drop(parts.headers.remove(&SESSION_ID)),
    }
}

/// Makes a message ready where there are no sessions: the session header stays as it is.
pub(crate) fn prepare_stateless(parts: &mut Parts, message: McpMessage) {
    observe::record(None, Some(&message));
    parts.extensions.insert(Guarded {
        content: Content::Message(message),
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
#[inline]
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
