//! A reserved slot, which becomes an open session or is freed.

use std::sync::Arc;

use super::{Registry, lock};
use crate::session::Observers;
use crate::session::{EndReason, Entry, InFlight, McpSession, Phase};
use crate::sync::atomic::Ordering::AcqRel;

/// A reserved slot. Dropping it ends the session and frees the slot, unless the session opened.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) registry: Arc<Registry>,
    pub(super) entry: Arc<Entry>,
    /// The reason for the end if the session does not open; `None` once it has opened.
    pub(super) reason_if_dropped: Option<EndReason>,
}

impl Slot {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Opens the session, because the inner service opened it. Returns `None` if the session ended
    /// meanwhile.
    pub(crate) fn open(mut self, phase: Phase) -> Option<InFlight> {
        let in_flight = self.count_open(|entry| entry.open(phase))?;
        lock(&self.registry.never_used).push(&self.entry);
        self.announce(Observers::opened).then_some(in_flight)
    }

    /// Restores a session that another process opened, or this one before a restart. Returns `false`
    /// if the session ended meanwhile.
    pub(crate) fn resume(mut self) -> bool {
        let resumed = self.count_open(|entry| entry.resume().then_some(()));
        resumed.is_some() && self.announce(Observers::restored)
    }

    fn count_open<T>(&mut self, open: impl FnOnce(&Arc<Entry>) -> Option<T>) -> Option<T> {
        // Counted first: another thread may end the session at once, and must find it counted.
        self.registry.open.fetch_add(1, AcqRel);
        let opened = open(&self.entry);
        match opened {
            Some(_) => {
                self.reason_if_dropped = None;
                self.registry.wake_reaper();
            }
            None => drop(self.registry.open.fetch_sub(1, AcqRel)),
        }
        opened
    }

    /// Notifies all observers of the opening. Returns whether the session is still open afterwards.
    fn announce(&self, notify: impl FnOnce(&Observers, &McpSession)) -> bool {
        let observers = &self.registry.observers;
        let session = McpSession::new(self.entry.clone());
        notify(observers, &session);
        match self.entry.mark_announced() {
            Some(reason) => {
                observers.ended(session, reason);
                false
            }
            None => true,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(reason) = self.reason_if_dropped {
            self.registry.end(&self.entry, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::SessionGuardLayer;
    use crate::session::registry::NewEntry;
    use crate::session::{Owner, Scope};

    #[test]
    fn a_slot_that_is_freed_is_on_no_list() {
        let registry = SessionGuardLayer::new().sessions().registry().clone();
        let slot = registry.reserve(
            NewEntry {
                client: Arc::default(),
                owner: Some(Owner::new("alice")),
                scope: Scope::default(),
            },
            None,
        );
        let slot = slot.unwrap();
        let entry = slot.entry().clone();
        assert_eq!(Arc::weak_count(&entry), 1, "the owner's list");
        drop(slot);
        assert_eq!(Arc::weak_count(&entry), 0);
    }
}
