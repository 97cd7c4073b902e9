//! Shared by the benches: the handler, the guards around it, requests, medians.
//!
//! A bench prints its measurements to stderr, and its rows of the README's table to stdout.
#![allow(dead_code, unreachable_pub, clippy::disallowed_types)] // each bench uses only a part

pub mod hand_written;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use mcp_session_guard::SessionGuardLayer;
use tower::ServiceExt;
use tower::layer::util::Identity;

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1.0"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub const OPENED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1.0"}}}"#;
pub const ANSWER: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hello"}]}}"#;
/// One event of a stream.
pub const FRAME: &[u8] = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":7,\"progress\":1}}\n\n";
/// An id that no guard has issued.
pub const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// A tool call of `bytes` bytes. Most of it is one string.
pub fn call(bytes: usize) -> Bytes {
    let start = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"times":[1,2,3],"text":""#;
    let end = r#""}}}"#;
    let text = "hello world ".repeat(bytes / 12 + 1);
    let text = &text[..bytes - start.len() - end.len()];
    [start, text, end].concat().into()
}

/// The MCP server behind every candidate: it reads the body and answers at once.
pub async fn answer(
    State(Shared): State<Shared>,
    method: Method,
    body: Bytes,
) -> impl IntoResponse + use<> {
    let is_opening = method == Method::POST && body.len() == INITIALIZE.len();
    let answer = if is_opening { OPENED } else { ANSWER };
    ([(CONTENT_TYPE, "application/json")], answer)
}

/// Stands for the state that every real server has.
#[derive(Clone)]
pub struct Shared;

pub fn bare() -> Router {
    Router::new().route("/mcp", any(answer)).with_state(Shared)
}

pub fn identity() -> Router {
    Router::new()
        .route("/mcp", any(answer))
        .layer(Identity::new())
        .with_state(Shared)
}

pub fn guarded(guard: SessionGuardLayer) -> Router {
    Router::new()
        .route("/mcp", any(answer))
        .route_layer(guard)
        .with_state(Shared)
}

/// The handler that `initialize` is compared with: it creates an id and stores nothing.
pub fn new_id_only() -> Router {
    async fn new_id(State(Shared): State<Shared>, _body: Bytes) -> impl IntoResponse {
        let id = uuid::Uuid::new_v4().to_string();
        let json = (CONTENT_TYPE.as_str(), "application/json".to_owned());
        ([json, ("mcp-session-id", id)], OPENED)
    }
    Router::new().route("/mcp", any(new_id)).with_state(Shared)
}

/// Answers with an event stream of `frames` frames, and `initialize` with a result at once.
pub fn streaming(frames: usize) -> Router<Shared> {
    let stream = async move |State(Shared): State<Shared>, body: Bytes| {
        if body.len() == INITIALIZE.len() {
            return ([(CONTENT_TYPE, "application/json")], Body::from(OPENED));
        }
        let frames = (0..frames).map(|_| Ok::<_, Infallible>(Bytes::from_static(FRAME)));
        let body = Body::from_stream(stream::iter(frames));
        ([(CONTENT_TYPE, "text/event-stream")], body)
    };
    Router::new().route("/mcp", any(stream))
}

/// A guard with this session limit.
pub fn guard(max_sessions: usize) -> SessionGuardLayer {
    SessionGuardLayer::builder()
        .max_sessions(max_sessions)
        .build()
        .expect("a valid limit")
}

/// A request with the headers of the official clients.
pub fn request(method: &Method, session: Option<&str>, body: Bytes) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("host", "localhost:8000")
        .header("accept", "application/json, text/event-stream")
        .header("user-agent", "bench/1.0");
    if let Some(id) = session {
        request = request
            .header("mcp-session-id", id)
            .header("mcp-protocol-version", "2025-11-25");
    }
    if *method == Method::POST {
        request = request
            .header("content-type", "application/json")
            .header("content-length", body.len());
    }
    request.body(Body::from(body)).expect("a valid request")
}

pub fn post(session: Option<&str>, body: impl Into<Bytes>) -> Request<Body> {
    request(&Method::POST, session, body.into())
}

/// Sends a request like a connection does, to a clone of the app, and reads the whole answer.
pub async fn send(app: &Router, request: Request<Body>) -> StatusCode {
    let response = app.clone().oneshot(request).await.expect("infallible");
    let status = response.status();
    read(response).await;
    status
}

/// Reads the answer frame by frame without storing it, and counts the bytes.
pub async fn read(response: Response) -> usize {
    use http_body_util::BodyExt;
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// Opens a session and returns its id.
pub async fn open(app: &Router) -> String {
    let opening = post(None, INITIALIZE);
    let response = app.clone().oneshot(opening).await.expect("infallible");
    let id = response.headers()["mcp-session-id"].to_str();
    let id = id.expect("an id is ASCII").to_owned();
    read(response).await;
    id
}

/// Opens a session and sends `notifications/initialized`, as clients do.
pub async fn open_and_use(app: &Router) -> String {
    let id = open(app).await;
    let status = send(app, post(Some(&id), INITIALIZED)).await;
    assert!(status.is_success(), "{status}");
    id
}

/// A candidate: its name, and a function that runs it a number of times.
pub type Candidate<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

/// Runs the candidates in turns, prints the median time of one run of each, and returns the medians
/// in nanoseconds.
pub fn in_turns(what: &str, runs: usize, candidates: &mut [Candidate<'_>]) -> Vec<f64> {
    let mut taken = vec![Vec::new(); candidates.len()];
    for round in 0..=ROUNDS {
        for ((_, run), taken) in candidates.iter_mut().zip(&mut taken) {
            let start = Instant::now();
            run(runs);
            let elapsed = nanos(start.elapsed()) / runs as f64;
            // The first round warms up.
            if round > 0 {
                taken.push(elapsed);
            }
        }
    }
    let medians: Vec<_> = taken.into_iter().map(median).collect();
    eprintln!("{what}");
    for ((name, _), median) in candidates.iter().zip(&medians) {
        let ratio = median / medians[0];
        eprintln!("  {name:<24} {median:>12.0} ns  {ratio:>6.2}");
    }
    medians
}

const ROUNDS: usize = 15;

pub fn micros(nanos: f64) -> String {
    format!("{:.2} µs", nanos / 1000.0)
}

pub fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

pub fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

pub fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// Prints a row of the README's table: this crate, the hand-written guard, others.
pub fn row(measure: &str, ours: &str, hand_written: &str, others: &str) {
    println!("| {measure} | {ours} | {hand_written} | {others} |");
}

/// The resident memory of a process in bytes.
pub fn resident(process: &str) -> u64 {
    let path = format!("/proc/{process}/statm");
    let statm = std::fs::read_to_string(path).expect("Linux reports it");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the second figure is a number");
    pages * 4096
}

/// A runtime on this thread alone.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
