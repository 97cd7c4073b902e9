//! A gateway: the guard in front of an MCP server in any language.
//!
//! Run it with `cargo run -p client-tests --example gateway -- http://127.0.0.1:3000/mcp`. Clients see the
//! guard's sessions. The server's own ids stay inside, and the server gets a DELETE when the guard ends a
//! session. Two more arguments set times in seconds: until an answer begins (default 300; an answer in JSON
//! begins when the tool is done), and until an idle session ends (default 1800).

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
    let limit = Duration::from_secs(seconds(300)?);
    let idle = Duration::from_secs(seconds(30 * 60)?);

    let guard = SessionGuardLayer::builder()
        .idle_timeout(idle)
        .end_inner_sessions() // sends the server a DELETE, so that it frees its state
        .accept_lone_surrogates() // for servers that are not written in Rust
        .build()
        .map_err(io::Error::other)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        // Servers close idle connections (Node and uvicorn after 5 s), so the client closes them first.
        .pool_idle_timeout(Duration::from_secs(3))
        .pool_timer(TokioTimer::new())
        .build(connector);
    let path = url.path().to_owned();
    let app = Router::new()
        .route(&path, any(forward))
        .route_layer(guard)
        .with_state(Upstream { client, url, limit });

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("MCP server at http://{}{path}", listener.local_addr()?);
    // Without this, small events wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// The server behind the guard.
#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    url: Uri,
    /// How long an answer may take to begin.
    limit: Duration,
}

/// Forwards a request to the upstream and streams both bodies. If the client leaves, axum drops this
/// future or the answer's body, and the connection to the upstream with it.
async fn forward(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let message = McpMessage::from_extensions(request.extensions()).cloned();
    let mut url = upstream.url.clone().into_parts();
    url.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(url).unwrap_or(upstream.url);
    *request.version_mut() = Version::HTTP_11;
    drop_hop_by_hop(request.headers_mut());
    request.headers_mut().remove(HOST); // the client sets the upstream's host instead
    let (status, text) = match timeout(upstream.limit, upstream.client.request(request)).await {
        Ok(Ok(mut response)) => {
            *response.version_mut() = Version::HTTP_11;
            drop_hop_by_hop(response.headers_mut());
            return response.map(Body::new);
        }
        Ok(Err(error)) => {
            eprintln!("no answer from the server: {error:?}");
            (
                StatusCode::BAD_GATEWAY,
                "The server behind the gateway cannot be reached",
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

/// Makes a JSON-RPC error. It carries the message's id only for a request, because the id of a response is
/// the server's own.
fn failure(status: StatusCode, text: &str, message: &McpMessage) -> Response {
    let is_request = message.kind() == MessageKind::Request;
    let id = message.id().filter(|_| is_request).unwrap_or("null");
    let error = format!(r#"{{"code":-32603,"message":"{text}"}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","error":{error},"id":{id}}}"#);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Removes the header fields that are meant for the next hop only (RFC 9110, section 7.6.1).
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
