//! The map of sessions by id, in small parts. A sweep or growth of one part takes a fraction of a
//! millisecond, and only sessions that open or end in that part wait for it.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;

use crate::session::Entry;
use crate::sync::RandomState;

pub(super) struct Map {
    parts: Box<[DashMap<ById, (), RandomState>]>,
}

/// A session in the map, by its id. Only the entry stores the id, and every lookup needs the entry
/// anyway, so the table stays small enough for the processor's caches.
struct ById(Arc<Entry>);

impl Map {
    /// Creates a map with as many parts as this number of sessions needs.
    pub(super) fn with_capacity(sessions: usize) -> Self {
        let parts = (sessions / SESSIONS_PER_PART).clamp(FEWEST_PARTS, MOST_PARTS);
        let hasher = RandomState::default();
        let part = |_| DashMap::with_hasher_and_shard_amount(hasher.clone(), FEWEST_SHARDS);
        Self {
            parts: (0..parts).map(part).collect(),
        }
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.part(id).get(id).map(|found| found.key().0.clone())
    }

    /// Adds a session. Returns `false` if the id is taken: a session is never overwritten.
    pub(super) fn add(&self, entry: &Arc<Entry>) -> bool {
        match self.part(entry.id.borrow()).entry(ById(entry.clone())) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(());
                true
            }
            MapEntry::Occupied(_) => false,
        }
    }

    /// Removes this session, but no other session with its id.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let id: &[u8] = entry.id.borrow();
        self.part(id)
            .remove_if(id, |found, ()| Arc::ptr_eq(&found.0, entry));
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Returns the sessions of one part that are `wanted`.
    pub(super) fn of_part(&self, part: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let part = self.parts[part].iter();
        let wanted = part.filter(|found| wanted(&found.key().0));
        wanted.map(|found| found.key().0.clone()).collect()
    }

    pub(super) fn all(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let parts = 0..self.parts();
        parts.flat_map(|part| self.of_part(part, &wanted)).collect()
    }

    /// Returns the part that an id belongs to. Mixes both ends of the id only, because the part
    /// hashes the whole id again. Ids with the same ends share a part, which costs nothing but time
    /// in the sweep of that part.
    fn part(&self, id: &[u8]) -> &DashMap<ById, (), RandomState> {
        let word = |end: Option<&[u8; 8]>| end.map_or(0, |end| u64::from_le_bytes(*end));
        let mixed = (word(id.first_chunk()) ^ word(id.last_chunk())).wrapping_mul(GOLDEN_RATIO);
        let part = ((mixed >> 32) * self.parts.len() as u64) >> 32;
        &self.parts[part as usize]
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

/// Few enough for a sweep in a fraction of a millisecond. Each of the two tables of a part has 1 024
/// places and holds 896 sessions before it grows: in a full map few tables grow.
const SESSIONS_PER_PART: usize = 1_500;
const FEWEST_PARTS: usize = 16;
/// More parts would cost each opening a memory access, if the session limit is high and there are few
/// sessions.
const MOST_PARTS: usize = 1_024;
/// The fewest shards that a DashMap allows.
const FEWEST_SHARDS: usize = 2;
/// 2^64 divided by the golden ratio.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_id_and_by_no_other() {
        let map = Map::with_capacity(10_000);
        let ids = (0..2_000).map(|number| format!("session-{number}-of-many"));
        let entries: Vec<_> = ids.map(|id| Entry::without_registry(&id, None)).collect();
        for entry in &entries {
            assert!(map.find(entry.id.borrow()).is_none());
            assert!(map.add(entry));
        }
        for entry in &entries {
            let found = map.find(entry.id.borrow()).unwrap();
            assert!(Arc::ptr_eq(&found, entry));
        }
        assert_eq!(map.all(|_| true).len(), 2_000);
        assert_eq!(map.all(|entry| entry.id.as_str().contains("-7-")).len(), 1);
        for entry in &entries {
            map.remove(entry);
        }
        assert_eq!(map.all(|_| true).len(), 0);
    }

    #[test]
    fn a_session_is_neither_overwritten_nor_removed_by_another_with_its_id() {
        let map = Map::with_capacity(1);
        let [first, second] = [(); 2].map(|()| Entry::without_registry("same", None));
        assert!(map.add(&first));
        assert!(!map.add(&second));
        map.remove(&second);
        assert!(Arc::ptr_eq(&map.find(b"same").unwrap(), &first));
    }

    #[test]
    fn a_map_has_as_many_parts_as_its_sessions_need() {
        for (sessions, parts) in [(0, 16), (10_000, 16), (150_000, 100), (usize::MAX, 1_024)] {
            assert_eq!(Map::with_capacity(sessions).parts(), parts);
        }
    }

    #[test]
    fn sessions_spread_evenly_over_the_parts() {
        let map = Map::with_capacity(1);
        for _ in 0..1_600 {
            map.add(&Entry::without_registry(
                &uuid::Uuid::new_v4().to_string(),
                None,
            ));
        }
        for part in 0..map.parts() {
            let share = map.of_part(part, |_| true).len();
            // 100, plus or minus five standard deviations.
            assert!((50..150).contains(&share), "{share}");
        }
    }
}
