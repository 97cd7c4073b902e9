//! What the inner service gets: the handle in the extensions, its own session id or none, and
//! exactly the bytes that were judged (contract row 23, §4.4).

use std::sync::Arc;

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;

use super::head::SESSION_ID;
use crate::extract::{Guarded, McpMessage};
use crate::session::{Entry, McpSession};

/// Makes a request of a session ready for the inner service.
pub(crate) fn prepare(parts: &mut Parts, entry: &Arc<Entry>, message: Option<McpMessage>) {
    match entry.inner_id() {
        Some(id) => drop(parts.headers.insert(&SESSION_ID, id.clone())),
        None => drop(parts.headers.remove(&SESSION_ID)),
    }
    let session = Some(McpSession::new(entry.clone()));
    parts.extensions.insert(Guarded { session, message });
}

/// Makes a message ready that belongs to no session.
pub(crate) fn prepare_without_session(parts: &mut Parts, message: McpMessage) {
    parts.extensions.insert(Guarded {
        session: None,
        message: Some(message),
    });
}

/// Describes a body of `length` bytes that stands there whole.
pub(crate) fn reframe(parts: &mut Parts, length: usize) {
    for name in [TRANSFER_ENCODING, EXPECT, TRAILER] {
        parts.headers.remove(name);
    }
    let declared = parts.headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    if declared.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()) != Some(length) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
}
