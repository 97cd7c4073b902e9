//! The cost of sessions in Redis, with a real server on this machine: `cargo bench -p client-tests
//! --bench store`.
//!
//! Two guards run in this process on one thread, and the network is loopback. Every figure is from
//! one run and printed as plain text.
#![allow(missing_docs, clippy::disallowed_types)]

mod support;

use std::time::Instant;

use axum::Router;
use axum::body::to_bytes;
use axum::response::Response;
use client_tests::redis::{Redis, redis_server};
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http::request::Parts;
use mcp_session_guard::{Owner, SessionGuardLayer};
use support::{INITIALIZE, INITIALIZED, UNKNOWN, call, guarded, post, runtime};
use tower::ServiceExt;
use uuid::Uuid;

fn main() {
    match redis_server() {
        Ok(_) => runtime().block_on(measure()),
        Err(missing) => println!("needs {missing}"),
    }
}

async fn measure() {
    let redis = Redis::start(&[]);
    sessions_of(&redis, "anonymous", |_| None).await;
    sessions_of(&redis, "one owner each", |number| {
        Some(format!("https://issuer.example subject-{number}"))
    })
    .await;
    let node = node(&redis).await;
    for at_once in [1, 32] {
        let unknown = (0..SESSIONS).map(|_| Session {
            id: Uuid::new_v4().to_string(),
            owner: None,
        });
        let what = format!("requests with an unknown id, {at_once} at once");
        calls(&what, at_once, &node, &unknown.collect::<Vec<_>>(), 404).await;
    }
}

async fn sessions_of(redis: &Redis, whose: &str, owner: fn(usize) -> Option<String>) {
    let [one, other] = [node(redis).await, node(redis).await];
    let before = used_memory(redis);
    let start = Instant::now();
    let openings = stream::iter(0..SESSIONS).map(|number| open(&one, owner(number)));
    let sessions: Vec<Session> = openings.buffer_unordered(32).collect().await;
    report(&format!("{whose}: openings, 32 at once"), start);
    let each = used_memory(redis).saturating_sub(before) / SESSIONS;
    println!("{whose}: {each} bytes of Redis for a session");
    for kind in ["mcp:{*", "mcp:owner:*"] {
        if let Some(key) = redis.run::<Vec<String>>(&["KEYS", kind]).first() {
            let bytes: usize = redis.run(&["MEMORY", "USAGE", key]);
            println!("{whose}: {bytes} of these bytes for a key {kind}");
        }
    }
    let what = format!("{whose}: requests on the opener, 32 at once");
    calls(&what, 32, &one, &sessions, 200).await;
    let what = format!("{whose}: first requests on the other node, 32 at once");
    calls(&what, 32, &other, &sessions, 200).await;
    let third = node(redis).await;
    let what = format!("{whose}: first requests on a third node, one by one");
    calls(&what, 1, &third, &sessions, 200).await;
    let () = redis.run(&["FLUSHALL"]);
}

/// A session and its owner's name.
struct Session {
    id: String,
    owner: Option<String>,
}

/// A guard that already has its connections.
async fn node(redis: &Redis) -> Router {
    let guard = SessionGuardLayer::builder()
        .store(redis.store())
        .max_sessions(2 * SESSIONS)
        .owner(|request: &Parts| {
            let name = request.headers.get("x-user").map(HeaderValue::to_str);
            Ok(name.transpose()?.map(Owner::new))
        });
    let node = guarded(guard.build().expect("the settings are valid"));
    let unknown = send(&node, Some(UNKNOWN), None, call(130)).await;
    assert_eq!(unknown.status(), 404);
    node
}

async fn open(node: &Router, owner: Option<String>) -> Session {
    let answer = send(node, None, owner.as_deref(), INITIALIZE).await;
    let id = answer.headers()["mcp-session-id"].to_str();
    let id = id.expect("ids are text").to_owned();
    let body = to_bytes(answer.into_body(), usize::MAX).await;
    body.expect("the answer is whole");
    send(node, Some(&id), owner.as_deref(), INITIALIZED).await;
    Session { id, owner }
}

async fn calls(what: &str, at_once: usize, node: &Router, sessions: &[Session], status: u16) {
    let start = Instant::now();
    let calls = stream::iter(sessions).map(|session| async {
        let owner = session.owner.as_deref();
        let answer = send(node, Some(&session.id), owner, call(130)).await;
        assert_eq!(answer.status(), status);
    });
    calls.buffer_unordered(at_once).collect::<()>().await;
    report(what, start);
}

async fn send(
    node: &Router,
    session: Option<&str>,
    owner: Option<&str>,
    body: impl Into<axum::body::Bytes>,
) -> Response {
    let mut request = post(session, body);
    if let Some(owner) = owner {
        let owner = HeaderValue::from_str(owner).expect("the name is text");
        request.headers_mut().insert("x-user", owner);
    }
    let Ok(answer) = node.clone().oneshot(request).await;
    answer
}

fn used_memory(redis: &Redis) -> usize {
    let info: String = redis.run(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.parse().ok())
        .expect("Redis reports it")
}

fn report(what: &str, since: Instant) {
    let each = since.elapsed() / SESSIONS as u32;
    let rate = 1.0 / each.as_secs_f64();
    println!("{what}: {rate:.0} a second, {} µs each", each.as_micros());
}

const SESSIONS: usize = 10_000;
