//! Runs user code that may panic where a panic must not propagate.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `run` and returns its result; `None` if it panicked.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // Dropping the payload may panic too, with another payload. The second one is leaked.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                #[allow(clippy::mem_forget)]
                std::mem::forget(again);
            }
            None
        }
    }
}
