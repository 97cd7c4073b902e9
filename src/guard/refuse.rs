//! Answers a refused request (contract §3). The guard notifies the observers, builds the response, drops the
//! unread rest of the request's body, and releases the readiness of the inner service. Report-only mode lets
//! the request pass instead.

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::body_reader::BodyReader;
use super::future::State;
use super::report_only::PassThrough;
use super::service::SessionGuard;
use super::shared::Shared;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, Observers};

impl Shared {
    /// Prepares a refused request to pass in report-only mode. Otherwise fails with the answer, which is
    /// boxed because `PassThrough` is smaller.
    #[cold]
    pub(crate) fn refuse(
        &self,
        refusal: Refusal,
        parts: &mut Parts,
    ) -> Result<PassThrough, Box<Response<Body>>> {
        let observers = self.sessions.observers();
        if self.settings.lets_pass(refusal.reason()) {
            Refusal::report(refusal.reason(), observers);
            return Ok(PassThrough::report_only(parts, self));
        }
        Err(Box::new(refusal.respond(observers, parts.version)))
    }
}

impl<S> SessionGuard<S> {
    /// Refuses a request whose body was not read to its end. If report-only mode lets the request pass, none
    /// of the body was read.
    #[cold]
    pub(super) fn refuse<R>(
        &mut self,
        reason: RefusalReason,
        mut parts: Parts,
        body: BodyReader,
    ) -> State<S>
    where
        S: Service<Request<Body>, Response = Response<R>> + Clone,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self.shared.refuse(Refusal::for_head(reason), &mut parts) {
            Ok(pass_through) => {
                let request = Request::from_parts(parts, body.into_body());
                State::pass(self.inner.call(request), pass_through)
            }
            Err(response) => self.answer(*response, body.if_must_be_dropped(&parts)),
        }
    }

    /// Answers instead of the inner service, after the unread rest of the request's body was dropped.
    pub(super) fn answer(
        &mut self,
        response: Response<Body>,
        unread: Option<BodyReader>,
    ) -> State<S>
    where
        S: Service<Request<Body>> + Clone,
    {
        self.release_readiness();
        State::answer(response, unread)
    }

    /// Releases the readiness acquired in `poll_ready` (for example a concurrency permit).
    pub(super) fn release_readiness(&mut self)
    where
        S: Clone,
    {
        self.inner = self.inner.clone();
    }

    /// Returns a guard that must be polled ready again before it calls the inner service. A slow upload or a
    /// store lookup must not hold a concurrency permit.
    pub(super) fn unready(&mut self) -> Self
    where
        S: Clone,
    {
        self.release_readiness();
        self.clone()
    }
}

impl Refusal {
    /// Notifies the observers and builds the response. `version` is the HTTP version of the request.
    pub(crate) fn respond(self, observers: &Observers, version: Version) -> Response<Body> {
        observers.refused(&self);
        self.into_response(version)
    }

    /// Notifies the observers of a session and builds the response, as [`respond`](Self::respond) does.
    pub(crate) fn respond_in(self, entry: &Entry, version: Version) -> Response<Body> {
        match entry.observers() {
            Some(observers) => self.respond(&observers, version),
            None => self.into_response(version),
        }
    }

    /// Notifies the observers of a request that the guard would refuse without
    /// [report-only mode](crate::SessionGuardBuilder::report_only).
    pub(crate) fn report(reason: RefusalReason, observers: &Observers) {
        observers.refused(&Self::only_reported(reason));
    }
}
