//! Refusals as answers (contract §3); their reasons, statuses, codes and texts are in `reason.rs`.
//!
//! One rule decides the body. A refusal of a message is a JSON-RPC error with the request's id
//! where that is known, else `null`; 404 and 403 are JSON-RPC errors with `null`; whatever else is
//! refused before a body was read is `application/problem+json`, because one client waits for ever
//! on any other JSON-RPC error without its id.

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
    /// After how many seconds a 503 may be tried again.
    retry_after: u64,
    is_only_reported: bool,
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
            retry_after: RETRY_AFTER_SECONDS,
            is_only_reported: false,
        }
    }

    /// Refuses a message, or a body that is none. `id` is the request's own, as it was written.
    pub(crate) fn of_message(reason: RefusalReason, id: Option<&[u8]>) -> Self {
        Self {
            reason,
            body: RefusalBody::Message(id.map(Bytes::copy_from_slice)),
            data: None,
            retry_after: RETRY_AFTER_SECONDS,
            is_only_reported: false,
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

    /// Tells how long a drain still takes.
    pub(crate) fn with_retry_after(self, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// What [report-only mode](crate::SessionGuardBuilder::report_only) lets pass.
    pub(crate) fn only_reported(reason: RefusalReason) -> Self {
        Self {
            is_only_reported: true,
            ..Self::of_head(reason)
        }
    }

    /// Whether the request was let pass all the same, in
    /// [report-only mode](crate::SessionGuardBuilder::report_only). Such a refusal is told to hooks,
    /// logs and metrics alone.
    #[must_use]
    pub fn is_only_reported(&self) -> bool {
        self.is_only_reported
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
            RefusalBody::Problem if !self.reason.never_has_an_id() => {
                let status = self.status();
                let title = status.canonical_reason().unwrap_or_default();
                let code = status.as_str();
                let body = format!(r#"{{"title":"{title}","status":{code},"detail":"{message}"}}"#);
                return ("application/problem+json", body.into_bytes());
            }
            RefusalBody::Message(Some(id)) if !self.reason.never_has_an_id() => id,
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
