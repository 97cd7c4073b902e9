//! The two clocks of a body that is read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::promises::BODY_PROGRESS;

/// The two clocks of a body: so long for every 16 KiB, so long in all.
#[derive(Debug)]
pub(super) struct ReadDeadline {
    progress_time: Duration,
    total_time: Duration,
    waiting: Option<Pin<Box<Waiting>>>,
}

pin_project! {
    #[derive(Debug)]
    struct Waiting {
        #[pin]
        sleep: Sleep,
        started: Instant,
        // How much of the present 16 KiB has come.
        step_bytes: usize,
    }
}

impl ReadDeadline {
    #[inline]
    pub(super) fn new(progress_time: Duration, total_time: Duration) -> Self {
        Self {
            progress_time,
            total_time,
            waiting: None,
        }
    }

    #[inline]
    pub(super) fn progress(&mut self, bytes: usize) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let waiting = waiting.as_mut().project();
        *waiting.step_bytes += bytes;
        if *waiting.step_bytes >= BODY_PROGRESS {
            *waiting.step_bytes = 0;
            let now = Instant::now();
            let deadline = (now + self.progress_time).min(*waiting.started + self.total_time);
            waiting.sleep.reset(deadline);
        }
    }

    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            Box::pin(Waiting {
                sleep: sleep_until(now + self.progress_time.min(self.total_time)),
                started: now,
                step_bytes: 0,
            })
        });
        waiting.as_mut().project().sleep.poll(cx)
    }
}
