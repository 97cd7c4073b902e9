//! Event streams: their content, their end with the session, and the memory that they hold.

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::Method;
use http_body_util::BodyExt;
use mcp_session_guard::SessionGuardLayer;

use super::streaming;
use super::support::{
    CALL, ENDED, TestServer, answer_with, bodiless, body_of, feed, get, is_silent, next, post,
    respond, silent_stream,
};

#[tokio::test]
async fn when_a_session_ends_its_get_streams_end_cleanly_at_once() {
    let (server, bodies) = streaming(SessionGuardLayer::new());
    let id = server.open().await;
    let mut open = Vec::new();
    for resumed in [false, true] {
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let request = get(&id, resumed.then_some("1"));
        let response = server.send(request).await;
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let mut stream = response.into_body();
        events.send("data: {}\n\n").unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), "data: {}\n\n");
        assert!(is_silent(&mut stream).await);
        open.push((events, stream));
    }
    let session = server.sessions.get(&id).unwrap();
    assert_eq!((session.open_streams(), session.in_flight()), (1, 2));
    assert!(server.sessions.end(&id));
    for (_events, mut stream) in open {
        assert_eq!(next(&mut stream).await, None);
    }
    assert_eq!((session.open_streams(), session.in_flight()), (0, 0));
    assert_eq!(server.ping(&id).await, 404);
}

#[tokio::test]
async fn a_get_stream_carries_nothing_after_its_session_ends() {
    let (server, bodies) = streaming(SessionGuardLayer::new());
    let id = server.open().await;
    let endless = stream::repeat(&b"data: {}\n\n"[..]);
    bodies.send(body_of(endless)).unwrap();
    let answer = server.send(bodiless(Method::GET, Some(&id))).await;
    let mut stream = answer.into_body();
    assert_eq!(next(&mut stream).await.unwrap(), "data: {}\n\n");
    assert!(server.sessions.end(&id));
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_calls_event_stream_ends_with_one_last_event() {
    for (passed, last) in [
        (vec![], Some(ENDED)),
        (vec!["data: {}\n\n"], Some(ENDED)),
        (vec!["data: {}\r\n", "\r\n"], Some(ENDED)),
        (vec!["data: {}\n"], None),
        (vec!["data: {}\n\n", "id: 7"], None),
    ] {
        let (server, bodies) = streaming(SessionGuardLayer::new());
        let id = server.open().await;
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let mut stream = server.send(post(Some(&id), CALL)).await.into_body();
        for frame in passed {
            events.send(frame).unwrap();
            assert_eq!(next(&mut stream).await.unwrap(), frame);
        }
        assert!(is_silent(&mut stream).await);
        server.sessions.end_all();
        if let Some(last) = last {
            assert_eq!(
                next(&mut stream).await.unwrap(),
                format!("data: {last}\n\n")
            );
        }
        assert_eq!(next(&mut stream).await, None);
    }
}

#[tokio::test]
async fn an_encoded_event_stream_ends_without_a_last_event() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        answer_with("content-encoding: gzip", silent_stream())
    });
    let id = server.open().await;
    let mut stream = server.send(post(Some(&id), CALL)).await.into_body();
    server.sessions.end_all();
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn an_event_stream_with_a_declared_length_runs_to_its_end() {
    let text = format!(": {}\n\n", "x".repeat(100_000));
    for is_sized in [true, false] {
        let text = text.clone();
        let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| {
            let length = text.len().into();
            let mut answer = respond(200, "text/event-stream", text.clone());
            if !is_sized {
                *answer.body_mut() = body_of(stream::iter([text.clone()]));
                answer.headers_mut().insert("content-length", length);
            }
            async { answer }
        });
        let id = server.open().await;
        let answer = server.send(bodiless(Method::GET, Some(&id))).await;
        assert!(server.sessions.end(&id));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 100_004);
    }
}

#[tokio::test]
async fn an_open_stream_does_not_keep_a_large_request_alive() {
    let server = TestServer::opening(SessionGuardLayer::new(), None, |_| async {
        silent_stream()
    });
    let id = server.open().await;
    let padding = " ".repeat(1 << 20);
    let message = Bytes::from(format!("{CALL}{padding}"));
    let response = server.send(post(Some(&id), message.clone())).await;
    assert!(message.is_unique(), "the guard holds no other reference");
    server.sessions.end_all();
    assert_eq!(
        next(&mut response.into_body()).await.unwrap(),
        format!("data: {ENDED}\n\n")
    );
}

#[tokio::test]
async fn a_body_that_panics_or_breaks_off_is_no_longer_in_flight() {
    for breaks in [true, false] {
        let server = TestServer::opening(SessionGuardLayer::new(), None, move |_| async move {
            let frames = stream::iter([true, breaks]).map(|fine| {
                assert!(fine, "a panic of the inner service's own");
                Ok(Bytes::from("data: {}\n\n"))
            });
            let broken = stream::iter([Err(std::io::Error::other("gone"))]);
            respond(
                200,
                "text/event-stream",
                Body::from_stream(frames.chain(broken)),
            )
        });
        let id = server.open().await;
        let session = server.sessions.get(&id).unwrap();
        let response = server.send(bodiless(Method::GET, Some(&id))).await;
        assert_eq!((session.in_flight(), session.open_streams()), (1, 1));
        let read = tokio::spawn(response.into_body().collect()).await;
        assert!(read.map_or(true, |read| read.is_err()));
        assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
        assert_eq!(session.end_reason(), None);
    }
}

#[tokio::test]
async fn a_stream_dropped_by_its_client_is_no_longer_in_flight() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    let stream = server.send(bodiless(Method::GET, Some(&id))).await;
    assert_eq!((session.in_flight(), session.open_streams()), (1, 1));
    drop(stream);
    assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
}
