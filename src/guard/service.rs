use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::admit::{Admission, Asked};
use super::answer::{Call, not_found};
use super::delete::Deletion;
use super::forward;
use super::future::{Reading, ResponseFuture, State};
use super::head::{Head, Traits};
use super::intake::Intake;
use super::layer::Shared;
use super::post::{Next, Post};
use super::reason::RefusalReason;
use super::reported::Reported;
use crate::extract::Guarded;
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
    fn set_farewell(&self, entry: &Arc<Entry>, parts: &Parts)
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        if self.shared.settings.end_inner_sessions && entry.inner_id().is_some() {
            let farewell = self.shared.farewells.prepare(self.inner.clone(), parts);
            if let Some(farewell) = farewell {
                entry.extras.set_farewell(entry, farewell);
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
        let body = Body::new(body);
        if parts.method == Method::OPTIONS {
            // A CORS preflight is the inner service's: untouched both ways. The extractors
            // know that it was guarded.
            parts.extensions.insert(Guarded::default());
            return State::pass(self.inner.call(Request::from_parts(parts, body)), None);
        }
        let Self { inner, shared } = self;
        let settings = &shared.settings;
        let admission = match shared.admit(&parts, asked) {
            Ok(admission) => admission,
            Err((reason, session)) => {
                if settings.lets_pass(reason) {
                    let reported = Reported::prepare(reason, &mut parts, session, shared);
                    let request = Request::from_parts(parts, body);
                    return State::pass(inner.call(request), reported);
                }
                give_back(inner);
                return State::refuse(reason, shared, &parts, Intake::new(body, settings));
            }
        };
        match admission {
            Admission::Ask(caller) => {
                let guard = Self::new(give_back(inner), shared.clone());
                State::wait(guard.ask(parts, body, caller))
            }
            Admission::Read(admitted) => {
                let mut intake = Intake::new(body, settings);
                // It is there nearly always, and is not waited for.
                let body = match intake.take_now() {
                    Some(Ok(body)) => body,
                    Some(Err(reason)) => {
                        give_back(inner);
                        return State::refuse(reason, shared, &parts, intake);
                    }
                    None => {
                        return State::read(Reading {
                            intake,
                            inner: give_back(inner),
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
                    // Its session has just ended.
                    Next::Call(call) => {
                        give_back(inner);
                        State::answer(call.ended(), None)
                    }
                    Next::Answer(response) => {
                        give_back(inner);
                        State::answer(*response, None)
                    }
                    next => {
                        let request = Request::from_parts(parts, Body::from(body));
                        State::go(inner, request, next)
                    }
                }
            }
            Admission::Stream(mut session, traits) => {
                session.admit();
                let call = Call::stream(session, traits, &parts, settings);
                forward::prepare_stream(&mut parts, call.in_flight.entry(), traits);
                State::call(inner.call(Request::from_parts(parts, body)), call)
            }
            Admission::End(session) => end(session, parts, body, inner, shared),
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
            settings, registry, ..
        } = &*self.shared;
        let id = Head::read(&parts, settings.longest_id).session.named();
        let found = match (id, &caller) {
            (Some(id), Caller::Known(owner)) => {
                registry
                    .begin_asked(id, &settings.scope, owner.as_ref())
                    .await
            }
            _ => Ok(None),
        };
        if let Ok(Some(session)) = &found {
            self.set_farewell(session.entry(), &parts);
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

/// Ends a session at its client's word.
fn end<S, R>(
    session: InFlight,
    mut parts: Parts,
    body: Body,
    inner: &mut S,
    shared: &Arc<Shared>,
) -> State<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let shared = shared.clone();
    let settings = &shared.settings;
    let response = match Deletion::begin(session) {
        Ok(deletion) if deletion.entry().inner_id().is_some() => {
            forward::prepare_stream(&mut parts, deletion.entry(), Traits::default());
            let answer = inner.call(Request::from_parts(parts, body));
            let heeds_refusal = !settings.end_on_refused_delete;
            return State::wait(deletion.ask(answer, heeds_refusal, shared));
        }
        Ok(deletion) if shared.registry.link().is_some() => {
            give_back(inner);
            return State::wait(async move { Ok(deletion.end_everywhere(&shared).await) });
        }
        Ok(deletion) => deletion.end(),
        Err(session) => not_found(parts.version, session.entry()),
    };
    give_back(inner);
    let rest = Intake::new(body, settings).if_must_be_dropped(&parts);
    State::answer(response, rest)
}

/// Gives an inner service's place back, where it is limited: it is not called yet, or not at all.
/// Returns one that is not ready.
fn give_back<S: Clone>(inner: &mut S) -> S {
    *inner = inner.clone();
    inner.clone()
}
