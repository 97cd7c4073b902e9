//! Receives the ends on other nodes.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::outbox::StoreOp;
use super::{StoreSync, key, timed_out};
use crate::session::{EndReason, Entry, Owner, Registry, clock};
use crate::store::{StoreEvent, StoreEvents};

/// Follows the stream of ends as long as the registry lives.
pub(super) async fn run(store_sync: Weak<StoreSync>) {
    let mut pause = SHORTEST_PAUSE;
    while let Some(ends) = subscribe(&store_sync).await {
        let received = match ends {
            Some(ends) => follow(&store_sync, ends).await,
            None => false,
        };
        pause = match received {
            true => SHORTEST_PAUSE,
            false => (pause * 2).min(LONGEST_PAUSE),
        };
        sleep(pause).await;
    }
}

/// Subscribes to ends. Returns `None` if there is nothing to subscribe to any more, and `Some(None)`
/// if the subscription failed.
async fn subscribe(store_sync: &Weak<StoreSync>) -> Option<Option<StoreEvents>> {
    // A guard that is dropped meanwhile must not wait for the store.
    let (store, lease, time_limit) = {
        let sync = store_sync.upgrade()?;
        (sync.store.clone(), sync.lease.duration(), sync.timeout)
    };
    let events = store.subscribe(lease)?;
    let events = timeout(time_limit, events).await;
    let sync = store_sync.upgrade()?;
    let events = match events {
        Ok(Ok(events)) => events,
        Ok(Err(error)) => {
            sync.observers.store_failed(&error);
            return Some(None);
        }
        Err(_) => {
            sync.observers.store_failed(&timed_out());
            return Some(None);
        }
    };
    let registry = sync.registry.upgrade()?;
    if sync.lease.begin_epoch() {
        sync.check_streams(&registry);
    }
    Some(Some(events))
}

/// Applies the events of a stream until it breaks. Returns whether it received any.
async fn follow(store_sync: &Weak<StoreSync>, ends: StoreEvents) -> bool {
    let mut ends = pin!(ends);
    let mut lease = LONGEST_PAUSE;
    let mut received = false;
    loop {
        let event = timeout(lease, ends.next()).await;
        let Some(sync) = store_sync.upgrade() else {
            return received;
        };
        let Some(registry) = sync.registry.upgrade() else {
            return received;
        };
        lease = sync.lease.duration();
        match event {
            Ok(Some(Ok(event))) => sync.apply(&registry, event),
            Ok(Some(Err(error))) => {
                sync.observers.store_failed(&error);
                return received;
            }
            Ok(None) | Err(_) => {
                sync.observers.store_failed(&timed_out());
                return received;
            }
        }
        received = true;
    }
}

impl StoreSync {
    /// Applies an event to the registry.
    fn apply(&self, registry: &Arc<Registry>, event: StoreEvent) {
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
                // Sessions that the owner opened since then do not end. Only the store knows which
                // do.
                let owner = Owner::from_text(&owner);
                for entry in owner.iter().flat_map(|owner| registry.of(owner)) {
                    entry.mark_unverified();
                    self.check(&entry);
                }
            }
        }
    }

    /// Checks all sessions with anything in flight. An end may have been missed, and a session with
    /// an open stream may never send a request.
    fn check_streams(&self, registry: &Registry) {
        for entry in registry.snapshot() {
            if entry.is_stored() && entry.in_flight() > 0 {
                self.check(&entry);
            }
        }
    }

    /// Asks the store soon whether a session is still open.
    fn check(&self, entry: &Entry) {
        let op = StoreOp::Check(entry.scope.clone(), entry.owner.clone(), key(entry));
        self.outbox.add(op);
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
