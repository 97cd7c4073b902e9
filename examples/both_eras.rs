//! One endpoint for both eras of the protocol. Clients up to 2025-11-25 get sessions; clients of
//! 2026-07-28 are sessionless. Each era has its own inner service.
//!
//! Run it with `cargo run -p client-tests --example both_eras`. Add `-- sessions` or `-- modern` to serve
//! one era only.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use client_tests::suite::Tools;
use mcp_session_guard::{EraSplit, Eras, SessionGuardLayer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let guard = SessionGuardLayer::builder();
    let guard = match std::env::args().nth(1).as_deref() {
        Some("sessions") => guard,
        Some("modern") => guard.eras(Eras::Sessionless),
        _ => guard.eras(Eras::Both),
    };
    let guard = guard.build().map_err(io::Error::other)?;

    let both = EraSplit::new(service(true), service(false));
    let app = Router::new().route_service("/mcp", both).route_layer(guard);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Makes the official Rust SDK's server, with or without its own sessions. Its tools are those of the
/// official conformance suite; replace them with yours.
fn service(sessions: bool) -> StreamableHttpService<Tools, LocalSessionManager> {
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = sessions;
    let tools = Tools::new(match sessions {
        true => "the service with sessions",
        false => "the service without sessions",
    });
    StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    )
}
