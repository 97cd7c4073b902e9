//! Sessions whose clocks ran out: found by the reaper, or when somebody asks for them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Registry, lock};
use crate::session::{Entry, clock};

impl Registry {
    /// Ends every session whose clocks ran out.
    pub(crate) fn sweep(&self) {
        for part in 0..self.parts() {
            self.sweep_part(part);
        }
        self.purge_never_used();
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
    pub(crate) fn purge_never_used(&self) {
        let pieces = lock(&self.never_used).pieces();
        for _ in 0..pieces {
            lock(&self.never_used).purge_one();
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

/// Sweeps part by part, on a thread that requests do not wait for, with a rest after each: they want
/// the processor, its memory and the allocator too.
pub(crate) async fn sweep_gently(registry: &Weak<Registry>) {
    let mut part = 0;
    while let Some(registry) = registry.upgrade().filter(|all| part < all.parts()) {
        let ended = spawn_blocking(move || registry.sweep_part(part)).await;
        sleep(REST + REST_AFTER_ONE * ended.unwrap_or(0) as u32).await;
        part += 1;
    }
    if let Some(registry) = registry.upgrade() {
        let _ = spawn_blocking(move || registry.purge_never_used()).await;
    }
}

/// Sweeps now and then until nothing is left.
pub(super) async fn reap(registry: Weak<Registry>, pause: Duration) {
    let open = || registry.upgrade().map(|registry| registry.open());
    loop {
        sleep(pause).await;
        if open().is_some_and(|open| open > LARGE) {
            sweep_gently(&registry).await;
        } else if let Some(registry) = registry.upgrade() {
            registry.sweep();
        }
        match registry.upgrade() {
            Some(registry) if !registry.reaper.rest(|| registry.is_empty()) => {}
            _ => return,
        }
    }
}

/// How many sessions are swept between two requests: a tenth of a millisecond's worth.
const LARGE: usize = 1_000;
/// Long beside the time that a part takes.
const REST: Duration = Duration::from_millis(5);
/// Long beside the time for which its memory, given back, may hold up who allocates.
const REST_AFTER_ONE: Duration = Duration::from_micros(30);
