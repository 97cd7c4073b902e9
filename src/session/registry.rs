//! The registry: the only owner of the map, of its slots, and of the one way out.

mod by_owner;
mod capacity;
mod clients;
mod expiry;
#[cfg(all(test, interleave))]
mod interleavings;
mod map;
mod never_used;
mod slot;

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use super::drain::Drain;
use super::entry::{Client, Entry, Home, Limits};
use super::id::{IdSource, McpSessionId};
use super::owner::Owner;
use super::reaper::Reaper;
use super::scope::Scope;
use super::state::{Phase, State};
use super::tally::Tally;
use super::{EndReason, McpSession, clock};
use crate::promises::ID_ATTEMPTS;
use crate::session::{Observers, SessionStats};
use crate::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use crate::sync::{Mutex, MutexGuard};

use self::by_owner::ByOwner;
use self::clients::Clients;
#[cfg(any(fuzzing, feature = "_internals"))]
pub(crate) use self::expiry::sweep_gently;
use self::map::Map;
use self::never_used::NeverUsed;
pub(crate) use self::slot::Slot;

/// All sessions of one guard, or of several that share them.
pub(crate) struct Registry {
    /// An id is one session's only, whatever the scope: what a guard of another scope asks for is
    /// compared after the lookup.
    map: Map,
    ids: IdSource,
    limits: Limits,
    max_sessions: usize,
    max_per_owner: usize,
    /// Reserved, provisional and live.
    taken: AtomicUsize,
    /// Provisional and live.
    open: AtomicUsize,
    /// Sessions that no second message has used yet, oldest first: the first to go when full.
    never_used: Mutex<NeverUsed>,
    clients: Mutex<Clients>,
    by_owner: Mutex<ByOwner>,
    drain: Arc<Drain>,
    /// Inner services that are being told of a session's end.
    farewells: Arc<Tally>,
    /// When a full registry last looked for expired sessions.
    last_reclaim: AtomicU64,
    /// The part of the map at which that look goes on.
    next_reclaim: AtomicUsize,
    reaper: Reaper,
    observers: Arc<Observers>,
    /// Called with each session that leaves, before the map forgets it.
    on_leave: Option<OnLeave>,
}

/// What a registry is built with.
pub(crate) struct RegistrySettings {
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    pub(crate) max_sessions: usize,
    pub(crate) max_per_owner: usize,
    pub(crate) observers: Arc<Observers>,
    pub(crate) on_leave: Option<OnLeave>,
}

/// What [`RegistrySettings::on_leave`] is.
pub(crate) type OnLeave = Box<dyn Fn(&Entry, EndReason) + Send + Sync>;

impl Registry {
    pub(crate) fn new(settings: RegistrySettings) -> Self {
        let RegistrySettings {
            ids,
            limits,
            max_sessions,
            max_per_owner,
            observers,
            on_leave,
        } = settings;
        Self {
            map: Map::of_so_many(max_sessions),
            ids,
            limits,
            max_sessions,
            max_per_owner,
            taken: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            never_used: Mutex::default(),
            clients: Mutex::default(),
            by_owner: Mutex::default(),
            drain: Arc::default(),
            farewells: Arc::default(),
            last_reclaim: AtomicU64::new(0),
            next_reclaim: AtomicUsize::new(0),
            reaper: Reaper::new(&limits),
            observers,
            on_leave,
        }
    }

    /// The client of this name and version, kept once for all its sessions.
    pub(crate) fn client(&self, name: Option<&str>, version: Option<&str>) -> Arc<Client> {
        lock(&self.clients).intern(name, version)
    }

    /// Takes a place for a session that is about to open, with a new id. `opened_on` names this process
    /// where there is a store. The place is released when the [`Slot`] is dropped before the session opened.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        new: NewEntry,
        opened_on: Option<&Arc<String>>,
    ) -> Result<Slot, ReserveError> {
        if self.drain.is_draining() {
            return Err(ReserveError::Draining);
        }
        self.take(new, opened_on, || self.ids.next(), EndReason::Abandoned)
    }

    /// Takes a place for a session that has this id already: it opened in another process, or earlier. The
    /// place is released when the [`Slot`] is dropped before the session [goes on](Slot::resume).
    pub(crate) fn reserve_again(
        self: &Arc<Self>,
        id: &str,
        new: NewEntry,
        opened_on: &Arc<String>,
    ) -> Result<Slot, ReserveError> {
        if self.drain.is_over() {
            return Err(ReserveError::Draining);
        }
        let mut id = McpSessionId::restored(id);
        self.take(new, Some(opened_on), || id.take(), EndReason::HandedOver)
    }

    /// Takes a place, for a session with the first of the `ids` that is free; `unless_opened` is why
    /// it ends where it does not open.
    fn take(
        self: &Arc<Self>,
        new: NewEntry,
        opened_on: Option<&Arc<String>>,
        ids: impl FnMut() -> Option<McpSessionId>,
        unless_opened: EndReason,
    ) -> Result<Slot, ReserveError> {
        let NewEntry {
            client,
            owner,
            scope,
        } = new;
        // Before a place is taken: an owner who has enough must not push out others' sessions.
        if let Some(owner) = &owner {
            self.make_room_for(owner)?;
        }
        if !self.take_place() && !self.make_room() {
            return Err(ReserveError::Full);
        }
        let reserved = |id| {
            let registry: Weak<Self> = Arc::downgrade(self);
            let (client, owner, scope) = (client.clone(), owner.clone(), scope.clone());
            Entry::reserved(id, client, owner, scope, opened_on.cloned(), registry)
        };
        let slot = self.place(ids, reserved, unless_opened);
        if slot.is_err() {
            self.taken.fetch_sub(1, AcqRel);
            self.drain.look();
        }
        // Whoever ended everything while this one was put into the map may have missed it.
        slot.and_then(|slot| match self.drain.is_over() {
            true => Err(ReserveError::Draining),
            false => Ok(slot),
        })
    }

    /// Finds an id that is free, and room among the owner's sessions.
    fn place(
        self: &Arc<Self>,
        mut ids: impl FnMut() -> Option<McpSessionId>,
        reserved: impl Fn(McpSessionId) -> Entry,
        unless_opened: EndReason,
    ) -> Result<Slot, ReserveError> {
        for _ in 0..ID_ATTEMPTS {
            let Some(id) = ids() else { break };
            let entry = Arc::new(reserved(id));
            // Listed first: whoever takes the entry out of the map takes it off the list.
            self.list_for_owner(&entry)?;
            // Never overwritten: a generator that repeats itself must not hand over a session.
            if self.map.add(&entry) {
                if entry.end_reason().is_some() {
                    // Its owner's sessions were ended while it stood on the owner's list alone.
                    self.map.remove(&entry);
                }
                return Ok(Slot {
                    registry: self.clone(),
                    entry,
                    unless_opened: Some(unless_opened),
                });
            }
            self.unlist(&entry);
            if entry.end(EndReason::Abandoned).is_none() {
                // Whoever has ended it meanwhile has given the place back.
                self.taken.fetch_add(1, AcqRel);
            }
        }
        Err(ReserveError::NoId)
    }

    /// Whether this registry may have issued such an id: one of another form needs no lookup in a store.
    pub(crate) fn may_have_issued(&self, id: &[u8]) -> bool {
        self.ids.may_have_made(id)
    }

    /// The open session with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.get_at(id, clock::now())
    }

    /// The same, at this moment of [`clock::now`].
    pub(crate) fn get_at(&self, id: &[u8], now: u64) -> Option<Arc<Entry>> {
        let entry = self.find(id)?;
        self.end_if_expired(&entry, now);
        entry.is_usable().then_some(entry)
    }

    /// The session with this id, whatever it is in the middle of.
    pub(crate) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.map.find(id)
    }

    /// All open sessions.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Entry>> {
        self.map.all(Entry::is_usable)
    }

    /// All sessions, those that are just opening included.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.map.all(|_| true)
    }

    /// All sessions of an owner, those that are just opening included.
    pub(crate) fn of(&self, owner: &Owner) -> Vec<Arc<Entry>> {
        lock(&self.by_owner).of(owner)
    }

    /// How many sessions are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Acquire)
    }

    /// What has happened so far.
    pub(crate) fn stats(&self) -> SessionStats {
        let open = self.open();
        let opening = self.taken.load(Acquire).saturating_sub(open);
        self.observers.counters.read(open, opening)
    }

    pub(crate) fn observers(&self) -> &Arc<Observers> {
        &self.observers
    }

    /// Whether nothing is open or about to be.
    pub(crate) fn is_empty(&self) -> bool {
        // Not a mere look, which could miss somebody who has just left and not seen the drain.
        self.taken.fetch_add(0, AcqRel) == 0
    }

    /// The longest id that a session of this registry can have, in bytes.
    pub(crate) fn longest_id(&self) -> usize {
        self.ids.longest()
    }

    pub(crate) fn drain(&self) -> &Arc<Drain> {
        &self.drain
    }

    /// Waits until nothing is open any more, and no call is under way.
    pub(crate) async fn emptied(&self) {
        let calls = self.drain.calls();
        loop {
            calls.emptied().await;
            let gone = self.drain.gone();
            if !self.is_empty() {
                gone.await;
            } else if calls.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn farewells(&self) -> &Arc<Tally> {
        &self.farewells
    }

    /// A session opened: sweeps must be under way.
    fn wake_reaper(self: &Arc<Self>) {
        let task = || expiry::reap(Arc::downgrade(self), self.reaper.pause());
        self.reaper.wake(task);
    }

    /// Ends a session, whatever it is in the middle of. `false` if it had ended before.
    pub(crate) fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        let before = entry.end(reason);
        self.leave(entry, before)
    }

    /// The one way out of the registry, for whoever moved the entry to its end from `before`.
    fn leave(&self, entry: &Arc<Entry>, before: Option<State>) -> bool {
        let Some(before) = before else { return false };
        if let (Some(on_leave), Some(reason)) = (&self.on_leave, entry.end_reason()) {
            on_leave(entry, reason);
        }
        self.map.remove(entry);
        self.unlist(entry);
        self.taken.fetch_sub(1, AcqRel);
        if before.phase() != Phase::Reserved {
            self.open.fetch_sub(1, AcqRel);
        }
        entry.extras.close(entry);
        self.tell_end(entry, before);
        self.drain.look();
        true
    }

    /// A session of whose opening nobody has been told has no end to be told of; whoever is telling
    /// of it will see the end.
    fn tell_end(&self, entry: &Arc<Entry>, before: State) {
        if let (true, Some(reason)) = (before.is_told(), entry.end_reason()) {
            let session = McpSession::new(entry.clone());
            self.observers.ended(&session, reason);
        }
    }
}

impl Home for Registry {
    fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        self.end(entry, reason)
    }

    fn observers(&self) -> &Arc<Observers> {
        &self.observers
    }
}

impl Drop for Registry {
    /// Streams end and waiters are told, however long they outlive the guard.
    fn drop(&mut self) {
        for place in &self.map.all(|_| true) {
            if let Some(before) = place.end(place.reason_without_us(EndReason::GuardDropped)) {
                place.extras.close(place);
                self.tell_end(place, before);
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("open", &self.open)
            .field("taken", &self.taken)
            .field("max_sessions", &self.max_sessions)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Who opens a session, and under which guard.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) client: Arc<Client>,
    pub(crate) owner: Option<Owner>,
    pub(crate) scope: Scope,
}

/// Why [`Registry::reserve`] found no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReserveError {
    /// The server is shutting down.
    Draining,
    /// The limit is reached and every session is in use.
    Full,
    /// The generator made no valid id that is free.
    NoId,
    /// The owner has as many sessions as one may have, and all are in use.
    OwnerFull,
    /// The store can not be reached.
    StoreDown,
}

/// Nothing that these locks guard can be left half done, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
