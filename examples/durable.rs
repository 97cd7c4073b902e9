//! A server that survives being killed: its sessions are in a file.
//!
//! Run it with `cargo run -p client-tests --example durable`, paste the first `curl` line that it prints, kill
//! it (`kill -9` too), run it again, and paste the last line: the session continues. Arguments: the file
//! (default `sessions.redb`) and the port (default 8000).

use std::convert::Infallible;
use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::Stream;
use futures_util::stream::pending;
use http::StatusCode;
use mcp_session_guard::store::FileStore;
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionEvent, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().unwrap_or("sessions.redb".to_owned());
    let port = arguments.next().map_or(Ok(8000), |port| port.parse());

    // Opens the file before the server starts, because it reads the whole file.
    let store = FileStore::open(file).unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(1)
    });
    let guard = SessionGuardLayer::builder()
        .store(store)
        .hook(print_event)
        .build()
        .map_err(io::Error::other)?;
    let mcp = post(message).get(events).layer(guard);
    let app = Router::new().route("/mcp", mcp);

    let address = (Ipv4Addr::LOCALHOST, port.map_err(io::Error::other)?);
    let listener = TcpListener::bind(address).await?;
    print_help(&format!("http://{}/mcp", listener.local_addr()?));
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Answers every POST. It keeps no sessions of its own, so only the guard's sessions must survive.
async fn message(message: McpMessage, session: McpSession, Json(body): Json<Value>) -> Response {
    if message.kind() != MessageKind::Request {
        return StatusCode::ACCEPTED.into_response();
    }
    let result = match message.method().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "durable", "version": env!("CARGO_PKG_VERSION") },
        }),
        "tools/list" => json!({ "tools": [{
            "name": "count",
            "description": "Counts its calls in this session since the server started.",
            "inputSchema": { "type": "object" },
        }]}),
        "tools/call" => {
            // The session survives a restart; the state that handlers put into it does not.
            let calls = session.state_or_insert_with(AtomicU64::default);
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let text = format!("call {call} of this session");
            json!({ "content": [{ "type": "text", "text": text }] })
        }
        _ => json!({}),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// Opens the GET stream. Clients reopen it by themselves after a restart.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(pending()).keep_alive(KeepAlive::default())
}

fn print_event(event: &SessionEvent<'_>) {
    match event {
        SessionEvent::Opened { .. } => println!("a session opened"),
        SessionEvent::Restored { .. } => println!("a session goes on"),
        SessionEvent::StreamOpened { .. } => println!("a stream opened"),
        _ => {}
    }
}

fn print_help(url: &str) {
    let post = format!("curl -sS {url} -H 'content-type: application/json'");
    println!("MCP server at {url}");
    println!(
        r#"SESSION=$({post} -D - -o /dev/null -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"1"}}}}}}' | tr -d '\r' | sed -n 's/^mcp-session-id: //p')"#
    );
    println!("kill -9 {}", process::id());
    println!(
        r#"{post} -H "mcp-session-id: $SESSION" -d '{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"count"}}}}'; echo"#
    );
}
