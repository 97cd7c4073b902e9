//! Refusals as responses (contract §3). `reason.rs` has their reasons, statuses, codes and texts.
//!
//! One rule decides the body. The refusal of a message is a JSON-RPC error with the request's id, or
//! `null` if the id is unknown. A 404 or 403 is a JSON-RPC error with `null`. Any other refusal before a
//! body was read is `application/problem+json`, because one client waits forever on any other JSON-RPC
//! error without its id.

mod reason;

use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode, Version};

pub use self::reason::RefusalReason;

use crate::promises::RETRY_AFTER_SECONDS;

/// Why the guard answered instead of the inner service.
///
/// The guard inserts it into the extensions of its responses, so that an outer layer can count and log
/// refusals.
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
/// // Added after the guard, so outside of it. A layer inside the guard sees no refusal.
/// let mcp = post(mcp).layer(SessionGuardLayer::new()).layer(from_fn(log));
/// # let _ = axum::Router::<()>::new().route("/mcp", mcp);
/// ```
#[derive(Clone)]
pub struct Refusal {
    reason: RefusalReason,
    body: RefusalBody,
    /// The member `data` of the JSON-RPC error, as JSON.
    data: Option<Box<str>>,
    /// The seconds after which a client may retry after a 503.
    retry_after: u64,
    is_only_reported: bool,
}

/// The form of the response body.
#[derive(Clone, Debug)]
enum RefusalBody {
    /// The guard refused the request by its head, before it could know an id.
    Problem,
    /// The guard refused a message. The id is as the client wrote it, if known.
    Message(Option<Bytes>),
}

impl Refusal {
    /// Creates the refusal of a request by its head.
    pub(crate) fn for_head(reason: RefusalReason) -> Self {
        Self {
            reason,
            body: RefusalBody::Problem,
            data: None,
            retry_after: RETRY_AFTER_SECONDS,
            is_only_reported: false,
        }
    }

    /// Creates the refusal of a message, or of a body that is none. `id` is the request's id, as the
    /// client wrote it.
    pub(crate) fn for_message(reason: RefusalReason, id: Option<&[u8]>) -> Self {
        Self {
            reason,
            body: RefusalBody::Message(id.map(Bytes::copy_from_slice)),
            data: None,
            retry_after: RETRY_AFTER_SECONDS,
            is_only_reported: false,
        }
    }

    /// Adds the versions that the guard serves, and the version that the client requested. Both consist
    /// of letters, digits, dots and hyphens.
    pub(crate) fn with_versions(mut self, supported: &[&str], requested: &str) -> Self {
        let supported = supported.join(r#"",""#);
        self.data =
            Some(format!(r#"{{"supported":["{supported}"],"requested":"{requested}"}}"#).into());
        self
    }

    /// Sets the seconds until a drain is over.
    pub(crate) fn with_retry_after(self, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// Creates a refusal that [report-only mode](crate::SessionGuardBuilder::report_only) reports and
    /// does not enforce.
    pub(crate) fn only_reported(reason: RefusalReason) -> Self {
        Self {
            is_only_reported: true,
            ..Self::for_head(reason)
        }
    }

    /// Returns whether the guard only reported this refusal, in [report-only
    /// mode](crate::SessionGuardBuilder::report_only), and forwarded the request.
    ///
    /// Only hooks, logs and metrics get a refusal of this kind.
    #[must_use]
    pub fn is_only_reported(&self) -> bool {
        self.is_only_reported
    }

    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// Returns the status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// Returns the text that the response shows the client.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.reason.message()
    }

    /// Creates the response. `version` is the version of the request: only HTTP/1 closes a connection by
    /// a header.
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
            headers.insert(RETRY_AFTER, self.retry_after.into());
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

    /// Creates the last event of a stream whose session ended before the stream carried the response.
    pub(crate) fn to_event(&self) -> Bytes {
        let (_, body) = self.body();
        let mut event = Vec::with_capacity(body.len() + 8);
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(&body);
        event.extend_from_slice(b"\n\n");
        event.into()
    }

    fn body(&self) -> (&'static str, Vec<u8>) {
        // A test checks that JSON need not escape the texts.
        let message = self.message();
        let id: &[u8] = match &self.body {
            RefusalBody::Problem if !self.reason.omits_id() => {
                let status = self.status();
                let title = status.canonical_reason().unwrap_or_default();
                let code = status.as_str();
                let body = format!(r#"{{"title":"{title}","status":{code},"detail":"{message}"}}"#);
                return ("application/problem+json", body.into_bytes());
            }
            RefusalBody::Message(Some(id)) if !self.reason.omits_id() => id,
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
