//! Ends expired sessions. The reaper finds them, or a lookup does.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{Registry, lock};
use crate::session::{Entry, clock};
use crate::sync::Mutex;
use crate::unwind::catch_panic;

impl Registry {
    /// Ends every expired session.
    pub(crate) fn sweep(&self) {
        for part in 0..self.parts() {
            self.sweep_part(part);
        }
        self.purge_never_used();
    }

    /// Ends the expired sessions of one part of the map and returns their number.
    pub(crate) fn sweep_part(&self, part: usize) -> usize {
        let now = clock::now();
        // The entries are freed together at the end, so that they hold up allocating threads only
        // once.
        let expired = self.expired(part, now);
        for entry in &expired {
            self.end_if_expired(entry, now);
        }
        expired.len()
    }

    /// Returns the number of parts of the map.
    pub(crate) fn parts(&self) -> usize {
        self.map.parts()
    }

    /// Removes the sessions that no longer wait for a second message from the list.
    pub(crate) fn purge_never_used(&self) {
        let pieces = lock(&self.never_used).pieces();
        for _ in 0..pieces {
            lock(&self.never_used).purge_one();
        }
    }

    /// Returns the expired sessions of one part of the map.
    fn expired(&self, part: usize, now: u64) -> Vec<Arc<Entry>> {
        let is_expired = |entry: &Entry| entry.expired(now, &self.limits).is_some();
        self.map.of_part(part, is_expired)
    }

    pub(super) fn end_if_expired(&self, entry: &Arc<Entry>, now: u64) {
        // Checks again if a request came in between: it saves an idle session, but no other.
        while let Some(expired) = entry.expired(now, &self.limits) {
            let before = entry.end_as_seen(&expired);
            self.leave(entry, before);
        }
    }
}

/// Sweeps part by part on a blocking thread, with a pause after each part. Requests do not wait for
/// that thread, but they share the processor, its memory and the allocator with it.
pub(crate) async fn sweep_gently(registry: &Weak<Registry>) {
    let mut part = 0;
    let mut start_timeout = START_TIMEOUT;
    while let Some(registry) = registry.upgrade().filter(|all| part < all.parts()) {
        let ended = run_gently(&mut start_timeout, move || registry.sweep_part(part)).await;
        sleep(PART_PAUSE + SESSION_PAUSE * ended.unwrap_or(0) as u32).await;
        part += 1;
    }
    if let Some(registry) = registry.upgrade() {
        run_gently(&mut start_timeout, move || registry.purge_never_used()).await;
    }
}

/// Runs `work` on a blocking thread. If no such thread starts it in time, because the server keeps all of
/// them busy, runs it here, and sets the time for the next work to zero. Returns `None` if `work` panicked.
async fn run_gently<T: Send + 'static>(
    start_timeout: &mut Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // Whichever thread takes the work out runs it.
    let waiting = Arc::new(Mutex::new(Some(work)));
    let shared = waiting.clone();
    let mut task = spawn_blocking(move || {
        let work = lock(&shared).take();
        work.map(|work| work())
    });
    if let Ok(done) = timeout(*start_timeout, &mut task).await {
        return done.ok().flatten();
    }
    let work = lock(&waiting).take();
    match work {
        Some(work) => {
            task.abort();
            *start_timeout = Duration::ZERO;
            catch_panic(work)
        }
        None => task.await.ok().flatten(),
    }
}

/// Sweeps periodically until no session is left.
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
            Some(registry) if !registry.reaper.stop_if(|| registry.is_empty()) => {}
            _ => return,
        }
    }
}

/// The most sessions that one sweep may check on a thread that serves requests: about 0.1 ms of work.
const LARGE: usize = 1_000;
/// The time in which a blocking thread must start a part of a sweep.
const START_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after each part. Long compared with the time that a part takes.
const PART_PAUSE: Duration = Duration::from_millis(5);
/// The additional pause for each ended session. Long compared with the time for which freeing its
/// memory may hold up allocating threads.
const SESSION_PAUSE: Duration = Duration::from_micros(30);
