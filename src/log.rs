//! The `tracing` target of the crate's log events.

/// The target of every log event.
pub(crate) const TARGET: &str = "mcp_session_guard";
