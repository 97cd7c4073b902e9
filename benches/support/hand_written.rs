//! The hand-written check of many servers: the body becomes a `Value`, and the sessions are in a
//! map behind a mutex. It does less than the guard: no expiry, no limits, no `Host`, no ambiguous
//! keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Shared, answer};

type Sessions = Arc<Mutex<HashMap<String, Instant>>>;

pub fn router() -> Router {
    Router::new()
        .route("/mcp", any(answer))
        .route_layer(from_fn_with_state(Sessions::default(), check))
        .with_state(Shared)
}

async fn check(State(sessions): State<Sessions>, request: Request, next: Next) -> Response {
    let lock = || sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let (parts, body) = request.into_parts();
    let named = parts.headers.get("mcp-session-id");
    let named = named.and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
    if let Some(id) = &named {
        match lock().get_mut(id) {
            Some(last) => *last = Instant::now(),
            None => return refuse(StatusCode::NOT_FOUND, "Session not found", &Value::Null),
        }
    }
    if parts.method != Method::POST {
        return match named {
            Some(_) => next.run(Request::from_parts(parts, body)).await,
            None => refuse(StatusCode::BAD_REQUEST, "Missing session ID", &Value::Null),
        };
    }
    let Ok(bytes) = to_bytes(body, 4 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(message) = serde_json::from_slice::<Value>(&bytes) else {
        return refuse(StatusCode::BAD_REQUEST, "Parse error", &Value::Null);
    };
    let is_opening = message["method"] == "initialize";
    if !is_opening && named.is_none() {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Missing session ID",
            &message["id"],
        );
    }
    let mut response = next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await;
    if is_opening && response.status().is_success() {
        let id = Uuid::new_v4().to_string();
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("mcp-session-id", value);
        }
        lock().insert(id, Instant::now());
    }
    response
}

fn refuse(status: StatusCode, message: &str, id: &Value) -> Response {
    let error = json!({"code": -32600, "message": message});
    let body = json!({"jsonrpc": "2.0", "id": id, "error": error});
    let json = [("content-type", "application/json")];
    (status, json, body.to_string()).into_response()
}
