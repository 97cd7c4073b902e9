//! Keeps one registry in sync with its store: what it asks, what it writes, and what it hears.
//!
//! | file | does |
//! |---|---|
//! | `lease` | says how long a session that is known here is served without a lookup |
//! | `shared_lookup` | looks up a session, once for all requests that wait for it |
//! | `keep`, `record` | writes a session that opens, and reads what was written |
//! | `refresh` | keeps the records of sessions in use from expiring |
//! | `outbox` | what the store is still to be told, tried until it succeeds |
//! | `watch` | listens to the ends that other nodes bring about |

mod keep;
mod lease;
mod outbox;
mod record;
mod refresh;
mod shared_lookup;
mod watch;

use std::fmt;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::lease::Lease;
use self::outbox::{Outbox, StoreOp};
use self::shared_lookup::SharedLookups;
use crate::promises::EXPIRY_MARGIN;
use crate::session::{EndReason, Entry, Limits, Observers, OnLeave, Registry, ReserveError, clock};
use crate::store::{McpSessionStore, SessionKey, StoreError, StoreFuture};

/// What a registry's store is set up with.
#[derive(Clone)]
pub(crate) struct StoreSettings {
    pub(crate) store: Arc<dyn McpSessionStore>,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) timeout: Duration,
    /// The name of this process.
    pub(crate) node: String,
}

/// What a store says of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoreVerdict {
    /// It is in the registry now, unless it ended at this very moment.
    Good,
    /// There is none.
    Unknown,
    /// The store cannot tell, or there is no place for it.
    Unclear(ReserveError),
}

/// Keeps one registry in sync with its store.
pub(crate) struct StoreSync {
    store: Arc<dyn McpSessionStore>,
    registry: Weak<Registry>,
    node: Arc<String>,
    lease: Lease,
    timeout: Duration,
    limits: Limits,
    observers: Arc<Observers>,
    /// Whether no other process uses the store while this one does.
    is_alone: bool,
    /// Until when the store, which has kept a caller waiting for nothing, is not asked.
    down_until: AtomicU64,
    /// Until when no session opens, because the store could not keep one. It may be full, and still answer
    /// for those that it has.
    closed_until: AtomicU64,
    lookups: SharedLookups,
    outbox: Arc<Outbox>,
    tasks: Mutex<Option<[JoinHandle<()>; 2]>>,
}

impl StoreSync {
    pub(crate) fn new(
        settings: StoreSettings,
        limits: Limits,
        observers: Arc<Observers>,
        registry: Weak<Registry>,
    ) -> Arc<Self> {
        let StoreSettings {
            store,
            lease,
            grace,
            timeout,
            node,
        } = settings;
        let is_alone = store.subscribe(lease).is_none();
        Arc::new(Self {
            store,
            registry,
            node: Arc::new(node),
            lease: Lease::new(lease, grace, is_alone),
            timeout,
            limits,
            observers,
            is_alone,
            down_until: AtomicU64::new(0),
            closed_until: AtomicU64::new(0),
            lookups: SharedLookups::default(),
            outbox: Arc::default(),
            tasks: Mutex::default(),
        })
    }

    /// What the registry calls with each session that leaves it, before the session is out of the map: a
    /// request that misses it there must not load it again.
    pub(crate) fn on_leave(self: Arc<Self>) -> OnLeave {
        Box::new(move |entry, reason| {
            if entry.is_stored() && self.is_for_all(entry, reason) {
                self.end(entry);
            }
        })
    }

    /// The name of this process.
    pub(crate) fn node(&self) -> &Arc<String> {
        &self.node
    }

    /// Whether a session that is known here may be served without a lookup.
    #[inline] // on the way of each request
    pub(crate) fn is_verified(&self, entry: &Entry, now: u64) -> bool {
        self.lease.is_verified(entry, now)
    }

    /// Whether there is no point in asking the store.
    fn is_down(&self) -> bool {
        clock::now() < self.down_until.load(Acquire)
    }

    /// Whether there is no point in letting a session open.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_down() || clock::now() < self.closed_until.load(Acquire)
    }

    /// Ends a session wherever it is known.
    pub(crate) fn end(&self, entry: &Entry) {
        let key = key(entry);
        self.outbox.add(StoreOp::Remove(key.clone()));
        self.lookups.invalidate(&key);
    }

    /// Whether a session that ends here ends everywhere. What another process may have in use
    /// expires in the store if that is not so.
    fn is_for_all(&self, entry: &Entry, reason: EndReason) -> bool {
        match reason {
            EndReason::Abandoned
            | EndReason::Deleted
            | EndReason::Lifetime
            | EndReason::Revoked
            | EndReason::Unconfirmed => true,
            // What others have opened may be in use there.
            EndReason::Evicted | EndReason::InnerLost => {
                self.is_alone || entry.opened_on() == Some(self.node.as_str())
            }
            EndReason::Idle | EndReason::NeverUsed => self.is_alone,
            EndReason::Drained
            | EndReason::EndedElsewhere
            | EndReason::GuardDropped
            | EndReason::HandedOver => false,
        }
    }

    /// Whether a session has ended for this process only: others may have it in use, with its inner session.
    pub(crate) fn goes_on_elsewhere(&self, entry: &Entry) -> bool {
        let reason = entry.end_reason().filter(|_| entry.is_stored());
        reason.is_some_and(|reason| {
            reason != EndReason::EndedElsewhere && !self.is_for_all(entry, reason)
        })
    }

    /// Ends all of an owner's sessions, wherever they are.
    pub(crate) fn end_owner(&self, owner: String) {
        self.outbox.add(StoreOp::RemoveOwner(owner));
        self.lookups.invalidate_all();
    }

    /// Waits until the store knows of a session's end.
    pub(crate) async fn removed(&self, entry: &Entry) -> Result<(), ReserveError> {
        let key = key(entry);
        timeout(self.timeout, self.outbox.without(&key))
            .await
            .map_err(|_| ReserveError::StoreDown)
    }

    /// Waits until the store knows of everything that has ended here so far.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.outbox.flush().await
    }

    /// Asks the store, with patience, and remembers where that was in vain.
    async fn call<T>(&self, answer: StoreFuture<'_, T>) -> Result<T, ()> {
        if self.is_down() {
            return Err(());
        }
        match timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.observers.store_failed(&error);
                Err(())
            }
            Err(_) => {
                // So that not everybody waits in vain.
                leave_alone(&self.down_until);
                self.observers.store_failed(&late());
                Err(())
            }
        }
    }

    /// When a session expires that no second message has used.
    fn until_used(&self) -> Duration {
        with_margin(self.limits.never_used.min(self.limits.idle))
    }

    /// When a session expires that is in use.
    fn until_idle(&self) -> Duration {
        with_margin(self.limits.idle)
    }

    /// There are sessions: ends must be heard, refreshes written, and the outbox sent.
    pub(crate) fn wake(self: &Arc<Self>) {
        let mut tasks = lock(&self.tasks);
        let is_awake = |tasks: &[JoinHandle<()>; 2]| tasks.iter().all(|task| !task.is_finished());
        if tasks.as_ref().is_some_and(is_awake) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            stop(&mut tasks);
            let (outbox, store) = (self.outbox.clone(), self.store.clone());
            let observers = self.observers.clone();
            let sync = Arc::downgrade(self);
            let sending = outbox::run(outbox, store, self.timeout, observers, sync);
            let tending = tend(Arc::downgrade(self));
            *tasks = Some([runtime.spawn(tending), runtime.spawn(sending)]);
        }
    }
}

impl Drop for StoreSync {
    fn drop(&mut self) {
        // What the store does not know yet it is still told.
        self.outbox.close();
        if let Some([tending, _]) = lock(&self.tasks).take() {
            tending.abort();
        }
    }
}

impl fmt::Debug for StoreSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSync")
            .field("store", &self.store)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

async fn tend(store_sync: Weak<StoreSync>) {
    futures_util::future::join(watch::run(store_sync.clone()), refresh::run(store_sync)).await;
}

/// Under what a store keeps a session.
fn key(entry: &Entry) -> SessionKey {
    SessionKey::new(entry.scope.name(), entry.id.as_str())
}

fn stop(tasks: &mut Option<[JoinHandle<()>; 2]>) {
    for task in tasks.take().into_iter().flatten() {
        task.abort();
    }
}

/// Refreshes come at most every tenth of the idle timeout, and take a while.
fn with_margin(limit: u64) -> Duration {
    Duration::from_nanos(limit.saturating_add(limit / EXPIRY_MARGIN))
}

/// For a while from now on.
fn leave_alone(until: &AtomicU64) {
    until.fetch_max(clock::now().saturating_add(PAUSE), AcqRel);
}

fn late() -> StoreError {
    StoreError::new("it did not answer in time")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a store that has kept somebody waiting in vain is left alone.
const PAUSE: u64 = 500_000_000;
