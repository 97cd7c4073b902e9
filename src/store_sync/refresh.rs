//! Keeps the records of sessions that are in use from expiring.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{StoreSync, key, late};
use crate::promises::REFRESHES_PER_IDLE_TIMEOUT;
use crate::session::{EndReason, Entry, Registry, clock};
use crate::store::Refresh;

/// Refreshes as long as the registry lives.
pub(super) async fn run(store_sync: Weak<StoreSync>) {
    loop {
        let pause = match store_sync.upgrade() {
            Some(store_sync) => store_sync.pause(),
            None => return,
        };
        sleep(pause).await;
        let Some(store_sync) = store_sync.upgrade() else {
            return;
        };
        if let Some(registry) = store_sync.registry.upgrade() {
            store_sync.refresh(&registry).await;
        }
    }
}

impl StoreSync {
    /// Between two looks at what is in use. A session that was used for the first time in the last
    /// moment expires a fifth of the limit later.
    fn pause(&self) -> Duration {
        let shortest = self.limits.idle.min(self.limits.never_used) / REFRESHES_PER_IDLE_TIMEOUT;
        Duration::from_nanos(shortest).max(SHORTEST_PAUSE)
    }

    /// Puts off the expiry of what has been used since the last time, each session at most once in a
    /// tenth of the idle timeout.
    pub(crate) async fn refresh(self: &Arc<Self>, registry: &Arc<Registry>) {
        let now = clock::now();
        let mut due = registry.snapshot();
        due.retain(|entry| entry.is_due(now, self.limits.idle / REFRESHES_PER_IDLE_TIMEOUT));
        for due in due.chunks(AT_ONCE) {
            self.refresh_some(registry, due, now).await;
        }
    }

    async fn refresh_some(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        due: &[Arc<Entry>],
        now: u64,
    ) {
        let mut refreshes = Vec::with_capacity(due.len());
        let mut refreshed = Vec::with_capacity(due.len());
        for entry in due {
            if !entry.is_stored() {
                // Confirmed on another way than by its stream.
                let _ = self.keep(entry).await;
                continue;
            }
            refreshed.push(entry);
            refreshes.push(Refresh {
                key: key(entry),
                expires_in: self.until_idle(),
            });
        }
        match timeout(self.timeout, self.store.refresh(&refreshes)).await {
            Ok(Ok(kept)) => {
                for (entry, is_kept) in refreshed.into_iter().zip(kept) {
                    match is_kept {
                        true => entry.mark_refreshed(now),
                        false => drop(registry.end(entry, EndReason::EndedElsewhere)),
                    }
                }
            }
            Ok(Err(error)) => self.observers.store_failed(&error),
            Err(_) => self.observers.store_failed(&late()),
        }
    }
}

const AT_ONCE: usize = 500;
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
