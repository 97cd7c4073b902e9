//! The background task of a registry, which ends expired sessions.
//!
//! It starts with the first session and stops when none is left. It also ends with its registry or
//! its runtime; the next session then starts another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::entry::Limits;

/// The background task of one registry.
#[derive(Debug)]
pub(crate) struct Reaper {
    pause: Duration,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shortest = [
            limits.idle,
            limits.never_used,
            limits.unconfirmed,
            limits.silent,
        ]
        .into_iter()
        .chain(limits.lifetime)
        .min()
        .unwrap_or(limits.idle);
        let pause = Duration::from_nanos(shortest / 20).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        Self {
            pause,
            task: Mutex::default(),
        }
    }

    /// Returns how long the task sleeps between two sweeps.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Starts the task unless it runs, because a session opened. Without a runtime, sessions still
    /// expire when they are next looked up.
    pub(crate) fn wake<F>(&self, run: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            *task = Some(runtime.spawn(run()));
        }
    }

    /// Lets the task stop if nothing is left to sweep, and returns whether it may. Holds the lock
    /// meanwhile, so that a session that opens at this moment starts another task.
    pub(crate) fn stop_if(&self, is_empty: impl FnOnce() -> bool) -> bool {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let may_stop = is_empty();
        if may_stop {
            *task = None;
        }
        may_stop
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
