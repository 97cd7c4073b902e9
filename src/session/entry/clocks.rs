//! When a session ends by itself: its lifetime, its idle clock, and the clock of a session never used.

use super::Entry;
use crate::session::EndReason;
use crate::session::state::{Phase, State};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// How long a session may live, in the unit of [`clock::now`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: u64,
    pub(crate) never_used: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) silent: u64,
    pub(crate) lifetime: Option<u64>,
}

impl Entry {
    /// Why the session should end by its clocks, if it should.
    pub(crate) fn expired(&self, now: u64, limits: &Limits) -> Option<Due> {
        let seen = State(self.state.load(Acquire));
        let reason = self.overdue(seen, now, limits)?;
        Some(Due { reason, seen })
    }

    /// Since when the session has been idle, if nothing of it is in flight, with the state in which
    /// that is true.
    pub(crate) fn idle(&self, reason: EndReason) -> Option<(u64, Due)> {
        let seen = State(self.state.load(Acquire));
        let is_idle = seen.is_usable() && seen.in_flight() == 0;
        is_idle.then(|| (self.last(), Due { reason, seen }))
    }

    /// Ends the session unless anything happened to it since `due` was found.
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

    /// Since when the idle clock runs; `None` while it is suspended.
    fn idle_since(&self, state: State, now: u64, limits: &Limits) -> Option<u64> {
        let bodies = u64::from(self.bodies.load(Acquire));
        match state.in_flight() {
            0 => Some(self.last()),
            calls if calls > bodies => None,
            // Only bodies: one that has been silent for so long may be a dead connection.
            _ => Some(
                self.last_byte(now)
                    .saturating_add(limits.silent)
                    .max(self.last()),
            ),
        }
    }

    /// When a body last carried a byte, as far as one has looked: a stream of many small frames
    /// should not read the clock for each.
    fn last_byte(&self, now: u64) -> u64 {
        match self
            .last_byte
            .compare_exchange(SINCE, now, Relaxed, Relaxed)
        {
            Ok(_) => now,
            Err(known) => known,
        }
    }
}

/// A session that is to end, with the state in which the reason was true.
#[derive(Debug)]
pub(crate) struct Due {
    reason: EndReason,
    seen: State,
}

/// A byte was carried since the last look at the clocks.
pub(super) const SINCE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::clock;

    #[test]
    fn a_request_that_came_and_went_since_the_clock_was_read_keeps_its_session() {
        let limits = Limits {
            idle: 1,
            never_used: u64::MAX,
            unconfirmed: u64::MAX,
            silent: u64::MAX,
            lifetime: None,
        };
        let entry = Entry::alone("1", None);
        drop(entry.open(Phase::Live));
        let later = clock::now() + 1;
        let due = entry.expired(later, &limits).unwrap();
        drop(entry.clone().begin());
        assert!(entry.end_as_seen(&due).is_none());
        let due = entry.expired(later, &limits).unwrap();
        assert!(entry.end_as_seen(&due).is_some());
    }
}
