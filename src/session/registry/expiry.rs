//! Sessions whose clocks ran out: found by the reaper, or when somebody asks for them.

use std::sync::Arc;

use super::{Registry, lock};
use crate::session::{Entry, clock};

impl Registry {
    /// Ends every session whose clocks ran out.
    pub(crate) fn sweep(&self) {
        for part in 0..self.parts() {
            self.sweep_part(part);
        }
        self.purge_unused();
    }

    /// Ends those of one part of the map whose clocks ran out, and says how many did.
    pub(crate) fn sweep_part(&self, part: usize) -> usize {
        let now = clock::now();
        // Freed at once, when all have ended: threads that allocate are held up once, not again and again.
        let expired = self.expired(part, now);
        for entry in &expired {
            self.end_if_expired(entry, now);
        }
        expired.len()
    }

    /// Into how many parts the map falls.
    pub(crate) fn parts(&self) -> usize {
        self.map.parts()
    }

    /// Forgets which sessions wait no more for a second message.
    pub(crate) fn purge_unused(&self) {
        let pieces = lock(&self.unused).pieces();
        for _ in 0..pieces {
            lock(&self.unused).purge_one();
        }
    }

    /// The sessions of one part of the map whose clocks ran out.
    fn expired(&self, part: usize, now: u64) -> Vec<Arc<Entry>> {
        let is_expired = |entry: &Entry| entry.expired(now, &self.limits).is_some();
        self.map.of_part(part, is_expired)
    }

    pub(super) fn end_if_expired(&self, entry: &Arc<Entry>, now: u64) {
        // Again where a request came in between: it saves an idle session, but no other.
        while let Some(expired) = entry.expired(now, &self.limits) {
            let before = entry.end_as_seen(&expired);
            self.leave(entry, before);
        }
    }
}
