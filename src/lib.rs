//! One tower [`Layer`] that makes the sessions of any axum MCP endpoint correct, safe and fast.
//!
//! In the protocol revisions 2025-03-26 to 2025-11-25 `initialize` opens a session and every later
//! request names it in `Mcp-Session-Id`
//! ([specification](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)).
//! The layer reads each POST, issues and checks the id **before the request reaches the inner
//! service**, and owns the session until its end. The inner service can be a handler, an SDK's
//! service, or a proxy.
//!
//! # Example
//!
//! ```
//! use axum::{Router, body::Body, routing::any};
//! use http::{Request, StatusCode};
//! use mcp_session_guard::{McpSession, SessionGuardLayer};
//! use tower::ServiceExt;
//!
//! async fn mcp(_session: McpSession) -> ([(&'static str, &'static str); 1], &'static str) {
//!     let json = [("content-type", "application/json")];
//!     (json, r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = SessionGuardLayer::new();
//! let sessions = guard.sessions();
//! let app: Router = Router::new().route("/mcp", any(mcp)).route_layer(guard);
//!
//! let post = |body: &'static str| {
//!     Request::post("/mcp")
//!         .header("host", "localhost")
//!         .header("content-type", "application/json")
//!         .body(Body::from(body))
//! };
//!
//! // Without a session only `initialize` passes.
//! let refused = post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)?;
//! assert_eq!(app.clone().oneshot(refused).await?.status(), StatusCode::BAD_REQUEST);
//!
//! let opened = post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#)?;
//! let opened = app.oneshot(opened).await?;
//! assert!(opened.headers().contains_key("mcp-session-id"));
//! assert_eq!(sessions.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to put it
//!
//! On the one endpoint, around all of its methods; other routes are added after it:
//!
//! - `Router::new().route("/mcp", any(mcp)).route_layer(guard)`, or the same with
//!   `route_service`; then `nest` or `merge` that router as you like.
//! - `.route("/mcp", post(mcp).get(events).layer(guard))`: `layer` on the method router. (axum adds
//!   its own `Allow` to answers to DELETE; that does no harm.)
//!
//! What one sees with the wrong mounts:
//!
//! - `Router::layer(guard)`, or the guard around a whole router, wraps the fallback and every route
//!   added before it: unknown paths and `/.well-known/…` answer 400 instead of 404, and `/health`
//!   wants a session. Merged into another router, such a fallback becomes everybody's.
//! - `Router::layer(guard)` *before* `.route("/mcp", ..)` guards nothing: no id is issued, and
//!   handlers with the extractors below answer 500 and name the layer.
//! - `post(mcp).get(events).route_layer(guard)`, on the method router, leaves DELETE to axum's 405:
//!   clients can not end their sessions.
//! - `route_layer` on a router without routes panics when building; that is axum's own check.
//!
//! Tracing, CORS, authentication, request ids and compression go outside the guard (added after
//! it); whatever needs the session goes inside. CORS inside answers preflights, but refusals then
//! carry no CORS headers and pages can not read them. A layer inside that encodes the answer to
//! `initialize`, although the guard takes `Accept-Encoding` off it, makes it 502, for an encoded
//! answer can not be judged.
//!
//! Clones of one layer share their sessions; layers built separately share none.
//!
//! # Two eras
//!
//! Revision 2026-07-28 has no sessions. By default its messages are refused so that dual-era
//! clients fall back to `initialize`; [`SessionGuardBuilder`] has the table of the five mixes.
//! [`Era`] tells a handler which one it serves, [`EraSplit`] gives each a service of its own.
//!
//! # What it answers
//!
//! The [`contract`] lists every answer, row by row, and the reasons. Two rules explain most of it:
//!
//! - A refusal carries the request's id where that is known; only 404 and 403 never do. 404 is
//!   what makes a client open a new session, so it is kept for sessions that are gone.
//! - What the guard lets through, every JSON parser reads the same way: batches, duplicate keys,
//!   ids that a double can not hold, and encoded bodies are refused.
//!
//! # The house
//!
//! `guard/` is the way of a request, its files in the order in which a request meets them (its
//! `mod.rs` has the table); `session/` is what the guard knows; `config.rs` is every setting;
//! `extract.rs` is what handlers see.
//!
//! # Requirements
//!
//! Layers are built without a runtime. Requests must run on a tokio runtime with time enabled, as
//! `axum::serve` does; otherwise tokio panics where the first timer is needed.
//!
//! [`Layer`]: tower_layer::Layer
#![forbid(unsafe_code)]

mod config;
mod era_split;
mod extract;
mod guard;
mod session;

pub use crate::config::{ConfigError, ConfigErrorKind, SessionGuardBuilder};
pub use crate::era_split::{EraSplit, EraSplitFuture};
pub use crate::extract::{GuardRejection, McpMessage};
pub use crate::guard::{
    Era, MessageKind, Refusal, RefusalReason, ResponseFuture, SessionGuard, SessionGuardLayer,
};
pub use crate::session::{EndReason, McpSession, McpSessionId, Sessions};

/// What the guard answers, request by request. This page is `CONTRACT.md`.
///
/// Not built yet: owners, scopes, drain, report-only, hooks, and the DELETE to an inner service for
/// a session that the guard ended. Everything else is tested row by row in `tests/contract.rs`.
///
#[doc = include_str!("../CONTRACT.md")]
#[cfg(doc)]
pub mod contract {}

/// The readers, for `benches/` and the targets of `fuzz/` alone.
#[cfg(any(fuzzing, feature = "_internals"))]
#[doc(hidden)]
#[allow(missing_docs, missing_debug_implementations)]
pub mod fuzzing {
    pub use crate::guard::fuzzing::{ReadMessage, is_message, read_events, read_message};
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
