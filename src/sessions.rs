//! The sessions of a guard: this process's registry, and the store that it may have.

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

/// The sessions of a guard: to count them, look at them, and end them.
///
/// Cheap to clone; every clone, and every layer cloned from the same guard, sees the same
/// sessions. Where guards [share](crate::SessionGuardLayer::with_sessions) theirs, these are all
/// of them; [`McpSession::scope`] tells them apart.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Registry>,
    /// Only where there is a store.
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

    /// How many sessions are open, of those that this process knows. An `initialize` that the inner service has not answered yet is
    /// no session, though it counts against the limit.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registry.open()
    }

    /// Whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The open session with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<McpSession> {
        self.registry.get(id.as_bytes()).map(McpSession::new)
    }

    /// What has happened so far, in numbers.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.registry.stats()
    }

    /// All open sessions, in no order. Allocates one list; requests go on meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> Vec<McpSession> {
        self.registry
            .snapshot()
            .into_iter()
            .map(McpSession::new)
            .collect()
    }

    /// Ends the session with this id. `false` if there is none.
    pub fn end(&self, id: &str) -> bool {
        self.get(id).is_some_and(|session| session.end())
    }

    /// Ends every session of `owner`, those that are just opening included, and tells how many
    /// there were.
    ///
    /// With a [store](crate::SessionGuardBuilder::store) those of other processes end too, though
    /// they are not counted; [`flush`](Self::flush) tells when.
    ///
    /// Revoke what the owner authenticates with first: a request that has passed authentication
    /// already may open one more session.
    pub fn end_owner(&self, owner: &Owner) -> usize {
        // Told first: what it ends must not be loaded again.
        if let Some(store_sync) = &self.store_sync {
            store_sync.end_owner(owner.to_text());
            store_sync.wake();
        }
        self.revoke(&self.registry.of(owner))
    }

    /// Waits until the [store](crate::SessionGuardBuilder::store) knows of every end so far; ready at
    /// once where there is none.
    ///
    /// # Errors
    ///
    /// The store failed meanwhile. It is told again until it succeeds, as long as this process lives;
    /// where all of an owner's sessions are to end, those that open elsewhere until then end too.
    pub async fn flush(&self) -> Result<(), StoreError> {
        match &self.store_sync {
            Some(store_sync) => {
                // An end may have come from outside the runtime, before the first request.
                store_sync.wake();
                store_sync.flush().await
            }
            None => Ok(()),
        }
    }

    /// Ends every session that this process knows, those that are just opening included, and tells how
    /// many there were.
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

/// What [`Sessions`] are made with.
pub(crate) struct SessionsSettings {
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    pub(crate) max_sessions: usize,
    pub(crate) max_per_owner: usize,
    pub(crate) hooks: Vec<Arc<dyn SessionHook>>,
    pub(crate) store: Option<StoreSettings>,
}
