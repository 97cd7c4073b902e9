//! Pages of other origins in front of the guard, in process. `browser.rs` tests a real browser.

#[path = "../../support/mod.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, post as on_post};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, VARY,
};
use http::{HeaderMap, Method, Request, StatusCode};
use mcp_session_guard::{ConfigErrorKind, SessionGuardBuilder, SessionGuardLayer, cors};
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, CorsLayer};

use support::{Answer, INITIALIZE, PING, TestServer, bodiless, post};

const PAGE: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example";

/// The preflight that a browser sends before the page's script may send such a request.
fn preflight(origin: &str, method: &str, headers: &str) -> Request<Body> {
    Request::options("/mcp")
        .header("host", "localhost:8000")
        .header(ORIGIN, origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers)
        .body(Body::empty())
        .unwrap()
}

fn of_page(origin: &str, mut request: Request<Body>) -> Request<Body> {
    let origin = HeaderValue::from_str(origin).unwrap();
    request.headers_mut().insert(ORIGIN, origin);
    request
}

/// A guard with the CORS layer around it, for the same origins.
fn server(origins: &[&str]) -> TestServer {
    built(origins, SessionGuardLayer::builder())
}

fn built(origins: &[&str], guard: SessionGuardBuilder) -> TestServer {
    let guard = guard.allowed_origins(origins).build().unwrap();
    behind(TestServer::new(guard), cors(origins).unwrap())
}

fn behind(mut server: TestServer, cors: CorsLayer) -> TestServer {
    server.app = server.app.layer(cors);
    server
}

/// The names in a list of header names, sorted.
fn names(headers: &HeaderMap, list: HeaderName) -> Vec<String> {
    let all = headers.get_all(list);
    let all = all
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(','));
    let mut names: Vec<_> = all.map(|name| name.trim().to_lowercase()).collect();
    names.sort();
    names
}

/// Asserts that the page's script can read the answer.
fn assert_readable(answer: &Answer) {
    let headers = &answer.headers;
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], PAGE, "{answer:?}");
    assert_eq!(
        names(headers, ACCESS_CONTROL_EXPOSE_HEADERS),
        [
            "mcp-protocol-version",
            "mcp-session-id",
            "retry-after",
            "www-authenticate"
        ],
        "{answer:?}"
    );
    // A cache in between must not give this page's answer to another page.
    assert!(names(headers, VARY).contains(&"origin".to_owned()));
}

fn assert_unreadable(answer: &Answer) {
    let origin = answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
    assert_eq!(origin, None, "{answer:?}");
}

#[tokio::test]
async fn a_preflight_is_answered_before_the_guard() {
    let server = server(&[PAGE]);
    let sent = "authorization,content-type,mcp-protocol-version,mcp-session-id";
    for method in ["GET", "POST", "DELETE"] {
        let answer = server.ask(preflight(PAGE, method, sent)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
        assert_eq!(
            names(&answer.headers, ACCESS_CONTROL_ALLOW_METHODS),
            ["delete", "get", "post"]
        );
        assert_eq!(
            names(&answer.headers, ACCESS_CONTROL_ALLOW_HEADERS),
            [
                "accept",
                "authorization",
                "content-type",
                "last-event-id",
                "mcp-method",
                "mcp-name",
                "mcp-protocol-version",
                "mcp-session-id"
            ]
        );
        assert_eq!(answer.headers[ACCESS_CONTROL_MAX_AGE], "7200");
        let headers = &answer.headers;
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
    assert_eq!(server.inner.count(), 0);
}

#[tokio::test]
async fn a_page_reads_its_session_id_and_later_answers() {
    let server = server(&[PAGE]);
    let opened = server.ask(of_page(PAGE, post(None, INITIALIZE))).await;
    assert_eq!(opened.status, 200);
    assert_readable(&opened);
    let id = opened.headers["mcp-session-id"].to_str().unwrap();

    let ping = server.ask(of_page(PAGE, post(Some(id), PING))).await;
    assert_eq!(ping.status, 200);
    assert_readable(&ping);
    let ended = of_page(PAGE, bodiless(Method::DELETE, Some(id)));
    let ended = server.ask(ended).await;
    assert_eq!(ended.status, 204);
    assert_readable(&ended);
}

#[tokio::test]
async fn a_page_reads_every_kind_of_refusal() {
    let server = built(&[PAGE], SessionGuardLayer::builder().max_sessions(1));
    let id = server.open_and_use().await;
    server.inner.clear();
    let foreign_host = |mut request: Request<Body>| {
        let host = HeaderValue::from_static("evil.example");
        request.headers_mut().insert("host", host);
        request
    };
    let refusals = [
        (400, post(None, PING)),
        (400, post(Some(&id), INITIALIZE)),
        (400, post(Some(&id), "no JSON")),
        (403, foreign_host(post(Some(&id), PING))),
        (404, post(Some("ended-long-ago"), PING)),
        (405, bodiless(Method::PUT, Some(&id))),
        (503, post(None, INITIALIZE)),
    ];
    for (status, request) in refusals {
        let answer = server.ask(of_page(PAGE, request)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_readable(&answer);
        assert!(!answer.body.is_empty());
        assert_eq!(answer.headers.contains_key(RETRY_AFTER), status == 503);
        assert_eq!(answer.headers.contains_key(ALLOW), status == 405);
    }
    assert_eq!(server.inner.count(), 0);
}

#[tokio::test]
async fn an_unlisted_page_is_not_allowed() {
    let server = server(&[PAGE]);
    for origin in [
        FOREIGN,
        "null",
        "http://app.example.com",
        "http://localhost",
    ] {
        assert_unreadable(&server.ask(preflight(origin, "POST", "content-type")).await);
        let refused = server.ask(of_page(origin, post(None, INITIALIZE))).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert_unreadable(&refused);
    }
    assert_eq!(server.inner.count(), 0);
    assert!(server.sessions.is_empty());
}

#[tokio::test]
async fn an_empty_list_allows_no_page() {
    let server = server(&[]);
    assert_unreadable(&server.ask(preflight(PAGE, "POST", "content-type")).await);
    assert_unreadable(&server.ask(of_page(PAGE, post(None, INITIALIZE))).await);
    assert_eq!(server.inner.count(), 0);
}

#[tokio::test]
async fn a_client_that_is_not_a_page_is_unaffected() {
    let server = server(&[PAGE]);
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), PING)).await;
    assert_eq!(answer.status, 200);
    assert_unreadable(&answer);
}

#[test]
fn an_invalid_origin_is_an_error() {
    let bad = [
        "*",
        "null",
        "",
        " ",
        "app.example.com",
        "1https://app.example.com",
        "https://",
        "https://*",
        "https://*.com",
        "https://*.example.com/",
        "https://app.*.com",
        "https://*app.example.com",
        "https://app.example.com:",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://user@app.example.com",
        "https://app.example.com:99999",
        "https://app.example.com, https://other.example.com",
        "https://app.example.com\n",
    ];
    for origin in bad {
        let error = cors([PAGE, origin]).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Origin);
        assert_eq!(error.setting(), "cors");
        let message = format!(
            "cors cannot hold {origin:?}: write `scheme://host` or `scheme://host:port`, without a \
             path; a wildcard is `*.` before at least two labels, as in `*.example.com`"
        );
        assert_eq!(error.to_string(), message);
    }
}

/// If they differed, a page would pass only one of them, and the reason would be hard to find.
#[tokio::test]
async fn the_guard_and_the_layer_read_origins_alike() {
    let listed = [
        "HTTPS://App.Example.com:443",
        "http://192.0.2.1:8080",
        "http://[2001:DB8::1]",
        "chrome-extension://abcdefghijklmnop",
        "https://*.pages.example",
        "http://*.Pages.Example.:8080",
        "http://localhost:5173",
    ];
    let server = server(&listed);
    let origins = [
        (PAGE, true),
        ("https://app.example.com:443", true),
        ("https://app.example.com:8443", false),
        ("http://app.example.com", false),
        ("https://sub.app.example.com", false),
        ("https://app.example.com.evil.example", false),
        ("http://192.0.2.1:8080", true),
        ("http://192.0.2.1", false),
        ("http://[2001:db8::1]", true),
        ("http://[2001:db8::2]", false),
        ("chrome-extension://abcdefghijklmnop", true),
        ("chrome-extension://ponmlkjihgfedcba", false),
        ("https://app.example.com/", false),
        ("https://one.pages.example", true),
        ("https://ONE.pages.example.:443", true),
        ("http://one.pages.example:8080", true),
        ("http://one.pages.example", false),
        ("https://one.pages.example:8080", false),
        ("https://pages.example", false),
        ("https://one.two.pages.example", false),
        ("https://onepages.example", false),
        ("https://one.pages.example.evil.example", false),
        ("http://localhost:5173", true),
        ("http://127.0.0.1:5173", true),
        ("http://[::1]:5173", true),
        ("http://127.0.0.1:5174", false),
        ("http://127.0.0.1", false),
        ("https://[::1]:5173", false),
        ("http://localhost:", false),
        ("null", false),
        ("file://", false),
        ("*", false),
    ];
    for (origin, passes) in origins {
        let answer = server.ask(of_page(origin, post(None, INITIALIZE))).await;
        assert_eq!(answer.status == StatusCode::OK, passes, "{origin}");
        let allowed = answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        let expected = passes.then(|| HeaderValue::from_static(origin));
        assert_eq!(allowed, expected.as_ref(), "{origin}");
    }
}

#[tokio::test]
async fn a_listed_address_does_not_stand_for_localhost() {
    let server = server(&["http://127.0.0.1:5173"]);
    for origin in ["http://localhost:5173", "http://[::1]:5173"] {
        assert_unreadable(&server.ask(preflight(origin, "POST", "content-type")).await);
        let refused = server.ask(of_page(origin, post(None, INITIALIZE))).await;
        assert_eq!(refused.status, 403, "{origin}");
    }
    assert_eq!(server.inner.count(), 0);
}

/// The guard allows these pages to call. Only a layer with the same list allows them to read.
#[tokio::test]
async fn additions_to_the_guards_list_do_not_extend_the_layers_list() {
    let guard = SessionGuardLayer::builder()
        .allowed_origins_where(|_, name, _| name == "app.example.com")
        .dangerously_allow_null_origin();
    let server = behind(
        TestServer::new(guard.build().unwrap()),
        cors([FOREIGN]).unwrap(),
    );
    for origin in [PAGE, "null"] {
        let answer = server.ask(of_page(origin, post(None, INITIALIZE))).await;
        assert_eq!(answer.status, 200, "{origin}");
        assert_unreadable(&answer);
    }
}

#[tokio::test]
async fn headers_of_tools_need_their_own_list() {
    let sent = "mcp-method,mcp-name,mcp-param-region";
    let asked = || preflight(PAGE, "POST", sent);
    let fixed = server(&[PAGE]).ask(asked()).await;
    let fixed = names(&fixed.headers, ACCESS_CONTROL_ALLOW_HEADERS);
    assert!(!fixed.contains(&"mcp-param-region".to_owned()));

    let layer = cors([PAGE]).unwrap();
    let layer = layer.allow_headers(AllowHeaders::mirror_request());
    let mirrored = behind(TestServer::new(SessionGuardLayer::new()), layer);
    let mirrored = mirrored.ask(asked()).await;
    assert_eq!(mirrored.headers[ACCESS_CONTROL_ALLOW_HEADERS], sent);
    assert_eq!(mirrored.headers[ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
}

#[tokio::test]
async fn the_cors_layer_is_outside_the_guard_in_every_correct_mount() {
    let guard = || SessionGuardLayer::builder().allowed_origins([PAGE]).build();
    let (guard, cors) = (guard().unwrap(), cors([PAGE]).unwrap());
    let inner = || async { "reached" };
    let (one, two, three) = (guard.clone(), guard.clone(), guard);
    let mounts: [Router; 3] = [
        Router::new()
            .route("/mcp", on_post(inner).get(inner).layer(one))
            .layer(cors.clone()),
        Router::new()
            .route("/mcp", on_post(inner).get(inner).layer(two))
            .route_layer(cors.clone()),
        Router::new()
            .route("/mcp", any(inner))
            .route_layer(three)
            .route_layer(cors),
    ];
    for app in mounts {
        let asked = preflight(PAGE, "DELETE", "mcp-session-id");
        let answer = Answer::of(app.clone().oneshot(asked).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);

        let call = of_page(PAGE, post(Some("ended-long-ago"), PING));
        let answer = Answer::of(app.oneshot(call).await.unwrap()).await;
        assert_eq!(answer.status, 404);
        assert_readable(&answer);
    }
}
