//! The inner service of the soak. `params.mode` selects its behaviour.

use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Method};
use mcp_session_guard::McpSession;
use serde_json::{Value, json};
use tokio_stream::wrappers::IntervalStream;

use super::support::{event_stream, initialize_result, json_response, silent_stream, with_own_id};

/// An inner service whose behaviour `params.mode` selects. Some modes open an inner session.
#[derive(Clone, Default)]
pub(crate) struct Inner {
    pub(crate) own: Arc<Mutex<HashSet<String>>>,
    next: Arc<AtomicU64>,
}

impl Inner {
    fn open_own(&self) -> String {
        let id = format!("own-{}", self.next.fetch_add(1, Relaxed));
        self.own.lock().unwrap().insert(id.clone());
        id
    }

    /// Returns whether the inner session that the headers name is known. Without an id it returns
    /// true.
    fn knows(&self, headers: &HeaderMap) -> bool {
        own_id(headers).is_none_or(|id| self.own.lock().unwrap().contains(id))
    }

    fn forget(&self, headers: &HeaderMap) -> bool {
        own_id(headers).is_some_and(|id| self.own.lock().unwrap().remove(id))
    }
}

fn own_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("mcp-session-id")?.to_str().ok()
}

pub(crate) async fn answer(
    State(inner): State<Inner>,
    session: Option<McpSession>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let unknown = json!({"jsonrpc": "2.0", "error": {"code": -32600, "message": "?"}, "id": null});
    match parts.method {
        Method::DELETE if inner.forget(&parts.headers) => return Response::default(),
        _ if !inner.knows(&parts.headers) => return json_response(404, &unknown),
        Method::GET => return event_stream(ticks()),
        _ => {}
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let (id, mode) = (&message["id"], message["params"]["mode"].as_str().unwrap());
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "no"}});
    let result = match message["method"].as_str() {
        Some("initialize") => initialize_result(id),
        _ => {
            let session = session.as_ref().map(|session| session.id().as_str());
            json!({"jsonrpc": "2.0", "id": id, "result": {"session": session}})
        }
    };
    match mode {
        "own json" => with_own(&inner, json_response(200, &result)),
        "own events" => with_own(&inner, event_stream(once(&result))),
        "own silence" => with_own(&inner, silent_stream()),
        "events" => event_stream(ticks().take(2).chain(once(&result))),
        "large events" => {
            let large = json!({"jsonrpc": "2.0", "method": "x", "params": "x".repeat(16 << 10)});
            event_stream(
                stream::iter(0..64)
                    .flat_map(move |_| once(&large))
                    .chain(once(&result)),
            )
        }
        "endless" => event_stream(ticks()),
        "endless flood" => event_stream(stream::repeat_with(|| Bytes::from(vec![b'\n'; 64 << 10]))),
        "silence" => silent_stream(),
        "never" => pending().await,
        "refused" => json_response(422, &error),
        "error" => json_response(200, &error),
        "error events" => event_stream(once(&error)),
        "end" => {
            session.unwrap().end();
            json_response(200, &result)
        }
        "lose" if inner.forget(&parts.headers) => json_response(404, &unknown),
        _ => json_response(200, &result),
    }
}

fn with_own(inner: &Inner, response: Response) -> Response {
    with_own_id(&inner.open_own(), response)
}

fn once(message: &Value) -> impl Stream<Item = Bytes> + Send + use<> {
    stream::iter([Bytes::from(format!("data: {message}\n\n"))])
}

fn ticks() -> impl Stream<Item = Bytes> + Send {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
    ticks.map(|_| Bytes::from_static(b"data: {\"jsonrpc\":\"2.0\",\"method\":\"tick\"}\n\n"))
}
