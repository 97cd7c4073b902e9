//! Both eras at one endpoint: every combination of a message's era signals in every mode, and
//! `EraSplit`, which serves two eras.

mod support;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::any;
use http::{Method, Request};
use mcp_session_guard::{Era, EraSplit, Eras, McpMessage, SessionGuardBuilder, SessionGuardLayer};
use serde_json::json;
use tower::service_fn;

use support::{Answer, INITIALIZE, Seen, TestServer, bodiless, post, session_id, silent_stream};

type Configure = fn(SessionGuardBuilder) -> SessionGuardBuilder;

const MODES: [(&str, Configure); 5] = [
    ("sessions", |guard| guard),
    ("sessions + modern", |guard| guard.eras(Eras::Both)),
    ("stateless", SessionGuardBuilder::stateless),
    ("stateless + modern", |guard| {
        guard.stateless().eras(Eras::Both)
    }),
    ("modern", |guard| guard.eras(Eras::Sessionless)),
];
const KINDS: [&str; 4] = ["initialize", "request", "notification", "response"];
const CLAIMS: [&str; 3] = ["-", "2025-11-25", "2026-07-28"];
const HEADERS: [&str; 3] = ["-", "2025-11-25", "2026-07-28"];
const SESSIONS: [&str; 5] = ["none", "empty", "live", "stale", "foreign"];

fn message(kind: &str, claim: &str, header: &str, session: Option<&str>) -> Request<Body> {
    let mut message = match kind {
        "initialize" => serde_json::from_str(INITIALIZE).unwrap(),
        "request" => json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}),
        "notification" => json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {}}),
        _ => json!({"jsonrpc": "2.0", "id": 1, "result": {}, "params": {}}),
    };
    if claim != "-" {
        message["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": claim});
    }
    let mut request = post(session, message.to_string());
    if header != "-" {
        request
            .headers_mut()
            .insert("mcp-protocol-version", header.parse().unwrap());
    }
    if let Some(method) = message["method"].as_str() {
        request
            .headers_mut()
            .insert("mcp-method", method.parse().unwrap());
    }
    request
}

/// The outcome of a message in one word. `legacy`, `modern` and `opens` reached the inner service.
fn word(answer: &Answer, seen: &[Seen]) -> String {
    match seen {
        [] if answer.status == 404 && answer.json()["id"].is_null() => "404".to_owned(),
        [] => match answer.json()["error"]["message"].as_str() {
            Some("Bad Request: Missing session ID") => "missing".to_owned(),
            Some("Server already initialized") => "again".to_owned(),
            _ => answer.json()["error"]["code"].to_string(),
        },
        [seen] if seen.era.as_ref().is_some_and(Era::is_modern) => {
            assert!(!answer.headers.contains_key("mcp-session-id"));
            assert!(!seen.headers.contains_key("mcp-session-id"));
            assert!(seen.session.is_none());
            "modern".to_owned()
        }
        [_] if answer.headers.contains_key("mcp-session-id") => "opens".to_owned(),
        [_] => "legacy".to_owned(),
        _ => panic!("one request, {} calls", seen.len()),
    }
}

#[tokio::test]
async fn every_combination_of_era_signals_is_answered_as_the_table_says() {
    let elsewhere = TestServer::new(SessionGuardLayer::new());
    let foreign = elsewhere.open().await;
    let mut table = Vec::new();
    for (mode, configure) in MODES {
        let server = TestServer::build(configure(SessionGuardLayer::builder()));
        let keeps_sessions = mode.starts_with("sessions");
        let (live, stale) = match keeps_sessions {
            true => (server.open_and_use().await, server.open().await),
            false => (foreign.clone(), foreign.clone()),
        };
        server.sessions.end(&stale);
        for kind in KINDS {
            for claim in CLAIMS {
                for header in HEADERS {
                    let mut words = Vec::new();
                    for session in SESSIONS {
                        let id = match session {
                            "none" => None,
                            "empty" => Some(""),
                            "live" => Some(&*live),
                            "stale" => Some(&*stale),
                            _ => Some(&*foreign),
                        };
                        server.inner.clear();
                        let request = message(kind, claim, header, id);
                        let answer = server.ask(request).await;
                        words.push(word(&answer, &server.inner.calls()));
                    }
                    if words.iter().all(|word| *word == words[0]) {
                        words.truncate(1);
                    }
                    let words = words.join(" ");
                    table.push(format!(
                        "{mode:<18} | {kind:<12} {claim:<10} {header:<10} | {words}"
                    ));
                }
            }
        }
    }
    for (got, expected) in table.iter().zip(TABLE.trim().lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(table.len(), TABLE.trim().lines().count());
}

#[tokio::test]
async fn a_forged_claim_never_reaches_a_legacy_handler_without_a_session() {
    for configure in [MODES[0].1, MODES[1].1] {
        let server = TestServer::build(configure(SessionGuardLayer::builder()));
        for claim in [
            "2025-11-25",
            "2024-11-05",
            "2026-07-27",
            "2026-07-28",
            "",
            "x",
        ] {
            for header in HEADERS {
                server.ask(message("request", claim, header, None)).await;
            }
        }
        let legacy = server
            .inner
            .calls()
            .iter()
            .filter(|seen| !seen.era.as_ref().is_some_and(Era::is_modern))
            .count();
        assert_eq!(legacy, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_modern_request_touches_no_session() {
    let guard = SessionGuardLayer::builder().eras(Eras::Both);
    let server = TestServer::build(guard);
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    tokio::time::sleep(Duration::from_secs(29 * 60)).await;
    let answer = server
        .ask(message("request", "2026-07-28", "2026-07-28", Some(&id)))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(session.idle(), Duration::from_secs(29 * 60));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.ping(&id).await, 404);
}

#[tokio::test]
async fn a_sessions_own_version_is_legacy_whatever_its_date() {
    for (guard, elsewhere) in [
        (SessionGuardLayer::builder(), "-32600"),
        (SessionGuardLayer::builder().eras(Eras::Both), "-32602"),
    ] {
        let inner = Router::new().route(
            "/mcp",
            any(async || {
                let result = json!({"protocolVersion": "2026-07-28"});
                support::json_response(200, &json!({"jsonrpc": "2.0", "id": 0, "result": result}))
            }),
        );
        let server = TestServer::around_app(guard.build().unwrap(), inner);
        let id = server.open().await;
        for claim in ["-", "2026-07-28"] {
            let answer = server
                .ask(message("request", claim, "2026-07-28", Some(&id)))
                .await;
            assert_eq!(answer.status, 200, "{claim}");
        }
        // A version other than the session's own is not legacy. Neither is that version without the
        // session's id.
        for (header, session) in [("2026-07-29", Some(&*id)), ("2026-07-28", None)] {
            let answer = server.ask(message("request", "-", header, session)).await;
            assert_eq!(answer.json()["error"]["code"].to_string(), elsewhere);
        }
        let stream = server.send(bodiless(Method::GET, Some(&id))).await;
        assert_eq!(stream.status(), 200);
    }
}

#[tokio::test]
async fn handlers_know_the_era_and_the_version() {
    let guard = SessionGuardLayer::builder().eras(Eras::Both);
    let server = TestServer::build(guard);
    let id = server.open_and_use().await;
    server.inner.clear();
    server.ask(post(None, INITIALIZE)).await;
    server.ask(message("request", "-", "-", Some(&id))).await;
    server
        .ask(message("request", "-", "2025-06-18", Some(&id)))
        .await;
    server.send(bodiless(Method::GET, Some(&id))).await;
    server
        .ask(message("request", "2026-07-28", "2026-07-28", None))
        .await;
    server
        .ask(message("notification", "-", "2027-01-01", None))
        .await;
    let eras: Vec<_> = server
        .inner
        .calls()
        .into_iter()
        .map(|seen| seen.era.unwrap())
        .collect();
    let legacy = |version: &'static str| Era::Legacy(Some(version.into()));
    assert_eq!(
        eras,
        [
            Era::Legacy(None),
            legacy("2025-11-25"),
            legacy("2025-06-18"),
            legacy("2025-11-25"),
            Era::Modern("2026-07-28".into()),
            Era::Modern("2027-01-01".into()),
        ]
    );
    assert_eq!(
        (eras[0].version(), eras[1].version()),
        (None, Some("2025-11-25"))
    );
    for seen in server.inner.calls() {
        let era = seen.message.as_ref().map(McpMessage::era);
        assert!(era.is_none() || era == seen.era.as_ref());
    }
}

#[tokio::test]
async fn no_more_than_1024_subscriptions_are_open_at_once() {
    async fn listen() -> Response {
        silent_stream()
    }
    let guard = SessionGuardLayer::builder()
        .eras(Eras::Both)
        .build()
        .unwrap();
    let server = TestServer::around(guard, listen);
    let ask = |method: &str| {
        let text = json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": {
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
        }});
        let mut request = post(None, text.to_string());
        let headers = request.headers_mut();
        headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        headers.insert("mcp-method", method.parse().unwrap());
        server.send(request)
    };
    let mut open = Vec::new();
    for _ in 0..1024 {
        let response = ask("subscriptions/listen").await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    let refused = Answer::of(ask("subscriptions/listen").await).await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.headers["retry-after"].as_bytes()
        ),
        (503, &b"5"[..])
    );
    assert_eq!(
        (&refused.json()["error"]["code"], &refused.json()["id"]),
        (&json!(-32603), &json!(5))
    );
    assert_eq!(
        ask("server/discover").await.status(),
        200,
        "no other request is limited"
    );
    open.pop();
    assert_eq!(ask("subscriptions/listen").await.status(), 200);
}

#[tokio::test]
async fn two_services_each_get_their_own_era() {
    let answering = |name: &'static str| {
        service_fn(move |_: Request<Body>| async move {
            let result = if name == "legacy" { "2025-11-25" } else { name };
            Ok::<_, Infallible>(support::json_response(
                200,
                &json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": result}}),
            ))
        })
    };
    let both = EraSplit::new(answering("legacy"), answering("modern"));
    let bare = Router::new().route_service("/mcp", both.clone());
    let guard = SessionGuardLayer::builder()
        .eras(Eras::Both)
        .build()
        .unwrap();
    let server = TestServer::around_app(guard, bare.clone());

    let named = |answer: &Answer| {
        answer.json()["result"]["protocolVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let opened = server.ask(post(None, INITIALIZE)).await;
    assert_eq!(named(&opened), "2025-11-25");
    let id = session_id(&opened.headers);
    let legacy = server
        .ask(message("request", "-", "2025-11-25", Some(id)))
        .await;
    assert_eq!(named(&legacy), "2025-11-25");
    let modern = server
        .ask(message("request", "2026-07-28", "2026-07-28", Some(id)))
        .await;
    assert_eq!(named(&modern), "modern");

    // Without a guard the era is unknown, so neither service is called.
    let unguarded = tower::ServiceExt::oneshot(bare, post(None, INITIALIZE))
        .await
        .unwrap();
    let unguarded = Answer::of(unguarded).await;
    assert_eq!(unguarded.status, 500);
    assert!(unguarded.text().contains("SessionGuardLayer"));
}

/// Mode | message, claim, version header | the outcome with no session id, an empty one, a live
/// one, a stale one, and one of another guard (one word if all are equal). A number is the code of
/// a refusal. `missing`, `again` and `404` are refusals about sessions. The other words mean that
/// the message reached the inner service.
const TABLE: &str = "
sessions           | initialize   -          -          | opens opens again 404 404
sessions           | initialize   -          2025-11-25 | opens opens again 404 404
sessions           | initialize   -          2026-07-28 | opens opens again 404 404
sessions           | initialize   2025-11-25 -          | opens opens again 404 404
sessions           | initialize   2025-11-25 2025-11-25 | opens opens again 404 404
sessions           | initialize   2025-11-25 2026-07-28 | opens opens again 404 404
sessions           | initialize   2026-07-28 -          | -32600 -32600 -32600 404 404
sessions           | initialize   2026-07-28 2025-11-25 | -32600 -32600 -32600 404 404
sessions           | initialize   2026-07-28 2026-07-28 | -32600
sessions           | request      -          -          | missing missing legacy 404 404
sessions           | request      -          2025-11-25 | missing missing legacy 404 404
sessions           | request      -          2026-07-28 | -32600
sessions           | request      2025-11-25 -          | missing missing legacy 404 404
sessions           | request      2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions           | request      2025-11-25 2026-07-28 | -32600
sessions           | request      2026-07-28 -          | -32600 -32600 -32600 404 404
sessions           | request      2026-07-28 2025-11-25 | -32600 -32600 -32600 404 404
sessions           | request      2026-07-28 2026-07-28 | -32600
sessions           | notification -          -          | missing missing legacy 404 404
sessions           | notification -          2025-11-25 | missing missing legacy 404 404
sessions           | notification -          2026-07-28 | -32600
sessions           | notification 2025-11-25 -          | missing missing legacy 404 404
sessions           | notification 2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions           | notification 2025-11-25 2026-07-28 | -32600
sessions           | notification 2026-07-28 -          | -32600 -32600 -32600 404 404
sessions           | notification 2026-07-28 2025-11-25 | -32600 -32600 -32600 404 404
sessions           | notification 2026-07-28 2026-07-28 | -32600
sessions           | response     -          -          | missing missing legacy 404 404
sessions           | response     -          2025-11-25 | missing missing legacy 404 404
sessions           | response     -          2026-07-28 | -32600
sessions           | response     2025-11-25 -          | missing missing legacy 404 404
sessions           | response     2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions           | response     2025-11-25 2026-07-28 | -32600
sessions           | response     2026-07-28 -          | -32600 -32600 -32600 404 404
sessions           | response     2026-07-28 2025-11-25 | -32600 -32600 -32600 404 404
sessions           | response     2026-07-28 2026-07-28 | -32600
sessions + modern  | initialize   -          -          | opens opens again 404 404
sessions + modern  | initialize   -          2025-11-25 | opens opens again 404 404
sessions + modern  | initialize   -          2026-07-28 | opens opens again 404 404
sessions + modern  | initialize   2025-11-25 -          | opens opens again 404 404
sessions + modern  | initialize   2025-11-25 2025-11-25 | opens opens again 404 404
sessions + modern  | initialize   2025-11-25 2026-07-28 | opens opens again 404 404
sessions + modern  | initialize   2026-07-28 -          | -32601 -32601 -32601 404 404
sessions + modern  | initialize   2026-07-28 2025-11-25 | -32601 -32601 -32601 404 404
sessions + modern  | initialize   2026-07-28 2026-07-28 | -32601
sessions + modern  | request      -          -          | missing missing legacy 404 404
sessions + modern  | request      -          2025-11-25 | missing missing legacy 404 404
sessions + modern  | request      -          2026-07-28 | -32602
sessions + modern  | request      2025-11-25 -          | missing missing legacy 404 404
sessions + modern  | request      2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions + modern  | request      2025-11-25 2026-07-28 | -32020
sessions + modern  | request      2026-07-28 -          | -32020 -32020 -32020 404 404
sessions + modern  | request      2026-07-28 2025-11-25 | -32020 -32020 -32020 404 404
sessions + modern  | request      2026-07-28 2026-07-28 | modern
sessions + modern  | notification -          -          | missing missing legacy 404 404
sessions + modern  | notification -          2025-11-25 | missing missing legacy 404 404
sessions + modern  | notification -          2026-07-28 | modern
sessions + modern  | notification 2025-11-25 -          | missing missing legacy 404 404
sessions + modern  | notification 2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions + modern  | notification 2025-11-25 2026-07-28 | -32020
sessions + modern  | notification 2026-07-28 -          | -32020 -32020 -32020 404 404
sessions + modern  | notification 2026-07-28 2025-11-25 | -32020 -32020 -32020 404 404
sessions + modern  | notification 2026-07-28 2026-07-28 | modern
sessions + modern  | response     -          -          | missing missing legacy 404 404
sessions + modern  | response     -          2025-11-25 | missing missing legacy 404 404
sessions + modern  | response     -          2026-07-28 | -32600
sessions + modern  | response     2025-11-25 -          | missing missing legacy 404 404
sessions + modern  | response     2025-11-25 2025-11-25 | missing missing legacy 404 404
sessions + modern  | response     2025-11-25 2026-07-28 | -32600
sessions + modern  | response     2026-07-28 -          | -32600 -32600 -32600 404 404
sessions + modern  | response     2026-07-28 2025-11-25 | -32600 -32600 -32600 404 404
sessions + modern  | response     2026-07-28 2026-07-28 | -32600
stateless          | initialize   -          -          | legacy
stateless          | initialize   -          2025-11-25 | legacy
stateless          | initialize   -          2026-07-28 | legacy
stateless          | initialize   2025-11-25 -          | legacy
stateless          | initialize   2025-11-25 2025-11-25 | legacy
stateless          | initialize   2025-11-25 2026-07-28 | legacy
stateless          | initialize   2026-07-28 -          | -32600
stateless          | initialize   2026-07-28 2025-11-25 | -32600
stateless          | initialize   2026-07-28 2026-07-28 | -32600
stateless          | request      -          -          | legacy
stateless          | request      -          2025-11-25 | legacy
stateless          | request      -          2026-07-28 | -32600
stateless          | request      2025-11-25 -          | legacy
stateless          | request      2025-11-25 2025-11-25 | legacy
stateless          | request      2025-11-25 2026-07-28 | -32600
stateless          | request      2026-07-28 -          | -32600
stateless          | request      2026-07-28 2025-11-25 | -32600
stateless          | request      2026-07-28 2026-07-28 | -32600
stateless          | notification -          -          | legacy
stateless          | notification -          2025-11-25 | legacy
stateless          | notification -          2026-07-28 | -32600
stateless          | notification 2025-11-25 -          | legacy
stateless          | notification 2025-11-25 2025-11-25 | legacy
stateless          | notification 2025-11-25 2026-07-28 | -32600
stateless          | notification 2026-07-28 -          | -32600
stateless          | notification 2026-07-28 2025-11-25 | -32600
stateless          | notification 2026-07-28 2026-07-28 | -32600
stateless          | response     -          -          | legacy
stateless          | response     -          2025-11-25 | legacy
stateless          | response     -          2026-07-28 | -32600
stateless          | response     2025-11-25 -          | legacy
stateless          | response     2025-11-25 2025-11-25 | legacy
stateless          | response     2025-11-25 2026-07-28 | -32600
stateless          | response     2026-07-28 -          | -32600
stateless          | response     2026-07-28 2025-11-25 | -32600
stateless          | response     2026-07-28 2026-07-28 | -32600
stateless + modern | initialize   -          -          | legacy
stateless + modern | initialize   -          2025-11-25 | legacy
stateless + modern | initialize   -          2026-07-28 | legacy
stateless + modern | initialize   2025-11-25 -          | legacy
stateless + modern | initialize   2025-11-25 2025-11-25 | legacy
stateless + modern | initialize   2025-11-25 2026-07-28 | legacy
stateless + modern | initialize   2026-07-28 -          | -32601
stateless + modern | initialize   2026-07-28 2025-11-25 | -32601
stateless + modern | initialize   2026-07-28 2026-07-28 | -32601
stateless + modern | request      -          -          | legacy
stateless + modern | request      -          2025-11-25 | legacy
stateless + modern | request      -          2026-07-28 | -32602
stateless + modern | request      2025-11-25 -          | legacy
stateless + modern | request      2025-11-25 2025-11-25 | legacy
stateless + modern | request      2025-11-25 2026-07-28 | -32020
stateless + modern | request      2026-07-28 -          | -32020
stateless + modern | request      2026-07-28 2025-11-25 | -32020
stateless + modern | request      2026-07-28 2026-07-28 | modern
stateless + modern | notification -          -          | legacy
stateless + modern | notification -          2025-11-25 | legacy
stateless + modern | notification -          2026-07-28 | modern
stateless + modern | notification 2025-11-25 -          | legacy
stateless + modern | notification 2025-11-25 2025-11-25 | legacy
stateless + modern | notification 2025-11-25 2026-07-28 | -32020
stateless + modern | notification 2026-07-28 -          | -32020
stateless + modern | notification 2026-07-28 2025-11-25 | -32020
stateless + modern | notification 2026-07-28 2026-07-28 | modern
stateless + modern | response     -          -          | legacy
stateless + modern | response     -          2025-11-25 | legacy
stateless + modern | response     -          2026-07-28 | -32600
stateless + modern | response     2025-11-25 -          | legacy
stateless + modern | response     2025-11-25 2025-11-25 | legacy
stateless + modern | response     2025-11-25 2026-07-28 | -32600
stateless + modern | response     2026-07-28 -          | -32600
stateless + modern | response     2026-07-28 2025-11-25 | -32600
stateless + modern | response     2026-07-28 2026-07-28 | -32600
modern             | initialize   -          -          | -32022
modern             | initialize   -          2025-11-25 | -32022
modern             | initialize   -          2026-07-28 | -32022
modern             | initialize   2025-11-25 -          | -32022
modern             | initialize   2025-11-25 2025-11-25 | -32022
modern             | initialize   2025-11-25 2026-07-28 | -32022
modern             | initialize   2026-07-28 -          | -32601
modern             | initialize   2026-07-28 2025-11-25 | -32601
modern             | initialize   2026-07-28 2026-07-28 | -32601
modern             | request      -          -          | -32022
modern             | request      -          2025-11-25 | -32022
modern             | request      -          2026-07-28 | -32602
modern             | request      2025-11-25 -          | -32022
modern             | request      2025-11-25 2025-11-25 | -32022
modern             | request      2025-11-25 2026-07-28 | -32020
modern             | request      2026-07-28 -          | -32020
modern             | request      2026-07-28 2025-11-25 | -32020
modern             | request      2026-07-28 2026-07-28 | modern
modern             | notification -          -          | -32600
modern             | notification -          2025-11-25 | -32600
modern             | notification -          2026-07-28 | modern
modern             | notification 2025-11-25 -          | -32600
modern             | notification 2025-11-25 2025-11-25 | -32600
modern             | notification 2025-11-25 2026-07-28 | -32020
modern             | notification 2026-07-28 -          | -32020
modern             | notification 2026-07-28 2025-11-25 | -32020
modern             | notification 2026-07-28 2026-07-28 | modern
modern             | response     -          -          | -32600
modern             | response     -          2025-11-25 | -32600
modern             | response     -          2026-07-28 | -32600
modern             | response     2025-11-25 -          | -32600
modern             | response     2025-11-25 2025-11-25 | -32600
modern             | response     2025-11-25 2026-07-28 | -32600
modern             | response     2026-07-28 -          | -32600
modern             | response     2026-07-28 2025-11-25 | -32600
modern             | response     2026-07-28 2026-07-28 | -32600
";
