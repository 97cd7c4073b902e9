//! The rules that the guard adds to the server of the official Rust SDK. Each probe runs on the
//! bare service and on the guarded one, in process.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::any_service;
use http::{HeaderMap, Method, Request, StatusCode};
use mcp_session_guard::{EndReason, SessionGuardBuilder, SessionGuardLayer, Sessions};
use rmcp::ServerHandler;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tower::ServiceExt;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;

#[derive(Clone)]
struct Tools;

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::default())
    }
}

fn rmcp(keep_alive: Duration) -> Router {
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(keep_alive);
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(|| Ok(Tools), Arc::new(sessions), config);
    Router::new().route("/mcp", any_service(service))
}

fn bare() -> Router {
    rmcp(Duration::from_secs(60))
}

fn guarded(configure: fn(SessionGuardBuilder) -> SessionGuardBuilder) -> (Router, Sessions) {
    let guard = configure(SessionGuardLayer::builder())
        .build()
        .expect("the settings are valid");
    let sessions = guard.sessions();
    (bare().route_layer(guard), sessions)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn send(app: &Router, method: Method, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("host", "localhost");
    let json = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    for (name, value) in json.iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("the request is valid");
    let response = app
        .clone()
        .oneshot(request)
        .await
        .expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body is whole");
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).expect("the body is text"),
    }
}

async fn post(app: &Router, headers: &[(&str, &str)], body: &str) -> Answer {
    send(app, Method::POST, headers, body).await
}

async fn open(app: &Router) -> String {
    let opened = post(app, &[], INITIALIZE).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    let id = opened.headers["mcp-session-id"]
        .to_str()
        .expect("ids are text")
        .to_owned();
    assert_eq!(
        post(app, &[("mcp-session-id", &id)], INITIALIZED)
            .await
            .status,
        202
    );
    id
}

#[tokio::test]
async fn the_number_of_sessions_has_a_limit() {
    let app = bare();
    for _ in 0..5 {
        open(&app).await;
    }
    let (app, sessions) = guarded(|guard| guard.max_sessions(4));
    for _ in 0..4 {
        open(&app).await;
    }
    assert_eq!(post(&app, &[], INITIALIZE).await.status, 503);
    assert_eq!(sessions.len(), 4);
}

#[tokio::test]
async fn a_second_initialize_is_refused() {
    let (app, _) = guarded(|guard| guard);
    let id = open(&app).await;
    let refused = post(&app, &[("mcp-session-id", &id)], INITIALIZE).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("Server already initialized"));

    let app = bare();
    let id = open(&app).await;
    let passed = post(&app, &[("mcp-session-id", &id)], INITIALIZE).await;
    assert!(
        !passed.text.contains("Server already initialized"),
        "{}",
        passed.text
    );
}

#[tokio::test]
async fn two_session_headers_are_refused() {
    let (app, _) = guarded(|guard| guard);
    let id = open(&app).await;
    let two = [("mcp-session-id", &*id), ("mcp-session-id", "other")];
    assert_eq!(post(&app, &two, PING).await.status, 400);

    let app = bare();
    let id = open(&app).await;
    let two = [("mcp-session-id", &*id), ("mcp-session-id", "other")];
    assert_eq!(
        post(&app, &two, PING).await.status,
        200,
        "the first header wins silently"
    );
}

#[tokio::test]
async fn delete_distinguishes_an_unknown_session_from_an_ended_one() {
    let (app, _) = guarded(|guard| guard);
    let id = open(&app).await;
    let unknown = send(&app, Method::DELETE, &[("mcp-session-id", "unknown")], "").await;
    assert_eq!((unknown.status.as_u16(), &*unknown.text), (404, NOT_FOUND));
    let ended = send(&app, Method::DELETE, &[("mcp-session-id", &id)], "").await;
    assert_eq!((ended.status.as_u16(), &*ended.text), (204, ""));

    let app = bare();
    let unknown = send(&app, Method::DELETE, &[("mcp-session-id", "unknown")], "").await;
    assert_eq!(unknown.status, 202, "as if a session had ended");
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_open_a_session() {
    let evil = [("origin", "https://evil.example")];
    let (app, sessions) = guarded(|guard| guard);
    assert_eq!(post(&app, &evil, INITIALIZE).await.status, 403);
    assert!(sessions.is_empty());
    assert_eq!(post(&bare(), &evil, INITIALIZE).await.status, 200);
}

#[tokio::test]
async fn refusals_are_json_that_clients_understand() {
    let (app, _) = guarded(|guard| guard);
    let missing = post(&app, &[], PING).await;
    assert_eq!(
        (missing.status.as_u16(), &*missing.text),
        (
            400,
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Bad Request: Missing session ID"},"id":1}"#
        )
    );
    let malformed = post(&app, &[], "{").await;
    assert_eq!(malformed.status, 400);
    assert!(malformed.text.contains("-32700"));
    let unknown = post(&app, &[("mcp-session-id", "unknown")], PING).await;
    assert_eq!((unknown.status.as_u16(), &*unknown.text), (404, NOT_FOUND));

    let app = bare();
    assert_eq!(post(&app, &[], "{").await.status, 415);
    let unknown = post(&app, &[("mcp-session-id", "unknown")], PING).await;
    assert!(
        serde_json::from_str::<serde_json::Value>(&unknown.text).is_err(),
        "plain text"
    );
}

#[tokio::test]
async fn a_failed_initialize_opens_no_session() {
    let failing =
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":7}}"#;
    let (app, sessions) = guarded(|guard| guard);
    let failed = post(&app, &[], failing).await;
    assert!(
        !failed.headers.contains_key("mcp-session-id"),
        "{}",
        failed.text
    );
    assert!(sessions.is_empty());
}

#[tokio::test]
async fn when_rmcp_drops_an_idle_session_the_client_gets_404_and_the_outer_session_ends() {
    let guard = SessionGuardLayer::new();
    let sessions = guard.sessions();
    let app = rmcp(Duration::from_millis(100)).route_layer(guard);
    let id = open(&app).await;
    let session = sessions.get(&id).expect("the session is open");
    let mut answer = post(&app, &[("mcp-session-id", &id)], PING).await;
    // Each ping keeps rmcp's session alive for another 100 ms, so the pauses are longer than that.
    for _ in 0..20 {
        if answer.status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        answer = post(&app, &[("mcp-session-id", &id)], PING).await;
    }
    assert_eq!((answer.status.as_u16(), &*answer.text), (404, NOT_FOUND));
    assert_eq!(session.end_reason(), Some(EndReason::InnerLost));
    assert!(sessions.is_empty());
}
