use std::sync::Arc;

use super::{Registry, lock};
use crate::session::Observers;
use crate::session::{EndReason, Entry, InFlight, McpSession, Phase};
use crate::sync::atomic::Ordering::AcqRel;

/// A reserved place: given back on drop, unless the session opened.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) registry: Arc<Registry>,
    pub(super) entry: Arc<Entry>,
    /// Why the session ends if it does not open; `None` once it has.
    pub(super) unless_opened: Option<EndReason>,
}

impl Slot {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The inner service opened the session. `None` if it was ended while it waited.
    pub(crate) fn open(mut self, phase: Phase) -> Option<InFlight> {
        let in_flight = self.counted(|entry| entry.open(phase))?;
        lock(&self.registry.never_used).push(&self.entry);
        self.tell(Observers::opened).then_some(in_flight)
    }

    /// A session that opened elsewhere, or in an earlier life, goes on here. `false` if it was ended
    /// meanwhile.
    pub(crate) fn resume(mut self) -> bool {
        let resumed = self.counted(|entry| entry.resume().then_some(()));
        resumed.is_some() && self.tell(Observers::restored)
    }

    fn counted<T>(&mut self, open: impl FnOnce(&Arc<Entry>) -> Option<T>) -> Option<T> {
        // Counted first: whoever ends the session at once must find it counted.
        self.registry.open.fetch_add(1, AcqRel);
        let opened = open(&self.entry);
        match opened {
            Some(_) => {
                self.unless_opened = None;
                self.registry.wake_reaper();
            }
            None => drop(self.registry.open.fetch_sub(1, AcqRel)),
        }
        opened
    }

    /// Whether the session is still open when all have been told of it.
    fn tell(&self, told: impl FnOnce(&Observers, &McpSession)) -> bool {
        let observers = &self.registry.observers;
        let session = McpSession::new(self.entry.clone());
        told(observers, &session);
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
        if let Some(reason) = self.unless_opened {
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
    fn a_place_that_is_given_back_is_on_no_list_any_more() {
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
