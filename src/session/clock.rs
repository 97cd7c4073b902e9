//! The clock of all sessions. It counts nanoseconds in a `u64`, so that a time fits into an atomic.
//!
//! It follows tokio's clock, so a test that pauses tokio's time pauses the sessions too.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Returns the current time, in nanoseconds. 63 bits last for 292 years.
pub(crate) fn now() -> u64 {
    at(Instant::now())
}

/// Converts an instant into the unit of [`now`].
pub(crate) fn at(moment: Instant) -> u64 {
    match moment.checked_duration_since(*EPOCH) {
        Some(since) => ORIGIN + since.as_nanos() as u64,
        // A test may have paused the clock before the first use of `EPOCH`.
        None => ORIGIN.saturating_sub(nanos(EPOCH.duration_since(moment))),
    }
}

/// Converts a duration into the unit of [`now`].
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}

// Read from the real clock: the paused clock of one test may be ahead of the clocks of others.
#[allow(clippy::disallowed_types)]
static EPOCH: LazyLock<Instant> = LazyLock::new(|| Instant::from_std(std::time::Instant::now()));

/// The time at [`EPOCH`], the first use in this process. It leaves room for sessions that are older.
const ORIGIN: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_be_older_than_the_process() {
        let year = nanos(Duration::from_secs(365 * 24 * 60 * 60));
        assert!(now() > year);
    }
}
