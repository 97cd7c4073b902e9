//! Session ids: the guard's generator, and the inner service's own ids.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request};
use mcp_session_guard::{Refusal, RefusalReason, SessionGuardLayer};

use super::support::{INITIALIZE, PING, TestServer, answer_with, bodiless, post, respond};
use super::{ERROR, RESULT, limit_of_one};

#[tokio::test]
async fn the_inner_services_own_id_is_removed_from_answers_that_open_no_session() {
    let server = limit_of_one(|| {
        answer_with(
            "mcp-session-id: inner",
            respond(400, "application/json", ERROR),
        )
    });
    let passed = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(passed.status, 400);
    assert!(!passed.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_inner_id_sent_twice_counts_once() {
    for values in [&["own", "own"][..], &["own, own"], &["own,own", "own,own"]] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let inner = async move |request: Request<Body>| {
            let id = request.headers().get("mcp-session-id").cloned();
            log.lock().unwrap().push(id);
            let mut response = respond(200, "application/json", RESULT);
            for value in values {
                let value = value.parse().unwrap();
                response.headers_mut().append("mcp-session-id", value);
            }
            response
        };
        let server = TestServer::around(SessionGuardLayer::new(), inner);
        let id = server.open().await;
        assert_eq!(server.ping(&id).await, 200);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[1].as_ref().unwrap(), "own", "{values:?}");
    }
}

#[tokio::test]
async fn an_inner_service_keeps_its_own_id_and_no_client_sees_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorded = seen.clone();
    let handler = async move |request: Request<Body>| {
        let id = request.headers().get("mcp-session-id").cloned();
        recorded
            .lock()
            .unwrap()
            .push((request.method().clone(), id));
        answer_with(
            "mcp-session-id: inner-7",
            respond(200, "application/json", RESULT),
        )
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    let opened = server.ask(post(None, INITIALIZE)).await;
    let id = opened.session_id();
    assert_ne!(id, "inner-7");
    assert_eq!(opened.headers.get_all("mcp-session-id").iter().count(), 1);
    let used = server.ask(post(Some(&id), PING)).await;
    assert!(!used.headers.contains_key("mcp-session-id"));
    assert_eq!(server.ask(post(Some("inner-7"), PING)).await.status, 404);
    assert_eq!(
        server.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    let own = Some("inner-7".parse().unwrap());
    let expected = [
        (Method::POST, None),
        (Method::POST, own.clone()),
        (Method::DELETE, own),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_generator_that_repeats_an_id_never_gives_away_a_session() {
    let guard = SessionGuardLayer::builder().id_generator(|| "same".to_owned());
    let server = TestServer::build(guard);
    let id = server.open_and_use().await;
    let refused = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(server.inner.count(), 2, "the inner service is not called");
    assert_eq!(
        (id.as_str(), server.ping("same").await.as_u16()),
        ("same", 200)
    );
}

#[tokio::test]
async fn a_generator_that_fails_after_the_build_is_503_and_frees_the_slot() {
    let fails = Arc::new(AtomicBool::new(false));
    let chosen = fails.clone();
    let generator = move || match chosen.load(Ordering::SeqCst) {
        true => "not valid".to_owned(),
        false => "valid".to_owned(),
    };
    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .id_generator(generator);
    let server = TestServer::build(guard);
    fails.store(true, Ordering::SeqCst);
    let response = server.send(post(None, INITIALIZE)).await;
    assert_eq!(response.status(), 503);
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.reason(), RefusalReason::IdGeneratorFailed);
    fails.store(false, Ordering::SeqCst);
    assert_eq!(server.open().await, "valid");
}
