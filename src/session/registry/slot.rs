use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use super::{Registry, lock};
use crate::session::{EndReason, Entry, InFlight, McpSession, Phase};

/// A reserved place: given back on drop, unless the session opened.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) registry: Arc<Registry>,
    pub(super) entry: Arc<Entry>,
    pub(super) opened: bool,
}

impl Slot {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The inner service opened the session. `None` if it was ended while it waited.
    pub(crate) fn open(mut self, phase: Phase) -> Option<InFlight> {
        // Counted first: whoever ends the session at once must find it counted.
        self.registry.open.fetch_add(1, AcqRel);
        let Some(in_flight) = self.entry.open(phase) else {
            self.registry.open.fetch_sub(1, AcqRel);
            return None;
        };
        self.opened = true;
        lock(&self.registry.unused).push(&self.entry);
        self.registry.reaper.wake(&self.registry);
        self.tell_opened().then_some(in_flight)
    }

    /// Whether the session is still open when all have been told of it.
    fn tell_opened(&self) -> bool {
        let observers = &self.registry.observers;
        let session = McpSession::new(self.entry.clone());
        observers.opened(&session);
        match self.entry.mark_told() {
            Some(reason) => {
                observers.ended(&session, reason);
                false
            }
            None => true,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.opened {
            self.registry.end(&self.entry, EndReason::Abandoned);
        }
    }
}
