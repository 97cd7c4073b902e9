//! The registry, the only owner of the map and of its slots. Every session leaves through it.

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
use super::entry::{Client, Entry, EntryRegistry, Limits};
use super::id::{IdSource, McpSessionId};
use super::owner::Owner;
use super::reaper::Reaper;
use super::scope::Scope;
use super::state::{Phase, State};
use super::task_counter::TaskCounter;
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

/// All sessions of one guard, or of several guards that share them.
pub(crate) struct Registry {
    /// An id belongs to one session only, whatever the scope. Scopes are compared after the lookup.
    map: Map,
    ids: IdSource,
    limits: Limits,
    max_sessions: usize,
    max_per_owner: usize,
    /// The number of slots that reserved, provisional and live sessions take.
    taken: AtomicUsize,
    /// The number of provisional and live sessions.
    open: AtomicUsize,
    /// Sessions without a second message, oldest first. The registry evicts these at the session
    /// limit.
    never_used: Mutex<NeverUsed>,
    clients: Mutex<Clients>,
    by_owner: Mutex<ByOwner>,
    drain: Arc<Drain>,
    /// The inner DELETEs that have not finished.
    inner_deletes: Arc<TaskCounter>,
    /// The time when a full registry last began a pass over the map to end expired sessions.
    last_reclaim: AtomicU64,
    /// The part of the map at which that pass continues.
    next_reclaim: AtomicUsize,
    reaper: Reaper,
    observers: Arc<Observers>,
    /// Called with each session that leaves, before the map removes it.
    on_leave: Option<OnLeave>,
}

/// The settings of a [`Registry`].
pub(crate) struct RegistrySettings {
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    pub(crate) max_sessions: usize,
    pub(crate) max_per_owner: usize,
    pub(crate) observers: Arc<Observers>,
    pub(crate) on_leave: Option<OnLeave>,
}

/// The type of [`RegistrySettings::on_leave`].
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
            map: Map::with_capacity(max_sessions),
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
            inner_deletes: Arc::default(),
            last_reclaim: AtomicU64::new(0),
            next_reclaim: AtomicUsize::new(0),
            reaper: Reaper::new(&limits),
            observers,
            on_leave,
        }
    }

    /// Returns the client with this name and version, which all its sessions share.
    pub(crate) fn client(&self, name: Option<&str>, version: Option<&str>) -> Arc<Client> {
        lock(&self.clients).intern(name, version)
    }

    /// Reserves a slot for a session that is about to open, with a new id. `opened_on` names this
    /// node, if there is a store. Dropping the [`Slot`] before the session opens frees it.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        new: NewEntry,
        opened_on: Option<&Arc<String>>,
    ) -> Result<Slot, ReserveError> {
        if self.drain.is_draining() {
            return Err(ReserveError::Draining);
        }
        self.reserve_slot(new, opened_on, || self.ids.next(), EndReason::Abandoned)
    }

    /// Reserves a slot for a session that already has this id: it opened in another process, or in
    /// this one before a restart. Dropping the [`Slot`] before [`Slot::resume`] frees it.
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
        self.reserve_slot(new, Some(opened_on), || id.take(), EndReason::HandedOver)
    }

    /// Reserves a slot for a session with the first free id of `ids`. A session that does not open
    /// ends with `reason_if_dropped`.
    fn reserve_slot(
        self: &Arc<Self>,
        new: NewEntry,
        opened_on: Option<&Arc<String>>,
        ids: impl FnMut() -> Option<McpSessionId>,
        reason_if_dropped: EndReason,
    ) -> Result<Slot, ReserveError> {
        let NewEntry {
            client,
            owner,
            scope,
        } = new;
        // The limit of the owner comes first: an owner who has reached it must not evict sessions of
        // others.
        if let Some(owner) = &owner {
            self.make_room_for(owner)?;
        }
        if !self.take_slot() && !self.make_room() {
            return Err(ReserveError::Full);
        }
        let reserved = |id| {
            let registry: Weak<Self> = Arc::downgrade(self);
            let (client, owner, scope) = (client.clone(), owner.clone(), scope.clone());
            Entry::reserved(id, client, owner, scope, opened_on.cloned(), registry)
        };
        let slot = self.register(ids, reserved, reason_if_dropped);
        if slot.is_err() {
            self.taken.fetch_sub(1, AcqRel);
            self.drain.notify_slot_freed();
        }
        // A drain that ended all sessions meanwhile may have missed this one.
        slot.and_then(|slot| match self.drain.is_over() {
            true => Err(ReserveError::Draining),
            false => Ok(slot),
        })
    }

    /// Registers an entry under a free id, within the limit of its owner.
    fn register(
        self: &Arc<Self>,
        mut ids: impl FnMut() -> Option<McpSessionId>,
        reserved: impl Fn(McpSessionId) -> Entry,
        reason_if_dropped: EndReason,
    ) -> Result<Slot, ReserveError> {
        for _ in 0..ID_ATTEMPTS {
            let Some(id) = ids() else { break };
            let entry = Arc::new(reserved(id));
            // Listed first, because a thread that removes the entry from the map also removes it from
            // the list.
            self.list_for_owner(&entry)?;
            // Never overwritten: a generator that repeats an id must not hand over a session.
            if self.map.add(&entry) {
                if entry.end_reason().is_some() {
                    // The sessions of its owner ended while it was on the owner's list but not in the
                    // map.
                    self.map.remove(&entry);
                }
                return Ok(Slot {
                    registry: self.clone(),
                    entry,
                    reason_if_dropped: Some(reason_if_dropped),
                });
            }
            self.unlist(&entry);
            if entry.end(EndReason::Abandoned).is_none() {
                // The thread that ended it meanwhile has freed the slot.
                self.taken.fetch_add(1, AcqRel);
            }
        }
        Err(ReserveError::NoId)
    }

    /// Returns whether this registry may have issued this id. An id of another form needs no lookup
    /// in a store.
    pub(crate) fn may_have_issued(&self, id: &[u8]) -> bool {
        self.ids.may_have_generated(id)
    }

    /// Returns the open session with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.get_at(id, clock::now())
    }

    /// Returns the open session with this id at the moment `now` of [`clock::now`].
    pub(crate) fn get_at(&self, id: &[u8], now: u64) -> Option<Arc<Entry>> {
        let entry = self.find(id)?;
        self.end_if_expired(&entry, now);
        entry.is_usable().then_some(entry)
    }

    /// Returns the session with this id, in any phase.
    pub(crate) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.map.find(id)
    }

    /// Returns all open sessions.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Entry>> {
        self.map.all(Entry::is_usable)
    }

    /// Returns all sessions, including those that are still opening.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.map.all(|_| true)
    }

    /// Returns all sessions of an owner, including those that are still opening.
    pub(crate) fn of(&self, owner: &Owner) -> Vec<Arc<Entry>> {
        lock(&self.by_owner).of(owner)
    }

    /// Returns the number of open sessions.
    pub(crate) fn open(&self) -> usize {
        // An opening that fails at this moment may be counted beside the session that took its slot.
        self.open.load(Acquire).min(self.max_sessions)
    }

    /// Returns the counters of what has happened so far.
    pub(crate) fn stats(&self) -> SessionStats {
        let open = self.open();
        let opening = self.taken.load(Acquire).saturating_sub(open);
        self.observers.counters.read(open, opening)
    }

    pub(crate) fn observers(&self) -> &Arc<Observers> {
        &self.observers
    }

    /// Returns whether no session is open or opening.
    pub(crate) fn is_empty(&self) -> bool {
        // A read-modify-write, because a plain load could miss a session that has just left without
        // seeing the drain.
        self.taken.fetch_add(0, AcqRel) == 0
    }

    /// Returns the length of the longest id that a session of this registry can have, in bytes.
    pub(crate) fn longest_id(&self) -> usize {
        self.ids.longest()
    }

    pub(crate) fn drain(&self) -> &Arc<Drain> {
        &self.drain
    }

    /// Waits until no session is open or opening, and no call is under way.
    pub(crate) async fn emptied(&self) {
        let calls = self.drain.calls();
        loop {
            calls.emptied().await;
            let slot_freed = self.drain.slot_freed();
            if !self.is_empty() {
                slot_freed.await;
            } else if calls.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn inner_deletes(&self) -> &Arc<TaskCounter> {
        &self.inner_deletes
    }

    /// Starts the reaper unless it runs, because a session opened.
    fn wake_reaper(self: &Arc<Self>) {
        let task = || expiry::reap(Arc::downgrade(self), self.reaper.pause());
        self.reaper.wake(task);
    }

    /// Ends a session in any phase. Returns `false` if it had already ended.
    pub(crate) fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        let before = entry.end(reason);
        self.leave(entry, before)
    }

    /// Removes a session that has ended; the only way out of the registry. The caller passes
    /// `before`, the state before the end, if the caller ended the session.
    fn leave(&self, entry: &Arc<Entry>, before: Option<State>) -> bool {
        let Some(before) = before else { return false };
        if let (Some(on_leave), Some(reason)) = (&self.on_leave, entry.end_reason()) {
            on_leave(entry, reason);
        }
        self.map.remove(entry);
        self.unlist(entry);
        // In this order: a session that takes the free slot must not be counted beside this one.
        if before.phase() != Phase::Reserved {
            self.open.fetch_sub(1, AcqRel);
        }
        self.taken.fetch_sub(1, AcqRel);
        entry.lazy.close(entry);
        self.notify_end(entry, before);
        self.drain.notify_slot_freed();
        true
    }

    /// Notifies the observers of the end, if they were notified of the opening. Otherwise the thread
    /// that announces the opening will see the end.
    fn notify_end(&self, entry: &Arc<Entry>, before: State) {
        if let (true, Some(reason)) = (before.is_announced(), entry.end_reason()) {
            let session = McpSession::new(entry.clone());
            self.observers.ended(session, reason);
        }
    }
}

impl EntryRegistry for Registry {
    fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        self.end(entry, reason)
    }

    fn observers(&self) -> &Arc<Observers> {
        &self.observers
    }
}

impl Drop for Registry {
    /// Ends all sessions, so that streams end and waiters wake even if they outlive the guard.
    fn drop(&mut self) {
        for entry in &self.map.all(|_| true) {
            if let Some(before) = entry.end(entry.shutdown_reason(EndReason::GuardDropped)) {
                entry.lazy.close(entry);
                self.notify_end(entry, before);
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

/// The client, owner and scope of a new session.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) client: Arc<Client>,
    pub(crate) owner: Option<Owner>,
    pub(crate) scope: Scope,
}

/// The reason why [`Registry::reserve`] found no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReserveError {
    /// The server is shutting down.
    Draining,
    /// The session limit is reached, and every session is in use.
    Full,
    /// The generator returned no valid id that is free.
    NoId,
    /// The owner's limit is reached, and all sessions of the owner are in use.
    OwnerFull,
    /// The store cannot be reached.
    StoreDown,
}

/// Locks a mutex, even a poisoned one: a panic leaves nothing half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
