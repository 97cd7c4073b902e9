//! What outlives the process: the contract of a store, what is kept in one, and how a guard uses it.
//!
//! | store | feature | for |
//! |---|---|---|
//! | `FileStore` | `redb` | one machine: one file |
//! | `RedisStore`, its module `redis` | `redis`, with TLS `redis-tls` | several machines |
//! | `MemoryStore` | `test-util` | tests |
//! | your own [`McpSessionStore`] | | `conformance` (`test-util`) is the suite that it must pass |
//!
//! # What survival means for the inner service
//!
//! The guard's session goes on: id, owner, client, protocol version, age. What is in flight is lost
//! with the process: clients open their GET streams again by themselves, and a call that was not
//! answered fails, or waits for its client's own timeout. What the inner service keeps is its own
//! affair:
//!
//! - **It keeps nothing, or keeps it on a disk under the guard's id**
//!   ([`McpSession::id`](crate::McpSession::id), a secret; fingerprints differ from process to
//!   process): it just works. `examples/durable.rs` is such a server.
//! - **Its handlers put state into the session**
//!   ([`state_or_insert_with`](crate::McpSession::state_or_insert_with)): that is memory, and is not
//!   kept. After a restart the session begins with none, so a handler makes it anew from what is
//!   durable.
//! - **It has session ids of its own** (rmcp's `StreamableHttpService`, any server behind a gateway):
//!   the guard keeps that id too and goes on sending it. If the inner service can restore the session
//!   by it, the session goes on. rmcp can: give it a `session_store`, which keeps how each client
//!   introduced itself; a `FileStore` will do, the guard's own, in `examples/durable_rmcp.rs`. If it
//!   can not, it answers 404, on which the guard's session ends and the client gets a clean 404, by
//!   which it may open another.
//! - **It lives on another machine than the process that is asked**:
//!   [`McpSession::opened_on`](crate::McpSession::opened_on) tells where a session was opened, for a
//!   proxy that sends its requests there.

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

/// Where sessions are kept so that they outlive the process and are known to others; given to
/// [`SessionGuardBuilder::store`](crate::SessionGuardBuilder::store).
///
/// A session that a process knows is served from its memory; the store is asked for ids that are
/// unknown, told of openings and ends, and listened to for the ends that others bring about.
///
/// # Contract
///
/// **What is trusted.** Nothing that a store hands out: a value that the guard can not read is
/// answered like an unknown id, 404. Keys and values are secrets, for an id lets its bearer speak in
/// the session; an owner's name may be personal.
///
/// **What may be lost.** Refreshes: a session then ends up to a tenth of the idle timeout early.
/// Neither a [`create`](Self::create) nor a [`remove`](Self::remove) that has answered may be lost
/// when the process dies; where a store can not promise that (a Redis that does not write each
/// command to disk), its documentation says what it loses.
///
/// **What an error does.** The guard fails closed: an `initialize` and a request with an id that is
/// not known here are answered 503. A session that is known here goes on as long as the
/// [lease](StoreOptions::lease) and the
/// [grace](StoreOptions::grace) last, then 503 too. `remove` and
/// [`remove_owner`](Self::remove_owner) are tried again until they succeed.
///
/// **Time.** Every call is given up after the
/// [timeout](StoreOptions::timeout): its future is dropped. What it has sent may
/// have been done or not; every method can be called again with the same arguments. A store keeps the
/// time by its own clock, never by this machine's.
///
/// **Runtime.** Futures are polled on the guard's tokio runtime and must not block it.
///
/// `store::conformance` (feature `test-util`) is the suite that every store must pass.
pub trait McpSessionStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a session that has just opened, unless there is one under this key: then `false`, and
    /// the one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// The session may have been kept or not; the guard opens none.
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool>;

    /// The value under this key; `None` if there is none, it has expired, was removed, or its
    /// owner's sessions were removed after it was created.
    ///
    /// # Errors
    ///
    /// It is not known whether there is one.
    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Puts off the expiry of sessions that are in use: each expires when its time has passed from
    /// now, or when it would have anyway if that is later. Tells of each, in the same order, whether
    /// it is still there; one that is not stays away.
    ///
    /// # Errors
    ///
    /// Some may have been put off.
    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>>;

    /// Ends a session: from the answer on nobody loads it, and every [subscription](Self::subscribe) says so.
    /// One that is not there is no error, but still said to have ended: a process may know it.
    ///
    /// # Errors
    ///
    /// The session may have been removed or not.
    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()>;

    /// Ends every session that `owner` has at this moment, in every scope: from the answer on nobody
    /// loads one, and every [subscription](Self::subscribe) says so. What the owner opens later is not concerned.
    ///
    /// # Errors
    ///
    /// Some may have been removed.
    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()>;

    /// The ends that this and other processes bring about. Ready once nothing that ends from then on
    /// is missed. `None` where no other process uses the store while this one does.
    ///
    /// # Errors
    ///
    /// The store can not be reached; asked again after a pause. An error in the stream, or its end,
    /// means that something may have been missed: the stream is dropped and asked for anew.
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

/// What the methods of an [`McpSessionStore`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What [`McpSessionStore::subscribe`] returns.
pub type StoreEvents = Pin<Box<dyn Stream<Item = Result<StoreEvent, StoreError>> + Send>>;

/// Under what a session is kept. An id is good in its scope only.
///
/// `Debug` shows nothing of the id.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct SessionKey {
    scope: Box<str>,
    id: Box<str>,
}

impl SessionKey {
    /// The key of a session, from the parts that another process has told.
    #[must_use]
    pub fn new(scope: impl Into<Box<str>>, id: impl Into<Box<str>>) -> Self {
        Self {
            scope: scope.into(),
            id: id.into(),
        }
    }

    /// The [scope](crate::SessionGuardBuilder::scope): empty, or up to 64 letters, digits, `.`, `_`
    /// and `-`.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The session id: 1 to 128 characters of visible ASCII. A secret.
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

/// A session that a store is to keep.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NewSession<'a> {
    /// Under what.
    pub key: &'a SessionKey,
    /// What is known of it, at most 8 KiB: opaque, a secret.
    pub value: &'a [u8],
    /// Whose it is, in the form that [`McpSessionStore::remove_owner`] is given; `None` is nobody's.
    pub owner: Option<&'a str>,
    /// When it expires unless it is [refreshed](McpSessionStore::refresh).
    pub expires_in: Duration,
}

impl<'a> NewSession<'a> {
    /// As a guard makes it; for tests, and for a store that wraps another. Nobody's.
    #[must_use]
    pub fn new(key: &'a SessionKey, value: &'a [u8], expires_in: Duration) -> Self {
        Self {
            key,
            value,
            owner: None,
            expires_in,
        }
    }

    /// The same, of an owner.
    #[must_use]
    pub fn owned_by(self, owner: &'a str) -> Self {
        Self {
            owner: Some(owner),
            ..self
        }
    }
}

/// A session that is in use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refresh {
    /// Which.
    pub key: SessionKey,
    /// When it expires unless it is refreshed again.
    pub expires_in: Duration,
}

impl Refresh {
    /// As a guard makes it; for tests, and for a store that wraps another.
    #[must_use]
    pub fn new(key: SessionKey, expires_in: Duration) -> Self {
        Self { key, expires_in }
    }
}

/// What a [subscription](McpSessionStore::subscribe) tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// Every end up to this moment has been told. Comes at least three times a lease, and its
    /// moment is one at which *this* process has asked for the news, so that news which lingers on
    /// the way is not taken for fresh.
    Heartbeat {
        /// That moment, by this process's clock.
        as_of: Instant,
    },
    /// A session was removed.
    Ended(SessionKey),
    /// All sessions of an owner were removed.
    OwnerEnded(Box<str>),
}

/// What keeps a store from answering. `Display` is what went wrong, for logs; no client sees it.
pub struct StoreError(Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps what went wrong, most often the error of the store's own library. Its text must show no
    /// session id.
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
