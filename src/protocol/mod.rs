//! What the protocol says, read from text alone: no session, no setting, no runtime.

pub(crate) mod era;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod inline_bytes;
pub(crate) mod message;
pub(crate) mod revision;
pub(crate) mod sse;
