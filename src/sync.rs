//! The crate's synchronization primitives: those of std, tokio and the session map, or instrumented
//! ones when loom explores every interleaving.

#[cfg(not(all(test, interleave)))]
pub(crate) use foldhash::fast::RandomState;
#[cfg(not(all(test, interleave)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, interleave)))]
pub(crate) use std::thread_local;
#[cfg(not(all(test, interleave)))]
pub(crate) use tokio::sync::Notify;
#[cfg(not(all(test, interleave)))]
pub(crate) use tokio::sync::futures::{Notified, OwnedNotified};

#[cfg(all(test, interleave))]
pub(crate) use self::instrumented::{Notified, Notify, OwnedNotified, RandomState};
#[cfg(all(test, interleave))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(all(test, interleave))]
pub(crate) use loom::thread_local;

#[cfg(all(test, interleave))]
mod instrumented {
    use std::future::Future;
    use std::hash::{BuildHasher, DefaultHasher};
    use std::marker::PhantomData;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use loom::sync::atomic::{AtomicUsize, Ordering::AcqRel};
    use pin_project_lite::pin_project;

    /// Builds hashers that hash alike in every run, with a loom step for each. Every lookup in a map
    /// begins with one, and loom cannot see into the map.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct RandomState {
        steps: Arc<AtomicUsize>,
    }

    impl BuildHasher for RandomState {
        type Hasher = DefaultHasher;

        fn build_hasher(&self) -> DefaultHasher {
            self.steps.fetch_add(1, AcqRel);
            DefaultHasher::new()
        }
    }

    /// tokio's `Notify`, with a loom step before each operation: loom cannot see into tokio.
    #[derive(Debug, Default)]
    pub(crate) struct Notify {
        steps: AtomicUsize,
        inner: Arc<tokio::sync::Notify>,
    }

    pin_project! {
        pub(crate) struct Notified<'a> {
            notify: Option<Arc<Notify>>,
            #[pin]
            inner: tokio::sync::futures::OwnedNotified,
            borrows: PhantomData<&'a ()>,
        }
    }

    pub(crate) type OwnedNotified = Notified<'static>;

    impl Notify {
        pub(crate) fn notify_waiters(&self) {
            self.steps.fetch_add(1, AcqRel);
            self.inner.notify_waiters();
        }

        pub(crate) fn notified(&self) -> Notified<'_> {
            self.steps.fetch_add(1, AcqRel);
            Notified {
                notify: None,
                inner: self.inner.clone().notified_owned(),
                borrows: PhantomData,
            }
        }

        pub(crate) fn notified_owned(self: Arc<Self>) -> OwnedNotified {
            self.steps.fetch_add(1, AcqRel);
            Notified {
                inner: self.inner.clone().notified_owned(),
                notify: Some(self),
                borrows: PhantomData,
            }
        }
    }

    impl Future for Notified<'_> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let this = self.project();
            if let Some(notify) = this.notify {
                notify.steps.fetch_add(1, AcqRel);
            }
            this.inner.poll(cx)
        }
    }
}
