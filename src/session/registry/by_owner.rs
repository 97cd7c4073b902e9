use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::session::{Entry, Owner};

/// The sessions of each owner, those that are just opening included, by their address.
#[derive(Default)]
pub(super) struct ByOwner(HashMap<Owner, HashMap<usize, Weak<Entry>>>);

impl ByOwner {
    /// Adds a session unless its owner has `most` already.
    pub(super) fn add(&mut self, owner: &Owner, entry: &Arc<Entry>, most: usize) -> bool {
        let held = self.0.entry(owner.clone()).or_default();
        let has_room = has_room(held, most);
        if has_room {
            held.insert(address(entry), Arc::downgrade(entry));
        }
        has_room
    }

    /// The sessions of an owner who has `most`.
    pub(super) fn full(&mut self, owner: &Owner, most: usize) -> Option<Vec<Arc<Entry>>> {
        let held = self.0.get_mut(owner)?;
        (!has_room(held, most)).then(|| self.of(owner))
    }

    pub(super) fn remove(&mut self, owner: &Owner, entry: &Arc<Entry>) {
        if let Some(held) = self.0.get_mut(owner) {
            held.remove(&address(entry));
            if held.is_empty() {
                self.0.remove(owner);
            }
        }
    }

    pub(super) fn of(&self, owner: &Owner) -> Vec<Arc<Entry>> {
        let held = self.0.get(owner).into_iter().flat_map(HashMap::values);
        held.filter_map(Weak::upgrade).collect()
    }
}

/// Those that have ended and are about to be taken off the list do not count.
fn has_room(held: &mut HashMap<usize, Weak<Entry>>, most: usize) -> bool {
    if held.len() >= most {
        let is_open = |entry: Arc<Entry>| entry.end_reason().is_none();
        held.retain(|_, held| held.upgrade().is_some_and(is_open));
    }
    held.len() < most
}

fn address(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::EndReason;

    #[test]
    fn a_session_that_has_ended_leaves_its_place_though_it_is_still_listed() {
        let alice = Owner::new("alice");
        let mut by_owner = ByOwner::default();
        let [first, second, third] = ["1", "2", "3"].map(|id| Entry::alone(id, None));
        assert!(by_owner.add(&alice, &first, 1));
        first.end(EndReason::Deleted);
        assert!(by_owner.add(&alice, &second, 1));
        assert!(!by_owner.add(&alice, &third, 1));
    }

    #[test]
    fn an_owner_is_forgotten_with_the_last_of_his_sessions() {
        let alice = Owner::new("alice");
        let mut by_owner = ByOwner::default();
        let [first, second] = ["1", "2"].map(|id| Entry::alone(id, Some(alice.clone())));
        assert!(by_owner.add(&alice, &first, 2));
        assert!(by_owner.add(&alice, &second, 2));
        by_owner.remove(&alice, &first);
        assert_eq!(by_owner.of(&alice).len(), 1);
        assert!(Arc::ptr_eq(&by_owner.of(&alice)[0], &second));
        by_owner.remove(&alice, &second);
        assert!(by_owner.0.is_empty());
    }
}
