//! Log events and span fields, by `tracing`. Of a session they show its fingerprint, never its id;
//! of a request nothing that the client wrote but its method, and that only in a span that asks.

use std::sync::Arc;

use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, info, warn};

use crate::extract::McpMessage;
use crate::log::TARGET;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, SessionEvent, SessionHook};

/// Logs what happens, under the target `mcp_session_guard`.
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

/// Anybody can be refused as often as they like, so that is told quietly, unless it is the
/// server's own trouble.
fn log_refusal(refusal: &Refusal) {
    let reason = refusal.reason();
    let status = refusal.status().as_u16();
    if refusal.is_only_reported() {
        info!(target: TARGET, %reason, status, "request would be refused");
    } else if is_own_trouble(reason) {
        warn!(target: TARGET, %reason, status, "request refused");
    } else {
        debug!(target: TARGET, %reason, status, "request refused");
    }
}

fn is_own_trouble(reason: RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::OwnerUnresolved
            | RefusalReason::IdGeneratorFailed
            | RefusalReason::UnusableAnswer
    )
}

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
