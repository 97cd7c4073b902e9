//! The session limit: how a slot is reserved and freed, and which sessions make room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, McpSession, SessionGuardLayer};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{advance, sleep, timeout};

use super::RESULT;
use super::support::times::{DAY, MINUTE};
use super::support::{INITIALIZE, TestServer, bodiless, next, opened, post, respond};

#[tokio::test]
async fn an_inner_error_a_panic_and_a_client_that_leaves_free_the_slot() {
    let mode = Arc::new(AtomicUsize::new(0));
    let (chosen, forever) = (mode.clone(), Arc::new(Notify::new()));
    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .build()
        .unwrap();
    let sessions = guard.sessions();
    let inner = tower::service_fn(move |_: Request<Body>| {
        let (mode, forever) = (chosen.load(Ordering::SeqCst), forever.clone());
        async move {
            match mode {
                0 => Err("broken".to_owned()),
                1 => panic!("broken"),
                2 => {
                    forever.notified().await;
                    Err(String::new())
                }
                _ => Ok(respond(200, "application/json", RESULT)),
            }
        }
    });
    let service = tower::Layer::layer(&guard, inner);
    let open = || tower::ServiceExt::oneshot(service.clone(), post(None, INITIALIZE));

    assert_eq!(open().await.unwrap_err(), "broken");
    mode.store(1, Ordering::SeqCst);
    assert!(tokio::spawn(open()).await.unwrap_err().is_panic());
    mode.store(2, Ordering::SeqCst);
    assert!(timeout(Duration::from_millis(5), open()).await.is_err());
    mode.store(3, Ordering::SeqCst);
    assert_eq!(open().await.unwrap().status(), 200);
    assert_eq!(sessions.len(), 0, "the answer was dropped unread");
    let opened = open().await.unwrap();
    assert_eq!(sessions.len(), 1, "live from the head");
    opened.into_body().collect().await.unwrap();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_session_revoked_while_it_opens_does_not_open() {
    let (gate, handles) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(None)));
    let (waits, stored) = (gate.clone(), handles.clone());
    let handler = async move |session: McpSession| {
        *stored.lock().unwrap() = Some(session);
        let _ = waits.acquire().await.unwrap();
        respond(200, "application/json", RESULT)
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    let opening = tokio::spawn({
        let server = server.clone();
        async move { server.ask(post(None, INITIALIZE)).await }
    });
    while handles.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let session = handles.lock().unwrap().take().unwrap();
    assert_eq!(
        server.sessions.get(session.id().as_str()).map(|_| ()),
        None,
        "not open yet"
    );
    assert!(session.end());
    gate.add_permits(1);
    let answer = opening.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (
            200,
            r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":0}"#
        )
    );
    assert!(!answer.headers.contains_key("mcp-session-id"));
    assert_eq!(server.sessions.len(), 0);
}

#[tokio::test]
async fn a_thousand_openings_at_once_never_exceed_the_limit() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = {
        let (running, most) = (running.clone(), most.clone());
        async move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            opened()
        }
    };
    let guard = SessionGuardLayer::builder()
        .max_sessions(10)
        .build()
        .unwrap();
    let server = TestServer::around(guard, slow);
    let answers = join_all((0..1000).map(|_| {
        let server = server.clone();
        tokio::spawn(async move { server.ask(post(None, INITIALIZE)).await })
    }))
    .await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(Result::unwrap)
        .partition(|answer| answer.status == 200);
    assert_eq!(most.load(Ordering::SeqCst), 10);
    assert_eq!(
        (opened.len(), refused.len(), server.sessions.len()),
        (10, 990, 10)
    );
    for answer in refused {
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.headers["retry-after"].as_bytes()
            ),
            (503, &b"5"[..])
        );
        assert_eq!(
            (&answer.json()["error"]["code"], &answer.json()["id"]),
            (&json!(-32603), &json!(0))
        );
    }
}

#[tokio::test]
async fn when_the_session_limit_is_reached_the_oldest_never_used_session_is_evicted() {
    let guard = SessionGuardLayer::builder().max_sessions(3);
    let server = TestServer::build(guard);
    let used = server.open_and_use().await;
    let (second, third) = (server.open().await, server.open().await);
    let evicted = server.sessions.get(&second).unwrap();
    let fourth = server.open().await;
    assert_eq!(evicted.end_reason(), Some(EndReason::Evicted));
    for (id, status) in [(used, 200), (second, 404), (third, 200), (fourth, 200)] {
        assert_eq!(server.ping(&id).await, status);
    }
    assert_eq!(
        server.ask(post(None, INITIALIZE)).await.status,
        503,
        "all are in use"
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_session_limit_is_reached_expired_sessions_end_first() {
    let guard = SessionGuardLayer::builder().max_sessions(2);
    let server = TestServer::build(guard);
    server.open_and_use().await;
    sleep(Duration::from_secs(29 * 60)).await;
    let newer = server.open_and_use().await;
    sleep(Duration::from_secs(60)).await;
    server.open().await;
    assert_eq!(server.ping(&newer).await, 200);
}

/// Looking at all sessions for each opening would make a flood expensive.
#[tokio::test(start_paused = true)]
async fn a_full_guard_looks_for_expired_sessions_once_a_second() {
    let guard = SessionGuardLayer::builder().max_sessions(2);
    let server = TestServer::build(guard);
    let used = server.open_and_use().await;
    // Between two sweeps of the background task.
    sleep(Duration::from_millis(500)).await;
    let idle = server.open_and_use().await;
    let idle = server.sessions.get(&idle).unwrap();
    sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(server.ping(&used).await, 200);
    // This look finds no expired session.
    sleep(Duration::from_millis(59_600)).await;
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
    // The opening does not find a session that has expired since, until a full second has passed.
    // Failed attempts do not restart that second.
    for wait in [500, 0, 499] {
        sleep(Duration::from_millis(wait)).await;
        assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
    }
    assert_eq!(idle.end_reason(), None);
    sleep(Duration::from_millis(1)).await;
    let newest = server.open_and_use().await;
    assert_eq!(idle.end_reason(), Some(EndReason::Idle));
    for id in [&used, &newest] {
        assert_eq!(server.ping(id).await, 200);
    }
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn an_opening_does_not_wait_until_all_expired_sessions_have_ended() {
    let guard = SessionGuardLayer::builder().max_sessions(500);
    let server = TestServer::build(guard);
    let used = server.open_and_use().await;
    // Between two sweeps of the background task.
    sleep(Duration::from_secs(1)).await;
    for _ in 1..500 {
        server.open_and_use().await;
    }
    sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(server.ping(&used).await, 200);
    sleep(Duration::from_secs(60)).await;
    server.open().await;
    let ended = server.sessions.stats().ended[&EndReason::Idle];
    assert!((1..499).contains(&ended), "{ended} have expired");
}

#[tokio::test]
async fn a_flood_of_openings_never_exceeds_the_limit() {
    let guard = SessionGuardLayer::builder().max_sessions(100);
    let server = TestServer::build(guard);
    for _ in 0..20_000 {
        server.inner.clear();
        server.open().await;
        assert!(server.sessions.len() <= 100);
    }
}

#[tokio::test(start_paused = true)]
async fn six_openings_a_second_for_an_hour_do_not_block_new_clients() {
    let guard = SessionGuardLayer::builder().max_sessions(1000);
    let server = TestServer::build(guard);
    let used = server.open_and_use().await;
    for _ in 0..6 * 60 * 60 {
        server.open().await;
        server.inner.clear();
        sleep(Duration::from_millis(166)).await;
        if server.sessions.len().is_multiple_of(100) {
            server.ping(&used).await;
        }
    }
    let newest = server.open_and_use().await;
    assert_eq!(server.ping(&newest).await, 200);
    assert_eq!(server.ping(&used).await, 200);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_half_open_silent_streams_do_not_block_new_clients_forever() {
    let server = TestServer::new(SessionGuardLayer::new());
    let mut streams = Vec::new();
    for _ in 0..10_000 {
        let id = server.open_and_use().await;
        streams.push(server.send(bodiless(Method::GET, Some(&id))).await);
        server.inner.clear();
    }
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
    // Advance in one step, so that no sweep runs in between.
    advance(DAY + 30 * MINUTE).await;
    let newest = server.open_and_use().await;
    assert_eq!(server.ping(&newest).await, 200);
    assert_eq!(next(&mut streams.remove(0).into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_make_room_for_as_many_openings_at_once() {
    let guard = SessionGuardLayer::builder().max_sessions(2_000);
    let server = TestServer::build(guard);
    for _ in 0..2_000 {
        server.open_and_use().await;
        server.inner.clear();
    }
    advance(30 * MINUTE).await;
    for _ in 0..2_000 {
        server.open().await;
        server.inner.clear();
    }
    let stats = server.sessions.stats();
    assert_eq!(stats.open, 2_000);
    assert_eq!(stats.ended[&EndReason::Idle], 2_000);
    assert_eq!(stats.ended.get(&EndReason::Evicted), None);
}
