//! The two clocks of a body that is read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The two clocks of a body: so long for every 16 KiB, so long in all.
#[derive(Debug)]
pub(super) struct ReadDeadline {
    progress_time: Duration,
    total_time: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    sleep: Pin<Box<Sleep>>,
    started: Instant,
    /// When the present 16 KiB began, and how much of them has come.
    step_started: Instant,
    step_bytes: usize,
}

impl ReadDeadline {
    pub(super) fn new(progress_time: Duration, total_time: Duration) -> Self {
        Self {
            progress_time,
            total_time,
            waiting: None,
        }
    }

    pub(super) fn progress(&mut self, bytes: usize) {
        if let Some(waiting) = &mut self.waiting {
            waiting.step_bytes += bytes;
            if waiting.step_bytes >= PROGRESS {
                waiting.step_bytes = 0;
                waiting.step_started = Instant::now();
                let deadline = waiting.deadline(self.progress_time, self.total_time);
                waiting.sleep.as_mut().reset(deadline);
            }
        }
    }

    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            let deadline = now + self.progress_time.min(self.total_time);
            let sleep = Box::pin(sleep_until(deadline));
            Waiting {
                sleep,
                started: now,
                step_started: now,
                step_bytes: 0,
            }
        });
        waiting.sleep.as_mut().poll(cx)
    }
}

impl Waiting {
    fn deadline(&self, progress_time: Duration, total_time: Duration) -> Instant {
        (self.step_started + progress_time).min(self.started + total_time)
    }
}

const PROGRESS: usize = 16 << 10;
