//! The fields and bodies that pass a gateway, and the answers to clients when the upstream server
//! fails.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use client_tests::Server;
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use reqwest::{Client, RequestBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"ping-1","method":"ping"}"#;
const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"asked-by-the-server","result":{}}"#;
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;
/// The id that the upstream gives its sessions.
const INNER: &str = "known-inside-alone";
/// Longer than any step of these tests takes.
const LIMIT: Duration = Duration::from_secs(30);

/// A gateway, a client with a session there, and the upstream's view of it.
struct Scene {
    gateway: Server,
    http: Client,
    id: String,
    seen: UnboundedReceiver<Seen>,
    /// The events of the upstream's event stream. `None` breaks it off.
    events: UnboundedSender<Option<&'static str>>,
}

#[derive(Debug)]
enum Seen {
    Request(Box<Parts>, Bytes),
    /// The gateway stopped waiting for the answer.
    Left,
}

impl Scene {
    /// Opens a session through a gateway with these arguments.
    async fn open(arguments: &[&str]) -> Self {
        let (see, seen) = mpsc::unbounded_channel();
        let (events, outgoing) = mpsc::unbounded_channel();
        let upstream = Upstream {
            see,
            outgoing: Arc::new(Mutex::new(outgoing)),
        };
        let app = Router::new()
            .route("/mcp", any(answer))
            .with_state(upstream);
        let (listener, url) = listen().await;
        tokio::spawn(async { axum::serve(listener, app).await });
        let mut scene = Self {
            gateway: Server::start("gateway", &[&[&*url], arguments].concat()),
            http: Client::new(),
            id: String::new(),
            seen,
            events,
        };
        scene.id = scene.initialize().await;
        scene
    }

    async fn initialize(&mut self) -> String {
        let request = self.http.post(self.gateway.url());
        let request = request.header("content-type", "application/json");
        let opened = request
            .body(INITIALIZE)
            .send()
            .await
            .expect("an answer comes");
        let id = &opened.headers()["mcp-session-id"];
        let id = id.to_str().expect("ids are text").to_owned();
        assert_eq!(opened.text().await.expect("the answer is text"), RESULT);
        let (opening, _) = self.request().await;
        assert!(!opening.headers.contains_key("mcp-session-id"));
        id
    }

    /// A request in the session that makes the upstream do `what`.
    fn ask(&self, method: Method, what: &str) -> RequestBuilder {
        let request = self.http.request(method, self.gateway.url());
        let request = request.header("content-type", "application/json");
        request
            .header("mcp-session-id", &self.id)
            .header("x-do", what)
    }

    fn post(&self, what: &str, body: &'static str) -> RequestBuilder {
        self.ask(Method::POST, what).body(body)
    }

    /// The next request that reaches the upstream.
    async fn request(&mut self) -> (Box<Parts>, Bytes) {
        match timeout(LIMIT, self.seen.recv()).await {
            Ok(Some(Seen::Request(parts, body))) => (parts, body),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the upstream notices that the gateway no longer waits for its answer.
    async fn left(&mut self) {
        match timeout(LIMIT, self.seen.recv()).await {
            Ok(Some(Seen::Left)) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Checks that no other request has reached the upstream.
    fn nothing_more(&mut self) {
        let more = self.seen.try_recv();
        assert!(more.is_err(), "{more:?}");
    }
}

/// The answer, whose body may still be incomplete.
async fn begun(request: RequestBuilder) -> reqwest::Response {
    let response = timeout(LIMIT, request.send()).await.expect("in time");
    response.expect("an answer comes")
}

/// The status, headers and text of the answer.
async fn sent(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let response = begun(request).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (
        status,
        headers,
        response.text().await.expect("the answer is text"),
    )
}

#[derive(Clone)]
struct Upstream {
    see: UnboundedSender<Seen>,
    outgoing: Arc<Mutex<UnboundedReceiver<Option<&'static str>>>>,
}

/// Sends `Seen::Left` on drop.
struct Leaving(UnboundedSender<Seen>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.0.send(Seen::Left);
    }
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .expect("the body is complete");
    let is_opening = body == INITIALIZE;
    let what = parts.headers.get("x-do").cloned();
    let _ = upstream.see.send(Seen::Request(Box::new(parts), body));
    let response = Response::builder().header("content-type", "application/json");
    let response = match what.as_ref().map(http::HeaderValue::as_bytes) {
        Some(b"nothing") => {
            let _leaving = Leaving(upstream.see);
            std::future::pending().await
        }
        Some(b"stream") => {
            let leaving = Leaving(upstream.see);
            let outgoing = upstream.outgoing.lock_owned().await;
            let events = stream::unfold((outgoing, leaving), async |(mut outgoing, leaving)| {
                let event = outgoing.recv().await?;
                let event = event.map(Bytes::from).ok_or(io::ErrorKind::BrokenPipe);
                Some((event, (outgoing, leaving)))
            });
            let events = events.map(|event| event.map_err(io::Error::from));
            let response = Response::builder().header("content-type", "text/event-stream");
            response.body(Body::from_stream(events))
        }
        Some(b"forget") => response.status(404).body("Unknown session".into()),
        Some(b"nowhere") => response.status(404).body("Not Found".into()),
        Some(b"refuse") => response.status(405).body(Body::empty()),
        Some(b"hop") => response
            .header("connection", "x-for-the-gateway")
            .header("x-for-the-gateway", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("upgrade", "h2c")
            .header("x-for-the-client", "1")
            .header("mcp-session-id", INNER)
            .body("{}".into()),
        _ if is_opening => response.header("mcp-session-id", INNER).body(RESULT.into()),
        _ => response.body("{}".into()),
    };
    response.expect("the response is valid")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("the listener has an address");
    (listener, format!("http://{address}/mcp"))
}

/// Sends an `initialize` that opens no session. Returns the status and text of the answer.
async fn opening_behind(gateway: &Server) -> (u16, String) {
    let request = Client::new().post(gateway.url()).body(INITIALIZE);
    let request = request.header("content-type", "application/json");
    let (status, headers, text) = sent(request).await;
    assert!(!headers.contains_key("mcp-session-id"));
    (status, text)
}

fn error(text: &str, id: &str) -> String {
    let text = format!("The server behind the gateway {text}");
    format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32603,"message":"{text}"}},"id":{id}}}"#)
}

#[tokio::test]
async fn the_upstreams_id_stays_inside_and_the_guards_id_outside() {
    let mut scene = Scene::open(&[]).await;
    for request in [
        scene.post("hop", PING),
        scene.ask(Method::GET, "hop"),
        scene.ask(Method::DELETE, "hop"),
    ] {
        let (status, headers, _) = sent(request).await;
        assert!(status < 300, "{status}");
        assert!(!headers.contains_key("mcp-session-id"));
        let (inward, _) = scene.request().await;
        let ids: Vec<_> = inward.headers.get_all("mcp-session-id").iter().collect();
        assert_eq!(ids, [INNER]);
    }
    scene.nothing_more();
}

#[tokio::test]
async fn hop_by_hop_fields_are_not_forwarded() {
    let mut scene = Scene::open(&[]).await;
    let request = scene
        .post("hop", PING)
        .header("connection", "x-for-the-gateway, te")
        .header("x-for-the-gateway", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic secret")
        .header("te", "trailers")
        .header("upgrade", "h2c")
        .header("x-for-the-server", "1");
    let (status, outward, text) = sent(request).await;
    assert_eq!((status, &*text), (200, "{}"));
    let (inward, body) = scene.request().await;
    assert_eq!(body, PING);
    for name in [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-for-the-gateway",
    ] {
        assert!(!inward.headers.contains_key(name), "inward: {name}");
        assert!(!outward.contains_key(name), "outward: {name}");
    }
    assert_eq!(inward.headers["x-for-the-server"], "1");
    assert_eq!(outward["x-for-the-client"], "1");
}

#[tokio::test]
async fn the_upstream_sees_its_own_host_and_the_query() {
    let mut scene = Scene::open(&[]).await;
    let url = format!("{}?key=1", scene.gateway.url());
    let request = scene.http.post(&url).body(PING).version(Version::HTTP_10);
    let request = request
        .header("content-type", "application/json")
        .header("host", "localhost")
        .header("mcp-session-id", &scene.id);
    assert_eq!(sent(request).await.0, 200);
    let (inward, _) = scene.request().await;
    assert_eq!(inward.uri, "/mcp?key=1");
    let host = inward.headers["host"].to_str().expect("the host is text");
    assert!(host.starts_with("127.0.0.1:"), "{host}");
    assert!(
        !scene.gateway.url().contains(host),
        "the host is not the gateway's"
    );
}

#[tokio::test]
async fn a_client_may_speak_http_2() {
    let mut scene = Scene::open(&[]).await;
    let http = Client::builder().http2_prior_knowledge().build();
    scene.http = http.expect("a client");
    let (status, _, text) = sent(scene.post("echo", PING)).await;
    assert_eq!((status, &*text), (200, "{}"));
    let (inward, body) = scene.request().await;
    assert_eq!(
        (inward.version, &*body),
        (Version::HTTP_11, PING.as_bytes())
    );
}

#[tokio::test]
async fn refused_requests_never_reach_the_upstream() {
    let mut scene = Scene::open(&[]).await;
    let (status, _, text) = sent(
        scene
            .http
            .post(scene.gateway.url())
            .header("content-type", "application/json")
            .body(PING),
    )
    .await;
    let missing = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Bad Request: Missing session ID"},"id":"ping-1"}"#;
    assert_eq!((status, &*text), (400, missing));

    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#;
    let evil = "https://evil.example";
    for (request, expected) in [
        (scene.post("echo", twice), 400),
        (scene.post("echo", INITIALIZE), 400),
        (
            scene.post("echo", PING).header("mcp-session-id", "other"),
            400,
        ),
        (scene.post("echo", PING).header("host", "evil.example"), 403),
        (scene.post("echo", PING).header("origin", evil), 403),
        (scene.ask(Method::PUT, "echo"), 405),
        (scene.ask(Method::OPTIONS, "echo").body(PING), 405),
        (
            scene
                .ask(Method::OPTIONS, "echo")
                .header("origin", evil)
                .header("access-control-request-method", "POST")
                .body(PING),
            403,
        ),
    ] {
        assert_eq!(sent(request).await.0, expected);
    }
    for id in ["unknown", INNER] {
        scene.id = id.to_owned();
        for (method, body) in [
            (Method::POST, PING),
            (Method::GET, ""),
            (Method::DELETE, ""),
        ] {
            let (status, _, text) = sent(scene.ask(method, "echo").body(body)).await;
            assert_eq!((status, &*text), (404, NOT_FOUND));
        }
    }
    scene.nothing_more();
}

#[tokio::test]
async fn only_a_post_carries_a_body_to_the_upstream() {
    let mut scene = Scene::open(&[]).await;
    let preflight = scene
        .ask(Method::OPTIONS, "echo")
        .header("origin", "http://localhost:5173")
        .header("access-control-request-method", "POST");
    for request in [preflight, scene.ask(Method::GET, "echo")] {
        let (status, headers, _) = sent(request.body(PING)).await;
        assert_eq!(status, 200);
        assert!(!headers.contains_key("mcp-session-id"));
        let (parts, body) = scene.request().await;
        assert!(body.is_empty());
        for name in ["content-length", "content-type", "transfer-encoding"] {
            assert!(!parts.headers.contains_key(name), "{name}: {parts:?}");
        }
        // No rest of that body is read as the next request.
        assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
        let (parts, body) = scene.request().await;
        assert_eq!((parts.method, &*body), (Method::POST, PING.as_bytes()));
    }
    scene.nothing_more();
}

#[tokio::test]
async fn the_upstream_sees_one_version_and_no_other_spelling_of_mcp_fields() {
    let mut scene = Scene::open(&[]).await;
    for method in [Method::POST, Method::GET] {
        let request = scene
            .ask(method, "echo")
            .header("mcp-protocol-version", "2025-11-25, 2025-11-25")
            .header("mcp_session_id", "x")
            .body(PING);
        assert_eq!(sent(request).await.0, 200);
        let (parts, _) = scene.request().await;
        let versions = parts.headers.get_all("mcp-protocol-version");
        assert!(versions.iter().eq(["2025-11-25"]));
        assert!(!parts.headers.contains_key("mcp_session_id"));
    }
}

#[tokio::test]
async fn an_upstream_without_a_route_for_get_keeps_its_session() {
    let mut scene = Scene::open(&[]).await;
    let (status, headers, _) = sent(scene.ask(Method::GET, "nowhere")).await;
    assert_eq!(
        (status, &headers["allow"]),
        (405, &"POST, DELETE".parse().expect("a value"))
    );
    scene.request().await;
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
    assert_eq!(scene.request().await.0.headers["mcp-session-id"], INNER);
}

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let mut scene = Scene::open(&[]).await;
    for request in [scene.post("stream", PING), scene.ask(Method::GET, "stream")] {
        let mut stream = begun(request).await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            // The second event is sent only after the first was read.
            scene.events.send(Some(event)).expect("the stream is open");
            let seen = timeout(LIMIT, stream.chunk()).await.expect("in time");
            assert_eq!(
                seen.expect("the stream is open")
                    .expect("the stream has not ended"),
                event
            );
        }
        drop(stream);
        let _ = scene.request().await;
        scene.left().await;
    }
}

#[tokio::test]
async fn the_upstream_notices_a_client_that_leaves() {
    let mut scene = Scene::open(&[]).await;
    let waiting = tokio::spawn(scene.post("nothing", PING).send());
    let _ = scene.request().await;
    waiting.abort();
    scene.left().await;

    for request in [scene.post("stream", PING), scene.ask(Method::GET, "stream")] {
        let stream = begun(request).await;
        let _ = scene.request().await;
        scene.nothing_more();
        drop(stream);
        scene.left().await;
    }
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_502_with_the_requests_id() {
    let (listener, url) = listen().await;
    drop(listener);
    let gateway = Server::start("gateway", &[&url]);
    let expected = error("cannot be reached", "0");
    assert_eq!(opening_behind(&gateway).await, (502, expected));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_it_answers_is_a_502_with_the_requests_id() {
    let (gateway, _) = gateway_to_one_answer("").await;
    let expected = error("cannot be reached", "0");
    assert_eq!(opening_behind(&gateway).await, (502, expected));
}

#[tokio::test]
async fn an_upstream_may_speak_http_1_0() {
    let text = "HTTP/1.0 500 No\r\nContent-Type: text/plain\r\n\r\nto the end";
    let (gateway, _) = gateway_to_one_answer(text).await;
    let request = Client::new().post(gateway.url()).body(INITIALIZE);
    let response = begun(request.header("content-type", "application/json")).await;
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (500, Version::HTTP_11)
    );
    assert_eq!(
        response.text().await.expect("the answer is text"),
        "to the end"
    );
}

/// A gateway to an upstream that answers every request with the same bytes and closes the
/// connection.
async fn gateway_to_one_answer(text: &'static str) -> (Server, tokio::task::JoinHandle<()>) {
    let (listener, url) = listen().await;
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (Server::start("gateway", &[&url]), task)
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_a_504_and_its_request_is_cancelled() {
    let mut scene = Scene::open(&["1"]).await;
    let text = "does not answer";
    for (request, expected) in [
        (scene.post("nothing", PING), error(text, r#""ping-1""#)),
        (scene.post("nothing", NOTIFICATION), error(text, "null")),
        (scene.post("nothing", RESPONSE), error(text, "null")),
        (
            scene.ask(Method::GET, "nothing"),
            format!("The server behind the gateway {text}"),
        ),
    ] {
        let (status, _, text) = sent(request).await;
        assert_eq!((status, text), (504, expected));
        let _ = scene.request().await;
        scene.left().await;
    }
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
}

#[tokio::test]
async fn a_stream_that_breaks_off_upstream_breaks_off_outside_and_the_session_lives() {
    let scene = Scene::open(&[]).await;
    for request in [scene.post("stream", PING), scene.ask(Method::GET, "stream")] {
        let mut stream = begun(request).await;
        scene
            .events
            .send(Some("data: 1\n\n"))
            .expect("the stream is open");
        let seen = timeout(LIMIT, stream.chunk()).await.expect("in time");
        assert_eq!(
            seen.expect("the stream is open")
                .expect("the stream has not ended"),
            "data: 1\n\n"
        );
        scene.events.send(None).expect("the stream is open");
        let rest = timeout(LIMIT, stream.chunk()).await.expect("in time");
        rest.expect_err("the end is not clean");
    }
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
}

#[tokio::test]
async fn a_session_lost_by_the_upstream_is_404_and_a_new_one_opens() {
    let mut scene = Scene::open(&[]).await;
    let (status, _, text) = sent(scene.post("forget", PING)).await;
    assert_eq!((status, &*text), (404, NOT_FOUND));
    let _ = scene.request().await;
    let (status, _, text) = sent(scene.post("echo", PING)).await;
    assert_eq!((status, &*text), (404, NOT_FOUND));
    // The guard sends no DELETE, because the upstream itself has reported the end.
    scene.nothing_more();
    scene.id = scene.initialize().await;
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
}

#[tokio::test]
async fn a_delete_reaches_the_upstream_which_may_refuse_it() {
    let mut scene = Scene::open(&[]).await;
    for (what, expected) in [("refuse", 405), ("echo", 204), ("echo", 404)] {
        let (status, ..) = sent(scene.ask(Method::DELETE, what)).await;
        assert_eq!(status, expected);
    }
    for _ in 0..2 {
        let (inward, _) = scene.request().await;
        assert_eq!(inward.method, Method::DELETE);
        assert_eq!(inward.headers["mcp-session-id"], INNER);
    }
    scene.nothing_more();
}

#[tokio::test]
async fn a_call_whose_session_ends_gets_a_last_event_and_its_upstream_request_is_cancelled() {
    let mut scene = Scene::open(&[]).await;
    let mut stream = begun(scene.post("stream", PING)).await;
    scene
        .events
        .send(Some("data: 1\n\n"))
        .expect("the stream is open");
    let seen = timeout(LIMIT, stream.chunk()).await.expect("in time");
    assert_eq!(
        seen.expect("the stream is open")
            .expect("the stream has not ended"),
        "data: 1\n\n"
    );
    let _ = scene.request().await;
    assert_eq!(sent(scene.ask(Method::DELETE, "echo")).await.0, 204);
    let _ = scene.request().await;
    scene.left().await;
    let rest = timeout(LIMIT, stream.text()).await.expect("in time");
    let ended =
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":"ping-1"}"#;
    assert_eq!(
        rest.expect("the end is clean"),
        format!("data: {ended}\n\n")
    );
}

#[tokio::test]
async fn the_upstream_gets_an_inner_delete_when_an_idle_session_ends() {
    let mut scene = Scene::open(&["300", "1"]).await;
    assert_eq!(sent(scene.post("echo", PING)).await.0, 200);
    let _ = scene.request().await;
    let (delete, _) = scene.request().await;
    assert_eq!(
        (delete.method, delete.uri),
        (Method::DELETE, "/mcp".parse().unwrap())
    );
    assert_eq!(delete.headers["mcp-session-id"], INNER);
    assert_eq!(
        sent(scene.post("echo", PING)).await.0,
        StatusCode::NOT_FOUND
    );
    scene.nothing_more();
}
