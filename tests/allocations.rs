//! Heap allocations that the guard adds to a layer that does nothing.
#![allow(unsafe_code)] // an allocator cannot be written without it

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::stream;
use http::Method;
use mcp_session_guard::SessionGuardLayer;
use tower::{Service, ServiceExt};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: both functions pass their arguments unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello","times":[1,2,3],"deep":{"a":1}}}}"#;

async fn answer(State(_): State<&'static str>, request: Request) -> Response {
    let accepts = request.headers().get("accept");
    let is_stream = accepts.is_some_and(|accept| accept == "text/event-stream");
    if is_stream {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let mut response = Response::new(body);
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", kind);
        return response;
    }
    let mut response = Response::new(Body::from(RESULT));
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}

fn router() -> Router<&'static str> {
    Router::new().route("/mcp", any(answer))
}

fn request(method: &Method, session: &str, accept: &'static str) -> Request {
    let request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("host", "localhost:8000")
        .header("accept", accept)
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-11-25");
    if *method != Method::POST {
        return request.body(Body::empty()).unwrap();
    }
    request
        .header("content-type", "application/json")
        .header("content-length", CALL.len())
        .body(Body::from(CALL))
        .unwrap()
}

/// The number of allocations of one request, after two requests have warmed everything up.
async fn count(app: &mut Router, method: &Method, session: &str, accept: &'static str) -> usize {
    let mut counted = 0;
    for _ in 0..3 {
        let request = request(method, session, accept);
        let before = COUNT.get();
        let response = app
            .as_service()
            .ready()
            .await
            .unwrap()
            .call(request)
            .await
            .unwrap();
        counted = COUNT.get() - before;
        assert_eq!(response.status(), 200);
    }
    counted
}

#[tokio::test]
async fn the_hot_path_adds_only_the_allocations_it_needs() {
    let mut bare = router()
        .layer(tower::layer::util::Identity::new())
        .with_state("");
    let mut guarded = router().layer(SessionGuardLayer::new()).with_state("");

    let mut opening = request(&Method::POST, "", "application/json");
    *opening.body_mut() = Body::from(INITIALIZE);
    opening.headers_mut().remove("content-length");
    let opened = guarded
        .as_service()
        .ready()
        .await
        .unwrap()
        .call(opening)
        .await
        .unwrap();
    let id = opened.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    axum::body::to_bytes(opened.into_body(), usize::MAX)
        .await
        .unwrap();

    let mut added = Vec::new();
    for (method, accept) in [
        (Method::GET, "application/json"),
        (Method::GET, "text/event-stream"),
        (Method::POST, "application/json"),
        (Method::POST, "text/event-stream"),
    ] {
        let without = count(&mut bare, &method, &id, accept).await;
        let with = count(&mut guarded, &method, &id, accept).await;
        println!("{method} {accept}: {without} without, {with} with the guard");
        added.push(with - without);
    }
    // The handle in the extensions and the table of extensions; for POST also the replaced body;
    // for an event stream one more.
    assert_eq!(added, [2, 3, 3, 4]);
}
