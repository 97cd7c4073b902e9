//! What handlers and operators hold of a session.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::EndReason;
use super::clock;
use super::entry::Entry;
use super::extras::Watch;
use super::id::{Fingerprint, McpSessionId};
use super::owner::Owner;

/// One session: its id, what is known of it, the state that handlers keep in it, and its end.
///
/// In a handler it is an extractor; elsewhere take it from the request's extensions with
/// [`from_extensions`](Self::from_extensions) or from [`Sessions`](crate::Sessions). In a tool of rmcp extract
/// `Extension(parts): Extension<http::request::Parts>` and ask `parts.extensions`. A handle neither keeps its
/// session alive nor frees it: a session ends by the rules of the guard, and its handles then
/// tell [why](Self::end_reason).
///
/// While `initialize` is handled the session is not open yet: the id is known,
/// [`protocol_version`](Self::protocol_version) is `None`, and if the answer opens no session
/// everything kept in it is dropped.
#[derive(Clone)]
pub struct McpSession {
    entry: Arc<Entry>,
}

impl McpSession {
    pub(crate) fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    /// The id that the client sends in `Mcp-Session-Id`.
    #[must_use]
    pub fn id(&self) -> &McpSessionId {
        &self.entry.id
    }

    /// A short keyed hash of the id, for logs and pages: it tells sessions apart and nothing of the
    /// id, and differs from process to process.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.entry.id.fingerprint()
    }

    /// The protocol version that the answer to `initialize` named; `None` before it came, or if
    /// it named none.
    #[must_use]
    pub fn protocol_version(&self) -> Option<&str> {
        self.entry.protocol_version()
    }

    /// `clientInfo.name` of `initialize`, cut to 128 bytes, control characters replaced.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.entry.client.name.as_deref()
    }

    /// `clientInfo.version` of `initialize`, cut to 128 bytes, control characters replaced.
    #[must_use]
    pub fn client_version(&self) -> Option<&str> {
        self.entry.client.version.as_deref()
    }

    /// Whose session it is; `None` is nobody's. Always `None` where the guard asks for no
    /// [owner](crate::SessionGuardBuilder::owner).
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.entry.owner.as_ref()
    }

    /// The [scope](crate::SessionGuardBuilder::scope) of the guard that opened it; empty where
    /// that has none.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.entry.scope.name()
    }

    /// The [name](crate::store::StoreOptions::node_name) of the process that opened it; `None` where
    /// the guard has no [store](crate::SessionGuardBuilder::store). Where the inner service keeps
    /// sessions of its own, that process has them: send requests there.
    #[must_use]
    pub fn opened_on(&self) -> Option<&str> {
        self.entry.opened_on()
    }

    /// How long ago the session opened.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::now().saturating_sub(self.entry.opened()))
    }

    /// How long ago the last request or response body of the session ended; zero while one is in
    /// flight.
    #[must_use]
    pub fn idle(&self) -> Duration {
        match self.entry.in_flight() {
            0 => Duration::from_nanos(clock::now().saturating_sub(self.entry.last())),
            _ => Duration::ZERO,
        }
    }

    /// How many requests and response bodies of the session are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.entry.in_flight()).unwrap_or(usize::MAX)
    }

    /// How many GET event streams are open, resumptions not counted.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.entry.extras.streams()
    }

    /// The session's value of type `T`, if a handler has put one there.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.entry.extras.state()
    }

    /// The session's value of type `T`, made by `init` where there is none.
    ///
    /// A session holds one value per type; it is dropped when the session ends (a clone of the
    /// `Arc` lives on). `init` runs without a lock: when two requests come at once both may run
    /// it, and one result is dropped. After the end nothing is kept.
    pub fn state_or_insert_with<T: Any + Send + Sync>(&self, init: impl FnOnce() -> T) -> Arc<T> {
        match self.state() {
            Some(value) => value,
            None => self.entry.extras.state_or_insert(&self.entry, init()),
        }
    }

    /// Ends the session: its id is unknown from now on and its streams end. `false` if it had
    /// ended before.
    pub fn end(&self) -> bool {
        self.entry.leave(EndReason::Revoked)
    }

    /// Why the session ended; `None` while it has not.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.entry.end_reason()
    }

    /// Resolves when the session has ended, with the reason.
    ///
    /// The future is not tied to the handle: move it into a task that frees what belongs to the
    /// session, spawned where `initialize` is handled so that there is one. An `initialize` that
    /// opened no session ends as [`Abandoned`](EndReason::Abandoned). The session's state is gone
    /// when the future resolves; where the state itself is all that must be freed, its `Drop` does.
    pub fn ended(&self) -> impl Future<Output = EndReason> + Send + 'static + use<> {
        let entry = self.entry.clone();
        async move {
            let mut watch = pin!(Watch::default());
            poll_fn(|cx| {
                watch
                    .as_mut()
                    .poll(|| entry.extras.bell(), || entry.end_reason().is_some(), cx)
                    .map(drop)
            })
            .await;
            // The watch ends with the reason set.
            entry.end_reason().unwrap_or(EndReason::Revoked)
        }
    }
}

impl fmt::Debug for McpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
