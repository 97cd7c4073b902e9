//! How long a session that this process knows may be served without a lookup in the store.
//!
//! A session is *verified* at the moment when the store last answered for it. While the subscription
//! to ends is alive, this node receives every end of a session that was verified in its epoch. After
//! the subscription breaks, the lease counts from the verification itself.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};
use std::time::Duration;

use crate::session::{Entry, clock, nanos};

/// The start of the subscription and the time until which it is known to be alive, in the unit of
/// [`clock::now`].
#[derive(Debug)]
pub(super) struct Lease {
    lease: u64,
    grace: u64,
    /// The start of the subscription. No end has been missed since then.
    epoch: AtomicU64,
    /// The time until which a session that was verified in this epoch needs no lookup.
    alive_until: AtomicU64,
}

impl Lease {
    /// Creates a lease. `is_alone` means that no other process uses the store, so there are no ends
    /// to receive.
    pub(super) fn new(lease: Duration, grace: Duration, is_alone: bool) -> Self {
        Self {
            lease: nanos(lease),
            grace: nanos(grace),
            epoch: AtomicU64::new(if is_alone { 0 } else { NEVER }),
            alive_until: AtomicU64::new(if is_alone { u64::MAX } else { 0 }),
        }
    }

    pub(super) fn duration(&self) -> Duration {
        Duration::from_nanos(self.lease)
    }

    /// Returns whether a session that this process knows may be served without a lookup.
    #[inline] // called for each request
    pub(super) fn is_verified(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        // In this order, because an epoch begins before its subscription is alive.
        let is_alive = now <= self.alive_until.load(Acquire);
        is_alive && verified > self.epoch.load(Acquire)
            || now <= verified.saturating_add(self.lease)
    }

    /// Returns whether a session may be served a while longer although its lookup failed.
    pub(super) fn within_grace(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        let known_good = match verified > self.epoch.load(Acquire) {
            true => self.alive_until.load(Acquire),
            false => 0,
        };
        let verified_until = known_good.max(verified.saturating_add(self.lease));
        now <= verified_until.saturating_add(self.grace)
    }

    /// Begins the epoch of a new subscription. No end of a session that is verified from here on is
    /// missed. Returns whether there was an epoch before.
    pub(super) fn begin_epoch(&self) -> bool {
        self.epoch.swap(clock::now(), AcqRel) != NEVER
    }

    /// Records that every end up to `as_of` was received.
    pub(super) fn renew(&self, as_of: u64) {
        let until = as_of.saturating_add(self.lease);
        self.alive_until.fetch_max(until, Release);
    }
}

/// The value of `epoch` before the first subscription.
const NEVER: u64 = u64::MAX;
