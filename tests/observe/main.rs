//! What can be seen of sessions: hooks, logs, counts.

#[path = "../support/mod.rs"]
mod support;

mod hooks;
mod logs;
