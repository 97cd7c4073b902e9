//! The store that the nodes share, and its incidents.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use client_tests::fault::{Fault, Proxy};
use client_tests::redis::{Redis, url};
use mcp_session_guard::SessionGuardBuilder;
use mcp_session_guard::store::{Fault as StoreFault, MemoryStore, RedisStore, StoreOptions};
use tokio::task::block_in_place;
use tokio::time::sleep;

pub(crate) enum Store {
    Memory(MemoryStore),
    /// A server, and the proxy before it.
    Redis(Mutex<Redis>, Proxy),
}

/// A temporary fault of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Incident {
    InMemory(StoreFault),
    InNetwork(Fault),
    /// `kill -9`. The server returns with the data that it had written.
    Killed,
    /// The clock is right again afterwards.
    ClockAhead,
    ClockBehind,
}

impl Store {
    pub(crate) async fn in_memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    pub(crate) async fn in_redis() -> Self {
        // It writes before it answers, so that a kill alone loses no data. It does not wait for the
        // disk.
        let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "no"]);
        let proxy = Proxy::before(redis.port()).await;
        Self::Redis(Mutex::new(redis), proxy)
    }

    /// The builder of a node with this store and limits that suit it.
    pub(crate) fn join(
        &self,
        guard: SessionGuardBuilder,
        configure: impl FnOnce(StoreOptions) -> StoreOptions,
    ) -> SessionGuardBuilder {
        let (options, never_used) = match self {
            Self::Memory(store) => (
                StoreOptions::new(store.clone()).timeout(Duration::from_millis(200)),
                Duration::from_secs(2),
            ),
            Self::Redis(_, proxy) => {
                let store = RedisStore::open(&url(proxy.port())).expect("the URL can be read");
                (StoreOptions::new(store), NEVER_USED)
            }
        };
        guard
            .store(configure(options))
            .never_used_timeout(never_used)
    }

    pub(crate) fn incidents(&self) -> &'static [Incident] {
        match self {
            Self::Memory(_) => &[
                Incident::InMemory(StoreFault::Down),
                Incident::InMemory(StoreFault::Silent),
                Incident::InMemory(StoreFault::Deaf),
            ],
            Self::Redis(..) => &[
                Incident::Killed,
                Incident::ClockAhead,
                Incident::InNetwork(Fault::Down),
                Incident::ClockBehind,
                Incident::InNetwork(Fault::Silent),
                Incident::InNetwork(Fault::Deaf),
            ],
        }
    }

    /// Returns whether a wrong clock may expire sessions.
    pub(crate) fn has_clock(&self) -> bool {
        matches!(self, Self::Redis(..))
    }

    pub(crate) async fn begin(&self, incident: Incident) {
        match (self, incident) {
            (Self::Memory(store), Incident::InMemory(incident)) => store.set_fault(incident),
            (Self::Redis(_, proxy), Incident::InNetwork(fault)) => proxy.set(fault),
            (Self::Redis(redis, _), Incident::Killed) => lock(redis).kill(),
            (_, Incident::ClockAhead) => {
                // The first refresh of a session that has just opened extends it beyond the jump.
                sleep(NEVER_USED / 2).await;
                self.jump(JUMP);
            }
            (_, Incident::ClockBehind) => self.jump(-JUMP),
            _ => unreachable!("an incident of another store"),
        }
    }

    pub(crate) async fn end(&self, incident: Incident) {
        match (self, incident) {
            (Self::Memory(store), _) => store.set_fault(StoreFault::None),
            (Self::Redis(_, proxy), Incident::InNetwork(fault)) => {
                proxy.set(Fault::None);
                if fault == Fault::Silent {
                    // Requests sent during the silence still wait. They time out within this time.
                    sleep(Duration::from_millis(1200)).await;
                }
            }
            (Self::Redis(redis, _), Incident::Killed) => block_in_place(|| lock(redis).restart()),
            (_, Incident::ClockAhead) => self.jump(-JUMP),
            (_, Incident::ClockBehind) => self.jump(JUMP),
            _ => unreachable!("an incident of another store"),
        }
    }

    /// Moves the server's clock ahead by `seconds`: every key gets that much closer to its expiry.
    pub(crate) fn jump(&self, seconds: i64) {
        let Self::Redis(redis, _) = self else { return };
        let millis = (seconds * 1000).to_string();
        let jump = "for _, key in ipairs(redis.call('KEYS', '*')) do \
            redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end";
        block_in_place(|| lock(redis).run::<()>(&["EVAL", jump, "0", &millis]));
    }

    /// The number of sessions in the store.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(store) => store.len(),
            Self::Redis(redis, _) => block_in_place(|| lock(redis).keys().len()),
        }
    }

    /// Returns whether this number of nodes has connected and subscribed. A store in memory does
    /// not show it.
    pub(crate) fn is_connected(&self, nodes: usize) -> bool {
        let Self::Redis(redis, _) = self else {
            return true;
        };
        let list: String = block_in_place(|| lock(redis).run(&["CLIENT", "LIST"]));
        // The connection of this command counts, too.
        list.lines().count() > 2 * nodes
    }
}

fn lock(redis: &Mutex<Redis>) -> MutexGuard<'_, Redis> {
    redis
        .lock()
        .expect("no thread panics while it holds the lock")
}

/// Long enough for a session's first refresh to fail once.
const NEVER_USED: Duration = Duration::from_secs(5);
/// Twenty minutes: less than the remaining time of a session in use.
const JUMP: i64 = 20 * 60;
