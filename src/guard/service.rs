use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::answer::{Call, not_found};
use super::delete::Deletion;
use super::future::ResponseFuture;
use super::head::{Head, Traits};
use super::intake::Intake;
use super::judge::{self, HeadVerdict, LiveSession, OwnerCheck, SessionMark};
use super::layer::Shared;
use super::post::Post;
use super::reason::RefusalReason;
use super::refusal::Refusal;
use super::reported::Reported;
use super::{forward, origin};
use crate::config::LegacyEra;
use crate::extract::Guarded;
use crate::session::{Caller, InFlight};

/// Middleware that owns the sessions of the MCP endpoint it wraps.
///
/// Made by [`SessionGuardLayer`](crate::SessionGuardLayer). It takes requests with any body; the
/// inner service gets axum's body with exactly the bytes that were judged, and the client gets
/// axum's body. Errors of the inner service pass through.
#[derive(Clone, Debug)]
pub struct SessionGuard<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> SessionGuard<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The service that was polled ready goes with the request, a clone of it stays.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }

    /// Judges a request by its head (contract rows 2 to 9). With a refusal comes the live session that
    /// the request names, if it came so far.
    fn admit(&self, parts: &Parts) -> Result<Admission, (RefusalReason, Option<InFlight>)> {
        let settings = &self.shared.settings;
        let head = Head::read(parts, settings.longest_id);
        origin::verify(&head, parts, settings).map_err(|reason| (reason, None))?;
        // Who asks is settled before any session is looked up.
        let caller = match settings.legacy {
            LegacyEra::Sessions => settings.owners.resolve(parts),
            LegacyEra::Stateless | LegacyEra::Refused => Caller::Known(None),
        };
        let session = match (settings.legacy, &caller) {
            (LegacyEra::Sessions, Caller::Known(owner)) => head.session.named().and_then(|id| {
                let registry = &self.shared.registry;
                registry.begin(id, &settings.scope, owner.as_ref())
            }),
            _ => None,
        };
        let live = session.as_ref().map(LiveSession::of);
        let gone = || (RefusalReason::SessionNotFound, None);
        match judge::head(&head, OwnerCheck::of(&caller), live, settings) {
            Err(reason) => Err((reason, session)),
            Ok(HeadVerdict::Read(mark)) => Ok(Admission::Read(mark, session, caller, head.traits)),
            Ok(HeadVerdict::Stream) => session.map(Admission::Stream).ok_or_else(gone),
            Ok(HeadVerdict::End) => session.map(Admission::End).ok_or_else(gone),
        }
    }
}

/// A request that passed by its head, with the session that it names.
enum Admission {
    End(InFlight),
    Read(SessionMark, Option<InFlight>, Caller, Traits),
    Stream(InFlight),
}

impl<S, B, R> Service<Request<B>> for SessionGuard<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let body = Body::new(body);
        if parts.method == Method::OPTIONS {
            // A CORS preflight is the inner service's: untouched both ways. The extractors
            // know that it was guarded.
            parts.extensions.insert(Guarded::default());
            return ResponseFuture::pass(self.inner.call(Request::from_parts(parts, body)), None);
        }
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let admission = match self.admit(&parts) {
            Ok(admission) => admission,
            Err((reason, session)) => {
                if settings.lets_pass(reason) {
                    let reported = Reported::prepare(reason, &mut parts, session, &shared);
                    let request = Request::from_parts(parts, body);
                    return ResponseFuture::pass(self.inner.call(request), reported);
                }
                let refusal = Refusal::of_head(reason).told(shared.registry.observers());
                let response = refusal.into_response(parts.version);
                return ResponseFuture::answer(response, &parts, Intake::new(body, settings));
            }
        };
        match admission {
            Admission::Read(mark, session, caller, traits) => {
                let intake = Intake::new(body, settings);
                let inner = self.take_ready();
                ResponseFuture::read(
                    intake,
                    Post {
                        inner,
                        is_ready: true,
                        parts,
                        traits,
                        mark,
                        session,
                        caller,
                        shared,
                    },
                )
            }
            Admission::Stream(session) => {
                let call = Call::stream(session, &parts, settings);
                forward::prepare(&mut parts, call.in_flight.entry(), None);
                ResponseFuture::call(self.inner.call(Request::from_parts(parts, body)), call)
            }
            Admission::End(session) => match Deletion::begin(session) {
                Ok(deletion) if deletion.entry().inner_id().is_some() => {
                    forward::prepare(&mut parts, deletion.entry(), None);
                    let answer = self.inner.call(Request::from_parts(parts, body));
                    ResponseFuture::wait(deletion.ask(answer, !settings.end_on_refused_delete))
                }
                deletion => {
                    let response = match deletion {
                        Ok(deletion) => deletion.end(),
                        Err(session) => not_found(parts.version, session.entry()),
                    };
                    ResponseFuture::answer(response, &parts, Intake::new(body, settings))
                }
            },
        }
    }
}
