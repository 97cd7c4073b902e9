use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::session::Entry;

/// Sessions that wait for their second message.
#[derive(Default)]
pub(super) struct Unused {
    pub(super) queue: VecDeque<Weak<Entry>>,
    /// Those that wait no more are dropped when the queue has grown to this length.
    purge_at: usize,
}

impl Unused {
    pub(super) fn push(&mut self, entry: &Arc<Entry>) {
        if self.queue.len() >= self.purge_at {
            self.purge();
        }
        self.queue.push_back(Arc::downgrade(entry));
    }

    pub(super) fn purge(&mut self) {
        self.queue.retain(|entry| {
            entry
                .upgrade()
                .is_some_and(|entry| entry.is_usable() && !entry.is_used())
        });
        self.purge_at = (self.queue.len() * 2).max(64);
    }
}
