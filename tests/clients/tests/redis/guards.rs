//! Guards in this process, each with its own connection to Redis, like guards on separate machines.

use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::store::{RedisStore, StoreOptions};
use mcp_session_guard::{Owner, SessionGuardBuilder, SessionGuardLayer};
use tokio::time::{Instant, sleep};

use crate::support::{INITIALIZE, INITIALIZED, TestServer, bodiless, post};

/// Long enough for a busy machine, and short enough to wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
pub(crate) const UNKNOWN: &str = "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c";
pub(crate) const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;

pub(crate) fn builder(url: &str) -> SessionGuardBuilder {
    SessionGuardLayer::builder()
        .store(options(url))
        .owner(|request: &Parts| {
            let name = request.headers.get("x-user").map(HeaderValue::to_str);
            Ok(name.transpose()?.map(Owner::new))
        })
}

pub(crate) fn options(url: &str) -> StoreOptions {
    let store = RedisStore::open(url).expect("the URL can be read");
    StoreOptions::new(store).lease(LEASE)
}

pub(crate) fn node(url: &str) -> TestServer {
    TestServer::new(builder(url).build().expect("the settings are valid"))
}

pub(crate) fn by(user: &'static str, mut request: Request<Body>) -> Request<Body> {
    let user = HeaderValue::from_static(user);
    request.headers_mut().insert("x-user", user);
    request
}

/// Opens a session for `user`, and uses it once.
pub(crate) async fn open_by(server: &TestServer, user: &'static str) -> String {
    let answer = server.ask(by(user, post(None, INITIALIZE))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.headers["mcp-session-id"].to_str().expect("text");
    let used = server.ask(by(user, post(Some(id), INITIALIZED))).await;
    assert_eq!(used.status, 202);
    id.to_owned()
}

/// Opens a GET stream.
pub(crate) async fn stream_of(server: &TestServer, id: &str) -> Body {
    let response = server.send(bodiless(Method::GET, Some(id))).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Returns whether a stream has ended cleanly.
pub(crate) fn is_over(body: &mut Body) -> bool {
    matches!(body.frame().now_or_never(), Some(None))
}

/// Polls until `is_so` returns true. Panics after 30 seconds, naming `what`.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < limit, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
