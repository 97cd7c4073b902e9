//! The clock by which sessions in a file expire. It survives the process and never goes back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A clock that starts at the machine's time and then runs at its own pace.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    started_at: u64,
}

impl Clock {
    /// Creates a clock that does not start before `seen`, the latest time in the file, in milliseconds.
    pub(super) fn new(seen: u64) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_at: millis(wall).max(seen),
        }
    }

    /// Returns the time, in milliseconds since the Unix epoch.
    pub(super) fn now(&self) -> u64 {
        self.started_at
            .saturating_add(millis(self.started.elapsed()))
    }
}

/// Returns a duration in milliseconds, the unit of [`Clock::now`].
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_machines_time_or_at_a_later_time_in_the_file() {
        let wall = Clock::new(0).now();
        assert!(wall > 1_700_000_000_000, "{wall} is after 2023");
        let later = wall + 1_000_000;
        assert!((later..later + 60_000).contains(&Clock::new(later).now()));
        assert!((wall..wall + 60_000).contains(&Clock::new(wall - 1_000_000).now()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_advances() {
        let clock = Clock::new(u64::MAX - 5000);
        let started = clock.now();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now() - started, 1500);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now(), u64::MAX);
    }
}
