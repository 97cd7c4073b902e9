//! What the guard records of a request: the fields of the current span, and log events about protocol
//! versions. Of a session they show its fingerprint, never its id; of a request nothing that the client
//! wrote but its method, and that only in a span that asks.

use std::sync::Arc;

use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, warn};

use crate::extract::McpMessage;
use crate::log::TARGET;
use crate::session::Entry;

/// Fills the fields of the current span that a layer outside has declared empty.
pub(crate) fn record(entry: Option<&Arc<Entry>>, message: Option<&McpMessage>) {
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    if let Some(entry) = entry {
        if span.has_field(SESSION) {
            span.record(SESSION, display(entry.id.fingerprint()));
        }
        if let Some(version) = entry.protocol_version() {
            span.record("mcp.protocol.version", version);
        }
    }
    let method = message.and_then(McpMessage::method);
    if let Some(method) = method.filter(|method| method.len() <= LONGEST_METHOD) {
        span.record("mcp.method.name", method);
    }
}

/// A client names another version than the one that its session negotiated.
pub(crate) fn version_mismatch(entry: &Entry) {
    debug!(target: TARGET, session = %entry.id.fingerprint(), "request names another protocol version than was negotiated");
}

/// The inner service opened a session under a version that has none.
pub(crate) fn version_without_initialize(entry: &Entry) {
    warn!(target: TARGET, session = %entry.id.fingerprint(), "the inner service answered initialize with a protocol version that has no initialize");
}

/// No method that MCP knows comes near it; logs are not for whole documents.
const LONGEST_METHOD: usize = 128;
const SESSION: &str = "mcp.session.fingerprint";
