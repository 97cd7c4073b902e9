//! Session stores: the contract of a store, the stores of this crate, and their settings.
//!
//! | store | feature | for |
//! |---|---|---|
//! | `FileStore` | `redb` | one process, with one file |
//! | `RedisStore`, its module `redis` | `redis`, with TLS `redis-tls` | several processes or machines |
//! | `MemoryStore` | `test-util` | tests |
//! | your own [`McpSessionStore`] | | it must pass the tests in `conformance` (`test-util`) |
//!
//! # The inner service after a restart
//!
//! The guard's session continues, with its id, owner, client, protocol version and age. Requests and
//! streams in flight are lost with the process. Clients reopen their GET streams by themselves. A call
//! that was not answered fails, or waits for its client's own timeout. The rest depends on the inner
//! service:
//!
//! - **It has no state, or stores it on disk under the guard's id**
//!   ([`McpSession::id`](crate::McpSession::id), a secret; fingerprints differ from process to process):
//!   it works without changes. `examples/durable.rs` is an example.
//! - **Its handlers put state into the session**
//!   ([`state_or_insert_with`](crate::McpSession::state_or_insert_with)): this state is in memory, and
//!   the store does not have it. After a restart the session has no state, so a handler creates it again
//!   from durable data.
//! - **It has session ids of its own** (rmcp's `StreamableHttpService`, any server behind a gateway):
//!   the guard stores this id too and continues to send it. If the inner service can restore its session
//!   by the id, the session continues. rmcp can: give it a `session_store`, which stores the
//!   `initialize` of each client. The guard's own `FileStore` can do this, as in
//!   `examples/durable_rmcp.rs`. If the inner service cannot restore its session, it answers 404. The
//!   guard then ends the session and answers 404, on which the client may open another.
//! - **It runs on another machine than the process that got the request**:
//!   [`McpSession::opened_on`](crate::McpSession::opened_on) names the node that opened the session, so
//!   that a proxy can send its requests there.

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod options;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
pub mod redis;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::time::Instant;

#[cfg(any(test, feature = "test-util"))]
pub use self::memory::{Fault, MemoryStore};
pub use self::options::StoreOptions;
#[cfg(feature = "redb")]
pub use self::redb::{FileStore, FileStoreError, FileStoreErrorKind};
#[cfg(feature = "redis-tls")]
pub use self::redis::RedisOptions;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;

/// Stores sessions, so that they outlive the process and other processes know them.
///
/// Pass a store to [`SessionGuardBuilder::store`](crate::SessionGuardBuilder::store). The guard serves
/// the sessions that it knows from memory. It loads unknown ids from the store, writes openings and ends
/// to it, and subscribes to the ends on other nodes.
///
/// # Contract
///
/// **Trust.** The guard trusts nothing that a store returns. It answers a value that it cannot read like
/// an unknown id: 404. Keys and values are secrets, because a client that has an id can use its session.
/// The name of an owner may be personal data.
///
/// **Loss.** A store may lose refreshes: a session then ends up to a tenth of the idle timeout early. It
/// must not lose a [`create`](Self::create) or a [`remove`](Self::remove) that it has answered, even if
/// the process dies. A store that cannot promise this (a Redis that does not write each command to disk)
/// documents what it loses.
///
/// **Errors.** The guard fails closed: it answers 503 to `initialize` and to requests with an id that
/// this process does not know. It serves a session that it knows until the [lease](StoreOptions::lease)
/// and the [grace](StoreOptions::grace) are over, then it answers 503 too. It retries `remove` and
/// [`remove_owner`](Self::remove_owner) until they succeed.
///
/// **Time.** The guard gives up a call after the [timeout](StoreOptions::timeout): it drops the future.
/// The store may or may not have carried out the call, so each method can be called again with the same
/// arguments. A store uses its own clock, never the clock of this machine.
///
/// **Runtime.** The guard polls the futures on its tokio runtime. They must not block.
///
/// **Tests.** Every store must pass `store::conformance` (feature `test-util`).
pub trait McpSessionStore: fmt::Debug + Send + Sync + 'static {
    /// Stores a session that has just opened, unless there is one under this key.
    ///
    /// Returns whether it stored the session. If not, the existing session stays unchanged.
    ///
    /// # Errors
    ///
    /// The session may or may not have been stored. The guard does not open it.
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool>;

    /// Returns the value under this key.
    ///
    /// Returns `None` if there is none, if it has expired or was removed, or if its owner's sessions
    /// were removed after it was created.
    ///
    /// # Errors
    ///
    /// The session may or may not exist.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Postpones the expiry of sessions that are in use.
    ///
    /// Each session expires when its `expires_in` has passed from now, or at its present expiry if that
    /// is later. Returns, in the same order, whether each session still exists. A session that no longer
    /// exists is not restored.
    ///
    /// # Errors
    ///
    /// Some sessions may have been refreshed.
    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>>;

    /// Ends a session.
    ///
    /// After the answer no process can load it, and every [subscription](Self::subscribe) announces its
    /// end. An unknown session is no error. Its end is announced too, because another process may know
    /// the session.
    ///
    /// # Errors
    ///
    /// The session may or may not have been removed.
    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()>;

    /// Ends every session that `owner` has at this moment, in every scope.
    ///
    /// After the answer no process can load these sessions, and every [subscription](Self::subscribe)
    /// announces their end. Sessions that the owner opens later are not affected.
    ///
    /// # Errors
    ///
    /// Some sessions may have been removed.
    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()>;

    /// Subscribes to the ends that this process and others bring about.
    ///
    /// The future is ready once the stream will carry every end from then on. The stream also carries
    /// [heartbeats](StoreEvent::Heartbeat), at least three per `lease`. Returns `None` if no other
    /// process uses the store while this one does.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The guard subscribes again after a pause. An error in the stream, or
    /// its end, means that the stream may have missed an event: the guard drops the stream and
    /// subscribes again.
    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>>;
}

impl<S: McpSessionStore + ?Sized> McpSessionStore for Arc<S> {
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool> {
        (**self).create(session)
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        (**self).load(key)
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        (**self).refresh(sessions)
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        (**self).remove(key)
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        (**self).remove_owner(owner)
    }

    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        (**self).subscribe(lease)
    }
}

/// The future that the methods of an [`McpSessionStore`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The stream that [`McpSessionStore::subscribe`] returns.
pub type StoreEvents = Pin<Box<dyn Stream<Item = Result<StoreEvent, StoreError>> + Send>>;

/// The key of a session in a store: its scope and its id. An id is valid in its scope only.
///
/// `Debug` does not show the id.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct SessionKey {
    scope: Box<str>,
    id: Box<str>,
}

impl SessionKey {
    /// Creates the key of a session, for example from the parts that another process published.
    #[must_use]
    pub fn new(scope: impl Into<Box<str>>, id: impl Into<Box<str>>) -> Self {
        Self {
            scope: scope.into(),
            id: id.into(),
        }
    }

    /// Returns the [scope](crate::SessionGuardBuilder::scope): empty, or up to 64 letters, digits, `.`,
    /// `_` and `-`.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the session id: 1 to 128 characters of visible ASCII. The id is a secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A session to be stored.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NewSession<'a> {
    /// The key of the session.
    pub key: &'a SessionKey,
    /// The record of the session: opaque bytes, at most 8 KiB. The record is a secret.
    pub value: &'a [u8],
    /// The owner, in the form that [`McpSessionStore::remove_owner`] gets. `None` for an anonymous
    /// session.
    pub owner: Option<&'a str>,
    /// The time until the session expires, unless it is [refreshed](McpSessionStore::refresh).
    pub expires_in: Duration,
}

impl<'a> NewSession<'a> {
    /// Creates an anonymous session, for tests and for a store that wraps another.
    #[must_use]
    pub fn new(key: &'a SessionKey, value: &'a [u8], expires_in: Duration) -> Self {
        Self {
            key,
            value,
            owner: None,
            expires_in,
        }
    }

    /// Sets the owner of the session.
    #[must_use]
    pub fn owned_by(self, owner: &'a str) -> Self {
        Self {
            owner: Some(owner),
            ..self
        }
    }
}

/// A session in use, with its new expiry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refresh {
    /// The key of the session.
    pub key: SessionKey,
    /// The time until the session expires, unless it is refreshed again.
    pub expires_in: Duration,
}

impl Refresh {
    /// Creates a refresh, for tests and for a store that wraps another.
    #[must_use]
    pub fn new(key: SessionKey, expires_in: Duration) -> Self {
        Self { key, expires_in }
    }
}

/// An event of a [subscription](McpSessionStore::subscribe).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// The subscription has announced every end up to the moment `as_of`.
    ///
    /// A heartbeat comes at least three times per lease. `as_of` is a moment at which *this* process
    /// asked the store for events, so that events with a delay on the way do not count as fresh.
    Heartbeat {
        /// The moment, by the clock of this process.
        as_of: Instant,
    },
    /// A session was removed.
    Ended(SessionKey),
    /// All sessions of an owner were removed.
    OwnerEnded(Box<str>),
}

/// The error of a store. `Display` says what went wrong, for logs. No client sees the text.
pub struct StoreError(Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps an error, most often that of the store's own library. Its text must not contain a session
    /// id.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session store failed: {}", self.0)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreError").field(&self.0).finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
