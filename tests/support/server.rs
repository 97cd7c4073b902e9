//! A guarded endpoint in process, and its answers.

use std::future::Future;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::any;
use http::{HeaderMap, Request, StatusCode};
use mcp_session_guard::{Refusal, RefusalReason, SessionGuardBuilder, SessionGuardLayer, Sessions};
use serde_json::Value;
use tower::ServiceExt;

use super::inner::{Recorder, opened, record, with_own_id};
use super::{INITIALIZE, INITIALIZED, PING, post};

/// A guarded endpoint at `/mcp` that tests call in process.
#[derive(Clone)]
pub struct TestServer {
    pub app: Router,
    pub sessions: Sessions,
    pub inner: Recorder,
}

impl TestServer {
    /// A guard around a [`Recorder`].
    pub fn new(guard: SessionGuardLayer) -> Self {
        let inner = Recorder::default();
        let sessions = guard.sessions();
        let app = Router::new()
            .route("/mcp", any(record))
            .route_layer(guard)
            .with_state(inner.clone());
        Self {
            app,
            sessions,
            inner,
        }
    }

    /// Builds the guard and puts it around a [`Recorder`].
    pub fn build(guard: SessionGuardBuilder) -> Self {
        Self::new(guard.build().unwrap())
    }

    /// A guard around a handler at `/mcp`.
    pub fn around<H, T>(guard: SessionGuardLayer, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        Self::around_app(guard, Router::new().route("/mcp", any(handler)))
    }

    /// A guard around an app.
    pub fn around_app(guard: SessionGuardLayer, app: Router) -> Self {
        let sessions = guard.sessions();
        Self::guarded(app.layer(guard), sessions)
    }

    /// An app that already contains its guard.
    pub fn guarded(app: Router, sessions: Sessions) -> Self {
        Self {
            app,
            sessions,
            inner: Recorder::default(),
        }
    }

    /// A guard around an inner service that opens sessions and answers everything else with
    /// `answer`. `own` is the inner service's own session id, if it has one.
    pub fn opening<F, Fut>(guard: SessionGuardLayer, own: Option<&'static str>, answer: F) -> Self
    where
        F: Fn(Request<Body>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send,
    {
        let handler = async move |request: Request<Body>| {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            if body != INITIALIZE {
                return answer(Request::from_parts(parts, Body::from(body))).await;
            }
            match own {
                Some(own) => with_own_id(own, opened()),
                None => opened(),
            }
        };
        Self::around(guard, handler)
    }

    pub async fn send(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        Answer::of(self.send(request).await).await
    }

    /// Opens a session and returns its id.
    pub async fn open(&self) -> String {
        let answer = self.ask(post(None, INITIALIZE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.session_id()
    }

    /// Opens a session and sends `notifications/initialized`, as clients do.
    pub async fn open_and_use(&self) -> String {
        let id = self.open().await;
        assert_eq!(self.ask(post(Some(&id), INITIALIZED)).await.status, 202);
        id
    }

    /// Pings a session and returns the status.
    pub async fn ping(&self, id: &str) -> StatusCode {
        self.ask(post(Some(id), PING)).await.status
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    /// The session id that this answer issues.
    pub fn session_id(&self) -> String {
        session_id(&self.headers).to_owned()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The session id in the headers of an answer that opens a session.
pub fn session_id(headers: &HeaderMap) -> &str {
    headers["mcp-session-id"].to_str().unwrap()
}

/// The reason of a refusal, or `None` if the guard did not refuse.
pub fn reason<B>(response: &http::Response<B>) -> Option<RefusalReason> {
    response.extensions().get().map(Refusal::reason)
}
