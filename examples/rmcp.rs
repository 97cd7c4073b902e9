//! The official Rust SDK's server inside the guard.
//!
//! Run it with `cargo run -p client-tests --example rmcp`. With `-- stateless` rmcp keeps no sessions of its
//! own. Clients see the guard's sessions in both cases, and rmcp's ids stay inside. When rmcp drops an idle
//! session (after five minutes), the client gets a clean 404.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::any_service;
use axum::serve::ListenerExt;
use http::request::Parts;
use mcp_session_guard::{McpSession, SessionGuardLayer};
use rmcp::handler::server::tool::Extension;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = !std::env::args().any(|argument| argument == "stateless");
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        config,
    );

    let guard = SessionGuardLayer::builder()
        .end_inner_sessions() // sends rmcp a DELETE for each session that the guard has ended
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

#[derive(Clone)]
struct Tools;

/// State of one session, dropped with it.
#[derive(Default)]
struct Counter(AtomicU64);

#[tool_router]
impl Tools {
    /// Counts the calls of the session. rmcp passes the request's parts on, and their extensions hold
    /// the session.
    #[tool(description = "Counts its calls in this session.")]
    async fn count(&self, Extension(parts): Extension<Parts>) -> String {
        let Some(session) = McpSession::from_extensions(&parts.extensions) else {
            return "no session".to_owned();
        };
        let counter = session.state_or_insert_with(Counter::default);
        format!(
            "call {} of this session",
            counter.0.fetch_add(1, Ordering::Relaxed) + 1
        )
    }

    #[tool(description = "Says one sentence.")]
    async fn test_simple_text(&self) -> String {
        "This is a simple text response for testing.".to_owned()
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
