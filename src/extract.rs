//! What the guard hands to the inner service: one value in the request's extensions, read by
//! extractors.

use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Extensions, StatusCode};

use crate::protocol::era::Era;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::message::{Message, MessageKind};
use crate::session::McpSession;

/// The one value that the guard puts into the extensions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guarded {
    pub(crate) session: Option<McpSession>,
    pub(crate) content: Content,
}

/// What a request asks.
#[derive(Clone, Debug, Default)]
pub(crate) enum Content {
    Message(McpMessage),
    /// A GET or DELETE, which has no message, of this era.
    Stream(Era),
    /// A CORS preflight, or what report-only mode let pass.
    #[default]
    Unknown,
}

impl Guarded {
    fn message(&self) -> Option<&McpMessage> {
        match &self.content {
            Content::Message(message) => Some(message),
            Content::Stream(_) | Content::Unknown => None,
        }
    }

    /// The era of the request; `None` where nobody judged it.
    pub(crate) fn era(&self) -> Option<&Era> {
        match &self.content {
            Content::Message(message) => Some(message.era()),
            Content::Stream(era) => Some(era),
            Content::Unknown => None,
        }
    }
}

/// The message of a POST, as the guard read it: kind, method and id, without parsing again.
///
/// ```
/// use mcp_session_guard::{McpMessage, MessageKind};
///
/// async fn mcp(message: McpMessage) -> String {
///     match message.kind() {
///         MessageKind::Request => format!("calls {:?}", message.method()),
///         _ => "expects no answer".to_owned(),
///     }
/// }
/// # let _ = axum::Router::<()>::new().route("/mcp", axum::routing::post(mcp));
/// ```
#[derive(Clone)]
pub struct McpMessage {
    kind: MessageKind,
    era: Era,
    id: Option<InlineBytes>,
    method: Option<InlineBytes>,
}

impl McpMessage {
    #[inline]
    pub(crate) fn new(message: &Message<'_>, era: Era) -> Self {
        Self {
            kind: message.kind,
            era,
            id: message.id.map(InlineBytes::new),
            method: message.method.as_deref().map(InlineBytes::new),
        }
    }

    /// The message of a request that passed a guard; `None` on a request without a message (GET)
    /// or without a guard.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Guarded>()?.message()
    }

    /// Request, notification or response.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The era of the protocol that it is of, with the version that it is served under.
    #[must_use]
    pub fn era(&self) -> &Era {
        &self.era
    }

    /// The method; `None` on a response.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        text(self.method.as_ref()?)
    }

    /// The id as JSON, just as it was written: `7`, or `"seven"` with its quotes. `None` on a
    /// notification, and on an error response that lacks it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        text(self.id.as_ref()?)
    }

    /// The id that a refusal of this message carries.
    #[inline]
    pub(crate) fn request_id(&self) -> Option<&InlineBytes> {
        self.id
            .as_ref()
            .filter(|_| self.kind == MessageKind::Request)
    }
}

/// It was read as text.
fn text(kept: &InlineBytes) -> Option<&str> {
    std::str::from_utf8(kept.as_bytes()).ok()
}

impl fmt::Debug for McpMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpMessage")
            .field("kind", &self.kind)
            .field("era", &self.era)
            .field("method", &self.method())
            .field("id", &self.id())
            .finish()
    }
}

impl McpSession {
    /// The session of a request that passed a guard; `None` in stateless mode or without a guard.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Guarded>()?.session.as_ref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for McpSession {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, GuardRejection> {
        guarded(parts)?
            .session
            .clone()
            .ok_or(GuardRejection::NoSession)
    }
}

/// `None` where the guard has no session for the request (stateless mode, CORS preflights); without a guard
/// it rejects like the plain extractor.
impl<S: Send + Sync> OptionalFromRequestParts<S> for McpSession {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, GuardRejection> {
        Ok(guarded(parts)?.session.clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for McpMessage {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, GuardRejection> {
        guarded(parts)?
            .message()
            .cloned()
            .ok_or(GuardRejection::NoMessage)
    }
}

/// `None` on GET, DELETE and CORS preflights; without a guard it rejects like the plain extractor.
impl<S: Send + Sync> OptionalFromRequestParts<S> for McpMessage {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, GuardRejection> {
        Ok(guarded(parts)?.message().cloned())
    }
}

impl Era {
    /// The era of a request that passed a guard; `None` on a CORS preflight or without a guard.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Guarded>()?.era()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Era {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, GuardRejection> {
        guarded(parts)?.era().cloned().ok_or(GuardRejection::NoEra)
    }
}

fn guarded(parts: &Parts) -> Result<&Guarded, GuardRejection> {
    parts
        .extensions
        .get::<Guarded>()
        .ok_or(GuardRejection::NoGuard)
}

/// Why [`McpSession`] or [`McpMessage`] could not be extracted: always a mistake in the server's
/// set-up, so always answered 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GuardRejection {
    /// The request is a CORS preflight, which is of no era.
    NoEra,
    /// The route is not under a [`SessionGuardLayer`](crate::SessionGuardLayer).
    NoGuard,
    /// The request carries no message: take `Option<McpMessage>` in handlers of other methods than
    /// POST.
    NoMessage,
    /// The guard keeps no session for it: take `Option<McpSession>` in stateless mode, and in
    /// handlers of CORS preflights.
    NoSession,
}

impl fmt::Display for GuardRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGuard => {
                "This route is not guarded: add mcp_session_guard::SessionGuardLayer to it."
            }
            Self::NoEra => "A CORS preflight is of no era: do not extract Era.",
            Self::NoMessage => "This request has no message: extract Option<McpMessage>.",
            Self::NoSession => "This request has no session: extract Option<McpSession>.",
        })
    }
}

impl std::error::Error for GuardRejection {}

impl IntoResponse for GuardRejection {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
