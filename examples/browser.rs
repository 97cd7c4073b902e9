//! An MCP server that pages of one other origin can call from a browser.
//!
//! Run it with `cargo run -p client-tests --example browser -- http://localhost:5173`, the page's origin. A
//! second argument `without-cors` omits the CORS layer: the browser then blocks the page.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionGuardLayer, cors};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let page = arguments.next();
    let page = page.as_deref().unwrap_or("http://localhost:5173");

    let guard = SessionGuardLayer::builder().allowed_origins([page]);
    let guard = guard.build().map_err(io::Error::other)?;
    let mut app = Router::new().route("/mcp", post(message).get(events).layer(guard));
    if arguments.next().as_deref() != Some("without-cors") {
        app = app.route_layer(cors([page]).map_err(io::Error::other)?);
    }

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Answers every POST. The guard has checked that it belongs to an open session.
async fn message(message: McpMessage, Json(body): Json<Value>) -> Response {
    let result = match (message.kind(), message.method()) {
        (MessageKind::Request, Some("initialize")) => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": "browser", "version": env!("CARGO_PKG_VERSION") },
        }),
        (MessageKind::Request, Some("tools/list")) => json!({ "tools": [{
            "name": "count",
            "description": "Counts to three and reports its progress.",
            "inputSchema": { "type": "object" },
        }]}),
        (MessageKind::Request, Some("tools/call")) => return count(&body).into_response(),
        (MessageKind::Request, _) => json!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// Answers a call with an event stream: progress if the client asked for it, then the result.
fn count(body: &Value) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let token = &body["params"]["_meta"]["progressToken"];
    let steps = if token.is_null() { 0 } else { 3 };
    let progress = (1..=steps).map(|step| {
        let params = json!({ "progressToken": token, "progress": step, "total": steps });
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
    });
    let result = json!({ "content": [{ "type": "text", "text": "three" }] });
    let result = json!({ "jsonrpc": "2.0", "id": body["id"], "result": result });
    let messages: Vec<_> = progress.chain([result]).collect();
    Sse::new(stream::iter(messages).then(|message| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(Event::default().data(message.to_string()))
    }))
}

/// Opens the GET stream: it sends a greeting, then stays open until the session ends.
async fn events(_session: McpSession) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let params = json!({ "level": "info", "data": "hello, page" });
    let hello = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
    let hello = Event::default().data(hello.to_string());
    Sse::new(stream::iter([Ok(hello)]).chain(stream::pending()))
}
