//! A hand-written MCP server, and the three lines that guard its sessions.
//!
//! Run it with `cargo run --example quickstart`, then paste the `curl` lines that it prints.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::IntervalStream;

#[tokio::main]
async fn main() -> io::Result<()> {
    let guard = SessionGuardLayer::new();
    let mcp = post(message).get(events).layer(guard);
    let app = Router::new().route("/mcp", mcp);

    let listener = listen().await?;
    print_help(&format!("http://{}/mcp", listener.local_addr()?));
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Answers every POST. The guard has checked that `session` is open and belongs to the caller.
async fn message(message: McpMessage, session: McpSession, Json(body): Json<Value>) -> Response {
    if message.kind() != MessageKind::Request {
        return StatusCode::ACCEPTED.into_response();
    }
    let answer = match message.method().unwrap_or_default() {
        "initialize" => Ok(initialize(&body["params"])),
        "ping" | "logging/setLevel" => Ok(json!({})),
        "tools/list" => Ok(json!({ "tools": [
            tool("count", "Counts its calls in this session."),
            tool("test_simple_text", "Says one sentence."),
            tool("wait", "Answers after a minute."),
        ]})),
        "tools/call" => call(&session, &body["params"]).await,
        _ => Err(json!({ "code": -32601, "message": "Method not found" })),
    };
    let (member, value) = match answer {
        Ok(result) => ("result", result),
        Err(error) => ("error", error),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], member: value })).into_response()
}

/// Opens the GET stream: it sends this session's count every five seconds.
async fn events(session: McpSession) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(5)));
    let events = ticks.map(move |_| {
        let count = session
            .state_or_insert_with(Counter::default)
            .0
            .load(Ordering::Relaxed);
        let params = json!({ "level": "info", "data": format!("{count} calls so far") });
        Ok(Event::default().data(
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params })
                .to_string(),
        ))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// State of one session, dropped with it.
#[derive(Default)]
struct Counter(AtomicU64);

fn initialize(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let version = ["2025-03-26", "2025-06-18"]
        .into_iter()
        .find(|known| *known == asked);
    json!({
        "protocolVersion": version.unwrap_or("2025-11-25"),
        "capabilities": { "tools": {}, "logging": {} },
        "serverInfo": { "name": "quickstart", "version": env!("CARGO_PKG_VERSION") },
    })
}

async fn call(session: &McpSession, params: &Value) -> Result<Value, Value> {
    let text = match params["name"].as_str() {
        Some("count") => {
            let counter = session.state_or_insert_with(Counter::default);
            format!(
                "call {} of this session",
                counter.0.fetch_add(1, Ordering::Relaxed) + 1
            )
        }
        Some("test_simple_text") => "This is a simple text response for testing.".to_owned(),
        Some("wait") => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            "a minute later".to_owned()
        }
        _ => return Err(json!({ "code": -32602, "message": "Unknown tool" })),
    };
    Ok(json!({ "content": [{ "type": "text", "text": text }] }))
}

fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

/// Binds port 8000, or the next free one.
async fn listen() -> io::Result<TcpListener> {
    for port in 8000..8100 {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

fn print_help(url: &str) {
    let post = format!("curl -sS {url} -H 'content-type: application/json'");
    println!("MCP server at {url}\n\nOpen a session, use it, and end it:\n");
    println!(
        r#"SESSION=$({post} -D - -o /dev/null -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"1"}}}}}}' | tr -d '\r' | sed -n 's/^mcp-session-id: //p')"#
    );
    println!(
        r#"{post} -H "mcp-session-id: $SESSION" -d '{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"count"}}}}'; echo"#
    );
    println!(r#"curl -sS -i -X DELETE {url} -H "mcp-session-id: $SESSION""#);
}
