//! Sessions that outlive the process: two guards with one store, as two machines have it, and a store
//! that fails. Time is paused.

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use axum::routing::any;
use futures_util::future::join_all;
use futures_util::{FutureExt, stream};
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::store::{McpSessionStore, MemoryStore, SessionKey, Trouble, behaviour};
use mcp_session_guard::{
    ConfigErrorKind, EndReason, McpSession, Owner, SessionEvent, SessionGuardBuilder,
    SessionGuardLayer,
};
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use support::{
    INITIALIZE, INITIALIZED, PING, World, bodiless, initialize_result, json_response, post,
};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
const UNKNOWN: &str = "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c";
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;
const UNAVAILABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error: the server can not look sessions up now. Retry later."},"id":1}"#;

fn builder(store: &MemoryStore) -> SessionGuardBuilder {
    SessionGuardLayer::builder().store(store.clone())
}

fn node(store: &MemoryStore) -> World {
    World::new(builder(store).build().unwrap())
}

/// A guard around an inner service that answers like this.
fn around(
    guard: SessionGuardBuilder,
    answer: impl Fn(Parts, Bytes) -> Response + Clone + Send + Sync + 'static,
) -> World {
    let handler = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        answer(parts, body)
    };
    World::around(
        guard.build().unwrap(),
        Router::new().route("/mcp", any(handler)),
    )
}

fn owned(guard: SessionGuardBuilder) -> SessionGuardBuilder {
    guard.owner(|request: &Parts| {
        let name = request.headers.get("x-user").map(HeaderValue::to_str);
        Ok(name.transpose()?.map(Owner::new))
    })
}

fn by(user: &str, mut request: Request<Body>) -> Request<Body> {
    let user = user.parse().unwrap();
    request.headers_mut().insert("x-user", user);
    request
}

async fn open_by(world: &World, user: &str) -> String {
    let answer = world.ask(by(user, post(None, INITIALIZE))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        world
            .ask(by(user, post(Some(&id), INITIALIZED)))
            .await
            .status,
        202
    );
    id
}

async fn ping_by(world: &World, user: &str, id: &str) -> u16 {
    world
        .ask(by(user, post(Some(id), PING)))
        .await
        .status
        .as_u16()
}

async fn ping(world: &World, id: &str) -> u16 {
    world.ping(id).await.as_u16()
}

/// An open GET stream.
async fn stream_of(world: &World, id: &str) -> Body {
    let response = world.send(bodiless(Method::GET, Some(id))).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

fn is_over(body: &mut Body) -> bool {
    matches!(body.frame().now_or_never(), Some(None))
}

/// Lets the background tasks hear and do what there is.
async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_does_what_every_store_must() {
    let store = MemoryStore::new();
    behaviour::check(&store, &store.clone()).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_opened_on_one_node_goes_on_on_another() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let guard = owned(builder(&store)).scope("mail").node_name(name);
        World::new(guard.build().unwrap())
    });
    let id = open_by(&a, "alice").await;

    assert_eq!(ping_by(&b, "alice", &id).await, 200);
    let session = b.sessions.get(&id).unwrap();
    assert_eq!(session.owner(), Some(&Owner::new("alice")));
    assert_eq!(session.scope(), "mail");
    assert_eq!(session.client_name(), Some("test"));
    assert_eq!(session.client_version(), Some("1.0"));
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
    assert_eq!(session.opened_on(), Some("a"));
    assert_eq!(b.sessions.stats().restored, 1);
    assert_eq!(b.sessions.stats().opened, 0);
    assert_eq!(b.sessions.stats().open, 1);

    let answer = b.ask(by("alice", post(Some(&id), INITIALIZE))).await;
    assert_eq!(answer.status, 400, "it is initialized wherever it is known");
    assert!(answer.text().contains("Server already initialized"));
}

#[tokio::test(start_paused = true)]
async fn a_known_session_is_served_without_asking() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    // It is older than the stream of ends, which begins with the first session: checked once, and
    // refreshed once now that it has been used.
    sleep(MINUTE).await;
    assert_eq!(ping(&a, &id).await, 200);
    let calls = store.calls();
    for _ in 0..100 {
        assert_eq!(ping(&a, &id).await, 200);
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(store.calls(), calls, "thirty seconds, six leases");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_asked_for_once_by_all_who_send_it() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    b.open().await;
    settle().await;
    let calls = store.calls();
    let all = join_all((0..50).map(|_| ping(&b, &id))).await;
    assert_eq!(all, [200; 50]);
    assert_eq!(store.calls(), calls + 1);
    assert_eq!(b.sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_asker_who_leaves_takes_nobody_along() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    store.set_trouble(Trouble::Silent);
    let leaver = timeout(SECOND, ping(&b, &id));
    let stayer = async {
        sleep(SECOND / 2).await;
        let stayer = ping(&b, &id);
        let mended = async {
            sleep(SECOND).await;
            store.set_trouble(Trouble::None);
        };
        futures_util::future::join(stayer, mended).await.0
    };
    let (left, stayed) = futures_util::future::join(leaver, stayer).await;
    assert!(left.is_err());
    // The one who stays asks for himself, waits in vain for as long, and is told so.
    assert_eq!(stayed, 503);
    sleep(SECOND).await;
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn ids_that_no_guard_makes_and_modern_messages_are_not_asked_for() {
    let store = MemoryStore::new();
    let a = node(&store);
    a.open().await;
    settle().await;
    let calls = store.calls();
    for id in ["x", "2F7A1C0C-5D3B-4C2E-9A7B-0D1E2F3A4B5C"] {
        assert_eq!(ping(&a, id).await, 404);
    }
    let mut modern = post(Some(UNKNOWN), PING);
    let version = HeaderValue::from_static("2026-07-28");
    modern.headers_mut().insert("mcp-protocol-version", version);
    assert_eq!(a.ask(modern).await.status, 400);
    assert_eq!(store.calls(), calls);
    assert_eq!(ping(&a, UNKNOWN).await, 404);
    assert_eq!(store.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_by_its_head_asks_nothing() {
    let store = MemoryStore::new();
    let a = node(&store);
    let mut foreign = post(Some(UNKNOWN), PING);
    let host = HeaderValue::from_static("evil.example");
    foreign.headers_mut().insert("host", host);
    assert_eq!(a.ask(foreign).await.status, 403);
    assert_eq!(store.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_owner_or_scope_finds_nothing() {
    let store = MemoryStore::new();
    let a = World::new(owned(builder(&store)).scope("mail").build().unwrap());
    let b = World::new(owned(builder(&store)).scope("mail").build().unwrap());
    let c = World::new(owned(builder(&store)).scope("files").build().unwrap());
    let id = open_by(&a, "alice").await;
    for (world, user) in [(&b, "bob"), (&c, "alice"), (&b, "bob")] {
        let answer = world.ask(by(user, post(Some(&id), PING))).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
        assert_eq!(world.inner.count(), 0);
    }
    assert_eq!(world_ping_anonymous(&b, &id).await, 404);
    assert_eq!(ping_by(&b, "alice", &id).await, 200);
}

async fn world_ping_anonymous(world: &World, id: &str) -> u16 {
    ping(world, id).await
}

#[tokio::test(start_paused = true)]
async fn what_one_node_ends_is_over_on_the_others_at_once() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    let mut on_a = stream_of(&a, &id).await;
    let mut on_b = stream_of(&b, &id).await;
    assert!(!is_over(&mut on_a) && !is_over(&mut on_b));

    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    assert!(store.is_empty());
    settle().await;
    assert!(is_over(&mut on_a) && is_over(&mut on_b));
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
    assert_eq!(b.sessions.stats().ended[&EndReason::Deleted], 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_heard_of_is_known_after_the_lease() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    sleep(LEASE).await;
    store.set_trouble(Trouble::Deaf);
    assert_eq!(b.ask(bodiless(Method::DELETE, Some(&id))).await.status, 204);
    assert_eq!(ping(&b, &id).await, 404);

    assert_eq!(ping(&a, &id).await, 200, "it can not have heard");
    sleep(LEASE + Duration::from_millis(1)).await;
    let calls = store.calls();
    assert_eq!(join_all((0..9).map(|_| ping(&a, &id))).await, [404; 9]);
    assert_eq!(store.calls(), calls + 1, "one check for all");
}

#[tokio::test(start_paused = true)]
async fn without_news_each_session_is_checked_once_a_lease() {
    let store = MemoryStore::new();
    let a = node(&store);
    let ids = [a.open_and_use().await, a.open_and_use().await];
    store.set_trouble(Trouble::Deaf);
    sleep(LEASE * 2).await;
    let calls = store.calls();
    for _ in 0..4 {
        for id in &ids {
            assert_eq!(ping(&a, id).await, 200);
        }
        sleep(SECOND).await;
    }
    // Beside them the stream of ends is asked for again.
    let checks = store.calls() - calls;
    assert!((2..=4).contains(&checks), "{checks}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_comes_back_begins_a_new_epoch() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let [gone, good] = [a.open_and_use().await, a.open_and_use().await];
    sleep(LEASE).await;
    // The stream breaks and comes back within the lease; in between a session ends.
    store.set_trouble(Trouble::Down);
    store.set_trouble(Trouble::None);
    assert_eq!(
        b.ask(bodiless(Method::DELETE, Some(&gone))).await.status,
        204
    );
    sleep(SECOND).await;
    let calls = store.calls();
    assert_eq!(ping(&a, &gone).await, 404);
    assert_eq!([ping(&a, &good).await, ping(&a, &good).await], [200; 2]);
    assert_eq!(store.calls(), calls + 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_refuses_what_only_it_can_tell() {
    let store = MemoryStore::new();
    let a = node(&store);
    let known = a.open_and_use().await;
    settle().await;
    store.set_trouble(Trouble::Down);
    a.inner.clear();

    let answer = a.ask(post(Some(UNKNOWN), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, UNAVAILABLE));
    assert_eq!(answer.headers["retry-after"], "5");
    for method in [Method::GET, Method::DELETE] {
        let answer = a.ask(bodiless(method, Some(UNKNOWN))).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.headers["retry-after"], "5");
    }
    assert_eq!(a.inner.count(), 0);
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["id"], 0);
    assert!(!answer.headers.contains_key("mcp-session-id"));

    // What is known here goes on.
    for _ in 0..35 {
        assert_eq!(ping(&a, &known).await, 200);
        sleep(SECOND).await;
    }
    sleep(SECOND).await;
    let answer = a.ask(post(Some(&known), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, UNAVAILABLE));
    assert_eq!(a.sessions.len(), 1, "a refusal ends nothing");

    store.set_trouble(Trouble::None);
    sleep(SECOND).await;
    assert_eq!(ping(&a, &known).await, 200);
    a.open().await;
    sleep(MINUTE).await;
    assert_eq!(store.len(), 2, "the opening that failed has left nothing");
}

#[tokio::test(start_paused = true)]
async fn a_session_under_way_is_not_touched_by_a_store_that_is_down() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    store.set_trouble(Trouble::Down);
    sleep(LEASE + GRACE + MINUTE).await;
    assert!(!is_over(&mut stream));
    store.set_trouble(Trouble::None);
    sleep(SECOND * 10).await;
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_silent_is_waited_for_once() {
    let store = MemoryStore::new();
    let a = node(&store);
    store.set_trouble(Trouble::Silent);
    let start = tokio::time::Instant::now();
    assert_eq!(ping(&a, UNKNOWN).await, 503);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let calls = store.calls();
    let others = (0..100).map(|_| async { a.ask(post(None, INITIALIZE)).await.status.as_u16() });
    assert_eq!(join_all(others).await, [503; 100]);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(store.calls(), calls);
    assert_eq!(a.inner.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_check_of_a_known_session_falls_back_on_the_grace() {
    let store = MemoryStore::new();
    let guard = builder(&store).store_grace(Duration::ZERO);
    let a = World::new(guard.build().unwrap());
    let id = a.open_and_use().await;
    settle().await;
    store.set_trouble(Trouble::Silent);
    assert_eq!(ping(&a, &id).await, 200);
    sleep(LEASE + SECOND).await;
    assert_eq!(ping(&a, &id).await, 503);
    store.set_trouble(Trouble::None);
    sleep(SECOND).await;
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_can_not_be_read_is_an_unknown_id() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    for value in [
        &b""[..],
        b"{}",
        br#"{"v":2,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#,
        br#"{"v":0,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#,
        &[b'['; 100_000],
        b"\xff\xfe",
    ] {
        store.overwrite(value);
        let answer = b.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    let readable = br#"{"v":1,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#;
    store.overwrite(readable);
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_forgotten_ends_what_it_vouched_for() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    store.set_trouble(Trouble::Down);
    store.forget();
    store.set_trouble(Trouble::None);
    sleep(LEASE * 2).await;
    assert_eq!(ping(&a, &id).await, 404);
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_client_leaves_while_the_store_is_told_leaves_nothing() {
    let store = MemoryStore::new();
    let a = node(&store);
    store.set_trouble(Trouble::Silent);
    assert!(
        timeout(SECOND, a.send(post(None, INITIALIZE)))
            .await
            .is_err()
    );
    assert_eq!(a.sessions.stats().opening, 0);
    store.set_trouble(Trouble::None);
    a.open().await;
    sleep(MINUTE).await;
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_dropped_unread_leaves_nothing_in_the_store() {
    let store = MemoryStore::new();
    let a = node(&store);
    let response = a.send(post(None, INITIALIZE)).await;
    assert_eq!(store.len(), 1);
    drop(response);
    settle().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_elsewhere_opens_nothing_and_overwrites_nothing() {
    let store = MemoryStore::new();
    let [a, b] = [(), ()].map(|()| {
        let guard = builder(&store).id_generator(|| "always-the-same".to_owned());
        World::new(guard.build().unwrap())
    });
    let id = a.open_and_use().await;
    let answer = b.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    sleep(SECOND).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&a, &id).await, 200);
    assert_eq!(b.sessions.stats().opening, 0);
}

/// Answers `initialize` by an event stream whose chunks are sent one by one.
fn events(chunks: &'static [&'static str]) -> impl Fn(Parts, Bytes) -> Response + Clone {
    move |_, body| {
        if !body.windows(12).any(|window| window == b"\"initialize\"") {
            return Response::new(Body::empty());
        }
        let chunks = chunks.iter().map(|chunk| Ok::<_, Infallible>(*chunk));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::iter(chunks)))
            .unwrap()
    }
}

const RESULT: &str =
    "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n";

#[tokio::test(start_paused = true)]
async fn an_id_that_an_event_stream_finds_taken_stays_the_others() {
    let store = MemoryStore::new();
    let guard = || builder(&store).id_generator(|| "always-the-same".to_owned());
    let a = World::new(guard().build().unwrap());
    let id = a.open_and_use().await;
    let b = around(guard(), events(&[": hello\n\n", RESULT]));
    let answer = b.ask(post(None, INITIALIZE)).await;
    assert!(answer.text().contains("-32603"), "{answer:?}");
    sleep(SECOND).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_opened_by_an_event_stream_is_stored_before_the_client_has_the_result() {
    let store = MemoryStore::new();
    let a = around(builder(&store), events(&[": hello\n\n", RESULT]));
    let b = node(&store);
    let response = a.send(post(None, INITIALIZE)).await;
    let id = response.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, ": hello\n\n");
    assert!(store.is_empty());
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, RESULT);
    assert_eq!(store.len(), 1);
    assert!(body.frame().await.is_none());
    assert_eq!(ping(&b, &id).await, 200);
    let session = b.sessions.get(&id).unwrap();
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_result_has_not_passed_is_not_stored() {
    let store = MemoryStore::new();
    let a = around(builder(&store).idle_timeout(MINUTE), |_, _| {
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::pending::<
                Result<Bytes, Infallible>,
            >()))
            .unwrap()
    });
    let opening = a.send(post(None, INITIALIZE)).await;
    assert!(opening.headers().contains_key("mcp-session-id"));
    sleep(30 * SECOND).await;
    assert_eq!((a.sessions.len(), store.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_store_does_not_take_becomes_an_error_in_the_stream() {
    let store = MemoryStore::new();
    let a = around(builder(&store), events(&[": hello\n\n", RESULT]));
    let response = a.send(post(None, INITIALIZE)).await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    store.set_trouble(Trouble::Silent);
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(
        rest,
        "data: {\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Session ended\"},\"id\":0}\n\n"
    );
    assert!(a.sessions.is_empty());
    store.set_trouble(Trouble::None);
    sleep(MINUTE).await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_confirmed_on_another_stream_is_stored_before_long() {
    let store = MemoryStore::new();
    let chunks = &["id: 1\ndata: \n\n"];
    let a = around(builder(&store), events(chunks));
    let b = node(&store);
    let answer = a.ask(post(None, INITIALIZE)).await;
    let id = answer.headers["mcp-session-id"].to_str().unwrap();
    assert!(store.is_empty());
    a.ask(post(Some(id), INITIALIZED)).await;
    sleep(MINUTE * 3).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&b, id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn ending_an_owners_sessions_reaches_every_node_and_what_nobody_knows() {
    let store = MemoryStore::new();
    let [a, b, c] = [(), (), ()].map(|()| World::new(owned(builder(&store)).build().unwrap()));
    let on_a = open_by(&a, "alice").await;
    let on_b = open_by(&b, "alice").await;
    let of_bob = open_by(&b, "bob").await;
    let forgotten = {
        let gone = World::new(owned(builder(&store)).build().unwrap());
        open_by(&gone, "alice").await
    };
    let mut stream = {
        let response = b
            .send(by("alice", bodiless(Method::GET, Some(&on_b))))
            .await;
        response.into_body()
    };
    settle().await;
    assert_eq!(a.sessions.end_owner(&Owner::new("alice")), 1);
    a.sessions.flush().await.unwrap();
    // From here on the owner may come back.
    let later = open_by(&a, "alice").await;
    settle().await;
    assert!(is_over(&mut stream));
    for world in [&a, &b, &c] {
        for id in [&on_a, &on_b, &forgotten] {
            assert_eq!(ping_by(world, "alice", id).await, 404);
        }
        assert_eq!(ping_by(world, "alice", &later).await, 200);
        assert_eq!(ping_by(world, "bob", &of_bob).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owners_end_that_the_store_has_not_heard_holds_here_and_is_told_again() {
    let store = MemoryStore::new();
    let [a, b] = [(), ()].map(|()| World::new(owned(builder(&store)).build().unwrap()));
    let id = open_by(&b, "alice").await;
    open_by(&a, "alice").await;
    settle().await;
    store.set_trouble(Trouble::Down);
    a.sessions.end_owner(&Owner::new("alice"));
    assert!(a.sessions.flush().await.is_err());
    assert_ne!(ping_by(&a, "alice", &id).await, 200);
    store.set_trouble(Trouble::None);
    // Not even while it is on its way.
    assert_ne!(ping_by(&a, "alice", &id).await, 200);
    sleep(LEASE * 2).await;
    a.sessions.flush().await.unwrap();
    assert_eq!(ping_by(&b, "alice", &id).await, 404);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_the_store_does_not_hear_is_503_and_over_here() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    store.set_trouble(Trouble::Down);
    let answer = a.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(ping(&a, &id).await, 404);
    store.set_trouble(Trouble::None);
    assert_eq!(
        ping(&a, &id).await,
        404,
        "it does not come back while the store is told"
    );
    sleep(LEASE * 2).await;
    assert!(store.is_empty());
    assert_eq!(ping(&b, &id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_sessions_over() {
    let store = MemoryStore::new();
    let guard = builder(&store).build().unwrap();
    let [a, b] = [World::new(guard.clone()), node(&store)];
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    let drained = tokio::spawn(guard.drain(SECOND * 10));
    yield_now().await;
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(ping(&a, &id).await, 200);
    drained.await.unwrap();
    assert!(is_over(&mut stream));
    assert_eq!(a.sessions.stats().ended[&EndReason::HandedOver], 1);
    assert_eq!(ping(&b, &id).await, 200);
    let answer = a.ask(post(Some(&id), PING)).await;
    assert_eq!(answer.status, 503, "it is not over, but this process is");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_gone_leaves_its_sessions_to_the_next() {
    let store = MemoryStore::new();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let told = ended.clone();
    let first = World::new(
        builder(&store)
            .hook(move |event: &SessionEvent<'_>| {
                if let SessionEvent::Ended { reason, .. } = event {
                    told.lock().unwrap().push(*reason);
                }
            })
            .build()
            .unwrap(),
    );
    let id = first.open_and_use().await;
    drop(first);
    assert_eq!(*ended.lock().unwrap(), [EndReason::HandedOver]);
    let second = node(&store);
    assert_eq!(ping(&second, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_as_old_as_it_is_wherever_it_goes_on() {
    let store = MemoryStore::new();
    let id = node(&store).open_and_use().await;
    let key = SessionKey::new("", &*id);
    let value = store.load(&key).await.unwrap().unwrap();
    // The clock of the world does not stand still for a test: it opened an hour ago.
    let mut record: Value = serde_json::from_slice(&value).unwrap();
    record["opened"] = (record["opened"].as_u64().unwrap() - 3_600_000).into();
    store.overwrite(record.to_string().as_bytes());
    let second = World::new(builder(&store).lifetime(90 * MINUTE).build().unwrap());
    assert_eq!(ping(&second, &id).await, 200);
    let age = second.sessions.get(&id).unwrap().age();
    assert!((60 * MINUTE..61 * MINUTE).contains(&age), "{age:?}");
    let mut stream = stream_of(&second, &id).await;
    sleep(29 * MINUTE).await;
    assert!(!is_over(&mut stream));
    sleep(2 * MINUTE).await;
    assert!(is_over(&mut stream), "the lifetime counts from the opening");
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_is_refreshed_once_in_a_tenth_of_the_idle_timeout() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    sleep(MINUTE * 4).await;
    let calls = store.calls();
    for _ in 0..300 {
        assert_eq!(ping(&a, &id).await, 200);
        sleep(SECOND * 12).await;
    }
    // An hour: a refresh each three minutes.
    let refreshes = store.calls() - calls;
    assert!((15..=21).contains(&refreshes), "{refreshes}");
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_keeps_a_session_good_on_every_node() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    sleep(MINUTE * 300).await;
    assert!(!is_over(&mut stream));
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_idle_everywhere_expires_everywhere() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    sleep(MINUTE * 40).await;
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
    assert!(store.is_empty());
    assert_eq!(a.sessions.stats().ended[&EndReason::Idle], 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_one_node_has_not_heard_of_for_long_lives_where_it_is_used() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    // Only its opening was here.
    let id = a.open().await;
    for _ in 0..40 {
        assert_eq!(ping(&b, &id).await, 200);
        sleep(MINUTE).await;
    }
    assert_eq!(a.sessions.stats().ended[&EndReason::NeverUsed], 1);
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [200; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_never_used_expires_in_the_store_too() {
    let store = MemoryStore::new();
    let a = node(&store);
    a.open().await;
    sleep(MINUTE * 7).await;
    assert!(a.sessions.is_empty());
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_node_takes_no_session_over_and_says_so() {
    let store = MemoryStore::new();
    let a = node(&store);
    let b = World::new(builder(&store).max_sessions(1).build().unwrap());
    let id = a.open_and_use().await;
    b.open_and_use().await;
    let answer = b.ask(post(Some(&id), PING)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["id"], 1);
    assert!(answer.text().contains("Too many sessions"));
    assert_eq!(ping(&a, &id).await, 200);
}

/// An inner service with session ids of its own: it knows those that it has issued.
fn with_own_ids(
    guard: SessionGuardBuilder,
    name: &'static str,
    known: &'static [&'static str],
) -> (World, Arc<Mutex<Vec<String>>>) {
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let log = deleted.clone();
    let world = around(guard, move |parts, body| {
        let id = parts.headers.get("mcp-session-id");
        let id = id.map(|id| id.to_str().unwrap().to_owned());
        match (parts.method, id) {
            (Method::POST, None) => {
                assert!(body.windows(12).any(|window| window == b"\"initialize\""));
                let mut response = json_response(200, &initialize_result(&0.into()));
                let id = HeaderValue::from_static(name);
                response.headers_mut().insert("mcp-session-id", id);
                response
            }
            (Method::DELETE, Some(id)) => {
                log.lock().unwrap().push(id);
                Response::new(Body::empty())
            }
            (_, Some(id)) if known.contains(&&*id) => {
                json_response(200, &initialize_result(&1.into()))
            }
            _ => Response::builder().status(404).body(Body::empty()).unwrap(),
        }
    });
    (world, deleted)
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_gets_its_own_id_wherever_the_session_goes_on() {
    let store = MemoryStore::new();
    let (a, of_a) = with_own_ids(builder(&store).end_inner_sessions(), "of-a", &["of-a"]);
    let (b, of_b) = with_own_ids(
        builder(&store).end_inner_sessions(),
        "of-b",
        &["of-a", "of-b"],
    );
    let id = a.open().await;
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [200; 2]);
    // The administrator ends it on one node: each inner service frees what it has.
    assert!(b.sessions.end(&id));
    b.sessions.flush().await.unwrap();
    settle().await;
    assert_eq!(*of_a.lock().unwrap(), ["of-a"]);
    assert_eq!(*of_b.lock().unwrap(), ["of-a"]);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_can_not_go_on_ends_the_session_where_it_opened_only() {
    let store = MemoryStore::new();
    let (a, _) = with_own_ids(builder(&store), "of-a", &["of-a"]);
    let (b, _) = with_own_ids(builder(&store), "of-b", &["of-b"]);
    let id = a.open().await;
    assert_eq!(ping(&a, &id).await, 200);
    let answer = b.ask(post(Some(&id), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    assert_eq!(b.sessions.stats().ended[&EndReason::InnerLost], 1);
    settle().await;
    assert_eq!(ping(&a, &id).await, 200);
    // The inner service of its own node has lost it: over for all.
    let (restarted, _) = with_own_ids(builder(&store).node_name("a"), "new", &["new"]);
    assert_eq!(ping(&restarted, &id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_nobody_asked_to_tell_hears_of_no_end() {
    let store = MemoryStore::new();
    let (a, of_a) = with_own_ids(builder(&store), "of-a", &["of-a"]);
    let (b, of_b) = with_own_ids(builder(&store), "of-b", &["of-a"]);
    let id = a.open().await;
    assert_eq!(ping(&b, &id).await, 200);
    assert!(b.sessions.end(&id));
    b.sessions.flush().await.unwrap();
    settle().await;
    assert!(of_a.lock().unwrap().is_empty() && of_b.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn handing_over_tells_no_inner_service() {
    let store = MemoryStore::new();
    let (a, deleted) = with_own_ids(builder(&store).end_inner_sessions(), "of-a", &["of-a"]);
    let id = a.open().await;
    assert_eq!(ping(&a, &id).await, 200);
    sleep(MINUTE * 31).await;
    assert_eq!(a.sessions.stats().ended[&EndReason::Idle], 1);
    assert!(
        deleted.lock().unwrap().is_empty(),
        "another node may have it in use"
    );
}

#[tokio::test(start_paused = true)]
async fn report_only_opens_without_a_session_where_the_store_is_down() {
    let store = MemoryStore::new();
    let a = World::new(builder(&store).report_only().build().unwrap());
    store.set_trouble(Trouble::Down);
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key("mcp-session-id"));
    assert_eq!(a.ask(post(Some(UNKNOWN), PING)).await.status, 200);
    assert_eq!(a.inner.count(), 2);
    let reported = a.sessions.stats().reported;
    let count: u64 = reported.values().sum();
    assert_eq!(count, 2, "{reported:?}");
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_of_what_was_restored_and_of_a_store_that_fails() {
    let store = MemoryStore::new();
    let a = node(&store);
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let guard = builder(&store).hook(move |event: &SessionEvent<'_>| {
        log.lock().unwrap().push(match event {
            SessionEvent::Restored { session, .. } => session.client_name().unwrap().to_owned(),
            SessionEvent::StoreFailed { error, .. } => error.to_string(),
            SessionEvent::Refused { refusal, .. } => refusal.reason().to_string(),
            _ => return,
        });
    });
    let b = World::new(guard.build().unwrap());
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    store.set_trouble(Trouble::Silent);
    assert_eq!(ping(&b, UNKNOWN).await, 503);
    assert_eq!(
        *told.lock().unwrap(),
        [
            "test",
            "the session store failed: it did not answer in time",
            "store_unavailable"
        ]
    );
    assert_eq!(b.sessions.stats().store_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_both_nodes_load_and_end_at_once_is_over() {
    for round in 0..40 {
        let store = MemoryStore::new();
        let [a, b] = [node(&store), node(&store)];
        // Whoever has asked nothing yet does not listen either.
        assert_eq!(ping(&b, UNKNOWN).await, 404);
        settle().await;
        let id = a.open_and_use().await;
        let loads = join_all((0..4).map(|_| ping(&b, &id)));
        let delete = async {
            for _ in 0..round % 8 {
                yield_now().await;
            }
            a.ask(bodiless(Method::DELETE, Some(&id))).await.status
        };
        let (_, deleted) = futures_util::future::join(loads, delete).await;
        assert_eq!(deleted, 204);
        settle().await;
        assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
        assert!(b.sessions.is_empty());
    }
}

#[test]
fn settings_about_a_store_that_can_not_work_are_errors_when_building() {
    let store = MemoryStore::new;
    for (guard, setting) in [
        (
            SessionGuardLayer::builder().store_lease(LEASE),
            "store_lease",
        ),
        (
            SessionGuardLayer::builder().store_grace(LEASE),
            "store_grace",
        ),
        (SessionGuardLayer::builder().node_name("a"), "node_name"),
        (builder(&store()).stateless(), "store"),
        (builder(&store()).node_name(""), "node_name"),
        (builder(&store()).node_name("a b"), "node_name"),
        (builder(&store()).node_name("x".repeat(65)), "node_name"),
    ] {
        let error = guard.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (ConfigErrorKind::Store, setting)
        );
    }
    for guard in [
        builder(&store()).store_lease(Duration::ZERO),
        builder(&store()).store_timeout(Duration::ZERO),
        builder(&store()).store_grace(Duration::MAX),
    ] {
        assert_eq!(guard.build().unwrap_err().kind(), ConfigErrorKind::Limit);
    }
    assert!(
        builder(&store())
            .store_grace(Duration::ZERO)
            .build()
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_store_names_no_node() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open().await;
    let session: McpSession = world.sessions.get(&id).unwrap();
    assert_eq!(session.opened_on(), None);
    assert!(world.sessions.flush().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_owner_is_logged_out_meanwhile_leaves_nothing_in_the_store() {
    let store = MemoryStore::new();
    let a = World::new(owned(builder(&store)).build().unwrap());
    let alice = Owner::new("alice");
    // It waits until the first logout is told, and is ended by the second.
    a.sessions.end_owner(&alice);
    let opening = a.ask(by("alice", post(None, INITIALIZE)));
    let logout = async { a.sessions.end_owner(&alice) };
    let (answer, ended) = futures_util::future::join(opening, logout).await;
    assert_eq!((answer.status.as_u16(), ended), (200, 1));
    assert_eq!(answer.json()["error"]["message"], "Session ended");
    sleep(SECOND).await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_has_left_is_not_asked_for_for_ever_because_its_owner_was_logged_out_elsewhere() {
    let store = MemoryStore::new();
    let handler = async |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
        sleep(Duration::from_millis(60)).await;
        json_response(200, &initialize_result(&message["id"]))
    };
    let guard = owned(builder(&store)).build().unwrap();
    let app = Router::new().route("/mcp", any(handler));
    let (one, other) = (
        World::around(guard.clone(), app),
        World::new(owned(builder(&store)).build().unwrap()),
    );
    one.ask(by("alice", post(None, INITIALIZE))).await;

    // The word of it comes while another session opens, and finds the store down.
    let opening = async { one.ask(by("alice", post(None, INITIALIZE))).await };
    let log_out = async {
        sleep(Duration::from_millis(10)).await;
        other.sessions.end_owner(&Owner::new("alice"));
        while !store.is_empty() {
            yield_now().await;
        }
        store.set_trouble(Trouble::Down);
        sleep(Duration::from_millis(10)).await;
        store.set_trouble(Trouble::None);
    };
    let (opened, ()) = tokio::join!(opening, log_out);
    assert_eq!((opened.status.as_u16(), store.len()), (200, 1));

    guard.drain(Duration::ZERO).await;
    sleep(SECOND).await;
    let calls = store.calls();
    sleep(MINUTE).await;
    assert_eq!(store.calls(), calls);
    assert!(one.sessions.flush().now_or_never().is_some());
}
