//! Request bodies: limits, deadlines, and the bytes and fields that the inner service gets.

mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::{Limited, StreamBody};
use mcp_session_guard::{RefusalReason, SessionGuardLayer};
use tokio::time::{Instant, sleep};

use support::{INITIALIZE, PING, TestServer, post, reason, with};

/// A body of these frames, each sent `pause` after the previous one.
fn slow(frames: Vec<Bytes>, pause: Duration) -> Body {
    Body::from_stream(stream::iter(frames).then(move |frame| async move {
        sleep(pause).await;
        Ok::<_, io::Error>(frame)
    }))
}

/// A message padded with white space to `length` bytes, in frames of `step` bytes.
fn padded(length: usize, step: usize) -> Vec<Bytes> {
    let mut text = PING.to_owned();
    text.push_str(&" ".repeat(length - text.len()));
    text.into_bytes()
        .chunks(step)
        .map(Bytes::copy_from_slice)
        .collect()
}

async fn refusal_of(server: &TestServer, request: Request<Body>) -> Option<RefusalReason> {
    reason(&server.send(request).await)
}

#[tokio::test]
async fn a_body_of_one_frame_reaches_the_inner_service_without_a_copy() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let bytes = Bytes::from(PING.to_owned());
    server.ask(post(Some(&id), bytes.clone())).await;
    let seen = server.inner.calls().pop().unwrap();
    assert_eq!(seen.body.as_ptr(), bytes.as_ptr());
}

#[tokio::test]
async fn a_body_of_many_frames_gets_its_own_content_length() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("mcp-session-id", "x".parse().unwrap());
    let frames = PING
        .as_bytes()
        .chunks(1)
        .map(|byte| Frame::data(Bytes::copy_from_slice(byte)))
        .chain([Frame::trailers(trailers)])
        .map(Ok::<_, io::Error>);
    let mut request = post(
        Some(&id),
        Body::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>()))),
    );
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("trailer", "mcp-session-id"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(server.ask(request).await.status, 200);
    let seen = server.inner.calls().pop().unwrap();
    assert_eq!(seen.body, PING);
    assert_eq!(seen.headers["content-length"], PING.len().to_string());
    for name in ["transfer-encoding", "expect", "trailer", "mcp-session-id"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn each_header_about_the_transfer_of_a_body_is_dropped() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("trailer", "x-sum"),
    ] {
        let mut request = post(Some(&id), PING);
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(server.ask(request).await.status, 200);
        let seen = server.inner.calls().pop().unwrap();
        assert!(!seen.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn the_body_limit_counts_received_bytes_not_declared_ones() {
    let guard = SessionGuardLayer::builder().body_limit(1000);
    let server = TestServer::build(guard);
    let id = server.open_and_use().await;
    server.inner.clear();
    for step in [1001, 100, 1] {
        let request = with(
            "content-length: 40",
            post(Some(&id), slow(padded(1001, step), Duration::ZERO)),
        );
        assert_eq!(
            refusal_of(&server, request).await,
            Some(RefusalReason::BodyTooLarge)
        );
    }
    assert_eq!(server.inner.count(), 0);
    assert_eq!(
        refusal_of(
            &server,
            post(Some(&id), slow(padded(1000, 1), Duration::ZERO))
        )
        .await,
        None
    );
}

#[tokio::test]
async fn a_limit_of_an_outer_layer_is_413_too() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let body = Body::new(Limited::new(slow(padded(100, 10), Duration::ZERO), 50));
    assert_eq!(
        refusal_of(&server, post(Some(&id), body)).await,
        Some(RefusalReason::BodyTooLarge)
    );
    assert_eq!(server.ping(&id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_read_as_long_as_it_makes_progress() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let second = Duration::from_secs(1);
    for (frames, pause, expected) in [
        // All within 30 s.
        (padded(100, 10), 2 * second, None),
        // A byte per second is less than 16 KiB in 30 s.
        (padded(100, 1), second, Some(RefusalReason::BodyLate)),
        // 16 KiB every 29 s, for 116 s in all.
        (padded(64 << 10, 16 << 10), 29 * second, None),
        // 16 KiB every 29 s, for 145 s in all.
        (
            padded(80 << 10, 16 << 10),
            29 * second,
            Some(RefusalReason::BodyLate),
        ),
        // 16 KiB every 31 s.
        (
            padded(32 << 10, 16 << 10),
            31 * second,
            Some(RefusalReason::BodyLate),
        ),
    ] {
        let started = Instant::now();
        assert_eq!(
            refusal_of(&server, post(Some(&id), slow(frames, pause))).await,
            expected
        );
        // Reading and dropping the rest takes up to two more seconds.
        assert!(started.elapsed() <= 122 * second);
    }
    assert_eq!(server.sessions.get(&id).unwrap().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_endless_empty_frames_does_not_escape_the_deadline() {
    let server = TestServer::new(SessionGuardLayer::new());
    let body = Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::new())));
    // The guard yields often enough for a clock that tokio advances only while all tasks are idle.
    let asked = tokio::spawn(async move { refusal_of(&server, post(None, body)).await });
    for _ in 0..40 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.await.unwrap(), Some(RefusalReason::BodyLate));
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_read_and_dropped_for_two_seconds_on_http_1() {
    let server = TestServer::new(SessionGuardLayer::new());
    let second = Duration::from_secs(1);
    let cases: [(&str, Body, http::Version, Duration); 5] = [
        (
            "whole",
            slow(padded(100, 50), second / 2),
            http::Version::HTTP_11,
            second,
        ),
        (
            "endless",
            Body::from_stream(endless(second / 2)),
            http::Version::HTTP_11,
            2 * second,
        ),
        (
            "large",
            Body::from_stream(endless(Duration::ZERO)),
            http::Version::HTTP_11,
            second,
        ),
        (
            "http 2",
            slow(padded(100, 50), second),
            http::Version::HTTP_2,
            Duration::ZERO,
        ),
        (
            "expect",
            slow(padded(100, 50), second),
            http::Version::HTTP_11,
            Duration::ZERO,
        ),
    ];
    for (name, body, version, at_most) in cases {
        let mut request = post(Some("unknown"), body);
        *request.version_mut() = version;
        if name == "expect" {
            request
                .headers_mut()
                .insert("expect", "100-continue".parse().unwrap());
        }
        let started = Instant::now();
        assert_eq!(server.ask(request).await.status, 404);
        assert!(
            started.elapsed() <= at_most,
            "{name} took {:?}",
            started.elapsed()
        );
        if name == "whole" {
            assert_eq!(started.elapsed(), second);
        }
    }
}

fn endless(pause: Duration) -> impl Stream<Item = io::Result<Bytes>> {
    stream::repeat(()).then(move |()| async move {
        sleep(pause).await;
        Ok(Bytes::from_static(&[b' '; 4096]))
    })
}

/// A body of `frames` frames of 100 bytes, all ready at once, and the number of frames that were
/// read.
fn counted(frames: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let frames = stream::iter(0..frames).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(Bytes::from_static(&[b' '; 100]))
    });
    (Body::from_stream(frames), taken)
}

#[tokio::test]
async fn a_refused_body_is_dropped_up_to_twice_the_limit() {
    let guard = SessionGuardLayer::builder().body_limit(100).build();
    let server = TestServer::new(guard.unwrap());
    // The guard refuses an unknown session before it reads a byte, and a body over the limit after
    // it.
    for (session, status, most) in [(Some("unknown"), 404, 3), (None, 413, 5)] {
        let (body, taken) = counted(9);
        assert_eq!(server.ask(post(session, body)).await.status, status);
        assert_eq!(taken.load(Ordering::SeqCst), most);
    }
}

#[tokio::test]
async fn the_body_of_a_delete_is_dropped_before_the_answer() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open().await;
    let (body, taken) = counted(3);
    let mut request = post(Some(&id), body);
    *request.method_mut() = Method::DELETE;
    assert_eq!(server.ask(request).await.status, 204);
    assert_eq!(taken.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_session_still_works_after_any_bad_body() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let deep = "[".repeat(100_000);
    let many = format!("[{}]", vec![PING; 10_000].join(","));
    let utf_16: Vec<u8> = PING.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [
        deep.into_bytes(),
        many.into_bytes(),
        utf_16,
        b"\xff\xfe".to_vec(),
        INITIALIZE.into(),
        b"[]".to_vec(),
        b"[[]]".to_vec(),
        format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
            "i".repeat(4 << 20)
        )
        .into_bytes(),
    ] {
        assert!(
            server
                .ask(post(Some(&id), body))
                .await
                .status
                .is_client_error()
        );
        assert_eq!(server.ping(&id).await, 200);
    }
    assert_eq!(server.sessions.get(&id).unwrap().in_flight(), 0);
}
