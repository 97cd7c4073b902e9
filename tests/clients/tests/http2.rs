//! The guard over HTTP/2: no `Host` header, and streams that are reset one by one.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use futures_util::stream;
use http::{Method, StatusCode, Version};
use mcp_session_guard::{SessionGuardLayer, Sessions};
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

async fn inner(request: Request) -> Response {
    let (kind, body) = match *request.method() {
        Method::GET => {
            let events = stream::pending::<Result<Bytes, Infallible>>();
            ("text/event-stream", Body::from_stream(events))
        }
        _ => ("application/json", Body::from(RESULT)),
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(kind));
    response
}

/// A guarded server, and a client with a session there.
async fn open() -> (Client, String, String, Sessions) {
    open_at(Router::new().route("/mcp", any(inner))).await
}

/// Like [`open`], with this inner service.
async fn open_at(app: Router) -> (Client, String, String, Sessions) {
    let guard = SessionGuardLayer::new();
    let sessions = guard.sessions();
    let app = app.route_layer(guard);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let url = format!(
        "http://{}/mcp",
        listener.local_addr().expect("the listener has an address")
    );
    tokio::spawn(async { axum::serve(listener, app).await });

    let client = Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let opened = post(&client, &url, None, INITIALIZE).await;
    assert_eq!(
        (opened.status(), opened.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let id = opened.headers()["mcp-session-id"]
        .to_str()
        .expect("ids are text")
        .to_owned();
    opened.bytes().await.expect("the answer is read");
    (client, url, id, sessions)
}

async fn post(
    client: &Client,
    url: &str,
    id: Option<&str>,
    body: &'static str,
) -> reqwest::Response {
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    if let Some(id) = id {
        request = request.header("mcp-session-id", id);
    }
    request.send().await.expect("an answer comes")
}

#[tokio::test]
async fn a_reset_stream_is_no_longer_in_flight_and_its_connection_stays_open() {
    let (client, url, id, sessions) = open().await;
    let session = sessions.get(&id).expect("the session is open");
    let stream = client
        .get(&url)
        .header("mcp-session-id", &id)
        .send()
        .await
        .expect("the stream opens");
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!((session.in_flight(), session.open_streams()), (1, 1));
    drop(stream);
    let released = timeout(Duration::from_secs(5), async {
        while session.in_flight() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    released.await.expect("the reset is noticed");
    assert_eq!(session.open_streams(), 0);
    assert_eq!(
        post(&client, &url, Some(&id), PING).await.status(),
        StatusCode::OK
    );
}

/// A request as the inner service received it: method, header names, body.
type Noted = (Method, Vec<String>, Bytes);

#[tokio::test]
async fn only_a_post_carries_a_body_inward_and_options_passes_only_as_a_preflight() {
    let (note, mut noted) = tokio::sync::mpsc::unbounded_channel::<Noted>();
    let noting = async move |request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let names = parts.headers.keys().map(ToString::to_string).collect();
        let _ = note.send((parts.method, names, body.expect("the body is complete")));
        ([("content-type", "application/json")], RESULT)
    };
    let app = Router::new().route("/mcp", any(noting));
    let (client, url, id, _sessions) = open_at(app).await;
    noted.recv().await.expect("initialize");

    let ask = |method: Method| {
        let request = client.request(method, &url).body(PING);
        request.header("content-type", "application/json")
    };
    let preflight = ask(Method::OPTIONS)
        .header("origin", "http://localhost:5173")
        .header("access-control-request-method", "POST");
    let stream = ask(Method::GET).header("mcp-session-id", &id);
    for request in [preflight, stream] {
        let answer = request.send().await.expect("an answer comes");
        assert_eq!(answer.status(), StatusCode::OK);
        let (method, names, body) = noted.recv().await.expect("the request passes");
        assert!(body.is_empty(), "{method}");
        assert!(
            !names.iter().any(|name| name.starts_with("content-")),
            "{names:?}"
        );
    }
    for (origin, status) in [
        ("http://localhost:5173", 405),
        ("https://evil.example", 403),
    ] {
        let refused = ask(Method::OPTIONS).header("origin", origin);
        let refused = refused.header("mcp-session-id", &id).send().await;
        assert_eq!(refused.expect("an answer comes").status(), status);
    }
    assert!(noted.try_recv().is_err(), "nothing else passes");
    let answer = post(&client, &url, Some(&id), PING).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stream_ends_cleanly_with_its_session() {
    let (client, url, id, _sessions) = open().await;
    let stream = client
        .get(&url)
        .header("mcp-session-id", &id)
        .send()
        .await
        .expect("the stream opens");
    let deleted = client
        .delete(&url)
        .header("mcp-session-id", &id)
        .send()
        .await
        .expect("answered");
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let rest = timeout(Duration::from_secs(5), stream.bytes())
        .await
        .expect("the stream ends");
    assert!(rest.expect("the end is clean").is_empty());
    let refused = post(&client, &url, Some(&id), PING).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert!(!refused.headers().contains_key("connection"));
}
