//! The handle of a session, for handlers and operators.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::EndReason;
use super::clock;
use super::entry::Entry;
use super::id::{Fingerprint, McpSessionId};
use super::lazy::Watch;
use super::owner::Owner;

/// A handle to one session: its id, its properties, the state that handlers store in it, and its end.
///
/// In a handler it is an extractor. Elsewhere take it from the request's extensions with
/// [`from_extensions`](Self::from_extensions), or from [`Sessions`](crate::Sessions). In a tool of
/// rmcp, extract `Extension(parts): Extension<http::request::Parts>` and use `parts.extensions`. A
/// handle does not keep its session alive, and dropping it does not end the session. After the end,
/// its handles return [the reason](Self::end_reason).
///
/// While `initialize` is handled, the session is not open yet: the id is known,
/// [`protocol_version`](Self::protocol_version) is `None`, and if the answer opens no session, the
/// guard drops everything stored in it.
#[derive(Clone)]
pub struct McpSession {
    entry: Arc<Entry>,
}

impl McpSession {
    pub(crate) fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    /// Returns the id that the client sends in `Mcp-Session-Id`.
    #[must_use]
    pub fn id(&self) -> &McpSessionId {
        &self.entry.id
    }

    /// Returns a short keyed hash of the id, for logs and pages. It tells sessions apart without
    /// revealing the id, and differs from process to process.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.entry.id.fingerprint()
    }

    /// Returns the protocol version that the answer to `initialize` named; `None` before the answer,
    /// or if it named none.
    #[must_use]
    pub fn protocol_version(&self) -> Option<&str> {
        self.entry.protocol_version()
    }

    /// Returns `clientInfo.name` of `initialize`, cut to 128 bytes, with control characters replaced.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.entry.client.name.as_deref()
    }

    /// Returns `clientInfo.version` of `initialize`, cut to 128 bytes, with control characters
    /// replaced.
    #[must_use]
    pub fn client_version(&self) -> Option<&str> {
        self.entry.client.version.as_deref()
    }

    /// Returns the owner of the session; `None` for an anonymous session. Always `None` if the guard
    /// does not resolve an [owner](crate::SessionGuardBuilder::owner).
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.entry.owner.as_ref()
    }

    /// Returns the [scope](crate::SessionGuardBuilder::scope) of the guard that opened the session;
    /// empty if the guard has none.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.entry.scope.name()
    }

    /// Returns the [name](crate::store::StoreOptions::node_name) of the node that opened the session;
    /// `None` if the guard has no [store](crate::SessionGuardBuilder::store). If the inner service
    /// has sessions of its own, they are on that node: send requests there.
    #[must_use]
    pub fn opened_on(&self) -> Option<&str> {
        self.entry.opened_on()
    }

    /// Returns how long ago the session opened.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::now().saturating_sub(self.entry.opened()))
    }

    /// Returns how long ago the last request or response body of the session ended; zero while one is
    /// in flight.
    #[must_use]
    pub fn idle(&self) -> Duration {
        match self.entry.in_flight() {
            0 => Duration::from_nanos(clock::now().saturating_sub(self.entry.last())),
            _ => Duration::ZERO,
        }
    }

    /// Returns the number of requests and response bodies of the session in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.entry.in_flight()).unwrap_or(usize::MAX)
    }

    /// Returns the number of open GET event streams, without resumed ones.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.entry.lazy.streams()
    }

    /// Returns the session's value of type `T`, if a handler stored one.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.entry.lazy.state()
    }

    /// Returns the session's value of type `T`, and stores the result of `init` if there is none.
    ///
    /// A session stores one value per type and drops it when it ends (a clone of the `Arc` lives on).
    /// `init` runs without a lock: two requests at the same time may both run it, and one result is
    /// dropped. An ended session stores nothing.
    pub fn state_or_insert_with<T: Any + Send + Sync>(&self, init: impl FnOnce() -> T) -> Arc<T> {
        match self.state() {
            Some(value) => value,
            None => self.entry.lazy.state_or_insert(&self.entry, init()),
        }
    }

    /// Ends the session: its id becomes unknown and its streams end. Returns `false` if it had
    /// already ended.
    pub fn end(&self) -> bool {
        self.entry.leave(EndReason::Revoked)
    }

    /// Returns why the session ended; `None` if it has not.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.entry.end_reason()
    }

    /// Resolves with the reason when the session has ended.
    ///
    /// The future does not borrow the handle. Move it into a task that frees what belongs to the
    /// session. Spawn that task where `initialize` is handled, so that there is one. An `initialize`
    /// that opened no session ends as [`Abandoned`](EndReason::Abandoned). The state of the session
    /// is already dropped when the future resolves. If only the state must be freed, its `Drop` is
    /// enough.
    pub fn ended(&self) -> impl Future<Output = EndReason> + Send + 'static + use<> {
        let entry = self.entry.clone();
        async move {
            let mut watch = pin!(Watch::default());
            poll_fn(|cx| {
                watch
                    .as_mut()
                    .poll(|| entry.lazy.changed(), || entry.end_reason().is_some(), cx)
                    .map(drop)
            })
            .await;
            // The watch ends only after the reason is set.
            entry.end_reason().unwrap_or(EndReason::Revoked)
        }
    }
}

impl fmt::Debug for McpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
