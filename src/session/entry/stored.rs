//! The part of an entry that tracks its record in the store.

use super::{Entry, UNSTORED};
use crate::session::EndReason;
use crate::session::state::State;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl Entry {
    /// Returns when the store last confirmed the session.
    #[inline] // called for each request
    pub(crate) fn verified(&self) -> u64 {
        self.verified.load(Acquire)
    }

    /// Records that the store knows the session, as of the moment of the lookup.
    pub(crate) fn mark_verified(&self, asked: u64) {
        self.verified.store(asked, Release);
    }

    /// Marks a session in the store as unverified until the store confirms it again.
    pub(crate) fn mark_unverified(&self) {
        if self.is_stored() {
            self.verified.store(0, Release);
        }
    }

    /// Records that the store does not know the session.
    pub(crate) fn mark_unstored(&self) {
        self.verified.store(UNSTORED, Release);
    }

    /// Returns whether the store knows the session, or may know it.
    pub(crate) fn is_stored(&self) -> bool {
        self.verified() != UNSTORED
    }

    /// Returns why the session ends when this process stops. A session that the store knows lives on
    /// elsewhere.
    pub(crate) fn shutdown_reason(&self, unless_stored: EndReason) -> EndReason {
        match self.is_stored() {
            true => EndReason::HandedOver,
            false => unless_stored,
        }
    }

    /// Returns whether the record needs a refresh: the session is in use, and the last refresh was at
    /// least `pause` ago. A confirmed session without a record needs one too.
    pub(crate) fn is_due(&self, now: u64, pause: u64) -> bool {
        let state = State(self.state.load(Acquire));
        if !self.is_stored() {
            return state.is_usable() && state.is_confirmed();
        }
        let refreshed = self.refreshed.load(Relaxed);
        let is_in_use = state.in_flight() > 0 || self.last() > refreshed;
        let is_active = state.is_usable() && state.is_used() && is_in_use;
        is_active && now.saturating_sub(refreshed) >= pause
    }

    /// Records that the store learned that the session was in use at `now`.
    pub(crate) fn mark_refreshed(&self, now: u64) {
        self.refreshed.store(now, Relaxed);
    }
}
