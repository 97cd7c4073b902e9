//! A guarded endpoint in process, and what it answers.

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

/// A guarded endpoint at `/mcp`, spoken to in process.
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

    /// The same, of a guard that is not built yet.
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

    /// An app that is guarded already.
    pub fn guarded(app: Router, sessions: Sessions) -> Self {
        Self {
            app,
            sessions,
            inner: Recorder::default(),
        }
    }

    /// A guard around an inner service that opens sessions, with an id of its own where `own` is
    /// one, and answers everything else by `answer`.
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

    /// Sends and reads the answer whole.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        Answer::of(self.send(request).await).await
    }

    /// Opens a session and returns its id.
    pub async fn open(&self) -> String {
        let answer = self.ask(post(None, INITIALIZE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.session_id()
    }

    /// Opens a session and uses it once, as clients do.
    pub async fn open_and_use(&self) -> String {
        let id = self.open().await;
        assert_eq!(self.ask(post(Some(&id), INITIALIZED)).await.status, 202);
        id
    }

    /// The status of a ping in a session.
    pub async fn ping(&self, id: &str) -> StatusCode {
        self.ask(post(Some(id), PING)).await.status
    }
}

/// An answer, read whole.
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

    /// The session id that it issues.
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

/// The session id that an answer issues.
pub fn session_id(headers: &HeaderMap) -> &str {
    headers["mcp-session-id"].to_str().unwrap()
}

/// Why a request was refused, if it was.
pub fn reason<B>(response: &http::Response<B>) -> Option<RefusalReason> {
    response.extensions().get().map(Refusal::reason)
}
