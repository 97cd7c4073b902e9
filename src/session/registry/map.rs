//! Sessions by id, in many small parts with a lock each: a part is looked through, or grows, in a
//! fraction of a millisecond, and nobody else waits meanwhile.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;

use crate::session::Entry;

pub(super) struct Map {
    parts: Box<[Part]>,
    hasher: RandomState,
}

/// A line of the processor's cache for each, so that nobody waits for the lock of another.
#[repr(align(64))]
struct Part(RwLock<HashSet<ById, RandomState>>);

/// A session in the map, by its id. The id stands in the entry alone, which every lookup needs
/// anyway: the table stays small enough for the processor's caches.
struct ById(Arc<Entry>);

impl Map {
    /// As many parts as so many sessions need.
    pub(super) fn of_so_many(sessions: usize) -> Self {
        let parts = (sessions / SESSIONS_A_PART).clamp(FEWEST_PARTS, MOST_PARTS);
        let hasher = RandomState::default();
        let part = |_| Part(RwLock::new(HashSet::with_hasher(hasher.clone())));
        Self {
            parts: (0..parts).map(part).collect(),
            hasher,
        }
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.part(id).read().get(id).map(|found| found.0.clone())
    }

    /// Adds a session. `false` if there is one with its id: none is ever overwritten.
    pub(super) fn add(&self, entry: &Arc<Entry>) -> bool {
        let part = self.part(entry.id.borrow());
        part.write().insert(ById(entry.clone()))
    }

    /// Takes out this session, and no other with its id.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let id: &[u8] = entry.id.borrow();
        let mut part = self.part(id).write();
        if part
            .get(id)
            .is_some_and(|found| Arc::ptr_eq(&found.0, entry))
        {
            part.remove(id);
        }
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The sessions of one part that are `wanted`.
    pub(super) fn of_part(&self, part: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let part = self.parts[part].read();
        let wanted = part.iter().filter(|found| wanted(&found.0));
        wanted.map(|found| found.0.clone()).collect()
    }

    pub(super) fn all(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let parts = 0..self.parts();
        parts.flat_map(|part| self.of_part(part, &wanted)).collect()
    }

    fn part(&self, id: &[u8]) -> &Part {
        // The table of a part is addressed by the lower bits.
        let hash = self.hasher.hash_one(id) >> 32;
        &self.parts[hash as usize % self.parts.len()]
    }
}

/// Nothing is left half done in a table, so a panic elsewhere spoils nothing.
impl Part {
    fn read(&self) -> RwLockReadGuard<'_, HashSet<ById, RandomState>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashSet<ById, RandomState>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Borrow<[u8]> for ById {
    fn borrow(&self) -> &[u8] {
        self.0.id.borrow()
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

/// Few enough to be looked through in a fraction of a millisecond. A table of 2 048 places holds 1 792:
/// a full part seldom needs the next size.
const SESSIONS_A_PART: usize = 1_500;
const FEWEST_PARTS: usize = 16;
/// More would cost each opening a memory access where there is room for many sessions and there are few.
const MOST_PARTS: usize = 1_024;
