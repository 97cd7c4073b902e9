//! The index of sessions by owner.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::session::{Entry, Owner};

/// The sessions of each owner, including those that are still opening, by the address of their entry.
#[derive(Default)]
pub(super) struct ByOwner(HashMap<Owner, HashMap<usize, Weak<Entry>>>);

impl ByOwner {
    /// Adds a session unless its owner already has `max`. Returns whether it was added.
    pub(super) fn add(&mut self, owner: &Owner, entry: &Arc<Entry>, max: usize) -> bool {
        let sessions = self.0.entry(owner.clone()).or_default();
        let has_room = has_room(sessions, max);
        if has_room {
            sessions.insert(address(entry), Arc::downgrade(entry));
        }
        has_room
    }

    /// Returns the sessions of the owner if there are at least `max`.
    pub(super) fn full(&mut self, owner: &Owner, max: usize) -> Option<Vec<Arc<Entry>>> {
        let sessions = self.0.get_mut(owner)?;
        (!has_room(sessions, max)).then(|| self.of(owner))
    }

    pub(super) fn remove(&mut self, owner: &Owner, entry: &Arc<Entry>) {
        if let Some(sessions) = self.0.get_mut(owner) {
            sessions.remove(&address(entry));
            if sessions.is_empty() {
                self.0.remove(owner);
            }
        }
    }

    pub(super) fn of(&self, owner: &Owner) -> Vec<Arc<Entry>> {
        let sessions = self.0.get(owner).into_iter().flat_map(HashMap::values);
        sessions.filter_map(Weak::upgrade).collect()
    }
}

/// Returns whether the owner has fewer than `max` sessions. Sessions that have ended but are still
/// listed do not count.
fn has_room(sessions: &mut HashMap<usize, Weak<Entry>>, max: usize) -> bool {
    if sessions.len() >= max {
        let is_open = |entry: Arc<Entry>| entry.end_reason().is_none();
        sessions.retain(|_, session| session.upgrade().is_some_and(is_open));
    }
    sessions.len() < max
}

fn address(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::EndReason;

    #[test]
    fn a_session_that_has_ended_but_is_still_listed_does_not_count() {
        let alice = Owner::new("alice");
        let mut by_owner = ByOwner::default();
        let [first, second, third] = ["1", "2", "3"].map(|id| Entry::without_registry(id, None));
        assert!(by_owner.add(&alice, &first, 1));
        first.end(EndReason::Deleted);
        assert!(by_owner.add(&alice, &second, 1));
        assert!(!by_owner.add(&alice, &third, 1));
    }

    #[test]
    fn an_owner_is_removed_with_the_last_of_their_sessions() {
        let alice = Owner::new("alice");
        let mut by_owner = ByOwner::default();
        let [first, second] = ["1", "2"].map(|id| Entry::without_registry(id, Some(alice.clone())));
        assert!(by_owner.add(&alice, &first, 2));
        assert!(by_owner.add(&alice, &second, 2));
        by_owner.remove(&alice, &first);
        assert_eq!(by_owner.of(&alice).len(), 1);
        assert!(Arc::ptr_eq(&by_owner.of(&alice)[0], &second));
        by_owner.remove(&alice, &second);
        assert!(by_owner.0.is_empty());
    }
}
