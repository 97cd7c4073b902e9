//! What the tests share: an inner service that records what reaches it, and a small client.
#![allow(dead_code, unreachable_pub, missing_docs)] // every test file uses its own part

pub mod client;
pub mod memory;
pub mod tally;

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use futures_util::stream;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use mcp_session_guard::{Era, McpMessage, McpSession, SessionGuardLayer, Sessions};
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing_subscriber::fmt::format::FmtSpan;

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1.0"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
pub const PREFLIGHT: &str = "OPTIONS /mcp\nhost: localhost\norigin: http://localhost:5173\nmcp-session-id: x\nmcp-session-id: y\naccess-control-request-method: POST";

/// A request as the inner service got it.
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

async fn answer(State(recorder): State<Recorder>, request: Request<Body>) -> Response {
    let seen = recorder.record(request).await;
    if seen.method != Method::POST {
        return Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::pending::<
                Result<Bytes, Infallible>,
            >()))
            .unwrap();
    }
    let message: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    match (message["method"].as_str(), message.get("id")) {
        (Some("initialize"), Some(id)) => json_response(200, &initialize_result(id)),
        (Some(_), Some(id)) => {
            json_response(200, &json!({"jsonrpc": "2.0", "id": id, "result": {}}))
        }
        _ => Response::builder().status(202).body(Body::empty()).unwrap(),
    }
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

pub fn json_response(status: u16, body: &Value) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// An inner service whose bodies are not axum's. Answers as [`echo`].
pub async fn foreign<B: HttpBody>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    Ok(echo(body.ok().expect("a whole body").to_bytes()))
}

/// A result for `initialize`, the very bytes for anything else; panics if the method is `panic`.
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

/// An inner service with session ids of its own.
pub async fn own_ids(request: Request<Body>) -> Response {
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut response = match &body[..] {
        b"" => Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::pending::<
                Result<String, Infallible>,
            >()))
            .unwrap(),
        _ if body == INITIALIZE => json_response(200, &initialize_result(&0.into())),
        _ => json_response(202, &Value::Null),
    };
    if body == INITIALIZE {
        let own = "an-inner-id-that-is-secret".parse().unwrap();
        response.headers_mut().insert("mcp-session-id", own);
    }
    response
}

/// A guarded endpoint at `/mcp`, spoken to in process.
#[derive(Clone)]
pub struct World {
    pub app: Router,
    pub sessions: Sessions,
    pub inner: Recorder,
}

impl World {
    /// A guard around a [`Recorder`].
    pub fn new(guard: SessionGuardLayer) -> Self {
        let inner = Recorder::default();
        let sessions = guard.sessions();
        let app = Router::new()
            .route("/mcp", any(answer))
            .route_layer(guard)
            .with_state(inner.clone());
        Self {
            app,
            sessions,
            inner,
        }
    }

    /// A guard around any inner service.
    pub fn around(guard: SessionGuardLayer, app: Router) -> Self {
        let sessions = guard.sessions();
        Self {
            app: app.layer(guard),
            sessions,
            inner: Recorder::default(),
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Sends and reads the answer whole.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        Answer::of(self.send(request).await).await
    }

    /// Opens a session and returns its id.
    pub async fn open(&self) -> String {
        let answer = self.ask(post(None, INITIALIZE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.headers["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Opens a session and uses it once, as clients do.
    pub async fn open_and_use(&self) -> String {
        let id = self.open().await;
        assert_eq!(self.ask(post(Some(&id), INITIALIZED)).await.status, 202);
        id
    }

    /// The status of a ping in a session.
    pub async fn ping(&self, id: &str) -> StatusCode {
        self.ask(post(Some(id), PING)).await.status
    }
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

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

/// A body whose bytes are not there at the first poll.
pub fn comes_late(text: &'static str) -> Body {
    Body::from_stream(stream::once(async move {
        tokio::task::yield_now().await;
        Ok::<_, io::Error>(text)
    }))
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

/// Reads a request written like HTTP/1: a line, headers, an empty line, the body.
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

/// Everything that is logged under its subscriber.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + 'static + use<> {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
