//! Ending an owner's sessions on every node and in the store.

use std::thread;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::FutureExt;
use http::{Method, Request};
use mcp_session_guard::Owner;
use mcp_session_guard::store::{Fault, MemoryStore};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::support::times::{LEASE, MINUTE, SECOND};
use super::support::{
    INITIALIZE, PING, TestServer, bodiless, by, initialize_result, is_over, json_response, owned,
    post,
};
use super::{builder, named, open_by, ping_by, settle};

#[tokio::test(start_paused = true)]
async fn ending_an_owners_sessions_reaches_every_node_and_sessions_that_no_node_knows() {
    let store = MemoryStore::new();
    let [a, b, c] = [(), (), ()].map(|()| TestServer::build(owned(builder(&store))));
    let on_a = open_by(&a, "alice").await;
    let on_b = open_by(&b, "alice").await;
    let of_bob = open_by(&b, "bob").await;
    let forgotten = {
        let dropped_node = TestServer::build(owned(builder(&store)));
        open_by(&dropped_node, "alice").await
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
    // From here on the owner may open sessions again.
    let later = open_by(&a, "alice").await;
    settle().await;
    assert!(is_over(&mut stream));
    for server in [&a, &b, &c] {
        for id in [&on_a, &on_b, &forgotten] {
            assert_eq!(ping_by(server, "alice", id).await, 404);
        }
        assert_eq!(ping_by(server, "alice", &later).await, 200);
        assert_eq!(ping_by(server, "bob", &of_bob).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owners_end_that_the_store_missed_holds_on_this_node_and_is_repeated() {
    let store = MemoryStore::new();
    let [a, b] = [(), ()].map(|()| TestServer::build(owned(builder(&store))));
    let id = open_by(&b, "alice").await;
    open_by(&a, "alice").await;
    settle().await;
    store.set_fault(Fault::Down);
    a.sessions.end_owner(&Owner::new("alice"));
    assert!(a.sessions.flush().await.is_err());
    assert_ne!(ping_by(&a, "alice", &id).await, 200);
    store.set_fault(Fault::None);
    // The id stays refused while the removal is repeated.
    assert_ne!(ping_by(&a, "alice", &id).await, 200);
    sleep(LEASE * 2).await;
    a.sessions.flush().await.unwrap();
    assert_eq!(ping_by(&b, "alice", &id).await, 404);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_owner_is_logged_out_meanwhile_leaves_nothing_in_the_store() {
    let store = MemoryStore::new();
    let a = TestServer::build(owned(builder(&store)));
    let alice = Owner::new("alice");
    // The opening waits until the first logout reaches the store. The second logout ends it.
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
async fn released_sessions_cause_no_store_calls_after_their_owner_is_logged_out_elsewhere() {
    let store = MemoryStore::new();
    let handler = async |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
        sleep(Duration::from_millis(60)).await;
        json_response(200, &initialize_result(&message["id"]))
    };
    let guard = owned(builder(&store)).build().unwrap();
    let (one, other) = (
        TestServer::around(guard.clone(), handler),
        TestServer::build(owned(builder(&store))),
    );
    one.ask(by("alice", post(None, INITIALIZE))).await;

    // The event about it arrives while another session opens, and the store is down by then.
    let opening = async { one.ask(by("alice", post(None, INITIALIZE))).await };
    let log_out = async {
        sleep(Duration::from_millis(10)).await;
        other.sessions.end_owner(&Owner::new("alice"));
        while !store.is_empty() {
            yield_now().await;
        }
        store.set_fault(Fault::Down);
        sleep(Duration::from_millis(10)).await;
        store.set_fault(Fault::None);
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

#[tokio::test(start_paused = true)]
async fn an_owner_logged_out_from_another_thread_can_open_again() {
    let a = TestServer::build(owned(builder(&MemoryStore::new())));
    let sessions = a.sessions.clone();
    let logout = thread::spawn(move || sessions.end_owner(&Owner::new("alice")));
    logout.join().unwrap();
    open_by(&a, "alice").await;
}

#[tokio::test(start_paused = true)]
async fn refused_requests_keep_no_session_alive() {
    let store = MemoryStore::new();
    let a = TestServer::build(owned(builder(&store)));
    let id = open_by(&a, "alice").await;
    for _ in 0..12 {
        sleep(SECOND * 300).await;
        // The request has no owner, so the guard refuses it.
        assert_eq!(a.ask(post(Some(&id), PING)).await.status, 404);
    }
    assert!(store.is_empty());
    assert_eq!(a.sessions.stats().restored, 0);
    let answer = a.ask(by("alice", post(Some(&id), PING))).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_on_another_node_is_not_evicted_where_it_is_idle() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let guard = owned(named(&store, name)).max_sessions_per_owner(2);
        TestServer::build(guard)
    });
    let id = open_by(&a, "alice").await;
    // The session is used once on `b`, then only on `a`.
    let ping = || by("alice", post(Some(&id), PING));
    assert_eq!(b.ask(ping()).await.status, 200);
    let stream = bodiless(Method::GET, Some(&id));
    let mut stream = a.send(by("alice", stream)).await.into_body();
    sleep(SECOND * 600).await;
    let _ = (open_by(&b, "alice").await, open_by(&b, "alice").await);
    sleep(SECOND).await;
    assert!(!is_over(&mut stream));
    assert_eq!(a.ask(ping()).await.status, 200);
}
