//! Log events and span fields, through `tracing`. They show the fingerprint of a session, never its
//! id. Of the text of a request they show the method alone, and only in a span that declares a field
//! for it.

use std::sync::Arc;

use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, info, warn};

use crate::extract::McpMessage;
use crate::log::TARGET;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, SessionEvent, SessionHook};

/// A hook that logs session events under the target `mcp_session_guard`.
pub(super) struct Log;

impl SessionHook for Log {
    fn on_event(&self, event: &SessionEvent<'_>) {
        match event {
            SessionEvent::Opened { session } => {
                info!(target: TARGET, session = %session.fingerprint(), "session opened");
            }
            SessionEvent::Restored { session } => {
                info!(target: TARGET, session = %session.fingerprint(), "session restored");
            }
            SessionEvent::StoreFailed { error } => warn!(target: TARGET, %error, "store failed"),
            SessionEvent::Confirmed { session } => {
                debug!(target: TARGET, session = %session.fingerprint(), "session confirmed");
            }
            SessionEvent::StreamOpened { .. } | SessionEvent::StreamClosed { .. } => {}
            SessionEvent::Refused { refusal } => log_refusal(refusal),
            SessionEvent::Ended {
                session,
                reason,
                lived,
            } => {
                let session = session.fingerprint();
                info!(target: TARGET, %session, %reason, ?lived, "session ended");
            }
        }
    }
}

/// Logs a refusal. The level is DEBUG, because a client can cause any number of refusals, and WARN if
/// the server is at fault.
fn log_refusal(refusal: &Refusal) {
    let reason = refusal.reason();
    let status = refusal.status().as_u16();
    if refusal.is_only_reported() {
        info!(target: TARGET, %reason, status, "request would be refused");
    } else if is_server_fault(reason) {
        warn!(target: TARGET, %reason, status, "request refused");
    } else {
        debug!(target: TARGET, %reason, status, "request refused");
    }
}

fn is_server_fault(reason: RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::OwnerUnresolved
            | RefusalReason::IdGeneratorFailed
            | RefusalReason::UnusableAnswer
    )
}

/// Fills the fields of the current span that an outer layer declared empty.
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

/// Logs that a request names another protocol version than its session negotiated.
pub(crate) fn version_mismatch(entry: &Entry) {
    debug!(target: TARGET, session = %entry.id.fingerprint(), "request names another protocol version than was negotiated");
}

/// Logs that the inner service opened a session under a protocol version without `initialize`.
pub(crate) fn version_without_initialize(entry: &Entry) {
    warn!(target: TARGET, session = %entry.id.fingerprint(), "the inner service answered initialize with a protocol version that has no initialize");
}

/// The longest method that a span shows, in bytes. No method of MCP comes near it, and a log is no
/// place for whole documents.
const LONGEST_METHOD: usize = 128;
const SESSION: &str = "mcp.session.fingerprint";
