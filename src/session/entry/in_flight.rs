//! Requests and response bodies in flight, which suspend the idle clock of a session.

use std::sync::Arc;

use super::Entry;
use super::clocks::BYTE_CARRIED;
use crate::session::clock;
use crate::session::state::State;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

/// A request or response body in flight: suspends the idle clock of its session until dropped.
///
/// Every request counts from contract row 7 on. Only an [admitted](Self::admit) one refreshes the
/// clock, so that a refused request keeps no session alive.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(super) entry: Arc<Entry>,
    pub(super) admitted: bool,
    pub(super) body: bool,
}

impl InFlight {
    /// Marks the request as admitted, because it passed every check: its end refreshes the idle
    /// clock.
    pub(crate) fn admit(&mut self) {
        self.admitted = true;
    }

    /// Admits a message, which also marks the session as used.
    pub(crate) fn admit_message(&mut self) {
        self.admit();
        if !self.entry.is_used() {
            self.entry.state.fetch_or(State::USED, AcqRel);
        }
    }

    /// Turns the request into its response body, whose bytes and end are tracked from here on.
    pub(crate) fn into_body(mut self) -> Self {
        // The body of an answer to `initialize` is tracked from the start.
        if !self.body {
            self.entry.last_byte.fetch_max(clock::now(), Relaxed);
            self.entry.bodies.fetch_add(1, AcqRel);
            self.body = true;
        }
        self
    }

    /// Records that the body carried a byte.
    #[inline] // called for each frame of a stream
    pub(crate) fn carried(&self) {
        // Written once between two checks of the clocks, so that streams do not contend for the word.
        if self.entry.last_byte.load(Relaxed) != BYTE_CARRIED {
            self.entry.last_byte.store(BYTE_CARRIED, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.admitted {
            self.entry.last.fetch_max(clock::now(), Relaxed);
        }
        if self.body {
            self.entry.bodies.fetch_sub(1, AcqRel);
        }
        self.entry.state.fetch_sub(State::ONE_IN_FLIGHT, Release);
    }
}
