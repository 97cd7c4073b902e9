//! Calls the inner service for a request that was judged.

use std::future::{Future, poll_fn};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::answer::call::{Call, CallFuture};
use super::body_reader::BodyReader;
use super::future::{ResponseFuture, State};
use super::modern::call::ModernCall;
use super::opening::Opening;
use super::pass_on::PassFuture;
use super::report_only::PassThrough;
use super::service::SessionGuard;
use super::until_ended::{Cancellable, until_ended};

/// A call of the inner service, by the kind of its request.
pub(super) enum InnerCall {
    /// A request in a live session.
    Call(Call),
    /// A sessionless message.
    Modern(ModernCall),
    /// An `initialize`.
    Open(Opening),
    /// A request whose answer passes unchanged.
    Pass(PassThrough),
}

impl InnerCall {
    /// Awaits `future`. Returns `None` once the call is cancelled.
    async fn until_ended<F: Future>(&mut self, future: F) -> Option<F::Output> {
        match self {
            Self::Call(call) => until_ended(future, call).await,
            Self::Open(opening) => until_ended(future, opening).await,
            Self::Modern(_) | Self::Pass(_) => Some(future.await),
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
    /// Calls the inner service, which must be ready.
    pub(super) fn call_inner(&mut self, request: Request<Body>, inner_call: InnerCall) -> State<S> {
        match inner_call {
            // The session has ended, or the GET was evicted.
            InnerCall::Call(call) if call.is_cancelled() => {
                self.answer(call.ended_response(), None)
            }
            InnerCall::Call(call) => State::Call {
                future: CallFuture::new(self.inner.call(request), call),
            },
            InnerCall::Modern(call) => State::Modern {
                future: PassFuture::new(self.inner.call(request), call),
            },
            InnerCall::Pass(pass_through) => State::pass(self.inner.call(request), pass_through),
            InnerCall::Open(opening) if opening.is_cancelled() => {
                self.answer(opening.ended_response(), None)
            }
            InnerCall::Open(opening) => State::wait(opening.conclude(self.inner.call(request))),
        }
    }

    /// Drops the unread rest of the request's body, then calls the inner service once it is ready.
    pub(super) async fn call_when_ready(
        mut self,
        request: Request<Body>,
        mut inner_call: InnerCall,
        unread: Option<BodyReader>,
    ) -> Result<Response<Body>, S::Error> {
        let ready = async {
            if let Some(mut unread) = unread {
                poll_fn(|cx| unread.poll_drop(cx)).await;
            }
            poll_fn(|cx| self.inner.poll_ready(cx)).await
        };
        inner_call.until_ended(ready).await.transpose()?;
        let state = self.call_inner(request, inner_call);
        // The answer may take long, and must not keep the guard alive.
        drop(self);
        ResponseFuture { state }.await
    }
}
