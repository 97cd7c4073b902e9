//! A store that refuses some calls.

use std::time::Duration;

use mcp_session_guard::SessionGuardLayer;
use mcp_session_guard::store::{
    McpSessionStore, MemoryStore, NewSession, Refresh, SessionKey, StoreError, StoreEvents,
    StoreFuture,
};

use super::support::TestServer;

/// A memory store that refuses the calls that `refuses` selects.
#[derive(Debug)]
struct Partly {
    store: MemoryStore,
    refuses: fn(Call<'_>) -> bool,
}

#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Create,
    Remove(&'a SessionKey),
}

impl Partly {
    fn answer<'a, T: 'a>(&self, call: Call<'_>, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match (self.refuses)(call) {
            true => Box::pin(async { Err(StoreError::new("this test store refuses the call")) }),
            false => answer,
        }
    }
}

impl McpSessionStore for Partly {
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool> {
        self.answer(Call::Create, self.store.create(session))
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.store.load(key)
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        self.store.refresh(sessions)
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        self.answer(Call::Remove(key), self.store.remove(key))
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        self.store.remove_owner(owner)
    }

    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        self.store.subscribe(lease)
    }
}

pub(super) fn partly(store: &MemoryStore, refuses: fn(Call<'_>) -> bool) -> TestServer {
    let store = store.clone();
    let guard = SessionGuardLayer::builder().store(Partly { store, refuses });
    TestServer::build(guard)
}
