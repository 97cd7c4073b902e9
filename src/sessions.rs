//! The sessions of a guard: the registry of this process, and the store if there is one.

#[cfg(any(fuzzing, feature = "_internals"))]
pub(crate) mod fuzzing;
mod requests;

use std::fmt;
use std::sync::Arc;

pub(crate) use self::requests::Found;
use crate::session::{
    EndReason, Entry, IdSource, Limits, McpSession, Observers, Owner, Registry, RegistrySettings,
    SessionHook, SessionStats,
};
use crate::store::StoreError;
use crate::store_sync::{StoreSettings, StoreSync};

/// The sessions of a guard, to count, inspect and end them.
///
/// Cheap to clone. Every clone, and every layer cloned from the same guard, sees the same sessions.
/// If several guards [share](crate::SessionGuardLayer::with_sessions) their sessions, these are the
/// sessions of all of them; [`McpSession::scope`] tells them apart.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Registry>,
    /// `None` without a store.
    store_sync: Option<Arc<StoreSync>>,
}

impl Sessions {
    pub(crate) fn new(settings: SessionsSettings) -> Self {
        let SessionsSettings {
            ids,
            limits,
            max_sessions,
            max_per_owner,
            hooks,
            store,
        } = settings;
        let observers = Arc::new(Observers::new(hooks));
        let mut store_sync = None;
        let registry = Arc::new_cyclic(|registry| {
            let observed = observers.clone();
            store_sync =
                store.map(|store| StoreSync::new(store, limits, observed, registry.clone()));
            Registry::new(RegistrySettings {
                ids,
                limits,
                max_sessions,
                max_per_owner,
                observers,
                on_leave: store_sync.clone().map(StoreSync::on_leave),
            })
        });
        Self {
            registry,
            store_sync,
        }
    }

    /// Returns the number of open sessions that this process knows. An `initialize` that the inner
    /// service has not answered yet is not included, although it counts against the session limit.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registry.open()
    }

    /// Returns whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the open session with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<McpSession> {
        self.registry.get(id.as_bytes()).map(McpSession::new)
    }

    /// Returns the counters of what has happened so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.registry.stats()
    }

    /// Returns all open sessions, in no order. Allocates one list; requests continue meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> Vec<McpSession> {
        self.registry
            .snapshot()
            .into_iter()
            .map(McpSession::new)
            .collect()
    }

    /// Ends the session with this id. Returns `false` if there is none.
    pub fn end(&self, id: &str) -> bool {
        self.get(id).is_some_and(|session| session.end())
    }

    /// Ends every session of `owner`, including those that are still opening, and returns their
    /// number.
    ///
    /// With a [store](crate::SessionGuardBuilder::store) the owner's sessions on other nodes end too,
    /// but are not counted; [`flush`](Self::flush) waits for them.
    ///
    /// First revoke the credentials of the owner: a request that has already passed authentication
    /// may open one more session.
    pub fn end_owner(&self, owner: &Owner) -> usize {
        // The outbox comes first, so that no lookup restores a session that ends here.
        if let Some(store_sync) = &self.store_sync {
            store_sync.end_owner(owner.to_text());
            store_sync.wake();
        }
        self.revoke(&self.registry.of(owner))
    }

    /// Waits until the [store](crate::SessionGuardBuilder::store) has recorded every end so far.
    /// Returns at once without a store.
    ///
    /// # Errors
    ///
    /// The store failed meanwhile. The guard retries as long as this process lives. If it retries to
    /// end all sessions of an owner, the sessions that this owner opens elsewhere until then end too.
    pub async fn flush(&self) -> Result<(), StoreError> {
        match &self.store_sync {
            Some(store_sync) => {
                // A session may have ended outside the runtime, before the first request started the
                // outbox.
                store_sync.wake();
                store_sync.flush().await
            }
            None => Ok(()),
        }
    }

    /// Ends every session that this process knows, including those that are still opening, and
    /// returns their number.
    pub fn end_all(&self) -> usize {
        self.revoke(&self.registry.all())
    }

    fn revoke(&self, entries: &[Arc<Entry>]) -> usize {
        entries
            .iter()
            .filter(|entry| self.registry.end(entry, EndReason::Revoked))
            .count()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.len())
            .finish()
    }
}

/// The settings of [`Sessions`].
pub(crate) struct SessionsSettings {
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    pub(crate) max_sessions: usize,
    pub(crate) max_per_owner: usize,
    pub(crate) hooks: Vec<Arc<dyn SessionHook>>,
    pub(crate) store: Option<StoreSettings>,
}
