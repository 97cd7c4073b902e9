//! DELETE (contract §5): the client ends its session.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::Body as HttpBody;
use tokio::time::timeout;

use super::body::trailers::without_session_id;
use super::shared::Shared;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::Refusal;
use crate::session::{Entry, InFlight};
use crate::sessions::Sessions;

/// The one DELETE of a session that is under way. It ends the session, also if its client is gone
/// before the inner service has answered; only where that refused another may be tried.
#[derive(Debug)]
pub(crate) struct Deletion {
    session: InFlight,
    sessions: Sessions,
    is_refused: bool,
    /// Whether the inner service need not hear of it any more.
    is_over: bool,
}

impl Deletion {
    /// Gives the session back where another is under way.
    pub(crate) fn begin(mut session: InFlight, sessions: &Sessions) -> Result<Self, InFlight> {
        if !session.entry().begin_delete() {
            return Err(session);
        }
        session.admit();
        Ok(Self {
            session,
            sessions: sessions.clone(),
            is_refused: false,
            is_over: false,
        })
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        self.session.entry()
    }

    /// Ends the session.
    pub(crate) fn end(mut self) -> Response<Body> {
        self.is_over = true;
        // Its drop does it.
        drop(self);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// Ends the session; answered once every process knows, or may be told by the store.
    pub(crate) async fn end_everywhere(self, shared: &Shared) -> Response<Body> {
        let entry = self.entry().clone();
        let response = self.end();
        match shared.sessions.removed(&entry).await {
            Ok(()) => response,
            Err(unavailable) => Refusal::of_head(unavailable.into())
                .notify(shared.sessions.observers())
                .into_response(Version::HTTP_11),
        }
    }

    /// Waits for an inner service that keeps a session of its own, then ends ours, unless it
    /// refused and that counts. Errors and silence are no refusals.
    pub(crate) async fn ask<R, E>(
        mut self,
        answer: impl Future<Output = Result<Response<R>, E>>,
        shared: Arc<Shared>,
    ) -> Result<Response<Body>, E>
    where
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        if let Ok(Ok(response)) = timeout(PATIENCE, answer).await {
            let status = response.status();
            let is_refusal = status.is_client_error() && status != StatusCode::NOT_FOUND;
            if is_refusal && !shared.settings.end_on_refused_delete {
                // 405 says that clients may not end it: the session goes on.
                self.is_refused = true;
                let mut response = response.map(Body::new).map(without_session_id);
                response.headers_mut().remove(&SESSION_ID);
                return Ok(response);
            }
        }
        Ok(self.end_everywhere(&shared).await)
    }
}

impl Drop for Deletion {
    fn drop(&mut self) {
        if self.is_refused {
            self.entry().cancel_delete();
            return;
        }
        if !self.is_over {
            self.entry().mark_unheard();
        }
        self.sessions.delete(self.entry());
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
