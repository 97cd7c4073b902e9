//! The list of sessions that were never used.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::session::Entry;

/// Sessions that wait for their second message, oldest first. The list has pieces, so that openings
/// wait for the purge of one piece only.
#[derive(Default)]
pub(super) struct NeverUsed {
    pieces: VecDeque<VecDeque<Weak<Entry>>>,
    /// The piece that is purged next.
    next: usize,
}

impl NeverUsed {
    pub(super) fn push(&mut self, entry: &Arc<Entry>) {
        if self.pieces.back().is_none_or(|last| last.len() >= PIECE) {
            // Purges two pieces for each new one, so that fewer sessions are stale than wait.
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

    /// Removes the sessions of one piece that no longer wait.
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

/// The number of sessions in a full piece.
const PIECE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Phase;

    fn pushed(never_used: &mut NeverUsed, count: usize) -> Vec<Arc<Entry>> {
        let opened = (0..count).map(|_| {
            let entry = Entry::without_registry("id", None);
            drop(entry.open(Phase::Live).expect("the entry is new"));
            never_used.push(&entry);
            entry
        });
        opened.collect()
    }

    fn length(never_used: &NeverUsed) -> usize {
        never_used.pieces.iter().map(VecDeque::len).sum()
    }

    #[test]
    fn the_oldest_session_comes_first_and_no_waiting_session_is_lost() {
        let mut never_used = NeverUsed::default();
        let entries = pushed(&mut never_used, 4 * PIECE + 1);
        assert_eq!(never_used.pieces(), 5);
        for _ in 0..9 {
            never_used.purge_one();
        }
        for entry in &entries {
            let oldest = never_used.pop().and_then(|oldest| oldest.upgrade());
            assert!(oldest.is_some_and(|oldest| Arc::ptr_eq(&oldest, entry)));
        }
        assert!(never_used.pop().is_none());
        assert_eq!(never_used.pieces(), 0);
        let [entry] = &pushed(&mut never_used, 1)[..] else {
            unreachable!("one was pushed")
        };
        assert!(Arc::ptr_eq(
            &never_used.pop().unwrap().upgrade().unwrap(),
            entry
        ));
    }

    #[test]
    fn a_purge_of_every_piece_leaves_waiting_sessions_alone() {
        let mut never_used = NeverUsed::default();
        let mut entries = pushed(&mut never_used, 3 * PIECE);
        for (number, entry) in entries.iter().enumerate() {
            match number % 4 {
                0 => entry.clone().begin().unwrap().admit_message(),
                1 => drop(entry.end(crate::EndReason::Revoked)),
                _ => {}
            }
        }
        let last = entries.pop();
        drop(last);
        for _ in 0..never_used.pieces() {
            never_used.purge_one();
        }
        assert_eq!(length(&never_used), 3 * PIECE / 2 - 1);
    }

    #[test]
    fn sessions_that_no_longer_wait_do_not_fill_the_list() {
        let mut never_used = NeverUsed::default();
        let waiting = pushed(&mut never_used, 1);
        for _ in 0..20 {
            drop(pushed(&mut never_used, PIECE));
            assert!(never_used.pieces() <= 5, "{} pieces", never_used.pieces());
        }
        assert!(Arc::ptr_eq(
            &never_used.pop().unwrap().upgrade().unwrap(),
            &waiting[0]
        ));
    }
}
