//! The guard among other layers: the effect of each order, and the sign of a wrong one.

#[path = "../../support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream;
use http::header::CONTENT_ENCODING;
use http::{HeaderName, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use mcp_session_guard::{Owner, Refusal, RefusalReason, SessionGuardBuilder, SessionGuardLayer};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::body::Limited;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::instrument::WithSubscriber;

use support::{
    INITIALIZE, Log, PING, PREFLIGHT, TestServer, foreign, initialize_result, json_response, post,
    request,
};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const SLOW: &str = r#"{"jsonrpc":"2.0","id":1,"method":"slow"}"#;
const PANICS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"panics"}"#;

async fn mcp(request: Request) -> Response {
    let body = to_bytes(request.into_body(), usize::MAX).await;
    let Ok(body) = body else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = std::str::from_utf8(&body).unwrap();
    if text.contains("slow") {
        tokio::time::sleep(10 * SECOND).await;
    }
    assert!(!text.contains("panics"), "the handler panics");
    json_response(200, &initialize_result(&0.into()))
}

/// The side of the guard on which a layer is. `route_layer` wraps the routes that exist so far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Inside,
    Outside,
}
use Side::{Inside, Outside};

fn server(side: Side, guard: SessionGuardBuilder, add: impl Fn(Router) -> Router) -> TestServer {
    let guard = guard.build().unwrap();
    let sessions = guard.sessions();
    let app = Router::new().route("/mcp", any(mcp));
    let app = match side {
        Inside => add(app).route_layer(guard),
        Outside => add(app.route_layer(guard)),
    };
    TestServer::guarded(app, sessions)
}

fn on(side: Side, add: impl Fn(Router) -> Router) -> TestServer {
    server(side, SessionGuardLayer::builder(), add)
}

fn header<'a>(answer: &'a support::Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

#[tokio::test(start_paused = true)]
async fn catch_panic_turns_a_panic_into_500_on_either_side_and_no_slot_is_lost() {
    for side in [Outside, Inside] {
        let server = on(side, |app| app.route_layer(CatchPanicLayer::new()));
        let id = server.open().await;
        assert_eq!(
            server.ask(post(Some(&id), PANICS)).await.status,
            500,
            "{side:?}"
        );
        assert_eq!(server.sessions.get(&id).unwrap().in_flight(), 0);
        let opening = INITIALIZE.replace("2025-11-25", "panics");
        assert_eq!(server.ask(post(None, opening)).await.status, 500);
        assert_eq!(server.sessions.stats().opening, 0);
        assert_eq!(server.ping(&id).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_cuts_calls_on_either_side_and_the_session_lives() {
    for side in [Outside, Inside] {
        let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND);
        let server = on(side, |app| app.route_layer(timeout));
        let id = server.open().await;
        assert_eq!(
            server.ask(post(Some(&id), SLOW)).await.status,
            504,
            "{side:?}"
        );
        assert_eq!(server.sessions.get(&id).unwrap().in_flight(), 0);
        let opening = INITIALIZE.replace("2025-11-25", "slow");
        assert_eq!(server.ask(post(None, opening)).await.status, 504);
        assert_eq!(server.sessions.stats().opening, 0);
        assert_eq!(server.ping(&id).await, 200);
    }
}

#[tokio::test]
async fn compression_outside_compresses_every_answer_and_inside_all_but_openings() {
    let gzip = |mut request: http::Request<Body>| {
        let value = "gzip".parse().unwrap();
        request.headers_mut().insert("accept-encoding", value);
        request
    };
    for (side, opening) in [(Outside, Some("gzip")), (Inside, None)] {
        let server = on(side, |app| app.route_layer(CompressionLayer::new()));
        let answer = server.ask(gzip(post(None, INITIALIZE))).await;
        assert_eq!(header(&answer, "content-encoding"), opening, "{side:?}");
        let id = header(&answer, "mcp-session-id").unwrap();
        let answer = server.ask(gzip(post(Some(id), PING))).await;
        assert_eq!(
            header(&answer, "content-encoding"),
            Some("gzip"),
            "{side:?}"
        );
    }
}

#[tokio::test]
async fn decompression_of_requests_inside_the_guard_is_never_reached() {
    // `gzip -n` of a ping.
    let zipped: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0xca, 0x2a, 0xce,
        0xcf, 0x2b, 0x2a, 0x48, 0x56, 0xb2, 0x52, 0x32, 0xd2, 0x33, 0x50, 0xd2, 0x51, 0xca, 0x4c,
        0x51, 0xb2, 0x32, 0xd4, 0x51, 0xca, 0x4d, 0x2d, 0xc9, 0xc8, 0x07, 0x32, 0x95, 0x0a, 0x32,
        0xf3, 0xd2, 0x95, 0x6a, 0x01, 0xf4, 0x17, 0x99, 0xac, 0x28, 0x00, 0x00, 0x00,
    ];
    for (side, status) in [(Outside, 200), (Inside, 415)] {
        let server = on(side, |app| {
            app.route_layer(RequestDecompressionLayer::new())
        });
        let id = server.open().await;
        let mut request = post(Some(&id), zipped);
        let value = "gzip".parse().unwrap();
        request.headers_mut().insert("content-encoding", value);
        assert_eq!(server.ask(request).await.status, status, "{side:?}");
    }
}

#[tokio::test]
async fn a_smaller_body_limit_outside_is_the_guards_refusal_and_inside_the_handlers() {
    for (side, content_type) in [
        (Outside, "application/problem+json"),
        (Inside, "text/plain; charset=utf-8"),
    ] {
        let server = on(side, |app| app.route_layer(RequestBodyLimitLayer::new(200)));
        let id = server.open().await;
        let chunked = Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>(
            PING.to_owned() + &" ".repeat(200),
        )]));
        let answer = server.ask(post(Some(&id), chunked)).await;
        assert_eq!(answer.status, 413, "{side:?}");
        assert_eq!(header(&answer, "content-type"), Some(content_type));
    }
}

#[tokio::test]
async fn request_ids_outside_are_on_refusals_too() {
    for (side, on_refusal) in [(Outside, true), (Inside, false)] {
        let server = on(side, |app| {
            app.route_layer(PropagateRequestIdLayer::x_request_id())
                .route_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        });
        let refused = server.ask(post(None, PING)).await;
        assert_eq!(
            header(&refused, "x-request-id").is_some(),
            on_refusal,
            "{side:?}"
        );
        let passed = server.ask(post(None, INITIALIZE)).await;
        assert!(header(&passed, "x-request-id").is_some());
    }
}

#[tokio::test]
async fn authentication_inside_is_too_late_for_the_guard_to_know_owners() {
    async fn authenticate(mut request: Request, next: Next) -> Response {
        let Some(user) = request.headers().get(header::AUTHORIZATION) else {
            return StatusCode::UNAUTHORIZED.into_response();
        };
        let owner = Owner::new(user.to_str().unwrap());
        request.extensions_mut().insert(owner);
        next.run(request).await
    }
    for (side, with_token, without) in [(Outside, 200, 401), (Inside, 403, 403)] {
        let guard = SessionGuardLayer::builder()
            .owner_from_extension(Owner::clone)
            .require_owner();
        let server = server(side, guard, |app| app.route_layer(from_fn(authenticate)));
        let mut request = post(None, INITIALIZE);
        let value = "alice".parse().unwrap();
        request.headers_mut().insert("authorization", value);
        assert_eq!(server.ask(request).await.status, with_token, "{side:?}");
        assert_eq!(
            server.ask(post(None, INITIALIZE)).await.status,
            without,
            "{side:?}"
        );
    }
}

#[tokio::test]
async fn a_layer_that_must_see_every_request_belongs_outside() {
    let seen = Arc::new(Mutex::new(0));
    for (side, sees) in [(Outside, 3), (Inside, 1)] {
        *seen.lock().unwrap() = 0;
        let counted = seen.clone();
        let server = on(side, move |app| {
            let counted = counted.clone();
            app.route_layer(from_fn(move |request: Request, next: Next| {
                *counted.lock().unwrap() += 1;
                next.run(request)
            }))
        });
        // A rate limiter inside the guard does not slow down a client that guesses ids.
        server.open().await;
        server.ping("guess").await;
        server.ping("another-guess").await;
        assert_eq!(*seen.lock().unwrap(), sees, "{side:?}");
    }
}

#[tokio::test]
async fn a_trace_of_headers_shows_the_id_unless_the_header_is_marked_sensitive_outside_it() {
    let trace = || {
        let span = DefaultMakeSpan::new()
            .level(tracing::Level::INFO)
            .include_headers(true);
        TraceLayer::new_for_http().make_span_with(span)
    };
    let hidden = || {
        let names = [
            header::AUTHORIZATION,
            HeaderName::from_static("mcp-session-id"),
        ];
        SetSensitiveRequestHeadersLayer::new(names)
    };
    let right = on(Outside, |app| {
        app.route_layer(trace()).route_layer(hidden())
    });
    let wrong = on(Outside, |app| {
        app.route_layer(hidden()).route_layer(trace())
    });
    for (server, shows) in [(right, false), (wrong, true)] {
        let log = Log::default();
        let run = async {
            let id = server.open().await;
            server.ping(&id).await;
            id
        };
        let id = run.with_subscriber(log.subscriber()).await;
        let log = log.text();
        assert!(log.contains("mcp-session-id"), "{log}");
        assert_eq!(log.contains(&id), shows, "{log}");
    }
}

#[tokio::test]
async fn bodies_of_other_types_pass_through_layers_on_both_sides() {
    let guard = SessionGuardLayer::new();
    let sessions = guard.sessions();
    let minute = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, MINUTE);
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(minute)
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(guard)
        .layer(RequestBodyLimitLayer::new(512))
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(minute)
        .service_fn(foreign::<Limited<Body>>);
    let gzip = "accept-encoding: gzip";

    // The opening is compressed only outside. An opening compressed inside could not be judged.
    let opening = with(gzip, carrying(None, Full::from(INITIALIZE)));
    let opened = service.clone().oneshot(opening).await.unwrap();
    assert_eq!(opened.headers()[CONTENT_ENCODING], "gzip");
    let id = opened.headers()["mcp-session-id"].to_str();
    let id = id.unwrap().to_owned();
    opened.into_body().collect().await.unwrap();

    let spaced = " { \"method\":\"ping\",\"id\" : 1,\n\"jsonrpc\":\"2.0\" } ";
    let call = || carrying(Some(&id), Full::from(spaced));
    let answer = service.clone().oneshot(call()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, spaced);
    let answer = service.clone().oneshot(with(gzip, call())).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body[..2], [0x1f, 0x8b]);

    let panics = Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"panic"}"#);
    let call = carrying(Some(&id), panics);
    let answer = service.clone().oneshot(call).await.unwrap();
    assert_eq!((answer.status().as_u16(), reason(&answer)), (500, None));

    // A streamed body larger than the outer limit: the guard reads it until the limit trips.
    let call = || {
        let texts = [PING.to_owned(), " ".repeat(600), " ".repeat(600)];
        let frames = texts.map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
        carrying(Some(&id), StreamBody::new(stream::iter(frames)))
    };
    let answer = service.clone().oneshot(call()).await.unwrap();
    let too_large = Some(RefusalReason::BodyTooLarge);
    assert_eq!(
        (answer.status().as_u16(), reason(&answer)),
        (413, too_large)
    );
    // A declared length: the outer limit answers by itself.
    let declared = with("content-length: 1025", call());
    let answer = service.clone().oneshot(declared).await.unwrap();
    assert_eq!((answer.status().as_u16(), reason(&answer)), (413, None));

    assert_eq!(sessions.get(&id).unwrap().in_flight(), 0);
}

#[tokio::test]
async fn cors_outside_answers_preflights_and_adds_its_headers_to_refusals() {
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(Any)
        .expose_headers([HeaderName::from_static("mcp-session-id")]);
    let guard = SessionGuardLayer::new();
    let server = TestServer::guarded(
        echoing().route_layer(guard.clone()).layer(cors),
        guard.sessions(),
    );

    let answer = server.ask(request(PREFLIGHT)).await;
    assert_eq!(answer.status, 200);
    let methods = &answer.headers["access-control-allow-methods"];
    assert_eq!(methods, "GET,POST,DELETE");
    assert!(!answer.headers.contains_key("x-from"));

    for (origin, message, status) in [
        ("origin: http://localhost:5173", PING, 400),
        ("origin: http://localhost:5173", INITIALIZE, 200),
        // CORS allows this origin and the guard does not. An origin must be listed in both.
        ("origin: https://app.example", INITIALIZE, 403),
    ] {
        let answer = server.ask(with(origin, post(None, message))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let exposed = &answer.headers["access-control-expose-headers"];
        assert_eq!(exposed, "mcp-session-id");
    }
}

#[tokio::test]
async fn cors_inside_answers_preflights_of_allowed_pages_but_never_sees_refusals() {
    let of_no_session =
        AllowOrigin::predicate(|_, parts| !parts.headers.contains_key("mcp-session-id"));
    let cors = CorsLayer::new().allow_origin(of_no_session);
    let server = TestServer::around_app(SessionGuardLayer::new(), echoing().layer(cors));

    let answer = server.ask(request(PREFLIGHT)).await;
    assert_eq!(answer.status, 200);
    let allowed = &answer.headers["access-control-allow-origin"];
    assert_eq!(allowed, "http://localhost:5173");
    let foreign = PREFLIGHT.replace("http://localhost:5173", "https://evil.example");
    let answer = server.ask(request(&foreign)).await;
    assert_eq!(answer.status, 403);
    let headers = answer.headers;
    assert!(!headers.contains_key("access-control-allow-origin"));

    for (message, status, has_cors_headers) in [(PING, 400, false), (INITIALIZE, 200, true)] {
        let answer = server
            .ask(with("origin: http://localhost", post(None, message)))
            .await;
        assert_eq!(answer.status, status);
        let has = answer.headers.contains_key("access-control-allow-origin");
        assert_eq!(has, has_cors_headers);
    }
}

/// An endpoint that answers `initialize`, and echoes anything else.
fn echoing() -> Router {
    Router::new().route("/mcp", any(foreign::<Body>))
}

fn carrying<B>(session: Option<&str>, body: B) -> http::Request<B> {
    post(session, "").map(|_| body)
}

fn with<B>(header: &str, mut request: http::Request<B>) -> http::Request<B> {
    let (name, value) = header.split_once(": ").unwrap();
    let name: HeaderName = name.parse().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn reason<B>(response: &http::Response<B>) -> Option<RefusalReason> {
    response.extensions().get().map(Refusal::reason)
}
