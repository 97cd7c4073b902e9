//! Requests whose answers pass as they are: of a session only in report-only mode (contract §2). There a
//! request that would be refused goes to the inner service as it came. Where it names a live session it is
//! in flight all the same, and an inner service with ids of its own gets that, for it does not know ours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;

use super::body::in_flight::InFlightBody;
use super::future::POLLED_AGAIN;
use super::shared::Shared;
use crate::extract::Guarded;
use crate::protocol::headers::SESSION_ID;
use crate::session::InFlight;

/// A request whose answer passes as it is.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// The live session that a request names which report-only mode lets pass.
    session: Option<InFlight>,
}

impl Passing {
    /// Makes a request ready that would be refused. The extractors know that it was guarded.
    pub(crate) fn report_only(
        parts: &mut Parts,
        session: Option<InFlight>,
        shared: &Shared,
    ) -> Self {
        parts.extensions.insert(Guarded::default());
        let mut session = session.or_else(|| named(parts, shared));
        if let Some(session) = &mut session {
            session.admit_message();
            if let Some(id) = session.entry().inner_id() {
                parts.headers.insert(&SESSION_ID, id.clone());
            }
        }
        Self { session }
    }

    /// Passes the answer on.
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

pin_project! {
    /// Waits for the answer.
    pub(crate) struct PassFuture<F> {
        #[pin]
        answer: F,
        passing: Option<Passing>,
    }
}

impl<F> PassFuture<F> {
    pub(crate) fn new(answer: F, passing: Passing) -> Self {
        Self {
            answer,
            passing: Some(passing),
        }
    }
}

impl<F, R, E> Future for PassFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(cx))?;
        let passing = this.passing.take().expect(POLLED_AGAIN);
        Poll::Ready(Ok(passing.pass(response.map(Body::new))))
    }
}
