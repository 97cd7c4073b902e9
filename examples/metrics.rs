//! Metrics for Prometheus: `/metrics` next to a guarded MCP endpoint.
//!
//! Run it with `cargo run -p client-tests --example metrics`. The library's feature `metrics` uses the facade
//! of the crate `metrics`, so other recorders than that of Prometheus work too.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::{Stream, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionGuardLayer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The bounds of the buckets, in seconds: OpenTelemetry's from one second on, then up to a day, because
/// people leave their clients open.
const DURATIONS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0,
];

#[tokio::main]
async fn main() -> io::Result<()> {
    // Installed before the guard is built, because the guard describes its metrics to the recorder.
    let prometheus = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(
            Matcher::Full("mcp.server.session.duration".to_owned()),
            DURATIONS,
        )
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(io::Error::other)?;
    let guard = SessionGuardLayer::new();

    // Without this, durations would pile up while no Prometheus scrapes.
    let recorder = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            recorder.run_upkeep();
        }
    });
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    let metrics = get(move || ready((kind, prometheus.render())));
    let mcp = post(message).get(events).layer(guard);
    let app = Router::new().route("/mcp", mcp).route("/metrics", metrics);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    println!("MCP server at http://{address}/mcp\nMetrics at http://{address}/metrics");
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Answers every POST, for a server without tools.
async fn message(message: McpMessage, Json(body): Json<Value>) -> Response {
    let result = match (message.kind(), message.method()) {
        (MessageKind::Request, Some("initialize")) => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "serverInfo": { "name": "metrics", "version": env!("CARGO_PKG_VERSION") },
        }),
        (MessageKind::Request, _) => json!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// Opens the GET stream. It sends no message and ends with the session.
async fn events(_session: McpSession) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::pending())
}
