//! A counter that can be awaited until it is zero.

use std::sync::Arc;

use crate::sync::Notify;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

/// Counts calls or tasks, and lets a caller wait until none is left.
#[derive(Debug, Default)]
pub(crate) struct TaskCounter {
    count: AtomicUsize,
    /// Notified when the count reaches zero.
    emptied: Notify,
}

impl TaskCounter {
    /// Counts one more until the returned token is dropped.
    pub(crate) fn start(self: &Arc<Self>) -> TaskToken {
        self.count.fetch_add(1, AcqRel);
        TaskToken(self.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the count is zero.
    pub(crate) async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

/// Counts as one in a [`TaskCounter`] until dropped.
#[derive(Debug)]
pub(crate) struct TaskToken(Arc<TaskCounter>);

impl Drop for TaskToken {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
