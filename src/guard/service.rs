use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::admit::{Admission, Asked};
use super::answer::{Call, not_found};
use super::body_reader::BodyReader;
use super::delete::Deletion;
use super::forward;
use super::future::{Reading, ResponseFuture, State, release_readiness};
use super::head::{Head, HeadFlags};
use super::post::{Next, Post};
use super::report_only::{Passing, ReportOnly};
use super::shared::Shared;
use crate::guard::settings::Settings;
use crate::refusal::RefusalReason;
use crate::session::{Caller, Entry, InFlight, Watch};

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

    /// Has the inner service told of the end of a session that it keeps one of its own for.
    fn set_inner_delete(&self, entry: &Arc<Entry>, parts: &Parts)
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        if self.shared.settings.end_inner_sessions && entry.inner_id().is_some() {
            let inner_delete = self.shared.inner_deletes.prepare(self.inner.clone(), parts);
            if let Some(inner_delete) = inner_delete {
                entry.extras.set_inner_delete(entry, inner_delete);
            }
        }
    }
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
        ResponseFuture {
            state: self.proceed(request, None),
        }
    }
}

impl<S, R> SessionGuard<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Sends a request on its way; the inner service is ready.
    #[inline(never)] // so that the state is made where it stays
    fn proceed<B>(&mut self, request: Request<B>, asked: Option<Asked>) -> State<S>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let mut body = Body::new(body);
        let Self { inner, shared } = self;
        let settings = &shared.settings;
        let admission = match shared.admit(&parts, asked) {
            Ok(admission) => admission,
            Err((reason, session)) => {
                if settings.lets_pass(reason) {
                    let passing = ReportOnly::prepare(reason, &mut parts, session, shared);
                    let request = Request::from_parts(parts, body);
                    return State::pass(inner.call(request), passing);
                }
                release_readiness(inner);
                return State::refuse(reason, shared, &parts, BodyReader::new(body, settings));
            }
        };
        match admission {
            Admission::Ask(caller) => {
                let guard = Self::new(release_readiness(inner), shared.clone());
                State::wait(guard.ask(parts, body, caller))
            }
            Admission::Read(admitted) => {
                let mut intake = BodyReader::new(body, settings);
                // It is there nearly always, and is not waited for.
                let body = match intake.read_now() {
                    Some(Ok(body)) => body,
                    Some(Err(reason)) => {
                        release_readiness(inner);
                        return State::refuse(reason, shared, &parts, intake);
                    }
                    None => {
                        return State::read(Reading {
                            intake,
                            inner: release_readiness(inner),
                            parts,
                            admitted,
                            shared: shared.clone(),
                        });
                    }
                };
                let post = Post {
                    shared,
                    parts: &mut parts,
                    admitted,
                };
                match post.judge(&body, inner) {
                    // As nearly always. What is large is made where it stays.
                    Next::Call(call) if call.in_flight.entry().is_usable() => State::Call {
                        future: inner.call(Request::from_parts(parts, Body::from(body))),
                        watch: Watch::default(),
                        call: Some(call),
                    },
                    Next::Answer(response) => {
                        release_readiness(inner);
                        State::answer(*response, None)
                    }
                    next => {
                        let request = Request::from_parts(parts, Body::from(body));
                        State::go(inner, request, next)
                    }
                }
            }
            Admission::Stream(mut session, flags) => {
                session.admit();
                let call = Call::stream(session, flags, &parts, settings);
                let rest = take_body(&mut body, &parts, settings);
                forward::prepare_stream(&mut parts, call.in_flight.entry(), flags);
                match rest {
                    None => State::call(inner.call(Request::from_parts(parts, body)), call),
                    rest => wait(inner, parts, Next::Call(call), rest),
                }
            }
            Admission::Preflight => {
                let rest = take_body(&mut body, &parts, settings);
                forward::prepare_preflight(&mut parts);
                let next = Next::Pass(Passing::Preflight);
                match rest {
                    None => State::go(inner, Request::from_parts(parts, body), next),
                    rest => wait(inner, parts, next, rest),
                }
            }
            Admission::End(session, flags) => match take_body(&mut body, &parts, settings) {
                None => end(session, flags, parts, inner, shared),
                Some(rest) => {
                    let (inner, shared) = (release_readiness(inner), shared.clone());
                    State::wait(end_behind(rest, session, flags, parts, inner, shared))
                }
            },
        }
    }

    /// Asks the store for the session that a request names, then sends it on its way.
    async fn ask(
        mut self,
        parts: Parts,
        body: Body,
        caller: Caller,
    ) -> Result<Response<Body>, S::Error> {
        let Shared {
            settings, sessions, ..
        } = &*self.shared;
        let id = Head::read(&parts, settings.longest_id).session.named();
        let found = match (id, &caller) {
            (Some(id), Caller::Known(owner)) => {
                sessions.look_up(id, &settings.scope, owner.as_ref()).await
            }
            _ => Ok(None),
        };
        if let Ok(Some(session)) = &found {
            self.set_inner_delete(session.entry(), &parts);
        }
        let asked = Asked {
            caller,
            found: found.map_err(RefusalReason::from),
        };
        poll_fn(|cx| self.inner.poll_ready(cx)).await?;
        let state = self.proceed(Request::from_parts(parts, body), Some(asked));
        ResponseFuture { state }.await
    }
}

/// Takes the body off a request that carries none inward. Returns the part that must be dropped first.
#[inline]
fn take_body(body: &mut Body, parts: &Parts, settings: &Settings) -> Option<BodyReader> {
    if body.is_end_stream() {
        return None;
    }
    let own = mem::replace(body, Body::empty());
    BodyReader::new(own, settings).if_must_be_dropped(parts)
}

/// Drops the rest of a body first. The inner service is not polled ready: a slow upload must not hold a
/// concurrency permit.
#[cold]
fn wait<S>(inner: &mut S, parts: Parts, next: Next, rest: Option<BodyReader>) -> State<S>
where
    S: Service<Request<Body>> + Clone,
{
    let request = Request::from_parts(parts, Body::empty());
    State::ready(release_readiness(inner), request, next, rest)
}

/// Ends a session at its client's word.
fn end<S, R>(
    session: InFlight,
    flags: HeadFlags,
    mut parts: Parts,
    inner: &mut S,
    shared: &Arc<Shared>,
) -> State<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let shared = shared.clone();
    let response = match Deletion::begin(session, &shared.sessions) {
        Ok(deletion) if deletion.entry().inner_id().is_some() => {
            forward::prepare_stream(&mut parts, deletion.entry(), flags);
            let answer = inner.call(Request::from_parts(parts, Body::empty()));
            return State::wait(deletion.ask(answer, shared));
        }
        Ok(deletion) if shared.sessions.store_sync().is_some() => {
            release_readiness(inner);
            return State::wait(async move { Ok(deletion.end_everywhere(&shared).await) });
        }
        Ok(deletion) => deletion.end(),
        Err(session) => not_found(parts.version, session.entry()),
    };
    release_readiness(inner);
    State::answer(response, None)
}

/// Ends a session once the rest of the DELETE's body was dropped. Until then the session may end by other
/// means.
async fn end_behind<S, R>(
    mut rest: BodyReader,
    session: InFlight,
    flags: HeadFlags,
    parts: Parts,
    mut inner: S,
    shared: Arc<Shared>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    poll_fn(|cx| rest.poll_drop(cx)).await;
    if session.entry().inner_id().is_some() {
        poll_fn(|cx| inner.poll_ready(cx)).await?;
    }
    let state = end(session, flags, parts, &mut inner, &shared);
    ResponseFuture { state }.await
}
