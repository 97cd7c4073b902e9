//! The official Rust client against every server, with the story of `clients.rs`.
#![allow(deprecated)] // a later revision removes logging; these servers speak earlier ones

use std::time::Duration;

use client_tests::watched::Watched;
use client_tests::{SERVERS, Server};
use http::StatusCode;
use rmcp::model::{CallToolRequestParams, LoggingMessageNotificationParam, ProtocolVersion};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(10);

/// A client that forwards the notifications of its GET stream.
#[derive(Clone)]
struct Listener(mpsc::UnboundedSender<String>);

impl ClientHandler for Listener {
    async fn on_logging_message(
        &self,
        message: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(message.data.to_string());
    }
}

struct Client {
    service: RunningService<RoleClient, Listener>,
    heard: mpsc::UnboundedReceiver<String>,
    http: Watched,
    url: String,
}

impl Client {
    async fn open(server: &Server) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let http = Watched::default();
        let config = StreamableHttpClientTransportConfig::with_uri(server.url());
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        let opening = timeout(LIMIT, Listener(sender).serve(transport)).await;
        let service = opening.expect("opens in time").expect("the session opens");
        Self {
            service,
            heard,
            http,
            url: server.url().to_owned(),
        }
    }

    async fn call(&self, tool: &'static str) -> Result<String, ServiceError> {
        let call = self.service.call_tool(CallToolRequestParams::new(tool));
        let result = timeout(LIMIT, call)
            .await
            .expect("the call finishes in time")?;
        let content = result.content.first().and_then(|content| content.as_text());
        Ok(content.expect("the tool answers text").text.clone())
    }

    /// Ends the session without the client.
    async fn end_without_the_client(&self) {
        let id = self.http.id().expect("the session has an id");
        let asked = self
            .http
            .http
            .delete(&self.url)
            .header("mcp-session-id", id)
            .send()
            .await;
        assert_eq!(
            asked.expect("DELETE is answered").status(),
            StatusCode::NO_CONTENT
        );
    }
}

#[tokio::test]
async fn the_rust_client_opens_lists_calls_streams_and_ends() {
    for (name, example, options) in SERVERS {
        let server = Server::start(example, options);
        let mut client = Client::open(&server).await;
        let tools = client
            .service
            .list_all_tools()
            .await
            .expect("tools are listed");
        let mut names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["count", "test_simple_text", "wait"], "{name}");
        for expected in ["call 1 of this session", "call 2 of this session"] {
            assert_eq!(client.call("count").await.unwrap(), expected, "{name}");
        }
        if example == "quickstart" {
            let heard = timeout(LIMIT, client.heard.recv())
                .await
                .expect("the stream carries a notification");
            assert!(heard.expect("the channel is open").contains("calls so far"));
        }
        let other = Client::open(&server).await;
        assert_eq!(
            other.call("count").await.unwrap(),
            "call 1 of this session",
            "{name}"
        );
        client.service.cancel().await.expect("the session ends");
        let id = client.http.id().expect("the session had an id");
        let again = client
            .http
            .http
            .delete(&client.url)
            .header("mcp-session-id", id)
            .send()
            .await;
        assert_eq!(again.unwrap().status(), StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn the_dual_era_rust_client_finds_the_era_that_is_served() {
    for (mix, expected) in [
        ("sessions", "the service with sessions"),
        ("both", "the service without sessions"),
        ("modern", "the service without sessions"),
    ] {
        let server = Server::start("both_eras", &[mix]);
        let transport = StreamableHttpClientTransport::from_uri(server.url());
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        };
        let opening =
            Listener(mpsc::unbounded_channel().0).serve_with_lifecycle(transport, lifecycle);
        let service = timeout(LIMIT, opening)
            .await
            .expect("in time")
            .expect("the client connects");
        let call = service.call_tool(CallToolRequestParams::new("which"));
        let result = timeout(LIMIT, call)
            .await
            .expect("in time")
            .expect("the tool answers");
        let content = result.content.first().and_then(|content| content.as_text());
        assert_eq!(
            content.map(|content| &*content.text),
            Some(expected),
            "{mix}"
        );
    }
}

#[tokio::test]
async fn the_rust_client_opens_a_new_session_when_its_own_has_ended_between_calls() {
    for (name, example, options) in SERVERS {
        let server = Server::start(example, options);
        let client = Client::open(&server).await;
        assert_eq!(
            client.call("count").await.unwrap(),
            "call 1 of this session"
        );
        client.end_without_the_client().await;
        assert_eq!(
            client.call("count").await.unwrap(),
            "call 1 of this session",
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_rust_client_gets_an_error_when_its_session_ends_during_a_call() {
    for (name, example, options) in SERVERS {
        let server = Server::start(example, options);
        let client = Client::open(&server).await;
        let (answer, ()) = tokio::join!(client.call("wait"), async {
            sleep(Duration::from_millis(300)).await;
            client.end_without_the_client().await;
        });
        let error = answer.expect_err("the call fails");
        assert!(
            error.to_string().contains("Session ended"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn the_rust_client_continues_when_its_session_ends_during_a_stream() {
    for (name, example, options) in SERVERS {
        let server = Server::start(example, options);
        let mut client = Client::open(&server).await;
        match example {
            "quickstart" => drop(
                timeout(LIMIT, client.heard.recv())
                    .await
                    .expect("the stream carries a notification"),
            ),
            _ => sleep(Duration::from_millis(300)).await,
        }
        client.end_without_the_client().await;
        assert_eq!(
            client.call("count").await.unwrap(),
            "call 1 of this session",
            "{name}"
        );
    }
}
