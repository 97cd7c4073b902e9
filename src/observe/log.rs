//! Log events, by `tracing`. Of a session they show its fingerprint, never its id; of a request nothing
//! that the client wrote.

use tracing::{debug, info, warn};

use crate::log::TARGET;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{SessionEvent, SessionHook};

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
