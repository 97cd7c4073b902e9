//! What the store is still to be told or asked, tried until it succeeds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::{Known, late, lock};
use crate::session::Observers;
use crate::session::{Owner, Registry, Scope};
use crate::store::{McpSessionStore, SessionKey, StoreError};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// Asks whether a session that is known here is still good.
    Check(Scope, Option<Owner>, SessionKey),
    Remove(SessionKey),
    RemoveOwner(String),
}

/// All that is to be done. What is to be removed is gone for this process already.
#[derive(Debug, Default)]
pub(super) struct Errands {
    list: Mutex<List>,
    /// Rung when one is added, done, or has failed.
    bell: Notify,
}

#[derive(Debug, Default)]
struct List {
    waiting: VecDeque<Errand>,
    under_way: usize,
    /// How often each is to be removed.
    removed: HashMap<SessionKey, usize>,
    removed_owners: HashMap<String, usize>,
    failures: u64,
    is_closed: bool,
}

impl Errands {
    pub(super) fn add(&self, errand: Errand) {
        let mut list = lock(&self.list);
        match &errand {
            Errand::Check(..) => {}
            Errand::Remove(key) => *list.removed.entry(key.clone()).or_default() += 1,
            Errand::RemoveOwner(owner) => {
                *list.removed_owners.entry(owner.clone()).or_default() += 1;
            }
        }
        list.waiting.push_back(errand);
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
        let errand = list.waiting.pop_front()?;
        list.under_way += 1;
        Some(UnderWay {
            errands: self,
            errand: Some(errand),
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

/// Does what there is to do, as long as the registry lives, and then what is left.
pub(super) async fn run(
    errands: Arc<Errands>,
    store: Arc<dyn McpSessionStore>,
    patience: Duration,
    observers: Arc<Observers>,
    registry: Weak<Registry>,
) {
    // What fails again and again holds up nothing else.
    let [first, further] = [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)];
    let list = stream::unfold((), |()| async { Some((errands.next().await?, ())) });
    list.for_each_concurrent(None, |under_way| async {
        let mut pause = SHORTEST_PAUSE;
        let mut turns = &first;
        for _ in 0..MOST_ATTEMPTS {
            let turn = turns.acquire().await;
            let done = attempt(&under_way, &*store, patience, &registry).await;
            drop(turn);
            match done {
                Ok(()) => break,
                // Once, however often it is tried.
                Err(Some(error)) if std::ptr::eq(turns, &first) => observers.store_failed(&error),
                Err(_) => {}
            }
            turns = &further;
            errands.fail();
            if errands.is_closed() && pause == LONGEST_PAUSE {
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
    registry: &Weak<Registry>,
) -> Result<(), Option<StoreError>> {
    let in_time = |answer| timeout(patience, answer).map(|it| it.unwrap_or_else(|_| Err(late())));
    match &under_way.errand {
        Some(Errand::Check(scope, owner, key)) => {
            let Some(registry) = registry.upgrade() else {
                return Ok(());
            };
            match registry.link() {
                // What has left meanwhile is not to come back because of a check.
                // It has a patience of its own.
                Some(link) if registry.find(key.id().as_bytes()).is_some() => {
                    match link.ask(&registry, scope, owner.as_ref(), key).await {
                        Known::Unclear(_) => Err(None),
                        Known::Good | Known::Unknown => Ok(()),
                    }
                }
                _ => Ok(()),
            }
        }
        Some(Errand::Remove(key)) => in_time(store.remove(key)).await.map_err(Some),
        Some(Errand::RemoveOwner(owner)) => {
            in_time(store.remove_owner(owner)).await.map_err(Some)?;
            // What was loaded just before must not be taken in just after.
            if let Some(registry) = registry.upgrade()
                && let Some(link) = registry.link()
            {
                link.spoil_all();
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// One that is being done; it waits again if nobody does it to its end.
struct UnderWay<'a> {
    errands: &'a Errands,
    errand: Option<Errand>,
}

impl UnderWay<'_> {
    fn done(mut self) {
        let mut list = lock(&self.errands.list);
        match self.errand.take() {
            Some(Errand::Remove(key)) => count_down(&mut list.removed, &key),
            Some(Errand::RemoveOwner(owner)) => count_down(&mut list.removed_owners, &owner),
            Some(Errand::Check(..)) | None => {}
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut list = lock(&self.errands.list);
        list.under_way -= 1;
        list.waiting.extend(self.errand.take());
        drop(list);
        self.errands.bell.notify_waiters();
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
