//! Reads the text of the protocol: versions, eras, headers, hosts, messages and event streams.
//!
//! Nothing in this module knows a session, a setting or a runtime.

pub(crate) mod era;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod inline_bytes;
pub(crate) mod message;
pub(crate) mod revision;
pub(crate) mod sse;
