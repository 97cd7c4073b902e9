//! The MCP server of each node; replace it with yours.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::pending;
use http::StatusCode;
use mcp_session_guard::{McpMessage, MessageKind};
use serde_json::{Value, json};

/// Answers every POST.
pub(crate) async fn message(
    State(node): State<String>,
    call: McpMessage,
    body: Json<Value>,
) -> Response {
    if call.kind() != MessageKind::Request {
        return StatusCode::ACCEPTED.into_response();
    }
    let result = match call.method() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "cluster", "version": env!("CARGO_PKG_VERSION") },
        }),
        Some("tools/list") => json!({ "tools": [{
            "name": "which", "description": "Returns the name of the node that answers.",
            "inputSchema": { "type": "object" },
        }]}),
        _ => json!({ "content": [{ "type": "text", "text": node }] }),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// Opens the GET stream. It sends no message and stays open.
pub(crate) async fn events() -> impl IntoResponse {
    Sse::new(pending::<Result<Event, Infallible>>()).keep_alive(KeepAlive::default())
}

/// Prints the lines to paste.
pub(crate) fn print_help(url: &str) {
    let post = format!("curl -sS {url} -H 'content-type: application/json'");
    println!("MCP server at {url}\n\nOpen a session, and ask several times which node answers:\n");
    println!(
        r#"SESSION=$({post} -D - -o /dev/null -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"1"}}}}}}' | tr -d '\r' | sed -n 's/^mcp-session-id: //p')"#
    );
    println!(
        r#"{post} -H "mcp-session-id: $SESSION" -d '{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"which"}}}}'; echo"#
    );
    println!("\nThen kill one of the two nodes, and ask again:\n");
}
