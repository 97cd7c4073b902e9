//! Sends the inner DELETE when the guard has ended the outer session, so that the inner service frees its
//! state (contract §5).

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
use crate::session::{EndReason, Entry, InnerDelete, TaskCounter};
use crate::sessions::Sessions;
use crate::store_sync::StoreSync;

/// The inner DELETEs of a guard that run or wait.
#[derive(Clone, Debug)]
pub(crate) struct InnerDeletes {
    permits: Arc<Semaphore>,
    pending: Arc<TaskCounter>,
    store_sync: Option<Arc<StoreSync>>,
}

impl InnerDeletes {
    /// Guards that share their sessions also share the count of pending DELETEs.
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(INNER_DELETES_AT_ONCE)),
            pending: sessions.registry().inner_deletes().clone(),
            store_sync: sessions.store_sync().cloned(),
        }
    }

    /// Prepares the DELETE of the session that `inner` may open in its answer to this request. Returns
    /// `None` outside a tokio runtime.
    pub(crate) fn prepare<S>(&self, inner: S, parts: &Parts) -> Option<InnerDelete>
    where
        S: Service<Request<Body>> + Send + 'static,
        S::Future: Send,
    {
        let runtime = Handle::try_current().ok()?;
        let Self {
            permits,
            pending,
            store_sync,
        } = self.clone();
        // Copied, because the session must not keep the whole head alive.
        let uri = Uri::try_from(parts.uri.path()).ok()?;
        // HTTP/2 carries the host in the URI.
        let host = parts.headers.get(HOST).map(HeaderValue::as_bytes);
        let authority = parts.uri.authority().map(|name| name.as_str().as_bytes());
        let host = host.or(authority);
        let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
        Some(Box::new(move |entry| {
            // The inner service knows of the end if it lost the session or received the client's
            // DELETE. If too many DELETEs are pending, its own timeouts must end the session.
            let inner_knows =
                entry.end_reason() == Some(EndReason::InnerLost) || entry.inner_knows_of_delete();
            let lives_elsewhere = store_sync.is_some_and(|sync| sync.lives_elsewhere(entry));
            if inner_knows || lives_elsewhere || pending.len() >= MAX_INNER_DELETES {
                return;
            }
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.method = Method::DELETE;
            parts.uri = uri;
            parts.headers = headers(host, entry);
            forward::attach_stream(&mut parts, entry, HeadFlags::default());
            let request = Request::from_parts(parts, Body::empty());
            let token = pending.start();
            runtime.spawn(async move {
                let _token = token;
                let _permit = permits.acquire_owned().await;
                let _ = timeout(INNER_DELETE_TIMEOUT, send(inner, request)).await;
            });
        }))
    }
}

async fn send<S: Service<Request<Body>>>(mut inner: S, request: Request<Body>) {
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
