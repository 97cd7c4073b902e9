//! Log lines that come once a minute, with a count of what they stand for.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use super::{clock, nanos};
use crate::promises::LOG_INTERVAL;

/// Lets one event a minute through, the first at once.
#[derive(Debug, Default)]
pub(super) struct Minutely {
    /// When the last line was written; zero: never.
    last: AtomicU64,
    unwritten: AtomicU64,
}

impl Minutely {
    /// An event happened. How many have since the last line, this one included, if it is time for the
    /// next.
    pub(super) fn note(&self) -> Option<u64> {
        self.unwritten.fetch_add(1, Relaxed);
        let now = clock::now();
        let last = self.last.load(Acquire);
        let is_due = last == 0 || now.saturating_sub(last) >= nanos(LOG_INTERVAL);
        // One of those that come at once writes it.
        let writes = is_due
            && self
                .last
                .compare_exchange(last, now, AcqRel, Acquire)
                .is_ok();
        writes.then(|| self.unwritten.swap(0, AcqRel))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_written_at_once_and_then_one_a_minute_with_a_count() {
        let minutely = Minutely::default();
        assert_eq!(minutely.note(), Some(1));
        assert_eq!((minutely.note(), minutely.note()), (None, None));
        advance(LOG_INTERVAL - Duration::from_nanos(1)).await;
        assert_eq!(minutely.note(), None);
        advance(Duration::from_nanos(1)).await;
        assert_eq!(minutely.note(), Some(4));
        assert_eq!(minutely.note(), None);
    }
}
