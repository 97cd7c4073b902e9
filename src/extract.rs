//! The extractors for handlers, and the value in the request's extensions that they read.

use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Extensions, StatusCode};

use crate::protocol::era::Era;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::message::{Message, MessageKind};
use crate::session::McpSession;

/// The only value that the guard puts into the extensions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guarded {
    pub(crate) session: Option<McpSession>,
    pub(crate) content: Content,
}

/// The content of a request, as the guard read it.
#[derive(Clone, Debug, Default)]
pub(crate) enum Content {
    Message(McpMessage),
    /// The era of a GET or DELETE, which has no message.
    NoMessage(Era),
    /// A CORS preflight, or a request that only report-only mode lets pass.
    #[default]
    Unknown,
}

impl Guarded {
    fn message(&self) -> Option<&McpMessage> {
        match &self.content {
            Content::Message(message) => Some(message),
            Content::NoMessage(_) | Content::Unknown => None,
        }
    }

    /// Returns the era of the request; `None` if its content is unknown.
    pub(crate) fn era(&self) -> Option<&Era> {
        match &self.content {
            Content::Message(message) => Some(message.era()),
            Content::NoMessage(era) => Some(era),
            Content::Unknown => None,
        }
    }
}

/// The kind, method and id of a POST's message. The guard has read them, so the handler need not parse
/// the body for them.
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

    /// Returns the message of a request that passed a guard; `None` on a request without a message
    /// (GET) or without a guard.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Guarded>()?.message()
    }

    /// Returns the kind: request, notification or response.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Returns the era of the message, with the protocol version that it is served under.
    #[must_use]
    pub fn era(&self) -> &Era {
        &self.era
    }

    /// Returns the method; `None` on a response.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        text(self.method.as_ref()?)
    }

    /// Returns the id as JSON, as the client wrote it: `7`, or `"seven"` with its quotes. `None` on a
    /// notification, and on an error response without an id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        text(self.id.as_ref()?)
    }

    /// Returns the id that a refusal of this message carries.
    #[inline]
    pub(crate) fn request_id(&self) -> Option<&InlineBytes> {
        self.id
            .as_ref()
            .filter(|_| self.kind == MessageKind::Request)
    }
}

/// Returns the bytes as text, which they are in every message that the guard accepts.
fn text(bytes: &InlineBytes) -> Option<&str> {
    std::str::from_utf8(bytes.as_bytes()).ok()
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
    /// Returns the session of a request that passed a guard; `None` on a request without a session
    /// (stateless mode, sessionless requests, CORS preflights) or without a guard.
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

/// Extracts `None` from a request without a session (stateless mode, sessionless requests, CORS
/// preflights). Without a guard it rejects, as the plain extractor does.
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

/// Extracts `None` from GET, DELETE and CORS preflights. Without a guard it rejects, as the plain extractor
/// does.
impl<S: Send + Sync> OptionalFromRequestParts<S> for McpMessage {
    type Rejection = GuardRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, GuardRejection> {
        Ok(guarded(parts)?.message().cloned())
    }
}

impl Era {
    /// Returns the era of a request that passed a guard; `None` on a CORS preflight or without a guard.
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

/// The rejection of the extractors [`McpSession`], [`McpMessage`] and [`Era`]. The cause is always a mistake
/// in the server's set-up, so the response is always 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GuardRejection {
    /// The request is a CORS preflight, which belongs to no era.
    NoEra,
    /// The route is not under a [`SessionGuardLayer`](crate::SessionGuardLayer).
    NoGuard,
    /// The request has no message. Extract `Option<McpMessage>` in handlers of methods other than POST.
    NoMessage,
    /// The request has no session. Extract `Option<McpSession>` in stateless mode, and in handlers of
    /// sessionless requests and CORS preflights.
    NoSession,
}

impl fmt::Display for GuardRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGuard => {
                "This route is not guarded: add mcp_session_guard::SessionGuardLayer to it."
            }
            Self::NoEra => "A CORS preflight belongs to no era: do not extract Era from it.",
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
