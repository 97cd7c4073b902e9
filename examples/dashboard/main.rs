//! A page for the operator beside a guarded MCP endpoint: which sessions are open and whose they
//! are, what was refused and why, and a button that ends a session.
//!
//! Run it with `cargo run -p client-tests --example dashboard`. Clients that send `Authorization: Bearer alice-demo`
//! are Alice's, all others nobody's. To have the page in a server of your own, take along
//! `operator.rs` and the files beside it.

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
    // Small events would otherwise wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// A real server checks tokens in a layer outside the guard, which answers 401 to unknown ones.
fn owner(request: &Parts) -> Result<Option<Owner>, BoxError> {
    let token = request.headers.get(AUTHORIZATION);
    Ok(match token.map(HeaderValue::as_bytes) {
        Some(b"Bearer alice-demo") => Some(Owner::new("Alice")),
        Some(b"Bearer bob-demo") => Some(Owner::new("Bob")),
        _ => None,
    })
}

/// Every POST: a server that has no tools.
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

/// The GET stream, on which nothing comes but its end.
async fn events(_session: McpSession) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::pending())
}
