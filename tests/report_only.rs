//! Report-only mode: the guard records a refusal and passes the request to the inner service
//! unchanged.

mod support;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use mcp_session_guard::{
    Eras, Owner, RefusalReason, SessionEvent, SessionGuardBuilder, SessionGuardLayer,
};
use tokio::time::sleep;

use support::{
    INITIALIZE, INITIALIZED, PING, TestServer, bodiless, empty, opened, post, request, session_id,
    silent_stream,
};

const H: &str = "host: localhost\n";
const J: &str = "content-type: application/json\n";
const MODERN: &str = "mcp-protocol-version: 2026-07-28\nmcp-method: subscriptions/listen\n";

fn reporting() -> SessionGuardBuilder {
    SessionGuardLayer::builder().report_only()
}

/// A guard, and a list of the refusals that it reports.
fn server(guard: SessionGuardBuilder) -> (TestServer, Arc<Mutex<Vec<RefusalReason>>>) {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let hook = reported.clone();
    let guard = guard.hook(move |event: &SessionEvent<'_>| {
        if let SessionEvent::Refused { refusal, .. } = event {
            assert!(refusal.is_only_reported());
            hook.lock().unwrap().push(refusal.reason());
        }
    });
    (TestServer::build(guard), reported)
}

#[tokio::test(start_paused = true)]
async fn the_first_refusal_is_reported_and_the_request_passes_unchanged() {
    use RefusalReason::*;
    let ping = |head: &str| format!("POST /mcp\n{head}{J}\n{PING}");
    let body = |body: &str| format!("POST /mcp\n{H}{J}mcp-session-id: {{live}}\n\n{body}");
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    for (text, reason) in [
        (ping(""), HostMalformed),
        (ping("host: evil.example\n"), HostNotAllowed),
        (ping(&format!("{H}origin: null\n")), OriginNotAllowed),
        (format!("PUT /mcp\n{H}"), MethodNotAllowed),
        (
            ping(&format!("{H}mcp-session-id: {{live}}\nmcp-session-id: x\n")),
            RepeatedSessionId,
        ),
        (
            ping(&format!("{H}connection: mcp-session-id\n")),
            HopByHopMcpHeader,
        ),
        (format!("GET /mcp\n{H}"), StreamWithoutSession),
        (
            format!("DELETE /mcp\n{H}mcp-protocol-version: 2026-07-28\n"),
            OnlyPost,
        ),
        (
            ping(&format!("{H}mcp-session-id: unknown\n")),
            SessionNotFound,
        ),
        (ping(&format!("{H}mcp-session-id: a b\n")), SessionNotFound),
        (
            format!("GET /mcp\n{H}mcp-session-id: unknown\nlast-event-id: 7\n"),
            SessionNotFound,
        ),
        (
            format!("DELETE /mcp\n{H}mcp-session-id: {{ended}}\n"),
            SessionNotFound,
        ),
        (
            format!("GET /mcp\n{H}mcp-session-id: {{live}}\nmcp-protocol-version: x\n"),
            UnsupportedVersionHeader,
        ),
        (
            format!("POST /mcp\n{H}content-type: text/plain\n\nhello"),
            UnsupportedMediaType,
        ),
        (
            format!("POST /mcp\n{H}{J}content-encoding: gzip\n\n\u{1f}"),
            UnsupportedMediaType,
        ),
        (body(&format!("[{PING}]")), NotOneMessage),
        (
            body(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{deep}}}"#
            )),
            TooDeep,
        ),
        (
            body(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#),
            InvalidEnvelope,
        ),
        (
            body(r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#),
            InvalidId,
        ),
        (
            body(r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"x"}"#),
            AmbiguousKeys,
        ),
        (
            body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"x"}}"#),
            AmbiguousKeys,
        ),
        (
            body(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["\ud83d"]}"#),
            LoneSurrogate,
        ),
        (
            body(
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
            ),
            ModernEra,
        ),
        (
            ping(&format!(
                "{H}mcp-session-id: {{live}}\nmcp-protocol-version: 2025-01-01\n"
            )),
            UnsupportedVersionHeader,
        ),
        (
            body(r#"{"jsonrpc":"2.0","method":"initialize"}"#),
            InitializeWithoutId,
        ),
        (body(INITIALIZE), AlreadyInitialized),
        (
            ping(&format!(
                "{H}mcp-session-id: unknown\nmcp-protocol-version: 2026-07-28\n"
            )),
            SessionNotFound,
        ),
        (ping(H), MissingSessionId),
        (
            format!("POST /mcp\n{H}{J}\n{INITIALIZED}"),
            MissingSessionId,
        ),
    ] {
        let reason = match reason {
            // With a stale id and a modern header, row 15 comes first.
            SessionNotFound if text.contains("2026-07-28") && text.contains("POST") => ModernEra,
            other => other,
        };
        let (server, reported) = server(reporting());
        let live = server.open_and_use().await;
        let ended = server.open().await;
        server.sessions.end(&ended);
        server.inner.clear();
        let text = text.replace("{live}", &live).replace("{ended}", &ended);
        let asked = request(&text);
        let (method, headers) = (asked.method().clone(), asked.headers().clone());
        let answer = server.send(asked).await;
        assert_eq!(*reported.lock().unwrap(), [reason], "{text}");
        assert!(answer.status().is_success(), "{text}");
        let seen = server.inner.calls();
        let [seen] = &seen[..] else {
            panic!("the inner service is called once: {text}");
        };
        assert_eq!((&seen.method, &seen.headers), (&method, &headers), "{text}");
        let sent = text.split_once("\n\n").map_or("", |(_, body)| body);
        assert_eq!(seen.body, sent, "{text}");
        assert!(
            seen.session.is_none() && seen.message.is_none(),
            "no handle: {text}"
        );
        assert_eq!(server.sessions.len(), 1);
        drop(answer);
        assert_eq!(server.sessions.get(&live).unwrap().in_flight(), 0);
        assert_eq!(server.sessions.stats().reported[&reason], 1);
        assert!(server.sessions.stats().refused.is_empty());
    }
}

#[tokio::test]
async fn the_refusal_of_a_predicate_is_reported_even_when_it_panics() {
    use RefusalReason::*;
    let (server, reported) = server(
        reporting()
            .allowed_hosts_where(|name, _| match name {
                "broken.example" => panic!("no answer"),
                _ => name == "mcp.example",
            })
            .allowed_origins_where(|_, name, _| match name {
                "broken.example" => panic!("no answer"),
                _ => name == "app.example",
            })
            .stateless(),
    );
    for (head, reason) in [
        ("host: mcp.example", None),
        ("host: other.example", Some(HostNotAllowed)),
        ("host: broken.example", Some(HostNotAllowed)),
        ("host: mcp.example\norigin: https://app.example", None),
        // A predicate for hosts does not make their pages same-origin.
        (
            "host: mcp.example\norigin: https://mcp.example",
            Some(OriginNotAllowed),
        ),
        (
            "host: mcp.example\norigin: https://broken.example",
            Some(OriginNotAllowed),
        ),
    ] {
        let asked = request(&format!("POST /mcp\n{head}\n{J}\n{PING}"));
        assert!(server.ask(asked).await.status.is_success(), "{head}");
        assert_eq!(server.inner.count(), 1, "{head}");
        server.inner.clear();
        let reported = std::mem::take(&mut *reported.lock().unwrap());
        assert_eq!(reported, Vec::from_iter(reason), "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_is_still_refused() {
    let server = TestServer::build(reporting().body_limit(200));
    let stalls = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let breaks = Body::from_stream(stream::iter([Err::<Bytes, _>("broken")]));
    for (body, status) in [
        (Body::from("x".repeat(201)), 413),
        (stalls, 408),
        (breaks, 400),
        (Body::from("{"), 400),
        (Body::empty(), 400),
        (Body::from("\u{feff}{}"), 400),
    ] {
        assert_eq!(server.ask(post(None, body)).await.status, status);
    }
    let mut declared = post(None, PING);
    let length = "201".parse().unwrap();
    declared.headers_mut().insert("content-length", length);
    assert_eq!(server.ask(declared).await.status, 413);
    assert_eq!(server.inner.count(), 0);
    assert!(server.sessions.stats().reported.is_empty());
}

#[tokio::test(start_paused = true)]
async fn sessions_open_work_and_end_as_usual() {
    let (server, reported) = server(reporting());
    let id = server.open_and_use().await;
    assert_eq!(server.ping(&id).await, 200);
    let seen = server.inner.calls().pop().unwrap();
    assert_eq!(seen.session.unwrap().id().as_str(), id);
    assert!(!seen.headers.contains_key("mcp-session-id"));
    assert_eq!(
        server.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    assert!(reported.lock().unwrap().is_empty());
    let id = server.open_and_use().await;
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(
        server.ping(&id).await,
        200,
        "an expired session's request passes without a session"
    );
    assert_eq!(*reported.lock().unwrap(), [RefusalReason::SessionNotFound]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_session_limit_clients_get_no_session() {
    let (server, reported) = server(reporting().max_sessions(1));
    server.open_and_use().await;
    let answer = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key("mcp-session-id"));
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(*reported.lock().unwrap(), [RefusalReason::TooManySessions]);
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn owners_are_resolved_and_strangers_pass_without_a_session() {
    let guard = reporting()
        .owner(
            |request: &http::request::Parts| -> Result<_, axum::BoxError> {
                match request
                    .headers
                    .get("user")
                    .map(|user| user.to_str().unwrap())
                {
                    Some("fails") => Err("no".into()),
                    user => Ok(user.map(Owner::new)),
                }
            },
        )
        .require_owner();
    let (server, reported) = server(guard);
    let by = |user: &str, mut request: Request<Body>| {
        request.headers_mut().insert("user", user.parse().unwrap());
        request
    };
    let opened = server.ask(by("alice", post(None, INITIALIZE))).await;
    let id = session_id(&opened.headers);
    for request in [
        by("bob", post(Some(id), PING)),
        by("fails", post(Some(id), PING)),
        post(None, INITIALIZE),
    ] {
        let answer = server.ask(request).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.headers.contains_key("mcp-session-id"));
        assert!(server.inner.calls().pop().unwrap().session.is_none());
    }
    assert_eq!(
        *reported.lock().unwrap(),
        [
            RefusalReason::SessionNotFound,
            RefusalReason::OwnerUnresolved,
            RefusalReason::OwnerRequired,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_initialize_that_cannot_be_judged_passes_without_a_session() {
    let guard = reporting().build().unwrap();
    let sessions = guard.sessions();
    for (name, values) in [
        ("content-encoding", &["gzip"][..]),
        ("mcp-session-id", &["a", "b"]),
        ("mcp-session-id", &[""]),
    ] {
        let handler = move || async move {
            let mut answer = Response::builder().header("content-type", "application/json");
            for value in values {
                answer = answer.header(name, *value);
            }
            answer.body(Body::from("some bytes")).unwrap()
        };
        let server = TestServer::around(guard.clone(), handler);
        let answer = server.ask(post(None, INITIALIZE)).await;
        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::OK, "some bytes")
        );
        assert_eq!(answer.headers.get_all(name).iter().count(), values.len());
        assert!(server.sessions.is_empty());
    }
    assert_eq!(sessions.stats().reported[&RefusalReason::UnusableAnswer], 3);
}

/// An inner service like many: it opens sessions with its own id, accepts no other id, and answers
/// a ping slowly. Also returns the number of DELETEs.
fn with_own_id(guard: SessionGuardBuilder, is_encoded: bool) -> (TestServer, Arc<AtomicUsize>) {
    let deletes = Arc::<AtomicUsize>::default();
    let counted = deletes.clone();
    let handler = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        if body == INITIALIZE {
            let mut response = opened();
            let headers = response.headers_mut();
            headers.insert("mcp-session-id", "own".parse().unwrap());
            if is_encoded {
                headers.insert("content-encoding", "gzip".parse().unwrap());
            }
            return response;
        }
        if parts.method == Method::DELETE {
            counted.fetch_add(1, Ordering::SeqCst);
        } else {
            sleep(Duration::from_secs(90)).await;
        }
        let id = parts.headers.get("mcp-session-id");
        match id.is_some_and(|id| id == "own") {
            true => empty(200),
            false => empty(404),
        }
    };
    (TestServer::around(guard.build().unwrap(), handler), deletes)
}

fn with_an_unlisted_version(id: &str) -> Request<Body> {
    let mut request = post(Some(id), PING);
    let version = "2024-10-07".parse().unwrap();
    request
        .headers_mut()
        .insert("mcp-protocol-version", version);
    request
}

#[tokio::test(start_paused = true)]
async fn a_reported_request_of_a_live_session_carries_the_inner_id() {
    let (server, _) = with_own_id(reporting(), false);
    let id = server.open().await;
    let answer = server.ask(with_an_unlisted_version(&id)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_reported_request_keeps_its_session_alive() {
    let (server, _) = with_own_id(reporting().idle_timeout(Duration::from_secs(60)), false);
    let id = server.open().await;
    for _ in 0..5 {
        server.ask(with_an_unlisted_version(&id)).await;
        assert!(server.sessions.get(&id).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_reported_before_its_session_is_looked_up_keeps_the_session_alive_too() {
    let (server, _) = with_own_id(reporting().idle_timeout(Duration::from_secs(60)), false);
    let id = server.open().await;
    for _ in 0..5 {
        let mut request = post(Some(&id), PING);
        let host = "evil.example".parse().unwrap();
        request.headers_mut().insert("host", host);
        assert_eq!(server.ask(request).await.status, 200);
        assert!(server.sessions.get(&id).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_reported_request_of_a_live_session_passes_unchanged() {
    let (server, _) = server(reporting());
    let id = server.open().await;
    let answer = server.ask(with_an_unlisted_version(&id)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, r#"{"id":1,"jsonrpc":"2.0","result":{}}"#)
    );
}

#[tokio::test(start_paused = true)]
async fn an_encoded_answer_to_initialize_passes_with_the_inner_id_and_causes_no_inner_delete() {
    let (server, deletes) = with_own_id(reporting().end_inner_sessions(), true);
    let answer = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["mcp-session-id"], "own");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_beyond_the_limit_passes() {
    let handler = async || silent_stream();
    let server = TestServer::around(reporting().eras(Eras::Both).build().unwrap(), handler);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let listen = format!("POST /mcp\n{H}{J}{MODERN}\n{body}");
    let mut open = Vec::new();
    for _ in 0..1025 {
        let answer = server.send(request(&listen)).await;
        assert_eq!(answer.status(), 200);
        open.push(answer);
    }
    assert_eq!(
        server.sessions.stats().reported,
        [(RefusalReason::TooManyListeners, 1)].into()
    );
}
