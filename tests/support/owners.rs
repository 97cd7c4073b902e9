//! Owners named by a request header.

use axum::body::Body;
use http::Request;
use http::request::Parts;
use mcp_session_guard::{Owner, SessionGuardBuilder};

/// Takes the owner from the header `user`.
pub fn owned(guard: SessionGuardBuilder) -> SessionGuardBuilder {
    guard.owner(|request: &Parts| {
        let user = request.headers.get("user").map(|user| user.to_str());
        Ok(user.transpose()?.map(Owner::new))
    })
}

/// The same request, sent by this user.
pub fn by(user: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("user", user.parse().unwrap());
    request
}
