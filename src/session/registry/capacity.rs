//! Room for one more session: the limits, and who goes where they are reached.

use std::sync::Arc;

use super::{Registry, ReserveError, lock};
use crate::promises::RECLAIM_INTERVAL;
use crate::session::{EndReason, Entry, Owner, clock};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Release};

impl Registry {
    pub(super) fn take_place(&self) -> bool {
        self.taken
            .fetch_update(AcqRel, Acquire, |taken| {
                (taken < self.max_sessions).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Full: expired sessions go first, at most one such look a second, then the oldest that was
    /// never used.
    pub(super) fn make_room(&self) -> bool {
        if self.reclaim() {
            return true;
        }
        loop {
            if self.take_place() {
                return true;
            }
            let Some(oldest) = lock(&self.never_used).pop() else {
                return false;
            };
            if let Some(entry) = oldest.upgrade() {
                let before = entry.end_unused(EndReason::Evicted);
                self.leave(&entry, before);
            }
        }
    }

    /// Takes a place that expired sessions, or others meanwhile, have left. The look at all of them goes
    /// no further than it must: the next opening that finds no place goes on with it.
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
            if self.take_place() {
                return true;
            }
        }
    }

    /// Where the owner has all the sessions that one may have, the one that has been idle longest
    /// ends.
    pub(super) fn make_room_for(&self, owner: &Owner) -> Result<(), ReserveError> {
        loop {
            // A list of its own: leaving takes the lock.
            let full = lock(&self.by_owner).full(owner, self.max_per_owner);
            let Some(held) = full else {
                return Ok(());
            };
            let idle = held.iter().filter_map(|held| {
                let (since, seen) = held.idle(EndReason::Evicted)?;
                Some((since, held, seen))
            });
            let Some((_, oldest, seen)) = idle.min_by_key(|(since, ..)| *since) else {
                return Err(ReserveError::OwnerFull);
            };
            let before = oldest.end_as_seen(&seen);
            self.leave(oldest, before);
        }
    }

    /// Lists a new session under its owner.
    pub(super) fn list_for_owner(&self, entry: &Arc<Entry>) -> Result<(), ReserveError> {
        let Some(owner) = &entry.owner else {
            return Ok(());
        };
        while !lock(&self.by_owner).add(owner, entry, self.max_per_owner) {
            self.make_room_for(owner)?;
        }
        Ok(())
    }

    pub(super) fn unlist(&self, entry: &Arc<Entry>) {
        if let Some(owner) = &entry.owner {
            lock(&self.by_owner).remove(owner, entry);
        }
    }
}
