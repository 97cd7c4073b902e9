//! `initialize`: the answers that open a session, the session limit, ids and warnings.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod capacity;
mod event_streams;
mod ids;
mod warnings;

use std::sync::{Arc, Mutex};

use axum::response::Response;
use http::Method;
use mcp_session_guard::SessionGuardLayer;
use tokio::sync::mpsc;

use support::{TestServer, empty, feed, respond};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}"#;

/// A guard with a limit of one session, around an inner service with one fixed answer.
fn limit_of_one(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> TestServer {
    let guard = SessionGuardLayer::builder().max_sessions(1);
    TestServer::around(guard.build().unwrap(), async move || answer())
}

/// A guard around an inner service that answers `initialize` with the event stream that the test
/// feeds.
fn streaming() -> (TestServer, mpsc::UnboundedSender<&'static str>) {
    let (sender, body) = feed();
    let body = Arc::new(Mutex::new(Some(body)));
    let handler = async move |method: Method| {
        let body = (method == Method::POST).then(|| body.lock().unwrap().take());
        match body.flatten() {
            Some(body) => respond(200, "text/event-stream; charset=utf-8", body),
            None => empty(202),
        }
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    (server, sender)
}
