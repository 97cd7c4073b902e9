//! A registry's tie to its store: what it asks, what it tells, and what it may believe meanwhile.
//!
//! A session that is known here is *trusted*, and served without I/O, while the stream of ends is
//! alive: since it was last *verified* nothing can have ended unheard. Where the stream broke, the
//! lease counts from the verification itself; then the session's next request waits for a check.

mod errands;
mod load;
mod refresh;
mod watch;

use std::collections::HashMap;
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

use self::errands::{Errand, Errands};
use self::load::Question;
use super::{McpSessionStore, NewSession, Record, SessionKey, StoreError, StoreFuture};
use crate::observe;
use crate::session::Observers;
use crate::session::{EndReason, Entry, Limits, Registry, Unavailable, clock, nanos};

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
pub(crate) enum Known {
    /// It is in the registry now, unless it ended at this very moment.
    Good,
    /// There is none.
    Unknown,
    /// That can not be told, or there is no place for it.
    Unclear(Unavailable),
}

/// The tie of one registry.
pub(crate) struct Link {
    store: Arc<dyn McpSessionStore>,
    node: Arc<String>,
    lease: u64,
    grace: u64,
    timeout: Duration,
    limits: Limits,
    observers: Arc<Observers>,
    /// Whether no other process uses the store while this one does.
    is_alone: bool,
    /// Since when no end has been missed, in the unit of [`clock::now`].
    epoch: AtomicU64,
    /// Until when what was verified in this epoch needs no check.
    alive_until: AtomicU64,
    /// Until when the store, which has kept somebody waiting in vain, is not asked.
    down_until: AtomicU64,
    /// Until when no session opens, because the store could not keep one. It may be full, and tell of
    /// those that it has all the same.
    closed_until: AtomicU64,
    /// What the store is being asked, so that whoever wants to know the same waits for one answer.
    loads: Mutex<HashMap<SessionKey, Vec<Question>>>,
    errands: Arc<Errands>,
    tasks: Mutex<Option<[JoinHandle<()>; 2]>>,
}

impl Link {
    pub(crate) fn new(settings: StoreSettings, limits: Limits, observers: Arc<Observers>) -> Self {
        let StoreSettings {
            store,
            lease,
            grace,
            timeout,
            node,
        } = settings;
        let is_alone = store.ends(lease).is_none();
        Self {
            store,
            node: Arc::new(node),
            lease: nanos(lease),
            grace: nanos(grace),
            timeout,
            limits,
            observers,
            is_alone,
            epoch: AtomicU64::new(if is_alone { 0 } else { NEVER }),
            alive_until: AtomicU64::new(if is_alone { u64::MAX } else { 0 }),
            down_until: AtomicU64::new(0),
            closed_until: AtomicU64::new(0),
            loads: Mutex::default(),
            errands: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// The name of this process.
    pub(crate) fn node(&self) -> &Arc<String> {
        &self.node
    }

    /// Whether a session that is known here may be served without asking.
    #[inline] // on the way of each request
    pub(crate) fn trusts(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        // In this order: an epoch begins before what is alive in it.
        let is_alive = now <= self.alive_until.load(Acquire);
        is_alive && verified > self.epoch.load(Acquire)
            || now <= verified.saturating_add(self.lease)
    }

    /// Whether a session that the store was asked for in vain may be served a while longer.
    fn bears(&self, entry: &Entry, now: u64) -> bool {
        let verified = entry.verified();
        let known_good = match verified > self.epoch.load(Acquire) {
            true => self.alive_until.load(Acquire),
            false => 0,
        };
        let trusted = known_good.max(verified.saturating_add(self.lease));
        now <= trusted.saturating_add(self.grace)
    }

    /// Whether there is no point in asking the store.
    fn is_down(&self) -> bool {
        clock::now() < self.down_until.load(Acquire)
    }

    /// Whether there is no point in letting a session open.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_down() || clock::now() < self.closed_until.load(Acquire)
    }

    /// Keeps a session that is about to open.
    pub(crate) async fn keep(
        &self,
        registry: &Arc<Registry>,
        entry: &Arc<Entry>,
    ) -> Result<(), Unavailable> {
        // Whatever is still to be told of the owner must not wait for a session that opens.
        self.wake(registry);
        let key = entry.key();
        let record = record(entry);
        let Some(value) = record.encode() else {
            observe::record_too_long(entry);
            return Err(Unavailable::StoreDown);
        };
        let owner = record.owner.as_ref().map(|owner| owner.to_text());
        if let Some(owner) = &owner {
            // What is still to be removed must not take this one along.
            let removed = self.errands.without_owner(owner);
            if timeout(self.timeout, removed).await.is_err() {
                return Err(Unavailable::StoreDown);
            }
        }
        let session = NewSession {
            key: &key,
            value: &value,
            owner: owner.as_deref(),
            expires_in: self.until_used(),
        };
        if self.is_closed() {
            // Nothing was sent, so there is nothing to be removed.
            return Err(Unavailable::StoreDown);
        }
        // Before it is kept: whoever ends it meanwhile must have it removed.
        entry.verify(clock::now());
        match self.call(self.store.create(session)).await {
            Ok(true) => {
                if entry.end_reason().is_some() {
                    // Whoever has ended it may have found nothing to remove.
                    self.errands.add(Errand::Remove(key));
                }
                Ok(())
            }
            Ok(false) => {
                // Another's, which must not be removed.
                entry.disown();
                Err(Unavailable::NoId)
            }
            Err(()) => {
                // Each that fails is to be removed again: not as many as anybody likes to send.
                leave_alone(&self.closed_until);
                Err(Unavailable::StoreDown)
            }
        }
    }

    /// A session leaves the registry. Called before it is out of the map, so that nobody who misses
    /// it there loads it again.
    pub(crate) fn leaves(&self, entry: &Entry, reason: EndReason) {
        if entry.is_stored() && self.is_for_all(entry, reason) {
            self.end(entry);
        }
    }

    /// Ends a session wherever it is known.
    pub(crate) fn end(&self, entry: &Entry) {
        let key = entry.key();
        self.errands.add(Errand::Remove(key.clone()));
        self.spoil(&key);
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

    /// Whether the inner service is to hear that a session has ended, which others may have in use.
    pub(crate) fn ends_inner(&self, entry: &Entry, reason: EndReason) -> bool {
        reason == EndReason::EndedElsewhere || self.is_for_all(entry, reason)
    }

    /// Ends all of an owner's sessions, wherever they are.
    pub(crate) fn end_owner(&self, owner: String) {
        self.errands.add(Errand::RemoveOwner(owner));
        self.spoil_all();
    }

    /// Waits until the store knows of a session's end.
    pub(crate) async fn told_of(&self, entry: &Entry) -> Result<(), Unavailable> {
        let key = entry.key();
        match timeout(self.timeout, self.errands.without(&key)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Unavailable::StoreDown),
        }
    }

    /// Waits until the store knows of everything that has ended here so far.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.errands.flush().await
    }

    /// What is being loaded of this session may be out of date.
    fn spoil(&self, key: &SessionKey) {
        let loads = lock(&self.loads);
        let of_key = loads.get(key).into_iter().flatten();
        of_key.for_each(|question| question.load.spoil());
    }

    fn spoil_all(&self) {
        let loads = lock(&self.loads);
        let all = loads.values().flatten();
        all.for_each(|question| question.load.spoil());
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

    /// There are sessions: ends must be heard, refreshes written, errands run.
    pub(crate) fn wake(&self, registry: &Arc<Registry>) {
        let mut tasks = lock(&self.tasks);
        let is_awake = |tasks: &[JoinHandle<()>; 2]| tasks.iter().all(|task| !task.is_finished());
        if tasks.as_ref().is_some_and(is_awake) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            stop(&mut tasks);
            let registry = Arc::downgrade(registry);
            let tending = tend(registry.clone());
            let (list, store) = (self.errands.clone(), self.store.clone());
            let told = self.observers.clone();
            let errands = errands::run(list, store, self.timeout, told, registry);
            *tasks = Some([runtime.spawn(tending), runtime.spawn(errands)]);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What the store does not know yet it is still told.
        self.errands.close();
        if let Some([tending, _]) = lock(&self.tasks).take() {
            tending.abort();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("store", &self.store)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

async fn tend(registry: Weak<Registry>) {
    futures_util::future::join(watch::run(registry.clone()), refresh::run(registry)).await;
}

fn stop(tasks: &mut Option<[JoinHandle<()>; 2]>) {
    for task in tasks.take().into_iter().flatten() {
        task.abort();
    }
}

fn record(entry: &Entry) -> Record {
    Record {
        client: entry.client.as_ref().clone(),
        owner: entry.owner.clone(),
        protocol_version: entry.protocol_version().map(str::to_owned),
        inner_id: entry.inner_id().cloned(),
        opened_on: entry.opened_on().unwrap_or_default().to_owned(),
        age: Duration::from_nanos(clock::now().saturating_sub(entry.opened())),
    }
}

/// Refreshes come at most every tenth of the idle timeout, and take a while.
fn with_margin(limit: u64) -> Duration {
    Duration::from_nanos(limit.saturating_add(limit / 5))
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

/// The epoch before the first.
const NEVER: u64 = u64::MAX;
/// How long a store that has kept somebody waiting in vain is left alone.
const PAUSE: u64 = 500_000_000;
