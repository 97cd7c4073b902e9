//! Response bodies that are tied to a session or to the drain.
//!
//! | file | |
//! |---|---|
//! | `in_flight` | any body of a session: while it goes on the idle clock stands |
//! | `endable` | an event stream that may have to end early |
//! | `session_end` | a session as what ends a stream |
//! | `trailers` | trailers name no inner session |
//!
//! The bodies that answer `initialize` are in `opening`.

pub(crate) mod endable;
pub(crate) mod in_flight;
pub(crate) mod session_end;
pub(crate) mod trailers;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;

/// Boxes a body as axum does. axum would map the errors of any other box once more for each frame, which
/// costs 249 instructions instead of 217.
pub(crate) fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error = axum::Error> + Send + 'static,
{
    Body::new(body.boxed_unsync())
}
