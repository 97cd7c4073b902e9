//! What follows once a request was judged: the inner service is called.

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
use super::modern::call::{ModernCall, ModernFuture};
use super::opening::Opening;
use super::report_only::Passing;
use super::service::SessionGuard;
use super::until_ended::{Waiting, until_ended};

/// What the inner service is called for.
pub(super) enum Next {
    /// A request of a live session.
    Call(Call),
    /// A message of the modern era.
    Modern(ModernCall),
    /// An `initialize`.
    Open(Opening),
    /// A request whose answer passes as it is.
    Pass(Passing),
}

impl Next {
    /// Awaits `future`, or returns `None` once the inner service need not be called any more.
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
    /// Calls the inner service, which is ready.
    pub(super) fn call_inner(&mut self, request: Request<Body>, next: Next) -> State<S> {
        match next {
            // Its session has ended, or it had to make room.
            Next::Call(call) if call.is_over() => self.answer(call.ended(), None),
            Next::Call(call) => State::Call {
                future: CallFuture::new(self.inner.call(request), call),
            },
            Next::Modern(call) => State::Modern {
                future: ModernFuture::new(self.inner.call(request), call),
            },
            Next::Pass(passing) => State::pass(self.inner.call(request), passing),
            Next::Open(opening) if opening.is_over() => self.answer(opening.ended(), None),
            Next::Open(opening) => State::wait(opening.conclude(self.inner.call(request))),
        }
    }

    /// Drops the rest of the request's body, then calls the inner service once it is ready.
    pub(super) async fn call_when_ready(
        mut self,
        request: Request<Body>,
        mut next: Next,
        rest: Option<BodyReader>,
    ) -> Result<Response<Body>, S::Error> {
        let ready = async {
            if let Some(mut rest) = rest {
                poll_fn(|cx| rest.poll_drop(cx)).await;
            }
            poll_fn(|cx| self.inner.poll_ready(cx)).await
        };
        next.until_ended(ready).await.transpose()?;
        let state = self.call_inner(request, next);
        ResponseFuture { state }.await
    }
}
