//! Inner services and the answers that they give.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Method, Request};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use mcp_session_guard::{Era, McpMessage, McpSession};
use serde_json::{Value, json};

use super::{INITIALIZE, body_of, silent};

/// A request as the inner service received it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub session: Option<McpSession>,
    pub message: Option<McpMessage>,
    pub era: Option<Era>,
}

/// An inner service that remembers every request and answers like a small MCP server.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Recorder {
    pub fn calls(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    async fn record(&self, request: Request<Body>) -> Seen {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            session: McpSession::from_extensions(&parts.extensions).cloned(),
            message: McpMessage::from_extensions(&parts.extensions).cloned(),
            era: Era::from_extensions(&parts.extensions).cloned(),
            method: parts.method,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        };
        self.0.lock().unwrap().push(seen.clone());
        seen
    }
}

/// Records a request and answers it. Every method but POST gets a silent stream.
pub async fn record(State(recorder): State<Recorder>, request: Request<Body>) -> Response {
    let seen = recorder.record(request).await;
    if seen.method != Method::POST {
        return respond(200, "text/event-stream", silent());
    }
    let message: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    match (message["method"].as_str(), message.get("id")) {
        (Some("initialize"), Some(id)) => json_response(200, &initialize_result(id)),
        (Some(_), Some(id)) => {
            json_response(200, &json!({"jsonrpc": "2.0", "id": id, "result": {}}))
        }
        _ => empty(202),
    }
}

/// An answer. An empty `content_type` leaves out the `Content-Type` field.
pub fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    if !content_type.is_empty() {
        response = response.header("content-type", content_type);
    }
    response.body(body.into()).unwrap()
}

pub fn empty(status: u16) -> Response {
    respond(status, "", Body::empty())
}

pub fn json_response(status: u16, body: &Value) -> Response {
    respond(status, "application/json", body.to_string())
}

/// An event stream of these frames.
pub fn event_stream<S>(frames: S) -> Response
where
    S: Stream<Item: Into<Bytes>> + Send + 'static,
{
    respond(200, "text/event-stream", body_of(frames))
}

/// An event stream of one comment, followed by silence.
pub fn hello_stream() -> Response {
    event_stream(stream::iter([": hello\n\n"]).chain(stream::pending()))
}

/// An event stream that carries nothing and never ends.
pub fn silent_stream() -> Response {
    respond(200, "text/event-stream", silent())
}

pub fn initialize_result(id: &Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "result": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "serverInfo": {"name": "recorder", "version": "1.0"},
        },
    })
}

/// The answer to `initialize` with the id 0.
pub fn opened() -> Response {
    json_response(200, &initialize_result(&json!(0)))
}

/// The same answer, with the inner service's own session id.
pub fn with_own_id(own: &str, mut response: Response) -> Response {
    let own = own.parse().unwrap();
    response.headers_mut().insert("mcp-session-id", own);
    response
}

/// An inner service whose body types are not axum's. It answers like [`echo`].
pub async fn foreign<B: HttpBody>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    Ok(echo(body.ok().expect("a whole body").to_bytes()))
}

/// Answers `initialize` with a result and anything else with the same bytes. Panics if the method
/// is `panic`.
pub fn echo(body: Bytes) -> Response<Full<Bytes>> {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let body = match message["method"].as_str() {
        Some("initialize") => initialize_result(&message["id"]).to_string().into(),
        Some("panic") => panic!("asked to"),
        _ => body,
    };
    Response::builder()
        .header("content-type", "application/json")
        .header("x-from", "mcp")
        .body(Full::new(body))
        .unwrap()
}

/// An inner service with its own session ids.
pub async fn own_ids(request: Request<Body>) -> Response {
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    match &body[..] {
        b"" => silent_stream(),
        _ if body == INITIALIZE => with_own_id("an-inner-id-that-is-secret", opened()),
        _ => json_response(202, &Value::Null),
    }
}
