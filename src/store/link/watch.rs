//! Listens to the ends that others bring about.

use std::pin::pin;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::errands::Errand;
use super::{Link, NEVER, late};
use crate::session::{EndReason, Entry, Owner, Registry, clock};
use crate::store::{Ends, StoreEvent};

/// Follows the stream of ends as long as the registry lives.
pub(super) async fn run(registry: Weak<Registry>) {
    let mut pause = SHORTEST_PAUSE;
    while let Some(ends) = listen(&registry).await {
        let heard = match ends {
            Some(ends) => follow(&registry, ends).await,
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
async fn listen(registry: &Weak<Registry>) -> Option<Option<Ends>> {
    // A guard that is dropped meanwhile must not wait for this.
    let (store, lease, patience) = {
        let registry = registry.upgrade()?;
        let link = registry.link()?;
        (link.store.clone(), link.lease, link.timeout)
    };
    let ends = store.ends(Duration::from_nanos(lease))?;
    let ends = timeout(patience, ends).await;
    let registry = registry.upgrade()?;
    let link = registry.link()?;
    let ends = match ends {
        Ok(Ok(ends)) => ends,
        Ok(Err(error)) => {
            link.observers.store_failed(&error);
            return Some(None);
        }
        Err(_) => {
            link.observers.store_failed(&late());
            return Some(None);
        }
    };
    // Only what is verified from here on is known to miss no end.
    let before = link.epoch.swap(clock::now(), AcqRel);
    if before != NEVER {
        link.check_streams(&registry);
    }
    Some(Some(ends))
}

/// Whether anything was heard before the stream broke.
async fn follow(registry: &Weak<Registry>, ends: Ends) -> bool {
    let mut ends = pin!(ends);
    let mut lease = LONGEST_PAUSE;
    let mut heard = false;
    loop {
        let event = timeout(lease, ends.next()).await;
        let Some(registry) = registry.upgrade() else {
            return heard;
        };
        let Some(link) = registry.link() else {
            return heard;
        };
        lease = Duration::from_nanos(link.lease);
        match event {
            Ok(Some(Ok(event))) => link.hear(&registry, event),
            Ok(Some(Err(error))) => {
                link.observers.store_failed(&error);
                return heard;
            }
            Ok(None) | Err(_) => {
                link.observers.store_failed(&late());
                return heard;
            }
        }
        heard = true;
    }
}

impl Link {
    fn hear(&self, registry: &Arc<Registry>, event: StoreEvent) {
        match event {
            StoreEvent::Alive { as_of } => {
                let until = clock::at(as_of).saturating_add(self.lease);
                self.alive_until.fetch_max(until, Release);
            }
            StoreEvent::Ended(key) => {
                self.spoil(&key);
                let entry = registry.find(key.id().as_bytes());
                if let Some(entry) = entry.filter(|entry| entry.scope.name() == key.scope()) {
                    registry.end(&entry, EndReason::EndedElsewhere);
                }
            }
            StoreEvent::OwnerEnded(owner) => {
                self.spoil_all();
                // What the owner has opened since is not concerned: the store knows.
                let owner = Owner::from_text(&owner);
                for entry in owner.iter().flat_map(|owner| registry.of(owner)) {
                    entry.doubt();
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
        let errand = Errand::Check(entry.scope.clone(), entry.owner.clone(), entry.key());
        self.errands.add(errand);
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
