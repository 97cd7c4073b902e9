//! The official Rust SDK's server, with its own sessions, survives being killed.
//!
//! Run it with `cargo run -p client-tests --example durable_rmcp`. Arguments: the file (default
//! `sessions.redb`), the port (default 8000), and `forgetful`.
//!
//! The guard keeps its sessions and rmcp's ids in a file. In the same file rmcp keeps the parameters of each
//! client's `initialize`. When a request names one of its sessions after a restart, rmcp restores it from
//! them. With `forgetful` rmcp keeps nothing: after a restart it answers 404, and sessions end cleanly.

use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::routing::any_service;
use axum::serve::ListenerExt;
use client_tests::tools::Tools;
use mcp_session_guard::store::{FileStore, McpSessionStore, NewSession, SessionKey};
use mcp_session_guard::{SessionEvent, SessionGuardLayer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::{
    SessionState, SessionStore, SessionStoreError,
};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().unwrap_or("sessions.redb".to_owned());
    let port = arguments.next().map_or(Ok(8000), |port| port.parse());
    let is_forgetful = arguments.next().is_some_and(|word| word == "forgetful");

    let store = Arc::new(FileStore::open(file).map_err(io::Error::other)?);
    let mut config = StreamableHttpServerConfig::default();
    if !is_forgetful {
        config.session_store = Some(Arc::new(Introductions(store.clone())));
    }
    // The tools count calls and wait for a minute; replace them with yours.
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let guard = SessionGuardLayer::builder()
        .store(store)
        .end_inner_sessions() // sends rmcp a DELETE for each session that the guard ends
        .hook(print_event)
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard);

    let address = (Ipv4Addr::LOCALHOST, port.map_err(io::Error::other)?);
    let listener = TcpListener::bind(address).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// The state that rmcp keeps of each session: the parameters of its `initialize`, by rmcp's own id.
struct Introductions(Arc<FileStore>);

/// The scope of these records. No guard has it, so no session id reaches them.
const SCOPE: &str = "rmcp/introductions";
/// How long a record lasts. It is fixed, because rmcp does not report which sessions are in use.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The largest record, in bytes. Real clients need less, and a client must not fill the disk.
const MAX_BYTES: usize = 16 << 10;

#[async_trait]
impl SessionStore for Introductions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let value = self.0.load(&SessionKey::new(SCOPE, id)).await?;
        Ok(value.as_deref().map(serde_json::from_slice).transpose()?)
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let value = serde_json::to_vec(state)?;
        if value.len() > MAX_BYTES {
            return Err("the session's state exceeds 16 KiB".into());
        }
        let key = SessionKey::new(SCOPE, id);
        self.0
            .create(NewSession::new(&key, &value, MAX_AGE))
            .await?;
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        Ok(self.0.remove(&SessionKey::new(SCOPE, id)).await?)
    }
}

fn print_event(event: &SessionEvent<'_>) {
    match event {
        SessionEvent::Opened { .. } => println!("a session opened"),
        SessionEvent::Restored { .. } => println!("a session goes on"),
        SessionEvent::StreamOpened { .. } => println!("a stream opened"),
        _ => {}
    }
}
