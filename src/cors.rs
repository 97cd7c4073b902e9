//! A CORS layer for pages of other origins.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::builder::{ConfigError, lists};
use crate::protocol::host::Origin;

/// Returns a CORS layer for pages of `origins` that call the endpoint (feature `cors`).
///
/// A browser lets a script call another origin only as far as that origin's answers allow
/// ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)). This layer
///
/// - answers preflights (OPTIONS). It allows GET, POST and DELETE with the headers that MCP clients send.
///   A browser may cache this answer for two hours, the maximum in Chromium. Without the cache it would
///   send a preflight before almost every message.
/// - lets scripts read `Mcp-Session-Id`, which every later request needs, and `MCP-Protocol-Version`,
///   `Retry-After` and `WWW-Authenticate`.
/// - allows no cookies, because an MCP client sends its token in `Authorization`.
///
/// # Where to put it
///
/// Put the layer outside the guard and outside authentication: add it after both. Refusals then carry the
/// CORS headers, so that a client can distinguish an ended session from a network failure. Preflights have
/// neither a session nor a token, so this layer must answer them before another layer asks for one.
///
/// The example below adds the guard to a router. With the guard on a method router, add the layer in the
/// same place: `Router::new().route("/mcp",
/// post(mcp).get(events).layer(guard)).route_layer(cors(origins)?)`.
///
/// The guard judges the `Origin` of the calls themselves, so list the same origins in
/// [`allowed_origins`](crate::SessionGuardBuilder::allowed_origins). Both lists have the same syntax, with
/// wildcards (`https://*.example.com`), and in both `localhost` includes the loopback addresses. A page on
/// this list alone gets a 403 that it can read. A page on the guard's list alone can call the endpoint but
/// cannot read the answers. This includes a page that
/// [`allowed_origins_where`](crate::SessionGuardBuilder::allowed_origins_where) lets in: give the returned
/// layer the same predicate by `.allow_origin(AllowOrigin::predicate(..))`.
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
/// // A wildcard for every page is an error, so a server cannot allow every page by accident.
/// assert!(cors(["*"]).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Other headers
///
/// The list does not include the headers `Mcp-Param-*` of revision 2026-07-28: their names depend on the
/// tools, and CORS has no prefixes. (The official TypeScript client omits them in browsers.) If your clients
/// send these or other headers, replace the list. With explicit origins this does not let other pages in:
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
/// Returns an error if an origin is not `scheme://host` or `scheme://host:port` (`*` and `null` are not), or
/// if fewer than two labels follow a wildcard. An empty list is valid and lets no page in.
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

/// How long a browser may cache a preflight: the maximum in Chromium. The guard judges every call itself,
/// so an origin that is no longer listed gains nothing from a cached preflight.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The headers that MCP clients send, with sessions or sessionless.
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

/// The response headers that MCP clients use.
const EXPOSED: [HeaderName; 4] = [
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    RETRY_AFTER,
    WWW_AUTHENTICATE,
];
