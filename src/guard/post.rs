//! A POST once its body came: the message is read, judged, and goes its way.

use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::answer::Call;
use super::era::{self, Era};
use super::forward;
use super::future::State;
use super::head::Traits;
use super::intake::Intake;
use super::kept::Kept;
use super::judge::{self, LiveSession, MessageVerdict, OwnerCheck, SessionMark};
use super::layer::Shared;
use super::message::{self, Bounds, Message};
use super::modern_call::{Listener, ModernCall};
use super::opening::{self, Opening};
use super::reason::RefusalReason;
use super::refusal::Refusal;
use super::reported::Reported;
use crate::extract::McpMessage;
use crate::observe;
use crate::session::{Caller, Client, InFlight, Opener, Unavailable};

/// A POST whose head passed.
pub(crate) struct Post<S> {
    pub(crate) inner: S,
    /// Whether `inner` has been polled ready.
    pub(crate) is_ready: bool,
    /// `None` once it has gone its way.
    pub(crate) parts: Option<Parts>,
    pub(crate) traits: Traits,
    pub(crate) mark: SessionMark,
    /// The live session that the head names; from row 7 on the request is in flight.
    pub(crate) session: Option<InFlight>,
    pub(crate) caller: Caller,
    pub(crate) shared: Arc<Shared>,
}

/// What follows once the inner service is ready for a message.
pub(super) enum Next {
    /// Its answer passes as it is.
    Pass(Option<Reported>),
    /// A message of a live session.
    Call(Call),
    Modern(ModernCall),
    Open(Opening),
}

impl<S, R> Post<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// The body lets us wait: the inner service is given back until it is needed, for a client that
    /// sends slowly must not hold a place in a limited one.
    pub(super) fn give_back(&mut self) {
        if std::mem::replace(&mut self.is_ready, false) {
            self.inner = self.inner.clone();
        }
    }

    /// The body came whole (contract rows 12 to 23). In place, for a head is large to move about.
    pub(super) fn judge(&mut self, body: Bytes) -> State<S> {
        let parts = self.parts.as_ref().expect(GONE);
        let settings = &self.shared.settings;
        let message = match message::read(&body, Bounds::of_requests(settings.json_depth)) {
            Ok(message) => message,
            Err(flaw) if settings.lets_pass(flaw.reason) => {
                return self.report(flaw.reason, body.clone());
            }
            Err(flaw) => return self.refuse(flaw.reason, flaw.id.map(str::as_bytes)),
        };
        let session = self
            .session
            .as_ref()
            .filter(|session| session.entry().is_usable());
        let version = self.traits.version(&parts.headers);
        let judged = judge::message(
            &message,
            version,
            &parts.headers,
            OwnerCheck::of(&self.caller),
            self.mark,
            session.map(LiveSession::of),
            settings,
        );
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(reason) if settings.lets_pass(reason) => return self.report(reason, body.clone()),
            Err(reason) => return self.refuse_message(reason, &message),
        };
        let era = match verdict {
            MessageVerdict::ForwardModern => Era::modern(&message, version),
            MessageVerdict::Forward | MessageVerdict::Open => {
                let negotiated = session.and_then(|live| live.entry().protocol_version());
                Era::legacy(message.method.as_deref(), version, negotiated)
            }
        };
        let handle = McpMessage::new(&message, era);
        match verdict {
            MessageVerdict::Forward => self.forward(handle, body),
            MessageVerdict::ForwardModern => self.forward_modern(handle, body),
            MessageVerdict::Open => {
                let client = opening::client(&message);
                self.open(client, handle, body)
            }
        }
    }

    /// The body did not come (rows 10 and 11).
    pub(super) fn refuse_body(&mut self, reason: RefusalReason, intake: Intake) -> State<S> {
        let parts = self.parts.as_ref().expect(GONE);
        let refusal = Refusal::of_head(reason).told(self.shared.registry.observers());
        let response = refusal.into_response(parts.version);
        let rest = match reason {
            // It broke off: nothing more can come.
            RefusalReason::BodyBroken => None,
            _ => intake.if_must_be_dropped(parts),
        };
        State::answer(response, rest)
    }

    fn forward(&mut self, message: McpMessage, body: Bytes) -> State<S> {
        let parts = self.parts.as_mut().expect(GONE);
        let Some(session) = self.session.take() else {
            forward::prepare_stateless(parts, message);
            return self.go(body, Next::Pass(None));
        };
        let entry = session.entry();
        let negotiated = entry.protocol_version();
        if negotiated.is_some() && message.era().version() != negotiated {
            observe::version_mismatch(entry);
        }
        let settings = &self.shared.settings;
        let call = Call::post(session, &message, self.traits, parts, settings);
        if message.calls("notifications/initialized") {
            // The client got the result, be it on a resumed stream.
            call.in_flight.entry().confirm();
        }
        forward::prepare(parts, call.in_flight.entry(), message);
        self.go(body, Next::Call(call))
    }

    fn forward_modern(&mut self, message: McpMessage, body: Bytes) -> State<S> {
        let Shared {
            settings,
            listeners,
            registry,
            ..
        } = &*self.shared;
        let drain = registry.drain();
        let listener = match message.method() {
            Some("subscriptions/listen") if drain.is_over() => Err(RefusalReason::Draining),
            Some("subscriptions/listen") => match Listener::take(listeners) {
                Some(listener) => Ok(Some(listener)),
                None => Err(RefusalReason::TooManyListeners),
            },
            _ => Ok(None),
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(reason) if settings.lets_pass(reason) => return self.report(reason, body),
            Err(reason) => return self.refuse_with(reason, &message),
        };
        let call = ModernCall::new(&message, listener, drain.clone());
        forward::prepare_modern(self.parts.as_mut().expect(GONE), message);
        self.go(body, Next::Modern(call))
    }

    fn open(&mut self, client: Client, message: McpMessage, body: Bytes) -> State<S> {
        let settings = &self.shared.settings;
        let owner = match &mut self.caller {
            Caller::Known(owner) => owner.take(),
            Caller::Missing | Caller::Unresolved => None,
        };
        let opener = Opener {
            client,
            owner,
            scope: settings.scope.clone(),
        };
        let slot = match self.shared.registry.reserve(opener) {
            Ok(slot) => slot,
            Err(unavailable) if settings.report_only => {
                return self.report(unavailable.into(), body);
            }
            Err(unavailable) => return self.refuse_with(unavailable.into(), &message),
        };
        let parts = self.parts.as_mut().expect(GONE);
        let farewell = settings
            .end_inner_sessions
            .then(|| {
                let inner = self.inner.clone();
                self.shared.farewells.prepare(inner, parts)
            })
            .flatten();
        let entry = slot.entry().clone();
        let opening = Opening::new(
            slot,
            &message,
            parts.version,
            farewell,
            settings.report_only,
        );
        forward::prepare(parts, &entry, message);
        // A compressed answer could not be judged; an outer layer may compress.
        parts.headers.remove(ACCEPT_ENCODING);
        self.go(body, Next::Open(opening))
    }

    fn go(&mut self, body: Bytes, next: Next) -> State<S> {
        let parts = self.parts.as_mut().expect(GONE);
        forward::reframe(parts, self.traits, body.len());
        self.send(body, next)
    }

    fn send(&mut self, body: Bytes, next: Next) -> State<S> {
        let parts = self.parts.take().expect(GONE);
        let request = Request::from_parts(parts, Body::from(body));
        match self.is_ready {
            true => State::go(&mut self.inner, request, next),
            false => State::ready(self.inner.clone(), request, next),
        }
    }

    fn refuse_message(&self, reason: RefusalReason, message: &Message<'_>) -> State<S> {
        let id = message.request_id().map(str::as_bytes);
        if reason != RefusalReason::UnsupportedVersion {
            return self.refuse(reason, id);
        }
        let listed = &self.shared.settings.modern_versions;
        let supported: Vec<_> = match listed.is_empty() {
            true => vec![era::FIRST_MODERN],
            false => listed.iter().map(String::as_str).collect(),
        };
        let parts = self.parts.as_ref().expect(GONE);
        let version = self.traits.version(&parts.headers);
        let requested = era::requested(message, version);
        let requested = requested.as_deref().unwrap_or("unknown");
        let refusal = Refusal::of_message(reason, id).with_versions(&supported, requested);
        self.answer(refusal)
    }

    fn refuse_with(&self, reason: RefusalReason, message: &McpMessage) -> State<S> {
        let id = message.request_id().map(Kept::as_bytes);
        let mut refusal = Refusal::of_message(reason, id);
        if reason == RefusalReason::Draining {
            refusal = refusal.with_retry_after(self.shared.registry.drain().seconds_left());
        }
        self.answer(refusal)
    }

    fn refuse(&self, reason: RefusalReason, id: Option<&[u8]>) -> State<S> {
        self.answer(Refusal::of_message(reason, id))
    }

    fn answer(&self, refusal: Refusal) -> State<S> {
        let refusal = refusal.told(self.shared.registry.observers());
        let version = self.parts.as_ref().expect(GONE).version;
        State::answer(refusal.into_response(version), None)
    }

    /// Report-only mode.
    fn report(&mut self, reason: RefusalReason, body: Bytes) -> State<S> {
        let session = self.session.take();
        let parts = self.parts.as_mut().expect(GONE);
        let reported = Reported::prepare(reason, parts, session, &self.shared);
        self.send(body, Next::Pass(reported))
    }
}

const GONE: &str = "a POST goes its way once";

impl From<Unavailable> for RefusalReason {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Draining => Self::Draining,
            Unavailable::Full => Self::TooManySessions,
            Unavailable::NoId => Self::IdGeneratorFailed,
            Unavailable::OwnerFull => Self::TooManyOwnSessions,
            Unavailable::StoreDown => Self::StoreUnavailable,
        }
    }
}
