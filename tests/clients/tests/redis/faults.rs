//! What networks and servers do, and what clients of a guard see of it.

use std::time::Duration;

use client_tests::fault::{Fault, Proxy};
use client_tests::redis::{Redis, free_port, url};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;
use mcp_session_guard::store::{
    McpSessionStore, NewSession, RedisStore, Refresh, SessionKey, StoreEvent,
};
use redis::cmd;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::guards::{LEASE, builder, is_over, node, options, stream_of, until};
use crate::support::{INITIALIZE, PING, TestServer, bodiless, post};

const UNAVAILABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error: the server can not look sessions up now. Retry later."},"id":1}"#;

/// What makes Redis useless.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Network(Fault),
    /// `kill -9`; it comes back with what it had written.
    Killed,
    /// It becomes the replica of a primary that is gone.
    Replica,
}

/// A Redis that writes everything to disk, and the network before it.
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

    fn afflict(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Network(fault) => self.proxy.set(fault),
            Trouble::Killed => self.redis.kill(),
            Trouble::Replica => {
                let nobody = free_port().to_string();
                let () = self.redis.tell(&["REPLICAOF", "127.0.0.1", &nobody]);
            }
        }
    }

    fn mend(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Network(_) => self.proxy.set(Fault::None),
            Trouble::Killed => self.redis.restart(),
            Trouble::Replica => self.redis.tell(&["REPLICAOF", "NO", "ONE"]),
        }
    }

    /// How many connections the server sees, this one included.
    fn connections(&self) -> usize {
        let list: String = self.redis.ask(cmd("CLIENT").arg("LIST"));
        list.lines().count()
    }
}

pub(crate) async fn a_redis_in_trouble_refuses_what_only_it_can_tell(trouble: Trouble) {
    let mut scene = Scene::new().await;
    let a = node(&scene.url());
    let impatient = builder(&scene.url()).store(options(&scene.url()).grace(Duration::ZERO));
    let impatient = TestServer::new(impatient.build().expect("the settings are good"));
    let known = a.open_and_use().await;
    let short = impatient.open_and_use().await;
    let elsewhere = node(&scene.redis.url()).open_and_use().await;
    let mut stream = stream_of(&a, &known).await;
    // Both have listened and asked by now: what is there is what they need.
    until("both are heard of", async || scene.connections() >= 5).await;
    let (tasks, connections) = (tasks(), scene.connections());

    scene.afflict(trouble);
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

    // What is known here goes on for lease and grace, and is refused then; nothing ends.
    assert_eq!(a.ping(&known).await, 200);
    until("lease and grace are over", async || {
        impatient.ping(&short).await == 503
    })
    .await;
    assert_eq!(a.ping(&known).await, 200);
    assert!(!is_over(&mut stream));
    assert_eq!(impatient.sessions.len(), 1);
    // Clients who leave while they wait leave nothing here.
    let leavers = (0..50).map(|_| timeout(Duration::from_millis(5), a.ping(&elsewhere)));
    join_all(leavers).await;

    scene.mend(trouble);
    until("what is elsewhere is found", async || {
        a.ping(&elsewhere).await == 200
    })
    .await;
    until("others open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
    until("what was refused goes on", async || {
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
    // Openings that failed leave nothing: two that are known, one elsewhere, one new.
    until("nothing is left over", async || {
        scene.redis.tell::<usize>(&["DBSIZE"]) == 4
    })
    .await;
}

pub(crate) async fn what_is_under_way_when_it_breaks_is_refused(trouble: Trouble) {
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
        scene.afflict(trouble);
    };
    let (opened, validated, ()) = tokio::join!(opening, validating, breaking);
    assert_eq!([opened.status, validated.status], [503, 503]);
    assert!(!opened.headers.contains_key("mcp-session-id"));
    assert_eq!(a.ping(&known).await, 200);
    assert!(!is_over(&mut stream));

    scene.mend(trouble);
    scene.proxy.set(Fault::None);
    until("it is found", async || a.ping(&elsewhere).await == 200).await;
    until("the opening has left nothing", async || {
        scene.redis.tell::<usize>(&["DBSIZE"]) == 2
    })
    .await;
    assert_eq!(a.sessions.stats().opening, 0);
}

pub(crate) async fn connections_that_are_reset_strand_nobody(_: ()) {
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
    // Told or asked for, as the connections come back.
    until("A knows", async || a.ping(&known).await == 404).await;
    until("its stream ends", async || is_over(&mut stream)).await;
}

pub(crate) async fn a_stream_of_ends_that_hears_nothing_fails(_: ()) {
    let scene = Scene::new().await;
    for fault in [Fault::Deaf, Fault::Silent, Fault::Down] {
        scene.proxy.set(Fault::None);
        let store = RedisStore::open(&scene.url()).expect("the URL can be read");
        let ends = store.subscribe(LEASE).expect("it has ends to tell");
        let mut ends = ends.await.expect("it listens");
        let event = ends.next().await.expect("it goes on");
        assert!(
            matches!(event, Ok(StoreEvent::Heartbeat { .. })),
            "{event:?}"
        );
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
        assert_eq!(broken, Ok(true), "{fault:?}: an error, and no more");
    }
}

pub(crate) async fn who_only_listens_leaves_a_server_that_is_no_primary_any_more(redis: Redis) {
    let store = redis.store();
    let ends = store.subscribe(LEASE).expect("it has ends to tell");
    let mut ends = ends.await.expect("it listens");
    let event = ends.next().await.expect("it goes on");
    assert!(
        matches!(event, Ok(StoreEvent::Heartbeat { .. })),
        "{event:?}"
    );
    // By which its heartbeats are sent, in scripts.
    let wires = || {
        let list: String = redis.ask(cmd("CLIENT").arg("LIST"));
        let scripts = list.lines().filter(|line| line.contains(" cmd=eval"));
        let id = |line: &str| line.split(' ').next().expect("it has an id").to_owned();
        scripts.map(id).collect::<Vec<_>>()
    };
    let before = wires();
    assert_eq!(before.len(), 1);
    let nobody = free_port().to_string();
    let () = redis.tell(&["REPLICAOF", "127.0.0.1", &nobody]);
    let broken = async { while ends.next().await.is_some_and(|event| event.is_ok()) {} };
    timeout(Duration::from_secs(20), broken)
        .await
        .expect("it fails");
    until("its connection is gone", async || {
        !wires().contains(&before[0])
    })
    .await;
}

pub(crate) async fn what_can_not_be_put_off_keeps_no_other_from_it(redis: Redis) {
    let store = redis.store();
    let keys: Vec<_> = (0..100)
        .map(|number| SessionKey::new("", number.to_string()))
        .collect();
    for key in &keys {
        let session = NewSession::new(key, b"x", Duration::from_secs(60)).owned_by(key.id());
        assert_eq!(store.create(session).await.ok(), Some(true));
    }
    // Somebody has put something else in the place of one.
    let () = redis.tell(&["DEL", "mcp:{:50}"]);
    let () = redis.tell(&["LPUSH", "mcp:{:50}", "x"]);
    let all = keys.iter().cloned();
    let all: Vec<_> = all
        .map(|key| Refresh::new(key, Duration::from_secs(1000)))
        .collect();
    let error = store.refresh(&all).await.expect_err("one is no session");
    assert_eq!(
        error.to_string(),
        "the session store failed: Redis refuses: WRONGTYPE"
    );
    // A key of each, and its owner's.
    let mut put_off = 0;
    for key in redis.keys() {
        let key = str::from_utf8(&key).expect("it is text");
        put_off += usize::from(redis.tell::<i64>(&["PTTL", key]) > 900_000);
    }
    assert_eq!(put_off, 99 * 2);
}

pub(crate) async fn a_slow_redis_is_waited_for(_: ()) {
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

pub(crate) async fn a_full_redis_refuses_newcomers_alone(redis: Redis) {
    let a = node(&redis.url());
    let known = a.open_and_use().await;
    let elsewhere = node(&redis.url()).open_and_use().await;
    let () = redis.tell(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], -32603);
    sleep(LEASE * 2).await;
    assert_eq!([a.ping(&known).await, a.ping(&elsewhere).await], [200; 2]);
    // Ends are told, and make room.
    let answer = a.ask(bodiless(Method::DELETE, Some(&elsewhere))).await;
    assert_eq!(answer.status, 204);
    let () = redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    until("others open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
}

pub(crate) async fn a_guard_starts_before_its_redis(mut redis: Redis) {
    redis.kill();
    let a = node(&redis.url());
    assert_eq!(a.ask(post(None, INITIALIZE)).await.status, 503);
    redis.restart();
    until("others open", async || {
        a.ask(post(None, INITIALIZE)).await.status == 200
    })
    .await;
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
