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
