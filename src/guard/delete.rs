//! DELETE (contract §5): the client ends its session.

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
    /// Ends a session at its client's word.
    pub(super) fn delete(
        &mut self,
        parts: Parts,
        body: BodyReader,
        session: InFlight,
        flags: HeadFlags,
    ) -> State<S> {
        match body.if_must_be_dropped(&parts) {
            None => self.delete_now(parts, session, flags),
            Some(rest) => State::wait(self.unready().delete_behind(rest, parts, session, flags)),
        }
    }

    /// Ends a session once the rest of the DELETE's body was dropped. Until then the session may end by
    /// other means.
    async fn delete_behind(
        mut self,
        mut rest: BodyReader,
        parts: Parts,
        session: InFlight,
        flags: HeadFlags,
    ) -> Result<Response<Body>, S::Error> {
        poll_fn(|cx| rest.poll_drop(cx)).await;
        if session.entry().inner_id().is_some() {
            poll_fn(|cx| self.inner.poll_ready(cx)).await?;
        }
        let state = self.delete_now(parts, session, flags);
        ResponseFuture { state }.await
    }

    fn delete_now(&mut self, mut parts: Parts, session: InFlight, flags: HeadFlags) -> State<S> {
        let shared = self.shared.clone();
        let response = match Deletion::begin(session, &shared.sessions) {
            Ok(deletion) if deletion.entry().inner_id().is_some() => {
                forward::prepare_stream(&mut parts, deletion.entry(), flags);
                let answer = self.inner.call(Request::from_parts(parts, Body::empty()));
                return State::wait(deletion.ask(answer, shared));
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

/// The one DELETE of a session that is under way. It ends the session, also if its client is gone
/// before the inner service has answered; only where that refused another may be tried.
#[derive(Debug)]
struct Deletion {
    session: InFlight,
    sessions: Sessions,
    is_settled: bool,
}

impl Deletion {
    /// Gives the session back where another is under way.
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

    /// Ends the session, for the inner service has heard the DELETE, or need not.
    fn end(mut self) -> Response<Body> {
        self.finish();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// Ends the session; answered once every process knows, or may be told by the store.
    async fn end_everywhere(self, shared: &Shared) -> Response<Body> {
        let entry = self.entry().clone();
        let response = self.end();
        match shared.sessions.removed(&entry).await {
            Ok(()) => response,
            Err(unavailable) => Refusal::of_head(unavailable.into())
                .respond(shared.sessions.observers(), Version::HTTP_11),
        }
    }

    /// Waits for an inner service that keeps a session of its own, then ends ours, unless it
    /// refused and that counts. Errors and silence are no refusals.
    async fn ask<R, E>(
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
                // 405 says that clients may not end it: the session goes on.
                self.cancel();
                let mut response = response.map(Body::new).map(without_session_id);
                response.headers_mut().remove(&SESSION_ID);
                return Ok(response);
            }
        }
        Ok(self.end_everywhere(&shared).await)
    }

    /// The session ends.
    fn finish(&mut self) {
        self.is_settled = true;
        self.sessions.delete(self.entry());
    }

    /// The session goes on, and another DELETE may be tried.
    fn cancel(&mut self) {
        self.is_settled = true;
        self.entry().cancel_delete();
    }
}

impl Drop for Deletion {
    /// Ends the session of a client that has left. The inner service may not have heard.
    fn drop(&mut self) {
        if !self.is_settled {
            self.entry().mark_unheard();
            self.finish();
        }
    }
}
