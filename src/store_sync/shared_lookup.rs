//! Looks up a session that this process does not know or has not verified: once for all requests of
//! one owner that wait for it.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::record::{self, Record};
use super::{StoreSync, StoreVerdict, lock};
use crate::protocol::revision;
use crate::session::{
    EndReason, Entry, NewEntry, Owner, Registry, ReserveError, Scope, Slot, clock, nanos,
};
use crate::store::SessionKey;

impl StoreSync {
    /// Asks the store whether a session is open. If it is, the session is in the registry afterwards.
    pub(crate) async fn look_up(
        self: &Arc<Self>,
        scope: &Scope,
        owner: Option<&Owner>,
        key: &SessionKey,
    ) -> StoreVerdict {
        let Some(registry) = self.registry.upgrade() else {
            return StoreVerdict::Unknown;
        };
        self.wake();
        let waiter = self.lookups.join(owner, key);
        let lookup = &*waiter.lookup;
        let run_lookup = || self.run_lookup(&registry, scope, key, lookup);
        // If the request that runs the lookup is dropped, another waiter runs it again.
        *lookup.answer.get_or_init(run_lookup).await
    }

    async fn run_lookup(
        &self,
        registry: &Arc<Registry>,
        scope: &Scope,
        key: &SessionKey,
        lookup: &SharedLookup,
    ) -> StoreVerdict {
        for _ in 0..ATTEMPTS {
            lookup.is_stale.store(false, Release);
            if self.outbox.removes(key) {
                return StoreVerdict::Unknown;
            }
            let here = registry
                .get(key.id().as_bytes())
                .filter(|entry| entry.scope == *scope);
            let asked = clock::now();
            let Ok(value) = self.call(self.store.load(key)).await else {
                return match here {
                    Some(here) if self.lease.within_grace(&here, clock::now()) => {
                        StoreVerdict::Good
                    }
                    _ => StoreVerdict::Unclear(ReserveError::StoreDown),
                };
            };
            let record = value.and_then(|value| record::read(&value, scope));
            let verdict = match (record, here) {
                (None, Some(here)) => {
                    registry.end(&here, EndReason::EndedElsewhere);
                    Some(StoreVerdict::Unknown)
                }
                (None, None) => Some(StoreVerdict::Unknown),
                (Some(_), Some(here)) => self.verify(&here, asked, lookup),
                (Some(record), None) => self.restore(registry, scope, key, record, asked, lookup),
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
        StoreVerdict::Unclear(ReserveError::StoreDown)
    }

    /// Marks a session that this process knows as verified. Returns `None` if the answer is out of
    /// date.
    fn verify(&self, here: &Entry, asked: u64, lookup: &SharedLookup) -> Option<StoreVerdict> {
        // An end invalidates the answer under the lock, and marks the session as unverified after
        // that.
        let _lock = lock(&self.lookups.by_key);
        (!lookup.is_stale()).then(|| {
            here.mark_verified(asked);
            StoreVerdict::Good
        })
    }

    /// Restores a session that another process opened, or this one before a restart. Returns `None`
    /// if the answer is out of date.
    fn restore(
        &self,
        registry: &Arc<Registry>,
        scope: &Scope,
        key: &SessionKey,
        record: Record,
        asked: u64,
        lookup: &SharedLookup,
    ) -> Option<StoreVerdict> {
        let lifetime = self.limits.lifetime;
        if lifetime.is_some_and(|lifetime| nanos(record.age) >= lifetime) {
            return Some(StoreVerdict::Unknown);
        }
        if record.owner != lookup.owner {
            // The session of another owner takes no slot here, and its idle clock does not start
            // again.
            return Some(StoreVerdict::Unknown);
        }
        let owner = record.owner.as_ref().map(Owner::to_text);
        let slot = match reserve_restored(registry, key.id(), scope.clone(), record, asked) {
            Ok(slot) => slot,
            // Another session has the id, or this session is just leaving the map.
            Err(ReserveError::NoId) => return None,
            Err(error) => return Some(StoreVerdict::Unclear(error)),
        };
        // The entry is in the map and not usable yet: an end before this point has invalidated the
        // answer, and an end after it finds the entry.
        let is_owner_removed = owner.is_some_and(|owner| self.outbox.removes_owner(&owner));
        if lookup.is_stale() || is_owner_removed {
            return is_owner_removed.then_some(StoreVerdict::Unknown);
        }
        Some(match slot.resume() {
            true => StoreVerdict::Good,
            false => StoreVerdict::Unknown,
        })
    }
}

/// Reserves a slot for the session of a record. `asked` is the moment at which the store was asked
/// for it.
fn reserve_restored(
    registry: &Arc<Registry>,
    id: &str,
    scope: Scope,
    record: Record,
    asked: u64,
) -> Result<Slot, ReserveError> {
    let Record {
        client,
        owner,
        protocol_version,
        inner_id,
        opened_on,
        age,
    } = record;
    let new = NewEntry {
        client: registry.client(client.name.as_deref(), client.version.as_deref()),
        owner,
        scope,
    };
    let slot = registry.reserve_again(id, new, &Arc::new(opened_on))?;
    let entry = slot.entry();
    entry.mark_verified(asked);
    entry.set_age(nanos(age));
    if let Some(version) = protocol_version {
        entry.set_protocol_version(revision::known(&version));
    }
    if let Some(inner_id) = inner_id {
        entry.set_inner_id(inner_id);
    }
    Ok(slot)
}

/// The lookups under way, by session.
#[derive(Debug, Default)]
pub(super) struct SharedLookups {
    by_key: Mutex<HashMap<SessionKey, Vec<Shared>>>,
}

impl SharedLookups {
    /// Joins the lookup under way for this owner and session, or begins one.
    fn join<'a>(&'a self, owner: Option<&Owner>, key: &'a SessionKey) -> Waiter<'a> {
        let mut by_key = lock(&self.by_key);
        let of_key = by_key.entry(key.clone()).or_default();
        let is_ours = |shared: &&mut Shared| {
            let lookup = &shared.lookup;
            lookup.owner.as_ref() == owner && !lookup.answer.initialized()
        };
        let lookup = match of_key.iter_mut().find(is_ours) {
            Some(shared) => {
                shared.waiters += 1;
                shared.lookup.clone()
            }
            None => {
                let lookup = Arc::new(SharedLookup {
                    owner: owner.cloned(),
                    answer: OnceCell::new(),
                    is_stale: AtomicBool::new(false),
                });
                of_key.push(Shared {
                    lookup: lookup.clone(),
                    waiters: 1,
                });
                lookup
            }
        };
        Waiter {
            lookups: self,
            key,
            lookup,
        }
    }

    /// Marks the lookups of this session as out of date.
    pub(super) fn invalidate(&self, key: &SessionKey) {
        let by_key = lock(&self.by_key);
        let of_key = by_key.get(key).into_iter().flatten();
        of_key.for_each(|shared| shared.lookup.is_stale.store(true, Release));
    }

    /// Marks all lookups as out of date.
    pub(super) fn invalidate_all(&self) {
        let by_key = lock(&self.by_key);
        let all = by_key.values().flatten();
        all.for_each(|shared| shared.lookup.is_stale.store(true, Release));
    }
}

/// A lookup, with the number of requests that wait for it.
#[derive(Debug)]
struct Shared {
    lookup: Arc<SharedLookup>,
    waiters: usize,
}

/// One lookup, shared by all requests of one owner that need it at the same time.
#[derive(Debug)]
struct SharedLookup {
    owner: Option<Owner>,
    answer: OnceCell<StoreVerdict>,
    /// Whether the session ended, or may have ended, after the store was asked.
    is_stale: AtomicBool,
}

impl SharedLookup {
    fn is_stale(&self) -> bool {
        self.is_stale.load(Acquire)
    }
}

/// A request that waits for a lookup.
struct Waiter<'a> {
    lookups: &'a SharedLookups,
    key: &'a SessionKey,
    lookup: Arc<SharedLookup>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_key = lock(&self.lookups.by_key);
        let Some(of_key) = by_key.get_mut(self.key) else {
            return;
        };
        of_key.retain_mut(|shared| {
            shared.waiters -= usize::from(Arc::ptr_eq(&shared.lookup, &self.lookup));
            shared.waiters > 0
        });
        if of_key.is_empty() {
            by_key.remove(self.key);
        }
    }
}

/// How many answers in a row may be out of date before the lookup fails.
const ATTEMPTS: usize = 4;
