//! Messages, requests and fixed answers that many tests use.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, Method, Request, Version};

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1.0"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// A call, and the error that answers it when its session ends.
pub const CALL: &str = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call"}"#;
pub const ENDED: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":"c1"}"#;
pub const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;
/// An id in the guard's format that names no session.
pub const UNKNOWN: &str = "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c";
pub const PREFLIGHT: &str = "OPTIONS /mcp\nhost: localhost\norigin: http://localhost:5173\nmcp-session-id: x\nmcp-session-id: y\naccess-control-request-method: POST";

pub fn post(session: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/mcp")
        .header("host", "localhost:8000")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(body.into()).unwrap()
}

pub fn bodiless(method: Method, session: Option<&str>) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("host", "localhost");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(Body::empty()).unwrap()
}

/// A GET of a session's stream. With `last_event`, it resumes after that event.
pub fn get(session: &str, last_event: Option<&str>) -> Request<Body> {
    let request = bodiless(Method::GET, Some(session));
    match last_event {
        Some(event) => with(&format!("last-event-id: {event}"), request),
        None => request,
    }
}

/// The same request with one more header field, given as `name: value`.
pub fn with<B>(field: &str, mut request: Request<B>) -> Request<B> {
    let (name, value) = field.split_once(": ").unwrap();
    let name: HeaderName = name.parse().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// The same answer with one more header field, given as `name: value`.
pub fn answer_with(field: &str, mut response: Response) -> Response {
    let (name, value) = field.split_once(": ").unwrap();
    let name: HeaderName = name.parse().unwrap();
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

/// Parses a request written like HTTP/1: request line, headers, an empty line, the body.
pub fn request(text: &str) -> Request<Body> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines().map(str::trim);
    let mut line = lines.next().unwrap().split(' ');
    let mut request = Request::builder()
        .method(line.next().unwrap())
        .uri(line.next().unwrap());
    request = request.version(match line.next() {
        Some("HTTP/2") => Version::HTTP_2,
        Some("HTTP/1.0") => Version::HTTP_10,
        _ => Version::HTTP_11,
    });
    for header in lines.filter(|line| !line.is_empty()) {
        let (name, value) = header.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
