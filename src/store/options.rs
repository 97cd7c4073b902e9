//! The settings of a store.

use std::sync::Arc;
use std::time::Duration;

use super::McpSessionStore;
use crate::promises::defaults;

/// A store, and how a guard uses it; given to
/// [`SessionGuardBuilder::store`](crate::SessionGuardBuilder::store). A store alone has the defaults.
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
    /// A store with the default settings.
    pub fn new(store: impl McpSessionStore) -> Self {
        Self {
            store: Arc::new(store),
            lease: defaults::STORE_LEASE,
            grace: defaults::STORE_GRACE,
            timeout: defaults::STORE_TIMEOUT,
            node_name: None,
        }
    }

    /// Sets how long a session that this process knows is served when the store is silent: an end that
    /// another process brings about is known here no later. Default: 5 seconds; more than zero, at most
    /// 100 years.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how much longer than the [lease](Self::lease) such a session is served while the store cannot
    /// be reached; then its requests are answered 503. Until then an end that another process brings
    /// about is not known here. Default: 30 seconds; zero is allowed, at most 100 years.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long the store may take for one call. Default: 2 seconds; more than zero, at most 100
    /// years.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Names this process in the records of the store, for
    /// [`McpSession::opened_on`](crate::McpSession::opened_on): 1 to 64 characters of visible ASCII, for
    /// instance the host's name. Default: a random name for each process.
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
