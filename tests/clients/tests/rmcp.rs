//! The official Rust client against quickstart.

use std::time::Duration;

use client_tests::Quickstart;
use rmcp::model::{CallToolRequestParams, LoggingMessageNotificationParam};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A client that hands on what it hears on its GET stream.
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

async fn count(client: &RunningService<RoleClient, Listener>) -> String {
    let result = client
        .call_tool(CallToolRequestParams::new("count"))
        .await
        .expect("count answers");
    let content = result.content.first().and_then(|content| content.as_text());
    content.expect("count answers text").text.clone()
}

#[tokio::test]
async fn the_rust_client_opens_lists_calls_streams_and_ends() {
    let server = Quickstart::start();
    let (sender, mut heard) = mpsc::unbounded_channel();
    let transport = StreamableHttpClientTransport::from_uri(server.url());
    let client = Listener(sender)
        .serve(transport)
        .await
        .expect("the session opens");

    let tools = client.list_all_tools().await.expect("tools are listed");
    let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["count", "test_simple_text", "wait"]);

    assert_eq!(count(&client).await, "call 1 of this session");
    assert_eq!(count(&client).await, "call 2 of this session");
    let first = timeout(Duration::from_secs(10), heard.recv())
        .await
        .expect("the stream speaks");
    assert!(first.expect("the stream is open").contains("calls so far"));

    client.cancel().await.expect("the session ends");
}

#[tokio::test]
async fn two_rust_clients_have_two_sessions() {
    let server = Quickstart::start();
    let open = || async {
        let transport = StreamableHttpClientTransport::from_uri(server.url());
        Listener(mpsc::unbounded_channel().0)
            .serve(transport)
            .await
            .expect("the session opens")
    };
    let (one, other) = (open().await, open().await);
    assert_eq!(count(&one).await, "call 1 of this session");
    assert_eq!(count(&other).await, "call 1 of this session");
    assert_eq!(count(&one).await, "call 2 of this session");
    one.cancel().await.expect("one ends");
    assert_eq!(count(&other).await, "call 2 of this session");
    other.cancel().await.expect("the other ends");
}
