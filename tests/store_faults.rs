//! A store of which only a part fails, and ends that meet each other half-way (contract §7).

mod support;

use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use axum::routing::any;
use futures_util::FutureExt;
use futures_util::future::join;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use mcp_session_guard::store::{
    Ends, McpSessionStore, MemoryStore, NewSession, Refresh, SessionKey, StoreError, StoreFuture,
    Trouble,
};
use mcp_session_guard::{Owner, SessionGuardBuilder, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use support::{
    INITIALIZE, INITIALIZED, PING, World, bodiless, initialize_result, json_response, post,
};

const SECOND: Duration = Duration::from_secs(1);
const LOST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"lost"}"#;

/// A store that refuses some calls.
#[derive(Debug)]
struct Partly {
    store: MemoryStore,
    refuses: fn(Call<'_>) -> bool,
}

#[derive(Clone, Copy)]
enum Call<'a> {
    Create,
    Remove(&'a SessionKey),
}

impl Partly {
    fn answer<'a, T: 'a>(&self, call: Call<'_>, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match (self.refuses)(call) {
            true => Box::pin(async { Err(StoreError::new("it refuses this")) }),
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

    fn ends(&self, lease: Duration) -> Option<StoreFuture<'_, Ends>> {
        self.store.ends(lease)
    }
}

fn node(store: impl McpSessionStore) -> World {
    World::new(SessionGuardLayer::builder().store(store).build().unwrap())
}

fn partly(store: &MemoryStore, refuses: fn(Call<'_>) -> bool) -> World {
    let store = store.clone();
    node(Partly { store, refuses })
}

fn owned(store: &MemoryStore) -> SessionGuardBuilder {
    let guard = SessionGuardLayer::builder().store(store.clone());
    guard.owner(|request: &Parts| {
        let user = request.headers.get("user").map(HeaderValue::to_str);
        Ok(user.transpose()?.map(Owner::new))
    })
}

fn by_alice(mut request: Request<Body>) -> Request<Body> {
    let alice = HeaderValue::from_static("alice");
    request.headers_mut().insert("user", alice);
    request
}

async fn open_by_alice(world: &World) -> String {
    let opened = world.ask(by_alice(post(None, INITIALIZE))).await;
    let id = opened.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let used = world.ask(by_alice(post(Some(&id), INITIALIZED))).await;
    assert_eq!(used.status, 202);
    id
}

/// Around an inner service that keeps sessions of its own, takes a second for a DELETE, and does not
/// know its session any more when it is asked for what is lost.
fn around_own_ids(guard: SessionGuardLayer) -> World {
    let handler = async |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        if parts.method == Method::DELETE {
            sleep(SECOND).await;
            return empty(204);
        }
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap();
        match message["method"].as_str() {
            Some("initialize") => {
                let mut response = json_response(200, &initialize_result(&message["id"]));
                let id = HeaderValue::from_static("inner");
                response.headers_mut().insert("mcp-session-id", id);
                response
            }
            Some("lost") => empty(404),
            Some("ping") => {
                let pong = json!({ "jsonrpc": "2.0", "id": message["id"], "result": {} });
                json_response(200, &pong)
            }
            _ => empty(202),
        }
    };
    World::around(guard, Router::new().route("/mcp", any(handler)))
}

fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn is_over(stream: &mut Body) -> bool {
    matches!(stream.frame().now_or_never(), Some(None))
}

/// How many seconds pass until a stream is over.
async fn seconds_until_over(stream: &mut Body) -> u64 {
    let began = Instant::now();
    while !is_over(stream) && began.elapsed() < SECOND * 2000 {
        sleep(SECOND).await;
    }
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_can_keep_no_more_still_tells_of_what_it_has() {
    let store = MemoryStore::new();
    let a = node(store.clone());
    let full = partly(&store, |call| matches!(call, Call::Create));
    for _ in 0..20 {
        let id = a.open_and_use().await;
        assert_eq!(full.ask(post(None, INITIALIZE)).await.status, 503);
        assert_eq!(full.ping(&id).await, 200);
        sleep(SECOND / 5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_used_in_the_last_moment_is_not_lost() {
    let store = MemoryStore::new();
    let a = node(store);
    // Whatever looks after sessions looks now and then since the first one opened.
    let _first = a.open_and_use().await;
    sleep(SECOND).await;
    let id = a.open().await;
    sleep(SECOND * 299 + SECOND / 2).await;
    for _ in 0..12 {
        assert_eq!(a.ping(&id).await, 200);
        sleep(SECOND * 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_counts_everywhere_though_the_session_was_lost_here_meanwhile() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let guard = SessionGuardLayer::builder().store(store.clone());
        around_own_ids(guard.node_name(name).build().unwrap())
    });
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let lost = async {
        sleep(SECOND / 2).await;
        b.ask(post(Some(&id), LOST)).await
    };
    let delete = b.ask(bodiless(Method::DELETE, Some(&id)));
    let (deleted, lost) = join(delete, lost).await;
    assert_eq!([deleted.status.as_u16(), lost.status.as_u16()], [204, 404]);
    assert!(store.is_empty());
    assert_eq!([a.ping(&id).await, b.ping(&id).await], [404, 404]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_counts_everywhere_though_a_drain_hands_the_session_over_meanwhile() {
    let store = MemoryStore::new();
    let guard = |name| {
        let guard = SessionGuardLayer::builder().store(store.clone());
        guard.node_name(name).build().unwrap()
    };
    let a = around_own_ids(guard("a"));
    let draining = guard("b");
    let b = around_own_ids(draining.clone());
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let drain = async {
        sleep(SECOND / 10).await;
        draining.drain(SECOND / 2).await;
    };
    let delete = b.ask(bodiless(Method::DELETE, Some(&id)));
    let (deleted, ()) = join(delete, drain).await;
    assert_eq!(deleted.status, 204);
    assert!(store.is_empty());
    assert_eq!(a.ping(&id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_though_the_end_came_while_nobody_could_be_told() {
    for idle in [SECOND * 30 * 60, SECOND * 24 * 60 * 60] {
        let store = MemoryStore::new();
        let [a, b] = ["a", "b"].map(|name| {
            let guard = SessionGuardLayer::builder().store(store.clone());
            World::new(guard.node_name(name).idle_timeout(idle).build().unwrap())
        });
        let id = a.open_and_use().await;
        sleep(SECOND * 200).await;
        let mut stream = a.send(bodiless(Method::GET, Some(&id))).await.into_body();
        store.set_trouble(Trouble::Down);
        store.set_trouble(Trouble::None);
        let deleted = b.ask(bodiless(Method::DELETE, Some(&id))).await;
        assert_eq!(deleted.status, 204);
        assert!(seconds_until_over(&mut stream).await <= 5);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_elsewhere_is_not_evicted_where_it_is_idle() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let guard = owned(&store).node_name(name).max_sessions_per_owner(2);
        World::new(guard.build().unwrap())
    });
    let id = open_by_alice(&a).await;
    // Once on b; then on a again, all the time.
    let ping = || by_alice(post(Some(&id), PING));
    assert_eq!(b.ask(ping()).await.status, 200);
    let stream = bodiless(Method::GET, Some(&id));
    let mut stream = a.send(by_alice(stream)).await.into_body();
    sleep(SECOND * 600).await;
    let _ = (open_by_alice(&b).await, open_by_alice(&b).await);
    sleep(SECOND).await;
    assert!(!is_over(&mut stream));
    assert_eq!(a.ask(ping()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn ends_that_fail_hold_up_no_others() {
    let store = MemoryStore::new();
    // As a cluster of which one part is down.
    fn is_lost(key: &SessionKey) -> bool {
        key.id().as_bytes()[0].is_multiple_of(3)
    }
    let a = partly(
        &store,
        |call| matches!(call, Call::Remove(key) if is_lost(key)),
    );
    for _ in 0..300 {
        let id = a.open_and_use().await;
        let expected = match is_lost(&SessionKey::new("", &*id)) {
            true => 503,
            false => 204,
        };
        let deleted = a.ask(bodiless(Method::DELETE, Some(&id))).await;
        assert_eq!(deleted.status, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_store_refuses_is_told_of_once() {
    let store = MemoryStore::new();
    let a = partly(&store, |call| matches!(call, Call::Remove(_)));
    let id = a.open_and_use().await;
    let deleted = a.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(deleted.status, 503);
    sleep(SECOND * 60).await;
    assert_eq!(a.sessions.stats().store_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn openings_that_the_store_never_saw_leave_nothing_to_be_told() {
    let store = MemoryStore::new();
    // Slow, so that many are let in before the store is known to be down.
    let handler = async |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        sleep(SECOND / 2).await;
        let message: Value = serde_json::from_slice(&body).unwrap();
        json_response(200, &initialize_result(&message["id"]))
    };
    let guard = SessionGuardLayer::builder().store(store.clone());
    let router = Router::new().route("/mcp", any(handler));
    let a = World::around(guard.build().unwrap(), router);
    store.set_trouble(Trouble::Down);
    let mut openings = Vec::new();
    for _ in 0..6000 {
        let a = a.clone();
        let opening = async move { a.ask(post(None, INITIALIZE)).await.status };
        openings.push(tokio::spawn(opening));
        sleep(SECOND / 100).await;
    }
    for opening in openings {
        assert_eq!(opening.await.unwrap(), 503);
    }
    let before = store.calls();
    store.set_trouble(Trouble::None);
    sleep(SECOND * 30).await;
    let told = store.calls() - before;
    assert!(
        told < 200,
        "a minute of openings, two asked a second: {told}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_was_logged_out_from_another_thread_opens_again() {
    let a = World::new(owned(&MemoryStore::new()).build().unwrap());
    let sessions = a.sessions.clone();
    let logout = thread::spawn(move || sessions.end_owner(&Owner::new("alice")));
    logout.join().unwrap();
    open_by_alice(&a).await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_refused_keep_no_session_alive() {
    let store = MemoryStore::new();
    let a = World::new(owned(&store).build().unwrap());
    let id = open_by_alice(&a).await;
    for _ in 0..12 {
        sleep(SECOND * 300).await;
        // Nobody's, so refused.
        assert_eq!(a.ask(post(Some(&id), PING)).await.status, 404);
    }
    assert!(store.is_empty());
    assert_eq!(a.sessions.stats().restored, 0);
    let answer = a.ask(by_alice(post(Some(&id), PING))).await;
    assert_eq!(answer.status, 404);
}
