//! A session that is not known here, or not trusted: the store is asked, once for all who want to
//! know.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Weak};

use tokio::sync::OnceCell;

use super::{Known, Link, lock};
use crate::observe;
use crate::session::{EndReason, Entry, Registry, Scope, Unavailable, clock, nanos};
use crate::store::{Record, SessionKey};

/// One question to the store, shared by all who ask it at once.
#[derive(Debug, Default)]
pub(super) struct Load {
    answer: OnceCell<Known>,
    /// The session ended, or may have, after the store was asked.
    is_stale: AtomicBool,
}

impl Load {
    pub(super) fn spoil(&self) {
        self.is_stale.store(true, Release);
    }

    fn is_stale(&self) -> bool {
        self.is_stale.load(Acquire)
    }
}

impl Link {
    /// Has the store say whether a session is good; then it is in the registry.
    pub(crate) async fn ask(
        &self,
        registry: &Arc<Registry>,
        scope: &Scope,
        key: &SessionKey,
    ) -> Known {
        self.wake(registry);
        let asking = Asking::join(self, key);
        let settle = || self.settle(registry, scope, key, &asking.load);
        // Where whoever has asked leaves, another of those who wait asks again.
        *asking.load.answer.get_or_init(settle).await
    }

    async fn settle(
        &self,
        registry: &Arc<Registry>,
        scope: &Scope,
        key: &SessionKey,
        load: &Load,
    ) -> Known {
        for _ in 0..ATTEMPTS {
            load.is_stale.store(false, Release);
            if self.errands.removes(key) {
                return Known::Unknown;
            }
            let here = registry
                .get(key.id().as_bytes())
                .filter(|entry| entry.scope == *scope);
            let asked = clock::now();
            let Ok(value) = self.call(self.store.load(key)).await else {
                return match here {
                    Some(here) if self.bears(&here, clock::now()) => Known::Good,
                    _ => Known::Unclear(Unavailable::StoreDown),
                };
            };
            let record = value.as_deref().map(Record::decode);
            if let Some(None) = record {
                observe::record_unreadable(scope);
            }
            let known = match (record.flatten(), here) {
                (None, Some(here)) => {
                    registry.end(&here, EndReason::EndedElsewhere);
                    Some(Known::Unknown)
                }
                (None, None) => Some(Known::Unknown),
                (Some(_), Some(here)) => self.verify(&here, asked, load),
                (Some(record), None) => self.adopt(registry, scope, key, record, asked, load),
            };
            if let Some(known) = known {
                return known;
            }
        }
        Known::Unclear(Unavailable::StoreDown)
    }

    /// `None` if the answer is out of date.
    fn verify(&self, here: &Entry, asked: u64, load: &Load) -> Option<Known> {
        // Whoever spoils the answer does so under the lock, and doubts the session after.
        let _lock = lock(&self.loads);
        (!load.is_stale()).then(|| {
            here.verify(asked);
            Known::Good
        })
    }

    /// Takes a session in that another process has opened, or this one in an earlier life. `None` if
    /// the answer is out of date.
    fn adopt(
        &self,
        registry: &Arc<Registry>,
        scope: &Scope,
        key: &SessionKey,
        record: Record,
        asked: u64,
        load: &Load,
    ) -> Option<Known> {
        if self
            .limits
            .lifetime
            .is_some_and(|lifetime| nanos(record.age) >= lifetime)
        {
            return Some(Known::Unknown);
        }
        let owner = record.owner.as_ref().map(|owner| owner.to_text());
        let slot = match registry.restore(key.id(), scope.clone(), record, asked) {
            Ok(slot) => slot,
            // Another session has the id, or this one is just leaving the map.
            Err(Unavailable::NoId) => return None,
            Err(unavailable) => return Some(Known::Unclear(unavailable)),
        };
        // In the map and not usable yet: whoever ended it before has spoilt the answer, whoever ends
        // it from now on finds it.
        let is_owner_out = owner.is_some_and(|owner| self.errands.removes_owner(&owner));
        if load.is_stale() || is_owner_out {
            return is_owner_out.then_some(Known::Unknown);
        }
        Some(match slot.resume() {
            true => Known::Good,
            false => Known::Unknown,
        })
    }
}

/// One who waits for an answer.
struct Asking<'a> {
    link: &'a Link,
    key: &'a SessionKey,
    load: Arc<Load>,
}

impl<'a> Asking<'a> {
    fn join(link: &'a Link, key: &'a SessionKey) -> Self {
        let mut loads = lock(&link.loads);
        let under_way = loads.get(key).and_then(Weak::upgrade);
        let load = match under_way.filter(|load| !load.answer.initialized()) {
            Some(load) => load,
            None => {
                let load = Arc::new(Load::default());
                loads.insert(key.clone(), Arc::downgrade(&load));
                load
            }
        };
        Self { link, key, load }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut loads = lock(&self.link.loads);
        let is_ours = |load: &Weak<Load>| std::ptr::eq(load.as_ptr(), Arc::as_ptr(&self.load));
        // The lock keeps others from joining meanwhile.
        if Arc::strong_count(&self.load) == 1 && loads.get(self.key).is_some_and(is_ours) {
            loads.remove(self.key);
        }
    }
}

/// How often an answer may be out of date when it comes.
const ATTEMPTS: usize = 4;
