//! What threads meet by: std's, tokio's and the map's, or loom's where every interleaving is explored.

#[cfg(not(all(test, interleave)))]
pub(crate) use foldhash::fast::RandomState;
#[cfg(not(all(test, interleave)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, interleave)))]
pub(crate) use tokio::sync::Notify;
#[cfg(not(all(test, interleave)))]
pub(crate) use tokio::sync::futures::{Notified, OwnedNotified};

#[cfg(all(test, interleave))]
pub(crate) use self::explored::{Notified, Notify, OwnedNotified, RandomState};
#[cfg(all(test, interleave))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(test, interleave))]
mod explored {
    use std::future::Future;
    use std::hash::{BuildHasher, DefaultHasher};
    use std::marker::PhantomData;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use loom::sync::atomic::{AtomicUsize, Ordering::AcqRel};
    use pin_project_lite::pin_project;

    /// Hashes alike in every run, with a step before: a look into a map begins with it, and loom can
    /// not look into that.
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

    /// tokio's bell, with a step before each thing that it does: loom can not look into it.
    #[derive(Debug, Default)]
    pub(crate) struct Notify {
        steps: AtomicUsize,
        bell: Arc<tokio::sync::Notify>,
    }

    pin_project! {
        pub(crate) struct Notified<'a> {
            rings: Option<Arc<Notify>>,
            #[pin]
            rung: tokio::sync::futures::OwnedNotified,
            borrows: PhantomData<&'a ()>,
        }
    }

    pub(crate) type OwnedNotified = Notified<'static>;

    impl Notify {
        pub(crate) fn notify_waiters(&self) {
            self.steps.fetch_add(1, AcqRel);
            self.bell.notify_waiters();
        }

        pub(crate) fn notified(&self) -> Notified<'_> {
            self.steps.fetch_add(1, AcqRel);
            Notified {
                rings: None,
                rung: self.bell.clone().notified_owned(),
                borrows: PhantomData,
            }
        }

        pub(crate) fn notified_owned(self: Arc<Self>) -> OwnedNotified {
            self.steps.fetch_add(1, AcqRel);
            Notified {
                rung: self.bell.clone().notified_owned(),
                rings: Some(self),
                borrows: PhantomData,
            }
        }
    }

    impl Future for Notified<'_> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let this = self.project();
            if let Some(bell) = this.rings {
                bell.steps.fetch_add(1, AcqRel);
            }
            this.rung.poll(cx)
        }
    }
}
