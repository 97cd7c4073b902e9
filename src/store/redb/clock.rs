//! The time by which sessions in a file expire: it survives the process, and never goes back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Goes on from the machine's time, at its own pace.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    began_at: u64,
}

impl Clock {
    /// One that is not behind what the file has seen.
    pub(super) fn new(seen: u64) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            began: Instant::now(),
            began_at: millis(wall).max(seen),
        }
    }

    /// Now, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.began_at.saturating_add(millis(self.began.elapsed()))
    }
}

/// A duration in the unit of [`Clock::now`].
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_machines_time_unless_the_file_has_seen_a_later_one() {
        let wall = Clock::new(0).now();
        assert!(wall > 1_700_000_000_000, "{wall} is after 2023");
        let later = wall + 1_000_000;
        assert!((later..later + 60_000).contains(&Clock::new(later).now()));
        assert!((wall..wall + 60_000).contains(&Clock::new(wall - 1_000_000).now()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on() {
        let clock = Clock::new(u64::MAX - 5000);
        let began = clock.now();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now() - began, 1500);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now(), u64::MAX);
    }
}
