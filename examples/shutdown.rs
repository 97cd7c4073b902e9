//! A shutdown that no client's open stream can hold up, and that leaves no call waiting.
//!
//! Run it with `cargo run -p client-tests --example shutdown`, open a stream, and press ctrl-c (or send SIGTERM):
//! for ten seconds (`-- 3`: for three) open sessions go on while new ones are refused with 503,
//! then all end and the server returns.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any_service;
use axum::serve::ListenerExt;
use client_tests::tools::Tools;
use mcp_session_guard::SessionGuardLayer;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
#[cfg(unix)]
use tokio::signal::unix;

#[tokio::main]
async fn main() -> io::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse());
    let deadline = Duration::from_secs(seconds.map_err(io::Error::other)?);
    // Its tools count calls, and wait for a minute; yours go here.
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    // rmcp keeps sessions of its own: it is told of each that the guard ends.
    let guard = SessionGuardLayer::builder()
        .end_inner_sessions()
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard.clone());

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Small events would otherwise wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            signalled().await;
            println!("draining");
            // Inside this future, because until it is over new connections are accepted.
            guard.drain(deadline).await;
        })
        .await?;
    println!("stopped");
    Ok(())
}

/// Resolves when the process is asked to stop.
async fn signalled() {
    #[cfg(unix)]
    if let Ok(mut terminated) = unix::signal(unix::SignalKind::terminate()) {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        return;
    }
    let _ = ctrl_c().await;
}
