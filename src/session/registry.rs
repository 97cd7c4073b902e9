//! The registry: the only owner of the map, of its slots, and of the one way out.

mod clients;
mod expiry;
#[cfg(all(test, interleave))]
mod interleavings;
mod map;
mod room;
mod slot;
mod unused;

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::drain::Drain;
use super::entry::{Client, Entry, InFlight, Limits};
use super::id::{IdSource, McpSessionId};
use super::owner::{Holdings, Owner, Scope};
use super::reaper::Reaper;
use super::state::{Phase, State};
use super::tally::Tally;
use super::{EndReason, McpSession, clock};
use crate::protocol::revision;
use crate::session::{Observers, SessionHook, SessionStats};
use crate::store::{Known, Link, Record, SessionKey, StoreSettings};
use crate::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use crate::sync::{Mutex, MutexGuard};

use self::clients::Clients;
use self::map::Map;
pub(crate) use self::slot::Slot;
use self::unused::Unused;

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
    unused: Mutex<Unused>,
    clients: Mutex<Clients>,
    holdings: Mutex<Holdings>,
    drain: Arc<Drain>,
    /// Inner services that are being told of a session's end.
    farewells: Arc<Tally>,
    /// When a full registry last looked for expired sessions.
    last_reclaim: AtomicU64,
    /// The part of the map at which that look goes on.
    next_reclaim: AtomicUsize,
    reaper: Reaper,
    observers: Arc<Observers>,
    /// The tie to what outlives the process.
    link: Option<Link>,
}

/// What a registry is built with.
pub(crate) struct RegistrySettings {
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    pub(crate) max_sessions: usize,
    pub(crate) max_per_owner: usize,
    pub(crate) hooks: Vec<Arc<dyn SessionHook>>,
    pub(crate) store: Option<StoreSettings>,
}

impl Registry {
    pub(crate) fn new(settings: RegistrySettings) -> Arc<Self> {
        let RegistrySettings {
            ids,
            limits,
            max_sessions,
            max_per_owner,
            hooks,
            store,
        } = settings;
        let observers = Arc::new(Observers::new(hooks));
        Arc::new(Self {
            map: Map::of_so_many(max_sessions),
            ids,
            limits,
            max_sessions,
            max_per_owner,
            taken: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            unused: Mutex::default(),
            clients: Mutex::default(),
            holdings: Mutex::default(),
            drain: Arc::default(),
            farewells: Arc::default(),
            last_reclaim: AtomicU64::new(0),
            next_reclaim: AtomicUsize::new(0),
            reaper: Reaper::new(&limits),
            link: store.map(|store| Link::new(store, limits, observers.clone())),
            observers,
        })
    }

    /// The client of this name and version, kept once for all its sessions.
    pub(crate) fn client(&self, name: Option<&str>, version: Option<&str>) -> Arc<Client> {
        lock(&self.clients).intern(name, version)
    }

    /// A place for a session that is about to open, with its id. It is given back when the
    /// [`Slot`] is dropped before the session opened.
    pub(crate) fn reserve(self: &Arc<Self>, opener: Opener) -> Result<Slot, Unavailable> {
        if self.drain.is_draining() {
            return Err(Unavailable::Draining);
        }
        if self.link.as_ref().is_some_and(Link::is_closed) {
            return Err(Unavailable::StoreDown);
        }
        let ids = || self.ids.next();
        let node = self.link.as_ref().map(Link::node);
        self.take(opener, node, ids, EndReason::Abandoned)
    }

    /// A place for a session that another process has opened, or this one in an earlier life, as the
    /// store was `asked` of at that moment. It is given back when the [`Slot`] is dropped before the
    /// session [goes on](Slot::resume).
    pub(crate) fn restore(
        self: &Arc<Self>,
        id: &str,
        scope: Scope,
        record: Record,
        asked: u64,
    ) -> Result<Slot, Unavailable> {
        if self.drain.is_over() {
            return Err(Unavailable::Draining);
        }
        let Record {
            client,
            owner,
            protocol_version,
            inner_id,
            opened_on,
            age,
        } = record;
        let opener = Opener {
            client: self.client(client.name.as_deref(), client.version.as_deref()),
            owner,
            scope,
        };
        let mut id = McpSessionId::restored(id);
        let node = Arc::new(opened_on);
        let slot = self.take(opener, Some(&node), || id.take(), EndReason::HandedOver)?;
        let entry = slot.entry();
        entry.verify(asked);
        entry.set_age(clock::nanos(age));
        if let Some(version) = protocol_version {
            entry.keep_protocol_version(revision::known(&version));
        }
        if let Some(inner_id) = inner_id {
            entry.keep_inner_id(inner_id);
        }
        Ok(slot)
    }

    /// Takes a place, for a session with the first of the `ids` that is free; `unless_opened` is why
    /// it ends where it does not open.
    fn take(
        self: &Arc<Self>,
        opener: Opener,
        node: Option<&Arc<String>>,
        ids: impl FnMut() -> Option<McpSessionId>,
        unless_opened: EndReason,
    ) -> Result<Slot, Unavailable> {
        let Opener {
            client,
            owner,
            scope,
        } = opener;
        // Before a place is taken: an owner who has enough must not push out others' sessions.
        if let Some(owner) = &owner {
            self.make_room_for(owner)?;
        }
        if !self.take_place() && !self.make_room() {
            return Err(Unavailable::Full);
        }
        let reserved = |id| {
            let registry = Arc::downgrade(self);
            let (client, owner, scope) = (client.clone(), owner.clone(), scope.clone());
            Entry::reserved(id, client, owner, scope, node.cloned(), registry)
        };
        let slot = self.place(ids, reserved, unless_opened);
        if slot.is_err() {
            self.taken.fetch_sub(1, AcqRel);
            self.drain.look();
        }
        // Whoever ended everything while this one was put into the map may have missed it.
        slot.and_then(|slot| match self.drain.is_over() {
            true => Err(Unavailable::Draining),
            false => Ok(slot),
        })
    }

    /// Finds an id that is free, and room among the owner's sessions.
    fn place(
        self: &Arc<Self>,
        mut ids: impl FnMut() -> Option<McpSessionId>,
        reserved: impl Fn(McpSessionId) -> Entry,
        unless_opened: EndReason,
    ) -> Result<Slot, Unavailable> {
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
        Err(Unavailable::NoId)
    }

    /// Begins a request of the session with this id, if that is open and of this scope and owner.
    pub(crate) fn begin(&self, id: &[u8], scope: &Scope, owner: Option<&Owner>) -> Begun {
        let now = clock::now();
        match (self.get_at(id, now), &self.link) {
            (Some(entry), _) if !entry.belongs_to(scope, owner) => Begun::Unknown,
            (Some(entry), Some(link)) if !link.trusts(&entry, now) => Begun::Ask,
            (Some(entry), _) => match entry.begin() {
                Some(session) => Begun::Session(session),
                None => Begun::Unknown,
            },
            (None, Some(_)) if self.ids.may_have_made(id) => Begun::Ask,
            (None, _) => Begun::Unknown,
        }
    }

    /// Begins a request of the session with this id as [`begin`](Self::begin) does, once the store
    /// has been asked.
    pub(crate) async fn begin_asked(
        self: &Arc<Self>,
        id: &[u8],
        scope: &Scope,
        owner: Option<&Owner>,
    ) -> Result<Option<InFlight>, Unavailable> {
        let (Some(link), Ok(text)) = (&self.link, str::from_utf8(id)) else {
            return Ok(None);
        };
        let key = SessionKey::new(scope.name(), text);
        match link.ask(self, scope, owner, &key).await {
            Known::Good => {}
            Known::Unknown => return Ok(None),
            Known::Unclear(unavailable) => return Err(unavailable),
        }
        let entry = self.get(id);
        let entry = entry.filter(|entry| entry.belongs_to(scope, owner));
        Ok(entry.and_then(|entry| entry.begin()))
    }

    /// The open session with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.get_at(id, clock::now())
    }

    fn get_at(&self, id: &[u8], now: u64) -> Option<Arc<Entry>> {
        let entry = self.find(id)?;
        self.end_if_expired(&entry, now);
        entry.is_usable().then_some(entry)
    }

    /// The session with this id, whatever it is in the middle of.
    pub(crate) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.map.find(id)
    }

    /// The tie to what outlives the process, if there is any.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
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
        lock(&self.holdings).of(owner)
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

    /// Opens no session any more. Ready at the deadline, when everything that was open has been
    /// ended, or earlier where nothing is open.
    pub(crate) async fn close(self: &Arc<Self>, patience: Duration) {
        self.drain.begin(patience);
        let _ = timeout(patience, self.emptied()).await;
        self.drain.finish();
        if let Some(link) = &self.link {
            let _ = timeout(FAREWELL_TIME, link.refresh(self)).await;
        }
        for entry in self.all() {
            self.end(&entry, without_us(&entry, EndReason::Drained));
        }
        let told = async {
            self.farewells.emptied().await;
            if let Some(link) = &self.link {
                // What fails is logged, and tried as long as the process lives.
                let _ = link.flush().await;
            }
        };
        let _ = timeout(FAREWELL_TIME, told).await;
    }

    /// Waits until nothing is open any more, and no call is under way.
    async fn emptied(&self) {
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

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Ends a session, whatever it is in the middle of. `false` if it had ended before.
    pub(crate) fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        let before = entry.end(reason);
        self.leave(entry, before)
    }

    /// The one way out of the registry, for whoever moved the entry to its end from `before`.
    fn leave(&self, entry: &Arc<Entry>, before: Option<State>) -> bool {
        let Some(before) = before else { return false };
        if let (Some(link), Some(reason)) = (&self.link, entry.end_reason()) {
            link.leaves(entry, reason);
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

impl Drop for Registry {
    /// Streams end and waiters are told, however long they outlive the guard.
    fn drop(&mut self) {
        for place in &self.map.all(|_| true) {
            if let Some(before) = place.end(without_us(place, EndReason::GuardDropped)) {
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

/// Why a session ends that this process can not serve any more.
fn without_us(entry: &Entry, unless_stored: EndReason) -> EndReason {
    match entry.is_stored() {
        true => EndReason::HandedOver,
        false => unless_stored,
    }
}

/// What [`Registry::begin`] found.
#[derive(Debug)]
pub(crate) enum Begun {
    Session(InFlight),
    Unknown,
    /// Only the store can tell.
    Ask,
}

/// Who opens a session, and under which guard.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) client: Arc<Client>,
    pub(crate) owner: Option<Owner>,
    pub(crate) scope: Scope,
}

/// Why [`Registry::reserve`] found no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unavailable {
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

/// How long a drain waits, behind its deadline, for inner services to be told.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
const ID_ATTEMPTS: usize = 4;
