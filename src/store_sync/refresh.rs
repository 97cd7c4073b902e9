//! Keeps the records of sessions in use from expiring.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{StoreSync, key, timed_out};
use crate::promises::REFRESHES_PER_IDLE_TIMEOUT;
use crate::session::{EndReason, Entry, Registry, clock};
use crate::store::Refresh;

/// Refreshes records as long as the registry lives.
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
    /// Returns the pause between two refreshes: a tenth of the shorter limit. The record of a session
    /// that was first used at the last moment expires a fifth of the limit later, so a refresh is in
    /// time.
    fn pause(&self) -> Duration {
        let shortest = self.limits.idle.min(self.limits.never_used) / REFRESHES_PER_IDLE_TIMEOUT;
        Duration::from_nanos(shortest).max(SHORTEST_PAUSE)
    }

    /// Postpones the expiry of sessions that were used since the last refresh, each at most once in a
    /// tenth of the idle timeout.
    pub(crate) async fn refresh(self: &Arc<Self>, registry: &Arc<Registry>) {
        let now = clock::now();
        let mut due = registry.snapshot();
        due.retain(|entry| entry.is_due(now, self.limits.idle / REFRESHES_PER_IDLE_TIMEOUT));
        for due in due.chunks(BATCH) {
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
                // A message of the client confirmed the session before its event stream wrote the
                // record.
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
            Ok(Ok(known)) => {
                for (entry, is_known) in refreshed.into_iter().zip(known) {
                    match is_known {
                        true => entry.mark_refreshed(now),
                        false => drop(registry.end(entry, EndReason::EndedElsewhere)),
                    }
                }
            }
            Ok(Err(error)) => self.observers.store_failed(&error),
            Err(_) => self.observers.store_failed(&timed_out()),
        }
    }
}

/// The most records that one call refreshes.
const BATCH: usize = 500;
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
