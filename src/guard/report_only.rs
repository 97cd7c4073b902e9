//! Lets a request pass whose answer passes unchanged. Outside report-only mode, it belongs to no session.
//!
//! In report-only mode, a request that the guard would refuse goes to the inner service unchanged (contract
//! §2). If it names a live session, it is in flight all the same. An inner service with its own session ids
//! gets its own id, because it does not know ours.

use axum::body::Body;
use http::request::Parts;
use http::{Method, Response};

use super::body::in_flight::InFlightBody;
use super::pass_on::PassOn;
use super::shared::Shared;
use crate::extract::Guarded;
use crate::protocol::headers::SESSION_ID;
use crate::session::InFlight;

/// A request whose answer passes unchanged.
#[derive(Debug, Default)]
pub(crate) struct PassThrough {
    /// The live session that the request names, in report-only mode.
    session: Option<InFlight>,
}

impl PassThrough {
    /// Prepares a request that the guard would refuse. The extractors see that the guard handled it.
    pub(crate) fn report_only(parts: &mut Parts, shared: &Shared) -> Self {
        parts.extensions.insert(Guarded::default());
        let mut session = named_session(parts, shared);
        if let Some(session) = &mut session {
            session.admit_message();
            if let Some(id) = session.entry().inner_id() {
                parts.headers.insert(&SESSION_ID, id.clone());
            }
        }
        Self { session }
    }
}

impl PassOn for PassThrough {
    fn pass(self, response: Response<Body>) -> Response<Body> {
        let Some(session) = self.session else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        if session.entry().inner_id().is_some() {
            parts.headers.remove(&SESSION_ID);
        }
        let body = InFlightBody::new(body, session);
        Response::from_parts(parts, Body::new(body))
    }
}

/// Returns the live session of this guard that a request names, for any caller and despite any other error.
/// An OPTIONS belongs to no session.
fn named_session(parts: &Parts, shared: &Shared) -> Option<InFlight> {
    if parts.method == Method::OPTIONS {
        return None;
    }
    let id = parts.headers.get(&SESSION_ID)?;
    let entry = shared.sessions.registry().get(id.as_bytes())?;
    match entry.scope == shared.settings.scope {
        true => entry.begin(),
        false => None,
    }
}
