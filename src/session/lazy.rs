//! Rarely used state of a session, allocated on first use: the end notifier, the lists of GET
//! streams, the state of the user, the callback that sends the inner DELETE.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::entry::Entry;
use super::streams::{Gone, StreamKind, Streams};
use crate::sync::atomic::{AtomicU32, Ordering::Release};
use crate::sync::{Mutex, MutexGuard, Notify, OwnedNotified};
use crate::unwind::run_in_turn;

type State = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The lazy part of an [`Entry`].
#[derive(Default)]
pub(crate) struct LazyState {
    lazy: Mutex<Option<Box<Lazy>>>,
    /// The open GET streams that were evicted are those up to this number, by kind.
    evicted: [AtomicU32; 2],
}

#[derive(Default)]
struct Lazy {
    /// Notified when the session ends, one of its GET streams is evicted, or the inner service
    /// refused a DELETE.
    changed: Arc<Notify>,
    /// The GET streams, by kind.
    streams: [Streams; 2],
    state: State,
    inner_delete: Option<InnerDelete>,
}

/// Sends the inner DELETE of a session that has ended.
pub(crate) type InnerDelete = Box<dyn FnOnce(&Arc<Entry>) + Send>;

impl LazyState {
    /// Has `inner_delete` called when the session ends, or calls it now if the session has ended.
    pub(crate) fn set_inner_delete(&self, entry: &Arc<Entry>, inner_delete: InnerDelete) {
        let mut lock = self.lock();
        if entry.end_reason().is_none() {
            lock.get_or_insert_default().inner_delete = Some(inner_delete);
        } else {
            drop(lock);
            inner_delete(entry);
        }
    }

    /// Adds a GET whose answer has not begun. Beyond `limit`, removes the oldest of these and
    /// notifies it.
    pub(super) fn add_waiting(&self, kind: StreamKind, limit: usize) -> u32 {
        self.with_streams(kind, |streams| streams.wait(limit))
    }

    /// Adds an open GET stream in place of the GET that `waited`. Beyond `limit`, removes the oldest
    /// stream and notifies it.
    pub(super) fn add_stream(&self, kind: StreamKind, waited: Option<u32>, limit: usize) -> u32 {
        self.with_streams(kind, |streams| streams.open(waited, limit))
    }

    /// Adds a stream, and wakes the watchers if it evicted another.
    fn with_streams(&self, kind: StreamKind, add: impl FnOnce(&mut Streams) -> (u32, Gone)) -> u32 {
        let mut lock = self.lock();
        let lazy = lock.get_or_insert_default();
        let (number, gone) = add(&mut lazy.streams[kind as usize]);
        if let Gone::Open(oldest) = gone {
            self.evicted(kind).fetch_max(oldest, Release);
        }
        if gone != Gone::None {
            let changed = lazy.changed.clone();
            drop(lock);
            changed.notify_waiters();
        }
        number
    }

    /// Returns whether a GET whose answer has not begun still has its place.
    pub(super) fn waits(&self, kind: StreamKind, number: u32) -> bool {
        let lock = self.lock();
        let lazy = lock.as_ref();
        lazy.is_some_and(|lazy| lazy.streams[kind as usize].waits(number))
    }

    /// Returns the number up to which open streams were evicted.
    #[inline]
    pub(super) fn evicted(&self, kind: StreamKind) -> &AtomicU32 {
        &self.evicted[kind as usize]
    }

    /// Removes a stream that has ended.
    pub(super) fn remove_stream(&self, kind: StreamKind, number: u32) {
        if let Some(lazy) = &mut *self.lock() {
            lazy.streams[kind as usize].remove(number);
        }
    }

    /// Returns the number of open plain GET streams.
    pub(crate) fn streams(&self) -> usize {
        let lock = self.lock();
        let lazy = lock.as_ref();
        lazy.map_or(0, |lazy| {
            lazy.streams[StreamKind::Plain as usize].open_len()
        })
    }

    /// Returns the value of this type, if the session has one.
    pub(crate) fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = self.lock().as_ref()?.state.get(&TypeId::of::<T>())?.clone();
        value.downcast().ok()
    }

    /// Stores `value` unless there is one of its type, and returns the stored value.
    ///
    /// An ended session stores nothing.
    pub(crate) fn state_or_insert<T: Any + Send + Sync>(&self, entry: &Entry, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut lock = self.lock();
        if entry.end_reason().is_some() {
            return value;
        }
        let stored = lock
            .get_or_insert_default()
            .state
            .entry(TypeId::of::<T>())
            .or_insert_with(|| value.clone())
            .clone();
        // A value that is not stored may call back into the session when it is dropped.
        drop(lock);
        stored.downcast().unwrap_or(value)
    }

    /// Drops the state of a session that has ended, and notifies the watchers.
    ///
    /// The caller has already marked the end, so that a watcher that misses the notification sees the
    /// mark.
    pub(crate) fn close(&self, entry: &Arc<Entry>) {
        // Taken out first, so that wakers run and values are dropped without the lock.
        let lazy = self.lock().take();
        if let Some(mut lazy) = lazy {
            lazy.changed.notify_waiters();
            if let Some(inner_delete) = lazy.inner_delete.take() {
                inner_delete(entry);
            }
            // A user's `Drop` may panic, and may end further sessions.
            run_in_turn(|| drop(lazy));
        }
    }

    /// Frees the lazy part if nothing uses it.
    pub(crate) fn tidy(&self) {
        let mut lock = self.lock();
        let is_unused = lock.as_ref().is_some_and(|lazy| {
            let is_empty = lazy.streams.iter().all(Streams::is_unused) && lazy.state.is_empty();
            is_empty && lazy.inner_delete.is_none() && Arc::strong_count(&lazy.changed) == 1
        });
        if is_unused {
            *lock = None;
        }
    }

    /// Makes all watchers check again.
    pub(crate) fn notify_watchers(&self) {
        let changed = self.lock().as_ref().map(|lazy| lazy.changed.clone());
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    /// Returns the notifier of [`Lazy::changed`].
    pub(crate) fn changed(&self) -> Arc<Notify> {
        self.lock().get_or_insert_default().changed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Lazy>>> {
        self.lazy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// Waits until something is over. Costs nothing until the first poll.
    #[derive(Default)]
    pub(crate) struct Watch {
        #[pin]
        notified: Option<OwnedNotified>,
    }
}

impl Watch {
    /// Returns `Ready` once `is_done` holds. Checks it again at each notification of `changed`.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        changed: impl Fn() -> Arc<Notify>,
        is_done: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.project();
        while !is_done() {
            let Some(notified) = this.notified.as_mut().as_pin_mut() else {
                // `Notified` receives `notify_waiters` from its creation on, so a check of `is_done`
                // after that misses nothing.
                this.notified.set(Some(changed().notified_owned()));
                continue;
            };
            ready!(notified.poll(cx));
            this.notified.set(None);
        }
        Poll::Ready(())
    }
}
