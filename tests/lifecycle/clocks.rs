//! A session's clocks (never used, idle, lifetime) and the sweep that ends expired sessions.

use std::sync::mpsc;
use std::time::Duration;

use axum::body::Body;
use http::Method;
use mcp_session_guard::{EndReason, SessionGuardLayer};
use tokio::runtime::{Builder, Handle};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{advance, sleep};

use super::streaming;
use super::support::times::{DAY, MILLI, MINUTE};
use super::support::{
    CALL, INITIALIZE, INITIALIZED, PING, TestServer, bodiless, feed, next, post, respond,
};

#[tokio::test(start_paused = true)]
async fn a_session_expires_exactly_at_the_idle_limit() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    sleep(30 * MINUTE - MILLI).await;
    assert_eq!(
        server.ping(&id).await,
        200,
        "a millisecond before the limit the session is refreshed"
    );
    sleep(30 * MINUTE).await;
    assert_eq!(server.ping(&id).await, 404);
    let id = server.open_and_use().await;
    sleep(30 * MINUTE + MILLI).await;
    assert_eq!(server.ping(&id).await, 404);
}

#[test]
fn many_sessions_expire_although_every_blocking_thread_is_busy() {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    runtime.block_on(async {
        let busy = spawn_blocking(move || blocked.recv());
        let server = TestServer::new(SessionGuardLayer::new());
        for _ in 0..1_100 {
            server.open().await;
        }
        // Time does not pass by itself while a blocking thread runs.
        for _ in 0..6 * 60 {
            advance(Duration::from_secs(1)).await;
            yield_now().await;
        }
        assert_eq!(server.sessions.len(), 0);
        drop(release);
        assert!(busy.await.unwrap().is_err());
    });
}

#[tokio::test(start_paused = true)]
async fn the_sweep_ends_an_idle_session_and_reports_why() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    assert_eq!(session.ended().await, EndReason::Idle);
    assert!((30 * MINUTE..31 * MINUTE).contains(&session.age()));
    assert!(server.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_never_used_ends_after_five_minutes_even_with_an_open_stream() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open().await;
    let stream = server.send(bodiless(Method::GET, Some(&id))).await;
    let session = server.sessions.get(&id).unwrap();
    sleep(5 * MINUTE - MILLI).await;
    assert_eq!(session.end_reason(), None);
    assert_eq!(session.ended().await, EndReason::NeverUsed);
    assert_eq!(next(&mut stream.into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_never_refreshes_the_idle_clock() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    sleep(29 * MINUTE).await;
    for body in [INITIALIZE, "{", "[]"] {
        assert_eq!(server.ask(post(Some(&id), body)).await.status, 400);
    }
    let mut request = post(Some(&id), PING);
    request.headers_mut().remove("content-type");
    assert_eq!(server.ask(request).await.status, 415);
    sleep(MINUTE).await;
    assert_eq!(server.ping(&id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_ends_an_active_session_and_its_open_streams() {
    let guard = SessionGuardLayer::builder().max_lifetime(60 * MINUTE);
    let server = TestServer::build(guard);
    let id = server.open_and_use().await;
    let stream = server.send(bodiless(Method::GET, Some(&id))).await;
    for _ in 0..59 {
        sleep(MINUTE).await;
        assert_eq!(server.ping(&id).await, 200);
    }
    sleep(MINUTE).await;
    assert_eq!(server.ping(&id).await, 404);
    assert_eq!(next(&mut stream.into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_longer_than_the_idle_limit_keeps_its_session() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        sleep(60 * MINUTE).await;
        respond(200, "application/json", "{}")
    });
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    assert_eq!(server.ask(post(Some(&id), CALL)).await.status, 200);
    assert_eq!((session.idle(), session.in_flight()), (Duration::ZERO, 0));
    sleep(30 * MINUTE - MILLI).await;
    assert_eq!(session.end_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_does_not_count_as_a_silent_stream_after_a_day() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        sleep(25 * 60 * MINUTE).await;
        respond(200, "application/json", "{}")
    });
    let id = server.open().await;
    assert_eq!(server.ask(post(Some(&id), CALL)).await.text(), "{}");
    assert_eq!(server.ping(&id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_suspends_the_idle_clock_until_it_has_been_silent_for_a_day() {
    let (server, bodies) = streaming(SessionGuardLayer::new());
    let (events, body) = feed();
    let id = server.open().await;
    bodies.send(Body::empty()).unwrap();
    server.ask(post(Some(&id), INITIALIZED)).await;
    bodies.send(body).unwrap();
    let mut stream = server
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    let session = server.sessions.get(&id).unwrap();
    sleep(DAY - MINUTE).await;
    events.send(": still here\n\n").unwrap();
    next(&mut stream).await;
    sleep(DAY).await;
    assert_eq!((session.end_reason(), session.open_streams()), (None, 1));
    sleep(30 * MINUTE - MILLI).await;
    assert_eq!(session.end_reason(), None);
    assert_eq!(session.ended().await, EndReason::Idle);
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_request_and_the_sweep_never_both_win() {
    for _ in 0..200 {
        let guard = SessionGuardLayer::builder().idle_timeout(10 * MILLI);
        let server = TestServer::build(guard);
        let id = server.open_and_use().await;
        let session = server.sessions.get(&id).unwrap();
        let (status, ()) = tokio::join!(
            async {
                sleep(9 * MILLI).await;
                server.ping(&id).await
            },
            async {
                sleep(10 * MILLI).await;
            }
        );
        assert_eq!(status == 200, session.end_reason().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn neither_sessions_nor_guards_leave_a_task_behind() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open().await;
    assert_eq!(tasks(), 1);
    assert!(server.sessions.end(&id));
    sleep(MINUTE).await;
    assert_eq!(tasks(), 0);

    server.open().await;
    drop(server);
    yield_now().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_never_used_sessions_end_by_themselves() {
    let server = TestServer::new(SessionGuardLayer::new());
    for _ in 0..3_000 {
        server.open().await;
        server.inner.clear();
    }
    sleep(6 * MINUTE).await;
    let stats = server.sessions.stats();
    assert_eq!(stats.open, 0);
    assert_eq!(stats.ended[&EndReason::NeverUsed], 3_000);
}
