//! Runs user code: catches its panics, and runs what it causes after it has returned.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::thread_local;

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

type Call = Box<dyn FnOnce()>;

thread_local! {
    /// The calls that wait until the user code on this thread has returned; `None` while none runs.
    static WAITING: RefCell<Option<VecDeque<Call>>> = RefCell::new(None);
}

/// Runs `call`, and catches a panic in it. Then runs the calls that wait for it.
pub(crate) fn run_now(call: impl FnOnce()) {
    // Fails only while the thread ends, when no call can wait any more.
    let is_first = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        let is_first = waiting.is_none();
        waiting.get_or_insert_default();
        is_first
    });
    let _ = catch_panic(call);
    if is_first.unwrap_or(false) {
        while let Some(next) = next_waiting() {
            let _ = catch_panic(next);
        }
    }
}

/// Runs `call` as [`run_now`] does, but not while other user code runs on this thread: then `call` waits until
/// that code has returned. A hook that ends sessions would otherwise recurse once for each of them.
pub(crate) fn run_in_turn(call: impl FnOnce() + 'static) {
    let mut call = Some(call);
    let _ = WAITING.try_with(|waiting| {
        if let Some(waiting) = &mut *waiting.borrow_mut() {
            waiting.extend(call.take().map(|call| Box::new(call) as Call));
        }
    });
    if let Some(call) = call {
        run_now(call);
    }
}

/// Takes the next call that waits. If there is none, no user code runs any more.
fn next_waiting() -> Option<Call> {
    let next = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        let next = waiting.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *waiting = None;
        }
        next
    });
    next.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn calls_that_a_call_causes_run_after_it_in_their_order_even_if_it_panics() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let note = |name: &'static str| {
            let order = order.clone();
            move || order.borrow_mut().push(name)
        };
        let (before, inner, last) = (note("before"), note("inner"), note("last"));
        run_in_turn(move || {
            run_in_turn(move || {
                inner();
                run_in_turn(last);
            });
            before();
            panic!("the first call panics");
        });
        assert_eq!(*order.borrow(), ["before", "inner", "last"]);
        run_in_turn(note("again"));
        assert_eq!(order.borrow().last(), Some(&"again"));
    }
}
