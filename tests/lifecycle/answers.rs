//! Changes that the guard makes to answers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::Method;
use http_body::Body as _;
use mcp_session_guard::SessionGuardLayer;
use tokio::time::{Instant, timeout};

use super::support::times::MINUTE;
use super::support::{
    CALL, INITIALIZED, TestServer, answer_with, bodiless, body_of, event_stream, next, post,
    respond, silent,
};

#[tokio::test]
async fn an_empty_answer_to_a_notification_or_response_becomes_202() {
    for (message, given, got) in [
        (INITIALIZED, 200, 202),
        (INITIALIZED, 204, 202),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 200, 202),
        (INITIALIZED, 400, 400),
        (CALL, 200, 200),
    ] {
        // The inner service may end its body in any of these ways.
        for frames in [None, Some(vec![]), Some(vec![Bytes::new(), Bytes::new()])] {
            let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| {
                let body = frames.clone();
                let body = body.map_or_else(Body::empty, |frames| body_of(stream::iter(frames)));
                async move { respond(given, "", body) }
            });
            let id = server.open().await;
            let status = server.ask(post(Some(&id), message)).await.status;
            assert_eq!(status, got, "{message} {given}");
        }
    }
    let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| async {
        respond(200, "text/plain", body_of(stream::iter(["so", "me"])))
    });
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), INITIALIZED)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "some"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_notification_that_stalls_after_its_head_passes_after_five_seconds() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        respond(200, "text/plain", silent())
    });
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    let begun = Instant::now();
    let answer = timeout(MINUTE, server.send(post(Some(&id), INITIALIZED))).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(session.in_flight(), 1);
    drop(answer);
    assert_eq!(session.in_flight(), 0);
}

#[tokio::test]
async fn event_stream_headers_set_by_the_inner_service_stay() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        let response = respond(200, "text/event-stream", "data: {}\n\n");
        let response = answer_with("cache-control: no-store", response);
        answer_with("x-accel-buffering: yes", response)
    });
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), CALL)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-accel-buffering"], "yes");
    assert_eq!(answer.text(), "data: {}\n\n");
}

#[tokio::test]
async fn an_event_stream_is_marked_as_unbuffered_whatever_other_headers_it_has() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        let mut response = respond(200, "text/event-stream", "data: {}\n\n");
        for name in ["x-other", "x-accel-limit-rate", "expires", "vary"] {
            let value = "1".parse().unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    });
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), CALL)).await;
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
}

#[tokio::test]
async fn an_answer_whose_type_only_resembles_an_event_stream_gets_no_event_stream_headers() {
    // The second type has the length of `text/event-stream`.
    for content_type in ["text/event-streams", "text/event-string"] {
        let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| async move {
            respond(200, content_type, "data: {}\n\n")
        });
        let id = server.open().await;
        let answer = server.ask(post(Some(&id), CALL)).await;
        assert!(!answer.headers.contains_key("x-accel-buffering"));
    }
}

#[tokio::test]
async fn a_large_answer_reports_its_length_and_an_event_stream_does_not() {
    let large = "x".repeat(100_000);
    let server = TestServer::opening(SessionGuardLayer::new(), None, move |request| {
        let answer = match *request.method() {
            Method::GET => event_stream(stream::iter(["data: 1

"])),
            _ => respond(200, "application/json", large.clone()),
        };
        async { answer }
    });
    let id = server.open().await;
    let mut answer = server.send(post(Some(&id), CALL)).await.into_body();
    assert_eq!(answer.size_hint().exact(), Some(100_000));
    assert_eq!(next(&mut answer).await.unwrap().len(), 100_000);
    assert!(answer.is_end_stream());
    assert_eq!(answer.size_hint().exact(), Some(0));

    let mut stream = server
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    assert_eq!(stream.size_hint().exact(), None);
    assert_eq!(next(&mut stream).await.unwrap(), "data: 1\n\n");
    assert_eq!(next(&mut stream).await, None);
    assert!(stream.is_end_stream());
}
