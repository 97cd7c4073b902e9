//! The observers of a registry's sessions: the hooks and the counters.
//!
//! Each observer is notified exactly once per event, after it happened, with no lock held. If a hook causes
//! the end of a session or of a stream, the observers are notified of it after the hook has returned.

use std::fmt;
use std::sync::Arc;

use tracing::warn;

use super::events::{SessionEvent, SessionHook};
use super::minutely::Minutely;
use super::stats::Counters;
use super::{EndReason, McpSession};
use crate::log::TARGET;
use crate::refusal::Refusal;
use crate::store::StoreError;
use crate::unwind::{catch_panic, run_in_turn, run_now};

/// All observers of a registry's sessions.
#[derive(Default)]
pub(crate) struct Observers {
    pub(crate) counters: Counters,
    hooks: Vec<Arc<dyn SessionHook>>,
    /// Limits the warnings about answers to `initialize` that opened no session.
    no_session_warnings: Minutely,
}

impl Observers {
    pub(crate) fn new(hooks: Vec<Arc<dyn SessionHook>>) -> Self {
        Self {
            counters: Counters::default(),
            hooks,
            no_session_warnings: Minutely::default(),
        }
    }

    pub(crate) fn opened(&self, session: &McpSession) {
        self.counters.opened();
        self.notify(&SessionEvent::Opened { session });
    }

    /// Warns that the inner service's answer to `initialize` opened no session although it is no
    /// error, so that the operator sees why.
    pub(crate) fn initialize_without_session(&self, why: &'static str) {
        if let Some(count) = self.no_session_warnings.count() {
            // The log shows nothing of the answer.
            warn!(target: TARGET, why, count, "the inner service answered initialize with JSON that opens no session");
        }
    }

    pub(crate) fn restored(&self, session: &McpSession) {
        self.counters.restored();
        self.notify(&SessionEvent::Restored { session });
    }

    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.counters.store_failed();
        self.notify(&SessionEvent::StoreFailed { error });
    }

    pub(crate) fn confirmed(&self, session: &McpSession) {
        self.notify(&SessionEvent::Confirmed { session });
    }

    pub(crate) fn stream_opened(&self, session: &McpSession) {
        self.counters.stream_opened();
        self.notify(&SessionEvent::StreamOpened { session });
    }

    pub(crate) fn stream_closed(self: &Arc<Self>, session: McpSession) {
        self.counters.stream_closed();
        let observers = self.clone();
        run_in_turn(move || {
            observers.notify(&SessionEvent::StreamClosed { session: &session });
        });
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.counters.refused(refusal);
        self.notify(&SessionEvent::Refused { refusal });
    }

    pub(crate) fn ended(self: &Arc<Self>, session: McpSession, reason: EndReason) {
        self.counters.ended(reason);
        let (observers, lived) = (self.clone(), session.age());
        run_in_turn(move || {
            observers.notify(&SessionEvent::Ended {
                session: &session,
                reason,
                lived,
            });
        });
    }

    /// Notifies every hook. A panic in a hook must not unwind into the caller, which may be the
    /// request of another client or the sweep, and does not keep the next hook from being notified.
    fn notify(&self, event: &SessionEvent<'_>) {
        run_now(|| {
            for hook in &self.hooks {
                let _ = catch_panic(|| hook.on_event(event));
            }
        });
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers")
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}
