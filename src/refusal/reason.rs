//! The reasons of refusals (contract §3), one row each in `reasons!` below.

use std::fmt;

use http::StatusCode;

/// The response of the guard for one reason.
struct Row {
    name: &'static str,
    status: StatusCode,
    /// The JSON-RPC error code.
    code: i32,
    text: &'static str,
    /// The header `Allow` of a 405.
    allow: Option<&'static str>,
    omits_id: bool,
}

/// Creates the enum from the table. A row is `Reason: "name", STATUS, code, "text"`, followed by the
/// fields that only a few reasons have.
macro_rules! reasons {
    ($(
        $(#[$doc:meta])*
        $reason:ident: $name:literal, $status:ident, $code:literal, $text:literal
            $(, $field:ident: $value:expr)*;
    )*) => {
        /// The reasons of [`Refusal`](super::Refusal), in the order in which the guard judges.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum RefusalReason {
            $($(#[$doc])* $reason,)*
        }

        impl RefusalReason {
            pub(crate) const ALL: [Self; [$(Self::$reason),*].len()] = [$(Self::$reason),*];

            fn row(self) -> Row {
                let defaults = Row {
                    name: "",
                    status: StatusCode::BAD_REQUEST,
                    code: 0,
                    text: "",
                    allow: None,
                    omits_id: false,
                };
                match self {
                    $(Self::$reason => Row {
                        name: $name,
                        status: StatusCode::$status,
                        code: $code,
                        text: $text,
                        $($field: $value,)*
                        ..defaults
                    },)*
                }
            }
        }
    };
}

reasons! {
    /// `Host` is missing, repeated, malformed, or different from the request target (400).
    HostMalformed: "host_malformed", BAD_REQUEST, -32600,
        "Send exactly one Host header, as host or host:port.";
    /// `Host` is not an allowed name of the endpoint (403).
    HostNotAllowed: "host_not_allowed", FORBIDDEN, -32600,
        "Host not allowed: use a name of this server, or add the name to allowed_hosts.",
        omits_id: true;
    /// The page that sent the request may not call the endpoint (403).
    OriginNotAllowed: "origin_not_allowed", FORBIDDEN, -32600,
        "Origin not allowed: add the page's origin to allowed_origins.",
        omits_id: true;
    /// The method is not GET, POST or DELETE (405).
    MethodNotAllowed: "method_not_allowed", METHOD_NOT_ALLOWED, -32600,
        "Use POST for messages, GET for the event stream, DELETE to end the session.",
        allow: Some("GET, POST, DELETE");
    /// GET or DELETE where the guard accepts only POST: in stateless mode, or in a sessionless revision
    /// (405).
    OnlyPost: "only_post", METHOD_NOT_ALLOWED, -32600,
        "This endpoint has no sessions for this request: use POST.",
        allow: Some("POST");
    /// The request has more than one `Mcp-Session-Id` (400).
    RepeatedSessionId: "repeated_session_id", BAD_REQUEST, -32600,
        "Send exactly one Mcp-Session-Id header.";
    /// `Connection` names an `mcp-*` field (400).
    HopByHopMcpHeader: "hop_by_hop_mcp_header", BAD_REQUEST, -32600,
        "Do not name Mcp- headers in Connection.";
    /// GET or DELETE without a session id (400).
    StreamWithoutSession: "stream_without_session", BAD_REQUEST, -32600,
        "Mcp-Session-Id is missing: POST initialize first and send the id of its answer.";
    /// The session id is malformed or unknown, belongs to another owner, or its session has ended (404).
    // The client of Mastra opens a new session if the text contains "session".
    SessionNotFound: "session_not_found", NOT_FOUND, -32600,
        "Session not found",
        omits_id: true;
    /// The owner resolver failed, panicked, or returned an empty owner (500).
    OwnerUnresolved: "owner_unresolved", INTERNAL_SERVER_ERROR, -32603,
        "Internal error: the server could not find the owner of this request. Retry later.";
    /// The request has no owner, and the guard requires one (403).
    OwnerRequired: "owner_required", FORBIDDEN, -32600,
        "Authenticate first: requests here must have an owner.",
        omits_id: true;
    /// `MCP-Protocol-Version` is neither served by the endpoint nor the version of the session (400).
    UnsupportedVersionHeader: "unsupported_version_header", BAD_REQUEST, -32600,
        "Unsupported MCP-Protocol-Version: send the version that initialize negotiated.";
    /// The request has two different `MCP-Protocol-Version` headers (400).
    ConflictingVersionHeaders: "conflicting_version_headers", BAD_REQUEST, -32600,
        "Send one MCP-Protocol-Version header.";
    /// The body is encoded, or is not `application/json` in UTF-8 (415).
    UnsupportedMediaType: "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, -32600,
        "Send the message as application/json in UTF-8, without Content-Encoding.";
    /// The body is over the limit (413).
    BodyTooLarge: "body_too_large", PAYLOAD_TOO_LARGE, -32600,
        "The body is over this endpoint's limit: send a smaller message.";
    /// The body did not arrive in time (408).
    BodyLate: "body_late", REQUEST_TIMEOUT, -32600,
        "The body did not arrive in time: send it again, faster.";
    /// The body broke off (400).
    BodyBroken: "body_broken", BAD_REQUEST, -32600,
        "The body broke off: send the message again.";
    /// The body is not JSON (400).
    ParseError: "parse_error", BAD_REQUEST, -32700,
        "Parse error: the body must be one JSON document in UTF-8.";
    /// The body is not one object, but for example a batch, a string or a number (400).
    NotOneMessage: "not_one_message", BAD_REQUEST, -32600,
        "Invalid Request: send one JSON-RPC message object; batches are not accepted.";
    /// The message is nested too deeply (400).
    TooDeep: "too_deep", BAD_REQUEST, -32600,
        "Invalid Request: the message is nested too deeply.";
    /// The message is not a request, notification or response of JSON-RPC 2.0 (400).
    InvalidEnvelope: "invalid_envelope", BAD_REQUEST, -32600,
        "Invalid Request: a message has jsonrpc 2.0 and either a method, a result or an error.";
    /// The id is neither a string nor a 64-bit integer, or it is too long, or a result has no id (400).
    InvalidId: "invalid_id", BAD_REQUEST, -32600,
        "Invalid Request: id must be a string of at most 256 bytes or an integer of 64 bits.";
    /// A key is repeated, or some parsers take another key for one that the guard reads (400).
    AmbiguousKeys: "ambiguous_keys", BAD_REQUEST, -32600,
        "Invalid Request: a key is repeated, or resembles a known one in case or before a NUL.";
    /// A string contains half of a surrogate pair, so it is not valid Unicode (400). See
    /// [`accept_lone_surrogates`](crate::SessionGuardBuilder::accept_lone_surrogates).
    LoneSurrogate: "lone_surrogate", BAD_REQUEST, -32600,
        "Invalid Request: a string contains a lone surrogate; write surrogates in pairs.";
    /// The message is of a sessionless revision (from 2026-07-28 on), and the endpoint serves none
    /// (400).
    ModernEra: "modern_era", BAD_REQUEST, -32600,
        "Unsupported protocol version: this endpoint serves sessions; POST initialize first.";
    /// A response in a sessionless revision, by its header or by a claim: these revisions have no
    /// responses of clients (400).
    ModernResponse: "modern_response", BAD_REQUEST, -32600,
        "Invalid Request: a client sends no responses in this protocol version.";
    /// The version that `_meta` claims is not a string (400).
    ClaimNotText: "claim_not_text", BAD_REQUEST, -32602,
        "Invalid params: io.modelcontextprotocol/protocolVersion in _meta must be a string.";
    /// A request of a sessionless revision does not claim its version in `_meta` (400).
    ClaimMissing: "claim_missing", BAD_REQUEST, -32602,
        "Invalid params: name the version as io.modelcontextprotocol/protocolVersion in _meta.";
    /// `initialize` in a sessionless revision, where this method does not exist (404).
    ModernInitialize: "modern_initialize", NOT_FOUND, -32601,
        "Method not found: this protocol version has no initialize.";
    /// `MCP-Protocol-Version`, `Mcp-Method` or `Mcp-Name` is missing, repeated, malformed, or different
    /// from the body (400).
    HeaderMismatch: "header_mismatch", BAD_REQUEST, -32020,
        "Header mismatch: MCP-Protocol-Version, Mcp-Method and Mcp-Name must repeat the body.";
    /// The endpoint does not serve this version, or serves no revision with sessions (400).
    UnsupportedVersion: "unsupported_version", BAD_REQUEST, -32022,
        "Unsupported protocol version: use a supported one.";
    /// A notification or response of a revision with sessions, and the endpoint serves none (400).
    LegacyEra: "legacy_era", BAD_REQUEST, -32600,
        "Invalid Request: this endpoint serves no protocol version with sessions.";
    /// Too many `subscriptions/listen` streams are open (503).
    TooManyListeners: "too_many_listeners", SERVICE_UNAVAILABLE, -32603,
        "Too many subscriptions are open: try again later.";
    /// `initialize` without an id (400).
    InitializeWithoutId: "initialize_without_id", BAD_REQUEST, -32600,
        "Invalid Request: initialize needs an id.";
    /// `initialize` in an open session (400).
    // The official TypeScript server answers with these words, and clients may rely on them.
    AlreadyInitialized: "already_initialized", BAD_REQUEST, -32600,
        "Server already initialized";
    /// A message other than `initialize` without a session id (400).
    // The official Python server answers with these words. The client of Mastra opens a new session if
    // the text contains "session".
    MissingSessionId: "missing_session_id", BAD_REQUEST, -32600,
        "Bad Request: Missing session ID";
    /// The session limit is reached (503).
    TooManySessions: "too_many_sessions", SERVICE_UNAVAILABLE, -32603,
        "Too many sessions: try again later.";
    /// The owner has reached its session limit, and all its sessions are in use (503).
    TooManyOwnSessions: "too_many_own_sessions", SERVICE_UNAVAILABLE, -32603,
        "Too many sessions of this owner are in use: end one, or try again later.";
    /// The server is shutting down (503, with the remaining seconds in `Retry-After`). Also the last
    /// event of a stream of a sessionless revision.
    Draining: "draining", SERVICE_UNAVAILABLE, -32603,
        "The server is shutting down: try again, it or another will answer.";
    /// The guard needs an answer of the [store](crate::SessionGuardBuilder::store), which cannot be
    /// reached (503).
    StoreUnavailable: "store_unavailable", SERVICE_UNAVAILABLE, -32603,
        "Internal error: the server cannot look up sessions now. Retry later.";
    /// The id generator returned no valid, unused id (503).
    IdGeneratorFailed: "id_generator_failed", SERVICE_UNAVAILABLE, -32603,
        "The server could not create a session id: try again later.";
    /// The guard cannot judge the inner service's answer to `initialize`: it is encoded, is over 1 MiB,
    /// or has an empty or repeated session id (502).
    UnusableAnswer: "unusable_answer", BAD_GATEWAY, -32603,
        "The server's answer to initialize is encoded, too large or has a bad session id.";
    /// The inner service has no event stream for a GET (405).
    NoStream: "no_stream", METHOD_NOT_ALLOWED, -32600,
        "This server has no event stream: continue without one, with POST.",
        allow: Some("POST, DELETE");
    /// The session ended before the request was answered (200 with a JSON-RPC error, so that no client
    /// repeats the call).
    SessionEnded: "session_ended", OK, -32603,
        "Session ended";
}

impl RefusalReason {
    /// Returns the name of the reason in logs and metrics, in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    pub(crate) fn status(self) -> StatusCode {
        self.row().status
    }

    pub(crate) fn code(self) -> i32 {
        self.row().code
    }

    pub(crate) fn allow(self) -> Option<&'static str> {
        self.row().allow
    }

    /// Returns whether the refusal never carries the request's id. These 404s and 403s are not about one
    /// request. With the id, a client would take the 404 for the answer to its call, and would not learn
    /// that its session has ended.
    pub(crate) fn omits_id(self) -> bool {
        self.row().omits_id
    }

    pub(crate) fn message(self) -> &'static str {
        self.row().text
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_and_need_no_escape_in_json() {
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
    fn codes_are_from_the_specifications_only() {
        assert!(
            RefusalReason::ALL
                .iter()
                .all(|reason| matches!(reason.code(), -32603..=-32600 | -32700 | -32020 | -32022))
        );
    }
}
