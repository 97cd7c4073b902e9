//! The operations that the store has not carried out, each retried until it succeeds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::{StoreSync, StoreVerdict, lock, timed_out};
use crate::session::{Observers, Owner, Scope};
use crate::store::{McpSessionStore, SessionKey, StoreError};

/// One operation on the store.
#[derive(Clone, Debug)]
pub(super) enum StoreOp {
    /// Asks whether a session that this process knows is still open.
    Check(Scope, Option<Owner>, SessionKey),
    Remove(SessionKey),
    RemoveOwner(String),
}

/// The pending operations. A session with a pending removal is already gone from this process.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    list: Mutex<List>,
    /// Notified when an operation was added, was done or has failed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct List {
    waiting: VecDeque<StoreOp>,
    under_way: usize,
    /// The number of pending removals of each session.
    removed: HashMap<SessionKey, usize>,
    removed_owners: HashMap<String, usize>,
    failures: u64,
    is_closed: bool,
}

impl Outbox {
    pub(super) fn add(&self, op: StoreOp) {
        let mut list = lock(&self.list);
        match &op {
            StoreOp::Check(..) => {}
            StoreOp::Remove(key) => *list.removed.entry(key.clone()).or_default() += 1,
            StoreOp::RemoveOwner(owner) => {
                *list.removed_owners.entry(owner.clone()).or_default() += 1;
            }
        }
        list.waiting.push_back(op);
        drop(list);
        self.changed.notify_waiters();
    }

    /// Closes the outbox: nothing is added any more, and the task ends when all operations are done.
    pub(super) fn close(&self) {
        lock(&self.list).is_closed = true;
        self.changed.notify_waiters();
    }

    /// Returns whether a removal of this session is pending.
    pub(super) fn removes(&self, key: &SessionKey) -> bool {
        lock(&self.list).removed.contains_key(key)
    }

    /// Returns whether a removal of this owner's sessions is pending.
    pub(super) fn removes_owner(&self, owner: &str) -> bool {
        lock(&self.list).removed_owners.contains_key(owner)
    }

    /// Waits until no removal of this session is pending.
    pub(super) async fn until_removed(&self, key: &SessionKey) {
        self.until(|list| !list.removed.contains_key(key)).await;
    }

    /// Waits until no removal of this owner's sessions is pending.
    pub(super) async fn until_owner_removed(&self, owner: &str) {
        self.until(|list| !list.removed_owners.contains_key(owner))
            .await;
    }

    /// Waits until no operation is pending, or one has failed.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let before = lock(&self.list).failures;
        self.until(|list| list.is_empty() || list.failures != before)
            .await;
        match lock(&self.list).failures == before {
            true => Ok(()),
            false => Err(StoreError::new("an operation failed and is being retried")),
        }
    }

    async fn until(&self, is_so: impl Fn(&List) -> bool) {
        loop {
            // Receives every notification from here on.
            let changed = self.changed.notified();
            if is_so(&lock(&self.list)) {
                return;
            }
            changed.await;
        }
    }

    /// Returns the next operation; `None` if the outbox is closed and no operation waits.
    async fn next(&self) -> Option<UnderWay<'_>> {
        self.until(|list| !list.waiting.is_empty() || list.is_closed)
            .await;
        let mut list = lock(&self.list);
        let op = list.waiting.pop_front()?;
        list.under_way += 1;
        Some(UnderWay {
            outbox: self,
            op: Some(op),
        })
    }

    fn fail(&self) {
        lock(&self.list).failures += 1;
        self.changed.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        lock(&self.list).is_closed
    }
}

/// Sends the operations as long as the registry lives, and then those that are left.
pub(super) async fn run(
    outbox: Arc<Outbox>,
    store: Arc<dyn McpSessionStore>,
    time_limit: Duration,
    observers: Arc<Observers>,
    store_sync: Weak<StoreSync>,
) {
    // Retries have permits of their own, so that they do not hold up first attempts.
    let [first, retries] = [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)];
    let list = stream::unfold((), |()| async { Some((outbox.next().await?, ())) });
    list.for_each_concurrent(None, |under_way| async {
        let mut pause = SHORTEST_PAUSE;
        let mut permits = &first;
        for _ in 0..MOST_ATTEMPTS {
            let permit = permits.acquire().await;
            let done = attempt(&under_way, &*store, time_limit, &store_sync).await;
            drop(permit);
            match done {
                Ok(()) => break,
                // The observers are notified of the first failure only.
                Err(Some(error)) if std::ptr::eq(permits, &first) => observers.store_failed(&error),
                Err(_) => {}
            }
            permits = &retries;
            outbox.fail();
            if outbox.is_closed() && pause == LONGEST_PAUSE {
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        under_way.done();
    })
    .await;
}

/// Tries an operation once. If the error is `None`, the observers were already notified.
async fn attempt(
    under_way: &UnderWay<'_>,
    store: &dyn McpSessionStore,
    time_limit: Duration,
    store_sync: &Weak<StoreSync>,
) -> Result<(), Option<StoreError>> {
    let in_time =
        |answer| timeout(time_limit, answer).map(|it| it.unwrap_or_else(|_| Err(timed_out())));
    match &under_way.op {
        Some(StoreOp::Check(scope, owner, key)) => {
            let Some(sync) = store_sync.upgrade() else {
                return Ok(());
            };
            // A session that left meanwhile must not come back because of a check.
            let id = key.id().as_bytes();
            if sync
                .registry
                .upgrade()
                .and_then(|all| all.find(id))
                .is_none()
            {
                return Ok(());
            }
            // The lookup has a time limit of its own.
            match sync.look_up(scope, owner.as_ref(), key).await {
                StoreVerdict::Unclear(_) => Err(None),
                StoreVerdict::Good | StoreVerdict::Unknown => Ok(()),
            }
        }
        Some(StoreOp::Remove(key)) => in_time(store.remove(key)).await.map_err(Some),
        Some(StoreOp::RemoveOwner(owner)) => {
            in_time(store.remove_owner(owner)).await.map_err(Some)?;
            // A record that was loaded just before must not be restored just after.
            if let Some(sync) = store_sync.upgrade() {
                sync.lookups.invalidate_all();
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// An operation under way. If it is dropped before [`UnderWay::done`], it waits again.
struct UnderWay<'a> {
    outbox: &'a Outbox,
    op: Option<StoreOp>,
}

impl UnderWay<'_> {
    fn done(mut self) {
        let mut list = lock(&self.outbox.list);
        match self.op.take() {
            Some(StoreOp::Remove(key)) => count_down(&mut list.removed, &key),
            Some(StoreOp::RemoveOwner(owner)) => count_down(&mut list.removed_owners, &owner),
            Some(StoreOp::Check(..)) | None => {}
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut list = lock(&self.outbox.list);
        list.under_way -= 1;
        list.waiting.extend(self.op.take());
        drop(list);
        self.outbox.changed.notify_waiters();
    }
}

impl List {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The most first attempts at once, and the most retries at once.
const AT_ONCE: usize = 32;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// More than a day of attempts, after which the record has expired.
const MOST_ATTEMPTS: usize = 20_000;
