//! The methods of [`Sessions`] that the guard calls for each request. They look up a session in the
//! store if this process does not know it or has not verified it, and write openings and ends there.

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

/// The result of [`Sessions::begin`].
#[derive(Debug)]
pub(crate) enum Found {
    Session(InFlight),
    Unknown,
    /// Only the store knows whether the session is open.
    AskStore,
}

impl Sessions {
    /// Begins a request of the session with this id, if the session is open and belongs to this scope
    /// and owner.
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

    /// Looks up the session in the store, then begins a request as [`begin`](Self::begin) does.
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

    /// Reserves a slot for a session that is about to open, with its id. Dropping the [`Slot`] before
    /// the session opens frees it.
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
            // Boxed, so that the future of an opening without a store stays small.
            Some(store_sync) => Box::pin(store_sync.keep(entry)).await,
            None => Ok(()),
        }
    }

    /// Ends a session on every node because its client sent DELETE, even if it has meanwhile ended on
    /// this node alone.
    pub(crate) fn delete(&self, entry: &Arc<Entry>) {
        if !self.registry.end(entry, EndReason::Deleted)
            && let Some(store_sync) = &self.store_sync
            && store_sync.lives_elsewhere(entry)
        {
            store_sync.end(entry);
        }
    }

    /// Waits until the store has recorded the end of a session.
    pub(crate) async fn removed(&self, entry: &Entry) -> Result<(), ReserveError> {
        match &self.store_sync {
            Some(store_sync) => store_sync.removed(entry).await,
            None => Ok(()),
        }
    }

    /// Drains the sessions: no session opens any more, and those still open end after `time_limit`.
    /// Does not wait for that time if nothing is open. Then waits at most twice [`DRAIN_NOTIFY_TIMEOUT`] for
    /// the store and the inner services.
    pub(crate) async fn close(&self, time_limit: Duration) {
        self.drain().begin(time_limit);
        let _ = timeout(time_limit, self.registry.emptied()).await;
        self.drain().finish();
        if let Some(store_sync) = &self.store_sync {
            let _ = timeout(DRAIN_NOTIFY_TIMEOUT, store_sync.refresh(&self.registry)).await;
        }
        for entry in self.registry.all() {
            self.registry
                .end(&entry, entry.shutdown_reason(EndReason::Drained));
        }
        let notified = async {
            self.registry.inner_deletes().emptied().await;
            if let Some(store_sync) = &self.store_sync {
                // The outbox logs an error and retries as long as the process lives.
                let _ = store_sync.flush().await;
            }
        };
        let _ = timeout(DRAIN_NOTIFY_TIMEOUT, notified).await;
    }

    /// Returns the drain of these sessions.
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
