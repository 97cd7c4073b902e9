//! A session that is not known here, or not trusted: the store is asked, once for all who want to
//! know.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

use tokio::sync::OnceCell;

use super::{Known, Link, lock};
use crate::observe;
use crate::session::{EndReason, Entry, Owner, Registry, Scope, Unavailable, clock, nanos};
use crate::store::{Record, SessionKey};

/// One question to the store, shared by all of one owner who ask it at once.
#[derive(Debug)]
pub(super) struct Load {
    owner: Option<Owner>,
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
        owner: Option<&Owner>,
        key: &SessionKey,
    ) -> Known {
        self.wake(registry);
        let asking = Asking::join(self, owner, key);
        let load = &*asking.load;
        let settle = || self.settle(registry, scope, key, load);
        // Where whoever has asked leaves, another of those who wait asks again.
        *load.answer.get_or_init(settle).await
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
        if record.owner != load.owner {
            // Nobody else's business: it takes no place here, and what it has here does not idle anew.
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

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) load: Arc<Load>,
    /// How many wait for its answer.
    askers: usize,
}

/// One who waits for an answer.
struct Asking<'a> {
    link: &'a Link,
    key: &'a SessionKey,
    load: Arc<Load>,
}

impl<'a> Asking<'a> {
    fn join(link: &'a Link, owner: Option<&Owner>, key: &'a SessionKey) -> Self {
        let mut loads = lock(&link.loads);
        let of_key = loads.entry(key.clone()).or_default();
        let is_ours = |question: &&mut Question| {
            let load = &question.load;
            load.owner.as_ref() == owner && !load.answer.initialized()
        };
        let load = match of_key.iter_mut().find(is_ours) {
            Some(question) => {
                question.askers += 1;
                question.load.clone()
            }
            None => {
                let load = Arc::new(Load {
                    owner: owner.cloned(),
                    answer: OnceCell::new(),
                    is_stale: AtomicBool::new(false),
                });
                of_key.push(Question {
                    load: load.clone(),
                    askers: 1,
                });
                load
            }
        };
        Self { link, key, load }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut loads = lock(&self.link.loads);
        let Some(of_key) = loads.get_mut(self.key) else {
            return;
        };
        of_key.retain_mut(|question| {
            question.askers -= usize::from(Arc::ptr_eq(&question.load, &self.load));
            question.askers > 0
        });
        if of_key.is_empty() {
            loads.remove(self.key);
        }
    }
}

/// How often an answer may be out of date when it comes.
const ATTEMPTS: usize = 4;
