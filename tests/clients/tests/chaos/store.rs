//! The store that the nodes share, and what goes wrong with it.

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
    /// A server, and the network before it.
    Redis(Mutex<Redis>, Proxy),
}

/// What is wrong for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    OfMemory(StoreFault),
    OfNetwork(Fault),
    /// `kill -9`; it comes back with what it had written.
    Killed,
    /// Its clock is right again afterwards.
    ClockAhead,
    ClockBehind,
}

impl Store {
    pub(crate) async fn in_memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    pub(crate) async fn in_redis() -> Self {
        // It writes before it answers, so that killing it alone loses nothing; the disk may wait.
        let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "no"]);
        let proxy = Proxy::before(redis.port()).await;
        Self::Redis(Mutex::new(redis), proxy)
    }

    /// A node's way to it, with limits that suit it.
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
                (StoreOptions::new(store), UNUSED)
            }
        };
        guard
            .store(configure(options))
            .never_used_timeout(never_used)
    }

    pub(crate) fn mishaps(&self) -> &'static [Mishap] {
        match self {
            Self::Memory(_) => &[
                Mishap::OfMemory(StoreFault::Down),
                Mishap::OfMemory(StoreFault::Silent),
                Mishap::OfMemory(StoreFault::Deaf),
            ],
            Self::Redis(..) => &[
                Mishap::Killed,
                Mishap::ClockAhead,
                Mishap::OfNetwork(Fault::Down),
                Mishap::ClockBehind,
                Mishap::OfNetwork(Fault::Silent),
                Mishap::OfNetwork(Fault::Deaf),
            ],
        }
    }

    /// Whether sessions may be forgotten by a clock that is wrong.
    pub(crate) fn has_clock(&self) -> bool {
        matches!(self, Self::Redis(..))
    }

    pub(crate) async fn begin(&self, mishap: Mishap) {
        match (self, mishap) {
            (Self::Memory(store), Mishap::OfMemory(trouble)) => store.set_fault(trouble),
            (Self::Redis(_, proxy), Mishap::OfNetwork(fault)) => proxy.set(fault),
            (Self::Redis(redis, _), Mishap::Killed) => lock(redis).kill(),
            (_, Mishap::ClockAhead) => {
                // A session that opened just now is put off by its first refresh.
                sleep(UNUSED / 2).await;
                self.jump(JUMP);
            }
            (_, Mishap::ClockBehind) => self.jump(-JUMP),
            _ => unreachable!("another store's mishap"),
        }
    }

    pub(crate) async fn end(&self, mishap: Mishap) {
        match (self, mishap) {
            (Self::Memory(store), _) => store.set_fault(StoreFault::None),
            (Self::Redis(_, proxy), Mishap::OfNetwork(fault)) => {
                proxy.set(Fault::None);
                if fault == Fault::Silent {
                    // Who asked in that silence is still waiting, and learns that it was in vain.
                    sleep(Duration::from_millis(1200)).await;
                }
            }
            (Self::Redis(redis, _), Mishap::Killed) => block_in_place(|| lock(redis).restart()),
            (_, Mishap::ClockAhead) => self.jump(-JUMP),
            (_, Mishap::ClockBehind) => self.jump(JUMP),
            _ => unreachable!("another store's mishap"),
        }
    }

    /// The clock of the server jumps by so many seconds: every key is as much nearer to its end.
    pub(crate) fn jump(&self, seconds: i64) {
        let Self::Redis(redis, _) = self else { return };
        let millis = (seconds * 1000).to_string();
        let jump = "for _, key in ipairs(redis.call('KEYS', '*')) do \
            redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end";
        block_in_place(|| lock(redis).tell::<()>(&["EVAL", jump, "0", &millis]));
    }

    /// How many sessions it keeps.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(store) => store.len(),
            Self::Redis(redis, _) => block_in_place(|| lock(redis).keys().len()),
        }
    }

    /// Whether so many nodes ask and listen, where that shows.
    pub(crate) fn has_met(&self, nodes: usize) -> bool {
        let Self::Redis(redis, _) = self else {
            return true;
        };
        let list: String = block_in_place(|| lock(redis).tell(&["CLIENT", "LIST"]));
        // And the one that asks here.
        list.lines().count() > 2 * nodes
    }
}

fn lock(redis: &Mutex<Redis>) -> MutexGuard<'_, Redis> {
    redis.lock().expect("nobody panics with it")
}

/// Long enough for a session's first refresh to fail once.
const UNUSED: Duration = Duration::from_secs(5);
/// Twenty minutes: less than a session in use has before it.
const JUMP: i64 = 20 * 60;
