//! The registry: the only owner of the map, of its slots, and of the one way out.

use std::borrow::Borrow;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use foldhash::fast::RandomState;
use http::HeaderValue;

use super::entry::{Client, Entry, InFlight, Limits};
use super::id::{IdSource, McpSessionId};
use super::reaper::Reaper;
use super::state::Phase;
use super::{EndReason, clock};

/// All sessions of one guard.
pub(crate) struct Registry {
    map: DashMap<McpSessionId, Arc<Entry>, RandomState>,
    ids: IdSource,
    limits: Limits,
    max_sessions: usize,
    /// Reserved, provisional and live.
    taken: AtomicUsize,
    /// Provisional and live.
    open: AtomicUsize,
    /// Sessions that no second message has used yet, oldest first: the first to go when full.
    unused: Mutex<Unused>,
    clients: Mutex<Clients>,
    /// When a full registry last looked for expired sessions.
    last_reclaim: AtomicU64,
    reaper: Reaper,
}

impl Registry {
    pub(crate) fn new(ids: IdSource, limits: Limits, max_sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            map: DashMap::default(),
            ids,
            limits,
            max_sessions,
            taken: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            unused: Mutex::default(),
            clients: Mutex::default(),
            last_reclaim: AtomicU64::new(0),
            reaper: Reaper::new(&limits),
        })
    }

    /// A place for a session that is about to open, with its id. It is given back when the
    /// [`Slot`] is dropped before the session opened.
    pub(crate) fn reserve(self: &Arc<Self>, client: Client) -> Result<Slot, Unavailable> {
        if !self.take_place() && !self.make_room() {
            return Err(Unavailable::Full);
        }
        let client = lock(&self.clients).intern(client);
        for _ in 0..ID_ATTEMPTS {
            let Some(id) = self.ids.next() else { break };
            let entry = Arc::new(Entry::reserved(
                id.clone(),
                client.clone(),
                Arc::downgrade(self),
            ));
            // Never overwritten: a generator that repeats itself must not hand over a session.
            if let Place::Vacant(place) = self.map.entry(id) {
                place.insert(entry.clone());
                return Ok(Slot {
                    registry: self.clone(),
                    entry,
                    opened: false,
                });
            }
        }
        self.taken.fetch_sub(1, AcqRel);
        Err(Unavailable::NoId)
    }

    /// Begins a request of the session with this id, if that is open.
    pub(crate) fn begin(&self, id: &[u8]) -> Option<InFlight> {
        self.get(id)?.begin()
    }

    /// The open session with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<Arc<Entry>> {
        let entry = self.find(id)?;
        self.end_if_expired(&entry, clock::now());
        entry.is_usable().then_some(entry)
    }

    /// All open sessions.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Entry>> {
        self.map
            .iter()
            .filter(|place| place.is_usable())
            .map(|place| place.value().clone())
            .collect()
    }

    /// How many sessions are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Acquire)
    }

    /// Whether nothing is open or about to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Acquire) == 0
    }

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Ends a session, whatever it is in the middle of. `false` if it had ended before.
    pub(crate) fn end(&self, entry: &Arc<Entry>, reason: EndReason) -> bool {
        let phase = entry.end(reason);
        self.leave(entry, phase)
    }

    /// Ends every session whose clocks ran out. Requests go on: a shard is read, then left.
    pub(crate) fn sweep(&self) {
        let now = clock::now();
        let expired: Vec<_> = self
            .map
            .iter()
            .filter(|place| place.expired(now, &self.limits).is_some())
            .map(|place| place.value().clone())
            .collect();
        for entry in expired {
            self.end_if_expired(&entry, now);
        }
        lock(&self.unused).purge();
    }

    fn end_if_expired(&self, entry: &Arc<Entry>, now: u64) {
        // Again where a request came in between: it saves an idle session, but no other.
        while let Some(expired) = entry.expired(now, &self.limits) {
            let phase = entry.end_expired(&expired);
            self.leave(entry, phase);
        }
    }

    /// The one way out of the registry, for whoever moved the entry to its end from `phase`.
    fn leave(&self, entry: &Arc<Entry>, phase: Option<Phase>) -> bool {
        let Some(phase) = phase else { return false };
        self.map
            .remove_if(Borrow::<[u8]>::borrow(&entry.id), |_, found| {
                Arc::ptr_eq(found, entry)
            });
        self.taken.fetch_sub(1, AcqRel);
        if phase != Phase::Reserved {
            self.open.fetch_sub(1, AcqRel);
        }
        entry.extras.close();
        true
    }

    fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.map.get(id).map(|place| place.value().clone())
    }

    fn take_place(&self) -> bool {
        self.taken
            .fetch_update(AcqRel, Acquire, |taken| {
                (taken < self.max_sessions).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Full: expired sessions go first, at most one such look a second, then the oldest that was
    /// never used.
    fn make_room(&self) -> bool {
        let now = clock::now();
        let last = self.last_reclaim.load(Relaxed);
        if (last == 0 || now.saturating_sub(last) >= RECLAIM_PAUSE)
            && self
                .last_reclaim
                .compare_exchange(last, now.max(1), Relaxed, Relaxed)
                .is_ok()
        {
            self.sweep();
        }
        loop {
            if self.take_place() {
                return true;
            }
            let Some(oldest) = lock(&self.unused).queue.pop_front() else {
                return false;
            };
            if let Some(entry) = oldest.upgrade() {
                let phase = entry.end_unused(EndReason::Evicted);
                self.leave(&entry, phase);
            }
        }
    }
}

impl Drop for Registry {
    /// Streams end and waiters are told, however long they outlive the guard.
    fn drop(&mut self) {
        for place in &self.map {
            if place.end(EndReason::GuardDropped).is_some() {
                place.extras.close();
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

/// Why [`Registry::reserve`] found no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unavailable {
    /// The limit is reached and every session is in use.
    Full,
    /// The generator made no valid id that is free.
    NoId,
}

/// A reserved place: given back on drop, unless the session opened.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
    opened: bool,
}

impl Slot {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The inner service opened the session. `None` if it was ended while it waited.
    pub(crate) fn open(mut self, inner_id: Option<HeaderValue>, phase: Phase) -> Option<InFlight> {
        // Counted first: whoever ends the session at once must find it counted.
        self.registry.open.fetch_add(1, AcqRel);
        let Some(in_flight) = self.entry.open(inner_id, phase) else {
            self.registry.open.fetch_sub(1, AcqRel);
            return None;
        };
        self.opened = true;
        lock(&self.registry.unused).push(&self.entry);
        self.registry.reaper.wake(&self.registry);
        Some(in_flight)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.opened {
            self.registry.end(&self.entry, EndReason::Abandoned);
        }
    }
}

/// Clients by name and version, so that a thousand sessions of one client keep its name once.
#[derive(Default)]
struct Clients {
    known: HashSet<Arc<Client>>,
    /// Names that no session uses any more are dropped when the set has grown to this size.
    purge_at: usize,
}

impl Clients {
    fn intern(&mut self, client: Client) -> Arc<Client> {
        if let Some(known) = self.known.get(&client) {
            return known.clone();
        }
        if self.known.len() >= self.purge_at {
            self.known.retain(|client| Arc::strong_count(client) > 1);
            self.purge_at = (self.known.len() * 2).max(64);
        }
        let client = Arc::new(client);
        self.known.insert(client.clone());
        client
    }
}

/// Sessions that wait for their second message.
#[derive(Default)]
struct Unused {
    queue: VecDeque<Weak<Entry>>,
    /// Those that wait no more are dropped when the queue has grown to this length.
    purge_at: usize,
}

impl Unused {
    fn push(&mut self, entry: &Arc<Entry>) {
        if self.queue.len() >= self.purge_at {
            self.purge();
        }
        self.queue.push_back(Arc::downgrade(entry));
    }

    fn purge(&mut self) {
        self.queue.retain(|entry| {
            entry
                .upgrade()
                .is_some_and(|entry| entry.is_usable() && !entry.is_used())
        });
        self.purge_at = (self.queue.len() * 2).max(64);
    }
}

/// Nothing that these locks guard can be left half done, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ID_ATTEMPTS: usize = 4;
const RECLAIM_PAUSE: u64 = 1_000_000_000;
