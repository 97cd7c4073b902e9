//! The effect of a session's end on requests in flight.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use mcp_session_guard::{McpMessage, McpSession, RefusalReason, SessionGuardLayer};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, ServiceExt, service_fn};

use super::SetOnDrop;
use super::support::{
    Answer, CALL, ENDED, INITIALIZE, INITIALIZED, NOT_FOUND, PING, TestServer, bodiless, feed,
    next, opened, post, reason, respond, session_id,
};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;

#[tokio::test]
async fn a_begun_body_that_is_not_an_event_stream_runs_to_its_end() {
    let (events, body) = feed();
    let body = Arc::new(Mutex::new(Some(body)));
    let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { respond(200, "application/json", body) }
    });
    let id = server.open().await;
    let mut answer = server.send(post(Some(&id), CALL)).await.into_body();
    let session = server.sessions.get(&id).unwrap();
    assert_eq!(session.in_flight(), 1);
    session.end();
    events.send("{}").unwrap();
    assert_eq!(next(&mut answer).await.unwrap(), "{}");
    drop(events);
    assert_eq!(next(&mut answer).await, None);
    assert_eq!(session.in_flight(), 0);
}

#[tokio::test]
async fn a_request_still_in_the_inner_service_is_dropped_and_answered_by_the_guard() {
    for (request, status, body) in [
        (CALL, 200, ENDED),
        (INITIALIZED, 404, NOT_FOUND),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 404, NOT_FOUND),
    ] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| {
            let flag = SetOnDrop(flag.clone());
            async move {
                let _flag = flag;
                std::future::pending().await
            }
        });
        let id = server.open().await;
        let asked = tokio::spawn({
            let (server, id) = (server.clone(), id.clone());
            async move {
                let response = server.send(post(Some(&id), request)).await;
                let reason = reason(&response);
                (reason, Answer::of(response).await)
            }
        });
        let session = server.sessions.get(&id).unwrap();
        while session.in_flight() == 0 {
            yield_now().await;
        }
        assert!(!dropped.load(Ordering::SeqCst));
        session.end();
        let (reason, answer) = asked.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body));
        assert!(matches!(
            reason,
            Some(RefusalReason::SessionEnded | RefusalReason::SessionNotFound)
        ));
        assert!(dropped.load(Ordering::SeqCst));
        assert_eq!(session.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_result_that_arrives_after_the_end_is_never_delivered() {
    let (gate, waits) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opened, waiting) = (gate.clone(), waits.clone());
    let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| {
        let (gate, waits) = (opened.clone(), waiting.clone());
        async move {
            waits.notify_one();
            gate.notified().await;
            respond(
                200,
                "application/json",
                r#"{"jsonrpc":"2.0","id":"c1","result":{}}"#,
            )
        }
    });
    let id = server.open().await;
    let asked = tokio::spawn({
        let (server, id) = (server.clone(), id.clone());
        async move { server.ask(post(Some(&id), CALL)).await }
    });
    waits.notified().await;
    // Both happen before the guard polls the call again.
    server.sessions.end(&id);
    gate.notify_one();
    assert_eq!(asked.await.unwrap().text(), ENDED);
}

#[tokio::test]
async fn a_handler_that_ends_its_own_session_still_answers() {
    let handler = async |session: McpSession, message: McpMessage| {
        if message.method() == Some("ping") {
            session.end();
        }
        respond(200, "application/json", RESULT)
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, RESULT));
    assert_eq!(server.ping(&id).await, 404);
}

#[tokio::test]
async fn the_answer_of_a_handler_whose_session_is_deleted_is_dropped() {
    let app = Arc::new(OnceLock::<Router>::new());
    let inside = app.clone();
    let server = TestServer::opening(SessionGuardLayer::new(), None, move |request| {
        let app = inside.get().unwrap().clone();
        async move {
            let session = McpSession::from_extensions(request.extensions()).unwrap();
            let delete = bodiless(Method::DELETE, Some(session.id().as_str()));
            assert_eq!(app.oneshot(delete).await.unwrap().status(), 204);
            respond(200, "application/json", "{}")
        }
    });
    app.set(server.app.clone()).unwrap();
    let id = server.open().await;
    assert_eq!(server.ask(post(Some(&id), CALL)).await.text(), ENDED);
}

#[tokio::test]
async fn a_message_whose_session_ends_while_it_waits_for_the_inner_service_never_reaches_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let guard = SessionGuardLayer::new();
    let sessions = guard.sessions();
    let inner = service_fn(move |request: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if McpMessage::from_extensions(request.extensions())
                .is_some_and(|message| message.method() == Some("tools/call"))
            {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(opened())
        }
    });
    let service = guard.layer(ConcurrencyLimit::new(inner, 1));
    let opened = service.clone().oneshot(post(None, INITIALIZE)).await;
    let opened = Answer::of(opened.unwrap()).await;
    let id = session_id(&opened.headers);
    let (sender, body) = feed();
    // The first request releases its permit while its body is incomplete, and the second takes the
    // permit.
    let mut waiting = Vec::new();
    for body in [body, Body::from(CALL)] {
        let answer = service.clone().oneshot(post(Some(id), body));
        waiting.push(tokio::spawn(async move {
            Answer::of(answer.await.unwrap()).await
        }));
        yield_now().await;
    }
    sender.send(PING).unwrap();
    drop(sender);
    yield_now().await;
    assert!(sessions.end(id));
    for answer in waiting {
        assert!(answer.await.unwrap().text().contains("Session ended"));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2, "initialize and the call");
}

#[tokio::test]
async fn a_request_whose_session_ends_while_its_body_is_read_is_404() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    server.inner.clear();
    let (rest, body) = feed();
    let asked = tokio::spawn({
        let (server, id) = (server.clone(), id.clone());
        async move { server.ask(post(Some(&id), body)).await }
    });
    let session = server.sessions.get(&id).unwrap();
    while session.in_flight() == 0 {
        yield_now().await;
    }
    session.end();
    rest.send(PING).unwrap();
    drop(rest);
    assert_eq!(asked.await.unwrap().text(), NOT_FOUND);
    assert_eq!(server.inner.count(), 0);
}
