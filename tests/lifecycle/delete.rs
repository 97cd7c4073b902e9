//! DELETE: when the inner service is called, and the effect on open calls.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::Method;
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, SessionGuardLayer};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::support::times::MILLI;
use super::support::{
    CALL, ENDED, NOT_FOUND, TestServer, bodiless, feed, is_silent, next, post, respond,
};

/// An inner service with its own ids. It answers one call with `body` and each DELETE with
/// `delete`.
fn called_once<D, A>(media_type: &'static str, body: Body, delete: D) -> TestServer
where
    D: Fn() -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send,
{
    let call = Arc::new(Mutex::new(Some(body)));
    TestServer::opening(SessionGuardLayer::new(), Some("own"), move |request| {
        let (call, delete) = (call.clone(), delete.clone());
        async move {
            if request.method() == Method::DELETE {
                return delete().await;
            }
            let body = call.lock().unwrap().take().unwrap();
            respond(200, media_type, body)
        }
    })
}

#[tokio::test]
async fn delete_ends_a_session_without_calling_an_inner_service_that_has_no_session() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    let deleted = server.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""));
    assert_eq!(session.end_reason(), Some(EndReason::Deleted));
    let again = server.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!((again.status.as_u16(), again.text()), (404, NOT_FOUND));
    assert_eq!(server.inner.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn delete_is_forwarded_to_an_inner_service_that_has_its_own_session() {
    for (status, got, ended) in [
        (200, 204, true),
        (202, 204, true),
        (404, 204, true),
        (500, 204, true),
        (0, 204, true),
        (405, 405, false),
        (409, 409, false),
    ] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let server = TestServer::opening(SessionGuardLayer::new(), Some("own"), move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert_eq!(request.headers()["mcp-session-id"], "own");
            async move {
                match status {
                    0 => std::future::pending().await,
                    _ => respond(status, "text/plain", "x"),
                }
            }
        });
        let id = server.open().await;
        for _ in 0..2 {
            let answer = server.ask(bodiless(Method::DELETE, Some(&id))).await;
            assert_eq!(answer.status, got, "{status}");
            if ended {
                break;
            }
        }
        assert_eq!(server.sessions.get(&id).is_none(), ended);
        assert_eq!(calls.load(Ordering::SeqCst), if ended { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_delete_does_not_let_a_third_through() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = TestServer::opening(SessionGuardLayer::new(), Some("own"), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(Duration::from_secs(1)).await;
            respond(405, "text/plain", "no")
        }
    });
    let id = server.open().await;
    let delete = || server.ask(bodiless(Method::DELETE, Some(&id)));
    let (first, second, third) = tokio::join!(delete(), delete(), delete());
    assert_eq!(first.status, 405);
    assert_eq!(
        (second.status, third.status),
        (404.try_into().unwrap(), 404.try_into().unwrap())
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_option_ends_a_session_although_the_inner_service_refuses_the_delete() {
    let guard = SessionGuardLayer::builder()
        .end_on_refused_delete()
        .build()
        .unwrap();
    let server = TestServer::opening(guard, Some("own"), |_| async {
        respond(405, "text/plain", "no")
    });
    let id = server.open().await;
    assert_eq!(
        server.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    assert!(server.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_delete_runs_at_a_time_and_an_abandoned_one_also_ends_the_session() {
    let server = TestServer::opening(SessionGuardLayer::new(), Some("own"), |_| async {
        std::future::pending().await
    });
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    let left = timeout(MILLI, server.ask(bodiless(Method::DELETE, Some(&id)))).await;
    assert!(left.is_err());
    assert_eq!(session.end_reason(), Some(EndReason::Deleted));

    let id = server.open().await;
    let delete = || server.ask(bodiless(Method::DELETE, Some(&id)));
    let (first, second) = tokio::join!(delete(), delete());
    assert_eq!(first.status, 204);
    assert_eq!(second.status, 404);
}

/// The official TypeScript server ends a session's streams before it answers the DELETE.
#[tokio::test(start_paused = true)]
async fn a_call_that_the_inner_service_closes_during_a_delete_gets_a_last_event_if_the_session_ends()
 {
    for (status, last) in [(200, Some(format!("data: {ENDED}\n\n"))), (405, None)] {
        let (events, body) = feed();
        let refusal = Arc::new(Notify::new());
        let release = refusal.clone();
        let server = called_once("text/event-stream", body, move || {
            let release = release.clone();
            async move {
                release.notified().await;
                respond(status, "text/plain", "x")
            }
        });
        let id = server.open().await;
        let mut call = server.send(post(Some(&id), CALL)).await.into_body();
        events.send("data: 1\n\n").unwrap();
        assert_eq!(next(&mut call).await.unwrap(), "data: 1\n\n");
        let (_, rest) = tokio::join!(server.ask(bodiless(Method::DELETE, Some(&id))), async {
            drop(events);
            assert!(is_silent(&mut call).await, "{status}");
            refusal.notify_one();
            next(&mut call).await
        });
        assert_eq!(rest, last.map(Bytes::from), "{status}");
        assert_eq!(next(&mut call).await, None);
        let session = server.sessions.get(&id);
        assert_eq!(
            session.map(|session| session.in_flight()),
            (status == 405).then_some(0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_an_event_stream_ends_as_usual_during_a_delete() {
    let (events, body) = feed();
    let server = called_once("application/json", body, std::future::pending);
    let id = server.open().await;
    let mut call = server.send(post(Some(&id), CALL)).await.into_body();
    events.send("{}").unwrap();
    assert_eq!(next(&mut call).await.unwrap(), "{}");
    let (_, rest) = tokio::join!(server.ask(bodiless(Method::DELETE, Some(&id))), async {
        drop(events);
        timeout(MILLI, call.frame()).await
    });
    assert!(rest.expect("the end of the answer").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_delete_is_woken_when_the_delete_is_refused() {
    let (events, body) = feed();
    let server = called_once("text/event-stream", body, async || {
        sleep(2 * MILLI).await;
        respond(405, "text/plain", "no")
    });
    let id = server.open().await;
    let mut call = server.send(post(Some(&id), CALL)).await.into_body();
    let deleting = server.clone();
    let delete =
        tokio::spawn(async move { deleting.ask(bodiless(Method::DELETE, Some(&id))).await });
    yield_now().await;
    drop(events);
    let call = tokio::spawn(async move { call.frame().await.is_none() });
    assert_eq!(delete.await.unwrap().status, 405);
    let is_over = timeout(MILLI, call).await.expect("the call is woken");
    assert!(is_over.unwrap());
}
