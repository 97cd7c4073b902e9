//! Every refusal, written once: reason, status, code, text (contract §3).
//!
//! One rule decides the body. A refusal of a message is a JSON-RPC error with the request's id
//! where that is known, else `null`; 404 and 403 are JSON-RPC errors with `null`; whatever else is
//! refused before a body was read is `application/problem+json`, because one client waits for ever
//! on any other JSON-RPC error without its id.

use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode, Version};

/// Why the guard answered instead of the inner service; found in the extensions of its responses,
/// so that an outer layer can count and log refusals.
///
/// ```
/// use axum::extract::Request;
/// use axum::middleware::{Next, from_fn};
/// use axum::response::Response;
/// use axum::routing::post;
/// use mcp_session_guard::{Refusal, SessionGuardLayer};
///
/// async fn log(request: Request, next: Next) -> Response {
///     let response = next.run(request).await;
///     if let Some(refusal) = response.extensions().get::<Refusal>() {
///         println!("refused: {:?} ({})", refusal.reason(), refusal.status());
///     }
///     response
/// }
///
/// # async fn mcp() {}
/// // Added after the guard, so outside it: inside it would see no refusal.
/// let mcp = post(mcp).layer(SessionGuardLayer::new()).layer(from_fn(log));
/// # let _ = axum::Router::<()>::new().route("/mcp", mcp);
/// ```
#[derive(Clone)]
pub struct Refusal {
    reason: RefusalReason,
    body: RefusalBody,
    /// The member `data` of the JSON-RPC error, as JSON.
    data: Option<Box<str>>,
}

#[derive(Clone, Debug)]
enum RefusalBody {
    /// Refused by its head: no id could be known.
    Problem,
    /// A message was refused; its id as it was written, where known.
    Message(Option<Bytes>),
}

impl Refusal {
    /// Refuses a request by its head.
    pub(crate) fn of_head(reason: RefusalReason) -> Self {
        Self {
            reason,
            body: RefusalBody::Problem,
            data: None,
        }
    }

    /// Refuses a message, or a body that is none. `id` is the request's own, as it was written.
    pub(crate) fn of_message(reason: RefusalReason, id: Option<&[u8]>) -> Self {
        Self {
            reason,
            body: RefusalBody::Message(id.map(Bytes::copy_from_slice)),
            data: None,
        }
    }

    /// Tells which versions are served, and which was asked for. Both are made of letters,
    /// digits, dots and hyphens.
    pub(crate) fn with_versions(mut self, supported: &[&str], requested: &str) -> Self {
        let supported = supported.join(r#"",""#);
        self.data =
            Some(format!(r#"{{"supported":["{supported}"],"requested":"{requested}"}}"#).into());
        self
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// What the answer tells the client.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.reason.message()
    }

    /// The answer itself. `version` is the request's: only HTTP/1 connections are closed by a
    /// header.
    pub(crate) fn into_response(self, version: Version) -> Response<Body> {
        let (content_type, body) = self.body();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(methods) = self.reason.allow() {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        let closes = matches!(
            self.status(),
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE
        );
        if closes && version <= Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }

    /// One last event for a stream whose session ended before it carried the response.
    pub(crate) fn to_event(&self) -> Bytes {
        let (_, body) = self.body();
        let mut event = Vec::with_capacity(body.len() + 8);
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(&body);
        event.extend_from_slice(b"\n\n");
        event.into()
    }

    fn body(&self) -> (&'static str, Vec<u8>) {
        // The texts are ours and hold nothing that JSON would have to escape; a test sees to it.
        let message = self.message();
        let id: &[u8] = match &self.body {
            RefusalBody::Problem if !self.reason.is_about_the_session_or_page() => {
                let status = self.status();
                let title = status.canonical_reason().unwrap_or_default();
                let code = status.as_str();
                let body = format!(r#"{{"title":"{title}","status":{code},"detail":"{message}"}}"#);
                return ("application/problem+json", body.into_bytes());
            }
            RefusalBody::Message(Some(id)) if !self.reason.is_about_the_session_or_page() => id,
            _ => b"null",
        };
        let code = self.reason.code();
        let data = self
            .data
            .as_deref()
            .map(|data| format!(r#","data":{data}"#))
            .unwrap_or_default();
        let mut body = format!(
            r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"{message}"{data}}},"id":"#
        )
        .into_bytes();
        body.extend_from_slice(id);
        body.push(b'}');
        ("application/json", body)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("reason", &self.reason)
            .field("status", &self.status().as_u16())
            .field("message", &self.message())
            .finish()
    }
}

/// The reasons of [`Refusal`], in the order in which the guard judges.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// `Host` is missing, repeated, malformed, or unlike the request target's (400).
    HostMalformed,
    /// `Host` is not one of the endpoint's names (403).
    HostNotAllowed,
    /// The page that sent the request may not call the endpoint (403).
    OriginNotAllowed,
    /// The method is not GET, POST or DELETE (405).
    MethodNotAllowed,
    /// GET or DELETE where only POST exists: stateless mode, or a request of the modern era (405).
    OnlyPost,
    /// More than one `Mcp-Session-Id` (400).
    RepeatedSessionId,
    /// `Connection` names an `mcp-*` field (400).
    HopByHopMcpHeader,
    /// GET or DELETE without a session id (400).
    StreamWithoutSession,
    /// The session id is malformed, unknown, or its session is over (404).
    SessionNotFound,
    /// `MCP-Protocol-Version` is not one that this endpoint or the session speaks (400).
    UnsupportedVersionHeader,
    /// Two different `MCP-Protocol-Version` headers (400).
    ConflictingVersionHeaders,
    /// The body is encoded, or not `application/json` in UTF-8 (415).
    UnsupportedMediaType,
    /// The body is over the limit (413).
    BodyTooLarge,
    /// The body did not come in time (408).
    BodyLate,
    /// The body broke off (400).
    BodyBroken,
    /// The body is not JSON (400).
    ParseError,
    /// The body is not one object: a batch, a string, a number (400).
    NotOneMessage,
    /// The message nests too deep (400).
    TooDeep,
    /// The message is neither request, notification nor response of JSON-RPC 2.0 (400).
    InvalidEnvelope,
    /// The id is `null`, fractional, too large or too long, or a result has none (400).
    InvalidId,
    /// A key stands twice, or in another case, so that parsers disagree (400).
    AmbiguousKeys,
    /// The message is of the modern era (2026-07-28 on), which this endpoint does not serve (400).
    ModernEra,
    /// A response under a header of the modern era, or with a claim: there are none (400).
    ModernResponse,
    /// The version claimed in `_meta` is no string (400).
    ClaimNotText,
    /// A request of the modern era without a claim (400).
    ClaimMissing,
    /// `initialize` with a claim: the modern era has no such method (404).
    ModernInitialize,
    /// `MCP-Protocol-Version`, `Mcp-Method` or `Mcp-Name` is missing, repeated, malformed, or
    /// unlike the body (400).
    HeaderMismatch,
    /// The version is not one that this endpoint serves, or the legacy era is refused (400).
    UnsupportedVersion,
    /// The legacy era is refused and this is a notification or response (400).
    LegacyEra,
    /// Too many `subscriptions/listen` streams are open (503).
    TooManyListeners,
    /// `initialize` without an id (400).
    InitializeWithoutId,
    /// `initialize` in a session (400).
    AlreadyInitialized,
    /// A message other than `initialize` without a session id (400).
    MissingSessionId,
    /// The limit of sessions is reached (503).
    TooManySessions,
    /// The id generator made no valid id that is free (503).
    IdGeneratorFailed,
    /// The inner service's answer to `initialize` can not be judged: encoded, over 1 MiB, or with
    /// an empty or repeated session id (502).
    UnusableAnswer,
    /// The session ended before the request was answered (200 with a JSON-RPC error, so that no
    /// client repeats the call).
    SessionEnded,
}

impl RefusalReason {
    fn status(self) -> StatusCode {
        match self {
            Self::SessionEnded => StatusCode::OK,
            Self::HostNotAllowed | Self::OriginNotAllowed => StatusCode::FORBIDDEN,
            Self::SessionNotFound | Self::ModernInitialize => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::OnlyPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyLate => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnusableAnswer => StatusCode::BAD_GATEWAY,
            Self::TooManySessions | Self::IdGeneratorFailed | Self::TooManyListeners => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn code(self) -> i32 {
        match self {
            Self::ParseError => -32700,
            Self::ModernInitialize => -32601,
            Self::ClaimNotText | Self::ClaimMissing => -32602,
            Self::HeaderMismatch => -32020,
            Self::UnsupportedVersion => -32022,
            Self::TooManySessions
            | Self::IdGeneratorFailed
            | Self::TooManyListeners
            | Self::UnusableAnswer
            | Self::SessionEnded => -32603,
            _ => -32600,
        }
    }

    fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed => Some("GET, POST, DELETE"),
            Self::OnlyPost => Some("POST"),
            _ => None,
        }
    }

    /// These 404 and 403 speak of no request, so they carry no id: with one, a client would take the
    /// 404 for the answer to its call and never learn that its session is over.
    fn is_about_the_session_or_page(self) -> bool {
        matches!(
            self,
            Self::SessionNotFound | Self::HostNotAllowed | Self::OriginNotAllowed
        )
    }

    fn message(self) -> &'static str {
        match self {
            Self::HostMalformed => "Send exactly one Host header, as host or host:port.",
            Self::HostNotAllowed => {
                "Host not allowed: use a name of this server, or add the name to allowed_hosts."
            }
            Self::OriginNotAllowed => {
                "Origin not allowed: add the page's origin to allowed_origins."
            }
            Self::MethodNotAllowed => {
                "Use POST for messages, GET for the event stream, DELETE to end the session."
            }
            Self::OnlyPost => "This endpoint has no sessions for this request: use POST.",
            Self::RepeatedSessionId => "Send exactly one Mcp-Session-Id header.",
            Self::HopByHopMcpHeader => "Do not name Mcp- headers in Connection.",
            Self::StreamWithoutSession => {
                "Mcp-Session-Id is missing: POST initialize first and send the id of its answer."
            }
            Self::SessionNotFound => "Session not found",
            Self::UnsupportedVersionHeader => {
                "Unsupported MCP-Protocol-Version: send the version that initialize negotiated."
            }
            Self::ConflictingVersionHeaders => "Send one MCP-Protocol-Version header.",
            Self::UnsupportedMediaType => {
                "Send the message as application/json in UTF-8, without Content-Encoding."
            }
            Self::BodyTooLarge => "The body is over this endpoint's limit: send a smaller message.",
            Self::BodyLate => "The body did not arrive in time: send it again, faster.",
            Self::BodyBroken => "The body broke off: send the message again.",
            Self::ParseError => "Parse error: the body must be one JSON document in UTF-8.",
            Self::NotOneMessage => {
                "Invalid Request: send one JSON-RPC message object; batches are not accepted."
            }
            Self::TooDeep => "Invalid Request: the message nests too deep.",
            Self::InvalidEnvelope => {
                "Invalid Request: a message has jsonrpc 2.0 and either a method, a result or an error."
            }
            Self::InvalidId => {
                "Invalid Request: id must be a string of at most 256 bytes or an integer within 2^53."
            }
            Self::AmbiguousKeys => {
                "Invalid Request: a key stands twice or in another spelling; send each key once."
            }
            Self::ModernEra => {
                "Unsupported protocol version: this endpoint serves sessions; POST initialize first."
            }
            Self::ModernResponse => {
                "Invalid Request: this protocol version has no requests that a client answers."
            }
            Self::ClaimNotText => {
                "Invalid params: io.modelcontextprotocol/protocolVersion in _meta must be a string."
            }
            Self::ClaimMissing => {
                "Invalid params: name the version as io.modelcontextprotocol/protocolVersion in _meta."
            }
            Self::ModernInitialize => "Method not found: this protocol version has no initialize.",
            Self::HeaderMismatch => {
                "Header mismatch: MCP-Protocol-Version, Mcp-Method and Mcp-Name must repeat the body."
            }
            Self::UnsupportedVersion => "Unsupported protocol version: use a supported one.",
            Self::LegacyEra => {
                "Invalid Request: this endpoint serves no protocol version of sessions."
            }
            Self::TooManyListeners => "Too many subscriptions are open: try again later.",
            Self::InitializeWithoutId => "Invalid Request: initialize needs an id.",
            Self::AlreadyInitialized => "Server already initialized",
            Self::MissingSessionId => "Bad Request: Missing session ID",
            Self::TooManySessions => "Too many sessions: try again later.",
            Self::IdGeneratorFailed => "No session id could be made: try again later.",
            Self::UnusableAnswer => {
                "The server's answer to initialize is encoded, too large or has a bad session id."
            }
            Self::SessionEnded => "Session ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalReason::*;
    use super::*;

    const ALL: [RefusalReason; 37] = [
        HostMalformed,
        HostNotAllowed,
        OriginNotAllowed,
        MethodNotAllowed,
        OnlyPost,
        RepeatedSessionId,
        HopByHopMcpHeader,
        StreamWithoutSession,
        SessionNotFound,
        UnsupportedVersionHeader,
        ConflictingVersionHeaders,
        UnsupportedMediaType,
        BodyTooLarge,
        BodyLate,
        BodyBroken,
        ParseError,
        NotOneMessage,
        TooDeep,
        InvalidEnvelope,
        InvalidId,
        AmbiguousKeys,
        ModernEra,
        ModernResponse,
        ClaimNotText,
        ClaimMissing,
        ModernInitialize,
        HeaderMismatch,
        UnsupportedVersion,
        LegacyEra,
        TooManyListeners,
        InitializeWithoutId,
        AlreadyInitialized,
        MissingSessionId,
        TooManySessions,
        IdGeneratorFailed,
        UnusableAnswer,
        SessionEnded,
    ];

    #[test]
    fn every_refusal_is_listed_here_in_order() {
        assert!(
            ALL.iter()
                .enumerate()
                .all(|(place, reason)| *reason as usize == place)
        );
        assert_eq!(ALL.len(), SessionEnded as usize + 1);
    }

    #[test]
    fn every_text_is_its_own_and_stands_in_json_as_it_is() {
        for reason in ALL {
            let text = reason.message();
            println!("{} {} {text}", reason.status().as_u16(), reason.code());
            assert_eq!(serde_json::to_string(text).unwrap(), format!("\"{text}\""));
            assert_eq!(
                ALL.iter().filter(|other| other.message() == text).count(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn codes_are_only_those_of_the_specifications() {
        assert!(
            ALL.iter()
                .all(|reason| matches!(reason.code(), -32603..=-32600 | -32700 | -32020 | -32022))
        );
    }
}
