//! Response bodies that are tied to a session or to the drain.
//!
//! | file | |
//! |---|---|
//! | `in_flight` | suspends the idle clock of a session until the body ends |
//! | `endable` | ends an event stream early |
//! | `session_end` | lets a session end an event stream |
//! | `trailers` | removes the inner session id from trailers |
//!
//! The bodies that answer `initialize` are in `opening`.

pub(crate) mod endable;
pub(crate) mod in_flight;
pub(crate) mod session_end;
pub(crate) mod trailers;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;

/// Boxes a body as axum does. axum maps the errors of any other box again for each frame, which costs 249
/// instructions instead of 217.
pub(crate) fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error = axum::Error> + Send + 'static,
{
    Body::new(body.boxed_unsync())
}
