//! A graceful shutdown that open streams do not delay, and that leaves no call without an answer.
//!
//! Run it with `cargo run -p client-tests --example shutdown`, open a stream, and press ctrl-c (or send
//! SIGTERM). For ten seconds (`-- 3`: for three) open sessions keep working and new ones are refused with
//! 503. Then all sessions end and the server stops.

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
    // The tools count calls and wait for a minute; replace them with yours.
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    // rmcp keeps its own sessions, so the guard sends it a DELETE for each session that it ends.
    let guard = SessionGuardLayer::builder()
        .end_inner_sessions()
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard.clone());

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            signalled().await;
            println!("draining");
            // Drains inside this future, because axum accepts new connections until it resolves.
            guard.drain(deadline).await;
        })
        .await?;
    println!("stopped");
    Ok(())
}

/// Waits for ctrl-c or SIGTERM.
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
