//! Sessions that belong to their owners: bearer tokens outside the guard, the official Rust SDK's server
//! inside it, and a logout that ends all sessions of a user.
//!
//! Run it with `cargo run -p client-tests --example owners`, then paste the `curl` lines that it prints.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any_service, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use mcp_session_guard::{McpSession, Owner, SessionGuardLayer, Sessions};
use rmcp::handler::server::tool::Extension as FromRequest;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let guard = SessionGuardLayer::builder()
        .owner_from_extension(Owner::clone)
        .require_owner()
        .build()
        .map_err(io::Error::other)?;
    let sessions = guard.sessions();
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    // A layer that is added later runs earlier, so the owner is known before the guard runs.
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard)
        .route("/logout", post(logout).with_state(sessions))
        .route_layer(from_fn(authenticate));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    print_help(&format!("http://{}", listener.local_addr()?));
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Resolves the token to its user. The user is the owner, because a refreshed token is another token. A
/// real server verifies a signed token here (its key, audience and expiry) and reads `iss` and `sub` from it.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION);
    let subject = match header.map(|value| value.as_bytes()) {
        Some(b"Bearer alice-1" | b"Bearer alice-2") => "alice",
        Some(b"Bearer bob-1") => "bob",
        _ => return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")]).into_response(),
    };
    let owner = Owner::from_issuer_subject("https://issuer.example", subject);
    request.extensions_mut().insert(owner);
    next.run(request).await
}

/// Ends the caller's sessions. A real server first revokes the caller's tokens, so that they cannot open
/// another session.
async fn logout(State(sessions): State<Sessions>, Extension(owner): Extension<Owner>) -> Response {
    Json(sessions.end_owner(&owner)).into_response()
}

#[derive(Clone)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Returns the owner of this session.")]
    async fn whoami(&self, FromRequest(parts): FromRequest<Parts>) -> String {
        let session = McpSession::from_extensions(&parts.extensions);
        let owner = session.and_then(McpSession::owner);
        owner.map_or("anonymous".to_owned(), Owner::to_string)
    }

    #[tool(description = "Counts its calls in this session.")]
    async fn count(&self, FromRequest(parts): FromRequest<Parts>) -> String {
        let Some(session) = McpSession::from_extensions(&parts.extensions) else {
            return "no session".to_owned();
        };
        let calls = session.state_or_insert_with(AtomicU64::default);
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        format!("call {call} of this session")
    }

    #[tool(description = "Answers after a minute.")]
    async fn wait(&self) -> String {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "a minute later".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// Prints the lines to paste. The second line uses alice's refreshed token, the third is bob's refused request.
fn print_help(server: &str) {
    let post = format!(
        "curl -sS {server}/mcp -H 'content-type: application/json' -H 'accept: application/json, text/event-stream'"
    );
    let whoami = r#"-w '\n%{http_code}\n' -H "mcp-session-id: $SESSION" -d '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami"}}'"#;
    println!("MCP server at {server}/mcp\n");
    println!(
        r#"SESSION=$({post} -H 'authorization: Bearer alice-1' -D - -o /dev/null -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"1"}}}}}}' | tr -d '\r' | sed -n 's/^mcp-session-id: //p')"#
    );
    println!("{post} -H 'authorization: Bearer alice-2' {whoami}");
    println!("{post} -H 'authorization: Bearer bob-1' {whoami}");
    println!("curl -sS -X POST {server}/logout -H 'authorization: Bearer alice-2'; echo");
}
