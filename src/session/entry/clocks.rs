//! The clocks that end a session: lifetime, idle, never used and unconfirmed.

use super::Entry;
use crate::session::EndReason;
use crate::session::state::{Phase, State};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The time limits of a session, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: u64,
    pub(crate) never_used: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) silent: u64,
    pub(crate) lifetime: Option<u64>,
}

impl Entry {
    /// Returns why the clocks have run out at `now`, if they have, with the state in which that is
    /// true.
    pub(crate) fn expired(&self, now: u64, limits: &Limits) -> Option<Due> {
        let seen = State(self.state.load(Acquire));
        let reason = self.overdue(seen, now, limits)?;
        Some(Due { reason, seen })
    }

    /// Returns since when the session has been idle, with the state in which that is true. Returns
    /// `None` if anything is in flight.
    pub(crate) fn idle(&self, reason: EndReason) -> Option<(u64, Due)> {
        let seen = State(self.state.load(Acquire));
        let is_idle = seen.is_usable() && seen.in_flight() == 0;
        is_idle.then(|| (self.last(), Due { reason, seen }))
    }

    /// Ends the session unless anything happened to it since `due` was found. Returns the state
    /// before.
    pub(crate) fn end_as_seen(&self, due: &Due) -> Option<State> {
        self.state
            .compare_exchange(due.seen.0, due.seen.ended(due.reason).0, AcqRel, Acquire)
            .ok()
            .map(State)
    }

    fn overdue(&self, state: State, now: u64, limits: &Limits) -> Option<EndReason> {
        let age = now.saturating_sub(self.opened());
        match state.phase() {
            Phase::Reserved | Phase::Ended => return None,
            Phase::Provisional if age >= limits.unconfirmed => return Some(EndReason::Unconfirmed),
            Phase::Provisional | Phase::Live => {}
        }
        if limits.lifetime.is_some_and(|lifetime| age >= lifetime) {
            return Some(EndReason::Lifetime);
        }
        if !state.is_used() && age >= limits.never_used {
            return Some(EndReason::NeverUsed);
        }
        let since = self.idle_since(state, now, limits)?;
        (now.saturating_sub(since) >= limits.idle).then_some(EndReason::Idle)
    }

    /// Returns since when the idle clock has been running; `None` while it is suspended.
    fn idle_since(&self, state: State, now: u64, limits: &Limits) -> Option<u64> {
        let bodies = u64::from(self.bodies.load(Acquire));
        match state.in_flight() {
            0 => Some(self.last()),
            calls if calls > bodies => None,
            // Only bodies are in flight. If they are silent for `limits.silent`, their connections
            // may be dead.
            _ => Some(
                self.last_byte(now)
                    .saturating_add(limits.silent)
                    .max(self.last()),
            ),
        }
    }

    /// Returns when a body last carried a byte, as far as a check of the clocks has seen it. A stream
    /// of many small frames should not read the clock for each frame.
    fn last_byte(&self, now: u64) -> u64 {
        match self
            .last_byte
            .compare_exchange(BYTE_CARRIED, now, Relaxed, Relaxed)
        {
            Ok(_) => now,
            Err(known) => known,
        }
    }
}

/// The reason to end a session, with the state in which it was true.
#[derive(Debug)]
pub(crate) struct Due {
    reason: EndReason,
    seen: State,
}

/// The value of `last_byte` if a body carried a byte after the last check of the clocks.
pub(super) const BYTE_CARRIED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::clock;

    #[test]
    fn a_request_that_comes_in_between_keeps_its_session() {
        let limits = Limits {
            idle: 1,
            never_used: u64::MAX,
            unconfirmed: u64::MAX,
            silent: u64::MAX,
            lifetime: None,
        };
        let entry = Entry::without_registry("1", None);
        drop(entry.open(Phase::Live));
        let later = clock::now() + 1;
        let due = entry.expired(later, &limits).unwrap();
        drop(entry.clone().begin());
        assert!(entry.end_as_seen(&due).is_none());
        let due = entry.expired(later, &limits).unwrap();
        assert!(entry.end_as_seen(&due).is_some());
    }
}
