//! The settings of a store: lease, grace, timeout and the name of this process.

use std::sync::Arc;
use std::time::Duration;

use super::McpSessionStore;
use crate::promises::defaults;

/// A store with the settings of its use, for
/// [`SessionGuardBuilder::store`](crate::SessionGuardBuilder::store). The setter also accepts a store
/// alone, which gets the default settings.
///
/// ```
/// use std::time::Duration;
/// use mcp_session_guard::SessionGuardLayer;
/// use mcp_session_guard::store::StoreOptions;
/// # use mcp_session_guard::store::MemoryStore;
///
/// # let store = MemoryStore::new();
/// let store = StoreOptions::new(store)
///     .node_name("mail-1")
///     .grace(Duration::from_secs(60));
/// let guard = SessionGuardLayer::builder().store(store).build()?;
/// # Ok::<(), mcp_session_guard::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StoreOptions {
    pub(crate) store: Arc<dyn McpSessionStore>,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) timeout: Duration,
    pub(crate) node_name: Option<String>,
}

impl StoreOptions {
    /// Creates the default settings for a store.
    pub fn new(store: impl McpSessionStore) -> Self {
        Self {
            store: Arc::new(store),
            lease: defaults::STORE_LEASE,
            grace: defaults::STORE_GRACE,
            timeout: defaults::STORE_TIMEOUT,
            node_name: None,
        }
    }

    /// Sets how long the guard serves a known session while the store is silent. Default: 5 seconds;
    /// more than zero, at most 100 years.
    ///
    /// An end on another node is known here after this time at the latest, if the store can be reached.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how much longer than the [lease](Self::lease) the guard serves a known session while the
    /// store cannot be reached. Default: 30 seconds; zero is allowed, at most 100 years.
    ///
    /// During this time an end on another node is not known here. After it the guard answers 503.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long one call to the store may take. Default: 2 seconds; more than zero, at most 100
    /// years.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets the name of this process in the records of the store: 1 to 64 characters of visible ASCII,
    /// for example the host name. Default: a random name for each process.
    ///
    /// [`McpSession::opened_on`](crate::McpSession::opened_on) returns this name.
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = Some(name.into());
        self
    }
}

impl<S: McpSessionStore> From<S> for StoreOptions {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}
