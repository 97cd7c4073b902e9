use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::session::Entry;

/// Sessions that wait for their second message, oldest first; in pieces, each of which can be looked
/// through while openings wait.
#[derive(Default)]
pub(super) struct Unused {
    pieces: VecDeque<VecDeque<Weak<Entry>>>,
    /// The piece that is looked through next.
    next: usize,
}

impl Unused {
    pub(super) fn push(&mut self, entry: &Arc<Entry>) {
        if self.pieces.back().is_none_or(|last| last.len() >= PIECE) {
            // Two for each new one: what waits no more stays less than what does.
            self.purge_one();
            self.purge_one();
            self.pieces.push_back(VecDeque::new());
        }
        if let Some(last) = self.pieces.back_mut() {
            last.push_back(Arc::downgrade(entry));
        }
    }

    pub(super) fn pop(&mut self) -> Option<Weak<Entry>> {
        while let Some(first) = self.pieces.front_mut() {
            if let Some(oldest) = first.pop_front() {
                return Some(oldest);
            }
            self.pieces.pop_front();
            self.next = self.next.saturating_sub(1);
        }
        None
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Drops those of one piece that wait no more.
    pub(super) fn purge_one(&mut self) {
        if self.next >= self.pieces.len() {
            self.next = 0;
        }
        let Some(piece) = self.pieces.get_mut(self.next) else {
            return;
        };
        piece.retain(|entry| {
            entry
                .upgrade()
                .is_some_and(|entry| entry.is_usable() && !entry.is_used())
        });
        piece.shrink_to_fit();
        if piece.is_empty() {
            self.pieces.remove(self.next);
        } else {
            self.next += 1;
        }
    }
}

const PIECE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Phase;

    fn pushed(unused: &mut Unused, count: usize) -> Vec<Arc<Entry>> {
        let opened = (0..count).map(|_| {
            let entry = Entry::alone("id", None);
            drop(entry.open(Phase::Live).expect("it is new"));
            unused.push(&entry);
            entry
        });
        opened.collect()
    }

    fn kept(unused: &Unused) -> usize {
        unused.pieces.iter().map(VecDeque::len).sum()
    }

    #[test]
    fn the_oldest_comes_first_and_none_that_waits_is_lost() {
        let mut unused = Unused::default();
        let entries = pushed(&mut unused, 4 * PIECE + 1);
        assert_eq!(unused.pieces(), 5);
        for _ in 0..9 {
            unused.purge_one();
        }
        for entry in &entries {
            let oldest = unused.pop().and_then(|oldest| oldest.upgrade());
            assert!(oldest.is_some_and(|oldest| Arc::ptr_eq(&oldest, entry)));
        }
        assert!(unused.pop().is_none());
        assert_eq!(unused.pieces(), 0);
        let [entry] = &pushed(&mut unused, 1)[..] else {
            unreachable!("one was pushed")
        };
        assert!(Arc::ptr_eq(
            &unused.pop().unwrap().upgrade().unwrap(),
            entry
        ));
    }

    #[test]
    fn a_look_at_every_piece_leaves_those_that_wait_alone() {
        let mut unused = Unused::default();
        let mut entries = pushed(&mut unused, 3 * PIECE);
        for (number, entry) in entries.iter().enumerate() {
            match number % 4 {
                0 => entry.clone().begin().unwrap().admit_message(),
                1 => drop(entry.end(crate::EndReason::Revoked)),
                _ => {}
            }
        }
        let last = entries.pop();
        drop(last);
        for _ in 0..unused.pieces() {
            unused.purge_one();
        }
        assert_eq!(kept(&unused), 3 * PIECE / 2 - 1);
    }

    #[test]
    fn what_waits_no_more_makes_way_for_what_does() {
        let mut unused = Unused::default();
        let waiting = pushed(&mut unused, 1);
        for _ in 0..20 {
            drop(pushed(&mut unused, PIECE));
            assert!(unused.pieces() <= 5, "{} pieces", unused.pieces());
        }
        assert!(Arc::ptr_eq(
            &unused.pop().unwrap().upgrade().unwrap(),
            &waiting[0]
        ));
    }
}
