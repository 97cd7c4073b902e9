//! An operator's page next to a guarded MCP endpoint. It shows the open sessions with their owners, and
//! refusals with their reasons, and has a button that ends a session.
//!
//! Run it with `cargo run -p client-tests --example dashboard`. Clients that send `Authorization: Bearer
//! alice-demo` belong to Alice, and `Bearer bob-demo` to Bob; all others are anonymous. To use the page in your
//! own server, copy `operator.rs` and the files next to it.

mod operator;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{BoxError, Json, Router};
use futures_util::{Stream, stream};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use mcp_session_guard::{McpMessage, McpSession, MessageKind, Owner, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let guard = SessionGuardLayer::builder().owner(owner);
    let guard = guard.build().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;

    let dashboard = operator::dashboard(guard.sessions(), address);
    let mcp = post(message).get(events).layer(guard);
    let app = Router::new().route("/mcp", mcp).merge(dashboard);

    println!("MCP server at http://{address}/mcp\nDashboard at http://{address}/");
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Returns the owner of a request. A real server checks tokens in a layer outside the guard, which answers
/// 401 to an unknown token.
fn owner(request: &Parts) -> Result<Option<Owner>, BoxError> {
    let token = request.headers.get(AUTHORIZATION);
    Ok(match token.map(HeaderValue::as_bytes) {
        Some(b"Bearer alice-demo") => Some(Owner::new("Alice")),
        Some(b"Bearer bob-demo") => Some(Owner::new("Bob")),
        _ => None,
    })
}

/// Answers every POST, for a server without tools.
async fn message(message: McpMessage, Json(body): Json<Value>) -> Response {
    let result = match (message.kind(), message.method()) {
        (MessageKind::Request, Some("initialize")) => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "serverInfo": { "name": "dashboard", "version": env!("CARGO_PKG_VERSION") },
        }),
        (MessageKind::Request, _) => json!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// Opens the GET stream. It sends no message and ends with the session.
async fn events(_session: McpSession) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::pending())
}
