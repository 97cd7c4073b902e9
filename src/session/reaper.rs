//! The one background task of a registry: it ends sessions whose clocks ran out.
//!
//! It starts with the first session, stops when none is left, and dies with its registry or its
//! runtime; the next session then starts another.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::entry::Limits;
use super::registry::Registry;

/// The task's place in the registry.
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

    /// A session opened: sweeps must be under way. Without a runtime sessions still expire, when
    /// they are next asked for.
    pub(crate) fn wake(&self, registry: &Arc<Registry>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            *task = Some(runtime.spawn(run(Arc::downgrade(registry), self.pause)));
        }
    }

    /// Whether the task may end: nothing is left to sweep, and no session opens at this moment.
    fn rest(&self, registry: &Registry) -> bool {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let may_rest = registry.is_empty();
        if may_rest {
            *task = None;
        }
        may_rest
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

/// Sweeps part by part, on a thread that requests do not wait for, with a rest after each: they want
/// the processor, its memory and the allocator too.
pub(super) async fn sweep_gently(registry: &Weak<Registry>) {
    let mut part = 0;
    while let Some(registry) = registry.upgrade().filter(|all| part < all.parts()) {
        let ended = spawn_blocking(move || registry.sweep_part(part)).await;
        sleep(REST + REST_AFTER_ONE * ended.unwrap_or(0) as u32).await;
        part += 1;
    }
    if let Some(registry) = registry.upgrade() {
        let _ = spawn_blocking(move || registry.purge_unused()).await;
    }
}

async fn run(registry: Weak<Registry>, pause: Duration) {
    let open = || registry.upgrade().map(|registry| registry.open());
    loop {
        sleep(pause).await;
        if open().is_some_and(|open| open > LARGE) {
            sweep_gently(&registry).await;
        } else if let Some(registry) = registry.upgrade() {
            registry.sweep();
        }
        match registry.upgrade() {
            Some(registry) if !registry.reaper().rest(&registry) => {}
            _ => return,
        }
    }
}

/// How many sessions are swept between two requests: a tenth of a millisecond's worth.
const LARGE: usize = 1_000;
/// Long beside the time that a part takes.
const REST: Duration = Duration::from_millis(5);
/// Long beside the time for which its memory, given back, may hold up who allocates.
const REST_AFTER_ONE: Duration = Duration::from_micros(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
