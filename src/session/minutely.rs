//! A limit of one log line a minute, with a count of the events that the line stands for.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use super::{clock, nanos};
use crate::promises::LOG_INTERVAL;

/// Lets one event a minute through, beginning with the first.
#[derive(Debug, Default)]
pub(super) struct Minutely {
    /// The time when the last line was written; 0 if none was.
    last: AtomicU64,
    unlogged: AtomicU64,
}

impl Minutely {
    /// Counts an event. If the next line is due, returns the number of events since the last line,
    /// this one included.
    pub(super) fn count(&self) -> Option<u64> {
        self.unlogged.fetch_add(1, Relaxed);
        let now = clock::now();
        let last = self.last.load(Acquire);
        let is_due = last == 0 || now.saturating_sub(last) >= nanos(LOG_INTERVAL);
        // One of several events at the same moment writes the line.
        let is_writer = is_due
            && self
                .last
                .compare_exchange(last, now, AcqRel, Acquire)
                .is_ok();
        is_writer.then(|| self.unlogged.swap(0, AcqRel))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_logged_at_once_and_then_one_a_minute_with_a_count() {
        let minutely = Minutely::default();
        assert_eq!(minutely.count(), Some(1));
        assert_eq!((minutely.count(), minutely.count()), (None, None));
        advance(LOG_INTERVAL - Duration::from_nanos(1)).await;
        assert_eq!(minutely.count(), None);
        advance(Duration::from_nanos(1)).await;
        assert_eq!(minutely.count(), Some(4));
        assert_eq!(minutely.count(), None);
    }
}
