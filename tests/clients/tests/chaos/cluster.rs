//! Two nodes with one store.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use client_tests::driven::within;
use client_tests::raw::Raw;
use futures_util::{Stream, stream};
use http::{Method, StatusCode};
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionGuardLayer, Sessions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep};

use crate::PATIENCE;
use crate::store::Store;
use crate::tally::Tally;

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) store: Store,
    /// Locked for writing during an incident of the store. A client that needs a working store
    /// locks it for reading.
    pub(crate) incident: RwLock<()>,
    pub(crate) over: AtomicBool,
    pub(crate) tally: Tally,
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Sessions,
}

impl Cluster {
    pub(crate) async fn serve(store: Store) -> Self {
        let nodes = [
            Node::serve("a", &store).await,
            Node::serve("b", &store).await,
        ];
        Self {
            nodes: nodes.into(),
            store,
            incident: RwLock::default(),
            over: AtomicBool::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until each node opens sessions and knows those of the other.
    pub(crate) async fn store_works(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let (here, there) = (node.raw(), self.nodes[1 - index].raw());
            within(async {
                while !is_shared(&here, &there).await {
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }

    /// Waits until each node has opened all connections that it keeps to its store.
    pub(crate) async fn store_is_connected(&self) {
        within(async {
            while !self.store.is_connected(self.nodes.len()) {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Ends every session and waits until clients and nodes have released everything.
    pub(crate) async fn empty(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended: usize = self.nodes.iter().map(|node| node.sessions.end_all()).sum();
            // Closed connections take a moment to be noticed.
            sleep(Duration::from_millis(300)).await;
            if ended == 0 && self.store.len() == 0 {
                return;
            }
            assert!(
                Instant::now() < until,
                "{} sessions stay in the store",
                self.store.len()
            );
        }
    }
}

impl Node {
    async fn serve(name: &str, store: &Store) -> Self {
        let guard = store
            .join(SessionGuardLayer::builder(), |store| {
                store
                    .node_name(name)
                    .grace(GRACE)
                    .lease(Duration::from_secs(1))
            })
            .build()
            .expect("the settings are valid");
        let sessions = guard.sessions();
        let app = Router::new().route("/mcp", post(message).get(events).layer(guard));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, sessions }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn raw(&self) -> Raw {
        Raw::new(&self.url(), None)
    }
}

/// Returns whether a session that opens on `here` is known on `there`.
async fn is_shared(here: &Raw, there: &Raw) -> bool {
    let opened = here.initialize().await;
    let Some(id) = session_id(&opened) else {
        return false;
    };
    opened.bytes().await.is_ok()
        && there.send(&Method::POST, &id, None).await.status() == StatusCode::OK
}

pub(crate) fn session_id(answer: &reqwest::Response) -> Option<String> {
    let id = answer.headers().get("mcp-session-id")?;
    Some(id.to_str().expect("ids are text").to_owned())
}

/// A server with one tool that counts its calls in a session. It answers a ping with the session's
/// id.
async fn message(message: McpMessage, session: McpSession, Json(body): Json<Value>) -> Response {
    if message.kind() != MessageKind::Request {
        return StatusCode::ACCEPTED.into_response();
    }
    let result = match message.method().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": "chaos", "version": "1" },
        }),
        "tools/list" => {
            let schema = json!({ "type": "object" });
            json!({ "tools": [{ "name": "count", "inputSchema": schema }] })
        }
        "tools/call" => {
            let calls = session.state_or_insert_with(AtomicU64::default);
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let text = format!("call {call} of this session");
            json!({ "content": [{ "type": "text", "text": text }] })
        }
        "ping" => json!({ "session": session.id().as_str() }),
        _ => json!({}),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// A stream with more bytes than a slow reader takes.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let params = json!({ "level": "info", "data": "x".repeat(1 << 10) });
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
    Sse::new(stream::unfold(message.to_string(), |message| async {
        sleep(Duration::from_millis(20)).await;
        Some((Ok(Event::default().data(&message)), message))
    }))
}

/// The time for which a node trusts its sessions without the store. It is longer than any incident.
const GRACE: Duration = Duration::from_secs(30);
