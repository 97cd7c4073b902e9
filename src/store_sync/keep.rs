//! Writes a session to the store before its client hears that it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::outbox::StoreOp;
use super::record::Record;
use super::{StoreSync, key, leave_alone};
use crate::log::TARGET;
use crate::session::{Entry, ReserveError, clock};
use crate::store::NewSession;

impl StoreSync {
    /// Writes a session that is about to open.
    pub(crate) async fn keep(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), ReserveError> {
        // Whatever is still to be told of the owner must not wait for a session that opens.
        self.wake();
        let key = key(entry);
        let record = record(entry);
        let Some(value) = record.encode() else {
            record_too_long(entry);
            return Err(ReserveError::StoreDown);
        };
        let owner = record.owner.as_ref().map(|owner| owner.to_text());
        if let Some(owner) = &owner {
            // What is still to be removed must not take this one along.
            let removed = self.outbox.without_owner(owner);
            if timeout(self.timeout, removed).await.is_err() {
                return Err(ReserveError::StoreDown);
            }
        }
        let session = NewSession {
            key: &key,
            value: &value,
            owner: owner.as_deref(),
            expires_in: self.until_used(),
        };
        if self.is_closed() {
            // Nothing was sent, so there is nothing to be removed.
            return Err(ReserveError::StoreDown);
        }
        // Before it is kept: whoever ends it meanwhile must have it removed.
        entry.mark_verified(clock::now());
        match self.call(self.store.create(session)).await {
            Ok(true) => {
                if entry.end_reason().is_some() {
                    // Whoever has ended it may have found nothing to remove.
                    self.outbox.add(StoreOp::Remove(key));
                }
                Ok(())
            }
            Ok(false) => {
                // Another's, which must not be removed.
                entry.mark_unstored();
                Err(ReserveError::NoId)
            }
            Err(()) => {
                // Each that fails is to be removed again: not as many as anybody likes to send.
                leave_alone(&self.closed_until);
                Err(ReserveError::StoreDown)
            }
        }
    }
}

fn record(entry: &Entry) -> Record {
    Record {
        client: entry.client.as_ref().clone(),
        owner: entry.owner.clone(),
        protocol_version: entry.protocol_version().map(str::to_owned),
        inner_id: entry.inner_id().cloned(),
        opened_on: entry.opened_on().unwrap_or_default().to_owned(),
        age: Duration::from_nanos(clock::now().saturating_sub(entry.opened())),
    }
}

/// What is known of a session is too long for a store.
fn record_too_long(entry: &Entry) {
    warn!(target: TARGET, session = %entry.id.fingerprint(), "what is known of the session is too long to be stored: shorten its owner");
}
