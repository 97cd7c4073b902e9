//! The entry of one session: its state machine and its clocks, in atomics only.
//!
//! One step on the state word checks that nothing is in flight and ends the session. A request that
//! begins at the same moment therefore either keeps the session or comes too late.

mod clocks;
mod in_flight;
mod stored;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use http::HeaderValue;

use super::clock;
use super::id::McpSessionId;
use super::lazy::LazyState;
use super::owner::Owner;
use super::scope::Scope;
use super::state::{Phase, State};
use super::{EndReason, McpSession};
use crate::session::Observers;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

pub(crate) use self::clocks::Limits;
pub(crate) use self::in_flight::InFlight;

/// One session, shared by the registry, its handles and everything in flight for it.
pub(crate) struct Entry {
    pub(crate) id: McpSessionId,
    pub(crate) client: Arc<Client>,
    pub(crate) owner: Option<Owner>,
    pub(crate) scope: Scope,
    /// The inner service's own session id, never shown outside.
    inner_id: OnceLock<Box<HeaderValue>>,
    /// The version in the result of `initialize`, known or not.
    protocol_version: OnceLock<Cow<'static, str>>,
    pub(crate) lazy: LazyState,
    /// The name of the node that opened the session; `None` without a store.
    opened_on: Option<Arc<String>>,
    /// The time when the store last confirmed the session; [`UNSTORED`] if the store does not know
    /// it, 0 if it is unverified.
    verified: AtomicU64,
    /// The time when the store last learned that the session is in use.
    refreshed: AtomicU64,
    registry: Weak<dyn EntryRegistry>,
    /// Phase, flags, end reason, number of requests in flight and number of beginnings: see
    /// [`State`].
    state: AtomicU64,
    /// The time when the session opened.
    opened: AtomicU64,
    /// The time when the last admitted request or response body ended.
    last: AtomicU64,
    /// The number of response bodies in flight. Each was wrapped, so that its end is seen.
    bodies: AtomicU32,
    /// The time when one of these bodies last carried a byte, or [`clocks::BYTE_CARRIED`].
    last_byte: AtomicU64,
}

/// The client of a session, as it named itself in `initialize`. All sessions of one client share it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Client {
    pub(crate) name: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
}

/// The registry of an entry: all that an entry knows of the modules above it.
pub(crate) trait EntryRegistry: Send + Sync {
    /// Ends the session in any phase. Returns `false` if it had already ended.
    fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool;

    fn observers(&self) -> &Arc<Observers>;
}

impl Entry {
    /// Creates the entry for an `initialize` in progress.
    pub(crate) fn reserved(
        id: McpSessionId,
        client: Arc<Client>,
        owner: Option<Owner>,
        scope: Scope,
        opened_on: Option<Arc<String>>,
        registry: Weak<dyn EntryRegistry>,
    ) -> Self {
        let now = clock::now();
        Self {
            id,
            client,
            owner,
            scope,
            inner_id: OnceLock::new(),
            protocol_version: OnceLock::new(),
            lazy: LazyState::default(),
            opened_on,
            verified: AtomicU64::new(UNSTORED),
            refreshed: AtomicU64::new(0),
            registry,
            state: AtomicU64::new(State::phase_only(Phase::Reserved).0),
            opened: AtomicU64::new(now),
            last: AtomicU64::new(now),
            bodies: AtomicU32::new(0),
            last_byte: AtomicU64::new(now),
        }
    }

    /// Stores the id of the inner session, which the inner service set in its answer to `initialize`.
    pub(crate) fn set_inner_id(&self, id: HeaderValue) {
        let _ = self.inner_id.set(Box::new(id));
    }

    /// Opens the session when the inner service has answered `initialize`: from now on the id is
    /// valid. Returns `None` if the session ended meanwhile.
    ///
    /// The body of the answer counts as in flight; nothing else can be in flight yet.
    pub(crate) fn open(self: &Arc<Self>, phase: Phase) -> Option<InFlight> {
        let now = clock::now();
        for clock in [&self.opened, &self.last, &self.last_byte] {
            clock.store(now, Relaxed);
        }
        self.bodies.store(1, Relaxed);
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                (state.phase() == Phase::Reserved).then(|| state.with_phase(phase).begun().0)
            })
            .ok()?;
        Some(InFlight {
            entry: self.clone(),
            admitted: true,
            body: true,
        })
    }

    /// Restores a session that another process opened, or this one before a restart: from now on the
    /// id is valid here. Returns `false` if the session ended meanwhile.
    pub(crate) fn resume(&self) -> bool {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                let resumed = state.with_phase(Phase::Live).0 | State::USED | State::CONFIRMED;
                (state.phase() == Phase::Reserved).then_some(resumed)
            })
            .is_ok()
    }

    /// Sets how long ago the session opened, in nanoseconds.
    pub(crate) fn set_age(&self, age: u64) {
        let opened = clock::now().saturating_sub(age);
        self.opened.store(opened, Relaxed);
    }

    /// Stores the protocol version that the result of `initialize` names.
    pub(crate) fn set_protocol_version(&self, protocol_version: Cow<'static, str>) {
        let _ = self.protocol_version.set(protocol_version);
    }

    /// Confirms the session, because the client has the result: a provisional session becomes live.
    pub(crate) fn confirm(self: &Arc<Self>) {
        let confirmed = self.state.fetch_update(AcqRel, Acquire, |word| {
            let state = State(word);
            (state.is_usable() && !state.is_confirmed())
                .then(|| state.with_phase(Phase::Live).0 | State::CONFIRMED)
        });
        if confirmed.is_ok()
            && let Some(observers) = self.observers()
        {
            observers.confirmed(&McpSession::new(self.clone()));
        }
    }

    /// Records that all observers were notified of the opening. Returns why the session has ended
    /// meanwhile, if it has.
    pub(crate) fn mark_announced(&self) -> Option<EndReason> {
        State(self.state.fetch_or(State::ANNOUNCED, AcqRel)).end_reason()
    }

    /// Returns the observers of the session; `None` if the guard was dropped.
    pub(crate) fn observers(&self) -> Option<Arc<Observers>> {
        Some(self.registry.upgrade()?.observers().clone())
    }

    /// Begins a request of the session. Returns `None` if the id is not valid.
    pub(crate) fn begin(self: Arc<Self>) -> Option<InFlight> {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                state.is_usable().then(|| state.begun().0)
            })
            .ok()?;
        Some(InFlight {
            entry: self,
            admitted: false,
            body: false,
        })
    }

    /// Returns whether the session belongs to this scope and owner. An anonymous session matches
    /// anonymous callers only.
    #[inline]
    pub(crate) fn belongs_to(&self, scope: &Scope, owner: Option<&Owner>) -> bool {
        self.scope == *scope && self.owner.as_ref() == owner
    }

    /// Ends the session and returns the state before; `None` if it had already ended.
    pub(crate) fn end(&self, reason: EndReason) -> Option<State> {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                (state.phase() != Phase::Ended).then(|| state.ended(reason).0)
            })
            .ok()
            .map(State)
    }

    /// Ends the session if it was never used. Returns the state before; `None` if a second message
    /// came or the session had already ended.
    pub(crate) fn end_never_used(&self, reason: EndReason) -> Option<State> {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                let is_never_used = state.is_usable() && !state.is_used();
                is_never_used.then(|| state.ended(reason).0)
            })
            .ok()
            .map(State)
    }

    /// Ends the session and removes it from its registry. Returns `false` if it had already ended.
    pub(crate) fn leave(self: &Arc<Self>, reason: EndReason) -> bool {
        self.registry
            .upgrade()
            .is_some_and(|registry| registry.end(self, reason))
    }

    /// Claims the one DELETE that may be under way. Returns `false` if another has claimed it or the
    /// session is not open.
    pub(crate) fn begin_delete(&self) -> bool {
        let before = State(self.state.fetch_or(State::DELETING, AcqRel));
        before.is_usable() && before.0 & State::DELETING == 0
    }

    /// Allows another DELETE, because the inner service refused this one.
    pub(crate) fn cancel_delete(&self) {
        self.state.fetch_and(!State::DELETING, AcqRel);
        self.lazy.notify_watchers();
    }

    /// Records that the inner service may not have received the DELETE of the client.
    pub(crate) fn mark_delete_unanswered(&self) {
        self.state.fetch_or(State::DELETE_UNANSWERED, AcqRel);
    }

    /// Returns whether the inner service knows of the end from the DELETE of the client.
    pub(crate) fn inner_knows_of_delete(&self) -> bool {
        self.state.load(Acquire) & (State::DELETING | State::DELETE_UNANSWERED) == State::DELETING
    }

    /// Records that the inner service answered a GET with an event stream.
    pub(crate) fn mark_streamed(&self) {
        if !self.has_streamed() {
            self.state.fetch_or(State::STREAMED, AcqRel);
        }
    }

    /// Returns whether the inner service has ever answered a GET with an event stream.
    pub(crate) fn has_streamed(&self) -> bool {
        self.state.load(Acquire) & State::STREAMED != 0
    }

    /// Returns whether a DELETE is under way or has ended the session.
    pub(crate) fn is_deleting(&self) -> bool {
        self.state.load(Acquire) & State::DELETING != 0
    }

    /// Returns whether the id is valid: the session is provisional or live.
    #[inline] // called for each frame of a stream
    pub(crate) fn is_usable(&self) -> bool {
        State(self.state.load(Acquire)).is_usable()
    }

    /// Returns whether a second message has come.
    pub(crate) fn is_used(&self) -> bool {
        State(self.state.load(Acquire)).is_used()
    }

    /// Returns the number of requests and response bodies in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        State(self.state.load(Acquire)).in_flight()
    }

    /// Returns why the session ended, if it has.
    #[inline]
    pub(crate) fn end_reason(&self) -> Option<EndReason> {
        State(self.state.load(Acquire)).end_reason()
    }

    /// Returns when the session opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Returns when the last admitted request or response body ended.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    pub(crate) fn opened_on(&self) -> Option<&str> {
        self.opened_on.as_deref().map(String::as_str)
    }

    /// Returns the version in the result of `initialize`, once it came.
    #[inline]
    pub(crate) fn negotiated(&self) -> Option<&Cow<'static, str>> {
        self.protocol_version.get()
    }

    #[inline]
    pub(crate) fn protocol_version(&self) -> Option<&str> {
        self.negotiated().map(|version| &**version)
    }

    #[inline]
    pub(crate) fn inner_id(&self) -> Option<&HeaderValue> {
        self.inner_id.get().map(|id| &**id)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = State(self.state.load(Acquire));
        f.debug_struct("McpSession")
            .field("fingerprint", &self.id.fingerprint())
            .field("phase", &state.phase())
            .field("in_flight", &state.in_flight())
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// The value of [`Entry::verified`] for a session that the store does not know. The session belongs
/// to this process only and needs no check.
const UNSTORED: u64 = u64::MAX;

#[cfg(test)]
impl Entry {
    /// Creates an entry without a registry.
    pub(crate) fn without_registry(id: &str, owner: Option<Owner>) -> Arc<Self> {
        use super::registry::Registry;
        let id = McpSessionId::restored(id).expect("the id is well formed");
        let (client, registry) = (Arc::default(), Weak::<Registry>::new());
        let scope = Scope::default();
        Arc::new(Self::reserved(id, client, owner, scope, None, registry))
    }
}
