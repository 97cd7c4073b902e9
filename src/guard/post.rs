//! A POST once its body came: the message is read, judged, and goes its way.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use super::admit::Admitted;
use super::answer::Call;
use super::forward;
use super::judge::{self, LiveSession, MessageVerdict, OwnerCheck};
use super::modern::call::{Listener, ModernCall};
use super::opening::{self, Opening};
use super::report_only::{Passing, ReportOnly};
use super::shared::Shared;
use super::span;
use crate::extract::McpMessage;
use crate::protocol::era::{self, Era};
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::message::{self, Bounds, Message};
use crate::protocol::revision;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{Caller, Client, NewEntry, ReserveError, Slot, Watch};

/// A POST whose head passed and whose body came.
pub(super) struct Post<'a> {
    pub(super) shared: &'a Shared,
    pub(super) parts: &'a mut Parts,
    pub(super) admitted: Admitted,
}

/// The way that a POST goes.
enum Way {
    /// To the inner service, opening a session if that one agrees.
    Open(Arc<Client>, McpMessage),
    Other(Next),
}

/// What follows a message.
pub(super) enum Next {
    /// The answer, instead of the inner service's. In a box, for the others are smaller, and are moved
    /// with every message.
    Answer(Box<Response<Body>>),
    /// The request is of no session.
    Pass(Passing),
    /// A message of a live session.
    Call(Call),
    Modern(ModernCall),
    /// Likewise in a box.
    Open(Box<Opening>),
}

impl Next {
    /// Ready once the inner service's answer is no longer needed.
    pub(super) fn poll_over(&self, watch: Pin<&mut Watch>, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Call(call) => {
                let bell = || call.in_flight.entry().extras.bell();
                watch.poll(bell, || call.is_over(), cx)
            }
            Self::Open(opening) => {
                let bell = || opening.entry().extras.bell();
                watch.poll(bell, || opening.is_over(), cx)
            }
            Self::Answer(_) | Self::Modern(_) | Self::Pass(_) => Poll::Pending,
        }
    }
}

impl Post<'_> {
    /// The body came whole (contract rows 12 to 23).
    #[inline]
    pub(super) fn judge<S>(mut self, body: &Bytes, inner: &S) -> Next
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        match self.way(body) {
            Way::Open(client, message) => self.open(client, message, body.len(), inner),
            Way::Other(next) => next,
        }
    }

    fn open<S>(
        &mut self,
        client: Arc<Client>,
        message: McpMessage,
        length: usize,
        inner: &S,
    ) -> Next
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        let slot = match self.reserve(client) {
            Ok(slot) => slot,
            Err(unavailable) if self.shared.settings.report_only => {
                return self.report(unavailable.into());
            }
            Err(unavailable) => return self.refuse_with(unavailable.into(), &message),
        };
        let Shared {
            settings,
            inner_deletes,
            sessions,
            ..
        } = self.shared;
        let inner_delete = settings
            .end_inner_sessions
            .then(|| inner_deletes.prepare(inner.clone(), self.parts))
            .flatten();
        let entry = slot.entry().clone();
        let opening = Opening::new(
            slot,
            sessions.clone(),
            &message,
            self.parts.version,
            inner_delete,
            settings.report_only,
        );
        let flags = self.admitted.flags;
        forward::prepare(self.parts, &entry, message, flags);
        // A compressed answer could not be judged; an outer layer may compress.
        self.parts.headers.remove(ACCEPT_ENCODING);
        forward::reframe(self.parts, flags, length, settings);
        Next::Open(Box::new(opening))
    }

    fn way(&mut self, body: &Bytes) -> Way {
        let settings = &self.shared.settings;
        let bounds = Bounds::of_requests(settings.json_depth)
            .with_lone_surrogates(settings.accept_lone_surrogates);
        let read = message::read(body, bounds);
        let message = match &read {
            Ok(message) => message,
            Err(flaw) if settings.lets_pass(flaw.reason) => {
                return Way::Other(self.report(flaw.reason));
            }
            Err(flaw) => return self.refuse(flaw.reason, flaw.id),
        };
        let Admitted {
            flags,
            mark,
            session,
            caller,
        } = &self.admitted;
        let session = session
            .as_ref()
            .filter(|session| session.entry().is_usable());
        let version = flags.version(&self.parts.headers);
        let judged = judge::message(
            message,
            version,
            &self.parts.headers,
            OwnerCheck::of(caller),
            *mark,
            session.map(LiveSession::of),
            settings,
        );
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(reason) if settings.lets_pass(reason) => {
                return Way::Other(self.report(reason));
            }
            Err(reason) => return self.refuse_message(reason, message),
        };
        let negotiated = session.and_then(|live| live.entry().negotiated());
        let era = match (verdict, negotiated) {
            (MessageVerdict::ForwardModern, _) => Era::modern(message, version),
            (MessageVerdict::Forward { names_own: true }, Some(Cow::Borrowed(own))) => {
                Era::Legacy(Some(Cow::Borrowed(own)))
            }
            (MessageVerdict::Forward { .. } | MessageVerdict::Open, _) => {
                let negotiated = negotiated.map(|version| &**version);
                Era::legacy(message.method.as_deref(), version, negotiated)
            }
        };
        match verdict {
            MessageVerdict::Forward { names_own } => {
                Way::Other(self.forward(message, era, names_own, body.len()))
            }
            MessageVerdict::ForwardModern => {
                self.forward_modern(McpMessage::new(message, era), body.len())
            }
            MessageVerdict::Open => Way::Open(
                opening::client(message, self.shared.sessions.registry()),
                McpMessage::new(message, era),
            ),
        }
    }

    fn forward(&mut self, message: &Message<'_>, era: Era, names_own: bool, length: usize) -> Next {
        let flags = self.admitted.flags;
        forward::reframe(self.parts, flags, length, &self.shared.settings);
        let Some(mut session) = self.admitted.session.take() else {
            let handle = McpMessage::new(message, era);
            forward::prepare_stateless(self.parts, handle, flags);
            return Next::Pass(Passing::Untouched);
        };
        session.admit_message();
        let entry = session.entry();
        let negotiated = entry.protocol_version();
        if !names_own && negotiated.is_some() && era.version() != negotiated {
            span::version_mismatch(entry);
        }
        if message.method.as_deref() == Some(b"notifications/initialized") {
            // The client got the result, be it on a resumed stream.
            entry.confirm();
        }
        let handle = McpMessage::new(message, era);
        forward::prepare(self.parts, entry, handle, flags);
        let settings = &self.shared.settings;
        let id = message.request_id();
        Next::Call(Call::post(session, id, flags, self.parts, settings))
    }

    fn forward_modern(&mut self, message: McpMessage, length: usize) -> Way {
        let Shared {
            settings,
            listeners,
            sessions,
            ..
        } = self.shared;
        let drain = sessions.drain();
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
            Err(reason) if settings.lets_pass(reason) => {
                return Way::Other(self.report(reason));
            }
            Err(reason) => return Way::Other(self.refuse_with(reason, &message)),
        };
        let call = ModernCall::new(&message, listener, drain.clone(), self.parts.version);
        let flags = self.admitted.flags;
        forward::prepare_modern(self.parts, message, flags);
        forward::reframe(self.parts, flags, length, settings);
        Way::Other(Next::Modern(call))
    }

    /// A place for the session that an `initialize` is to open.
    fn reserve(&mut self, client: Arc<Client>) -> Result<Slot, ReserveError> {
        let owner = match &mut self.admitted.caller {
            Caller::Known(owner) => owner.take(),
            Caller::Missing | Caller::Unresolved => None,
        };
        let new = NewEntry {
            client,
            owner,
            scope: self.shared.settings.scope.clone(),
        };
        self.shared.sessions.reserve(new)
    }

    #[cold]
    fn refuse_message(&self, reason: RefusalReason, message: &Message<'_>) -> Way {
        let id = message.request_id();
        if reason != RefusalReason::UnsupportedVersion {
            return self.refuse(reason, id);
        }
        let listed = &self.shared.settings.modern_versions;
        let supported: Vec<_> = match listed.is_empty() {
            true => vec![revision::FIRST_MODERN],
            false => listed.iter().map(String::as_str).collect(),
        };
        let requested = era::requested(message, self.admitted.flags.version(&self.parts.headers));
        let requested = requested.as_deref().unwrap_or("unknown");
        let refusal = Refusal::of_message(reason, id).with_versions(&supported, requested);
        Way::Other(self.answer(refusal))
    }

    fn refuse_with(&self, reason: RefusalReason, message: &McpMessage) -> Next {
        let id = message.request_id().map(InlineBytes::as_bytes);
        let mut refusal = Refusal::of_message(reason, id);
        if reason == RefusalReason::Draining {
            refusal = refusal.with_retry_after(self.shared.sessions.drain().seconds_left());
        }
        self.answer(refusal)
    }

    fn refuse(&self, reason: RefusalReason, id: Option<&[u8]>) -> Way {
        Way::Other(self.answer(Refusal::of_message(reason, id)))
    }

    fn answer(&self, refusal: Refusal) -> Next {
        let refusal = refusal.notify(self.shared.sessions.observers());
        Next::Answer(Box::new(refusal.into_response(self.parts.version)))
    }

    /// Report-only mode.
    #[cold]
    fn report(&mut self, reason: RefusalReason) -> Next {
        let session = self.admitted.session.take();
        Next::Pass(ReportOnly::prepare(
            reason,
            self.parts,
            session,
            self.shared,
        ))
    }
}

impl From<ReserveError> for RefusalReason {
    fn from(unavailable: ReserveError) -> Self {
        match unavailable {
            ReserveError::Draining => Self::Draining,
            ReserveError::Full => Self::TooManySessions,
            ReserveError::NoId => Self::IdGeneratorFailed,
            ReserveError::OwnerFull => Self::TooManyOwnSessions,
            ReserveError::StoreDown => Self::StoreUnavailable,
        }
    }
}
