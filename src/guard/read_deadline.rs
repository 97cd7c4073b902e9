//! The deadline for reading a body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::promises::BODY_PROGRESS;

/// The two time limits of a body: one for each 16 KiB, one for the whole body. Both begin with the first
/// wait.
#[derive(Debug)]
pub(super) struct ReadDeadline {
    progress_time: Duration,
    total_time: Duration,
    timer: Option<Pin<Box<Timer>>>,
}

pin_project! {
    #[derive(Debug)]
    struct Timer {
        #[pin]
        sleep: Sleep,
        started: Instant,
        // The bytes that have arrived of the current 16 KiB.
        step_bytes: usize,
    }
}

impl ReadDeadline {
    #[inline]
    pub(super) fn new(progress_time: Duration, total_time: Duration) -> Self {
        Self {
            progress_time,
            total_time,
            timer: None,
        }
    }

    #[inline]
    pub(super) fn progress(&mut self, bytes: usize) {
        let Some(timer) = &mut self.timer else {
            return;
        };
        let timer = timer.as_mut().project();
        *timer.step_bytes += bytes;
        if *timer.step_bytes >= BODY_PROGRESS {
            *timer.step_bytes = 0;
            let now = Instant::now();
            let deadline = (now + self.progress_time).min(*timer.started + self.total_time);
            timer.sleep.reset(deadline);
        }
    }

    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            let now = Instant::now();
            Box::pin(Timer {
                sleep: sleep_until(now + self.progress_time.min(self.total_time)),
                started: now,
                step_bytes: 0,
            })
        });
        timer.as_mut().project().sleep.poll(cx)
    }
}
