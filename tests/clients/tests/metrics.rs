//! The metrics of the example `metrics` as Prometheus reads them, while sessions open, are refused
//! and end.

use client_tests::Server;
use http::StatusCode;
use reqwest::{Client, RequestBuilder};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[tokio::test]
async fn prometheus_reads_openings_streams_refusals_and_ends() {
    let mut server = Server::start("metrics", &[]);
    let metrics = server.next_line("Metrics at ");
    let client = Client::new();
    let scrape = || scrape(&client, &metrics);
    let values = |text: &str| {
        let lines = text.lines().filter(|line| line.ends_with(" 0"));
        lines.count()
    };
    assert_eq!(
        values(&scrape().await),
        3,
        "all three metrics exist from the start"
    );

    let first = open(&client, server.url()).await;
    let second = open(&client, server.url()).await;
    let stream = client.get(server.url()).header("mcp-session-id", &first);
    let stream = stream.send().await.expect("an answer comes");
    let opened = scrape().await;
    assert_eq!(
        lines(&opened),
        [
            "# HELP mcp_server_session_active Sessions that are open.",
            "# HELP mcp_server_session_opened_total Sessions opened.",
            "# HELP mcp_server_session_stream_active Event streams that are open.",
            "# TYPE mcp_server_session_active gauge",
            "# TYPE mcp_server_session_opened_total counter",
            "# TYPE mcp_server_session_stream_active gauge",
            "mcp_server_session_active 2",
            "mcp_server_session_opened_total 2",
            "mcp_server_session_stream_active 1",
        ]
    );

    let ping = || post(&client, server.url(), PING);
    assert_eq!(status(ping()).await, StatusCode::BAD_REQUEST);
    for id in ["ended-long-ago", "never-was"] {
        let answer = status(ping().header("mcp-session-id", id)).await;
        assert_eq!(answer, StatusCode::NOT_FOUND);
    }
    let delete = client.delete(server.url()).header("mcp-session-id", &first);
    assert_eq!(status(delete).await, StatusCode::NO_CONTENT);
    stream
        .bytes()
        .await
        .expect("the stream ends with its session");
    let ended = scrape().await;
    assert_eq!(
        lines(&ended),
        [
            "# HELP mcp_server_request_refused_total Requests refused, by reason.",
            "# HELP mcp_server_session_active Sessions that are open.",
            "# HELP mcp_server_session_duration_seconds How long sessions were open.",
            "# HELP mcp_server_session_ended_total Sessions ended, by reason.",
            "# HELP mcp_server_session_opened_total Sessions opened.",
            "# HELP mcp_server_session_stream_active Event streams that are open.",
            "# TYPE mcp_server_request_refused_total counter",
            "# TYPE mcp_server_session_active gauge",
            "# TYPE mcp_server_session_duration_seconds histogram",
            "# TYPE mcp_server_session_ended_total counter",
            "# TYPE mcp_server_session_opened_total counter",
            "# TYPE mcp_server_session_stream_active gauge",
            "mcp_server_request_refused_total{reason=\"missing_session_id\"} 1",
            "mcp_server_request_refused_total{reason=\"session_not_found\"} 2",
            "mcp_server_session_active 1",
            "mcp_server_session_duration_seconds_count{mcp_protocol_version=\"2025-11-25\"} 1",
            "mcp_server_session_ended_total{reason=\"deleted\"} 1",
            "mcp_server_session_opened_total 2",
            "mcp_server_session_stream_active 0",
        ]
    );
    assert_eq!(
        buckets(&ended),
        [
            "1", "2", "5", "10", "30", "60", "120", "300", "900", "1800", "3600", "14400", "86400",
            "+Inf"
        ]
    );
    for text in [opened, ended] {
        assert!(!text.contains(&first) && !text.contains(&second), "{text}");
    }
}

/// The lines that do not depend on the duration of the test, in order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty())
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum{"))
        .collect();
    lines.sort_unstable();
    lines
}

/// The upper bounds of the buckets for durations.
fn buckets(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("mcp_server_session_duration_seconds_bucket{"))
        .filter_map(|line| line.split_once("le=\"")?.1.split('"').next())
        .collect()
}

async fn scrape(client: &Client, url: &str) -> String {
    let answer = client.get(url).send().await.expect("an answer comes");
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    answer.text().await.expect("the answer is read")
}

async fn open(client: &Client, url: &str) -> String {
    let answer = post(client, url, INITIALIZE).send().await;
    let answer = answer.expect("an answer comes");
    let id = answer.headers()["mcp-session-id"].to_str();
    id.expect("ids are text").to_owned()
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("an answer comes").status()
}

fn post(client: &Client, url: &str, body: &'static str) -> RequestBuilder {
    let request = client.post(url).body(body);
    request.header("content-type", "application/json")
}
