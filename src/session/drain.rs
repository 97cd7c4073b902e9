//! The drain of a guard (contract §5 "Drain"): no session opens any more, and at the deadline the
//! guard ends everything that would keep a server from shutting down.

use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::task_counter::TaskCounter;
use crate::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};
use crate::sync::{Notified, Notify};

/// The progress of a registry's drain.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// The deadline, in the unit of [`clock::now`]; 0 before the drain begins.
    deadline: AtomicU64,
    is_over: AtomicBool,
    /// The calls without a session, with their event streams.
    calls: Arc<TaskCounter>,
    /// Notified when the drain is over.
    over: Arc<Notify>,
    /// Notified when a session frees its slot during the drain.
    slot_freed: Notify,
}

impl Drain {
    /// Begins the drain: from now on no session opens. The earliest of several deadlines applies.
    pub(crate) fn begin(&self, time_limit: Duration) {
        let deadline = clock::now().saturating_add(clock::nanos(time_limit));
        let _ = self.deadline.fetch_update(AcqRel, Acquire, |set| {
            (set == 0 || deadline < set).then_some(deadline)
        });
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.deadline.load(Acquire) != 0
    }

    /// Marks the drain as over and notifies all waiters.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Release);
        self.over.notify_waiters();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Acquire)
    }

    /// Returns the seconds until the deadline, rounded up; at least 1.
    pub(crate) fn seconds_left(&self) -> u64 {
        let left = self.deadline.load(Acquire).saturating_sub(clock::now());
        Duration::from_nanos(left).as_secs_f64().ceil().max(1.0) as u64
    }

    /// Notifies the drain, if there is one, that a slot was freed.
    pub(super) fn notify_slot_freed(&self) {
        if self.is_draining() {
            self.slot_freed.notify_waiters();
        }
    }

    pub(super) fn slot_freed(&self) -> Notified<'_> {
        self.slot_freed.notified()
    }

    /// Returns the notifier of the end of the drain.
    pub(crate) fn over(&self) -> Arc<Notify> {
        self.over.clone()
    }

    /// Returns the counter of calls without a session. A call counts until its event stream ends.
    pub(crate) fn calls(&self) -> &Arc<TaskCounter> {
        &self.calls
    }
}
