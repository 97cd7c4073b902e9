//! Listens to the ends that others bring about.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::outbox::StoreOp;
use super::{StoreSync, key, late};
use crate::session::{EndReason, Entry, Owner, Registry, clock};
use crate::store::{StoreEvent, StoreEvents};

/// Follows the stream of ends as long as the registry lives.
pub(super) async fn run(store_sync: Weak<StoreSync>) {
    let mut pause = SHORTEST_PAUSE;
    while let Some(ends) = listen(&store_sync).await {
        let heard = match ends {
            Some(ends) => follow(&store_sync, ends).await,
            None => false,
        };
        pause = match heard {
            true => SHORTEST_PAUSE,
            false => (pause * 2).min(LONGEST_PAUSE),
        };
        sleep(pause).await;
    }
}

/// `None` where there is nothing to listen to any more; `Some(None)` where that fails.
async fn listen(store_sync: &Weak<StoreSync>) -> Option<Option<StoreEvents>> {
    // A guard that is dropped meanwhile must not wait for this.
    let (store, lease, patience) = {
        let sync = store_sync.upgrade()?;
        (sync.store.clone(), sync.lease.duration(), sync.timeout)
    };
    let ends = store.subscribe(lease)?;
    let ends = timeout(patience, ends).await;
    let sync = store_sync.upgrade()?;
    let ends = match ends {
        Ok(Ok(ends)) => ends,
        Ok(Err(error)) => {
            sync.observers.store_failed(&error);
            return Some(None);
        }
        Err(_) => {
            sync.observers.store_failed(&late());
            return Some(None);
        }
    };
    let registry = sync.registry.upgrade()?;
    if sync.lease.begin_epoch() {
        sync.check_streams(&registry);
    }
    Some(Some(ends))
}

/// Whether anything was heard before the stream broke.
async fn follow(store_sync: &Weak<StoreSync>, ends: StoreEvents) -> bool {
    let mut ends = pin!(ends);
    let mut lease = LONGEST_PAUSE;
    let mut heard = false;
    loop {
        let event = timeout(lease, ends.next()).await;
        let Some(sync) = store_sync.upgrade() else {
            return heard;
        };
        let Some(registry) = sync.registry.upgrade() else {
            return heard;
        };
        lease = sync.lease.duration();
        match event {
            Ok(Some(Ok(event))) => sync.hear(&registry, event),
            Ok(Some(Err(error))) => {
                sync.observers.store_failed(&error);
                return heard;
            }
            Ok(None) | Err(_) => {
                sync.observers.store_failed(&late());
                return heard;
            }
        }
        heard = true;
    }
}

impl StoreSync {
    fn hear(&self, registry: &Arc<Registry>, event: StoreEvent) {
        match event {
            StoreEvent::Heartbeat { as_of } => {
                self.lease.renew(clock::at(as_of));
            }
            StoreEvent::Ended(key) => {
                self.lookups.invalidate(&key);
                let entry = registry.find(key.id().as_bytes());
                if let Some(entry) = entry.filter(|entry| entry.scope.name() == key.scope()) {
                    registry.end(&entry, EndReason::EndedElsewhere);
                }
            }
            StoreEvent::OwnerEnded(owner) => {
                self.lookups.invalidate_all();
                // What the owner has opened since is not concerned: the store knows.
                let owner = Owner::from_text(&owner);
                for entry in owner.iter().flat_map(|owner| registry.of(owner)) {
                    entry.mark_unverified();
                    self.check(&entry);
                }
            }
        }
    }

    /// Something may have been missed, and what has a stream open may never send a request.
    fn check_streams(&self, registry: &Registry) {
        for entry in registry.snapshot() {
            if entry.is_stored() && entry.in_flight() > 0 {
                self.check(&entry);
            }
        }
    }

    /// Has the store say before long whether a session is still good.
    fn check(&self, entry: &Entry) {
        let op = StoreOp::Check(entry.scope.clone(), entry.owner.clone(), key(entry));
        self.outbox.add(op);
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
