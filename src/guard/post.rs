//! Reads and judges the message of a POST, and prepares the request for the inner service.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use super::admitted::{Admitted, Named};
use super::answer::call::Call;
use super::forward;
use super::inner_call::InnerCall;
use super::judge::message::{self as judge, Verdict};
use super::modern::call::{Listener, ModernCall};
use super::opening::{self, Opening};
use super::report_only::PassThrough;
use super::shared::Shared;
use super::span;
use crate::extract::McpMessage;
use crate::protocol::era::{self, Era};
use crate::protocol::headers::VersionHeader;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::message::{self, Bounds, Message};
use crate::protocol::revision;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Caller, Client, NewEntry, ReserveError, Slot};

/// A POST whose head passed and whose body has arrived.
pub(super) struct Post<'a> {
    pub(super) shared: &'a Shared,
    pub(super) parts: &'a mut Parts,
    pub(super) admitted: Admitted,
}

impl Post<'_> {
    /// Judges the complete body (contract rows 12 to 23). Returns the call to make, or fails with the answer
    /// to a refused message. The answer is boxed, because `InnerCall` is smaller and every message moves it.
    pub(super) fn judge<S>(
        mut self,
        body: &Bytes,
        inner: &S,
    ) -> Result<InnerCall, Box<Response<Body>>>
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        self.read(body, inner).or_else(|refusal| {
            let pass_through = self.shared.refuse(refusal, self.parts);
            pass_through.map(InnerCall::Pass)
        })
    }

    fn read<S>(&mut self, body: &Bytes, inner: &S) -> Result<InnerCall, Refusal>
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        let settings = &self.shared.settings;
        let bounds = Bounds::for_requests(settings.json_depth)
            .with_lone_surrogates(settings.accept_lone_surrogates);
        let message = message::read(body, bounds)
            .map_err(|flaw| Refusal::for_message(flaw.reason, flaw.id))?;
        let headers = &self.parts.headers;
        let version = self.admitted.flags.version(headers);
        match judge::message(&message, version, headers, &self.admitted, settings) {
            Ok(Verdict::Forward(era)) => {
                self.record_version(version);
                Ok(self.forward(&message, era, body.len()))
            }
            Ok(Verdict::Modern(era)) => {
                self.forward_modern(McpMessage::new(&message, era), body.len())
            }
            Ok(Verdict::Open(era)) => {
                let client = opening::client(&message, self.shared.sessions.registry());
                let message = McpMessage::new(&message, era);
                self.open(client, message, body.len(), inner)
            }
            Err(RefusalReason::UnsupportedVersion) => Err(self.unsupported_version(&message)),
            Err(reason) => Err(Refusal::for_message(reason, message.request_id())),
        }
    }

    /// Logs that the client names another version than its session negotiated.
    fn record_version(&self, version: VersionHeader<'_>) {
        if let (Named::Live(session), VersionHeader::Named(named)) = (&self.admitted.named, version)
            && let Some(negotiated) = session.entry().protocol_version()
            && negotiated.as_bytes() != named
        {
            span::version_mismatch(session.entry());
        }
    }

    fn forward(&mut self, message: &Message<'_>, era: Era, length: usize) -> InnerCall {
        let Shared { settings, .. } = self.shared;
        let Admitted { flags, named, .. } = &mut self.admitted;
        let handle = McpMessage::new(message, era);
        forward::set_framing(self.parts, *flags, length, settings);
        let Named::Live(mut session) = std::mem::replace(named, Named::Nothing) else {
            forward::prepare_stateless(self.parts, handle, *flags);
            return InnerCall::Pass(PassThrough::default());
        };
        session.admit_message();
        let entry = session.entry();
        if message.method.as_deref() == Some(b"notifications/initialized") {
            // The client has received the result, perhaps on a resumed stream.
            entry.confirm();
        }
        forward::prepare(self.parts, entry, handle, *flags);
        let id = message.request_id();
        InnerCall::Call(Call::post(session, id, *flags, self.parts, settings))
    }

    fn forward_modern(&mut self, message: McpMessage, length: usize) -> Result<InnerCall, Refusal> {
        let Shared {
            settings,
            listeners,
            sessions,
            ..
        } = self.shared;
        let drain = sessions.drain();
        let listener = match message.method() {
            Some("subscriptions/listen") if drain.is_over() => {
                return Err(self.refusal(RefusalReason::Draining, &message));
            }
            Some("subscriptions/listen") => match Listener::acquire(listeners) {
                Some(listener) => Some(listener),
                None => return Err(self.refusal(RefusalReason::TooManyListeners, &message)),
            },
            _ => None,
        };
        let call = ModernCall::new(&message, listener, drain.clone(), self.parts.version);
        let flags = self.admitted.flags;
        forward::prepare_modern(self.parts, message, flags);
        forward::set_framing(self.parts, flags, length, settings);
        Ok(InnerCall::Modern(call))
    }

    fn open<S>(
        &mut self,
        client: Arc<Client>,
        message: McpMessage,
        length: usize,
        inner: &S,
    ) -> Result<InnerCall, Refusal>
    where
        S: Service<Request<Body>> + Clone + Send + 'static,
        S::Future: Send,
    {
        let slot = self
            .reserve(client)
            .map_err(|unavailable| self.refusal(unavailable.into(), &message))?;
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
        // The guard cannot judge a compressed answer. An outer layer may compress it.
        self.parts.headers.remove(ACCEPT_ENCODING);
        forward::set_framing(self.parts, flags, length, settings);
        Ok(InnerCall::Open(opening))
    }

    /// Reserves a slot for the session that an `initialize` may open.
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
    fn unsupported_version(&self, message: &Message<'_>) -> Refusal {
        let listed = &self.shared.settings.modern_versions;
        let supported: Vec<_> = match listed.is_empty() {
            true => vec![revision::FIRST_SESSIONLESS],
            false => listed.iter().map(String::as_str).collect(),
        };
        let requested = era::requested(message, self.admitted.flags.version(&self.parts.headers));
        let requested = requested.as_deref().unwrap_or("unknown");
        Refusal::for_message(RefusalReason::UnsupportedVersion, message.request_id())
            .with_versions(&supported, requested)
    }

    #[cold]
    fn refusal(&self, reason: RefusalReason, message: &McpMessage) -> Refusal {
        let id = message.request_id().map(InlineBytes::as_bytes);
        let refusal = Refusal::for_message(reason, id);
        match reason {
            RefusalReason::Draining => {
                refusal.with_retry_after(self.shared.sessions.drain().seconds_left())
            }
            _ => refusal,
        }
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
