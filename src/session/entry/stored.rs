//! What a session is to the store that outlives the process.

use super::{Entry, UNSTORED};
use crate::session::EndReason;
use crate::session::state::State;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl Entry {
    /// When the store last vouched for it.
    #[inline] // on the way of each request
    pub(crate) fn verified(&self) -> u64 {
        self.verified.load(Acquire)
    }

    /// The store knows it, as was asked at this moment.
    pub(crate) fn mark_verified(&self, asked: u64) {
        self.verified.store(asked, Release);
    }

    /// Whether the store knows it is in doubt until that is asked again.
    pub(crate) fn mark_unverified(&self) {
        if self.is_stored() {
            self.verified.store(0, Release);
        }
    }

    /// The store does not know it.
    pub(crate) fn mark_unstored(&self) {
        self.verified.store(UNSTORED, Release);
    }

    /// Whether the store knows it, or may.
    pub(crate) fn is_stored(&self) -> bool {
        self.verified() != UNSTORED
    }

    /// Whether it is to be kept by a store.
    pub(crate) fn has_store(&self) -> bool {
        self.opened_on.is_some()
    }

    /// Why it ends when this process stops: where a store knows it, it goes on elsewhere.
    pub(crate) fn reason_without_us(&self, unless_stored: EndReason) -> EndReason {
        match self.is_stored() {
            true => EndReason::HandedOver,
            false => unless_stored,
        }
    }

    /// Whether the store should hear that it is in use, which it has heard of `pause` ago at least.
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

    /// The store has heard that it was in use at this moment.
    pub(crate) fn mark_refreshed(&self, now: u64) {
        self.refreshed.store(now, Relaxed);
    }
}
