//! Observing sessions from outside: hooks, logs, statistics.

#[path = "../support/mod.rs"]
mod support;

mod hooks;
mod logs;
