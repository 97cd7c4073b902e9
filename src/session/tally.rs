//! A count of things that somebody may wait for until none is left.

use std::sync::Arc;

use crate::sync::Notify;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

/// How many there are.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicUsize,
    /// Rung when the last one is gone.
    bell: Notify,
}

impl Tally {
    /// Counts one more, until it is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.count.fetch_add(1, AcqRel);
        Held(self.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until none is left.
    pub(crate) async fn emptied(&self) {
        loop {
            let rung = self.bell.notified();
            if self.is_empty() {
                return;
            }
            rung.await;
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Held(Arc<Tally>);

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, AcqRel) == 1 {
            self.0.bell.notify_waiters();
        }
    }
}
