//! The times that tests count in, and those that the contract promises.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub const MILLI: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A store's lease and grace by default.
pub const LEASE: Duration = Duration::from_secs(5);
pub const GRACE: Duration = Duration::from_secs(30);

/// A runtime whose clock is paused.
pub fn paused_runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}
