//! What the guard asks of its sessions, request by request. A session that this process does not know, or
//! no longer trusts, is looked up in the store; one that opens or ends is written there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Sessions;
use crate::promises::DRAIN_NOTIFY_TIMEOUT;
use crate::session::{
    Drain, EndReason, Entry, InFlight, NewEntry, Observers, Owner, Registry, ReserveError, Scope,
    Slot, clock,
};
use crate::store::SessionKey;
use crate::store_sync::{StoreSync, StoreVerdict};

/// What [`Sessions::begin`] found.
#[derive(Debug)]
pub(crate) enum Found {
    Session(InFlight),
    Unknown,
    /// Only the store can tell.
    AskStore,
}

impl Sessions {
    /// Begins a request of the session with this id, if that is open and of this scope and owner.
    pub(crate) fn begin(&self, id: &[u8], scope: &Scope, owner: Option<&Owner>) -> Found {
        let now = clock::now();
        match (self.registry.get_at(id, now), &self.store_sync) {
            (Some(entry), _) if !entry.belongs_to(scope, owner) => Found::Unknown,
            (Some(entry), Some(store_sync)) if !store_sync.is_verified(&entry, now) => {
                Found::AskStore
            }
            (Some(entry), _) => entry.begin().map_or(Found::Unknown, Found::Session),
            (None, Some(_)) if self.registry.may_have_issued(id) => Found::AskStore,
            (None, _) => Found::Unknown,
        }
    }

    /// Begins a request as [`begin`](Self::begin) does, after a look into the store.
    pub(crate) async fn look_up(
        &self,
        id: &[u8],
        scope: &Scope,
        owner: Option<&Owner>,
    ) -> Result<Option<InFlight>, ReserveError> {
        let (Some(store_sync), Ok(text)) = (&self.store_sync, str::from_utf8(id)) else {
            return Ok(None);
        };
        let key = SessionKey::new(scope.name(), text);
        match store_sync.look_up(scope, owner, &key).await {
            StoreVerdict::Good => {}
            StoreVerdict::Unknown => return Ok(None),
            StoreVerdict::Unclear(error) => return Err(error),
        }
        let entry = self.registry.get(id);
        let entry = entry.filter(|entry| entry.belongs_to(scope, owner));
        Ok(entry.and_then(Entry::begin))
    }

    /// Takes a place for a session that is about to open, with its id. The place is released when the
    /// [`Slot`] is dropped before the session opened.
    pub(crate) fn reserve(&self, new: NewEntry) -> Result<Slot, ReserveError> {
        let Some(store_sync) = &self.store_sync else {
            return self.registry.reserve(new, None);
        };
        if store_sync.is_closed() && !self.drain().is_draining() {
            return Err(ReserveError::StoreDown);
        }
        let slot = self.registry.reserve(new, Some(store_sync.node()))?;
        store_sync.wake();
        Ok(slot)
    }

    /// Writes a session that is about to open to the store, if there is one.
    pub(crate) async fn keep(&self, entry: &Arc<Entry>) -> Result<(), ReserveError> {
        match &self.store_sync {
            // Boxed, so that openings without a store do not carry it about.
            Some(store_sync) => Box::pin(store_sync.keep(entry)).await,
            None => Ok(()),
        }
    }

    /// Ends a session because its client said so, on every node, even where it has ended meanwhile on this
    /// one alone.
    pub(crate) fn delete(&self, entry: &Arc<Entry>) {
        if !self.registry.end(entry, EndReason::Deleted)
            && let Some(store_sync) = &self.store_sync
            && store_sync.goes_on_elsewhere(entry)
        {
            store_sync.end(entry);
        }
    }

    /// Waits until the store knows of a session's end.
    pub(crate) async fn removed(&self, entry: &Entry) -> Result<(), ReserveError> {
        match &self.store_sync {
            Some(store_sync) => store_sync.removed(entry).await,
            None => Ok(()),
        }
    }

    /// Opens no session any more. Ready at the deadline, when everything that was open has ended, or earlier
    /// where nothing is open.
    pub(crate) async fn close(&self, patience: Duration) {
        self.drain().begin(patience);
        let _ = timeout(patience, self.registry.emptied()).await;
        self.drain().finish();
        if let Some(store_sync) = &self.store_sync {
            let _ = timeout(DRAIN_NOTIFY_TIMEOUT, store_sync.refresh(&self.registry)).await;
        }
        for entry in self.registry.all() {
            self.registry
                .end(&entry, entry.reason_without_us(EndReason::Drained));
        }
        let notified = async {
            self.registry.farewells().emptied().await;
            if let Some(store_sync) = &self.store_sync {
                // What fails is logged, and tried as long as the process lives.
                let _ = store_sync.flush().await;
            }
        };
        let _ = timeout(DRAIN_NOTIFY_TIMEOUT, notified).await;
    }

    /// How far the drain of these sessions is.
    pub(crate) fn drain(&self) -> &Arc<Drain> {
        self.registry.drain()
    }

    pub(crate) fn observers(&self) -> &Arc<Observers> {
        self.registry.observers()
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(crate) fn store_sync(&self) -> Option<&Arc<StoreSync>> {
        self.store_sync.as_ref()
    }
}
