//! What the store is still to be told or asked, tried until it succeeds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::{StoreSync, StoreVerdict, late, lock};
use crate::session::{Observers, Owner, Scope};
use crate::store::{McpSessionStore, SessionKey, StoreError};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum StoreOp {
    /// Asks whether a session that is known here is still good.
    Check(Scope, Option<Owner>, SessionKey),
    Remove(SessionKey),
    RemoveOwner(String),
}

/// All that is to be done. What is to be removed is gone for this process already.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    list: Mutex<List>,
    /// Rung when one is added, done, or has failed.
    bell: Notify,
}

#[derive(Debug, Default)]
struct List {
    waiting: VecDeque<StoreOp>,
    under_way: usize,
    /// How often each is to be removed.
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
        self.bell.notify_waiters();
    }

    /// Nothing is added any more: what is there is done, then the work is over.
    pub(super) fn close(&self) {
        lock(&self.list).is_closed = true;
        self.bell.notify_waiters();
    }

    /// Whether this session is to be removed.
    pub(super) fn removes(&self, key: &SessionKey) -> bool {
        lock(&self.list).removed.contains_key(key)
    }

    /// Whether this owner's sessions are to be removed.
    pub(super) fn removes_owner(&self, owner: &str) -> bool {
        lock(&self.list).removed_owners.contains_key(owner)
    }

    /// Waits until this session is not to be removed any more.
    pub(super) async fn without(&self, key: &SessionKey) {
        self.until(|list| !list.removed.contains_key(key)).await;
    }

    /// Waits until this owner's sessions are not to be removed any more.
    pub(super) async fn without_owner(&self, owner: &str) {
        self.until(|list| !list.removed_owners.contains_key(owner))
            .await;
    }

    /// Waits until nothing is left to do, or something has failed.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let before = lock(&self.list).failures;
        self.until(|list| list.is_empty() || list.failures != before)
            .await;
        match lock(&self.list).failures == before {
            true => Ok(()),
            false => Err(StoreError::new("what it was told is being tried again")),
        }
    }

    async fn until(&self, is_so: impl Fn(&List) -> bool) {
        loop {
            // Hears what rings from here on.
            let rung = self.bell.notified();
            if is_so(&lock(&self.list)) {
                return;
            }
            rung.await;
        }
    }

    /// The next one; `None` when all are done and no more will come.
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
        self.bell.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        lock(&self.list).is_closed
    }
}

/// Sends what there is to send as long as the registry lives, and then what is left.
pub(super) async fn run(
    outbox: Arc<Outbox>,
    store: Arc<dyn McpSessionStore>,
    patience: Duration,
    observers: Arc<Observers>,
    store_sync: Weak<StoreSync>,
) {
    // What fails again and again holds up nothing else.
    let [first, further] = [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)];
    let list = stream::unfold((), |()| async { Some((outbox.next().await?, ())) });
    list.for_each_concurrent(None, |under_way| async {
        let mut pause = SHORTEST_PAUSE;
        let mut turns = &first;
        for _ in 0..MOST_ATTEMPTS {
            let turn = turns.acquire().await;
            let done = attempt(&under_way, &*store, patience, &store_sync).await;
            drop(turn);
            match done {
                Ok(()) => break,
                // Once, however often it is tried.
                Err(Some(error)) if std::ptr::eq(turns, &first) => observers.store_failed(&error),
                Err(_) => {}
            }
            turns = &further;
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

/// An error that is `None` has been told of.
async fn attempt(
    under_way: &UnderWay<'_>,
    store: &dyn McpSessionStore,
    patience: Duration,
    store_sync: &Weak<StoreSync>,
) -> Result<(), Option<StoreError>> {
    let in_time = |answer| timeout(patience, answer).map(|it| it.unwrap_or_else(|_| Err(late())));
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
            // It has a patience of its own.
            match sync.look_up(scope, owner.as_ref(), key).await {
                StoreVerdict::Unclear(_) => Err(None),
                StoreVerdict::Good | StoreVerdict::Unknown => Ok(()),
            }
        }
        Some(StoreOp::Remove(key)) => in_time(store.remove(key)).await.map_err(Some),
        Some(StoreOp::RemoveOwner(owner)) => {
            in_time(store.remove_owner(owner)).await.map_err(Some)?;
            // What was loaded just before must not be taken in just after.
            if let Some(sync) = store_sync.upgrade() {
                sync.lookups.invalidate_all();
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// One that is being done; it waits again if nobody does it to its end.
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
        self.outbox.bell.notify_waiters();
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

/// Of those that are tried for the first time, and again of the others.
const AT_ONCE: usize = 32;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// More than a day of them: whatever it was has expired.
const MOST_ATTEMPTS: usize = 20_000;
