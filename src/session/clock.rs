//! The one clock of the sessions: nanoseconds since the process first asked, fit for an atomic.
//!
//! It follows tokio's clock, so a test that pauses tokio's time pauses the sessions too.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Now, in nanoseconds. 63 bits last for 292 years.
pub(crate) fn now() -> u64 {
    at(Instant::now())
}

/// A moment in the unit of [`now`].
pub(crate) fn at(moment: Instant) -> u64 {
    match moment.checked_duration_since(*EPOCH) {
        Some(since) => ORIGIN + since.as_nanos() as u64,
        // A paused clock may have stopped before anybody asked.
        None => ORIGIN.saturating_sub(nanos(EPOCH.duration_since(moment))),
    }
}

/// A duration in the unit of [`now`].
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}

// Read from the real clock: a paused one may already stand in the future of other tests'.
#[allow(clippy::disallowed_types)]
static EPOCH: LazyLock<Instant> = LazyLock::new(|| Instant::from_std(std::time::Instant::now()));

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
