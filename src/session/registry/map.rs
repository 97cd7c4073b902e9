//! Sessions by id, in small parts: one is looked through, or grows, in a fraction of a millisecond, and
//! nobody waits meanwhile but who opens or ends a session in that part.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;

use crate::session::Entry;
use crate::sync::RandomState;

pub(super) struct Map {
    parts: Box<[DashMap<ById, (), RandomState>]>,
}

/// A session in the map, by its id. The id stands in the entry alone, which every lookup needs
/// anyway: the table stays small enough for the processor's caches.
struct ById(Arc<Entry>);

impl Map {
    /// As many parts as so many sessions need.
    pub(super) fn of_so_many(sessions: usize) -> Self {
        let parts = (sessions / SESSIONS_A_PART).clamp(FEWEST_PARTS, MOST_PARTS);
        let hasher = RandomState::default();
        let part = |_| DashMap::with_hasher_and_shard_amount(hasher.clone(), FEWEST_SHARDS);
        Self {
            parts: (0..parts).map(part).collect(),
        }
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<Entry>> {
        self.part(id).get(id).map(|found| found.key().0.clone())
    }

    /// Adds a session. `false` if there is one with its id: none is ever overwritten.
    pub(super) fn add(&self, entry: &Arc<Entry>) -> bool {
        match self.part(entry.id.borrow()).entry(ById(entry.clone())) {
            Place::Vacant(place) => {
                place.insert(());
                true
            }
            Place::Occupied(_) => false,
        }
    }

    /// Takes out this session, and no other with its id.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let id: &[u8] = entry.id.borrow();
        self.part(id)
            .remove_if(id, |found, ()| Arc::ptr_eq(&found.0, entry));
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The sessions of one part that are `wanted`.
    pub(super) fn of_part(&self, part: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let part = self.parts[part].iter();
        let wanted = part.filter(|found| wanted(&found.key().0));
        wanted.map(|found| found.key().0.clone()).collect()
    }

    pub(super) fn all(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let parts = 0..self.parts();
        parts.flat_map(|part| self.of_part(part, &wanted)).collect()
    }

    /// The part that an id belongs to. Both its ends are mixed, for hashing it all would be done twice:
    /// ids that are alike there share a part, which costs time when that is swept, and nothing else.
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

/// Few enough to be looked through in a fraction of a millisecond. Each of a part's two tables has 1 024
/// places and holds 896 before it grows: in a full map few do.
const SESSIONS_A_PART: usize = 1_500;
const FEWEST_PARTS: usize = 16;
/// More would cost each opening a memory access where there is room for many sessions and there are few.
const MOST_PARTS: usize = 1_024;
/// Of a DashMap.
const FEWEST_SHARDS: usize = 2;
/// 2^64 divided by the golden ratio.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_id_and_by_no_other() {
        let map = Map::of_so_many(10_000);
        let ids = (0..2_000).map(|number| format!("session-{number}-of-many"));
        let entries: Vec<_> = ids.map(|id| Entry::alone(&id, None)).collect();
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
    fn a_session_is_neither_overwritten_nor_taken_out_for_another_of_its_id() {
        let map = Map::of_so_many(1);
        let [first, second] = [(); 2].map(|()| Entry::alone("same", None));
        assert!(map.add(&first));
        assert!(!map.add(&second));
        map.remove(&second);
        assert!(Arc::ptr_eq(&map.find(b"same").unwrap(), &first));
    }

    #[test]
    fn so_many_sessions_have_as_many_parts_as_they_need() {
        for (sessions, parts) in [(0, 16), (10_000, 16), (150_000, 100), (usize::MAX, 1_024)] {
            assert_eq!(Map::of_so_many(sessions).parts(), parts);
        }
    }

    #[test]
    fn every_part_has_its_share() {
        let map = Map::of_so_many(1);
        for _ in 0..1_600 {
            map.add(&Entry::alone(&uuid::Uuid::new_v4().to_string(), None));
        }
        for part in 0..map.parts() {
            let share = map.of_part(part, |_| true).len();
            // A hundred, give or take five standard deviations.
            assert!((50..150).contains(&share), "{share}");
        }
    }
}
