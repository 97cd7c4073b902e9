//! A gateway: the guard in front of an MCP server in any language.
//!
//! Run it with `cargo run -p client-tests --example gateway -- http://127.0.0.1:3000/mcp`. Clients see the guard's
//! sessions; the server's own ids stay inside, and it is told when the guard ends one of them. Two
//! more arguments: how many seconds an answer may take to begin (300; one in JSON begins when the
//! tool is done), and after how many a quiet session ends (1800).

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mcp_session_guard::{McpMessage, MessageKind, SessionGuardLayer};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().and_then(|url| url.parse::<Uri>().ok());
    let Some(url) = url.filter(|url| url.scheme_str() == Some("http")) else {
        return Err(io::Error::other(
            "give a URL like http://127.0.0.1:3000/mcp",
        ));
    };
    let mut seconds = |default| match arguments.next() {
        Some(text) => text.parse().map_err(io::Error::other),
        None => Ok(default),
    };
    let patience = Duration::from_secs(seconds(300)?);
    let idle = Duration::from_secs(seconds(30 * 60)?);

    let guard = SessionGuardLayer::builder()
        .idle_timeout(idle)
        .end_inner_sessions() // the server is told, and frees their state
        .accept_lone_surrogates() // for servers that are not written in Rust
        .build()
        .map_err(io::Error::other)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        // Servers close quiet connections (Node and uvicorn after 5 s): be there first.
        .pool_idle_timeout(Duration::from_secs(3))
        .pool_timer(TokioTimer::new())
        .build(connector);
    let path = url.path().to_owned();
    let app = Router::new()
        .route(&path, any(forward))
        .route_layer(guard)
        .with_state(Upstream {
            client,
            url,
            patience,
        });

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}{path}", listener.local_addr()?);
    // Small events would otherwise wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// The server behind the guard.
#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    url: Uri,
    patience: Duration,
}

/// Passes on what the guard let through, bodies as they come. If the client leaves, this future or
/// the answer's body is dropped, and the connection to the upstream with it.
async fn forward(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let message = McpMessage::from_extensions(request.extensions()).cloned();
    let mut url = upstream.url.clone().into_parts();
    url.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(url).unwrap_or(upstream.url);
    *request.version_mut() = Version::HTTP_11;
    drop_hop_by_hop(request.headers_mut());
    request.headers_mut().remove(HOST); // the client puts the upstream's in its place
    let (status, text) = match timeout(upstream.patience, upstream.client.request(request)).await {
        Ok(Ok(mut response)) => {
            *response.version_mut() = Version::HTTP_11;
            drop_hop_by_hop(response.headers_mut());
            return response.map(Body::new);
        }
        Ok(Err(error)) => {
            eprintln!("no answer from the server: {error:?}");
            (
                StatusCode::BAD_GATEWAY,
                "The server behind the gateway can not be reached",
            )
        }
        Err(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            "The server behind the gateway does not answer",
        ),
    };
    match message {
        Some(message) => failure(status, text, &message),
        None => (status, text).into_response(),
    }
}

/// A JSON-RPC error, with the message's id if that is a request's: a response's is the server's own.
fn failure(status: StatusCode, text: &str, message: &McpMessage) -> Response {
    let is_request = message.kind() == MessageKind::Request;
    let id = message.id().filter(|_| is_request).unwrap_or("null");
    let error = format!(r#"{{"code":-32603,"message":"{text}"}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","error":{error},"id":{id}}}"#);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Takes off what is said to the next hop alone (RFC 9110, section 7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).into_iter();
    let lists = lists
        .filter_map(|value| value.to_str().ok())
        .chain([HOP_BY_HOP]);
    let names = lists.flat_map(|list| list.split(','));
    let names: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
    for name in names {
        headers.remove(name);
    }
}

const HOP_BY_HOP: &str = "connection, keep-alive, proxy-authenticate, proxy-authentication-info, \
    proxy-authorization, proxy-connection, te, trailer, transfer-encoding, upgrade";
