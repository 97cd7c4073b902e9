//! Requests that no client sends, and their answers byte for byte.

use std::fmt::Write;

use http::{HeaderName, Method};
use reqwest::{Client, Response};
use serde_json::Value;

/// Sends its own requests, beside the official clients.
#[derive(Clone, Debug)]
pub struct Raw {
    http: Client,
    url: String,
    token: Option<&'static str>,
}

/// The four requests that may name a session.
pub const IN_A_SESSION: [(Method, Option<&str>); 4] = [
    (Method::POST, None),
    (Method::GET, None),
    (Method::GET, Some("0")),
    (Method::DELETE, None),
];

impl Raw {
    /// A client of `url` with this bearer token.
    #[must_use]
    pub fn new(url: &str, token: Option<&'static str>) -> Self {
        Self {
            http: Client::new(),
            url: url.to_owned(),
            token,
        }
    }

    /// Sends a request, with `Last-Event-ID` if given. A POST carries a ping.
    ///
    /// # Panics
    ///
    /// If no answer comes.
    pub async fn send(&self, method: &Method, id: &str, last_event: Option<&str>) -> Response {
        let body = match *method {
            Method::POST => r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            _ => "",
        };
        let mut headers = vec![("mcp-session-id", id)];
        headers.extend(last_event.map(|id| ("last-event-id", id)));
        self.request(method.clone(), &self.url, &headers, body)
            .await
    }

    /// Opens a session.
    pub async fn initialize(&self) -> Response {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#;
        self.request(Method::POST, &self.url, &[], body).await
    }

    /// Opens a session, sends `notifications/initialized`, and returns the id.
    ///
    /// # Panics
    ///
    /// If no session opens.
    pub async fn open(&self) -> String {
        let opened = self.initialize().await;
        let id = opened.headers().get("mcp-session-id").cloned();
        let id = id.expect("a session opens");
        let id = id.to_str().expect("ids are text").to_owned();
        // Read the whole answer: the guard abandons a session whose answer is not taken.
        opened.bytes().await.expect("the answer is whole");
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let headers = [("mcp-session-id", &*id)];
        let ready = self.request(Method::POST, &self.url, &headers, body).await;
        assert_eq!(ready.status(), 202);
        id
    }

    /// POSTs to another path of the server.
    ///
    /// # Panics
    ///
    /// If no answer comes.
    pub async fn post_to(&self, path: &str) -> Response {
        let url = self.url.replace("/mcp", path);
        self.request(Method::POST, &url, &[], "").await
    }

    async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &'static str,
    ) -> Response {
        let mut request = self
            .http
            .request(method, url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        request.send().await.expect("an answer comes")
    }
}

/// An answer as text: status, headers in their order except the date, body.
///
/// # Panics
///
/// If the body breaks off.
pub async fn as_text(answer: Response) -> String {
    let mut text = format!("{}\n", answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "date") {
        let _ = writeln!(text, "{name}: {value:?}");
    }
    text + &answer.text().await.expect("the answer is whole")
}

/// The body of an answer as JSON.
///
/// # Panics
///
/// If the body is not JSON.
pub async fn as_json(answer: Response) -> Value {
    let body = answer.bytes().await.expect("the answer is whole");
    serde_json::from_slice(&body).expect("the body is JSON")
}
