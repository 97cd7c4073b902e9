//! Writes a session to the store before the client learns that it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::outbox::StoreOp;
use super::record::Record;
use super::{StoreSync, back_off, key};
use crate::log::TARGET;
use crate::session::{Entry, ReserveError, clock};
use crate::store::NewSession;

impl StoreSync {
    /// Writes the record of a session that is about to open.
    pub(crate) async fn keep(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), ReserveError> {
        // Starts the outbox, which sends the removals of this owner that this call waits for.
        self.wake();
        let key = key(entry);
        let record = record(entry);
        let Some(value) = record.encode() else {
            warn_record_too_long(entry);
            return Err(ReserveError::StoreDown);
        };
        let owner = record.owner.as_ref().map(|owner| owner.to_text());
        if let Some(owner) = &owner {
            // A pending removal of the owner's sessions must not remove this one too.
            let removed = self.outbox.until_owner_removed(owner);
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
            // Nothing was sent, so there is nothing to remove.
            return Err(ReserveError::StoreDown);
        }
        // Marked before the write: a thread that ends the session meanwhile must have the record
        // removed.
        entry.mark_verified(clock::now());
        match self.call(self.store.create(session)).await {
            Ok(true) => {
                if entry.end_reason().is_some() {
                    // The thread that ended the session may have found nothing to remove.
                    self.outbox.add(StoreOp::Remove(key));
                }
                Ok(())
            }
            Ok(false) => {
                // The record is that of another session and must not be removed.
                entry.mark_unstored();
                Err(ReserveError::NoId)
            }
            Err(()) => {
                // Each failed write adds a removal to the outbox. A client must not be able to add
                // any number.
                back_off(&self.closed_until);
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

/// Warns that the record of a session is too long for a store.
fn warn_record_too_long(entry: &Entry) {
    warn!(target: TARGET, session = %entry.id.fingerprint(), "the record of the session is over 8 KiB and cannot be stored: have the owner resolver return a shorter owner");
}
