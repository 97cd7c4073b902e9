//! The way out of a refusal (contract §3): the observers are notified, the response is made, what is left of
//! the request's body is dropped, and the inner service gets its readiness back. Or report-only mode lets the
//! request pass.

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::body_reader::BodyReader;
use super::future::State;
use super::report_only::Passing;
use super::service::SessionGuard;
use super::shared::Shared;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, InFlight, Observers};

/// A request that is refused, with the live session that it names, if it came so far.
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) session: Option<InFlight>,
}

impl Refused {
    /// Refused before an id could be read.
    #[cold]
    pub(crate) fn by_head(reason: RefusalReason, session: Option<InFlight>) -> Self {
        Self {
            refusal: Refusal::of_head(reason),
            session,
        }
    }
}

impl From<RefusalReason> for Refused {
    fn from(reason: RefusalReason) -> Self {
        Self::by_head(reason, None)
    }
}

impl Shared {
    /// Answers a refused request, or makes it ready to pass in report-only mode. The answer is in a box,
    /// because whatever passes is smaller.
    #[cold]
    pub(crate) fn refuse(
        &self,
        refused: Refused,
        parts: &mut Parts,
    ) -> Result<Passing, Box<Response<Body>>> {
        let Refused { refusal, session } = refused;
        let observers = self.sessions.observers();
        if self.settings.lets_pass(refusal.reason()) {
            Refusal::report(refusal.reason(), observers);
            return Ok(Passing::report_only(parts, session, self));
        }
        Err(Box::new(refusal.respond(observers, parts.version)))
    }
}

impl<S> SessionGuard<S> {
    /// Refuses a request whose body was not read to its end. Where report-only mode lets it pass, nothing
    /// of the body was read.
    #[cold]
    pub(super) fn refuse<R>(
        &mut self,
        refused: Refused,
        mut parts: Parts,
        body: BodyReader,
    ) -> State<S>
    where
        S: Service<Request<Body>, Response = Response<R>> + Clone,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self.shared.refuse(refused, &mut parts) {
            Ok(passing) => {
                let request = Request::from_parts(parts, body.into_body());
                State::pass(self.inner.call(request), passing)
            }
            Err(response) => self.answer(*response, body.if_must_be_dropped(&parts)),
        }
    }

    /// Answers instead of the inner service, once the rest of the request's body was dropped.
    pub(super) fn answer(&mut self, response: Response<Body>, rest: Option<BodyReader>) -> State<S>
    where
        S: Service<Request<Body>> + Clone,
    {
        self.release_readiness();
        State::answer(response, rest)
    }

    /// Releases the readiness acquired in `poll_ready` (for example a concurrency permit).
    pub(super) fn release_readiness(&mut self)
    where
        S: Clone,
    {
        self.inner = self.inner.clone();
    }

    /// A guard that must be polled ready before its inner service is called: what waits or sends slowly must
    /// not hold a concurrency permit.
    pub(super) fn unready(&mut self) -> Self
    where
        S: Clone,
    {
        self.release_readiness();
        self.clone()
    }
}

impl Refusal {
    /// Notifies the observers and makes the response. `version` is the request's.
    pub(crate) fn respond(self, observers: &Observers, version: Version) -> Response<Body> {
        observers.refused(&self);
        self.into_response(version)
    }

    /// The same, where only a session is at hand.
    pub(crate) fn respond_in(self, entry: &Entry, version: Version) -> Response<Body> {
        match entry.observers() {
            Some(observers) => self.respond(&observers, version),
            None => self.into_response(version),
        }
    }

    /// Notifies the observers that the request would be refused, if it were not for
    /// [report-only mode](crate::SessionGuardBuilder::report_only).
    pub(crate) fn report(reason: RefusalReason, observers: &Observers) {
        observers.refused(&Self::only_reported(reason));
    }
}
