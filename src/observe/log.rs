//! Log events and span fields, through `tracing`. They show the fingerprint of a session, never its
//! id. Of the text of a request they show the method alone, and only in a span that declares a field
//! for it.

use tracing::{debug, info, warn};

use crate::log::TARGET;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{SessionEvent, SessionHook};

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
