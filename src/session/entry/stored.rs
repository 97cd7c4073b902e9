//! What a session is to the store that outlives the process.

use std::sync::Arc;

use super::{Entry, UNSTORED};
use crate::session::EndReason;
use crate::session::registry::Unavailable;
use crate::session::state::State;
use crate::store::SessionKey;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl Entry {
    /// Under what a store keeps it.
    pub(crate) fn key(&self) -> SessionKey {
        SessionKey::of(self.scope.name(), &self.id)
    }

    /// When the store last vouched for it.
    #[inline] // on the way of each request
    pub(crate) fn verified(&self) -> u64 {
        self.verified.load(Acquire)
    }

    /// The store knows it, as was asked at this moment.
    pub(crate) fn verify(&self, asked: u64) {
        self.verified.store(asked, Release);
    }

    /// Whether the store knows it is in doubt until that is asked again.
    pub(crate) fn doubt(&self) {
        if self.is_stored() {
            self.verified.store(0, Release);
        }
    }

    /// The store does not know it.
    pub(crate) fn disown(&self) {
        self.verified.store(UNSTORED, Release);
    }

    /// Whether the store knows it, or may.
    pub(crate) fn is_stored(&self) -> bool {
        self.verified() != UNSTORED
    }

    /// Whether it has ended for this process only.
    pub(crate) fn goes_on_elsewhere(&self) -> bool {
        let Some(reason) = self.end_reason().filter(|_| self.is_stored()) else {
            return false;
        };
        let registry = self.registry.upgrade();
        let link = registry.as_ref().and_then(|registry| registry.link());
        reason == EndReason::HandedOver || link.is_some_and(|link| !link.ends_inner(self, reason))
    }

    /// Whether it is to be kept by a store.
    pub(crate) fn has_store(&self) -> bool {
        self.opened_on.is_some()
    }

    /// Has its store keep it, where there is one.
    pub(crate) async fn keep(self: &Arc<Self>) -> Result<(), Unavailable> {
        let Some(registry) = self.registry.upgrade() else {
            return Ok(());
        };
        match registry.link() {
            // Boxed, so that openings without a store do not carry it about.
            Some(link) => Box::pin(link.keep(&registry, self)).await,
            None => Ok(()),
        }
    }

    /// Ends it everywhere, where it has ended for this process only.
    pub(crate) fn end_elsewhere(&self) {
        if self.goes_on_elsewhere() {
            let registry = self.registry.upgrade();
            if let Some(link) = registry.as_ref().and_then(|registry| registry.link()) {
                link.end(self);
            }
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
