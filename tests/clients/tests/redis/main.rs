//! Sessions in a real Redis: the suite that every store must pass, guards on one server, and what
//! networks and servers do to them.

#[path = "../../../../tests/support/mod.rs"]
mod support;

use client_tests::redis::{Redis, redis_server};
use client_tests::{play, trial};
use libtest_mimic::{Arguments, Trial};
use mcp_session_guard::store::RedisStore;
use mcp_session_guard::store::behaviour;
use mcp_session_guard::store::redis::redis::cluster::ClusterClientBuilder;

fn main() {
    let mut trials = Vec::new();
    trials.extend(behaviours("one server", Redis::start_alone, |redis| {
        redis.store()
    }));
    trials.extend(behaviours("a cluster", Redis::cluster, |redis| {
        RedisStore::cluster(ClusterClientBuilder::new([redis.url()])).expect("it can be set up")
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Every behaviour, each on a server of its own, by two ways to it.
fn behaviours(
    kind: &'static str,
    start: fn() -> Redis,
    store: fn(&Redis) -> RedisStore,
) -> Vec<Trial> {
    let all = behaviour::all().into_iter();
    let trials = all.map(|behaviour| {
        let name = format!("{kind}: {}", behaviour.name());
        trial(name, redis_server(), move |_| {
            let redis = start();
            play(async move {
                behaviour.check(&store(&redis), &store(&redis)).await;
            })
        })
    });
    trials.collect()
}
