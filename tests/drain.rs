//! The drain: how a guard shuts down.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use futures_util::{FutureExt, stream};
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, Eras, SessionGuardLayer};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use support::times::SECOND;
use support::{ENDED, INITIALIZE, TestServer, bodiless, event_stream, hello_stream, opened, post};

const CALL: &str = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call","params":{"name":"slow"}}"#;
const SHUTTING_DOWN: &str = "The server is shutting down: try again, it or another will answer.";

/// Opens sessions, answers `tools/call` with an endless stream or not at all, and anything else at
/// once.
fn slow(guard: SessionGuardLayer) -> TestServer {
    let handler = async |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        if parts.method == Method::GET || text.contains("stream") {
            return hello_stream();
        }
        if text.contains("slow") {
            std::future::pending::<()>().await;
        }
        opened()
    };
    TestServer::around(guard, handler)
}

fn accepting_modern() -> SessionGuardLayer {
    SessionGuardLayer::builder()
        .eras(Eras::Both)
        .build()
        .unwrap()
}

fn modern(method: &str) -> Request<Body> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c1","method":"{method}","params":{{"name":"stream","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
    );
    let mut request = post(None, body);
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", "stream"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// A stream whose first event has been read.
async fn begun(response: Response) -> Body {
    let mut body = response.into_body();
    let first = timeout(SECOND, body.frame()).await.unwrap().unwrap();
    assert_eq!(first.unwrap().into_data().unwrap(), ": hello\n\n");
    body
}

/// The rest of a stream, which must end within a second.
async fn rest(body: Body) -> String {
    let rest = timeout(SECOND, to_bytes(body, usize::MAX)).await;
    String::from_utf8(rest.expect("the stream ends").unwrap().into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_openings_keeps_sessions_and_ends_everything_at_its_deadline() {
    let guard = SessionGuardLayer::new();
    let server = slow(guard.clone());
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    let get = begun(server.send(bodiless(Method::GET, Some(&id))).await).await;
    let streaming = CALL.replace("slow", "stream");
    let streaming = begun(server.send(post(Some(&id), streaming)).await).await;
    let waiting = tokio::spawn({
        let (server, id) = (server.clone(), id.clone());
        async move { server.ask(post(Some(&id), CALL)).await }
    });
    let begun = Instant::now();
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    sleep(SECOND / 2).await;

    let refused = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.headers["retry-after"], "10",
        "the seconds left, rounded up"
    );
    assert_eq!(
        refused.text(),
        format!(
            r#"{{"jsonrpc":"2.0","error":{{"code":-32603,"message":"{SHUTTING_DOWN}"}},"id":0}}"#
        )
    );
    sleep(8 * SECOND).await;
    let refused = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(refused.headers["retry-after"], "2");
    assert_eq!(server.ping(&id).await, 200, "a live session continues");
    assert!(!waiting.is_finished());

    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert_eq!(session.end_reason(), Some(EndReason::Drained));
    assert!(server.sessions.is_empty());
    assert_eq!(rest(get).await, "");
    assert_eq!(rest(streaming).await, format!("data: {ENDED}\n\n"));
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ENDED));
    assert_eq!(server.ping(&id).await, 404);
    let refused = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_early_when_nothing_is_open() {
    let guard = SessionGuardLayer::new();
    let server = TestServer::new(guard.clone());
    let begun = Instant::now();
    guard.drain(10 * SECOND).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);

    let guard = SessionGuardLayer::new();
    let server = TestServer::new(guard.clone());
    let ids = [server.open().await, server.open().await];
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    for id in &ids {
        sleep(SECOND).await;
        assert!(!drain.is_finished());
        server.ask(bodiless(Method::DELETE, Some(id))).await;
    }
    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn modern_event_streams_end_with_the_drain_too() {
    let guard = accepting_modern();
    let server = slow(guard.clone());
    let listen = begun(server.send(modern("subscriptions/listen")).await).await;
    let call = begun(server.send(modern("tools/call")).await).await;
    let left = server.send(modern("tools/call")).await;
    let begun = Instant::now();
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    sleep(SECOND).await;
    drop(left);
    let during = server.send(modern("tools/call")).await;
    assert_eq!(
        during.status(),
        200,
        "modern requests continue until the deadline"
    );
    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert_eq!(rest(listen).await, "");
    let last = format!(
        "data: {{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":-32603,\"message\":\"{SHUTTING_DOWN}\"}},\"id\":\"c1\"}}\n\n"
    );
    assert_eq!(rest(call).await, last);
    assert_eq!(
        rest(during.into_body()).await,
        last,
        "the inner stream is never polled"
    );
    let late = server.ask(modern("subscriptions/listen")).await;
    assert_eq!(
        (late.status.as_u16(), &late.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn a_modern_event_stream_reports_its_end() {
    let guard = accepting_modern();
    let server = slow(guard.clone());
    let mut listen = begun(server.send(modern("subscriptions/listen")).await).await;
    assert!(!listen.is_end_stream());
    guard.drain(SECOND).await;
    assert!(listen.frame().await.is_none());
    assert!(
        listen.is_end_stream(),
        "although the inner stream is not at its end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_when_the_last_modern_stream_is_dropped() {
    let guard = accepting_modern();
    let server = slow(guard.clone());
    let streams = [
        server.send(modern("subscriptions/listen")).await,
        server.send(modern("tools/call")).await,
    ];
    let begun = Instant::now();
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    for stream in streams {
        sleep(SECOND).await;
        assert!(!drain.is_finished());
        drop(stream);
    }
    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_modern_call_in_flight_when_a_drain_begins_gets_its_answer() {
    let guard = accepting_modern();
    let result = "data: {\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}\n\n";
    let handler = async move || {
        sleep(3 * SECOND).await;
        event_stream(stream::iter([result]))
    };
    let server = TestServer::around(guard.clone(), handler);
    let call = tokio::spawn(async move { server.ask(modern("tools/call")).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    guard.drain(10 * SECOND).await;
    assert_eq!(begun.elapsed(), 2 * SECOND);
    assert_eq!(call.await.unwrap().text(), result);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_during_a_drain_wakes_no_modern_stream() {
    let guard = accepting_modern();
    let polls = Arc::<AtomicUsize>::default();
    let counted = polls.clone();
    let handler = async move |request: Request<Body>| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if body == INITIALIZE {
            return opened();
        }
        let frames = stream::poll_fn(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Poll::<Option<Bytes>>::Pending
        });
        event_stream(frames)
    };
    let server = TestServer::around(guard.clone(), handler);
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(server.open().await);
    }
    let listen = server.send(modern("subscriptions/listen")).await;
    tokio::spawn(listen.into_body().collect());
    tokio::spawn(guard.drain(60 * SECOND));
    yield_now().await;
    let before = polls.load(Ordering::SeqCst);
    assert_ne!(before, 0);
    for id in ids {
        assert!(server.sessions.end(&id));
        yield_now().await;
    }
    assert_eq!(polls.load(Ordering::SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn an_opening_in_flight_at_the_deadline_is_answered_and_opens_no_session() {
    let guard = SessionGuardLayer::new();
    let handler = async || std::future::pending::<Response>().await;
    let server = TestServer::around(guard.clone(), handler);
    let opening = tokio::spawn({
        let server = server.clone();
        async move { server.ask(post(None, INITIALIZE)).await }
    });
    sleep(SECOND).await;
    guard.drain(10 * SECOND).await;
    let answer = timeout(SECOND, opening).await.unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, &*ENDED.replace("\"c1\"", "0"))
    );
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    assert!(server.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_begins_while_an_opening_fails_finishes_early() {
    type Draining = Pin<Box<dyn Future<Output = ()> + Send>>;
    let draining = Arc::new(Mutex::new(None::<Draining>));
    let polled = draining.clone();
    let guard = SessionGuardLayer::builder()
        .id_generator(move || {
            if let Some(drain) = &mut *polled.lock().unwrap() {
                assert_eq!(drain.as_mut().now_or_never(), None, "a slot is reserved");
                return String::new();
            }
            "fine".to_owned()
        })
        .build()
        .unwrap();
    let server = TestServer::new(guard.clone());
    *draining.lock().unwrap() = Some(Box::pin(guard.drain(10 * SECOND)));
    let begun = Instant::now();
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
    let drain = draining.lock().unwrap().take().unwrap();
    drain.await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_counts_and_guards_with_shared_sessions_drain_together() {
    let files = SessionGuardLayer::new();
    let mail = SessionGuardLayer::with_sessions(&files.sessions())
        .scope("mail")
        .build()
        .unwrap();
    let (server, shared) = (
        TestServer::new(files.clone()),
        TestServer::new(mail.clone()),
    );
    let session = server.open().await;
    let session = server.sessions.get(&session).unwrap();
    let first = tokio::spawn(files.drain(60 * SECOND));
    sleep(SECOND).await;
    let refused = shared.ask(post(None, INITIALIZE)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["retry-after"]),
        (503, &"59".parse().unwrap())
    );
    mail.drain(5 * SECOND).await;
    assert_eq!(session.end_reason(), Some(EndReason::Drained));
    timeout(SECOND, first)
        .await
        .expect("no session is left to wait for")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_seconds_until_the_earliest_deadline() {
    let guard = SessionGuardLayer::new();
    let server = TestServer::new(guard.clone());
    let _open = server.open().await;
    let mut drains = Vec::new();
    for (patience, left) in [(60, "60"), (10, "10"), (30, "10")] {
        drains.push(tokio::spawn(guard.drain(patience * SECOND)));
        tokio::task::yield_now().await;
        let refused = server.ask(post(None, INITIALIZE)).await;
        assert_eq!(refused.headers["retry-after"], left);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_modern_event_stream_ends_without_a_last_event() {
    let guard = accepting_modern();
    let handler = async || ([("content-encoding", "gzip")], hello_stream());
    let server = TestServer::around(guard.clone(), handler);
    let call = begun(server.send(modern("tools/call")).await).await;
    guard.drain(10 * SECOND).await;
    assert_eq!(rest(call).await, "");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_drain_wakes_a_silent_modern_stream() {
    let guard = accepting_modern();
    let server = slow(guard.clone());
    let listen = begun(server.send(modern("subscriptions/listen")).await).await;
    let listen = tokio::spawn(to_bytes(listen, usize::MAX));
    guard.drain(10 * SECOND).await;
    let rest = timeout(SECOND, listen).await.expect("the stream ends");
    assert_eq!(rest.unwrap().unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_drain_ends_no_session() {
    let guard = SessionGuardLayer::new();
    let server = TestServer::new(guard.clone());
    let id = server.open().await;
    assert!(timeout(SECOND, guard.drain(10 * SECOND)).await.is_err());
    sleep(20 * SECOND).await;
    assert_eq!(server.ping(&id).await, 200);
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 503);
}
