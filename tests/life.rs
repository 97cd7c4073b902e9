//! A session's life: its clocks, its streams, and every way in which it ends.

mod support;

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::any;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, Request, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use mcp_session_guard::{
    EndReason, McpMessage, McpSession, Refusal, RefusalReason, SessionGuardLayer,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, ServiceExt, service_fn};

use support::{Answer, INITIALIZE, INITIALIZED, PING, World, bodiless, post};

const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CALL: &str = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call"}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;
const ENDED: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":"c1"}"#;

fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

/// A guard around an inner service that opens sessions, with an id of its own where `own` says
/// one, and answers everything else by `answer`.
fn world<F, Fut>(guard: SessionGuardLayer, own: Option<&'static str>, answer: F) -> World
where
    F: Fn(Request<Body>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send,
{
    let handler = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if body == INITIALIZE {
            let mut response = respond(200, "application/json", RESULT);
            if let Some(id) = own {
                response
                    .headers_mut()
                    .insert("mcp-session-id", id.parse().unwrap());
            }
            return response;
        }
        answer(Request::from_parts(parts, Body::from(body))).await
    };
    World::around(guard, Router::new().route("/mcp", any(handler)))
}

/// An event stream that the test feeds; it ends when the sender goes.
fn feed() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let frames = stream::unfold(receiver, async |mut receiver| {
        let frame = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), receiver))
    });
    (sender, Body::from_stream(frames))
}

/// Answers the one call with this body, and a DELETE as the test says. Has ids of its own.
fn called_once<D, A>(media_type: &'static str, body: Body, delete: D) -> World
where
    D: Fn() -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send,
{
    let call = Arc::new(std::sync::Mutex::new(Some(body)));
    world(SessionGuardLayer::new(), Some("own"), move |request| {
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

/// Answers each request with the event stream that the test has put there.
fn streaming(guard: SessionGuardLayer) -> (World, mpsc::UnboundedSender<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Body>();
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    let world = world(guard, None, move |_| {
        let body = receiver.lock().unwrap().try_recv();
        async move { respond(200, "text/event-stream", body.unwrap_or_default()) }
    });
    (world, sender)
}

async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = timeout(Duration::from_secs(5), body.frame())
        .await
        .expect("a frame or the end");
    Some(frame?.unwrap().into_data().unwrap())
}

async fn is_silent(body: &mut Body) -> bool {
    timeout(MILLI, body.frame()).await.is_err()
}

// Clocks.

#[tokio::test(start_paused = true)]
async fn a_session_expires_exactly_at_the_idle_limit() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    sleep(30 * MINUTE - MILLI).await;
    assert_eq!(
        world.ping(&id).await,
        200,
        "a millisecond before it is fresh again"
    );
    sleep(30 * MINUTE).await;
    assert_eq!(world.ping(&id).await, 404);
    let id = world.open_and_use().await;
    sleep(30 * MINUTE + MILLI).await;
    assert_eq!(world.ping(&id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_asks_for_is_swept_and_tells_why() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    assert_eq!(session.ended().await, EndReason::Idle);
    assert!((30 * MINUTE..31 * MINUTE).contains(&session.age()));
    assert!(world.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_never_used_ends_after_five_minutes_even_with_an_open_stream() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open().await;
    let stream = world.send(bodiless(Method::GET, Some(&id))).await;
    let session = world.sessions.get(&id).unwrap();
    sleep(5 * MINUTE - MILLI).await;
    assert_eq!(session.end_reason(), None);
    assert_eq!(session.ended().await, EndReason::NeverUsed);
    assert_eq!(next(&mut stream.into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_never_refreshes_the_idle_clock() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    sleep(29 * MINUTE).await;
    for body in [INITIALIZE, "{", "[]"] {
        assert_eq!(world.ask(post(Some(&id), body)).await.status, 400);
    }
    let mut request = post(Some(&id), PING);
    request.headers_mut().remove("content-type");
    assert_eq!(world.ask(request).await.status, 415);
    sleep(MINUTE).await;
    assert_eq!(world.ping(&id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_beats_activity_and_ends_open_streams() {
    let guard = SessionGuardLayer::builder()
        .lifetime(60 * MINUTE)
        .build()
        .unwrap();
    let world = World::new(guard);
    let id = world.open_and_use().await;
    let stream = world.send(bodiless(Method::GET, Some(&id))).await;
    for _ in 0..59 {
        sleep(MINUTE).await;
        assert_eq!(world.ping(&id).await, 200);
    }
    sleep(MINUTE).await;
    assert_eq!(world.ping(&id).await, 404);
    assert_eq!(next(&mut stream.into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_longer_than_the_idle_limit_keeps_its_session() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        sleep(60 * MINUTE).await;
        respond(200, "application/json", "{}")
    });
    let id = world.open().await;
    let session = world.sessions.get(&id).unwrap();
    assert_eq!(world.ask(post(Some(&id), CALL)).await.status, 200);
    assert_eq!((session.idle(), session.in_flight()), (Duration::ZERO, 0));
    sleep(30 * MINUTE - MILLI).await;
    assert_eq!(session.end_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_no_silent_stream_after_a_day() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        sleep(25 * 60 * MINUTE).await;
        respond(200, "application/json", "{}")
    });
    let id = world.open().await;
    assert_eq!(world.ask(post(Some(&id), CALL)).await.text(), "{}");
    assert_eq!(world.ping(&id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_suspends_the_idle_clock_until_it_has_been_silent_for_a_day() {
    let (world, bodies) = streaming(SessionGuardLayer::new());
    let (events, body) = feed();
    let id = world.open().await;
    bodies.send(Body::empty()).unwrap();
    world.ask(post(Some(&id), INITIALIZED)).await;
    bodies.send(body).unwrap();
    let mut stream = world
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    let session = world.sessions.get(&id).unwrap();
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
        let guard = SessionGuardLayer::builder()
            .idle_timeout(10 * MILLI)
            .build()
            .unwrap();
        let world = World::new(guard);
        let id = world.open_and_use().await;
        let session = world.sessions.get(&id).unwrap();
        let (status, ()) = tokio::join!(
            async {
                sleep(9 * MILLI).await;
                world.ping(&id).await
            },
            async {
                sleep(10 * MILLI).await;
            }
        );
        assert_eq!(status == 200, session.end_reason().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn six_openings_a_second_for_an_hour_do_not_keep_newcomers_out() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(1000)
        .build()
        .unwrap();
    let world = World::new(guard);
    let kept = world.open_and_use().await;
    for _ in 0..6 * 60 * 60 {
        world.open().await;
        world.inner.clear();
        sleep(Duration::from_millis(166)).await;
        if world.sessions.len().is_multiple_of(100) {
            world.ping(&kept).await;
        }
    }
    let newcomer = world.open_and_use().await;
    assert_eq!(world.ping(&newcomer).await, 200);
    assert_eq!(world.ping(&kept).await, 200);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_half_open_silent_streams_do_not_keep_newcomers_out_for_ever() {
    let world = World::new(SessionGuardLayer::new());
    let mut streams = Vec::new();
    for _ in 0..10_000 {
        let id = world.open_and_use().await;
        streams.push(world.send(bodiless(Method::GET, Some(&id))).await);
        world.inner.clear();
    }
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
    // At once, not sweep by sweep.
    advance(DAY + 30 * MINUTE).await;
    let newcomer = world.open_and_use().await;
    assert_eq!(world.ping(&newcomer).await, 200);
    assert_eq!(next(&mut streams.remove(0).into_body()).await, None);
}

#[tokio::test(start_paused = true)]
async fn neither_sessions_nor_guards_leave_a_task_behind() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let world = World::new(SessionGuardLayer::new());
    let id = world.open().await;
    assert_eq!(tasks(), 1);
    assert!(world.sessions.end(&id));
    sleep(MINUTE).await;
    assert_eq!(tasks(), 0);

    world.open().await;
    drop(world);
    yield_now().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn thousands_that_were_never_used_end_by_themselves() {
    let world = World::new(SessionGuardLayer::new());
    for _ in 0..3_000 {
        world.open().await;
        world.inner.clear();
    }
    sleep(6 * MINUTE).await;
    let stats = world.sessions.stats();
    assert_eq!(stats.open, 0);
    assert_eq!(stats.ended[&EndReason::NeverUsed], 3_000);
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_make_room_for_as_many_newcomers_at_once() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(2_000)
        .build()
        .unwrap();
    let world = World::new(guard);
    for _ in 0..2_000 {
        world.open_and_use().await;
        world.inner.clear();
    }
    advance(30 * MINUTE).await;
    for _ in 0..2_000 {
        world.open().await;
        world.inner.clear();
    }
    let stats = world.sessions.stats();
    assert_eq!(stats.open, 2_000);
    assert_eq!(stats.ended[&EndReason::Idle], 2_000);
    assert_eq!(stats.ended.get(&EndReason::Evicted), None);
}

// Streams.

#[tokio::test]
async fn when_a_session_ends_its_get_streams_end_cleanly_at_once() {
    let (world, bodies) = streaming(SessionGuardLayer::new());
    let id = world.open().await;
    let mut open = Vec::new();
    for resumed in [false, true] {
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let mut request = bodiless(Method::GET, Some(&id));
        if resumed {
            request
                .headers_mut()
                .insert("last-event-id", "1".parse().unwrap());
        }
        let response = world.send(request).await;
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let mut stream = response.into_body();
        events.send("data: {}\n\n").unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), "data: {}\n\n");
        assert!(is_silent(&mut stream).await);
        open.push((events, stream));
    }
    let session = world.sessions.get(&id).unwrap();
    assert_eq!((session.open_streams(), session.in_flight()), (1, 2));
    assert!(world.sessions.end(&id));
    for (_events, mut stream) in open {
        assert_eq!(next(&mut stream).await, None);
    }
    assert_eq!((session.open_streams(), session.in_flight()), (0, 0));
    assert_eq!(world.ping(&id).await, 404);
}

#[tokio::test]
async fn nothing_passes_in_a_get_stream_once_its_session_has_ended() {
    let (world, bodies) = streaming(SessionGuardLayer::new());
    let id = world.open().await;
    let endless = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(b"data: {}\n\n")));
    bodies.send(Body::from_stream(endless)).unwrap();
    let answer = world.send(bodiless(Method::GET, Some(&id))).await;
    let mut stream = answer.into_body();
    assert_eq!(next(&mut stream).await.unwrap(), "data: {}\n\n");
    assert!(world.sessions.end(&id));
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_calls_event_stream_first_carries_one_last_event() {
    for (passed, last) in [
        (vec![], Some(ENDED)),
        (vec!["data: {}\n\n"], Some(ENDED)),
        (vec!["data: {}\r\n", "\r\n"], Some(ENDED)),
        (vec!["data: {}\n"], None),
        (vec!["data: {}\n\n", "id: 7"], None),
    ] {
        let (world, bodies) = streaming(SessionGuardLayer::new());
        let id = world.open().await;
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let mut stream = world.send(post(Some(&id), CALL)).await.into_body();
        for frame in passed {
            events.send(frame).unwrap();
            assert_eq!(next(&mut stream).await.unwrap(), frame);
        }
        assert!(is_silent(&mut stream).await);
        world.sessions.end_all();
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
async fn an_encoded_event_stream_just_ends() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        let mut response = respond(200, "text/event-stream", feed_forever());
        response
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        response
    });
    let id = world.open().await;
    let mut stream = world.send(post(Some(&id), CALL)).await.into_body();
    world.sessions.end_all();
    assert_eq!(next(&mut stream).await, None);
}

fn feed_forever() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

#[tokio::test]
async fn any_other_body_that_has_begun_runs_to_its_end() {
    let (events, body) = feed();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let world = world(SessionGuardLayer::new(), None, move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { respond(200, "application/json", body) }
    });
    let id = world.open().await;
    let mut answer = world.send(post(Some(&id), CALL)).await.into_body();
    let session = world.sessions.get(&id).unwrap();
    assert_eq!(session.in_flight(), 1);
    session.end();
    events.send("{}").unwrap();
    assert_eq!(next(&mut answer).await.unwrap(), "{}");
    drop(events);
    assert_eq!(next(&mut answer).await, None);
    assert_eq!(session.in_flight(), 0);
}

#[tokio::test]
async fn a_large_answer_tells_its_length_and_an_event_stream_does_not() {
    let large = "x".repeat(100_000);
    let world = world(SessionGuardLayer::new(), None, move |request| {
        let stream = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"data: 1\n\n"))]);
        let answer = match *request.method() {
            Method::GET => respond(200, "text/event-stream", Body::from_stream(stream)),
            _ => respond(200, "application/json", large.clone()),
        };
        async { answer }
    });
    let id = world.open().await;
    let mut answer = world.send(post(Some(&id), CALL)).await.into_body();
    assert_eq!(answer.size_hint().exact(), Some(100_000));
    assert_eq!(next(&mut answer).await.unwrap().len(), 100_000);
    assert!(answer.is_end_stream());
    assert_eq!(answer.size_hint().exact(), Some(0));

    let mut stream = world
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    assert_eq!(stream.size_hint().exact(), None);
    assert_eq!(next(&mut stream).await.unwrap(), "data: 1\n\n");
    assert_eq!(next(&mut stream).await, None);
    assert!(stream.is_end_stream());
}

#[tokio::test]
async fn an_event_stream_that_has_promised_its_length_runs_to_its_end() {
    let text = format!(": {}\n\n", "x".repeat(100_000));
    for is_sized in [true, false] {
        let text = text.clone();
        let world = world(SessionGuardLayer::new(), None, move |_| {
            let frame = Ok::<_, Infallible>(Bytes::from(text.clone()));
            let length = text.len().into();
            let mut answer = respond(200, "text/event-stream", text.clone());
            if !is_sized {
                *answer.body_mut() = Body::from_stream(stream::iter([frame]));
                answer.headers_mut().insert("content-length", length);
            }
            async { answer }
        });
        let id = world.open().await;
        let answer = world.send(bodiless(Method::GET, Some(&id))).await;
        assert!(world.sessions.end(&id));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 100_004);
    }
}

#[tokio::test]
async fn a_request_without_an_answer_yet_is_dropped_and_answered() {
    for (request, status, body) in [
        (CALL, 200, ENDED),
        (INITIALIZED, 404, NOT_FOUND),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 404, NOT_FOUND),
    ] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        let world = world(SessionGuardLayer::new(), None, move |_| {
            let flag = SetOnDrop(flag.clone());
            async move {
                let _flag = flag;
                std::future::pending().await
            }
        });
        let id = world.open().await;
        let asked = tokio::spawn({
            let (world, id) = (world.clone(), id.clone());
            async move {
                let response = world.send(post(Some(&id), request)).await;
                let reason = response.extensions().get::<Refusal>().map(Refusal::reason);
                (reason, Answer::of(response).await)
            }
        });
        let session = world.sessions.get(&id).unwrap();
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
async fn a_result_that_comes_after_the_end_is_never_delivered() {
    let (gate, waits) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opened, waiting) = (gate.clone(), waits.clone());
    let world = world(SessionGuardLayer::new(), None, move |_| {
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
    let id = world.open().await;
    let asked = tokio::spawn({
        let (world, id) = (world.clone(), id.clone());
        async move { world.ask(post(Some(&id), CALL)).await }
    });
    waits.notified().await;
    // Both happen before the call is polled again.
    world.sessions.end(&id);
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
    let app = Router::new().route("/mcp", any(handler));
    let world = World::around(SessionGuardLayer::new(), app);
    let id = world.open().await;
    let answer = world.ask(post(Some(&id), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, RESULT));
    assert_eq!(world.ping(&id).await, 404);
}

#[tokio::test]
async fn a_handler_whose_session_is_deleted_while_it_runs_answers_no_more() {
    let app = Arc::new(OnceLock::<Router>::new());
    let inside = app.clone();
    let world = world(SessionGuardLayer::new(), None, move |request| {
        let app = inside.get().unwrap().clone();
        async move {
            let session = McpSession::from_extensions(request.extensions()).unwrap();
            let delete = bodiless(Method::DELETE, Some(session.id().as_str()));
            assert_eq!(app.oneshot(delete).await.unwrap().status(), 204);
            respond(200, "application/json", "{}")
        }
    });
    app.set(world.app.clone()).unwrap();
    let id = world.open().await;
    assert_eq!(world.ask(post(Some(&id), CALL)).await.text(), ENDED);
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
            Ok::<_, Infallible>(respond(200, "application/json", RESULT))
        }
    });
    let service = guard.layer(ConcurrencyLimit::new(inner, 1));
    let opened = service.clone().oneshot(post(None, INITIALIZE)).await;
    let opened = Answer::of(opened.unwrap()).await;
    let id = opened.headers["mcp-session-id"].to_str().unwrap();
    let (sender, body) = feed();
    // The first gives its place back while its body keeps it waiting, and the second takes it.
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
async fn an_open_stream_does_not_keep_a_large_request_alive() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        respond(200, "text/event-stream", feed_forever())
    });
    let id = world.open().await;
    let padding = " ".repeat(1 << 20);
    let message = Bytes::from(format!("{CALL}{padding}"));
    let response = world.send(post(Some(&id), message.clone())).await;
    assert!(message.is_unique(), "nobody else holds it");
    world.sessions.end_all();
    assert_eq!(
        next(&mut response.into_body()).await.unwrap(),
        format!("data: {ENDED}\n\n")
    );
}

#[tokio::test]
async fn a_session_keeps_no_buffer_of_its_initialize_alive() {
    let guard = SessionGuardLayer::builder().end_inner_sessions();
    let world = world(guard.build().unwrap(), Some("own"), |_| async {
        respond(204, "text/plain", "")
    });
    // As of hyper, whose heads are parts of its read buffer.
    let uri = Bytes::from(format!("/mcp?{}", "x".repeat(60_000)));
    let host = Bytes::from(format!("localhost{}", "x".repeat(60_000)));
    let mut request = post(None, INITIALIZE);
    *request.uri_mut() = Uri::from_maybe_shared(uri.clone()).unwrap();
    let value = HeaderValue::from_maybe_shared(host.slice(..9)).unwrap();
    request.headers_mut().insert("host", value);
    assert_eq!(world.ask(request).await.status, 200);
    assert_eq!(world.sessions.len(), 1);
    assert!(uri.is_unique() && host.is_unique());
}

#[tokio::test]
async fn a_session_keeps_no_buffer_of_the_answer_that_opened_it_alive() {
    let head = Bytes::from(format!("own{}", "x".repeat(60_000)));
    let own = Arc::new(std::sync::Mutex::new(Some(head.slice(..3))));
    let handler = async move || {
        let own = own.lock().unwrap().take().unwrap();
        let mut response = respond(200, "application/json", RESULT);
        let id = HeaderValue::from_maybe_shared(own).unwrap();
        response.headers_mut().insert("mcp-session-id", id);
        response
    };
    let app = Router::new().route("/mcp", any(handler));
    let world = World::around(SessionGuardLayer::new(), app);
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 200);
    assert_eq!(world.sessions.len(), 1);
    assert!(head.is_unique());
}

#[tokio::test]
async fn whoever_waits_for_an_end_is_told_when_the_guard_is_dropped() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    let mut stream = world
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    drop(world);
    assert_eq!(session.ended().await, EndReason::GuardDropped);
    assert_eq!(next(&mut stream).await, None);
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_session_that_ends_while_a_body_is_read_is_404() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    world.inner.clear();
    let (rest, body) = feed();
    let asked = tokio::spawn({
        let (world, id) = (world.clone(), id.clone());
        async move { world.ask(post(Some(&id), body)).await }
    });
    let session = world.sessions.get(&id).unwrap();
    while session.in_flight() == 0 {
        yield_now().await;
    }
    session.end();
    rest.send(PING).unwrap();
    drop(rest);
    assert_eq!(asked.await.unwrap().text(), NOT_FOUND);
    assert_eq!(world.inner.count(), 0);
}

#[tokio::test]
async fn one_stream_beyond_the_limit_ends_the_oldest() {
    let guard = SessionGuardLayer::builder().max_streams(2).build().unwrap();
    let (world, bodies) = streaming(guard);
    let id = world.open().await;
    let mut streams = Vec::new();
    let mut open = async |resumed: bool| {
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let mut request = bodiless(Method::GET, Some(&id));
        if resumed {
            request
                .headers_mut()
                .insert("last-event-id", "7".parse().unwrap());
        }
        let stream = world.send(request).await.into_body();
        streams.push((events, stream));
    };
    open(false).await;
    open(true).await;
    open(false).await;
    open(false).await;
    assert_eq!(next(&mut streams[0].1).await, None, "the oldest");
    for (events, stream) in &mut streams[1..] {
        events.send("data: {}\n\n").unwrap();
        assert_eq!(next(stream).await.unwrap(), "data: {}\n\n");
    }
    assert_eq!(world.sessions.get(&id).unwrap().open_streams(), 2);
}

#[tokio::test]
async fn a_get_that_is_answered_without_a_stream_ends_no_other() {
    let guard = SessionGuardLayer::builder().max_streams(1).build().unwrap();
    let first = AtomicBool::new(true);
    let first = Arc::new(first);
    let world = world(guard, None, move |_| {
        let is_first = first.swap(false, Ordering::SeqCst);
        async move {
            match is_first {
                true => respond(200, "text/event-stream", feed_forever()),
                false => respond(405, "text/plain", "no"),
            }
        }
    });
    let id = world.open().await;
    let mut stream = world
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    assert_eq!(
        world.ask(bodiless(Method::GET, Some(&id))).await.status,
        405
    );
    assert!(is_silent(&mut stream).await);
}

#[tokio::test]
async fn a_body_that_panics_or_breaks_off_is_no_longer_in_flight() {
    for breaks in [true, false] {
        let world = world(SessionGuardLayer::new(), None, move |_| async move {
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
        let id = world.open().await;
        let session = world.sessions.get(&id).unwrap();
        let response = world.send(bodiless(Method::GET, Some(&id))).await;
        assert_eq!((session.in_flight(), session.open_streams()), (1, 1));
        let read = tokio::spawn(response.into_body().collect()).await;
        assert!(read.map_or(true, |read| read.is_err()));
        assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
        assert_eq!(session.end_reason(), None);
    }
}

#[tokio::test]
async fn a_stream_dropped_by_its_client_is_no_longer_in_flight() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    let stream = world.send(bodiless(Method::GET, Some(&id))).await;
    assert_eq!((session.in_flight(), session.open_streams()), (1, 1));
    drop(stream);
    assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
}

// Answers.

#[tokio::test]
async fn an_empty_answer_to_a_notification_or_response_becomes_202() {
    for (message, given, got) in [
        (INITIALIZED, 200, 202),
        (INITIALIZED, 204, 202),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 200, 202),
        (INITIALIZED, 400, 400),
        (CALL, 200, 200),
    ] {
        // However the inner service ends its body.
        for frames in [None, Some(vec![]), Some(vec![Bytes::new(), Bytes::new()])] {
            let world = world(SessionGuardLayer::new(), None, move |_| {
                let body = frames.clone().map_or_else(Body::empty, |frames| {
                    Body::from_stream(stream::iter(frames).map(Ok::<_, Infallible>))
                });
                async move { Response::builder().status(given).body(body).unwrap() }
            });
            let id = world.open().await;
            let status = world.ask(post(Some(&id), message)).await.status;
            assert_eq!(status, got, "{message} {given}");
        }
    }
    let world = world(SessionGuardLayer::new(), None, move |_| async {
        let frames = ["so", "me"].map(Bytes::from).map(Ok::<_, Infallible>);
        respond(200, "text/plain", Body::from_stream(stream::iter(frames)))
    });
    let id = world.open().await;
    let answer = world.ask(post(Some(&id), INITIALIZED)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "some"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_notification_that_stalls_behind_its_head_passes_after_five_seconds() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        respond(200, "text/plain", feed_forever())
    });
    let id = world.open().await;
    let session = world.sessions.get(&id).unwrap();
    let begun = Instant::now();
    let answer = timeout(MINUTE, world.send(post(Some(&id), INITIALIZED))).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(session.in_flight(), 1);
    drop(answer);
    assert_eq!(session.in_flight(), 0);
}

#[tokio::test]
async fn headers_of_an_event_stream_that_the_inner_service_set_stay() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        let mut response = respond(200, "text/event-stream", "data: {}\n\n");
        response
            .headers_mut()
            .insert("cache-control", "no-store".parse().unwrap());
        response
            .headers_mut()
            .insert("x-accel-buffering", "yes".parse().unwrap());
        response
    });
    let id = world.open().await;
    let answer = world.ask(post(Some(&id), CALL)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-accel-buffering"], "yes");
    assert_eq!(answer.text(), "data: {}\n\n");
}

#[tokio::test]
async fn an_event_stream_is_not_to_be_buffered_whatever_other_headers_it_has() {
    let world = world(SessionGuardLayer::new(), None, |_| async {
        let mut response = respond(200, "text/event-stream", "data: {}\n\n");
        for name in ["x-other", "x-accel-limit-rate", "expires", "vary"] {
            let value = "1".parse().unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    });
    let id = world.open().await;
    let answer = world.ask(post(Some(&id), CALL)).await;
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
}

#[tokio::test]
async fn an_answer_whose_type_only_looks_like_an_event_streams_gets_none_of_its_headers() {
    // The second is as long.
    for content_type in ["text/event-streams", "text/event-string"] {
        let world = world(SessionGuardLayer::new(), None, move |_| async move {
            respond(200, content_type, "data: {}\n\n")
        });
        let id = world.open().await;
        let answer = world.ask(post(Some(&id), CALL)).await;
        assert!(!answer.headers.contains_key("x-accel-buffering"));
    }
}

#[tokio::test]
async fn a_404_of_an_inner_service_with_its_own_id_ends_the_session() {
    let unknown = r#"{"jsonrpc":"2.0","id":"c1","error":{"code":-32601,"message":"?"}}"#;
    for (own, resumes, body, passed) in [
        (Some("own"), false, "gone", NOT_FOUND),
        (Some("own"), false, "", NOT_FOUND),
        (Some("own"), false, unknown, unknown),
        (Some("own"), true, "no such event", "no such event"),
        (None, false, "who?", "who?"),
    ] {
        let world = world(SessionGuardLayer::new(), own, move |_| async move {
            respond(404, "application/json", body)
        });
        let id = world.open().await;
        let session = world.sessions.get(&id).unwrap();
        let mut request = post(Some(&id), CALL);
        if resumes {
            request
                .headers_mut()
                .insert("last-event-id", "1".parse().unwrap());
        }
        let answer = world.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, passed));
        let reason = (passed == NOT_FOUND).then_some(EndReason::InnerLost);
        assert_eq!(session.end_reason(), reason);
    }
}

#[tokio::test]
async fn an_encoded_404_can_not_be_judged_and_passes() {
    let world = world(SessionGuardLayer::new(), Some("own"), |_| async {
        let mut response = respond(404, "application/json", "compressed");
        let gzip = "gzip".parse().unwrap();
        response.headers_mut().insert("content-encoding", gzip);
        response
    });
    let id = world.open().await;
    let answer = world.ask(post(Some(&id), CALL)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, "compressed"));
    assert_eq!(world.sessions.len(), 1);
}

// DELETE.

#[tokio::test]
async fn delete_ends_a_session_without_asking_an_inner_service_that_keeps_none() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    let deleted = world.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""));
    assert_eq!(session.end_reason(), Some(EndReason::Deleted));
    let again = world.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!((again.status.as_u16(), again.text()), (404, NOT_FOUND));
    assert_eq!(world.inner.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn delete_asks_an_inner_service_that_keeps_its_own_session() {
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
        let world = world(SessionGuardLayer::new(), Some("own"), move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert_eq!(request.headers()["mcp-session-id"], "own");
            async move {
                match status {
                    0 => std::future::pending().await,
                    _ => respond(status, "text/plain", "x"),
                }
            }
        });
        let id = world.open().await;
        for _ in 0..2 {
            let answer = world.ask(bodiless(Method::DELETE, Some(&id))).await;
            assert_eq!(answer.status, got, "{status}");
            if ended {
                break;
            }
        }
        assert_eq!(world.sessions.get(&id).is_none(), ended);
        assert_eq!(calls.load(Ordering::SeqCst), if ended { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_delete_does_not_let_a_third_through() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let world = world(SessionGuardLayer::new(), Some("own"), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(Duration::from_secs(1)).await;
            respond(405, "text/plain", "no")
        }
    });
    let id = world.open().await;
    let delete = || world.ask(bodiless(Method::DELETE, Some(&id)));
    let (first, second, third) = tokio::join!(delete(), delete(), delete());
    assert_eq!(first.status, 405);
    assert_eq!(
        (second.status, third.status),
        (404.try_into().unwrap(), 404.try_into().unwrap())
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_option_ends_a_session_although_the_inner_service_refuses() {
    let guard = SessionGuardLayer::builder()
        .end_on_refused_delete()
        .build()
        .unwrap();
    let world = world(guard, Some("own"), |_| async {
        respond(405, "text/plain", "no")
    });
    let id = world.open().await;
    assert_eq!(
        world.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    assert!(world.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_delete_at_a_time_and_one_given_up_ends_the_session_too() {
    let world = world(SessionGuardLayer::new(), Some("own"), |_| async {
        std::future::pending().await
    });
    let id = world.open().await;
    let session = world.sessions.get(&id).unwrap();
    let left = timeout(MILLI, world.ask(bodiless(Method::DELETE, Some(&id)))).await;
    assert!(left.is_err());
    assert_eq!(session.end_reason(), Some(EndReason::Deleted));

    let id = world.open().await;
    let delete = || world.ask(bodiless(Method::DELETE, Some(&id)));
    let (first, second) = tokio::join!(delete(), delete());
    assert_eq!(first.status, 204);
    assert_eq!(second.status, 404);
}

/// The official TypeScript server ends a session's streams before it answers the DELETE.
#[tokio::test(start_paused = true)]
async fn a_call_that_the_inner_service_ends_during_a_delete_is_told_if_the_session_ends() {
    for (status, last) in [(200, Some(format!("data: {ENDED}\n\n"))), (405, None)] {
        let (events, body) = feed();
        let refusal = Arc::new(Notify::new());
        let release = refusal.clone();
        let world = called_once("text/event-stream", body, move || {
            let release = release.clone();
            async move {
                release.notified().await;
                respond(status, "text/plain", "x")
            }
        });
        let id = world.open().await;
        let mut call = world.send(post(Some(&id), CALL)).await.into_body();
        events.send("data: 1\n\n").unwrap();
        assert_eq!(next(&mut call).await.unwrap(), "data: 1\n\n");
        let (_, rest) = tokio::join!(world.ask(bodiless(Method::DELETE, Some(&id))), async {
            drop(events);
            assert!(is_silent(&mut call).await, "{status}");
            refusal.notify_one();
            next(&mut call).await
        });
        assert_eq!(rest, last.map(Bytes::from), "{status}");
        assert_eq!(next(&mut call).await, None);
        let session = world.sessions.get(&id);
        assert_eq!(
            session.map(|session| session.in_flight()),
            (status == 405).then_some(0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_event_stream_ends_as_ever_during_a_delete() {
    let (events, body) = feed();
    let world = called_once("application/json", body, std::future::pending);
    let id = world.open().await;
    let mut call = world.send(post(Some(&id), CALL)).await.into_body();
    events.send("{}").unwrap();
    assert_eq!(next(&mut call).await.unwrap(), "{}");
    let (_, rest) = tokio::join!(world.ask(bodiless(Method::DELETE, Some(&id))), async {
        drop(events);
        timeout(MILLI, call.frame()).await
    });
    assert!(rest.expect("its end").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_delete_is_woken_when_that_is_refused() {
    let (events, body) = feed();
    let world = called_once("text/event-stream", body, async || {
        sleep(2 * MILLI).await;
        respond(405, "text/plain", "no")
    });
    let id = world.open().await;
    let mut call = world.send(post(Some(&id), CALL)).await.into_body();
    let deleting = world.clone();
    let delete =
        tokio::spawn(async move { deleting.ask(bodiless(Method::DELETE, Some(&id))).await });
    yield_now().await;
    drop(events);
    let call = tokio::spawn(async move { call.frame().await.is_none() });
    assert_eq!(delete.await.unwrap().status, 405);
    let is_over = timeout(MILLI, call).await.expect("it is woken");
    assert!(is_over.unwrap());
}

#[tokio::test]
async fn whoever_waits_for_the_end_since_the_opening_is_told() {
    let (told, mut ends) = mpsc::unbounded_channel();
    let handler = async move |session: McpSession| {
        tokio::spawn(async move { told.send(session.ended().await) });
        yield_now().await;
        respond(200, "application/json", RESULT)
    };
    let app = Router::new().route("/mcp", any(handler));
    let world = World::around(SessionGuardLayer::new(), app);
    let id = world.open().await;
    assert!(!world.sessions.is_empty());
    assert!(world.sessions.end(&id));
    let end = timeout(Duration::from_secs(5), ends.recv()).await;
    assert_eq!(end.expect("it is told"), Some(EndReason::Revoked));
}

// Handles.

#[tokio::test]
async fn handlers_keep_typed_state_in_a_session_until_it_ends() {
    struct Visits(AtomicUsize, #[allow(dead_code)] SetOnDrop);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let handler = async move |session: McpSession| {
        let visits =
            session.state_or_insert_with(|| Visits(AtomicUsize::new(0), SetOnDrop(flag.clone())));
        visits.0.fetch_add(1, Ordering::SeqCst);
        respond(200, "application/json", RESULT)
    };
    let world = World::around(
        SessionGuardLayer::new(),
        Router::new().route("/mcp", any(handler)),
    );
    let (one, other) = (world.open().await, world.open().await);
    world.ping(&one).await;
    let visits = |id: &str| {
        let session = world.sessions.get(id).unwrap();
        session
            .state::<Visits>()
            .map(|visits| visits.0.load(Ordering::SeqCst))
    };
    assert_eq!((visits(&one), visits(&other)), (Some(2), Some(1)));
    assert_eq!(world.sessions.get(&one).unwrap().state::<String>(), None);
    world.sessions.end(&other);
    assert!(dropped.swap(false, Ordering::SeqCst));
    let session = world.sessions.get(&one).unwrap();
    session.end();
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(*session.state_or_insert_with(|| 7_u8), 7);
    assert_eq!(
        session.state::<u8>(),
        None,
        "an ended session keeps nothing"
    );
}

#[tokio::test]
async fn state_may_call_back_into_its_session_and_may_panic_when_it_is_dropped() {
    struct Callback(McpSession, bool);
    impl Drop for Callback {
        fn drop(&mut self) {
            assert!(
                self.0.open_streams() == 0 && !self.1,
                "a panic of the user's own"
            );
        }
    }
    let world = World::new(SessionGuardLayer::new());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    let inner = session.clone();
    // The value made inside stays, so the one made outside is dropped again.
    session.state_or_insert_with(|| {
        inner.state_or_insert_with(|| Callback(inner.clone(), true));
        Callback(inner.clone(), false)
    });
    assert!(session.end());
    assert_eq!(world.sessions.len(), 0);
}

#[tokio::test]
async fn sessions_can_be_counted_seen_and_ended_from_outside() {
    let world = World::new(SessionGuardLayer::new());
    let (one, other) = (world.open().await, world.open().await);
    assert_eq!(world.sessions.len(), 2);
    let mut ids: Vec<_> = world
        .sessions
        .snapshot()
        .iter()
        .map(|session| session.id().as_str().to_owned())
        .collect();
    ids.sort();
    let mut expected = vec![one.clone(), other.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    let session = world.sessions.get(&one).unwrap();
    assert!(world.sessions.end(&one));
    assert!(!world.sessions.end(&one) && !session.end());
    assert_eq!(session.ended().await, EndReason::Revoked);
    assert_eq!(world.sessions.end_all(), 1);
    assert!(world.sessions.is_empty());
    assert_eq!(world.ping(&other).await, 404);
}

#[tokio::test]
async fn whoever_waits_for_the_end_may_call_back_into_the_registry() {
    let world = World::new(SessionGuardLayer::new());
    let id = world.open().await;
    let session = world.sessions.get(&id).unwrap();
    let sessions = world.sessions.clone();
    let waiting = tokio::spawn({
        let ended = session.ended();
        async move {
            ended.await;
            (
                sessions.len(),
                sessions.get("x").is_none(),
                sessions.end_all(),
            )
        }
    });
    yield_now().await;
    session.end();
    assert_eq!(waiting.await.unwrap(), (0, true, 0));
}

#[tokio::test]
async fn nothing_that_prints_a_session_shows_its_id() {
    let guard = SessionGuardLayer::new();
    let world = World::new(guard.clone());
    let id = world.open_and_use().await;
    let session = world.sessions.get(&id).unwrap();
    let seen = world.inner.calls();
    let printed = format!(
        "{guard:?} {:?} {session:?} {:?} {:?} {:?} {:?}",
        world.sessions,
        session.id(),
        seen[1].session,
        seen[1].message,
        world
            .send(post(Some("nobody"), PING))
            .await
            .extensions()
            .get::<Refusal>(),
    );
    assert!(!printed.contains(&id), "{printed}");
    let opened = world.send(post(None, INITIALIZE)).await;
    assert!(
        opened.headers()["mcp-session-id"].is_sensitive(),
        "logs leave the header out"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_under_mixed_operations_leave_nothing_behind() {
    let world = World::new(SessionGuardLayer::new());
    let tasks = (0..100).map(|task| {
        let world = world.clone();
        tokio::spawn(async move {
            for turn in 0..100 {
                let id = world.open().await;
                assert_eq!(world.ask(post(Some(&id), INITIALIZED)).await.status, 202);
                let stream = world.send(bodiless(Method::GET, Some(&id))).await;
                match (task + turn) % 3 {
                    0 => assert!(world.sessions.end(&id)),
                    _ => {
                        let deleted = world.ask(bodiless(Method::DELETE, Some(&id))).await;
                        assert_eq!(deleted.status, 204);
                    }
                }
                assert_eq!(world.ping(&id).await, 404, "after the end no later answer");
                assert_eq!(stream.into_body().into_data_stream().count().await, 0);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(world.sessions.is_empty());
    assert!(world.inner.calls().iter().all(|seen| {
        seen.session
            .as_ref()
            .is_some_and(|session| session.in_flight() == 0)
    }));
}
