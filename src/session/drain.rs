//! The end of a guard (contract §5 "Drain"): no session opens any more, and at the deadline
//! everything that would keep a server from shutting down ends.

use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::tally::Tally;
use crate::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};
use crate::sync::{Notified, Notify};

/// How far the drain of a registry is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// When it will be over, in the unit of [`clock::now`]; 0 while nobody drains.
    deadline: AtomicU64,
    is_over: AtomicBool,
    /// Calls, with their event streams, that are tied to no session.
    calls: Arc<Tally>,
    /// Rung when it is over.
    bell: Arc<Notify>,
    /// Rung when a session that it waits for is gone.
    gone: Notify,
}

impl Drain {
    /// From now on no session opens. Of several deadlines the earliest counts.
    pub(crate) fn begin(&self, patience: Duration) {
        let deadline = clock::now().saturating_add(clock::nanos(patience));
        let _ = self.deadline.fetch_update(AcqRel, Acquire, |set| {
            (set == 0 || deadline < set).then_some(deadline)
        });
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.deadline.load(Acquire) != 0
    }

    /// The deadline has passed: whoever waits is told.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Release);
        self.bell.notify_waiters();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Acquire)
    }

    /// How long until the deadline, in whole seconds, rounded up; at least 1.
    pub(crate) fn seconds_left(&self) -> u64 {
        let left = self.deadline.load(Acquire).saturating_sub(clock::now());
        Duration::from_nanos(left).as_secs_f64().ceil().max(1.0) as u64
    }

    /// A session is gone.
    pub(super) fn look(&self) {
        if self.is_draining() {
            self.gone.notify_waiters();
        }
    }

    pub(super) fn gone(&self) -> Notified<'_> {
        self.gone.notified()
    }

    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// The calls, with their event streams, that are tied to no session.
    pub(crate) fn calls(&self) -> &Arc<Tally> {
        &self.calls
    }
}
