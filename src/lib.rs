//! One tower [`Layer`](tower_layer::Layer) that makes the sessions of any axum MCP endpoint
//! correct, safe and fast.
#![forbid(unsafe_code)]

mod config;
mod extract;
mod guard;
mod session;

pub use crate::config::{ConfigError, ConfigErrorKind, SessionGuardBuilder};
pub use crate::extract::{GuardRejection, McpMessage};
pub use crate::guard::{
    MessageKind, Refusal, RefusalReason, ResponseFuture, SessionGuard, SessionGuardLayer,
};
pub use crate::session::{EndReason, McpSession, McpSessionId, Sessions};
