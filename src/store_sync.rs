//! Keeps one registry in sync with its store: lookups, writes, and ends on other nodes.
//!
//! | file | does |
//! |---|---|
//! | `lease` | decides how long a known session is served without a lookup |
//! | `shared_lookup` | looks up a session, once for all requests that wait for it |
//! | `keep`, `record` | write the record of a session that opens, and read records |
//! | `refresh` | keeps the records of sessions in use from expiring |
//! | `outbox` | holds the operations that the store has not carried out, and retries them |
//! | `watch` | subscribes to ends on other nodes |

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

/// The settings of a registry's store.
#[derive(Clone)]
pub(crate) struct StoreSettings {
    pub(crate) store: Arc<dyn McpSessionStore>,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) timeout: Duration,
    /// The name of this node.
    pub(crate) node: String,
}

/// The answer of a store about a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoreVerdict {
    /// The session is open. It is in the registry now, unless it ended at this very moment.
    Good,
    /// The store does not know the session.
    Unknown,
    /// The store cannot answer, or the registry has no slot for the session.
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
    /// The time until which nothing calls the store, because a call timed out.
    down_until: AtomicU64,
    /// The time until which no session opens, because the store could not write one. A full store may
    /// still answer for the sessions that it has.
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

    /// Returns the callback for each session that leaves the registry. The registry calls it before
    /// it removes the session from the map: a request that misses the session there must not load it
    /// again.
    pub(crate) fn on_leave(self: Arc<Self>) -> OnLeave {
        Box::new(move |entry, reason| {
            if entry.is_stored() && self.ends_everywhere(entry, reason) {
                self.end(entry);
            }
        })
    }

    /// Returns the name of this node.
    pub(crate) fn node(&self) -> &Arc<String> {
        &self.node
    }

    /// Returns whether a session that this process knows may be served without a lookup.
    #[inline] // called for each request
    pub(crate) fn is_verified(&self, entry: &Entry, now: u64) -> bool {
        self.lease.is_verified(entry, now)
    }

    /// Returns whether nothing calls the store for now, because a call timed out.
    fn is_down(&self) -> bool {
        clock::now() < self.down_until.load(Acquire)
    }

    /// Returns whether no session opens for now, because the store is down or could not write one.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_down() || clock::now() < self.closed_until.load(Acquire)
    }

    /// Ends a session on every node.
    pub(crate) fn end(&self, entry: &Entry) {
        let key = key(entry);
        self.outbox.add(StoreOp::Remove(key.clone()));
        self.lookups.invalidate(&key);
    }

    /// Returns whether a session that ends here ends on every node. If not, another node may use it,
    /// and its record expires in the store.
    fn ends_everywhere(&self, entry: &Entry, reason: EndReason) -> bool {
        match reason {
            EndReason::Abandoned
            | EndReason::Deleted
            | EndReason::Lifetime
            | EndReason::Revoked
            | EndReason::Unconfirmed => true,
            // Another node may use a session that it opened.
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

    /// Returns whether a session has ended on this node only: other nodes may use it, with its inner
    /// session.
    pub(crate) fn lives_elsewhere(&self, entry: &Entry) -> bool {
        let reason = entry.end_reason().filter(|_| entry.is_stored());
        reason.is_some_and(|reason| {
            reason != EndReason::EndedElsewhere && !self.ends_everywhere(entry, reason)
        })
    }

    /// Ends all sessions of an owner, on every node.
    pub(crate) fn end_owner(&self, owner: String) {
        self.outbox.add(StoreOp::RemoveOwner(owner));
        self.lookups.invalidate_all();
    }

    /// Waits until the store has recorded the end of a session. Fails after the time limit of a call.
    pub(crate) async fn removed(&self, entry: &Entry) -> Result<(), ReserveError> {
        let key = key(entry);
        timeout(self.timeout, self.outbox.until_removed(&key))
            .await
            .map_err(|_| ReserveError::StoreDown)
    }

    /// Waits until the store has recorded all ends on this node so far.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.outbox.flush().await
    }

    /// Calls the store with a time limit. A call that times out keeps later calls from the store for
    /// [`BACK_OFF`].
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
                // Other requests should not wait for a store that does not answer.
                back_off(&self.down_until);
                self.observers.store_failed(&timed_out());
                Err(())
            }
        }
    }

    /// Returns how long the store keeps the record of a session that was never used.
    fn until_used(&self) -> Duration {
        with_margin(self.limits.never_used.min(self.limits.idle))
    }

    /// Returns how long the store keeps the record of a session in use.
    fn until_idle(&self) -> Duration {
        with_margin(self.limits.idle)
    }

    /// Starts the background tasks unless they run. They receive ends, refresh records and send the
    /// outbox.
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
            let watching = watch_and_refresh(Arc::downgrade(self));
            *tasks = Some([runtime.spawn(watching), runtime.spawn(sending)]);
        }
    }
}

impl Drop for StoreSync {
    fn drop(&mut self) {
        // The other task still sends what is in the outbox.
        self.outbox.close();
        if let Some([watching, _]) = lock(&self.tasks).take() {
            watching.abort();
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

async fn watch_and_refresh(store_sync: Weak<StoreSync>) {
    futures_util::future::join(watch::run(store_sync.clone()), refresh::run(store_sync)).await;
}

/// Returns the key of a session in the store.
fn key(entry: &Entry) -> SessionKey {
    SessionKey::new(entry.scope.name(), entry.id.as_str())
}

fn stop(tasks: &mut Option<[JoinHandle<()>; 2]>) {
    for task in tasks.take().into_iter().flatten() {
        task.abort();
    }
}

/// Adds a fifth to a limit, because refreshes come at most every tenth of the idle timeout and take a
/// while.
fn with_margin(limit: u64) -> Duration {
    Duration::from_nanos(limit.saturating_add(limit / EXPIRY_MARGIN))
}

/// Moves `until` to [`BACK_OFF`] from now.
fn back_off(until: &AtomicU64) {
    until.fetch_max(clock::now().saturating_add(BACK_OFF), AcqRel);
}

fn timed_out() -> StoreError {
    StoreError::new("it did not answer in time")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the guard does not use a store that failed, in nanoseconds.
const BACK_OFF: u64 = 500_000_000;
