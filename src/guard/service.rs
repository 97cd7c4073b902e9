use std::future::poll_fn;
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
use super::head::{Head, Traits, Verb};
use super::intake::Intake;
use super::judge::{self, HeadVerdict, LiveSession, OwnerCheck, SessionMark};
use super::layer::Shared;
use super::post::Post;
use super::reason::RefusalReason;
use super::refusal::Refusal;
use super::reported::Reported;
use super::{era, forward, origin};
use crate::config::LegacyEra;
use crate::extract::Guarded;
use crate::session::{Begun, Caller, Entry, InFlight};

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
    /// the request names, if it came so far. `asked` is what the store has said of it.
    fn admit(
        &self,
        parts: &Parts,
        asked: Option<Asked>,
    ) -> Result<Admission, (RefusalReason, Option<InFlight>)> {
        let settings = &self.shared.settings;
        let head = Head::read(parts, settings.longest_id);
        let (caller, found) = match asked {
            Some(asked) => (asked.caller, asked.found),
            None => {
                origin::verify(&head, parts, settings).map_err(|reason| (reason, None))?;
                // Who asks is settled before any session is looked up.
                let caller = match settings.legacy {
                    LegacyEra::Sessions => settings.owners.resolve(parts),
                    LegacyEra::Stateless | LegacyEra::Refused => Caller::Known(None),
                };
                match self.find(&head, &caller) {
                    Begun::Session(session) => (caller, Ok(Some(session))),
                    Begun::Unknown => (caller, Ok(None)),
                    Begun::Ask => return Ok(Admission::Ask(caller)),
                }
            }
        };
        let (session, unclear) = match found {
            Ok(session) => (session, None),
            Err(reason) => (None, Some(reason)),
        };
        let live = match unclear {
            None => Ok(session.as_ref().map(LiveSession::of)),
            Some(reason) => Err(reason),
        };
        let gone = || (RefusalReason::SessionNotFound, None);
        match judge::head(&head, OwnerCheck::of(&caller), live, settings) {
            Err(reason) => Err((reason, session)),
            Ok(HeadVerdict::Read(mark)) => Ok(Admission::Read(mark, session, caller, head.traits)),
            Ok(HeadVerdict::Stream) => session
                .map(|session| Admission::Stream(session, head.traits))
                .ok_or_else(gone),
            Ok(HeadVerdict::End) => session.map(Admission::End).ok_or_else(gone),
        }
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

    /// Looks up the session that a request names.
    fn find(&self, head: &Head<'_>, caller: &Caller) -> Begun {
        let settings = &self.shared.settings;
        let (LegacyEra::Sessions, Caller::Known(owner), Some(id)) =
            (settings.legacy, caller, head.session.named())
        else {
            return Begun::Unknown;
        };
        let registry = &self.shared.registry;
        match registry.begin(id, &settings.scope, owner.as_ref()) {
            // Most likely of the era that has no sessions, which must not wait for a store.
            Begun::Ask
                if head.verb == Verb::Post
                    && era::header_names_modern(head.version)
                    && registry.get(id).is_none() =>
            {
                Begun::Unknown
            }
            begun => begun,
        }
    }
}

/// A request that passed by its head, with the session that it names.
enum Admission {
    /// Only the store knows whether it names a session.
    Ask(Caller),
    End(InFlight),
    Read(SessionMark, Option<InFlight>, Caller, Traits),
    Stream(InFlight, Traits),
}

/// What was found out of a request before it is judged by its head.
struct Asked {
    caller: Caller,
    found: Result<Option<InFlight>, RefusalReason>,
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
        self.proceed(parts, body, None)
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
    fn proceed(&mut self, mut parts: Parts, body: Body, asked: Option<Asked>) -> ResponseFuture<S> {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let admission = match self.admit(&parts, asked) {
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
            Admission::Ask(caller) => {
                // Not the ready one: no place in a limited service is held meanwhile.
                let guard = Self::new(self.inner.clone(), shared);
                ResponseFuture::wait(guard.ask(parts, body, caller))
            }
            Admission::Read(mark, session, caller, traits) => {
                let intake = Intake::new(body, settings);
                let inner = self.take_ready();
                ResponseFuture::read(
                    intake,
                    Post {
                        inner,
                        is_ready: true,
                        parts: Some(parts),
                        traits,
                        mark,
                        session,
                        caller,
                        shared,
                    },
                )
            }
            Admission::Stream(session, traits) => {
                let call = Call::stream(session, traits, &parts, settings);
                forward::prepare_stream(&mut parts, call.in_flight.entry(), traits);
                ResponseFuture::call(self.inner.call(Request::from_parts(parts, body)), call)
            }
            Admission::End(session) => match Deletion::begin(session) {
                Ok(deletion) if deletion.entry().inner_id().is_some() => {
                    forward::prepare_stream(&mut parts, deletion.entry(), Traits::default());
                    let answer = self.inner.call(Request::from_parts(parts, body));
                    let heeds_refusal = !settings.end_on_refused_delete;
                    ResponseFuture::wait(deletion.ask(answer, heeds_refusal, shared))
                }
                Ok(deletion) if shared.registry.link().is_some() => {
                    ResponseFuture::wait(async move { Ok(deletion.end_everywhere(&shared).await) })
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
        self.proceed(parts, body, Some(asked)).await
    }
}
