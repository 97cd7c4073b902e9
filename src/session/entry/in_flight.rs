//! What suspends a session's idle clock: its requests and response bodies.

use std::sync::Arc;

use super::Entry;
use super::clocks::SINCE;
use crate::session::clock;
use crate::session::state::State;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

/// A request or response body of a session in progress: suspends the idle clock until dropped.
///
/// From contract row 7 on every request counts; only an [admitted](Self::admit) one refreshes the
/// clock, so that refusals keep no session alive.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(super) entry: Arc<Entry>,
    pub(super) admitted: bool,
    pub(super) body: bool,
}

impl InFlight {
    /// The request passed every check: its end refreshes the idle clock.
    pub(crate) fn admit(&mut self) {
        self.admitted = true;
    }

    /// It is a message, so the session has been used.
    pub(crate) fn admit_message(&mut self) {
        self.admit();
        if !self.entry.is_used() {
            self.entry.state.fetch_or(State::USED, AcqRel);
        }
    }

    /// The answer's head came and its body is watched from here on.
    pub(crate) fn into_body(mut self) -> Self {
        // That of an opening is from the start.
        if !self.body {
            self.entry.last_byte.fetch_max(clock::now(), Relaxed);
            self.entry.bodies.fetch_add(1, AcqRel);
            self.body = true;
        }
        self
    }

    /// The body carried a byte.
    #[inline] // likewise
    pub(crate) fn carried(&self) {
        // Written once between two looks, so that streams do not fight for the word.
        if self.entry.last_byte.load(Relaxed) != SINCE {
            self.entry.last_byte.store(SINCE, Relaxed);
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
