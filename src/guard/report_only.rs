//! Report-only mode (contract §2): a request that would be refused goes to the inner service as it
//! came, and its answer comes back so. Where it names a live session it is in flight all the same,
//! and an inner service with ids of its own gets that, for it does not know ours.

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body as HttpBody;

use super::body::trailers::without_session_id;
use super::body::{Role, SessionBody};
use super::shared::Shared;
use crate::extract::Guarded;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::InFlight;

/// How an answer to a request of no session comes back.
#[derive(Debug, Default)]
pub(crate) enum Passing {
    #[default]
    Untouched,
    /// Without the inner service's session id.
    Preflight,
    ReportOnly(ReportOnly),
}

impl Passing {
    pub(crate) fn pass<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut response = response.map(Body::new);
        match self {
            Self::Untouched => response,
            Self::Preflight => {
                response.headers_mut().remove(&SESSION_ID);
                response.map(without_session_id)
            }
            Self::ReportOnly(reported) => reported.pass(response),
        }
    }
}

/// A request of a live session that was let pass.
#[derive(Debug)]
pub(crate) struct ReportOnly(InFlight);

impl ReportOnly {
    /// Tells of the refusal and makes the request ready. The extractors know that it was guarded.
    pub(crate) fn prepare(
        reason: RefusalReason,
        parts: &mut Parts,
        session: Option<InFlight>,
        shared: &Shared,
    ) -> Passing {
        Refusal::report(reason, shared.sessions.observers());
        parts.extensions.insert(Guarded::default());
        let Some(mut session) = session.or_else(|| named(parts, shared)) else {
            return Passing::Untouched;
        };
        session.admit_message();
        if let Some(id) = session.entry().inner_id() {
            parts.headers.insert(&SESSION_ID, id.clone());
        }
        Passing::ReportOnly(Self(session))
    }

    /// Passes the answer on.
    fn pass(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        if self.0.entry().inner_id().is_some() {
            parts.headers.remove(&SESSION_ID);
        }
        let body = SessionBody::new(body, self.0, Role::Plain);
        Response::from_parts(parts, Body::new(body))
    }
}

/// The live session of this guard that a request names, whoever sends it and whatever else is wrong
/// with it. An OPTIONS is of none.
fn named(parts: &Parts, shared: &Shared) -> Option<InFlight> {
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
