//! What few sessions need, allocated by the first use: the bell that tells of the end, the lists of
//! GET streams, the user's state, the word that the inner service awaits.

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
use crate::unwind::unless_it_panics;

type State = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The lazy part of an [`Entry`].
#[derive(Default)]
pub(crate) struct Extras {
    lazy: Mutex<Option<Box<Lazy>>>,
    /// Open GET streams up to this number had to make room, by their kind.
    evicted: [AtomicU32; 2],
}

#[derive(Default)]
struct Lazy {
    /// Rung when the session ends, one of its GET streams has to, or a DELETE was refused.
    bell: Arc<Notify>,
    /// The GET streams, by their kind.
    streams: [Streams; 2],
    state: State,
    inner_delete: Option<InnerDelete>,
}

/// Tells the inner service of a session's end.
pub(crate) type InnerDelete = Box<dyn FnOnce(&Arc<Entry>) + Send>;

impl Extras {
    /// Has `inner_delete` called at the session's end, or now where it has ended.
    pub(crate) fn set_inner_delete(&self, entry: &Arc<Entry>, inner_delete: InnerDelete) {
        let mut lock = self.lock();
        if entry.end_reason().is_none() {
            lock.get_or_insert_default().inner_delete = Some(inner_delete);
        } else {
            drop(lock);
            inner_delete(entry);
        }
    }

    /// Adds a GET whose answer has not begun. Beyond `limit` the oldest of these is removed and notified.
    pub(super) fn add_waiting(&self, kind: StreamKind, limit: usize) -> u32 {
        self.with_streams(kind, |streams| streams.wait(limit))
    }

    /// Adds an open GET stream in place of the GET that `waited`. Beyond `limit` the oldest is removed and
    /// notified.
    pub(super) fn add_stream(&self, kind: StreamKind, waited: Option<u32>, limit: usize) -> u32 {
        self.with_streams(kind, |streams| streams.open(waited, limit))
    }

    /// Adds a stream, and wakes the watchers if another had to make room.
    fn with_streams(&self, kind: StreamKind, add: impl FnOnce(&mut Streams) -> (u32, Gone)) -> u32 {
        let mut lock = self.lock();
        let lazy = lock.get_or_insert_default();
        let (number, gone) = add(&mut lazy.streams[kind as usize]);
        if let Gone::Open(oldest) = gone {
            self.evicted(kind).fetch_max(oldest, Release);
        }
        if gone != Gone::None {
            let bell = lazy.bell.clone();
            drop(lock);
            bell.notify_waiters();
        }
        number
    }

    /// Whether a GET whose answer has not begun has its place still.
    pub(super) fn waits(&self, kind: StreamKind, number: u32) -> bool {
        let lock = self.lock();
        let lazy = lock.as_ref();
        lazy.is_some_and(|lazy| lazy.streams[kind as usize].waits(number))
    }

    /// Up to which number open streams had to make room.
    #[inline]
    pub(super) fn evicted(&self, kind: StreamKind) -> &AtomicU32 {
        &self.evicted[kind as usize]
    }

    /// The stream is over, however it ended.
    pub(super) fn remove_stream(&self, kind: StreamKind, number: u32) {
        if let Some(lazy) = &mut *self.lock() {
            lazy.streams[kind as usize].remove(number);
        }
    }

    /// How many plain GET streams are open.
    pub(crate) fn streams(&self) -> usize {
        let lock = self.lock();
        let lazy = lock.as_ref();
        lazy.map_or(0, |lazy| {
            lazy.streams[StreamKind::Plain as usize].open_len()
        })
    }

    /// The value of this type, if the session holds one.
    pub(crate) fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = self.lock().as_ref()?.state.get(&TypeId::of::<T>())?.clone();
        value.downcast().ok()
    }

    /// Keeps `value` unless there is one of its type, and returns the one that is kept.
    ///
    /// An ended session keeps nothing.
    pub(crate) fn state_or_insert<T: Any + Send + Sync>(&self, entry: &Entry, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut lock = self.lock();
        if entry.end_reason().is_some() {
            return value;
        }
        let kept = lock
            .get_or_insert_default()
            .state
            .entry(TypeId::of::<T>())
            .or_insert_with(|| value.clone())
            .clone();
        // A value that is not kept may call back into the session when it is dropped.
        drop(lock);
        kept.downcast().unwrap_or(value)
    }

    /// The session has ended: the state goes, and whoever watches is told.
    ///
    /// The caller has marked the end before, so that a watcher who comes too late for the bell
    /// sees the mark.
    pub(crate) fn close(&self, entry: &Arc<Entry>) {
        // Taken out first: wakers run, and values are dropped, without the lock.
        let lazy = self.lock().take();
        if let Some(mut lazy) = lazy {
            lazy.bell.notify_waiters();
            if let Some(inner_delete) = lazy.inner_delete.take() {
                inner_delete(entry);
            }
            // A user's `Drop` that panics must not take the caller along, who may be another
            // client's request or the sweep.
            let _ = unless_it_panics(|| drop(lazy));
        }
    }

    /// Gives back what nobody uses any more.
    pub(crate) fn tidy(&self) {
        let mut lock = self.lock();
        let is_unused = lock.as_ref().is_some_and(|lazy| {
            let is_empty = lazy.streams.iter().all(Streams::is_unused) && lazy.state.is_empty();
            is_empty && lazy.inner_delete.is_none() && Arc::strong_count(&lazy.bell) == 1
        });
        if is_unused {
            *lock = None;
        }
    }

    /// Has whoever watches look again.
    pub(crate) fn ring(&self) {
        let bell = self.lock().as_ref().map(|lazy| lazy.bell.clone());
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.lock().get_or_insert_default().bell.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Lazy>>> {
        self.lazy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// Waits until something is over. Costs nothing until first polled.
    #[derive(Default)]
    pub(crate) struct Watch {
        #[pin]
        rung: Option<OwnedNotified>,
    }
}

impl Watch {
    /// Ready once `is_over` holds, which is asked again whenever the bell rings.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        bell: impl Fn() -> Arc<Notify>,
        is_over: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.project();
        while !is_over() {
            let Some(rung) = this.rung.as_mut().as_pin_mut() else {
                // `Notified` hears `notify_waiters` from its creation on, so the look at
                // `is_over` after it misses nothing.
                this.rung.set(Some(bell().notified_owned()));
                continue;
            };
            ready!(rung.poll(cx));
            this.rung.set(None);
        }
        Poll::Ready(())
    }
}
