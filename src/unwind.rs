//! Calls into users' code that may panic where no panic may pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `run` returns; `None` if it panicked.
pub(crate) fn unless_it_panics<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // What was thrown may panic when it is dropped, and so on: the second is left alone.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                #[allow(clippy::mem_forget)]
                std::mem::forget(again);
            }
            None
        }
    }
}
