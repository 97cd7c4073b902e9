//! The middleware, where every request enters the guard.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::admit::{Admission, Identified};
use super::admitted::{Admitted, Named};
use super::answer::call::Call;
use super::body::trailers::without_session_id;
use super::body_reader::BodyReader;
use super::forward;
use super::future::{ResponseFuture, State};
use super::head::HeadFlags;
use super::inner_call::InnerCall;
use super::post::Post;
use super::report_only::PassThrough;
use super::shared::Shared;
use super::until_ended::Cancellable;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::RefusalReason;
use crate::session::{Entry, InFlight};

/// Middleware that owns the sessions of the MCP endpoint it wraps.
///
/// [`SessionGuardLayer`](crate::SessionGuardLayer) creates this service. The guard accepts requests with
/// any body. The inner service receives axum's body with exactly the bytes that the guard judged, and the
/// client receives axum's body. Errors of the inner service pass through.
#[derive(Clone, Debug)]
pub struct SessionGuard<S> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared>,
}

impl<S> SessionGuard<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for SessionGuard<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let body = BodyReader::new(Body::new(body), &self.shared.settings);
        let admission = self.shared.admit(&parts);
        ResponseFuture {
            state: self.proceed(parts, body, admission),
        }
    }
}

impl<S, R> SessionGuard<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Handles a request by its admission. The inner service must be ready.
    fn proceed(
        &mut self,
        parts: Parts,
        body: BodyReader,
        admission: Result<Admission, RefusalReason>,
    ) -> State<S> {
        match admission {
            Ok(Admission::Message(admitted)) => self.read_message(parts, body, admitted),
            Ok(Admission::Stream(session, flags)) => self.open_stream(parts, body, session, flags),
            Ok(Admission::Delete(session, flags)) => self.delete(parts, body, session, flags),
            Ok(Admission::AskStore(identified, id)) => {
                State::wait(self.unready().ask_store(parts, body, identified, id))
            }
            Ok(Admission::Preflight) => self.preflight(parts, body),
            Err(reason) => self.refuse(reason, parts, body),
        }
    }

    fn read_message(
        &mut self,
        mut parts: Parts,
        mut body: BodyReader,
        admitted: Admitted,
    ) -> State<S> {
        // Nearly every body has already arrived, so the future is boxed only if it has not.
        match body.read_now() {
            Some(Ok(message)) => match self.judge(&mut parts, &message, admitted) {
                Ok(inner_call) => {
                    let request = Request::from_parts(parts, Body::from(message));
                    self.call_inner(request, inner_call)
                }
                Err(response) => self.answer(*response, None),
            },
            Some(Err(reason)) => self.refuse(reason, parts, body),
            None => State::wait(self.unready().await_message(parts, body, admitted)),
        }
    }

    /// Waits for the body of a message, then judges the message.
    async fn await_message(
        mut self,
        mut parts: Parts,
        mut body: BodyReader,
        admitted: Admitted,
    ) -> Result<Response<Body>, S::Error> {
        let message = match poll_fn(|cx| body.poll_read(cx)).await {
            Ok(message) => message,
            Err(reason) => {
                let state = self.refuse(reason, parts, body);
                return ResponseFuture { state }.await;
            }
        };
        match self.judge(&mut parts, &message, admitted) {
            Ok(inner_call) => {
                let request = Request::from_parts(parts, Body::from(message));
                self.call_when_ready(request, inner_call, None).await
            }
            Err(response) => Ok(*response),
        }
    }

    fn judge(
        &self,
        parts: &mut Parts,
        message: &Bytes,
        admitted: Admitted,
    ) -> Result<InnerCall, Box<Response<Body>>> {
        let post = Post {
            shared: &self.shared,
            parts,
            admitted,
        };
        post.judge(message, &self.inner)
    }

    fn open_stream(
        &mut self,
        mut parts: Parts,
        body: BodyReader,
        mut session: InFlight,
        flags: HeadFlags,
    ) -> State<S> {
        session.admit();
        let call = Call::stream(session, flags, &parts, &self.shared.settings);
        let unread = body.if_must_be_dropped(&parts);
        forward::prepare_stream(&mut parts, call.entry(), flags);
        self.call_after_drop(unread, parts, InnerCall::Call(call))
    }

    fn preflight(&mut self, mut parts: Parts, body: BodyReader) -> State<S> {
        let unread = body.if_must_be_dropped(&parts);
        forward::prepare_preflight(&mut parts);
        let state = self.call_after_drop(unread, parts, InnerCall::Pass(PassThrough::default()));
        State::wait(async {
            let mut response = ResponseFuture { state }.await?;
            response.headers_mut().remove(&SESSION_ID);
            Ok(response.map(without_session_id))
        })
    }

    /// Drops the unread rest of the request's body, then calls the inner service without a body.
    fn call_after_drop(
        &mut self,
        unread: Option<BodyReader>,
        parts: Parts,
        inner_call: InnerCall,
    ) -> State<S> {
        let request = Request::from_parts(parts, Body::empty());
        match unread {
            None => self.call_inner(request, inner_call),
            Some(_) => State::wait(self.unready().call_when_ready(request, inner_call, unread)),
        }
    }

    /// Asks the store for the session that a request names, then handles the request.
    async fn ask_store(
        mut self,
        parts: Parts,
        body: BodyReader,
        identified: Identified,
        id: HeaderValue,
    ) -> Result<Response<Body>, S::Error> {
        let named = self.shared.ask_store(&identified, &id).await;
        if let Named::Live(session) = &named {
            self.set_inner_delete(session.entry(), &parts);
        }
        let version = identified.flags.version(&parts.headers);
        let admission = self.shared.decide(identified, named, version);
        poll_fn(|cx| self.inner.poll_ready(cx)).await?;
        let state = self.proceed(parts, body, admission);
        drop(self);
        ResponseFuture { state }.await
    }

    /// Has the inner DELETE sent when this session ends, if the settings ask for it.
    fn set_inner_delete(&self, entry: &Arc<Entry>, parts: &Parts) {
        if self.shared.settings.end_inner_sessions && entry.inner_id().is_some() {
            let inner_deletes = &self.shared.inner_deletes;
            if let Some(inner_delete) = inner_deletes.prepare(self.inner.clone(), parts) {
                entry.lazy.set_inner_delete(entry, inner_delete);
            }
        }
    }
}
