//! Two guarded endpoints among the usual layers of a public server, over HTTP/1.1 and HTTP/2.

use std::collections::HashSet;

use client_tests::Server;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const PAGE: &str = "http://localhost:5173";

struct TestServer {
    _server: Server,
    base: String,
    client: Client,
}

impl TestServer {
    fn new(client: Client) -> Self {
        let server = Server::start("per_route", &[]);
        let base = server.url().strip_suffix("/mcp/tools").expect("its path");
        Self {
            base: base.to_owned(),
            _server: server,
            client,
        }
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let post = self
            .client
            .post(url)
            .header("content-type", "application/json");
        post.header("origin", PAGE).body(body)
    }

    fn authorized(&self, path: &str, body: &'static str) -> RequestBuilder {
        self.post(path, body).bearer_auth("alice-s-token")
    }
}

/// Sends a request, and checks that the page can read the answer and the log can identify it.
async fn send(request: RequestBuilder, status: u16) -> Response {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    assert!(answer.headers().contains_key("x-request-id"));
    answer
}

fn id(answer: &Response) -> String {
    let id = answer.headers()["mcp-session-id"].to_str();
    id.expect("ids are text").to_owned()
}

async fn result(answer: Response) -> Value {
    let body = answer.bytes().await.expect("a whole answer");
    serde_json::from_slice::<Value>(&body).expect("JSON")["result"].take()
}

async fn check_both_endpoints_and_the_routes_beside_them(client: Client) {
    let server = TestServer::new(client);
    let tools = id(&send(server.post("/mcp/tools", INITIALIZE), 200).await);
    let used = server
        .post("/mcp/tools", PING)
        .header("mcp-session-id", &tools);
    let used = result(send(used, 200).await).await;
    assert_eq!(used, json!({ "scope": "", "owner": null }));

    // The other endpoint requires an owner.
    let answer = send(server.post("/mcp/files", INITIALIZE), 401).await;
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let files = id(&send(server.authorized("/mcp/files", INITIALIZE), 200).await);
    let used = server
        .authorized("/mcp/files", PING)
        .header("mcp-session-id", &files);
    let used = result(send(used, 200).await).await;
    assert_eq!(used, json!({ "scope": "files", "owner": "alice" }));

    // An id of one endpoint is unknown at the other.
    let used = server
        .authorized("/mcp/files", PING)
        .header("mcp-session-id", &tools);
    send(used, 404).await;
    let used = server
        .post("/mcp/tools", PING)
        .header("mcp-session-id", &files);
    send(used, 404).await;

    // Two limits: the endpoint's own, and the outer layer's.
    send(server.post("/mcp/tools", " ".repeat(70_000)), 413).await;
    send(
        server
            .authorized("/mcp/files", PING)
            .body(" ".repeat(70_000)),
        400,
    )
    .await;
    send(
        server
            .authorized("/mcp/files", PING)
            .body(" ".repeat(1_100_000)),
        413,
    )
    .await;

    // Other routes and unknown paths are not guarded.
    let health = server
        .client
        .get(format!("{}/health", server.base))
        .send()
        .await
        .expect("an answer");
    assert_eq!(health.text().await.expect("a body"), r#"{"sessions":2}"#);
    let missing = server
        .client
        .get(format!("{}/missing", server.base))
        .send()
        .await
        .expect("an answer");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(missing.text().await.expect("a body"), "no such page");

    let preflight = server
        .client
        .request(Method::OPTIONS, format!("{}/mcp/files", server.base));
    let preflight = preflight
        .header("origin", PAGE)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "mcp-session-id,authorization",
        );
    send_preflight(preflight).await;

    let ended = server.client.delete(format!("{}/mcp/tools", server.base));
    let ended = ended
        .header("origin", PAGE)
        .header("mcp-session-id", &tools);
    send(ended, 204).await;
    let used = server
        .post("/mcp/tools", PING)
        .header("mcp-session-id", &tools);
    send(used, 404).await;

    // The rate limiter slows down guessing.
    let mut statuses = HashSet::new();
    for _ in 0..200 {
        let guess = server
            .post("/mcp/tools", PING)
            .header("mcp-session-id", "guess");
        let answer = guess.send().await.expect("an answer");
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
        statuses.insert(answer.status().as_u16());
    }
    assert_eq!(statuses, HashSet::from([404, 429]));
}

async fn send_preflight(request: RequestBuilder) {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let allowed = answer.headers()["access-control-allow-headers"].to_str();
    assert!(allowed.expect("text").contains("mcp-session-id"));
}

#[tokio::test]
async fn the_example_works_over_http_1() {
    // The outer limit answers without reading the body, so the connection cannot be reused.
    let client = Client::builder().pool_max_idle_per_host(0);
    let client = client.build().expect("a client");
    check_both_endpoints_and_the_routes_beside_them(client).await;
}

#[tokio::test]
async fn the_example_works_over_http_2() {
    let client = Client::builder().http2_prior_knowledge();
    let client = client.build().expect("a client");
    check_both_endpoints_and_the_routes_beside_them(client).await;
}
