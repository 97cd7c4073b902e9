//! The session limits, and the sessions that are evicted when a limit is reached.

use std::sync::Arc;

use super::{Registry, ReserveError, lock};
use crate::promises::RECLAIM_INTERVAL;
use crate::session::{EndReason, Entry, Owner, clock};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Release};

impl Registry {
    /// Takes a slot, unless the session limit is reached.
    pub(super) fn take_slot(&self) -> bool {
        self.taken
            .fetch_update(AcqRel, Acquire, |taken| {
                (taken < self.max_sessions).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Takes a slot although the session limit is reached: ends expired sessions first, in at most
    /// one pass a second, then evicts the oldest session that was never used.
    pub(super) fn make_room(&self) -> bool {
        if self.reclaim() {
            return true;
        }
        loop {
            if self.take_slot() {
                return true;
            }
            let Some(oldest) = lock(&self.never_used).pop() else {
                return false;
            };
            if let Some(entry) = oldest.upgrade() {
                let before = entry.end_never_used(EndReason::Evicted);
                self.leave(&entry, before);
            }
        }
    }

    /// Takes a slot that an expired session, or any other session meanwhile, has freed. The pass over
    /// the map stops once a slot is free. The next opening that finds no slot continues it.
    fn reclaim(&self) -> bool {
        let now = clock::now();
        let last = self.last_reclaim.load(Acquire);
        if (last == 0 || now.saturating_sub(last) >= clock::nanos(RECLAIM_INTERVAL))
            && self
                .last_reclaim
                .compare_exchange(last, now.max(1), AcqRel, Acquire)
                .is_ok()
        {
            self.next_reclaim.store(0, Release);
        }
        loop {
            let part = self.next_reclaim.fetch_add(1, AcqRel);
            if part >= self.parts() {
                return false;
            }
            self.sweep_part(part);
            if self.take_slot() {
                return true;
            }
        }
    }

    /// Evicts the owner's session that has been idle longest, if the limit of sessions per owner is
    /// reached.
    pub(super) fn make_room_for(&self, owner: &Owner) -> Result<(), ReserveError> {
        loop {
            // A copy of the list, because `leave` takes the lock.
            let full = lock(&self.by_owner).full(owner, self.max_per_owner);
            let Some(sessions) = full else {
                return Ok(());
            };
            let idle = sessions.iter().filter_map(|session| {
                let (since, seen) = session.idle(EndReason::Evicted)?;
                Some((since, session, seen))
            });
            let Some((_, oldest, seen)) = idle.min_by_key(|(since, ..)| *since) else {
                return Err(ReserveError::OwnerFull);
            };
            let before = oldest.end_as_seen(&seen);
            self.leave(oldest, before);
        }
    }

    /// Adds a new session to the list of its owner.
    pub(super) fn list_for_owner(&self, entry: &Arc<Entry>) -> Result<(), ReserveError> {
        let Some(owner) = &entry.owner else {
            return Ok(());
        };
        while !lock(&self.by_owner).add(owner, entry, self.max_per_owner) {
            self.make_room_for(owner)?;
        }
        Ok(())
    }

    /// Removes a session from the list of its owner.
    pub(super) fn unlist(&self, entry: &Arc<Entry>) {
        if let Some(owner) = &entry.owner {
            lock(&self.by_owner).remove(owner, entry);
        }
    }
}
