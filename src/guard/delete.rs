//! Handles DELETE, with which a client ends its session (contract §5).

use std::future::{Future, poll_fn};
use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use tokio::time::timeout;
use tower_service::Service;

use super::answer::not_found;
use super::body::trailers::without_session_id;
use super::body_reader::BodyReader;
use super::forward;
use super::future::{ResponseFuture, State};
use super::head::HeadFlags;
use super::service::SessionGuard;
use super::shared::Shared;
use crate::promises::DELETE_TIMEOUT;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::Refusal;
use crate::session::{Entry, InFlight};
use crate::sessions::Sessions;

impl<S, R> SessionGuard<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Ends a session because its client sent DELETE.
    pub(super) fn delete(
        &mut self,
        parts: Parts,
        body: BodyReader,
        session: InFlight,
        flags: HeadFlags,
    ) -> State<S> {
        match body.if_must_be_dropped(&parts) {
            None => self.delete_now(parts, session, flags),
            Some(unread) => State::wait(
                self.unready()
                    .delete_after_drop(unread, parts, session, flags),
            ),
        }
    }

    /// Drops the unread rest of the DELETE's body, then ends the session. Meanwhile the session may end
    /// for another reason.
    async fn delete_after_drop(
        mut self,
        mut unread: BodyReader,
        parts: Parts,
        session: InFlight,
        flags: HeadFlags,
    ) -> Result<Response<Body>, S::Error> {
        poll_fn(|cx| unread.poll_drop(cx)).await;
        if session.entry().inner_id().is_some() {
            poll_fn(|cx| self.inner.poll_ready(cx)).await?;
        }
        let state = self.delete_now(parts, session, flags);
        drop(self);
        ResponseFuture { state }.await
    }

    fn delete_now(&mut self, mut parts: Parts, session: InFlight, flags: HeadFlags) -> State<S> {
        let shared = self.shared.clone();
        let response = match Deletion::begin(session, &shared.sessions) {
            Ok(deletion) if deletion.entry().inner_id().is_some() => {
                forward::prepare_stream(&mut parts, deletion.entry(), flags);
                let answer = self.inner.call(Request::from_parts(parts, Body::empty()));
                return State::wait(deletion.ask_inner(answer, shared));
            }
            Ok(deletion) if shared.sessions.store_sync().is_some() => {
                self.release_readiness();
                return State::wait(async move { Ok(deletion.end_everywhere(&shared).await) });
            }
            Ok(deletion) => deletion.end(),
            Err(session) => not_found(parts.version, session.entry()),
        };
        self.answer(response, None)
    }
}

/// The one DELETE of a session that is under way. It ends the session even if the client leaves before the
/// inner service answers. If the inner service refuses, the client may send another DELETE.
#[derive(Debug)]
struct Deletion {
    session: InFlight,
    sessions: Sessions,
    is_settled: bool,
}

impl Deletion {
    /// Begins the DELETE of a session. Returns the session if another DELETE is under way.
    fn begin(mut session: InFlight, sessions: &Sessions) -> Result<Self, InFlight> {
        if !session.entry().begin_delete() {
            return Err(session);
        }
        session.admit();
        Ok(Self {
            session,
            sessions: sessions.clone(),
            is_settled: false,
        })
    }

    fn entry(&self) -> &Arc<Entry> {
        self.session.entry()
    }

    /// Ends the session. The inner service already knows of the DELETE or does not need it.
    fn end(mut self) -> Response<Body> {
        self.finish();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// Ends the session, and returns the answer once the store has recorded the end for all nodes.
    async fn end_everywhere(self, shared: &Shared) -> Response<Body> {
        let entry = self.entry().clone();
        let response = self.end();
        match shared.sessions.removed(&entry).await {
            Ok(()) => response,
            Err(unavailable) => Refusal::for_head(unavailable.into())
                .respond(shared.sessions.observers(), Version::HTTP_11),
        }
    }

    /// Waits for the answer of an inner service with its own session, then ends ours. If the inner service
    /// refuses, the session continues, unless the settings ignore the refusal. An error or a timeout is
    /// no refusal.
    async fn ask_inner<R, E>(
        mut self,
        answer: impl Future<Output = Result<Response<R>, E>>,
        shared: Arc<Shared>,
    ) -> Result<Response<Body>, E>
    where
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        if let Ok(Ok(response)) = timeout(DELETE_TIMEOUT, answer).await {
            let status = response.status();
            let is_refusal = status.is_client_error() && status != StatusCode::NOT_FOUND;
            if is_refusal && !shared.settings.end_on_refused_delete {
                // The session continues: 405, for example, means that clients may not end it.
                self.cancel();
                let mut response = response.map(Body::new).map(without_session_id);
                response.headers_mut().remove(&SESSION_ID);
                return Ok(response);
            }
        }
        Ok(self.end_everywhere(&shared).await)
    }

    /// Ends the session.
    fn finish(&mut self) {
        self.is_settled = true;
        self.sessions.delete(self.entry());
    }

    /// Lets the session continue, so that the client may send another DELETE.
    fn cancel(&mut self) {
        self.is_settled = true;
        self.entry().cancel_delete();
    }
}

impl Drop for Deletion {
    /// Ends the session of a client that has left. The inner service may not have received the DELETE.
    fn drop(&mut self) {
        if !self.is_settled {
            self.entry().mark_delete_unanswered();
            self.finish();
        }
    }
}
