//! The observers of a registry's sessions: the hooks, and a count of everything.
//!
//! Each observer is notified exactly once per event, after it happened, with no lock held.

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
use crate::unwind::unless_it_panics;

/// All observers of a registry's sessions.
#[derive(Default)]
pub(crate) struct Observers {
    pub(crate) counters: Counters,
    hooks: Vec<Arc<dyn SessionHook>>,
    /// Answers to `initialize` that opened no session.
    fruitless: Minutely,
}

impl Observers {
    pub(crate) fn new(hooks: Vec<Arc<dyn SessionHook>>) -> Self {
        Self {
            counters: Counters::default(),
            hooks,
            fruitless: Minutely::default(),
        }
    }

    pub(crate) fn opened(&self, session: &McpSession) {
        self.counters.opened();
        self.tell(&SessionEvent::Opened { session });
    }

    /// The inner service's answer to `initialize` opened no session and is no error either, so the operator
    /// should see why.
    pub(crate) fn opened_none(&self, why: &'static str) {
        if let Some(count) = self.fruitless.note() {
            // Nothing of the answer is shown.
            warn!(target: TARGET, why, count, "the inner service answered initialize with JSON that opens no session");
        }
    }

    pub(crate) fn restored(&self, session: &McpSession) {
        self.counters.restored();
        self.tell(&SessionEvent::Restored { session });
    }

    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.counters.store_failed();
        self.tell(&SessionEvent::StoreFailed { error });
    }

    pub(crate) fn confirmed(&self, session: &McpSession) {
        self.tell(&SessionEvent::Confirmed { session });
    }

    pub(crate) fn stream_opened(&self, session: &McpSession) {
        self.counters.stream_opened();
        self.tell(&SessionEvent::StreamOpened { session });
    }

    pub(crate) fn stream_closed(&self, session: &McpSession) {
        self.counters.stream_closed();
        self.tell(&SessionEvent::StreamClosed { session });
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.counters.refused(refusal);
        self.tell(&SessionEvent::Refused { refusal });
    }

    pub(crate) fn ended(&self, session: &McpSession, reason: EndReason) {
        self.counters.ended(reason);
        let lived = session.age();
        self.tell(&SessionEvent::Ended {
            session,
            reason,
            lived,
        });
    }

    /// A hook that panics must not take the caller along, who may be another client's request or
    /// the sweep; the next one is told all the same.
    fn tell(&self, event: &SessionEvent<'_>) {
        for hook in &self.hooks {
            let _ = unless_it_panics(|| hook.on_event(event));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers")
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}
