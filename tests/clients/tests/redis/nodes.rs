//! Two guards on one Redis, and the keys that they leave there.

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

pub(crate) async fn a_session_that_one_node_ends_is_ended_on_the_others_at_once(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let mut on_a = stream_of(&a, &id).await;
    let mut on_b = stream_of(&b, &id).await;
    assert!(!is_over(&mut on_a) && !is_over(&mut on_b));

    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    until("the stream on node A ends", async || is_over(&mut on_a)).await;
    assert!(is_over(&mut on_b));
    for server in [&a, &b] {
        let answer = server.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
    assert_eq!(redis.keys(), [b""; 0]);
}

pub(crate) async fn a_session_that_is_loaded_while_it_ends_is_ended(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    b.open_and_use().await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        let id = a.open_and_use().await;
        // The loads come before, between and after the two steps of the end.
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
        until("node B knows of the end", async || b.ping(&id).await == 404).await;
    }
    assert_eq!(b.sessions.len(), 1);
}

pub(crate) async fn an_owner_logged_out_on_one_node_is_logged_out_on_all(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let alices = open_by(&a, "alice").await;
    let bobs = open_by(&a, "bob").await;
    assert_eq!(
        b.ask(by("alice", post(Some(&alices), PING))).await.status,
        200
    );
    // A session that no process knows any more.
    let forgotten = open_by(&node(&redis.url()), "alice").await;

    assert_eq!(a.sessions.end_owner(&Owner::new("alice")), 1);
    a.sessions.flush().await.expect("Redis stores the end");
    let ended = |id: String| {
        let b = b.clone();
        async move || b.ask(by("alice", post(Some(&id), PING))).await.status == 404
    };
    until("node B knows of the end", ended(alices)).await;
    until("the forgotten session cannot be loaded", ended(forgotten)).await;
    assert_eq!(b.ask(by("bob", post(Some(&bobs), PING))).await.status, 200);
    let again = open_by(&b, "alice").await;
    assert_eq!(
        a.ask(by("alice", post(Some(&again), PING))).await.status,
        200
    );
}

pub(crate) async fn an_end_that_a_node_misses_is_known_after_the_lease(redis: Redis) {
    let proxy = Proxy::before(redis.port()).await;
    let [a, b] = [node(&url(proxy.port())), node(&redis.url())];
    let id = a.open_and_use().await;
    proxy.set(Fault::Deaf);
    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    until("node A checks the session", async || {
        a.ping(&id).await == 404
    })
    .await;
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
}

pub(crate) async fn a_record_of_another_schema_is_an_unknown_id(redis: Redis) {
    let [a, b] = [node(&redis.url()), node(&redis.url())];
    let id = a.open_and_use().await;
    let key = format!("mcp:{{:{id}}}");
    let record: Vec<u8> = redis.run(&["GET", &key]);
    let (owner_token, record) = record.split_at(32);
    let record = std::str::from_utf8(record).expect("a record is JSON");
    assert!(record.contains(r#""v":1"#), "{record}");
    for version in [r#""v":0"#, r#""v":2"#] {
        let other = record.replace(r#""v":1"#, version);
        let value = [owner_token, other.as_bytes()].concat();
        let () = redis.query(cmd("SET").arg(&key).arg(value).arg("KEEPTTL"));
        let answer = b.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    for value in [&b""[..], b"short", &[0; 32], &[0xff; 100]] {
        let () = redis.query(cmd("SET").arg(&key).arg(value).arg("KEEPTTL"));
        assert_eq!(b.ping(&id).await, 404);
    }
    assert_eq!(b.inner.count(), 0);
}

pub(crate) async fn every_key_expires_and_none_outlives_its_session_by_much(redis: Redis) {
    let limit = Duration::from_secs(60);
    let guard = builder(&redis.url())
        .idle_timeout(limit)
        .never_used_timeout(limit);
    let a = TestServer::new(guard.build().expect("the settings are valid"));
    let mut ids = Vec::new();
    for user in ["alice", "alice", "bob"] {
        ids.push((user, open_by(&a, user).await));
    }
    let anonymous = a.open_and_use().await;
    assert_eq!(redis.keys().len(), 6, "four sessions, two owners");
    for key in redis.keys() {
        let left: u64 = redis.query(cmd("PTTL").arg(&key));
        // A fifth more than the limit, and ten seconds more for an owner's token.
        assert!((1..=82_000).contains(&left), "{left}");
    }
    for (user, id) in ids {
        let delete = by(user, bodiless(Method::DELETE, Some(&id)));
        assert_eq!(a.ask(delete).await.status, 204);
    }
    let delete = bodiless(Method::DELETE, Some(&anonymous));
    assert_eq!(a.ask(delete).await.status, 204);
    for key in redis.keys() {
        assert!(
            key.starts_with(b"mcp:owner:"),
            "only keys of owners are left"
        );
        let left: i64 = redis.query(cmd("PTTL").arg(&key));
        assert!(left > 0);
    }
}

pub(crate) async fn a_session_in_use_does_not_expire_and_one_that_is_not_does(redis: Redis) {
    let limit = Duration::from_secs(2);
    let guard = builder(&redis.url())
        .idle_timeout(limit)
        .never_used_timeout(limit);
    let a = TestServer::new(guard.build().expect("the settings are valid"));
    let [used, unused] = [open_by(&a, "alice").await, open_by(&a, "bob").await];
    // The open stream keeps the session in flight.
    let streaming = by("alice", bodiless(Method::GET, Some(&used)));
    let stream = a.send(streaming).await;
    assert_eq!(stream.status(), 200);
    let unused = format!("mcp:{{:{unused}}}");
    until("the unused session expires", async || {
        redis.run::<u8>(&["EXISTS", &unused]) == 0
    })
    .await;
    let b = node(&redis.url());
    assert_eq!(
        b.ask(by("alice", post(Some(&used), PING))).await.status,
        200
    );
    drop(stream);
    until("no session is left", async || {
        let sessions: Vec<Vec<u8>> = redis.run(&["KEYS", "mcp:{*"]);
        sessions.is_empty()
    })
    .await;
}

pub(crate) async fn sessions_that_redis_has_lost_end(mut redis: Redis) {
    let a = node(&redis.url());
    let id = a.open_and_use().await;
    redis.kill();
    redis.restart();
    until("the session is checked", async || a.ping(&id).await == 404).await;
    until("new sessions open", async || {
        a.ask(post(None, crate::support::INITIALIZE)).await.status == 200
    })
    .await;
}

pub(crate) async fn a_dropped_guard_leaves_neither_task_nor_connection(redis: Redis) {
    let connections = || {
        let list: String = redis.run(&["CLIENT", "LIST"]);
        list.lines().count()
    };
    let a = node(&redis.url());
    let id = a.open_and_use().await;
    until("the guard is subscribed", async || connections() >= 3).await;
    drop(a);
    until("the guard's connections are closed", async || {
        connections() == 1
    })
    .await;
    until("the guard's tasks have ended", async || {
        Handle::current().metrics().num_alive_tasks() == 0
    })
    .await;
    assert_eq!(node(&redis.url()).ping(&id).await, 200, "the session stays");
}

pub(crate) async fn no_error_and_no_debug_text_shows_a_secret(redis: Redis) {
    let secrets = ["s3cret", UNKNOWN];
    let with_password = redis.url().replace("//", "//user:s3cret@");
    let store = RedisStore::open(&with_password).expect("a URL");
    let key = SessionKey::new("", UNKNOWN);
    let unreadable = with_password.replace("redis:", "http:");
    let error = RedisStore::open(&unreadable).expect_err("the URL is not a Redis URL");
    let mut texts = vec![format!("{store:?} {error:?}")];
    // The password is wrong.
    texts.push(format!(
        "{:?}",
        store.load(&key).await.expect_err("refused")
    ));
    // The server does not know the command. It would repeat the arguments in its error.
    let old = Redis::start(&["--rename-command", "GETEX", ""]);
    let error = old
        .store()
        .load(&key)
        .await
        .expect_err("the command is unknown");
    texts.push(format!("{error:?} {error}"));
    // The key holds a value of another type.
    let () = redis.run(&["LPUSH", &format!("mcp:{{:{UNKNOWN}}}"), "x"]);
    let error = redis
        .store()
        .load(&key)
        .await
        .expect_err("the value is a list");
    texts.push(format!("{error:?} {error}"));
    for text in &texts {
        for secret in secrets {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(texts[3].contains("WRONGTYPE"), "{}", texts[3]);
}

/// The permissions in the documentation of the module.
const PERMISSIONS: &str = "on >password resetkeys resetchannels -@all ~mcp:* &mcp:* +getex +set +del \
    +eval +pttl +pexpire +publish +subscribe +ping +hello +select";
const IN_A_CLUSTER: &str = "+spublish +ssubscribe +cluster|slots";

pub(crate) async fn the_documented_permissions_suffice(redis: Redis) {
    let user = allow(&redis, PERMISSIONS);
    let [one, other] = [(); 2].map(|()| RedisStore::open(&user).expect("a URL"));
    conformance::check(&one, &other).await;
}

pub(crate) async fn the_documented_permissions_suffice_in_a_cluster(cluster: Cluster) {
    let permissions = format!("{PERMISSIONS} {IN_A_CLUSTER}");
    let users = cluster.0.each_ref().map(|node| allow(node, &permissions));
    let [one, other] = [(); 2].map(|()| RedisStore::cluster(&users).expect("the URLs are valid"));
    conformance::check(&one, &other).await;
}

pub(crate) async fn a_moving_slot_loses_no_end(cluster: Cluster) {
    // Long enough that the error comes from the cluster, not from the lease.
    let lease = Duration::from_secs(120);
    let [one, other] = [cluster.store(), cluster.store()];
    let listen = async || {
        let ends = one
            .subscribe(lease)
            .expect("the store has a subscription")
            .await;
        let mut ends = ends.expect("the subscription begins");
        let event = ends.next().await.expect("the subscription continues");
        assert!(
            matches!(event, Ok(StoreEvent::Heartbeat { .. })),
            "{event:?}"
        );
        ends
    };
    let mut ends = listen().await;
    // This call shows the other store which node carries the ends.
    let key = SessionKey::new("", UNKNOWN);
    other.remove(&key).await.expect("the removal succeeds");
    let (holder, slot) = cluster.holder("mcp:{ends}");
    cluster.move_slot(slot, (holder + 1) % 3);
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
        "the subscription fails, because it may miss an end"
    );

    let mut ends = listen().await;
    other
        .remove(&key)
        .await
        .expect("the removal succeeds on the other node");
    let received = async {
        loop {
            let event = ends.next().await.expect("the subscription continues");
            if let StoreEvent::Ended(ended) = event.expect("the subscription has no error") {
                return ended;
            }
        }
    };
    assert_eq!(within(received).await, key);
}

fn allow(redis: &Redis, permissions: &str) -> String {
    let user = ["ACL", "SETUSER", "guard"].into_iter();
    let words: Vec<&str> = user.chain(permissions.split_whitespace()).collect();
    let () = redis.run(&words);
    redis.url().replace("//", "//guard:password@")
}

pub(crate) async fn redis_works_over_tls() {
    let certificate = Certificate::new();
    let (redis, url) = with_tls(&certificate, &["--tls-auth-clients", "no"]);
    let trusting = RedisOptions::new().root_certificate(certificate.read("cert"));
    let store = || trusting.open(&url).expect("the certificate can be read");
    conformance::check(&store(), &store()).await;

    // A store without the certificate does not trust the server.
    let stranger = RedisStore::open(&url).expect("a URL");
    let key = SessionKey::new("", UNKNOWN);
    assert!(stranger.load(&key).await.is_err());
    assert_ne!(redis.keys().len(), 0, "the other store used this server");

    // Certificates require TLS.
    assert!(trusting.open(&redis.url()).is_err());
    assert!(trusting.cluster([&*url, &redis.url()]).is_err());
}

pub(crate) async fn a_client_certificate_is_sent_to_one_server_and_to_a_cluster() {
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
    assert_ne!(redis.keys().len(), 0, "the other store used this server");

    // The nodes of a cluster tell clients the port for TLS.
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let arguments = [&["--tls-auth-clients", "yes"], &cluster[..]].concat();
    let (redis, url) = with_tls(&certificate, &arguments);
    let () = redis.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster serves all slots", async || {
        let state: String = redis.run(&["CLUSTER", "INFO"]);
        state.contains("cluster_state:ok")
    })
    .await;
    let store = || known.cluster([&url]).expect("the certificates can be read");
    conformance::check(&store(), &store()).await;
    let stranger = trusting
        .cluster([&url])
        .expect("the certificate can be read");
    assert!(stranger.load(&key).await.is_err());
    assert_ne!(redis.keys().len(), 0, "the other store used this server");
}

/// A server with this certificate, and its URL for TLS.
fn with_tls(certificate: &Certificate, arguments: &[&str]) -> (Redis, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let port = free_port().to_string();
    let [cert, key] = ["cert", "key"].map(|name| certificate.path(name));
    let mut all = vec!["--tls-port", &port, "--tls-cert-file", &cert];
    all.extend(["--tls-key-file", &key, "--tls-ca-cert-file", &cert]);
    all.extend(arguments);
    (Redis::start(&all), format!("rediss://127.0.0.1:{port}"))
}

/// A self-signed certificate for this machine.
struct Certificate(PathBuf);

impl Certificate {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("the folder is created");
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
        std::fs::read(self.path(name)).expect("the file exists")
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
