//! What the guard knows of sessions, in this process: the registry and the handles to it.

pub(crate) mod clock;
mod drain;
mod entry;
mod events;
mod extras;
#[cfg(any(fuzzing, feature = "_internals"))]
pub(crate) mod fuzzing;
mod id;
mod minutely;
mod observers;
mod owner;
mod reaper;
mod registry;
mod state;
mod stats;
mod streams;
mod tally;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::clock::nanos;
pub(crate) use self::drain::Drain;
pub(crate) use self::entry::{Client, Entry, InFlight, Limits};
pub use self::events::{SessionEvent, SessionHook};
pub(crate) use self::extras::{Farewell, Watch};
pub(crate) use self::id::IdSource;
pub use self::id::{Fingerprint, McpSessionId};
pub(crate) use self::observers::Observers;
pub(crate) use self::owner::{Caller, OwnerSource, Scope};
pub use self::owner::{Owner, OwnerResolver};
pub(crate) use self::registry::{Begun, Opener, Registry, RegistrySettings, Slot, Unavailable};
pub(crate) use self::state::Phase;
pub use self::stats::SessionStats;
pub(crate) use self::streams::{StreamKind, StreamPlace};
pub(crate) use self::tally::{Held, Tally};

use crate::store::StoreError;

/// One session: its id, what is known of it, the state that handlers keep in it, and its end.
///
/// In a handler it is an extractor; elsewhere take it from the request's extensions with
/// [`from_extensions`](Self::from_extensions) or from [`Sessions`]. In a tool of rmcp extract
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

    /// The [name](crate::SessionGuardBuilder::node_name) of the process that opened it; `None` where
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

/// The sessions of a guard: to count them, look at them, and end them.
///
/// Cheap to clone; every clone, and every layer cloned from the same guard, sees the same
/// sessions. Where guards [share](crate::SessionGuardLayer::with_sessions) theirs, these are all
/// of them; [`McpSession::scope`] tells them apart.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Registry>,
}

impl Sessions {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
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
        if let Some(link) = self.registry.link() {
            link.end_owner(owner.to_text());
            link.wake(&self.registry);
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
        match self.registry.link() {
            Some(link) => {
                // An end may have come from outside the runtime, before the first request.
                link.wake(&self.registry);
                link.flush().await
            }
            None => Ok(()),
        }
    }

    /// Ends every session that this process knows, those that are just opening included, and tells how
    /// many there were.
    pub fn end_all(&self) -> usize {
        self.revoke(&self.registry.all())
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
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

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
#[repr(u8)]
pub enum EndReason {
    /// The answer to `initialize` did not reach the client whole, or was none that opens a session.
    Abandoned = 0,
    /// The client sent DELETE.
    Deleted,
    /// The server shut down and the [drain](crate::SessionGuardLayer::drain)'s time was over.
    Drained,
    /// Another process has ended it, or the [store](crate::SessionGuardBuilder::store) does not know
    /// it any more.
    EndedElsewhere,
    /// It made room for another: the limit of sessions was reached and this was the oldest that was
    /// never used, or its owner's limit and this had been idle longest.
    Evicted,
    /// The guard itself is gone: no layer, service or [`Sessions`] of it is left.
    GuardDropped,
    /// The server shut down, and the session goes on elsewhere: its
    /// [store](crate::SessionGuardBuilder::store) keeps it.
    HandedOver,
    /// No request or response for the idle timeout.
    Idle,
    /// The inner service has lost its own session: it answered 404 for its id.
    InnerLost,
    /// The absolute lifetime was over.
    Lifetime,
    /// No second message came in time.
    NeverUsed,
    /// Ended through [`McpSession::end`] or [`Sessions`].
    Revoked,
    /// `initialize` was answered by an event stream that did not carry the response in time.
    Unconfirmed,
}

impl EndReason {
    pub(crate) const ALL: [Self; 13] = [
        Self::Abandoned,
        Self::Deleted,
        Self::Drained,
        Self::EndedElsewhere,
        Self::Evicted,
        Self::GuardDropped,
        Self::HandedOver,
        Self::Idle,
        Self::InnerLost,
        Self::Lifetime,
        Self::NeverUsed,
        Self::Revoked,
        Self::Unconfirmed,
    ];

    /// The reason's name in logs and metrics, in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Deleted => "deleted",
            Self::Drained => "drained",
            Self::EndedElsewhere => "ended_elsewhere",
            Self::Evicted => "evicted",
            Self::GuardDropped => "guard_dropped",
            Self::HandedOver => "handed_over",
            Self::Idle => "idle",
            Self::InnerLost => "inner_lost",
            Self::Lifetime => "lifetime",
            Self::NeverUsed => "never_used",
            Self::Revoked => "revoked",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Abandoned)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_reason_survives_the_state_word() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::from_code(reason as u8), reason);
        }
    }
}
