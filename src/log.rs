//! Where log events go, by `tracing`.

/// The target of every event.
pub(crate) const TARGET: &str = "mcp_session_guard";
