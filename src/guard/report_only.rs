//! Lets a request pass whose answer passes unchanged. Outside report-only mode, it belongs to no session.
//!
//! In report-only mode, a request that the guard would refuse goes to the inner service unchanged (contract
//! §2). If it names a live session, it is in flight all the same. An inner service with its own session ids
//! gets its own id, because it does not know ours.

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

use super::POLLED_AFTER_COMPLETION;
use super::body::in_flight::InFlightBody;
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

pin_project! {
    /// Waits for the answer.
    pub(crate) struct PassFuture<F> {
        #[pin]
        answer: F,
        pass_through: Option<PassThrough>,
    }
}

impl<F> PassFuture<F> {
    pub(crate) fn new(answer: F, pass_through: PassThrough) -> Self {
        Self {
            answer,
            pass_through: Some(pass_through),
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
        let pass_through = this.pass_through.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(Ok(pass_through.pass(response.map(Body::new))))
    }
}
