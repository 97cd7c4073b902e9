//! Records a request in the fields of the current span, and logs unexpected protocol versions. Both show the
//! fingerprint of a session, never its id. Of the text that the client wrote, a span shows only the method,
//! and only if it has a field for it.

use std::sync::Arc;

use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, warn};

use crate::extract::McpMessage;
use crate::log::TARGET;
use crate::session::Entry;

/// Fills the fields of the current span that an outer layer declared as empty.
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

/// Logs that a client names another version than its session negotiated.
pub(crate) fn version_mismatch(entry: &Entry) {
    debug!(target: TARGET, session = %entry.id.fingerprint(), "request names another protocol version than was negotiated");
}

/// Logs that the inner service opened a session with a version that has no `initialize`.
pub(crate) fn version_without_initialize(entry: &Entry) {
    warn!(target: TARGET, session = %entry.id.fingerprint(), "the inner service answered initialize with a protocol version that has no initialize");
}

/// The longest method that a span shows, in bytes. No MCP method is nearly as long, and a log must not grow
/// with the text of a client.
const LONGEST_METHOD: usize = 128;
const SESSION: &str = "mcp.session.fingerprint";
