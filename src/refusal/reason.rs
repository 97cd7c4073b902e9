//! Every reason to refuse, written once: status, code, text (contract §3).

use std::fmt;

use http::StatusCode;

/// The reasons of [`Refusal`](super::Refusal), in the order in which the guard judges.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
    /// The session id is malformed, unknown, another owner's, or its session is over (404).
    SessionNotFound,
    /// The resolver of owners failed, panicked, or made an empty owner (500).
    OwnerUnresolved,
    /// The request is nobody's, and sessions must have an owner (403).
    OwnerRequired,
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
    /// The id is neither a string nor an integer of 64 bits, or it is too long, or a result has none
    /// (400).
    InvalidId,
    /// A key stands twice, or some parsers read another key as one that matters (400).
    AmbiguousKeys,
    /// A string holds half of a surrogate pair, so it is no Unicode text (400). See
    /// [`accept_lone_surrogates`](crate::SessionGuardBuilder::accept_lone_surrogates).
    LoneSurrogate,
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
    /// Its owner has as many sessions as one may have, and all are in use (503).
    TooManyOwnSessions,
    /// The server is shutting down (503, with the seconds left in `Retry-After`; also the last event
    /// of a stream of the modern era).
    Draining,
    /// The [store](crate::SessionGuardBuilder::store) can not be reached, and only it could tell (503).
    StoreUnavailable,
    /// The id generator made no valid id that is free (503).
    IdGeneratorFailed,
    /// The inner service's answer to `initialize` can not be judged: encoded, over 1 MiB, or with
    /// an empty or repeated session id (502).
    UnusableAnswer,
    /// The inner service has no event stream for a GET (405).
    NoStream,
    /// The session ended before the request was answered (200 with a JSON-RPC error, so that no
    /// client repeats the call).
    SessionEnded,
}

impl RefusalReason {
    pub(crate) const ALL: [Self; 44] = [
        Self::HostMalformed,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::MethodNotAllowed,
        Self::OnlyPost,
        Self::RepeatedSessionId,
        Self::HopByHopMcpHeader,
        Self::StreamWithoutSession,
        Self::SessionNotFound,
        Self::OwnerUnresolved,
        Self::OwnerRequired,
        Self::UnsupportedVersionHeader,
        Self::ConflictingVersionHeaders,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::BodyLate,
        Self::BodyBroken,
        Self::ParseError,
        Self::NotOneMessage,
        Self::TooDeep,
        Self::InvalidEnvelope,
        Self::InvalidId,
        Self::AmbiguousKeys,
        Self::LoneSurrogate,
        Self::ModernEra,
        Self::ModernResponse,
        Self::ClaimNotText,
        Self::ClaimMissing,
        Self::ModernInitialize,
        Self::HeaderMismatch,
        Self::UnsupportedVersion,
        Self::LegacyEra,
        Self::TooManyListeners,
        Self::InitializeWithoutId,
        Self::AlreadyInitialized,
        Self::MissingSessionId,
        Self::TooManySessions,
        Self::TooManyOwnSessions,
        Self::Draining,
        Self::StoreUnavailable,
        Self::IdGeneratorFailed,
        Self::UnusableAnswer,
        Self::NoStream,
        Self::SessionEnded,
    ];

    /// The reason's name in logs and metrics, in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostMalformed => "host_malformed",
            Self::HostNotAllowed => "host_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::OnlyPost => "only_post",
            Self::RepeatedSessionId => "repeated_session_id",
            Self::HopByHopMcpHeader => "hop_by_hop_mcp_header",
            Self::StreamWithoutSession => "stream_without_session",
            Self::SessionNotFound => "session_not_found",
            Self::OwnerUnresolved => "owner_unresolved",
            Self::OwnerRequired => "owner_required",
            Self::UnsupportedVersionHeader => "unsupported_version_header",
            Self::ConflictingVersionHeaders => "conflicting_version_headers",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyLate => "body_late",
            Self::BodyBroken => "body_broken",
            Self::ParseError => "parse_error",
            Self::NotOneMessage => "not_one_message",
            Self::TooDeep => "too_deep",
            Self::InvalidEnvelope => "invalid_envelope",
            Self::InvalidId => "invalid_id",
            Self::AmbiguousKeys => "ambiguous_keys",
            Self::LoneSurrogate => "lone_surrogate",
            Self::ModernEra => "modern_era",
            Self::ModernResponse => "modern_response",
            Self::ClaimNotText => "claim_not_text",
            Self::ClaimMissing => "claim_missing",
            Self::ModernInitialize => "modern_initialize",
            Self::HeaderMismatch => "header_mismatch",
            Self::UnsupportedVersion => "unsupported_version",
            Self::LegacyEra => "legacy_era",
            Self::TooManyListeners => "too_many_listeners",
            Self::InitializeWithoutId => "initialize_without_id",
            Self::AlreadyInitialized => "already_initialized",
            Self::MissingSessionId => "missing_session_id",
            Self::TooManySessions => "too_many_sessions",
            Self::TooManyOwnSessions => "too_many_own_sessions",
            Self::Draining => "draining",
            Self::StoreUnavailable => "store_unavailable",
            Self::IdGeneratorFailed => "id_generator_failed",
            Self::UnusableAnswer => "unusable_answer",
            Self::NoStream => "no_stream",
            Self::SessionEnded => "session_ended",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::SessionEnded => StatusCode::OK,
            Self::HostNotAllowed | Self::OriginNotAllowed | Self::OwnerRequired => {
                StatusCode::FORBIDDEN
            }
            Self::OwnerUnresolved => StatusCode::INTERNAL_SERVER_ERROR,
            Self::SessionNotFound | Self::ModernInitialize => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::OnlyPost | Self::NoStream => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Self::BodyLate => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnusableAnswer => StatusCode::BAD_GATEWAY,
            Self::TooManySessions
            | Self::TooManyOwnSessions
            | Self::Draining
            | Self::StoreUnavailable
            | Self::IdGeneratorFailed
            | Self::TooManyListeners => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn code(self) -> i32 {
        match self {
            Self::ParseError => -32700,
            Self::ModernInitialize => -32601,
            Self::ClaimNotText | Self::ClaimMissing => -32602,
            Self::HeaderMismatch => -32020,
            Self::UnsupportedVersion => -32022,
            Self::OwnerUnresolved
            | Self::TooManySessions
            | Self::TooManyOwnSessions
            | Self::Draining
            | Self::StoreUnavailable
            | Self::IdGeneratorFailed
            | Self::TooManyListeners
            | Self::UnusableAnswer
            | Self::SessionEnded => -32603,
            _ => -32600,
        }
    }

    pub(crate) fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed => Some("GET, POST, DELETE"),
            Self::OnlyPost => Some("POST"),
            Self::NoStream => Some("POST, DELETE"),
            _ => None,
        }
    }

    /// These 404 and 403 speak of no request, so they carry no id: with one, a client would take the
    /// 404 for the answer to its call and never learn that its session is over.
    pub(crate) fn never_has_an_id(self) -> bool {
        matches!(
            self,
            Self::SessionNotFound
                | Self::HostNotAllowed
                | Self::OriginNotAllowed
                | Self::OwnerRequired
        )
    }

    pub(crate) fn message(self) -> &'static str {
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
            Self::OwnerUnresolved => {
                "Internal error: the server could not tell whose request this is. Retry later."
            }
            Self::OwnerRequired => "Authenticate first: requests here must have an owner.",
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
                "Invalid Request: id must be a string of at most 256 bytes or an integer of 64 bits."
            }
            Self::AmbiguousKeys => {
                "Invalid Request: a key stands twice, or resembles a known one in case or before a NUL."
            }
            Self::LoneSurrogate => {
                "Invalid Request: a string holds a lone surrogate; escape such characters in pairs."
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
            Self::TooManyOwnSessions => {
                "Too many sessions of this owner are in use: end one, or try again later."
            }
            Self::Draining => "The server is shutting down: try again, it or another will answer.",
            Self::StoreUnavailable => {
                "Internal error: the server can not look sessions up now. Retry later."
            }
            Self::IdGeneratorFailed => "No session id could be made: try again later.",
            Self::UnusableAnswer => {
                "The server's answer to initialize is encoded, too large or has a bad session id."
            }
            Self::NoStream => "This server has no event stream: go on without one, with POST.",
            Self::SessionEnded => "Session ended",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalReason::*;
    use super::*;

    #[test]
    fn every_refusal_is_listed_here_in_order() {
        assert!(
            RefusalReason::ALL
                .iter()
                .enumerate()
                .all(|(place, reason)| *reason as usize == place)
        );
        assert_eq!(RefusalReason::ALL.len(), SessionEnded as usize + 1);
    }

    #[test]
    fn every_text_is_its_own_and_stands_in_json_as_it_is() {
        for reason in RefusalReason::ALL {
            let text = reason.message();
            println!("{} {} {text}", reason.status().as_u16(), reason.code());
            assert_eq!(serde_json::to_string(text).unwrap(), format!("\"{text}\""));
            assert_eq!(
                RefusalReason::ALL
                    .iter()
                    .filter(|other| other.message() == text)
                    .count(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn codes_are_only_those_of_the_specifications() {
        assert!(
            RefusalReason::ALL
                .iter()
                .all(|reason| matches!(reason.code(), -32603..=-32600 | -32700 | -32020 | -32022))
        );
    }
}
