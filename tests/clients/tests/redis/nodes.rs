//! Two guards on one Redis, and what is left there.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use client_tests::driven::within;
use client_tests::fault::{Fault, Proxy};
use client_tests::redis::{Cluster, Redis, free_port, url};
use futures_util::StreamExt;
use futures_util::future::join;
use http::Method;
use mcp_session_guard::store::{
    McpSessionStore, RedisOptions, RedisStore, SessionKey, StoreEvent, conformance,
};
use mcp_session_guard::{EndReason, Owner};
use redis::cmd;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use uuid::Uuid;

use crate::guards::{NOT_FOUND, UNKNOWN, builder, by, is_over, node, open_by, stream_of, until};
use crate::support::{PING, TestServer, bodiless, post};

pub(crate) async fn what_one_node_ends_is_over_on_the_others_at_once(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let mut on_a = stream_of(&a, &id).await;
    let mut on_b = stream_of(&b, &id).await;
    assert!(!is_over(&mut on_a) && !is_over(&mut on_b));

    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    until("A's stream ends", async || is_over(&mut on_a)).await;
    assert!(is_over(&mut on_b));
    for server in [&a, &b] {
        let answer = server.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
    assert_eq!(redis.keys(), [b""; 0]);
}

pub(crate) async fn a_session_that_is_loaded_while_it_ends_is_over(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    b.open_and_use().await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        let id = a.open_and_use().await;
        // Before, amid and after the two steps of the end.
        let load = async {
            while b.ping(&id).await == 200 {
                yield_now().await;
            }
        };
        let end = a.ask(bodiless(Method::DELETE, Some(&id)));
        let ((), ended) = within(join(load, end)).await;
        assert_eq!(ended.status, 204);
        ids.push(id);
    }
    for id in ids {
        assert_eq!(a.ping(&id).await, 404);
        until("B knows", async || b.ping(&id).await == 404).await;
    }
    assert_eq!(b.sessions.len(), 1);
}

pub(crate) async fn an_owner_who_is_logged_out_on_one_node_is_so_on_all(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let alices = open_by(&a, "alice").await;
    let bobs = open_by(&a, "bob").await;
    assert_eq!(
        b.ask(by("alice", post(Some(&alices), PING))).await.status,
        200
    );
    // One that no process knows any more.
    let forgotten = open_by(&node(&redis.url()), "alice").await;

    assert_eq!(a.sessions.end_owner(&Owner::new("alice")), 1);
    a.sessions.flush().await.expect("Redis is told");
    let ended = |id: String| {
        let b = b.clone();
        async move || b.ask(by("alice", post(Some(&id), PING))).await.status == 404
    };
    until("B knows", ended(alices)).await;
    until("it is loaded by nobody", ended(forgotten)).await;
    assert_eq!(b.ask(by("bob", post(Some(&bobs), PING))).await.status, 200);
    let again = open_by(&b, "alice").await;
    assert_eq!(
        a.ask(by("alice", post(Some(&again), PING))).await.status,
        200
    );
}

pub(crate) async fn an_end_that_is_not_heard_of_is_known_after_the_lease(redis: Redis) {
    let proxy = Proxy::before(redis.port()).await;
    let [a, b] = [node(&url(proxy.port())), node(&redis.url())];
    let id = a.open_and_use().await;
    proxy.set(Fault::Deaf);
    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    until("A asks", async || a.ping(&id).await == 404).await;
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
}

pub(crate) async fn a_record_of_another_schema_is_an_unknown_id(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let id = a.open_and_use().await;
    let key = format!("mcp:{{:{id}}}");
    let record: Vec<u8> = redis.tell(&["GET", &key]);
    let (owner_token, record) = record.split_at(32);
    let record = std::str::from_utf8(record).expect("a record is JSON");
    assert!(record.contains(r#""v":1"#), "{record}");
    for version in [r#""v":0"#, r#""v":2"#] {
        let other = record.replace(r#""v":1"#, version);
        let value = [owner_token, other.as_bytes()].concat();
        let () = redis.ask(cmd("SET").arg(&key).arg(value).arg("KEEPTTL"));
        let answer = b.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    for value in [&b""[..], b"short", &[0; 32], &[0xff; 100]] {
        let () = redis.ask(cmd("SET").arg(&key).arg(value).arg("KEEPTTL"));
        assert_eq!(b.ping(&id).await, 404);
    }
    assert_eq!(b.inner.count(), 0);
}

pub(crate) async fn every_key_expires_and_none_outlives_its_session_by_much(redis: Redis) {
    let limit = Duration::from_secs(60);
    let guard = builder(&redis.url())
        .idle_timeout(limit)
        .never_used_timeout(limit);
    let a = TestServer::new(guard.build().expect("the settings are good"));
    let mut ids = Vec::new();
    for user in ["alice", "alice", "bob"] {
        ids.push((user, open_by(&a, user).await));
    }
    let nobodys = a.open_and_use().await;
    assert_eq!(redis.keys().len(), 6, "four sessions, two owners");
    for key in redis.keys() {
        let left: u64 = redis.ask(cmd("PTTL").arg(&key));
        // A fifth more than the limit, and for an owner's token ten seconds.
        assert!((1..=82_000).contains(&left), "{left}");
    }
    for (user, id) in ids {
        let delete = by(user, bodiless(Method::DELETE, Some(&id)));
        assert_eq!(a.ask(delete).await.status, 204);
    }
    let delete = bodiless(Method::DELETE, Some(&nobodys));
    assert_eq!(a.ask(delete).await.status, 204);
    for key in redis.keys() {
        assert!(key.starts_with(b"mcp:owner:"), "sessions are gone");
        let left: i64 = redis.ask(cmd("PTTL").arg(&key));
        assert!(left > 0);
    }
}

pub(crate) async fn a_session_in_use_does_not_expire_and_one_that_is_not_does(redis: Redis) {
    let limit = Duration::from_secs(2);
    let guard = builder(&redis.url())
        .idle_timeout(limit)
        .never_used_timeout(limit);
    let a = TestServer::new(guard.build().expect("the settings are good"));
    let [used, unused] = [open_by(&a, "alice").await, open_by(&a, "bob").await];
    // In flight as long as it is held.
    let streaming = by("alice", bodiless(Method::GET, Some(&used)));
    let stream = a.send(streaming).await;
    assert_eq!(stream.status(), 200);
    let unused = format!("mcp:{{:{unused}}}");
    until("it expires", async || {
        redis.tell::<u8>(&["EXISTS", &unused]) == 0
    })
    .await;
    let b = node(&redis.url());
    assert_eq!(
        b.ask(by("alice", post(Some(&used), PING))).await.status,
        200
    );
    drop(stream);
    until("nothing is left", async || {
        let sessions: Vec<Vec<u8>> = redis.tell(&["KEYS", "mcp:{*"]);
        sessions.is_empty()
    })
    .await;
}

pub(crate) async fn a_redis_that_lost_everything_ends_what_it_vouched_for(mut redis: Redis) {
    let a = node(&redis.url());
    let id = a.open_and_use().await;
    redis.kill();
    redis.restart();
    until("it is checked", async || a.ping(&id).await == 404).await;
    until("others open", async || {
        a.ask(post(None, crate::support::INITIALIZE)).await.status == 200
    })
    .await;
}

pub(crate) async fn a_guard_that_is_dropped_leaves_neither_task_nor_connection(redis: Redis) {
    let connections = || {
        let list: String = redis.tell(&["CLIENT", "LIST"]);
        list.lines().count()
    };
    let a = node(&redis.url());
    let id = a.open_and_use().await;
    until("it listens", async || connections() >= 3).await;
    drop(a);
    until("its connections are closed", async || connections() == 1).await;
    until("its tasks are over", async || {
        Handle::current().metrics().num_alive_tasks() == 0
    })
    .await;
    assert_eq!(node(&redis.url()).ping(&id).await, 200, "the session stays");
}

pub(crate) async fn no_error_and_no_debug_text_shows_a_secret(redis: Redis) {
    let secrets = ["s3cret", UNKNOWN];
    let with_password = redis.url().replace("//", "//somebody:s3cret@");
    let store = RedisStore::open(&with_password).expect("a URL");
    let key = SessionKey::new("", UNKNOWN);
    let unreadable = with_password.replace("redis:", "http:");
    let error = RedisStore::open(&unreadable).expect_err("it is no URL of Redis");
    let mut texts = vec![format!("{store:?} {error:?}")];
    // The password is wrong.
    texts.push(format!(
        "{:?}",
        store.load(&key).await.expect_err("refused")
    ));
    // The server does not know a command, and would repeat its arguments.
    let old = Redis::start(&["--rename-command", "GETEX", ""]);
    let error = old.store().load(&key).await.expect_err("it is unknown");
    texts.push(format!("{error:?} {error}"));
    // It holds something else there.
    let () = redis.tell(&["LPUSH", &format!("mcp:{{:{UNKNOWN}}}"), "x"]);
    let error = redis.store().load(&key).await.expect_err("it is a list");
    texts.push(format!("{error:?} {error}"));
    for text in &texts {
        for secret in secrets {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(texts[3].contains("WRONGTYPE"), "{}", texts[3]);
}

/// As the module's documentation has them.
const PERMISSIONS: &str = "on >password resetkeys resetchannels -@all ~mcp:* &mcp:* +getex +set +del \
    +eval +pttl +pexpire +publish +subscribe +ping +hello +select";
const IN_A_CLUSTER: &str = "+spublish +ssubscribe +cluster|slots";

pub(crate) async fn the_permissions_that_are_documented_suffice(redis: Redis) {
    let user = allow(&redis, PERMISSIONS);
    let [one, other] = [(); 2].map(|()| RedisStore::open(&user).expect("a URL"));
    conformance::check(&one, &other).await;
}

pub(crate) async fn the_permissions_that_are_documented_suffice_in_a_cluster(cluster: Cluster) {
    let permissions = format!("{PERMISSIONS} {IN_A_CLUSTER}");
    let users = cluster.0.each_ref().map(|node| allow(node, &permissions));
    let [one, other] = [(); 2].map(|()| RedisStore::cluster(&users).expect("it can be set up"));
    conformance::check(&one, &other).await;
}

pub(crate) async fn a_slot_that_moves_takes_no_end_along_unheard(cluster: Cluster) {
    // Long enough that it is the cluster that tells.
    let lease = Duration::from_secs(120);
    let [one, other] = [cluster.store(), cluster.store()];
    let listen = async || {
        let ends = one.subscribe(lease).expect("it has ends to tell").await;
        let mut ends = ends.expect("it listens");
        let event = ends.next().await.expect("it goes on");
        assert!(
            matches!(event, Ok(StoreEvent::Heartbeat { .. })),
            "{event:?}"
        );
        ends
    };
    let mut ends = listen().await;
    // The other knows by which node ends are told.
    let key = SessionKey::new("", UNKNOWN);
    other.remove(&key).await.expect("it is told");
    let (holder, slot) = cluster.holder("mcp:{ends}");
    cluster.give(slot, (holder + 1) % 3);
    let broken = async {
        while let Some(event) = ends.next().await {
            if event.is_err() {
                return true;
            }
        }
        false
    };
    assert!(
        within(broken).await,
        "the listener hears that it may miss one"
    );

    let mut ends = listen().await;
    other
        .remove(&key)
        .await
        .expect("it is told by the other node");
    let told = async {
        loop {
            let event = ends.next().await.expect("it goes on");
            if let StoreEvent::Ended(ended) = event.expect("it listens") {
                return ended;
            }
        }
    };
    assert_eq!(within(told).await, key);
}

fn allow(redis: &Redis, permissions: &str) -> String {
    let user = ["ACL", "SETUSER", "guard"].into_iter();
    let words: Vec<&str> = user.chain(permissions.split_whitespace()).collect();
    let () = redis.tell(&words);
    redis.url().replace("//", "//guard:password@")
}

pub(crate) async fn it_is_spoken_to_over_tls() {
    let certificate = Certificate::new();
    let (redis, url) = with_tls(&certificate, &["--tls-auth-clients", "no"]);
    let trusting = RedisOptions::new().root_certificate(certificate.read("cert"));
    let store = || trusting.open(&url).expect("the certificate can be read");
    conformance::check(&store(), &store()).await;

    // A server that cannot be trusted is none.
    let stranger = RedisStore::open(&url).expect("a URL");
    let key = SessionKey::new("", UNKNOWN);
    assert!(stranger.load(&key).await.is_err());
    assert_ne!(redis.keys().len(), 0, "it was this one");

    // Certificates are for TLS.
    assert!(trusting.open(&redis.url()).is_err());
    assert!(trusting.cluster([&*url, &redis.url()]).is_err());
}

pub(crate) async fn a_client_certificate_is_shown_to_one_server_and_to_a_cluster() {
    let certificate = Certificate::new();
    let trusting = RedisOptions::new().root_certificate(certificate.read("cert"));
    let [cert, key] = ["cert", "key"].map(|name| certificate.read(name));
    let known = trusting.clone().client_certificate(cert, key);

    let (redis, url) = with_tls(&certificate, &["--tls-auth-clients", "yes"]);
    let store = || known.open(&url).expect("the certificates can be read");
    conformance::check(&store(), &store()).await;
    let stranger = trusting.open(&url).expect("the certificate can be read");
    let key = SessionKey::new("", UNKNOWN);
    assert!(stranger.load(&key).await.is_err());
    assert_ne!(redis.keys().len(), 0, "it was this one");

    // Its nodes tell clients the port for TLS.
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let arguments = [&["--tls-auth-clients", "yes"], &cluster[..]].concat();
    let (redis, url) = with_tls(&certificate, &arguments);
    let () = redis.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("it serves all slots", async || {
        let state: String = redis.tell(&["CLUSTER", "INFO"]);
        state.contains("cluster_state:ok")
    })
    .await;
    let store = || known.cluster([&url]).expect("the certificates can be read");
    conformance::check(&store(), &store()).await;
    let stranger = trusting
        .cluster([&url])
        .expect("the certificate can be read");
    assert!(stranger.load(&key).await.is_err());
    assert_ne!(redis.keys().len(), 0, "it was this one");
}

/// A server that shows this certificate, and its URL for TLS.
fn with_tls(certificate: &Certificate, arguments: &[&str]) -> (Redis, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let port = free_port().to_string();
    let [cert, key] = ["cert", "key"].map(|name| certificate.path(name));
    let mut all = vec!["--tls-port", &port, "--tls-cert-file", &cert];
    all.extend(["--tls-key-file", &key, "--tls-ca-cert-file", &cert]);
    all.extend(arguments);
    (Redis::start(&all), format!("rediss://127.0.0.1:{port}"))
}

/// A certificate for this machine that nobody has signed.
struct Certificate(PathBuf);

impl Certificate {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("there is a folder for it");
        let made = Self(folder);
        let command = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &made.path("key"), "-out", &made.path("cert")])
            .output();
        assert!(command.is_ok_and(|output| output.status.success()));
        made
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("it was made")
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
