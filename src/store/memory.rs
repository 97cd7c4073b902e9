//! A store in memory, for tests. Its clones share one store, as two processes do.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::{
    McpSessionStore, NewSession, Refresh, SessionKey, StoreError, StoreEvent, StoreEvents,
    StoreFuture,
};

/// A store in memory, for your own tests (feature `test-util`).
///
/// Clones share one store, so two guards with a clone each behave like two machines with one store.
/// [`set_fault`](Self::set_fault) makes the store fail.
///
/// The store uses tokio's clock, even if a test has paused it.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    sessions: HashMap<SessionKey, StoredSession>,
    listeners: Vec<UnboundedSender<StoreEvent>>,
    fault: Fault,
    calls: usize,
}

struct StoredSession {
    value: Vec<u8>,
    owner: Option<Box<str>>,
    expires: Instant,
}

/// The fault of a [`MemoryStore`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// No fault. This is the default.
    #[default]
    None,
    /// Every call fails, and so does every stream of ends.
    Down,
    /// The store never answers a call, and streams of ends fall silent.
    Silent,
    /// The store answers calls, but streams of ends fall silent.
    Deaf,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the fault of the store and of all its clones, from now on.
    pub fn set_fault(&self, fault: Fault) {
        let mut inner = self.lock();
        inner.fault = fault;
        if fault == Fault::Down {
            inner.listeners.clear();
        }
    }

    /// Returns the number of calls so far, including those that failed.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Returns the number of sessions, without expired ones.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = Instant::now();
        let inner = self.lock();
        inner
            .sessions
            .values()
            .filter(|stored| stored.is_live(now))
            .count()
    }

    /// Returns whether the store has no session, apart from expired ones.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the value of every session, to test what a guard does with it.
    pub fn overwrite(&self, value: &[u8]) {
        for stored in self.lock().sessions.values_mut() {
            stored.value = value.to_owned();
        }
    }

    /// Forgets all sessions without an event, like a database that lost its disk.
    pub fn forget(&self) {
        self.lock().sessions.clear();
    }

    fn fault(&self) -> Fault {
        self.lock().fault
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call, or fails as the store's fault requires.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        run: impl FnOnce(&mut Inner, Instant) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            // A remote store never answers in the first poll, so this one does not either.
            yield_now().await;
            let fault = {
                let mut inner = self.lock();
                inner.calls += 1;
                match inner.fault {
                    Fault::None | Fault::Deaf => return Ok(run(&mut inner, Instant::now())),
                    fault => fault,
                }
            };
            match fault {
                Fault::Silent => pending().await,
                _ => Err(failure()),
            }
        })
    }
}

impl McpSessionStore for MemoryStore {
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool> {
        self.answer(move |inner, now| {
            let is_free = !inner.has(session.key, now);
            if is_free {
                let stored = StoredSession {
                    value: session.value.to_owned(),
                    owner: session.owner.map(Into::into),
                    expires: now + session.expires_in,
                };
                inner.sessions.insert(session.key.clone(), stored);
            }
            is_free
        })
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.answer(move |inner, now| {
            let stored = inner.sessions.get(key).filter(|stored| stored.is_live(now));
            stored.map(|stored| stored.value.clone())
        })
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        self.answer(move |inner, now| {
            let mut refreshed = Vec::with_capacity(sessions.len());
            for session in sessions {
                let is_stored = inner.has(&session.key, now);
                if let (true, Some(stored)) = (is_stored, inner.sessions.get_mut(&session.key)) {
                    stored.expires = stored.expires.max(now + session.expires_in);
                }
                refreshed.push(is_stored);
            }
            refreshed
        })
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        self.answer(move |inner, _| {
            inner.sessions.remove(key);
            inner.notify(&StoreEvent::Ended(key.clone()));
        })
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        self.answer(move |inner, _| {
            inner
                .sessions
                .retain(|_, stored| stored.owner.as_deref() != Some(owner));
            inner.notify(&StoreEvent::OwnerEnded(owner.into()));
        })
    }

    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        let listen = self.answer(move |inner, _| {
            let (listener, events) = unbounded_channel();
            inner.listeners.push(listener);
            events
        });
        Some(Box::pin(async move {
            Ok(follow(self.clone(), listen.await?, lease / 3))
        }))
    }
}

impl Inner {
    fn has(&self, key: &SessionKey, now: Instant) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|stored| stored.is_live(now))
    }

    fn notify(&mut self, event: &StoreEvent) {
        self.listeners
            .retain(|listener| listener.send(event.clone()).is_ok());
    }
}

impl StoredSession {
    fn is_live(&self, now: Instant) -> bool {
        now < self.expires
    }
}

/// Returns the events of one listener, with a heartbeat at the start and whenever `pause` passes without
/// an event.
fn follow(
    store: MemoryStore,
    events: UnboundedReceiver<StoreEvent>,
    pause: Duration,
) -> StoreEvents {
    let state = (store, events, Duration::ZERO);
    let next = move |(store, mut events, wait): (MemoryStore, UnboundedReceiver<_>, Duration)| async move {
        let event = match timeout(wait, events.recv()).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(failure()),
            Err(_) => Ok(StoreEvent::Heartbeat {
                as_of: Instant::now(),
            }),
        };
        let mut may_have_missed = false;
        while matches!(store.fault(), Fault::Silent | Fault::Deaf) {
            may_have_missed = true;
            sleep(pause).await;
        }
        let event = match may_have_missed || store.fault() == Fault::Down {
            true => Err(failure()),
            false => event,
        };
        Some((event, (store, events, pause)))
    };
    Box::pin(stream::unfold(state, next))
}

fn failure() -> StoreError {
    StoreError::new("the test made this store fail")
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
