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
//! `OPTIONS` is judged like all methods: the guard passes a CORS preflight of an allowed host and origin
//! inward, without a body, and answers any other with 405. A CORS layer outside the guard answers
//! preflights before the guard sees them.
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
//! # Order of layers
//!
//! What is added later stands outside. From outside in (`examples/per_route.rs` has them all,
//! `tests/clients/tests/layers.rs` shows each mistake):
//!
//! | layer | side | on the other side |
//! |---|---|---|
//! | sensitive headers | outermost | the log shows session ids |
//! | request ids, tracing | outside | refusals have no request id and are not traced |
//! | catch-panic | either | nothing: a panic is a 500 and no place is lost |
//! | CORS | outside | preflights reach the handler, pages cannot read refusals |
//! | rate limit | outside | whoever guesses session ids is not slowed down |
//! | authentication | outside | the guard knows no owner: 403, 404 |
//! | request decompression | outside | compressed messages are 415, it is never reached |
//! | response compression | outside | a call's event stream that is cut off ends without its last event; an answer to `initialize` that is encoded unasked is 502 |
//! | body limit | outside, or the guard's own | the handler's 413 is not the guard's |
//! | timeout | either | it cuts calls whatever the side: choose it longer than the longest; event streams have begun and go on |
//! | what needs the session | inside | extractors answer 500 and name the layer |
//!
//! Clones of one layer share their sessions; layers built separately share none.
//!
//! # Two eras
//!
//! Revision 2026-07-28 has no sessions. By default its messages are refused so that dual-era
//! clients fall back to `initialize`; [`eras`](SessionGuardBuilder::eras) changes that, and
//! [`SessionGuardBuilder`] has the table of all five mixes.
//! [`Era`] tells a handler which one it serves, [`EraSplit`] gives each a service of its own.
//!
//! # Whose session it is
//!
//! An id alone is a bearer secret. Tell the guard whose each request is
//! ([`owner`](SessionGuardBuilder::owner),
//! [`owner_from_extension`](SessionGuardBuilder::owner_from_extension)) and a session is its opener's
//! only: everybody else is answered as if the id had never been. [`Sessions::end_owner`] logs an
//! owner out. Guards that [share](SessionGuardLayer::with_sessions) their sessions keep them apart by
//! [scope](SessionGuardBuilder::scope).
//!
//! # Shutting down
//!
//! An open event stream keeps a graceful shutdown waiting for ever. [`SessionGuardLayer::drain`],
//! awaited inside its signal, refuses newcomers, lets sessions go on until a deadline, and then ends
//! them and every stream.
//!
//! # Outliving the process
//!
//! Most clients never open a second session: after a restart their users are stranded. With a
//! [`store`](SessionGuardBuilder::store) sessions survive a deploy, and a second machine knows them;
//! [`store`] the module has the contract, and what there is to choose from.
//!
//! # Seeing what happens
//!
//! - [`Sessions::stats`]: numbers, at any time; [`Sessions::snapshot`]: the sessions themselves.
//! - [`SessionHook`]: is told when sessions open, are confirmed, end, and when requests are refused.
//! - Logs by `tracing`, target `mcp_session_guard`: openings and ends at INFO, refusals at DEBUG, the
//!   server's own trouble at WARN. A span that declares the fields `mcp.session.fingerprint`,
//!   `mcp.method.name` or `mcp.protocol.version` as [empty](tracing::field::Empty) has them filled.
//! - Metrics on the facade `metrics`, with the feature of that name: `mcp.server.session.active`,
//!   `.stream.active`, `.opened`, `.ended` (by `reason`), `.duration` (seconds, by
//!   `mcp.protocol.version`), and `mcp.server.request.refused` and `.reported` (by `reason`). Install
//!   the recorder before the guard is built: descriptions go to the one that is there.
//! - [`report_only`](SessionGuardBuilder::report_only) tells of what would be refused, before you let
//!   it be refused.
//!
//! None of these shows an id; a keyed [`Fingerprint`] stands for it.
//!
//! # What it answers
//!
//! The [`contract`] lists every answer, row by row, and the reasons. Two rules explain most of it:
//!
//! - A refusal carries the request's id where that is known; only 404 and 403 never do. 404 is
//!   what makes a client open a new session, so it is kept for sessions that are gone.
//! - What the guard lets through, every JSON parser reads the same way: batches, duplicate keys, keys
//!   that some parser reads as another, ids that are neither strings nor integers of 64 bits, strings
//!   with half of a surrogate pair, and encoded bodies are refused. (JavaScript rounds integers
//!   beyond 2^53.)
//!
//! # The house
//!
//! A module imports only modules of lower floors; `.ci/imports.py` checks it and lists what still runs
//! upwards. From below:
//!
//! | module | holds |
//! |---|---|
//! | `promises` | every number that the contract promises |
//! | `refusal` | a refusal as a response, and the table of reasons |
//! | `protocol` | what the protocol says, read from text alone: headers, hosts, eras, messages, event streams |
//! | `store` | what outlives the process |
//! | `session` | the sessions of this process, and the events that they emit |
//! | `observe`, `extract` | the log and the metrics; what handlers see |
//! | `store_sync` | keeps the sessions of this process in sync with their store |
//! | `sessions` | `Sessions`, where both meet |
//! | `guard` | the path of a request; its `mod.rs` has the files in the order in which a request meets them |
//! | `builder` | every setting |
//! | `cors` | what browsers need (feature `cors`) |
//!
//! # Defaults
//!
//! Every setting, its default and the reason are the table in §1 of the [`contract`]; each setter of
//! [`SessionGuardBuilder`] repeats its own. They are meant to be safe for a server on the open net and
//! alive for real clients: most never open a second session by themselves, so timeouts are rather too
//! long than too short.
//!
//! # More pages
//!
//! [`migration`]: from a check of your own, from bare rmcp. [`security`]: OWASP ASVS 5 and MCP's best
//! practices, line by line. [`threats`]: whom it stands against, and the tests that show it.
//! [`comparison`]: eleven other projects, each cell with its evidence.
//!
//! # Versions
//!
//! Before 1.0 a minor version may break and says how to migrate. What the contract answers is part of
//! the API: a change of a status, of a code, or of a default that clients can see is breaking. Messages
//! of refusals are not. Public types of dependencies are those of axum, tower (its `Service` and `Layer`),
//! http, http-body and bytes; in [`store`] also futures' `Stream` and tokio's `Instant`; and tower-http's
//! `CorsLayer` behind `cors`. `.ci/public.py` finds any other. The minimum supported Rust version is 1.90;
//! raising it is a minor version, and it is never newer than six months.
//!
//! # Requirements
//!
//! Layers are built without a runtime. Requests must run on a tokio runtime with time enabled, as
//! `axum::serve` does; otherwise tokio panics where the first timer is needed.
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

/// What the guard answers, request by request. This page is `CONTRACT.md`.
///
/// Tested row by row in `tests/contract.rs`, whose head says which file tests which section.
///
#[doc = include_str!("../CONTRACT.md")]
#[cfg(doc)]
pub mod contract {}

/// Which requirements of OWASP ASVS and of MCP's security best practices the guard meets, and which it
/// leaves to you.
///
#[doc = include_str!("docs/security.md")]
#[cfg(doc)]
pub mod security {}

/// Whom the guard stands against: each rule with the test that shows it, and the published advisories
/// of this field with the test that would have found them.
///
#[doc = include_str!("docs/threats.md")]
#[cfg(doc)]
pub mod threats {}

/// From a check written by hand, from the official Rust SDK alone, and from other languages.
///
#[doc = include_str!("docs/migration.md")]
#[cfg(doc)]
pub mod migration {}

/// How this crate and others treat sessions, each cell with its evidence.
///
#[doc = include_str!("docs/comparison.md")]
#[cfg(doc)]
pub mod comparison {}

/// The readers and the registry, for `benches/` and the targets of `fuzz/` alone.
#[cfg(any(fuzzing, feature = "_internals"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::guard::fuzzing::{
        ReadMessage, is_message, read_events, read_message, read_message_with_lone_surrogates,
    };
    pub use crate::sessions::fuzzing::{ENTRY_BYTES, sweep, touch};
}

/// The README's code compiles.
#[cfg(all(doctest, feature = "cors", feature = "redb"))]
#[doc = include_str!("../README.md")]
struct Readme;
