//! Two guarded endpoints with different settings, next to ordinary routes, under the layers of a public
//! server.
//!
//! Run it with `cargo run -p client-tests --example per_route`.
//!
//! A layer that is added later stands further outside. From outside in: layers that mark, name and log every
//! request; layers that can answer instead of the guard; the guard; layers of one handler.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use mcp_session_guard::{
    ConfigError, McpMessage, McpSession, MessageKind, Owner, SessionGuardLayer, cors,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

fn app() -> Result<Router, ConfigError> {
    let pages = ["http://localhost:5173"];
    // Small, and open to every program on this machine.
    let tools = SessionGuardLayer::builder()
        .allowed_origins(pages)
        .body_limit(64 << 10)
        .max_sessions(100)
        .build()?;
    // For known owners only. Shares the registry of the first guard.
    let files = SessionGuardLayer::with_sessions(&tools.sessions())
        .scope("files")
        .allowed_origins(pages)
        .owner_from_extension(Owner::clone)
        .require_owner()
        .build()?;
    let sessions = tools.sessions();

    let tools = Router::new()
        .route("/tools", post(mcp))
        .route_layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT, // inside the guard: for this handler only
            Duration::from_secs(30),
        ))
        .route_layer(tools);
    let files = Router::new()
        .route("/files", post(mcp))
        .route_layer(files)
        .route_layer(from_fn(authenticate)); // outside the guard, which needs the owner
    let mut rate = GovernorConfigBuilder::default(); // per peer: 50 at once, then one every 100 ms
    let rate = rate.per_millisecond(100).burst_size(50).finish();
    let rate = rate.expect("both values are above zero");
    let mcp = Router::new()
        .merge(tools)
        .merge(files)
        .route_layer(CompressionLayer::new())
        .route_layer(RequestBodyLimitLayer::new(1 << 20))
        .route_layer(GovernorLayer::new(rate)) // outside the guard: it also slows down clients that guess ids
        .route_layer(cors(pages)?); // outside all layers that can answer, so that pages can read refusals

    let health = move || async move { Json(json!({ "sessions": sessions.len() })) };
    let secret = [AUTHORIZATION, HeaderName::from_static("mcp-session-id")];
    let outside = ServiceBuilder::new()
        .sensitive_request_headers(Arc::from(secret)) // first, so that the log does not show them
        .set_x_request_id(MakeRequestUuid)
        .layer(TraceLayer::new_for_http())
        .propagate_x_request_id()
        .layer(CatchPanicLayer::new());
    Ok(Router::new()
        .nest("/mcp", mcp)
        .route("/health", get(health))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page") })
        .layer(outside))
}

/// Checks a fixed bearer token. A real server verifies the token and reads issuer and subject from it.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get(AUTHORIZATION);
    if token != Some(&HeaderValue::from_static("Bearer alice-s-token")) {
        let challenge = [(WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let owner = Owner::from_issuer_subject("https://login.example", "alice");
    request.extensions_mut().insert(owner);
    next.run(request).await
}

/// Answers `initialize`, and every other request with the scope and the owner of its session.
async fn mcp(message: McpMessage, session: McpSession, Json(body): Json<Value>) -> Response {
    let result = match (message.kind(), message.method()) {
        (MessageKind::Request, Some("initialize")) => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "serverInfo": { "name": "per_route", "version": env!("CARGO_PKG_VERSION") },
        }),
        (MessageKind::Request, _) => json!({
            "scope": session.scope(),
            "owner": session.owner().map(Owner::subject),
        }),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let app = app().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}/mcp/tools", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    // The rate limiter needs the peer's address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}
