//! A store that fails, is silent, or has lost its sessions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::future::join_all;
use http::{Method, Request};
use mcp_session_guard::store::{Fault, MemoryStore, StoreOptions};
use mcp_session_guard::{EndReason, SessionEvent, SessionGuardLayer};
use serde_json::Value;
use tokio::time::sleep;

use super::partly::{Call, partly};
use super::support::times::{GRACE, LEASE, MINUTE, SECOND};
use super::support::{
    INITIALIZE, PING, TestServer, UNKNOWN, bodiless, initialize_result, is_over, json_response,
    post,
};
use super::{UNAVAILABLE, builder, node, ping, settle, stream_of};

#[tokio::test(start_paused = true)]
async fn unknown_ids_and_openings_are_refused_while_the_store_is_down() {
    let store = MemoryStore::new();
    let a = node(&store);
    let known = a.open_and_use().await;
    settle().await;
    store.set_fault(Fault::Down);
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

    // Sessions that this node knows continue within the lease and the grace.
    for _ in 0..35 {
        assert_eq!(ping(&a, &known).await, 200);
        sleep(SECOND).await;
    }
    sleep(SECOND).await;
    let answer = a.ask(post(Some(&known), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, UNAVAILABLE));
    assert_eq!(a.sessions.len(), 1, "a refusal ends nothing");

    store.set_fault(Fault::None);
    sleep(SECOND).await;
    assert_eq!(ping(&a, &known).await, 200);
    a.open().await;
    sleep(MINUTE).await;
    assert_eq!(store.len(), 2, "the failed opening has left nothing");
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_survives_a_store_that_is_down() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    store.set_fault(Fault::Down);
    sleep(LEASE + GRACE + MINUTE).await;
    assert!(!is_over(&mut stream));
    store.set_fault(Fault::None);
    sleep(SECOND * 10).await;
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_guard_waits_for_a_silent_store_once() {
    let store = MemoryStore::new();
    let a = node(&store);
    store.set_fault(Fault::Silent);
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
async fn the_check_of_a_known_session_falls_back_to_the_grace() {
    let store = MemoryStore::new();
    let guard = builder(&store).store(StoreOptions::new(store.clone()).grace(Duration::ZERO));
    let a = TestServer::build(guard);
    let id = a.open_and_use().await;
    settle().await;
    store.set_fault(Fault::Silent);
    assert_eq!(ping(&a, &id).await, 200);
    sleep(LEASE + SECOND).await;
    assert_eq!(ping(&a, &id).await, 503);
    store.set_fault(Fault::None);
    sleep(SECOND).await;
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_the_store_has_lost_end() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    store.set_fault(Fault::Down);
    store.forget();
    store.set_fault(Fault::None);
    sleep(LEASE * 2).await;
    assert_eq!(ping(&a, &id).await, 404);
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
}

#[tokio::test(start_paused = true)]
async fn report_only_passes_openings_without_a_session_while_the_store_is_down() {
    let store = MemoryStore::new();
    let a = TestServer::build(builder(&store).report_only());
    store.set_fault(Fault::Down);
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
async fn hooks_are_notified_of_restored_sessions_and_of_store_failures() {
    let store = MemoryStore::new();
    let a = node(&store);
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let guard = builder(&store).hook(move |event: &SessionEvent<'_>| {
        log.lock().unwrap().push(match event {
            SessionEvent::Restored { session, .. } => session.client_name().unwrap().to_owned(),
            SessionEvent::StoreFailed { error, .. } => error.to_string(),
            SessionEvent::Refused { refusal, .. } => refusal.reason().to_string(),
            _ => return,
        });
    });
    let b = TestServer::build(guard);
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    store.set_fault(Fault::Silent);
    assert_eq!(ping(&b, UNKNOWN).await, 503);
    assert_eq!(
        *events.lock().unwrap(),
        [
            "test",
            "the session store failed: it did not answer in time",
            "store_unavailable"
        ]
    );
    assert_eq!(b.sessions.stats().store_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_still_answers_lookups() {
    let store = MemoryStore::new();
    let a = node(&store);
    let full = partly(&store, |call| matches!(call, Call::Create));
    for _ in 0..20 {
        let id = a.open_and_use().await;
        assert_eq!(full.ask(post(None, INITIALIZE)).await.status, 503);
        assert_eq!(full.ping(&id).await, 200);
        sleep(SECOND / 5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn openings_that_never_reached_the_store_leave_no_removals_to_repeat() {
    let store = MemoryStore::new();
    // The inner service is slow, so many openings pass before the guard knows that the store is
    // down.
    let handler = async |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        sleep(SECOND / 2).await;
        let message: Value = serde_json::from_slice(&body).unwrap();
        json_response(200, &initialize_result(&message["id"]))
    };
    let guard = SessionGuardLayer::builder().store(store.clone());
    let a = TestServer::around(guard.build().unwrap(), handler);
    store.set_fault(Fault::Down);
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
    store.set_fault(Fault::None);
    sleep(SECOND * 30).await;
    let repeated = store.calls() - before;
    assert!(
        repeated < 200,
        "a minute of openings, of which two a second called the store: {repeated}"
    );
}
