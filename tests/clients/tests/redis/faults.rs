//! Faults of networks and servers, and their effect on the clients of a guard.

use std::time::Duration;

use client_tests::fault::{Fault, Proxy};
use client_tests::redis::{Redis, free_port, url};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;
use mcp_session_guard::store::{
    McpSessionStore, NewSession, RedisStore, Refresh, SessionKey, StoreEvent, StoreEvents,
};
use redis::cmd;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::guards::{LEASE, builder, is_over, node, options, stream_of, until};
use crate::support::{INITIALIZE, PING, TestServer, bodiless, post};

const UNAVAILABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error: the server cannot look up sessions now. Retry later."},"id":1}"#;

/// A fault that makes Redis unusable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    Network(Fault),
    /// `kill -9`. The server returns with the data that it had written.
    Killed,
    /// The server becomes the replica of a primary that does not exist.
    Replica,
}

/// A Redis that writes everything to disk, and the proxy before it.
struct Scene {
    redis: Redis,
    proxy: Proxy,
}

impl Scene {
    async fn new() -> Self {
        let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let proxy = Proxy::before(redis.port()).await;
        Self { redis, proxy }
    }

    fn url(&self) -> String {
        url(self.proxy.port())
    }

    fn break_redis(&mut self, outage: Outage) {
        match outage {
            Outage::Network(fault) => self.proxy.set(fault),
            Outage::Killed => self.redis.kill(),
            Outage::Replica => {
                let unused_port = free_port().to_string();
                let () = self.redis.run(&["REPLICAOF", "127.0.0.1", &unused_port]);
            }
        }
    }

    fn repair(&mut self, outage: Outage) {
        match outage {
            Outage::Network(_) => self.proxy.set(Fault::None),
            Outage::Killed => self.redis.restart(),
            Outage::Replica => self.redis.run(&["REPLICAOF", "NO", "ONE"]),
        }
    }

    /// The number of connections that the server sees, including this one.
    fn connections(&self) -> usize {
        let list: String = self.redis.query(cmd("CLIENT").arg("LIST"));
        list.lines().count()
    }
}

pub(crate) async fn a_failing_redis_refuses_unknown_ids_and_openings(outage: Outage) {
    let mut scene = Scene::new().await;
    let a = node(&scene.url());
    let impatient = builder(&scene.url()).store(options(&scene.url()).grace(Duration::ZERO));
    let impatient = TestServer::new(impatient.build().expect("the settings are valid"));
    let known = a.open_and_use().await;
    let short = impatient.open_and_use().await;
    let elsewhere = node(&scene.redis.url()).open_and_use().await;
    let mut stream = stream_of(&a, &known).await;
    // Both nodes have subscribed and made calls by now, so the connections are all that they need.
    until("both nodes are connected", async || {
        scene.connections() >= 5
    })
    .await;
    let (tasks, connections) = (tasks(), scene.connections());

    scene.break_redis(outage);
    a.inner.clear();
    let answer = a.ask(post(Some(&elsewhere), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, UNAVAILABLE));
    assert_eq!(answer.headers["retry-after"], "5");
    for method in [Method::GET, Method::DELETE] {
        let answer = a.ask(bodiless(method, Some(&elsewhere))).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.headers["retry-after"], "5");
    }
    assert_eq!(a.inner.count(), 0);
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    let body = answer.json();
    assert_eq!(
        (&body["id"], &body["error"]["code"]),
        (&0.into(), &(-32603).into())
    );
    assert!(!answer.headers.contains_key("mcp-session-id"));

    // Sessions that this node knows continue for the lease and the grace. Then they are refused,
    // and none ends.
    assert_eq!(a.ping(&known).await, 200);
    until("lease and grace are over", async || {
        impatient.ping(&short).await == 503
    })
    .await;
    assert_eq!(a.ping(&known).await, 200);
    assert!(!is_over(&mut stream));
    assert_eq!(impatient.sessions.len(), 1);
    // Clients that leave while they wait leave nothing behind.
    let leavers = (0..50).map(|_| timeout(Duration::from_millis(5), a.ping(&elsewhere)));
    join_all(leavers).await;

    scene.repair(outage);
    until("the session of the other node is found", async || {
        a.ping(&elsewhere).await == 200
    })
    .await;
    until("new sessions open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
    until("the refused session continues", async || {
        impatient.ping(&short).await == 200
    })
    .await;
    assert_eq!(a.ping(&known).await, 200);
    assert!(!is_over(&mut stream));
    until("no task is left over", async || self::tasks() <= tasks).await;
    until("no connection is left over", async || {
        scene.connections() <= connections
    })
    .await;
    // Failed openings leave nothing: two known sessions, one of another node, one new session.
    until("nothing is left over", async || {
        scene.redis.run::<usize>(&["DBSIZE"]) == 4
    })
    .await;
}

pub(crate) async fn calls_in_flight_when_redis_fails_are_refused(outage: Outage) {
    let mut scene = Scene::new().await;
    let a = node(&scene.url());
    let known = a.open_and_use().await;
    let elsewhere = node(&scene.redis.url()).open_and_use().await;
    let mut stream = stream_of(&a, &known).await;
    scene.proxy.set(Fault::Slow(Duration::from_millis(300)));
    let opening = a.ask(post(None, INITIALIZE));
    let validating = a.ask(post(Some(&elsewhere), PING));
    let breaking = async {
        sleep(Duration::from_millis(100)).await;
        scene.break_redis(outage);
    };
    let (opened, validated, ()) = tokio::join!(opening, validating, breaking);
    assert_eq!([opened.status, validated.status], [503, 503]);
    assert!(!opened.headers.contains_key("mcp-session-id"));
    assert_eq!(a.ping(&known).await, 200);
    assert!(!is_over(&mut stream));

    scene.repair(outage);
    scene.proxy.set(Fault::None);
    until("the session is found", async || {
        a.ping(&elsewhere).await == 200
    })
    .await;
    until("the opening has left nothing", async || {
        scene.redis.run::<usize>(&["DBSIZE"]) == 2
    })
    .await;
    assert_eq!(a.sessions.stats().opening, 0);
}

pub(crate) async fn reset_connections_lose_no_session(_: ()) {
    let scene = Scene::new().await;
    let a = node(&scene.url());
    let b = node(&scene.redis.url());
    let known = a.open_and_use().await;
    let mut stream = stream_of(&a, &known).await;
    for _ in 0..5 {
        scene.proxy.set(Fault::Down);
        sleep(Duration::from_millis(20)).await;
        scene.proxy.set(Fault::None);
        assert_eq!(a.ping(&known).await, 200);
        assert!(!is_over(&mut stream));
    }
    let answer = b.ask(bodiless(Method::DELETE, Some(&known))).await;
    assert_eq!(answer.status, 204);
    // Node A learns of the end by the subscription or by a check, as the connections return.
    until("A knows of the end", async || a.ping(&known).await == 404).await;
    until("the stream ends", async || is_over(&mut stream)).await;
}

/// Subscribes, and receives the first heartbeat.
async fn subscribed(store: &RedisStore) -> StoreEvents {
    let ends = store
        .subscribe(LEASE)
        .expect("the store has a subscription");
    let mut ends = ends.await.expect("the subscription begins");
    let event = ends.next().await.expect("the subscription continues");
    assert!(
        matches!(event, Ok(StoreEvent::Heartbeat { .. })),
        "{event:?}"
    );
    ends
}

pub(crate) async fn a_silent_subscription_fails(_: ()) {
    let scene = Scene::new().await;
    for fault in [Fault::Deaf, Fault::Silent, Fault::Down] {
        scene.proxy.set(Fault::None);
        let store = RedisStore::open(&scene.url()).expect("the URL can be read");
        let mut ends = subscribed(&store).await;
        scene.proxy.set(fault);
        let broken = async {
            while let Some(event) = ends.next().await {
                if event.is_err() {
                    return ends.next().await.is_none();
                }
            }
            false
        };
        let broken = timeout(Duration::from_secs(20), broken).await;
        assert_eq!(broken, Ok(true), "{fault:?}: an error, then the end");
    }
}

pub(crate) async fn a_subscription_leaves_a_server_that_is_no_longer_the_primary(redis: Redis) {
    let store = redis.store();
    let mut ends = subscribed(&store).await;
    // The connections on which the store sends its heartbeats, by scripts.
    let connection_ids = || {
        let list: String = redis.query(cmd("CLIENT").arg("LIST"));
        let scripts = list.lines().filter(|line| line.contains(" cmd=eval"));
        let id = |line: &str| {
            line.split(' ')
                .next()
                .expect("the line begins with an id")
                .to_owned()
        };
        scripts.map(id).collect::<Vec<_>>()
    };
    let before = connection_ids();
    assert_eq!(before.len(), 1);
    let unused_port = free_port().to_string();
    let () = redis.run(&["REPLICAOF", "127.0.0.1", &unused_port]);
    let broken = async { while ends.next().await.is_some_and(|event| event.is_ok()) {} };
    timeout(Duration::from_secs(20), broken)
        .await
        .expect("the subscription fails");
    until("the connection is closed", async || {
        !connection_ids().contains(&before[0])
    })
    .await;
}

pub(crate) async fn a_failed_refresh_does_not_prevent_the_others(redis: Redis) {
    let store = redis.store();
    let keys: Vec<_> = (0..100)
        .map(|number| SessionKey::new("", number.to_string()))
        .collect();
    for key in &keys {
        let session = NewSession::new(key, b"x", Duration::from_secs(60)).owned_by(key.id());
        assert_eq!(store.create(session).await.ok(), Some(true));
    }
    // Another program has replaced the value of one session.
    let () = redis.run(&["DEL", "mcp:{:50}"]);
    let () = redis.run(&["LPUSH", "mcp:{:50}", "x"]);
    let all = keys.iter().cloned();
    let all: Vec<_> = all
        .map(|key| Refresh::new(key, Duration::from_secs(1000)))
        .collect();
    let error = store
        .refresh(&all)
        .await
        .expect_err("one value is not a session");
    assert_eq!(
        error.to_string(),
        "the session store failed: Redis refuses: WRONGTYPE"
    );
    // The key of each session, and the key of its owner.
    let mut refreshed = 0;
    for key in redis.keys() {
        let key = str::from_utf8(&key).expect("keys are text");
        refreshed += usize::from(redis.run::<i64>(&["PTTL", key]) > 900_000);
    }
    assert_eq!(refreshed, 99 * 2);
}

pub(crate) async fn the_guard_waits_for_a_slow_redis(_: ()) {
    let scene = Scene::new().await;
    let a = node(&scene.url());
    let elsewhere = node(&scene.redis.url()).open_and_use().await;
    scene.proxy.set(Fault::Slow(Duration::from_millis(30)));
    let id = a.open_and_use().await;
    assert_eq!(a.ping(&elsewhere).await, 200);
    sleep(LEASE * 2).await;
    assert_eq!(a.ping(&id).await, 200);
    let answer = a.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
}

pub(crate) async fn a_full_redis_refuses_only_openings(redis: Redis) {
    let a = node(&redis.url());
    let known = a.open_and_use().await;
    let elsewhere = node(&redis.url()).open_and_use().await;
    let () = redis.run(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], -32603);
    sleep(LEASE * 2).await;
    assert_eq!([a.ping(&known).await, a.ping(&elsewhere).await], [200; 2]);
    // Ends reach the server, and make room.
    let answer = a.ask(bodiless(Method::DELETE, Some(&elsewhere))).await;
    assert_eq!(answer.status, 204);
    let () = redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    until("new sessions open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
}

pub(crate) async fn a_guard_starts_before_its_redis(mut redis: Redis) {
    redis.kill();
    let a = node(&redis.url());
    assert_eq!(a.ask(post(None, INITIALIZE)).await.status, 503);
    redis.restart();
    until("new sessions open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
