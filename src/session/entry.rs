//! One session's record: its state machine and its clocks, in atomics only.
//!
//! "Nothing is in flight and the clock ran out" and "it ends" are one step on the state word, so a
//! request that begins in between wins or loses, never both.

mod clocks;
mod in_flight;
mod stored;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use http::HeaderValue;

use super::clock;
use super::extras::Extras;
use super::id::McpSessionId;
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

/// One session, shared by the registry, its handles and whatever is in flight for it.
pub(crate) struct Entry {
    pub(crate) id: McpSessionId,
    pub(crate) client: Arc<Client>,
    pub(crate) owner: Option<Owner>,
    pub(crate) scope: Scope,
    /// The inner service's own session id, never shown outside.
    inner_id: OnceLock<Box<HeaderValue>>,
    /// The version in the result of `initialize`, whatever it is.
    protocol_version: OnceLock<Cow<'static, str>>,
    pub(crate) extras: Extras,
    /// The name of the process that opened it, where there is a store.
    opened_on: Option<Arc<String>>,
    /// When the store last vouched for it, [`UNSTORED`] where it does not know it, 0 where that is
    /// in doubt.
    verified: AtomicU64,
    /// When the store was last told that it is in use.
    refreshed: AtomicU64,
    registry: Weak<dyn Home>,
    /// Phase, flags, end reason, requests in flight and a count of beginnings: see [`State`].
    state: AtomicU64,
    /// When the session opened.
    opened: AtomicU64,
    /// When the last admitted request or response body ended.
    last: AtomicU64,
    /// How many of those in flight are response bodies that were wrapped to tell their end.
    bodies: AtomicU32,
    /// When one of these bodies last carried a byte, or [`SINCE`].
    last_byte: AtomicU64,
}

/// What the client said of itself in `initialize`, kept once for all sessions that say the same.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Client {
    pub(crate) name: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
}

/// Where an entry is registered: the one thing that it knows of the modules above it.
pub(crate) trait Home: Send + Sync {
    /// Ends the session, whatever it is in the middle of. `false` if it had ended before.
    fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool;

    fn observers(&self) -> &Arc<Observers>;
}

impl Entry {
    /// A record for an `initialize` that is on its way.
    pub(crate) fn reserved(
        id: McpSessionId,
        client: Arc<Client>,
        owner: Option<Owner>,
        scope: Scope,
        opened_on: Option<Arc<String>>,
        registry: Weak<dyn Home>,
    ) -> Self {
        let now = clock::now();
        Self {
            id,
            client,
            owner,
            scope,
            inner_id: OnceLock::new(),
            protocol_version: OnceLock::new(),
            extras: Extras::default(),
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

    /// The inner service named a session of its own in its answer to `initialize`.
    pub(crate) fn keep_inner_id(&self, id: HeaderValue) {
        let _ = self.inner_id.set(Box::new(id));
    }

    /// The answer to `initialize` came: from now on the id is good. `None` if it ended meanwhile.
    ///
    /// The answer's own body counts as in flight; nothing else can be yet.
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

    /// The record of a session that opened before, elsewhere or in an earlier life, comes back: from
    /// now on the id is good here. `false` if it ended meanwhile.
    pub(crate) fn resume(&self) -> bool {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                let resumed = state.with_phase(Phase::Live).0 | State::USED | State::CONFIRMED;
                (state.phase() == Phase::Reserved).then_some(resumed)
            })
            .is_ok()
    }

    /// It opened so long ago.
    pub(crate) fn set_age(&self, age: u64) {
        let opened = clock::now().saturating_sub(age);
        self.opened.store(opened, Relaxed);
    }

    /// The result names this version.
    pub(crate) fn keep_protocol_version(&self, protocol_version: Cow<'static, str>) {
        let _ = self.protocol_version.set(protocol_version);
    }

    /// The client has the result: a provisional session is live.
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

    /// All have been told that the session opened. Why it has ended meanwhile, if it has.
    pub(crate) fn mark_told(&self) -> Option<EndReason> {
        State(self.state.fetch_or(State::TOLD, AcqRel)).end_reason()
    }

    /// Who is told what happens to it; `None` if the guard is gone.
    pub(crate) fn observers(&self) -> Option<Arc<Observers>> {
        Some(self.registry.upgrade()?.observers().clone())
    }

    /// A request names this session. `None` if its id is not good.
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

    /// Whether this is a session of the scope and owner that ask for it. Nobody's sessions are
    /// nobody's only.
    #[inline]
    pub(crate) fn belongs_to(&self, scope: &Scope, owner: Option<&Owner>) -> bool {
        self.scope == *scope && self.owner.as_ref() == owner
    }

    /// Ends the session. `None` if it had ended before; else the state that it was in.
    pub(crate) fn end(&self, reason: EndReason) -> Option<State> {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                (state.phase() != Phase::Ended).then(|| state.ended(reason).0)
            })
            .ok()
            .map(State)
    }

    /// Ends the session if no second message has come. `None` if one has, or it had ended.
    pub(crate) fn end_unused(&self, reason: EndReason) -> Option<State> {
        self.state
            .fetch_update(AcqRel, Acquire, |word| {
                let state = State(word);
                let is_unused = state.is_usable() && !state.is_used();
                is_unused.then(|| state.ended(reason).0)
            })
            .ok()
            .map(State)
    }

    /// Ends the session and takes it out of its registry. `false` if it had ended before.
    pub(crate) fn leave(self: &Arc<Self>, reason: EndReason) -> bool {
        self.registry
            .upgrade()
            .is_some_and(|registry| registry.end(self, reason))
    }

    /// Claims the one DELETE that may be under way; `false` if another has it.
    pub(crate) fn begin_delete(&self) -> bool {
        let before = State(self.state.fetch_or(State::DELETING, AcqRel));
        before.is_usable() && before.0 & State::DELETING == 0
    }

    /// The DELETE was refused by the inner service: another may be tried.
    pub(crate) fn cancel_delete(&self) {
        self.state.fetch_and(!State::DELETING, AcqRel);
        self.extras.ring();
    }

    /// The inner service may not have heard the client's DELETE.
    pub(crate) fn mark_unheard(&self) {
        self.state.fetch_or(State::UNHEARD, AcqRel);
    }

    /// Whether the inner service knows of the end by the client's DELETE.
    pub(crate) fn is_delete_heard(&self) -> bool {
        self.state.load(Acquire) & (State::DELETING | State::UNHEARD) == State::DELETING
    }

    /// The inner service has answered a GET with an event stream.
    pub(crate) fn mark_streamed(&self) {
        if !self.has_streamed() {
            self.state.fetch_or(State::STREAMED, AcqRel);
        }
    }

    /// Whether the inner service has ever answered a GET with an event stream.
    pub(crate) fn has_streamed(&self) -> bool {
        self.state.load(Acquire) & State::STREAMED != 0
    }

    /// Whether a DELETE is under way, or has ended the session.
    pub(crate) fn is_deleting(&self) -> bool {
        self.state.load(Acquire) & State::DELETING != 0
    }

    /// Whether the id is good: provisional or live.
    #[inline] // asked for each frame of a stream
    pub(crate) fn is_usable(&self) -> bool {
        State(self.state.load(Acquire)).is_usable()
    }

    /// Whether a second message has come.
    pub(crate) fn is_used(&self) -> bool {
        State(self.state.load(Acquire)).is_used()
    }

    /// How many requests and response bodies are in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        State(self.state.load(Acquire)).in_flight()
    }

    /// Why the session ended, if it has.
    #[inline]
    pub(crate) fn end_reason(&self) -> Option<EndReason> {
        State(self.state.load(Acquire)).end_reason()
    }

    /// When the session opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// When the last admitted request or response body ended.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    pub(crate) fn opened_on(&self) -> Option<&str> {
        self.opened_on.as_deref().map(String::as_str)
    }

    /// The version in the result of `initialize`.
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

/// The store does not know the session: it is this process's only, and needs no check.
const UNSTORED: u64 = u64::MAX;
#[cfg(test)]
impl Entry {
    /// One without a registry.
    pub(crate) fn alone(id: &str, owner: Option<Owner>) -> Arc<Self> {
        use super::registry::Registry;
        let id = McpSessionId::restored(id).expect("the id is well formed");
        let (client, registry) = (Arc::default(), Weak::<Registry>::new());
        let scope = Scope::default();
        Arc::new(Self::reserved(id, client, owner, scope, None, registry))
    }
}
