//! The guard mounted in every way that axum and tower allow, and the answers of each mount.
//!
//! `cargo test --test mounting -- --nocapture every_mount_answers_as_the_table_says` prints the table.

mod support;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{any, post as on_post};
use futures_util::FutureExt;
use http::{Method, Request, StatusCode};
use mcp_session_guard::{
    ConfigError, EndReason, Fingerprint, GuardRejection, McpMessage, McpSession, McpSessionId,
    Owner, Refusal, RefusalReason, ResponseFuture, SessionEvent, SessionGuard, SessionGuardBuilder,
    SessionGuardLayer, SessionStats, Sessions,
};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use support::times::{MINUTE, paused_runtime};
use support::{
    Answer, INITIALIZE, INITIALIZED, PING, PREFLIGHT, TestServer, bodiless, comes_late, foreign,
    post, reason, request, session_id, with,
};

const REQUESTS: [(&str, &str); 17] = [
    ("ping", "POST {mcp}\n{J}\n\n{PING}"),
    ("init", "POST {mcp}\n{J}\n\n{INITIALIZE}"),
    ("ping+", "POST {mcp}\n{J}\n{S}\n\n{PING}"),
    ("GET", "GET {mcp}"),
    ("GET+", "GET {mcp}\n{S}"),
    ("DEL", "DELETE {mcp}"),
    ("DEL+", "DELETE {mcp}\n{S}"),
    ("PUT", "PUT {mcp}\n{J}\n\n{PING}"),
    ("HEAD", "HEAD {mcp}"),
    ("OPT", "OPTIONS {mcp}\n{J}\n\n{PING}"),
    (
        "pre",
        "OPTIONS {mcp}\norigin: http://localhost\naccess-control-request-method: POST",
    ),
    ("health", "POST /health\n{J}\n\n{PING}"),
    ("GET", "GET /health"),
    ("nope", "POST {nope}\n{J}\n\n{PING}"),
    ("GET", "GET {nope}"),
    (
        "oauth",
        "POST /.well-known/oauth-protected-resource\n{J}\n\n{PING}",
    ),
    ("GET", "GET /.well-known/oauth-protected-resource"),
];

/// Declares the mounts: a name, the path of the endpoint, the answer to each of [`REQUESTS`], and
/// the number of sessions open at the end. One is right, because one of two was deleted.
///
/// A letter names the author of an answer: the guard, the MCP handler, the health handler, or axum.
macro_rules! mounts {
    ($($name:literal $endpoint:literal $seen:literal $app:expr;)*) => {
        type Mount = (&'static str, &'static str, &'static str, fn(SessionGuardLayer) -> Router);
        const MOUNTS: &[Mount] = &[$(($name, $endpoint, $seen, $app)),*];
    };
}

mounts! {
    "any, route_layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(only_mcp().route_layer(guard));
    "post.get.layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 405a | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new().route("/mcp", on_post(mcp).get(mcp).layer(guard)));
    "post.get, route_layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 405a | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new().route("/mcp", on_post(mcp).get(mcp)).route_layer(guard));
    "post.get.delete.route_layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405a 405g 405a 405a | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new().route("/mcp", on_post(mcp).get(mcp).delete(mcp).route_layer(guard)));
    "route_service" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new().route_service("/mcp", ServiceBuilder::new().layer(guard).service_fn(foreign::<Body>)));
    "nest(layer)" "/api/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new().nest("/api", only_mcp().layer(guard)));
    "merge(route_layer)" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| with_health(Router::new()).merge(only_mcp().route_layer(guard));
    "layer, merge(health)" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 1"
        |guard| only_mcp().layer(guard).merge(with_health(Router::new()));
    // Wrong mounts: DELETE is lost, other paths are judged, or the endpoint is not.
    "post.get.route_layer" "/mcp" "400g 200m 200m 400g 200m 405a 405a 405a 405g 405a 405a | 200h 200h | 404a 404a | 404a 404a | 2"
        |guard| with_health(Router::new().route("/mcp", on_post(mcp).get(mcp).route_layer(guard)));
    "nest_service(layer)" "/api/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 400g 400g | 404a 404a | 1"
        |guard| with_health(Router::new().nest_service("/api", only_mcp().layer(guard)));
    "merge(layer)" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 400g 400g | 400g 400g | 1"
        |guard| with_health(Router::new()).merge(only_mcp().layer(guard));
    "layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 400g 400g | 400g 400g | 400g 400g | 1"
        |guard| with_health(only_mcp()).layer(guard);
    "layer, route(health)" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 400g 400g | 400g 400g | 1"
        |guard| with_health(only_mcp().layer(guard));
    "layer, route(mcp)" "/mcp" "200m 200m 200m 200m 200m 200m 200m 200m 200m 200m 200m | 200h 200h | 400g 400g | 400g 400g | 0"
        |guard| with_health(Router::new().layer(guard).route("/mcp", any(mcp)));
    "route(health), route_layer" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 400g 400g | 404a 404a | 404a 404a | 1"
        |guard| with_health(only_mcp()).route_layer(guard);
    "guard.layer(router)" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 400g 400g | 400g 400g | 400g 400g | 1"
        |guard| Router::new().fallback_service(guard.layer(with_health(only_mcp())));
    "one guard twice" "/mcp" "400g 200m 200m 400g 200m 400g 204g 405g 405g 405g 200m | 200h 200h | 404a 404a | 404a 404a | 2"
        |guard| with_health(only_mcp().route_layer(guard.clone()).route_layer(guard));
}

fn only_mcp() -> Router {
    Router::new().route("/mcp", any(mcp))
}

fn with_health(router: Router) -> Router {
    router.route("/health", any(async || [("x-from", "health")]))
}

#[tokio::test]
async fn every_mount_answers_as_the_table_says() {
    let labels = REQUESTS.map(|(label, _)| label.to_owned());
    println!("{:28}{}", "", table_line(&labels, "open"));
    let mut wrong = Vec::new();
    for &(name, endpoint, seen, app) in MOUNTS {
        let guard = SessionGuardLayer::new();
        let server = server(&guard, app(guard.clone()));
        let opened = server.ask(at(endpoint, post(None, INITIALIZE))).await;
        let session = opened.headers.get("mcp-session-id");
        let session = session.map_or("none", |id| id.to_str().unwrap());
        let mut cells = REQUESTS.map(|(_, text)| {
            text.replace("{mcp}", endpoint)
                .replace("{nope}", &endpoint.replace("/mcp", "/nope"))
                .replace("{J}", "content-type: application/json")
                .replace("{S}", &format!("mcp-session-id: {session}"))
                .replace("{PING}", PING)
                .replace("{INITIALIZE}", INITIALIZE)
        });
        for cell in &mut cells {
            let response = server.send(with("host: localhost", request(cell))).await;
            *cell = status_and_author(&response);
            Answer::of(response).await; // an unread answer would end its session
        }
        let line = table_line(&cells, &server.sessions.len().to_string());
        println!("{name:28}{line}");
        if line.split_whitespace().ne(seen.split_whitespace()) {
            wrong.push(format!("{name}: {seen}"));
        }
    }
    assert!(wrong.is_empty(), "should be {wrong:#?}");
}

fn table_line(cells: &[String; 17], open: &str) -> String {
    let endpoint = cells[..11].iter().map(|cell| format!("{cell:<6}"));
    let others = cells[11..]
        .chunks(2)
        .map(|cells| format!("| {:<7}{:<5}", cells[0], cells[1]));
    endpoint.chain(others).collect::<String>() + "| " + open
}

fn status_and_author(response: &Response) -> String {
    let author = match response.headers().get("x-from") {
        Some(from) => from.to_str().unwrap(),
        None if reason(response).is_some() || response.status() == 204 => "guard",
        None => "axum",
    };
    format!("{}{:.1}", response.status().as_u16(), author)
}

#[test]
fn axum_panics_on_a_route_layer_without_routes() {
    let guard = SessionGuardLayer::new();
    let over_nothing: [&dyn Fn() -> Router; 2] = [
        &|| Router::new().route_layer(guard.clone()),
        // `any` is a fallback, not a route.
        &|| Router::new().route("/mcp", any(mcp).route_layer(guard.clone())),
    ];
    for build in over_nothing {
        assert!(catch_unwind(AssertUnwindSafe(build)).is_err());
    }
}

#[tokio::test]
async fn an_inner_service_with_its_own_ids_needs_a_route_for_delete() {
    let guard = SessionGuardLayer::new();
    let inner = on_post(async |request| (OWN_ID, mcp(request).await));
    for (inner, status, then) in [(inner.clone(), 405, 200), (inner.delete(mcp), 204, 404)] {
        let app = Router::new().route("/mcp", inner);
        let server = TestServer::around_app(guard.clone(), app);
        let id = server.open().await;
        let answer = server.ask(bodiless(Method::DELETE, Some(&id))).await;
        assert_eq!(answer.status, status);
        assert_eq!(server.ping(&id).await, then);
    }
}

#[tokio::test]
async fn clones_of_one_layer_share_their_sessions() {
    let guard = SessionGuardLayer::new();
    let app = Router::new()
        .route("/a", any(mcp).layer(guard.clone()))
        .route("/b", any(mcp).layer(guard.clone()));
    let server = server(&guard, app);
    let id = open(&server, "/a").await;
    assert_eq!(ping(&server, "/b", &id).await, 200);
    let delete = at("/b", bodiless(Method::DELETE, Some(&id)));
    assert_eq!(server.ask(delete).await.status, 204);
    assert_eq!(ping(&server, "/a", &id).await, 404);
}

#[tokio::test]
async fn guards_built_separately_share_neither_sessions_nor_settings() {
    let narrow = SessionGuardLayer::builder()
        .body_limit(256)
        .build()
        .unwrap();
    let wide = SessionGuardLayer::new();
    let app = Router::new()
        .route("/narrow", any(mcp).layer(narrow.clone()))
        .route("/wide", any(mcp).layer(wide.clone()));
    let server = server(&narrow, app);
    let paths = ["/narrow", "/wide"];
    let ids = [open(&server, paths[0]).await, open(&server, paths[1]).await];
    let mut statuses = Vec::new();
    for path in paths {
        for id in &ids {
            statuses.push(ping(&server, path, id).await.as_u16());
        }
    }
    assert_eq!(statuses, [200, 404, 404, 200]);
    assert_eq!((narrow.sessions().len(), wide.sessions().len()), (1, 1));

    let long = format!("{PING}{}", " ".repeat(256));
    for (path, id, status) in [("/narrow", &ids[0], 413), ("/wide", &ids[1], 200)] {
        let answer = server.ask(at(path, post(Some(id), long.clone()))).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn errors_of_the_inner_service_pass_through() {
    #[derive(Debug, PartialEq)]
    struct Down;

    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .build()
        .unwrap();
    let is_down = Arc::new(AtomicBool::new(true));
    let inner = service_fn({
        let is_down = is_down.clone();
        move |request| {
            let is_down = is_down.load(Relaxed);
            async move { (!is_down).then_some(mcp(request).await).ok_or(Down) }
        }
    });
    let service = guard.layer(inner);
    let send = |request: Request<Body>| service.clone().oneshot(request);

    for _ in 0..2 {
        assert_eq!(send(post(None, INITIALIZE)).await.unwrap_err(), Down);
        assert!(guard.sessions().is_empty());
    }
    is_down.store(false, Relaxed);
    let opened = Answer::of(send(post(None, INITIALIZE)).await.unwrap()).await;
    let id = session_id(&opened.headers); // so the only slot was free again
    is_down.store(true, Relaxed);
    for request in [
        post(Some(id), PING),
        bodiless(Method::GET, Some(id)),
        request(PREFLIGHT),
    ] {
        assert_eq!(send(request).await.unwrap_err(), Down);
    }
    assert_eq!(send(post(None, PING)).await.unwrap().status(), 400);
    assert_eq!(guard.sessions().get(id).unwrap().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_release_the_concurrency_permit() {
    let service = ServiceBuilder::new()
        .layer(SessionGuardLayer::new())
        .concurrency_limit(1)
        .service_fn(foreign::<Body>);
    for (request, status) in [
        (post(None, PING), 400),
        (post(None, comes_late("{")), 400),
        (post(Some("unknown"), PING), 404),
        (bodiless(Method::PUT, None), 405),
        (post(None, INITIALIZE), 200),
        (post(None, INITIALIZE), 200),
    ] {
        let answer = timeout(MINUTE, service.clone().oneshot(request)).await;
        assert_eq!(answer.expect("a free permit").unwrap().status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_session_has_just_ended_releases_the_concurrency_permit() {
    let guard = SessionGuardLayer::builder().hook(|event: &SessionEvent<'_>| {
        if let SessionEvent::Confirmed { session, .. } = event {
            session.end();
        }
    });
    let service = ServiceBuilder::new()
        .layer(guard.build().unwrap())
        .concurrency_limit(1)
        .service_fn(foreign::<Body>);
    let opening = service.clone().oneshot(post(None, INITIALIZE));
    let opened = opening.await.unwrap();
    let id = session_id(opened.headers()).to_owned();
    // One service serves a whole connection, and the connection stays open.
    let mut connection = service.clone();
    let ready = ServiceExt::<Request<Body>>::ready(&mut connection).await;
    let answer = Service::call(ready.unwrap(), post(Some(&id), INITIALIZED)).await;
    assert_eq!(answer.unwrap().status(), 404);
    let answer = timeout(MINUTE, service.oneshot(post(None, INITIALIZE))).await;
    assert_eq!(answer.expect("a free permit").unwrap().status(), 200);
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_releases_the_permit_after_every_answer_of_the_guard() {
    let service = ServiceBuilder::new()
        .layer(SessionGuardLayer::new())
        .concurrency_limit(1)
        .service_fn(foreign::<Body>);
    let opened = service
        .clone()
        .oneshot(post(None, INITIALIZE))
        .await
        .unwrap();
    let id = session_id(opened.headers()).to_owned();
    for (request, status) in [
        (post(Some("unknown"), PING), 404),
        (post(None, PING), 400),
        (bodiless(Method::PUT, None), 405),
        (bodiless(Method::DELETE, Some(&id)), 204),
    ] {
        let mut connection = service.clone();
        let ready = ServiceExt::<Request<Body>>::ready(&mut connection).await;
        let answer = Service::call(ready.unwrap(), request).await;
        assert_eq!(answer.unwrap().status(), status);
        let answer = timeout(MINUTE, service.clone().oneshot(post(None, INITIALIZE))).await;
        assert_eq!(answer.expect("a free permit").unwrap().status(), 200);
        drop(connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_holds_no_concurrency_permit() {
    let service = ServiceBuilder::new()
        .layer(SessionGuardLayer::new())
        .concurrency_limit(1)
        .service_fn(foreign::<Body>);
    let stalls = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let slow = service
        .clone()
        .oneshot(post(None, Body::from_stream(stalls)));
    let slow = tokio::spawn(slow);
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    let answer = service.oneshot(post(None, INITIALIZE)).await.unwrap();
    assert_eq!(
        (answer.status(), started.elapsed()),
        (StatusCode::OK, Duration::ZERO)
    );
    assert_eq!(slow.await.unwrap().unwrap().status(), 408);
}

#[tokio::test]
async fn a_thousand_clones_and_a_thousand_layerings_share_the_sessions() {
    let guard = SessionGuardLayer::new();
    let first = guard.layer(only_mcp());
    let opened = first.clone().oneshot(post(None, INITIALIZE)).await.unwrap();
    let id = session_id(&Answer::of(opened).await.headers).to_owned();
    let mut clone = first;
    for _ in 0..1000 {
        clone = clone.clone();
        for service in [clone.clone(), guard.clone().layer(only_mcp())] {
            let answer = service.oneshot(post(Some(&id), PING)).await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    assert_eq!(guard.sessions().len(), 1);
}

#[test]
fn a_guard_is_built_and_serves_without_a_runtime() {
    let guard = SessionGuardLayer::new();
    let service = guard.layer(service_fn(foreign::<Body>));
    let send = |request| service.clone().oneshot(request).now_or_never().unwrap();
    let opened = send(post(None, INITIALIZE)).unwrap();
    let id = session_id(opened.headers()).to_owned();
    Answer::of(opened).now_or_never().unwrap();
    assert_eq!(send(post(Some(&id), PING)).unwrap().status(), 200);
    assert_eq!(guard.sessions().len(), 1);
}

#[test]
fn sessions_outlive_their_runtime_and_are_swept_in_the_next() {
    let guard = SessionGuardLayer::new();
    let server = server(&guard, only_mcp().layer(guard.clone()));
    let first = paused_runtime();
    let id = first.block_on(async { (server.open().await, server.open().await).0 });
    let session = server.sessions.get(&id).unwrap();
    drop(first);

    paused_runtime().block_on(async {
        assert_eq!(server.ping(&id).await, 200);
        sleep(32 * MINUTE).await;
        assert_eq!(server.ping(&id).await, 404);
        assert_eq!(session.end_reason(), Some(EndReason::Idle));
        server.open().await;
        sleep(6 * MINUTE).await;
        assert_eq!(
            server.sessions.len(),
            0,
            "the sweep ends it without a request"
        );
    });
}

#[test]
fn public_types_are_send_sync_clone_and_debug() {
    fn all<T: Send + Sync + Clone + Debug + 'static>() {}
    all::<SessionGuardLayer>();
    all::<SessionGuard<Router>>();
    all::<SessionGuardBuilder>();
    all::<Sessions>();
    all::<McpSession>();
    all::<McpSessionId>();
    all::<McpMessage>();
    all::<Refusal>();
    all::<RefusalReason>();
    all::<GuardRejection>();
    all::<ConfigError>();
    all::<EndReason>();
    all::<Owner>();
    all::<Fingerprint>();
    all::<SessionStats>();
    all::<SessionEvent<'static>>();

    // It holds axum's body, which is not `Sync`.
    fn future<T: Future + Send + Debug + 'static>() {}
    future::<ResponseFuture<Router>>();
}

#[tokio::test]
async fn extractors_report_what_is_missing() {
    fn word<T>(value: Option<T>) -> &'static str {
        value.map_or("none", |_| "some")
    }
    let app = only_mcp()
        .route("/session", any(async |it: McpSession| word(Some(it))))
        .route(
            "/maybe/session",
            any(async |it: Option<McpSession>| word(it)),
        )
        .route("/message", any(async |it: McpMessage| word(Some(it))))
        .route(
            "/maybe/message",
            any(async |it: Option<McpMessage>| word(it)),
        );
    let stateless = SessionGuardLayer::builder().stateless().build().unwrap();
    let bare = server(&stateless, app.clone());
    let stateless = TestServer::around_app(stateless, app.clone());
    let guarded = TestServer::around_app(SessionGuardLayer::new(), app);
    let live = guarded.open().await;

    for (server, method, path, text) in [
        (&bare, "POST", "/session", NO_GUARD),
        (&bare, "POST", "/maybe/session", NO_GUARD),
        (&bare, "POST", "/message", NO_GUARD),
        (&bare, "POST", "/maybe/message", NO_GUARD),
        (&guarded, "POST", "/session", "some"),
        (&guarded, "POST", "/maybe/session", "some"),
        (&guarded, "POST", "/message", "some"),
        (&guarded, "POST", "/maybe/message", "some"),
        (&guarded, "GET", "/session", "some"),
        (&guarded, "GET", "/maybe/session", "some"),
        (&guarded, "GET", "/message", NO_MESSAGE),
        (&guarded, "GET", "/maybe/message", "none"),
        (&guarded, "OPTIONS", "/session", NO_SESSION),
        (&guarded, "OPTIONS", "/maybe/session", "none"),
        (&stateless, "POST", "/session", NO_SESSION),
        (&stateless, "POST", "/maybe/session", "none"),
        (&stateless, "POST", "/message", "some"),
        (&stateless, "POST", "/maybe/message", "some"),
    ] {
        let request = match method {
            "POST" => post(Some(&live), PING),
            "OPTIONS" => request(PREFLIGHT),
            _ => bodiless(method.parse().unwrap(), Some(&live)),
        };
        let answer = server.ask(at(path, request)).await;
        assert_eq!(answer.text(), text, "{method} {path}");
        assert_eq!(answer.status, if text.len() == 4 { 200 } else { 500 });
    }
}

const NO_GUARD: &str = "This route is not guarded: add mcp_session_guard::SessionGuardLayer to it.";
const NO_MESSAGE: &str = "This request has no message: extract Option<McpMessage>.";
const NO_SESSION: &str = "This request has no session: extract Option<McpSession>.";
const OWN_ID: [(&str, &str); 1] = [("mcp-session-id", "own")];

/// The MCP endpoint of this file.
async fn mcp(request: Request<Body>) -> Response {
    let Ok(response) = foreign(request).await;
    response.map(Body::new)
}

fn server(guard: &SessionGuardLayer, app: Router) -> TestServer {
    TestServer::guarded(app, guard.sessions())
}

fn at(path: &str, mut request: Request<Body>) -> Request<Body> {
    *request.uri_mut() = path.parse().unwrap();
    request
}

async fn open(server: &TestServer, path: &str) -> String {
    let answer = server.ask(at(path, post(None, INITIALIZE))).await;
    session_id(&answer.headers).to_owned()
}

async fn ping(server: &TestServer, path: &str, id: &str) -> StatusCode {
    server.ask(at(path, post(Some(id), PING))).await.status
}
