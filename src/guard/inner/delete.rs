//! The word to an inner service that keeps a session of its own when the guard has ended the outer
//! one (contract §5): a DELETE, so that it frees its state.

use std::future::poll_fn;
use std::sync::Arc;

use axum::body::Body;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use crate::guard::forward;
use crate::guard::head::HeadFlags;
use crate::promises::{INNER_DELETE_TIMEOUT, INNER_DELETES_AT_ONCE, MAX_INNER_DELETES};
use crate::protocol::headers::PROTOCOL_VERSION;
use crate::session::{EndReason, Entry, InnerDelete, Tally};
use crate::sessions::Sessions;
use crate::store_sync::StoreSync;

/// The DELETEs that are under way, of all sessions of a guard.
#[derive(Clone, Debug)]
pub(crate) struct InnerDeletes {
    places: Arc<Semaphore>,
    under_way: Arc<Tally>,
    store_sync: Option<Arc<StoreSync>>,
}

impl InnerDeletes {
    /// Those of all guards that share their sessions are counted together.
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self {
            places: Arc::new(Semaphore::new(INNER_DELETES_AT_ONCE)),
            under_way: sessions.registry().farewells().clone(),
            store_sync: sessions.store_sync().cloned(),
        }
    }

    /// The inner_delete of a session that `inner` is about to open, as an answer to this request.
    pub(crate) fn prepare<S>(&self, inner: S, parts: &Parts) -> Option<InnerDelete>
    where
        S: Service<Request<Body>> + Send + 'static,
        S::Future: Send,
    {
        let runtime = Handle::try_current().ok()?;
        let Self {
            places,
            under_way,
            store_sync,
        } = self.clone();
        // Copies: the session must not keep the whole head alive.
        let uri = Uri::try_from(parts.uri.path()).ok()?;
        // HTTP/2 has it in the URI.
        let host = parts.headers.get(HOST).map(HeaderValue::as_bytes);
        let authority = parts.uri.authority().map(|name| name.as_str().as_bytes());
        let host = host.or(authority);
        let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
        Some(Box::new(move |entry| {
            // It has said so itself, or has heard the client's own DELETE. Where so many wait
            // that it does not keep up, its own timeouts must do.
            let knows = entry.end_reason() == Some(EndReason::InnerLost) || entry.is_delete_heard();
            let goes_on_elsewhere = store_sync.is_some_and(|sync| sync.goes_on_elsewhere(entry));
            if knows || goes_on_elsewhere || under_way.len() >= MAX_INNER_DELETES {
                return;
            }
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.method = Method::DELETE;
            parts.uri = uri;
            parts.headers = headers(host, entry);
            forward::attach_stream(&mut parts, entry, HeadFlags::default());
            let request = Request::from_parts(parts, Body::empty());
            let held = under_way.hold();
            runtime.spawn(async move {
                let _held = held;
                let _place = places.acquire_owned().await;
                let _ = timeout(INNER_DELETE_TIMEOUT, ask(inner, request)).await;
            });
        }))
    }
}

async fn ask<S: Service<Request<Body>>>(mut inner: S, request: Request<Body>) {
    if poll_fn(|cx| inner.poll_ready(cx)).await.is_ok() {
        let _ = inner.call(request).await;
    }
}

fn headers(host: Option<HeaderValue>, entry: &Entry) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    let version = entry.protocol_version();
    if let Some(version) = version.and_then(|version| HeaderValue::from_str(version).ok()) {
        headers.insert(&PROTOCOL_VERSION, version);
    }
    headers
}
