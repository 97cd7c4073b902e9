//! What a page of another origin needs to call the endpoint.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::builder::{ConfigError, lists};
use crate::protocol::host::Origin;

/// A CORS layer for pages of `origins` that call the endpoint (feature `cors`).
///
/// A browser lets a script call another origin only as far as that origin's answers allow
/// ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)). This layer
///
/// - answers preflights (OPTIONS): GET, POST and DELETE with the headers that MCP clients send. A
///   browser may remember that for two hours, the longest that Chromium does; else it would ask
///   again before almost every message;
/// - lets scripts read `Mcp-Session-Id`, without which they can not go on, and
///   `MCP-Protocol-Version`, `Retry-After` and `WWW-Authenticate`;
/// - allows no cookies: an MCP client sends its token in `Authorization`.
///
/// # Where to put it
///
/// Outside the guard, that is, added after it, and outside authentication too. Then refusals carry
/// the CORS headers, so that a client can tell an ended session from a dead network, and preflights,
/// which have neither a session nor a token, are answered before either is asked for. As on the
/// router below; with the guard on a method router the same: `Router::new().route("/mcp",
/// post(mcp).get(events).layer(guard)).route_layer(cors(origins)?)`.
///
/// The guard judges the `Origin` of the calls themselves: list the same origins in
/// [`allowed_origins`](crate::SessionGuardBuilder::allowed_origins). Both read them alike, wildcards
/// (`https://*.example.com`) and `localhost`, which stands for the loopback addresses too. A page on
/// this list alone gets a 403 that it can read; a page on the guard's list alone can call but read
/// nothing. A page that
/// [`allowed_origins_where`](crate::SessionGuardBuilder::allowed_origins_where) lets in is such a page:
/// give the returned layer the same predicate by `.allow_origin(AllowOrigin::predicate(..))`.
///
/// ```
/// use axum::{Router, body::Body, routing::any};
/// use http::{Request, StatusCode, header::ACCESS_CONTROL_ALLOW_ORIGIN};
/// use mcp_session_guard::{SessionGuardLayer, cors};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let origins = ["https://app.example.com"];
/// let guard = SessionGuardLayer::builder().allowed_origins(origins).build()?;
/// let app: Router = Router::new()
///     .route("/mcp", any(|| async { "never reached" }))
///     .route_layer(guard)
///     .route_layer(cors(origins)?);
///
/// let preflight = |origin: &'static str| {
///     Request::options("/mcp")
///         .header("host", "localhost")
///         .header("origin", origin)
///         .header("access-control-request-method", "POST")
///         .body(Body::empty())
/// };
/// let allowed = app.clone().oneshot(preflight("https://app.example.com")?).await?;
/// assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
/// let foreign = app.clone().oneshot(preflight("https://evil.example")?).await?;
/// assert!(!foreign.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
///
/// // The page can read the guard's refusal: status, body, headers.
/// let ended = Request::get("/mcp")
///     .header("host", "localhost")
///     .header("origin", "https://app.example.com")
///     .header("mcp-session-id", "ended-long-ago")
///     .body(Body::empty())?;
/// let refused = app.oneshot(ended).await?;
/// assert_eq!(refused.status(), StatusCode::NOT_FOUND);
/// assert_eq!(refused.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
///
/// // There is no way to allow every page by accident.
/// assert!(cors(["*"]).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Other headers
///
/// CORS knows no prefixes, so the headers `Mcp-Param-*` of revision 2026-07-28, whose names are the
/// tools' own, are not in the list. (The official TypeScript client leaves them out in browsers.)
/// If your clients send them, or headers of their own, replace the list; with explicit origins that
/// opens nothing to strangers:
///
/// ```
/// # fn main() -> Result<(), mcp_session_guard::ConfigError> {
/// use tower_http::cors::AllowHeaders;
///
/// let cors = mcp_session_guard::cors(["https://app.example.com"])?
///     .allow_headers(AllowHeaders::mirror_request());
/// # drop(cors);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// An origin is not `scheme://host` or `scheme://host:port`; `*` and `null` are none. A wildcard does
/// not stand before at least two labels. An empty list is no error, but lets no page in.
pub fn cors<I>(origins: I) -> Result<CorsLayer, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let allowed = lists::origins("cors", origins)?;
    let allow_origin = AllowOrigin::predicate(move |origin, _| {
        Origin::parse(origin.as_bytes()).is_some_and(|origin| allowed.lists(&origin))
    });
    Ok(CorsLayer::new()
        .allow_origin(allow_origin)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(ALLOWED)
        .expose_headers(EXPOSED)
        .max_age(MAX_AGE))
}

/// The longest that Chromium remembers a preflight. The guard judges every call itself, so an origin
/// that is no longer listed gains nothing by what its browser remembers.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// What MCP clients send in either era.
const ALLOWED: [HeaderName; 8] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
];

/// What a client does something with.
const EXPOSED: [HeaderName; 4] = [
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    RETRY_AFTER,
    WWW_AUTHENTICATE,
];
