//! The end of a guard, and the word to an inner service whose session the guard has ended.

mod support;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::response::Response;
use axum::routing::any;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, McpSession, SessionGuardBuilder, SessionGuardLayer};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use support::{INITIALIZE, PING, World, bodiless, initialize_result, json_response, post};

const CALL: &str = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call","params":{"name":"slow"}}"#;
const ENDED: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":"c1"}"#;
const SHUTTING_DOWN: &str = "The server is shutting down: try again, it or another will answer.";
const SECOND: Duration = Duration::from_secs(1);

/// Opens sessions, answers `tools/call` never or by an endless stream, and all else at once.
fn slow(guard: SessionGuardLayer) -> World {
    let handler = async |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        if parts.method == Method::GET || text.contains("stream") {
            return events();
        }
        if text.contains("slow") {
            std::future::pending::<()>().await;
        }
        json_response(200, &initialize_result(&0.into()))
    };
    World::around(guard, Router::new().route("/mcp", any(handler)))
}

/// One event, then silence.
fn events() -> Response {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(": hello\n\n"))]);
    let frames = futures_util::StreamExt::chain(first, stream::pending());
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(frames))
        .unwrap()
}

fn accepting_modern() -> SessionGuardLayer {
    SessionGuardLayer::builder()
        .accept_modern()
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

/// What is left of a stream, which must be at its end.
async fn rest(body: Body) -> String {
    let rest = timeout(SECOND, to_bytes(body, usize::MAX)).await;
    String::from_utf8(rest.expect("the stream ends").unwrap().into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_newcomers_lets_sessions_go_on_and_ends_everything_at_its_deadline() {
    let guard = SessionGuardLayer::new();
    let world = slow(guard.clone());
    let id = world.open().await;
    let session = world.sessions.get(&id).unwrap();
    let get = begun(world.send(bodiless(Method::GET, Some(&id))).await).await;
    let streaming = CALL.replace("slow", "stream");
    let streaming = begun(world.send(post(Some(&id), streaming)).await).await;
    let waiting = tokio::spawn({
        let (world, id) = (world.clone(), id.clone());
        async move { world.ask(post(Some(&id), CALL)).await }
    });
    let begun = Instant::now();
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    sleep(SECOND / 2).await;

    let refused = world.ask(post(None, INITIALIZE)).await;
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
    let refused = world.ask(post(None, INITIALIZE)).await;
    assert_eq!(refused.headers["retry-after"], "2");
    assert_eq!(world.ping(&id).await, 200, "a live session goes on");
    assert!(!waiting.is_finished());

    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert_eq!(session.end_reason(), Some(EndReason::Drained));
    assert!(world.sessions.is_empty());
    assert_eq!(rest(get).await, "");
    assert_eq!(rest(streaming).await, format!("data: {ENDED}\n\n"));
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ENDED));
    assert_eq!(world.ping(&id).await, 404);
    let refused = world.ask(post(None, INITIALIZE)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_over_early_where_nothing_is_open_any_more() {
    let guard = SessionGuardLayer::new();
    let world = World::new(guard.clone());
    let begun = Instant::now();
    guard.drain(10 * SECOND).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);

    let guard = SessionGuardLayer::new();
    let world = World::new(guard.clone());
    let ids = [world.open().await, world.open().await];
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    for id in &ids {
        sleep(SECOND).await;
        assert!(!drain.is_finished());
        world.ask(bodiless(Method::DELETE, Some(id))).await;
    }
    drain.await.unwrap();
    assert_eq!(begun.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn event_streams_of_the_modern_era_end_with_the_drain_too() {
    let guard = accepting_modern();
    let world = slow(guard.clone());
    let listen = begun(world.send(modern("subscriptions/listen")).await).await;
    let call = begun(world.send(modern("tools/call")).await).await;
    let left = world.send(modern("tools/call")).await;
    let begun = Instant::now();
    let drain = tokio::spawn(guard.drain(10 * SECOND));
    sleep(SECOND).await;
    drop(left);
    let during = world.send(modern("tools/call")).await;
    assert_eq!(
        during.status(),
        200,
        "modern requests go on until the deadline"
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
        "its inner stream is not even asked"
    );
    let late = world.ask(modern("subscriptions/listen")).await;
    assert_eq!(
        (late.status.as_u16(), &late.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_of_the_modern_era_says_when_it_is_at_its_end() {
    let guard = accepting_modern();
    let world = slow(guard.clone());
    let mut listen = begun(world.send(modern("subscriptions/listen")).await).await;
    assert!(!listen.is_end_stream());
    guard.drain(SECOND).await;
    assert!(listen.frame().await.is_none());
    assert!(
        listen.is_end_stream(),
        "though the inner service's is not at its end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_modern_era_is_over_when_its_last_stream_is_gone() {
    let guard = accepting_modern();
    let world = slow(guard.clone());
    let streams = [
        world.send(modern("subscriptions/listen")).await,
        world.send(modern("tools/call")).await,
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
async fn a_modern_call_that_is_under_way_when_a_drain_begins_gets_its_answer() {
    let guard = accepting_modern();
    let result = "data: {\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}\n\n";
    let handler = async move || {
        sleep(3 * SECOND).await;
        let frames = stream::iter([Ok::<_, Infallible>(result)]);
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(frames))
            .unwrap()
    };
    let world = World::around(guard.clone(), Router::new().route("/mcp", any(handler)));
    let call = tokio::spawn(async move { world.ask(modern("tools/call")).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    guard.drain(10 * SECOND).await;
    assert_eq!(begun.elapsed(), 2 * SECOND);
    assert_eq!(call.await.unwrap().text(), result);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_during_a_drain_wakes_no_stream_of_the_modern_era() {
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
            Poll::<Option<Result<Bytes, Infallible>>>::Pending
        });
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(frames))
            .unwrap()
    };
    let world = World::around(guard.clone(), Router::new().route("/mcp", any(handler)));
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(world.open().await);
    }
    let listen = world.send(modern("subscriptions/listen")).await;
    tokio::spawn(listen.into_body().collect());
    tokio::spawn(guard.drain(60 * SECOND));
    yield_now().await;
    let before = polls.load(Ordering::SeqCst);
    assert_ne!(before, 0);
    for id in ids {
        assert!(world.sessions.end(&id));
        yield_now().await;
    }
    assert_eq!(polls.load(Ordering::SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_under_way_at_the_deadline_is_answered_and_opens_nothing() {
    let guard = SessionGuardLayer::new();
    let handler = async || std::future::pending::<Response>().await;
    let world = World::around(guard.clone(), Router::new().route("/mcp", any(handler)));
    let opening = tokio::spawn({
        let world = world.clone();
        async move { world.ask(post(None, INITIALIZE)).await }
    });
    sleep(SECOND).await;
    guard.drain(10 * SECOND).await;
    let answer = timeout(SECOND, opening).await.unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, &*ENDED.replace("\"c1\"", "0"))
    );
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    assert!(world.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_begins_while_an_opening_fails_is_over_early() {
    type Draining = Pin<Box<dyn Future<Output = ()> + Send>>;
    let draining = Arc::new(Mutex::new(None::<Draining>));
    let polled = draining.clone();
    let guard = SessionGuardLayer::builder()
        .id_generator(move || {
            if let Some(drain) = &mut *polled.lock().unwrap() {
                assert_eq!(drain.as_mut().now_or_never(), None, "a place is taken");
                return String::new();
            }
            "fine".to_owned()
        })
        .build()
        .unwrap();
    let world = World::new(guard.clone());
    *draining.lock().unwrap() = Some(Box::pin(guard.drain(10 * SECOND)));
    let begun = Instant::now();
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
    let drain = draining.lock().unwrap().take().unwrap();
    drain.await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_several_deadlines_the_earliest_counts_and_guards_that_share_drain_together() {
    let files = SessionGuardLayer::new();
    let mail = SessionGuardLayer::with_sessions(&files.sessions())
        .scope("mail")
        .build()
        .unwrap();
    let (world, shared) = (World::new(files.clone()), World::new(mail.clone()));
    let session = world.open().await;
    let session = world.sessions.get(&session).unwrap();
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
        .expect("nothing is left to wait for")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn newcomers_are_told_the_seconds_until_the_earliest_deadline() {
    let guard = SessionGuardLayer::new();
    let world = World::new(guard.clone());
    let _open = world.open().await;
    let mut drains = Vec::new();
    for (patience, left) in [(60, "60"), (10, "10"), (30, "10")] {
        drains.push(tokio::spawn(guard.drain(patience * SECOND)));
        tokio::task::yield_now().await;
        let refused = world.ask(post(None, INITIALIZE)).await;
        assert_eq!(refused.headers["retry-after"], left);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_event_stream_of_the_modern_era_just_ends() {
    let guard = accepting_modern();
    let handler = async || ([("content-encoding", "gzip")], events());
    let app = Router::new().route("/mcp", any(handler));
    let world = World::around(guard.clone(), app);
    let call = begun(world.send(modern("tools/call")).await).await;
    guard.drain(10 * SECOND).await;
    assert_eq!(rest(call).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_of_the_modern_era_is_woken_by_the_end_of_a_drain() {
    let guard = accepting_modern();
    let world = slow(guard.clone());
    let listen = begun(world.send(modern("subscriptions/listen")).await).await;
    let listen = tokio::spawn(to_bytes(listen, usize::MAX));
    guard.drain(10 * SECOND).await;
    let rest = timeout(SECOND, listen).await.expect("it ends");
    assert_eq!(rest.unwrap().unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_drain_given_up_ends_nothing() {
    let guard = SessionGuardLayer::new();
    let world = World::new(guard.clone());
    let id = world.open().await;
    assert!(timeout(SECOND, guard.drain(10 * SECOND)).await.is_err());
    sleep(20 * SECOND).await;
    assert_eq!(world.ping(&id).await, 200);
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
}

// An inner service that keeps sessions of its own.

type Told = Arc<Mutex<Vec<(HeaderMap, String, Option<EndReason>)>>>;

/// Opens sessions under the id `own-<n>`, answers DELETE by `status`, and notes what DELETEs came.
fn keeping(guard: SessionGuardBuilder, status: u16) -> (World, Told) {
    let told = Told::default();
    let deletes = told.clone();
    let opened = Arc::new(Mutex::new(0));
    let handler = move |request: Request<Body>| {
        let (deletes, opened) = (deletes.clone(), opened.clone());
        async move {
            if request.method() == Method::DELETE {
                let reason = McpSession::from_extensions(request.extensions())
                    .unwrap()
                    .end_reason();
                let uri = request.uri().to_string();
                deletes
                    .lock()
                    .unwrap()
                    .push((request.headers().clone(), uri, reason));
                return Response::builder()
                    .status(status)
                    .body(Body::empty())
                    .unwrap();
            }
            let is_stream = request.headers().contains_key("x-events");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if body != INITIALIZE {
                return Response::builder().status(202).body(Body::empty()).unwrap();
            }
            let mut response = match is_stream {
                true => events(),
                false => json_response(200, &initialize_result(&0.into())),
            };
            let mut opened = opened.lock().unwrap();
            *opened += 1;
            let id = format!("own-{opened}").parse().unwrap();
            response.headers_mut().insert("mcp-session-id", id);
            response
        }
    };
    let app = Router::new().route("/mcp", any(handler));
    (World::around(guard.build().unwrap(), app), told)
}

fn telling() -> SessionGuardBuilder {
    SessionGuardLayer::builder().end_inner_sessions()
}

fn ids(told: &Told) -> Vec<String> {
    let told = told.lock().unwrap();
    let mut ids: Vec<_> = told
        .iter()
        .map(|(headers, ..)| headers["mcp-session-id"].to_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_is_told_of_the_sessions_that_the_guard_has_ended() {
    let (world, told) = keeping(telling().lifetime(3600 * SECOND), 204);
    let id = world.open().await;
    world.sessions.end(&id);
    sleep(SECOND).await;
    {
        let told = told.lock().unwrap();
        let [(headers, uri, reason)] = &told[..] else {
            panic!("one DELETE: {told:?}");
        };
        assert_eq!((uri.as_str(), *reason), ("/mcp", Some(EndReason::Revoked)));
        let mut sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        sent.sort();
        assert_eq!(
            sent,
            [
                ("host", "localhost:8000"),
                ("mcp-protocol-version", "2025-11-25"),
                ("mcp-session-id", "own-1"),
            ]
        );
    }
    let id = world.open_and_use().await;
    assert_eq!(
        world.sessions.get(&id).unwrap().ended().await,
        EndReason::Idle
    );
    world.open().await;
    sleep(301 * SECOND).await;
    assert_eq!(ids(&told), ["own-1", "own-2", "own-3"], "expired ones too");
}

#[tokio::test(start_paused = true)]
async fn a_session_opened_over_http_2_is_ended_under_the_host_of_its_authority() {
    let (world, told) = keeping(telling(), 204);
    let mut request = post(None, INITIALIZE);
    request.headers_mut().remove("host");
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = "http://localhost:8000/mcp".parse().unwrap();
    let answer = world.ask(request).await;
    let id = answer.headers["mcp-session-id"].to_str().unwrap();
    world.sessions.end(id);
    sleep(SECOND).await;
    let told = told.lock().unwrap();
    assert_eq!(told[0].0["host"], "localhost:8000");
    assert_eq!(told[0].1, "/mcp");
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_is_not_told_what_it_knows_or_was_not_asked_to_hear() {
    let (world, told) = keeping(SessionGuardLayer::builder(), 204);
    let id = world.open().await;
    world.sessions.end(&id);
    sleep(SECOND).await;
    assert_eq!(ids(&told), [""; 0], "off by default");

    let (world, told) = keeping(telling(), 204);
    let id = world.open().await;
    assert_eq!(
        world.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    sleep(SECOND).await;
    assert_eq!(ids(&told), ["own-1"], "the client's DELETE alone");

    let world = World::new(telling().build().unwrap());
    let id = world.open().await;
    world.sessions.end(&id);
    sleep(SECOND).await;
    assert_eq!(
        world.inner.count(),
        1,
        "an inner service without an id is not asked"
    );
}

#[tokio::test(start_paused = true)]
async fn an_inner_session_behind_an_answer_that_opened_none_outside_is_ended_too() {
    let (world, told) = keeping(telling(), 204);
    // The client leaves before it has the answer whole.
    drop(world.send(post(None, INITIALIZE)).await);
    let mut request = post(None, INITIALIZE);
    request
        .headers_mut()
        .insert("x-events", "1".parse().unwrap());
    // The stream never carries the response.
    let stream = world.send(request).await;
    sleep(61 * SECOND).await;
    drop(stream);
    assert_eq!(ids(&told), ["own-1", "own-2"]);
    assert!(world.sessions.is_empty());
}

/// An inner service with an id of its own that does what a test says; counts the DELETEs done.
fn doing<F, Fut>(guard: SessionGuardLayer, work: F) -> (World, Arc<AtomicUsize>)
where
    F: FnOnce(Method, McpSession) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send,
{
    let deletes = Arc::<AtomicUsize>::default();
    let counted = deletes.clone();
    let handler = async move |method: Method, session: McpSession| {
        let is_delete = method == Method::DELETE;
        let mut response = work(method, session).await;
        if is_delete {
            counted.fetch_add(1, Ordering::SeqCst);
        } else {
            let id = "own".parse().unwrap();
            response.headers_mut().insert("mcp-session-id", id);
        }
        response
    };
    let app = Router::new().route("/mcp", any(handler));
    (World::around(guard, app), deletes)
}

/// Takes a while for each DELETE.
fn slow_to_delete(
    guard: SessionGuardLayer,
    status: u16,
    wait: Duration,
) -> (World, Arc<AtomicUsize>) {
    doing(guard, async move |method: Method, _: McpSession| {
        if method != Method::DELETE {
            return opened();
        }
        sleep(wait).await;
        empty(status)
    })
}

fn opened() -> Response {
    json_response(200, &initialize_result(&0.into()))
}

fn empty(status: u16) -> Response {
    let response = Response::builder().status(status);
    response.body(Body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_inner_session_behind_an_empty_answer_or_one_of_another_type_is_ended_too() {
    for (status, kind, body, told) in [
        (202, "application/json", "", 1),
        (200, "text/plain", "hello", 1),
        (200, "application/json", "no json", 1),
        // It has refused to open one.
        (400, "application/json", "no", 0),
    ] {
        let guard = telling().build().unwrap();
        let work = async move |method: Method, _: McpSession| match method {
            Method::DELETE => empty(204),
            _ => Response::builder()
                .status(status)
                .header("content-type", kind)
                .body(Body::from(body))
                .unwrap(),
        };
        let (world, deletes) = doing(guard, work);
        assert_eq!(world.ask(post(None, INITIALIZE)).await.text(), body);
        sleep(SECOND).await;
        let heard = deletes.load(Ordering::SeqCst);
        assert_eq!(heard, told, "{status} {kind} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_ends_the_session_it_opens_is_told_of_the_end() {
    let work = async |method: Method, session: McpSession| {
        if method == Method::DELETE {
            return empty(204);
        }
        assert!(session.end());
        opened()
    };
    let (world, deletes) = doing(telling().build().unwrap(), work);
    let answer = world.ask(post(None, INITIALIZE)).await;
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    sleep(SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_ends_the_session_in_its_delete_is_not_told_again() {
    let work = async |method: Method, session: McpSession| {
        if method != Method::DELETE {
            return opened();
        }
        assert!(session.end());
        empty(204)
    };
    let (world, deletes) = doing(telling().build().unwrap(), work);
    let id = world.open().await;
    world.ask(bodiless(Method::DELETE, Some(&id))).await;
    sleep(10 * SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_hears_of_a_delete_whose_client_left() {
    let (world, deletes) = slow_to_delete(telling().build().unwrap(), 204, SECOND);
    let id = world.open().await;
    let delete = world.send(bodiless(Method::DELETE, Some(&id)));
    assert!(timeout(SECOND / 2, delete).await.is_err());
    assert!(world.sessions.is_empty());
    sleep(10 * SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_1024_words_to_an_inner_service_wait() {
    let (world, told) = keeping(telling(), 204);
    for _ in 0..1100 {
        world.open().await;
    }
    assert_eq!(world.sessions.end_all(), 1100);
    sleep(SECOND).await;
    assert_eq!(ids(&told).len(), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_until_the_inner_service_has_been_told_however_it_answers() {
    for status in [204, 404, 405, 500] {
        let guard = telling().build().unwrap();
        let (world, deletes) = slow_to_delete(guard.clone(), status, SECOND);
        for _ in 0..100 {
            world.open().await;
        }
        let begun = Instant::now();
        guard.drain(SECOND).await;
        // 100 of them, 32 at once, a second each.
        assert_eq!(begun.elapsed(), 5 * SECOND);
        assert_eq!(deletes.load(Ordering::SeqCst), 100);
        assert_eq!(world.ask(post(None, PING)).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_inner_services_of_guards_that_share() {
    let files = SessionGuardLayer::new();
    let mail = SessionGuardLayer::with_sessions(&files.sessions())
        .scope("mail")
        .end_inner_sessions()
        .build();
    let (world, deletes) = slow_to_delete(mail.unwrap(), 204, SECOND);
    world.open().await;
    files.drain(SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_inner_services_hold_a_drain_up_for_five_seconds_in_all() {
    // What is under way or waits when the drain is over goes on, 5 s each.
    for (wait, then, later) in [(2 * SECOND, 64, 100), (3600 * SECOND, 0, 0)] {
        let guard = telling().build().unwrap();
        let (world, deletes) = slow_to_delete(guard.clone(), 204, wait);
        for _ in 0..100 {
            world.open().await;
        }
        let begun = Instant::now();
        guard.drain(SECOND).await;
        assert_eq!(begun.elapsed(), 6 * SECOND);
        assert_eq!(deletes.load(Ordering::SeqCst), then);
        sleep(60 * SECOND).await;
        assert_eq!(deletes.load(Ordering::SeqCst), later);
    }
}
