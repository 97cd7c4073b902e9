//! One tower [`Layer`] that makes the sessions of any axum MCP endpoint correct, safe and fast.
//!
//! In the protocol revisions 2025-03-26 to 2025-11-25, `initialize` opens a session, and every later
//! request names the session in `Mcp-Session-Id`
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
//! Put the layer on the one endpoint, around all of its methods. Add other routes after it:
//!
//! - `Router::new().route("/mcp", any(mcp)).route_layer(guard)`, with `route` or `route_service`. You can
//!   then `nest` or `merge` that router.
//! - `.route("/mcp", post(mcp).get(events).layer(guard))`: `layer` on the method router. (axum adds
//!   its own `Allow` to answers to DELETE; that does no harm.)
//!
//! The guard judges `OPTIONS` like all methods: it passes a CORS preflight of an allowed host and origin
//! to the inner service, without a body, and answers any other with 405. A CORS layer outside the guard
//! answers preflights before the guard sees them.
//!
//! Wrong mounts show these symptoms:
//!
//! - `Router::layer(guard)`, or the guard around a whole router, wraps the fallback and every route
//!   added before it: unknown paths and `/.well-known/…` answer 400 instead of 404, and `/health`
//!   needs a session. If you merge that router into another, all routes share this fallback.
//! - `Router::layer(guard)` *before* `.route("/mcp", ..)` guards nothing: the guard issues no id, and
//!   handlers with the extractors below answer 500 and name the layer.
//! - `post(mcp).get(events).route_layer(guard)`, on the method router, leaves DELETE to axum's 405:
//!   clients cannot end their sessions.
//! - `route_layer` on a router without routes panics while the router is built. axum makes that check.
//!
//! # Order of layers
//!
//! A layer that you add later stands further outside. `examples/per_route.rs` has all of these layers, and
//! `tests/clients/tests/layers.rs` shows each mistake. From outside in:
//!
//! | layer | side | on the other side |
//! |---|---|---|
//! | sensitive headers | outermost | the log shows session ids |
//! | request ids, tracing | outside | refusals have no request id and no trace |
//! | catch-panic | either | nothing: a panic is a 500 and no session slot is lost |
//! | CORS | outside | preflights reach the handler, pages cannot read refusals |
//! | rate limit | outside | a client that guesses session ids is not slowed down |
//! | authentication | outside | the guard knows no owner: 403, 404 |
//! | request decompression | outside | compressed messages are 415 and never reach it |
//! | response compression | outside | a call's event stream that is cut off lacks its last event; an answer to `initialize` that is encoded without a request for it is 502 |
//! | body limit | outside, or the guard's own | the handler answers 413 instead of the guard |
//! | timeout | either | it cuts off calls on either side: choose it longer than the longest call. An event stream that has begun continues |
//! | layers that need the session | inside | extractors answer 500 and name the layer |
//!
//! Clones of one layer share their sessions. Layers built separately share none.
//!
//! # Both eras
//!
//! Revision 2026-07-28 is sessionless. By default the guard refuses its messages so that dual-era
//! clients fall back to `initialize`. [`eras`](SessionGuardBuilder::eras) changes that, and
//! [`SessionGuardBuilder`] has the table of all five combinations.
//! The extractor [`Era`] tells a handler which era it serves. [`EraSplit`] sends each era to its own service.
//!
//! # Owners
//!
//! A session id alone is a bearer secret. Tell the guard the owner of each request
//! ([`owner`](SessionGuardBuilder::owner),
//! [`owner_from_extension`](SessionGuardBuilder::owner_from_extension)), and a session works for its owner
//! only: for all others the guard answers as for an unknown id. [`Sessions::end_owner`] logs an owner out.
//! Guards that [share](SessionGuardLayer::with_sessions) their sessions separate them by
//! [scope](SessionGuardBuilder::scope).
//!
//! # Shutting down
//!
//! An open event stream keeps a graceful shutdown waiting forever. Await [`SessionGuardLayer::drain`]
//! inside the shutdown signal: it refuses new sessions, lets open sessions continue until a deadline, and
//! then ends them and every stream.
//!
//! # Persistent sessions
//!
//! Most clients never open a second session by themselves: after a restart, their users must reconnect by
//! hand. With a [`store`](SessionGuardBuilder::store), sessions survive a deploy, and a second machine knows
//! them. The module [`store`] has the contract of a store and lists the stores that exist.
//!
//! # Observability
//!
//! - [`Sessions::stats`] returns the numbers at any time, [`Sessions::snapshot`] the sessions themselves.
//! - [`SessionHook`] is notified when a session opens, is confirmed, or ends, and when a request is refused.
//! - Logs by `tracing` have the target `mcp_session_guard`: openings and ends at INFO, refusals at DEBUG,
//!   problems of the server itself at WARN. If a span declares the fields `mcp.session.fingerprint`,
//!   `mcp.method.name` or `mcp.protocol.version` as [empty](tracing::field::Empty), the guard fills them.
//! - Metrics use the facade `metrics`, with the feature of that name: `mcp.server.session.active`,
//!   `.stream.active`, `.opened`, `.ended` (by `reason`), `.duration` (seconds, by
//!   `mcp.protocol.version`), and `mcp.server.request.refused` and `.reported` (by `reason`). Install
//!   the recorder before you build the guard: the guard describes its metrics to the recorder then installed.
//! - [`report_only`](SessionGuardBuilder::report_only) logs what would be refused, without refusing it.
//!
//! None of these shows an id; they show a keyed [`Fingerprint`] instead.
//!
//! # What it answers
//!
//! The [`contract`] lists every answer, row by row, and the reasons. Two rules explain most of it:
//!
//! - A refusal carries the request's id where that is known; only 404 and 403 never do. 404
//!   makes a client open a new session, so the guard uses it only for unknown or ended sessions.
//! - Every JSON parser reads a message that passes in the same way. The guard refuses batches, duplicate
//!   keys, keys that some parser reads as another, ids that are neither strings nor integers of 64 bits,
//!   strings with half of a surrogate pair, and encoded bodies. (JavaScript rounds integers beyond 2^53.)
//!
//! # Source layout
//!
//! A module imports only modules of lower floors; `.ci/imports.py` checks this. From the lowest floor up:
//!
//! | module | holds |
//! |---|---|
//! | `sync`, `unwind`, `log` | primitives of std or loom; calls into user code; log events |
//! | `promises` | every number that the contract promises, with its clause |
//! | `refusal` | a refusal as a response, and the table of reasons |
//! | `protocol` | readers of the protocol's text: headers, hosts, eras, messages, event streams |
//! | `store` | the contract of a session store, and the stores: memory, a file, Redis |
//! | `session` | the sessions of this process, and the events that they emit |
//! | `observe` | the log and the metrics |
//! | `extract` | the extractors of handlers |
//! | `store_sync` | keeps the sessions of this process in sync with their store |
//! | `sessions` | `Sessions`, which joins the sessions of this process and their store |
//! | `era_split` | a service that sends each era to its own inner service |
//! | `guard` | the path of a request; `guard/mod.rs` lists its files in that order |
//! | `builder` | every setting |
//! | `cors` | the CORS layer for browsers (feature `cors`) |
//!
//! # Defaults
//!
//! The table in §1 of the [`contract`] lists every setting, its default and the reason. Each setter of
//! [`SessionGuardBuilder`] repeats its own. The defaults are safe for a server on the open net and
//! keep real clients alive: most clients never open a second session by themselves, so timeouts are rather
//! too long than too short.
//!
//! # More pages
//!
//! - [`migration`]: from your own check, or from bare rmcp.
//! - [`security`]: OWASP ASVS 5 and MCP's best practices, line by line.
//! - [`threats`]: the threat model, and the tests that show each rule.
//! - [`comparison`]: eleven other projects, each cell with its evidence.
//!
//! # Versions
//!
//! Before 1.0 a minor version may break; its changelog says how to migrate. The answers of the contract are
//! part of the API: a change of a status, of a code, or of a default that clients can see is breaking. The
//! messages of refusals are not part of the API. Public types of dependencies are those of axum, tower (its
//! `Service` and `Layer`), http, http-body and bytes; in [`store`] also futures' `Stream` and tokio's
//! `Instant`; and tower-http's `CorsLayer` behind `cors`. `.ci/public.py` finds any other. The minimum
//! supported Rust version is 1.90. Only a minor version raises it, and it is always at least six months old.
//!
//! # Requirements
//!
//! You can build a layer without a runtime. Requests must run on a tokio runtime with time enabled, as
//! with `axum::serve`; otherwise tokio panics where the guard needs its first timer.
//!
//! [`Layer`]: tower_layer::Layer
#![forbid(unsafe_code)]

mod builder;
#[cfg(feature = "cors")]
mod cors;
mod era_split;
mod extract;
mod guard;
mod log;
mod observe;
mod promises;
mod protocol;
mod refusal;
mod session;
mod sessions;
pub mod store;
mod store_sync;
mod sync;
mod unwind;

pub use crate::builder::{ConfigError, ConfigErrorKind, Eras, SessionGuardBuilder};
#[cfg(feature = "cors")]
pub use crate::cors::cors;
pub use crate::era_split::{EraSplit, EraSplitFuture};
pub use crate::extract::{GuardRejection, McpMessage};
pub use crate::guard::{ResponseFuture, SessionGuard, SessionGuardLayer};
pub use crate::protocol::era::Era;
pub use crate::protocol::message::MessageKind;
pub use crate::refusal::{Refusal, RefusalReason};
pub use crate::session::{
    EndReason, Fingerprint, McpSession, McpSessionId, Owner, OwnerResolver, SessionEvent,
    SessionHook, SessionStats,
};
pub use crate::sessions::Sessions;
pub use crate::store::McpSessionStore;

/// The wire contract: what the guard answers to each request. This page is `CONTRACT.md`.
///
/// `tests/contract.rs` tests it row by row; its head says which file tests which section.
///
#[doc = include_str!("../CONTRACT.md")]
#[cfg(doc)]
pub mod contract {}

/// Security requirements: which of OWASP ASVS and of MCP's best practices the guard meets, and which are
/// yours.
///
#[doc = include_str!("docs/security.md")]
#[cfg(doc)]
pub mod security {}

/// Threat model: each rule with the tests that show it, and published advisories about MCP with the tests
/// that would have found them.
///
#[doc = include_str!("docs/threats.md")]
#[cfg(doc)]
pub mod threats {}

/// Migration from a hand-written check, from the official Rust SDK alone, and from other languages.
///
#[doc = include_str!("docs/migration.md")]
#[cfg(doc)]
pub mod migration {}

/// Comparison: how this crate and others treat sessions, each cell with its evidence.
///
#[doc = include_str!("docs/comparison.md")]
#[cfg(doc)]
pub mod comparison {}

/// The readers and the registry, only for `benches/` and the targets of `fuzz/`.
#[cfg(any(fuzzing, feature = "_internals"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::guard::fuzzing::{
        ReadMessage, is_message, read_events, read_message, read_message_with_lone_surrogates,
    };
    pub use crate::sessions::fuzzing::{ENTRY_BYTES, sweep, touch};
}

/// The README, so that doc tests compile its code.
#[cfg(all(doctest, feature = "cors", feature = "redb"))]
#[doc = include_str!("../README.md")]
struct Readme;
