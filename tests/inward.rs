//! Bytes and fields that never reach the inner service, and those that never come back from it,
//! request by request. `tests/wire.rs` tests the same over sockets.

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post as on_post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use mcp_session_guard::store::MemoryStore;
use mcp_session_guard::{Eras, McpMessage, SessionGuardBuilder, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
use tower::{Layer, ServiceExt, service_fn};

use support::{
    Answer, INITIALIZE, PING, TestServer, bodiless, initialize_result, json_response, opened, post,
    request, session_id,
};

const PREFLIGHT: &str = "OPTIONS /mcp\nhost: localhost\norigin: http://localhost:8000\naccess-control-request-method: POST";

/// The methods and bodies that the inner service received.
type Seen = Arc<Mutex<Vec<(Method, Bytes)>>>;

/// A guard around an inner service that names its own session id in every answer and in its
/// trailers.
fn naming(guard: SessionGuardBuilder) -> (TestServer, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let inner = async move |message: Option<McpMessage>, request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let refuses = parts.headers.contains_key("x-refuse");
        log.lock().unwrap().push((parts.method, body));
        let is_opening = message.is_some_and(|message| message.method() == Some("initialize"));
        let text = initialize_result(&json!(0)).to_string();
        let mut response = match is_opening {
            true => Response::new(Body::from(text)),
            false => Response::new(with_trailers(text)),
        };
        if refuses {
            *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
        }
        let headers = response.headers_mut();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert("mcp-session-id", "own".parse().unwrap());
        response
    };
    (TestServer::around(guard.build().unwrap(), inner), seen)
}

fn with_trailers(text: impl Into<Bytes>) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("mcp-session-id", "own".parse().unwrap());
    trailers.insert("x-sum", "1".parse().unwrap());
    let frames = [
        Ok::<_, Infallible>(Frame::data(text.into())),
        Ok(Frame::trailers(trailers)),
    ];
    Body::new(StreamBody::new(stream::iter(frames)))
}

/// A body of `bytes` bytes that never ends.
fn endless(bytes: usize) -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b'x'; bytes]))]);
    Body::from_stream(first.chain(stream::pending()))
}

async fn names_no_session(response: Response) {
    assert!(!response.headers().contains_key("mcp-session-id"));
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().expect("other trailers pass");
    assert_eq!(trailers["x-sum"], "1");
    assert!(!trailers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn no_head_or_trailer_of_an_answer_names_the_inner_session() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let guard = SessionGuardLayer::builder().eras(Eras::Both);
        let (server, _) = naming(guard);
        let id = server.open().await;
        let modern = request(
            "POST /mcp\nhost: localhost\ncontent-type: application/json\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}",
        );
        let mut refused = bodiless(Method::DELETE, Some(&id));
        let yes = "yes".parse().unwrap();
        refused.headers_mut().insert("x-refuse", yes);
        for mut request in [
            request(PREFLIGHT),
            post(Some(&id), PING),
            bodiless(Method::GET, Some(&id)),
            modern,
            refused,
        ] {
            *request.version_mut() = version;
            names_no_session(server.send(request).await).await;
        }
    }
}

#[tokio::test]
async fn trailers_after_a_body_of_known_length_name_no_session_on_http_2() {
    let inner = async |message: Option<McpMessage>| {
        if message.is_some_and(|message| message.method() == Some("initialize")) {
            return opened();
        }
        let trailers = async {
            let mut trailers = HeaderMap::new();
            trailers.insert("mcp-session-id", "own".parse().unwrap());
            trailers.insert("x-sum", "1".parse().unwrap());
            Some(Ok(trailers))
        };
        let body = Full::new(Bytes::from("{}")).with_trailers(trailers);
        Response::new(Body::new(body))
    };
    let server = TestServer::around(SessionGuardLayer::new(), inner);
    let id = server.open().await;
    let mut request = post(Some(&id), PING);
    *request.version_mut() = Version::HTTP_2;
    names_no_session(server.send(request).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_forwarded_without_its_body() {
    let (server, seen) = naming(SessionGuardLayer::builder());
    let id = server.open().await;
    seen.lock().unwrap().clear();
    let mut delete = bodiless(Method::DELETE, Some(&id));
    *delete.body_mut() = Body::from(PING);
    assert_eq!(server.ask(delete).await.status, 204);
    assert_eq!(seen.lock().unwrap()[..], [(Method::DELETE, Bytes::new())]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_whose_body_never_ends_still_ends_the_session() {
    for has_store in [false, true] {
        for own in [false, true] {
            let mut guard = SessionGuardLayer::builder();
            if has_store {
                guard = guard.store(MemoryStore::new());
            }
            let server = match own {
                true => naming(guard).0,
                false => TestServer::build(guard),
            };
            let id = server.open().await;
            let mut delete = bodiless(Method::DELETE, Some(&id));
            *delete.body_mut() = endless(10);
            let start = Instant::now();
            assert_eq!(server.ask(delete).await.status, 204);
            assert!(start.elapsed() <= Duration::from_secs(3));
            assert_eq!(server.ping(&id).await, 404);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_get_that_waits_for_its_body_holds_no_concurrency_permit() {
    let inner = async |message: Option<McpMessage>| match message {
        Some(_) => opened(),
        None => Response::new(Body::empty()),
    };
    let app = Router::new().route("/mcp", any(inner).layer(ConcurrencyLimitLayer::new(1)));
    let server = TestServer::around_app(SessionGuardLayer::new(), app);
    let id = server.open().await;
    let mut slow = bodiless(Method::GET, Some(&id));
    *slow.body_mut() = endless(10);
    let (answer, ()) = tokio::join!(server.ask(slow), async {
        assert_eq!(server.ping(&id).await, 200);
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_session_ends_while_its_body_is_dropped_never_reaches_the_inner_service() {
    for method in [Method::GET, Method::DELETE] {
        let (server, seen) = naming(SessionGuardLayer::builder());
        let id = server.open().await;
        seen.lock().unwrap().clear();
        let mut slow = bodiless(method, Some(&id));
        *slow.body_mut() = endless(10);
        let start = Instant::now();
        let is_get = slow.method() == Method::GET;
        let (answer, ()) = tokio::join!(server.ask(slow), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(server.sessions.end(&id));
        });
        assert_eq!(answer.status, 404);
        assert!(!is_get || start.elapsed() < Duration::from_secs(2));
        assert!(seen.lock().unwrap().is_empty());
    }
}

/// The requests wait for the only permit of the inner service. A call of another session holds it.
#[tokio::test]
async fn a_request_that_waits_for_a_permit_is_answered_when_its_session_ends() {
    let inner = service_fn(async |request: Request<Body>| {
        match McpMessage::from_extensions(request.extensions()).and_then(McpMessage::method) {
            Some("initialize") => Ok::<_, Infallible>(opened()),
            _ => std::future::pending().await,
        }
    });
    for (session, message, status, text) in [
        ("b", None, 404, "Session not found"),
        ("b", Some(PING), 200, "Session ended"),
        ("", Some(INITIALIZE), 200, "Session ended"),
    ] {
        let layer = SessionGuardLayer::new();
        let sessions = layer.sessions();
        let service = layer.layer(ConcurrencyLimit::new(inner, 1));
        let open = async || {
            let opened = service.clone().oneshot(post(None, INITIALIZE)).await;
            let opened = Answer::of(opened.unwrap()).await;
            opened.session_id()
        };
        let (a, b) = (open().await, open().await);
        // A body that has not arrived yet makes the request release the permit.
        let (sender, receiver) = tokio::sync::oneshot::channel::<&str>();
        let late = stream::once(async move { Ok::<_, Infallible>(receiver.await.unwrap()) });
        let session = Some(&*b).filter(|_| session == "b");
        let mut request = match message {
            Some(_) => post(session, ""),
            None => bodiless(Method::GET, session),
        };
        *request.body_mut() = Body::from_stream(late);
        let asked = tokio::spawn(service.clone().oneshot(request));
        tokio::task::yield_now().await;
        let holds = tokio::spawn(service.clone().oneshot(post(Some(&a), PING)));
        while sessions.get(&a).unwrap().in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        sender.send(message.unwrap_or("dropped")).unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!asked.is_finished());
        match session {
            Some(id) => assert!(sessions.end(id)),
            None => assert_eq!(sessions.end_all(), 3),
        }
        let answer = Answer::of(asked.await.unwrap().unwrap()).await;
        assert_eq!(answer.status, status, "{message:?}");
        assert!(answer.text().contains(text), "{}", answer.text());
        holds.abort();
    }
}

#[tokio::test]
async fn report_only_records_options_and_passes_it_unchanged() {
    let guard = SessionGuardLayer::builder().report_only();
    let server = TestServer::build(guard);
    let id = server.open().await;
    for (text, reason) in [
        (
            "origin: https://evil.example\naccess-control-request-method: POST",
            "origin_not_allowed",
        ),
        ("x: y", "method_not_allowed"),
    ] {
        let text = format!(
            "OPTIONS /mcp\nhost: localhost\ncontent-type: application/json\nmcp-session-id: {id}\n{text}\n\n{PING}"
        );
        let sent = request(&text);
        let headers = sent.headers().clone();
        assert_eq!(server.send(sent).await.status(), 200);
        let seen = server.inner.calls().pop().unwrap();
        assert_eq!((seen.body, seen.headers), (PING.into(), headers));
        let reported = server.sessions.stats().reported;
        assert!(reported.iter().any(|(known, _)| known.as_str() == reason));
    }
    // A valid preflight passes as usual.
    let sent = format!("{PREFLIGHT}\nmcp-session-id: {id}\n\n{PING}");
    assert_eq!(server.send(request(&sent)).await.status(), 200);
    let seen = server.inner.calls().pop().unwrap();
    assert!(seen.body.is_empty() && !seen.headers.contains_key("mcp-session-id"));
}

/// A handler that extracts its message as `Json`, like most.
async fn takes_json(Json(message): Json<Value>) -> Response {
    let id = message["id"].clone();
    match message["method"] == "initialize" {
        true => json_response(200, &initialize_result(&id)),
        false => json_response(200, &json!({"jsonrpc": "2.0", "id": id, "result": {}})),
    }
}

async fn takes_bytes(body: Bytes) -> impl IntoResponse {
    let message: Value = serde_json::from_slice(&body).unwrap();
    takes_json(Json(message)).await
}

fn large(bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"x":"{text}"}}}}"#)
}

async fn status(app: Router, guard: SessionGuardBuilder, bytes: usize) -> u16 {
    let server = TestServer::around_app(guard.build().unwrap(), app);
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), large(bytes))).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn handlers_that_take_json_or_bytes_get_bodies_up_to_the_guards_limit() {
    let guard = SessionGuardLayer::builder;
    for inner in [on_post(takes_json), on_post(takes_bytes)] {
        let app = Router::new().route("/mcp", inner);
        assert_eq!(status(app.clone(), guard(), 3 << 20).await, 200);
        assert_eq!(status(app.clone(), guard(), (4 << 20) - 200).await, 200);
        assert_eq!(
            status(app.clone(), guard().body_limit(9 << 20), 8 << 20).await,
            200
        );
        assert_eq!(status(app.clone(), guard(), 4 << 20).await, 413);
        let stateless = guard().stateless().build().unwrap();
        let server = TestServer::around_app(stateless, app);
        assert_eq!(server.ask(post(None, large(3 << 20))).await.status, 200);
    }
}

#[tokio::test]
async fn an_initialize_and_a_streamed_body_may_be_as_large_too() {
    let app = Router::new().route("/mcp", on_post(takes_json));
    let server = TestServer::around_app(SessionGuardLayer::new(), app);
    let padded = format!("{INITIALIZE}{}", " ".repeat(3 << 20));
    let opened = server.ask(post(None, padded)).await;
    assert_eq!(opened.status, 200);
    let id = session_id(&opened.headers);
    let text = large(3 << 20);
    let (one, other) = text.split_at(1000);
    let late = stream::iter([one.to_owned(), other.to_owned()]).then(async |part| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Bytes::from(part))
    });
    let late = Body::from_stream(Box::pin(late));
    assert_eq!(server.ask(post(Some(id), late)).await.status, 200);
}

#[tokio::test]
async fn a_stricter_limit_inside_wins_and_one_outside_does_not() {
    let inside = Router::new()
        .route("/mcp", on_post(takes_json))
        .layer(DefaultBodyLimit::max(1 << 20));
    let guard = SessionGuardLayer::builder;
    assert_eq!(status(inside.clone(), guard(), 900 << 10).await, 200);
    assert_eq!(status(inside, guard(), 2 << 20).await, 413);

    let layer = guard().build().unwrap();
    let app = Router::new().route("/mcp", on_post(takes_json));
    let app = app
        .layer(layer.clone())
        .layer(DefaultBodyLimit::max(1 << 20));
    let server = TestServer {
        app,
        sessions: layer.sessions(),
        inner: support::Recorder::default(),
    };
    let id = server.open().await;
    let answer = Answer::of(server.send(post(Some(&id), large(2 << 20))).await).await;
    assert_eq!(answer.status, 200);
}
