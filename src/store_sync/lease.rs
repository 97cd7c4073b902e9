//! How long a session that this process knows may be served without a look into the store.
//!
//! A session is *verified* at the moment of the store's last answer about it. While the subscription to
//! ends is alive, a session that was verified in its epoch cannot have ended unheard. Where the
//! subscription broke, the lease counts from the verification itself.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};
use std::time::Duration;

use crate::session::{Entry, clock, nanos};

/// When the subscription began, and until when it is known to be alive; in the unit of [`clock::now`].
#[derive(Debug)]
pub(super) struct Lease {
    lease: u64,
    grace: u64,
    /// Since when no end has been missed.
    epoch: AtomicU64,
    /// Until when a session that was verified in this epoch needs no lookup.
    alive_until: AtomicU64,
}

impl Lease {
    /// `is_alone`: no other process uses the store, so there is nothing to hear.
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

    /// Whether a session that is known here may be served without a lookup.
    #[inline] // on the way of each request
    pub(super) fn is_verified(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        // In this order: an epoch begins before what is alive in it.
        let is_alive = now <= self.alive_until.load(Acquire);
        is_alive && verified > self.epoch.load(Acquire)
            || now <= verified.saturating_add(self.lease)
    }

    /// Whether a session may be served a while longer although its lookup failed.
    pub(super) fn within_grace(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        let known_good = match verified > self.epoch.load(Acquire) {
            true => self.alive_until.load(Acquire),
            false => 0,
        };
        let verified_until = known_good.max(verified.saturating_add(self.lease));
        now <= verified_until.saturating_add(self.grace)
    }

    /// A subscription begins: only what is verified from here on is known to miss no end. Returns whether
    /// there was one before.
    pub(super) fn begin_epoch(&self) -> bool {
        self.epoch.swap(clock::now(), AcqRel) != NEVER
    }

    /// Every end up to this moment has been heard.
    pub(super) fn renew(&self, heard: u64) {
        let until = heard.saturating_add(self.lease);
        self.alive_until.fetch_max(until, Release);
    }
}

/// The epoch before the first.
const NEVER: u64 = u64::MAX;
