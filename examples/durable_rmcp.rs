//! The official Rust SDK's server, with sessions of its own, surviving being killed.
//!
//! The guard keeps its sessions, and rmcp's ids with them, in a file; rmcp keeps beside them how each
//! client introduced itself, from which it restores a session of its own when a request names it.
//! Arguments: the file (`sessions.redb`), the port (8000); `forgetful` has rmcp keep nothing, so that
//! its 404 ends sessions cleanly.

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
    // Its tools count calls, and wait for a minute; yours go here.
    let sdk = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let guard = SessionGuardLayer::builder()
        .store(store)
        .end_inner_sessions() // rmcp is told of each that the guard ends, and forgets it
        .hook(tell)
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", any_service(sdk))
        .route_layer(guard);

    let address = (Ipv4Addr::LOCALHOST, port.map_err(io::Error::other)?);
    let listener = TcpListener::bind(address).await?;
    println!("MCP server at http://{}/mcp", listener.local_addr()?);
    // Small events would otherwise wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// What rmcp keeps of a session: the parameters of its client's `initialize`, under rmcp's own id.
struct Introductions(Arc<FileStore>);

/// No guard's scope, so that nobody can name these by a session id.
const SCOPE: &str = "rmcp/introductions";
/// Forgotten then at the latest, for rmcp does not tell of those in use.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Clients introduce themselves in less; the rest of the disk is not theirs.
const LARGEST: usize = 16 << 10;

#[async_trait]
impl SessionStore for Introductions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let value = self.0.load(&SessionKey::new(SCOPE, id)).await?;
        Ok(value.as_deref().map(serde_json::from_slice).transpose()?)
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let value = serde_json::to_vec(state)?;
        if value.len() > LARGEST {
            return Err("it is too long".into());
        }
        let key = SessionKey::new(SCOPE, id);
        self.0
            .create(NewSession::new(&key, &value, LONGEST))
            .await?;
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        Ok(self.0.remove(&SessionKey::new(SCOPE, id)).await?)
    }
}

fn tell(event: &SessionEvent<'_>) {
    match event {
        SessionEvent::Opened { .. } => println!("a session opened"),
        SessionEvent::Restored { .. } => println!("a session goes on"),
        SessionEvent::StreamOpened { .. } => println!("a stream opened"),
        _ => {}
    }
}
