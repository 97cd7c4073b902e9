//! The response future, with one state for each kind of request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::POLLED_AFTER_COMPLETION;
use super::answer::call::CallFuture;
use super::body_reader::BodyReader;
use super::modern::call::ModernCall;
use super::pass_on::PassFuture;
use super::report_only::PassThrough;

pin_project! {
    /// Response future for [`SessionGuard`](super::SessionGuard).
    pub struct ResponseFuture<S>
    where
        S: Service<Request<Body>>,
    {
        #[pin]
        pub(super) state: State<S>,
    }
}

pin_project! {
    #[project = StateProj]
    pub(super) enum State<S>
    where
        S: Service<Request<Body>>,
    {
        // The guard answers. It drops the unread rest of the request's body first.
        Answer { answer: Option<(Response<Body>, Option<BodyReader>)> },
        // The inner service answers in a live session.
        Call { #[pin] future: CallFuture<S::Future> },
        // The inner service answers a sessionless message.
        Modern { #[pin] future: PassFuture<S::Future, ModernCall> },
        // The inner service's answer passes unchanged.
        Pass { #[pin] future: PassFuture<S::Future, PassThrough> },
        // `initialize`, DELETE, preflights, and requests that wait for the store, a body or readiness.
        Wait { future: BoxFuture<S> },
    }
}

type BoxFuture<S> = Pin<
    Box<dyn Future<Output = Result<Response<Body>, <S as Service<Request<Body>>>::Error>> + Send>,
>;

impl<S, R> Future for ResponseFuture<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let unread = match state.as_mut().project() {
            StateProj::Answer { answer } => return poll_answer(answer, cx).map(Ok),
            StateProj::Call { future } => match ready!(future.poll(cx))? {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(unread) => unread,
            },
            StateProj::Modern { future } => return future.poll(cx),
            StateProj::Pass { future } => return future.poll(cx),
            StateProj::Wait { future } => return future.as_mut().poll(cx),
        };
        let mut read: BoxFuture<S> = Box::pin(async { Ok(unread.read().await) });
        let polled = read.as_mut().poll(cx);
        state.set(State::Wait { future: read });
        polled
    }
}

/// Drops the unread rest of the request's body, then returns the answer.
fn poll_answer(
    answer: &mut Option<(Response<Body>, Option<BodyReader>)>,
    cx: &mut Context<'_>,
) -> Poll<Response<Body>> {
    if let (_, Some(unread)) = answer.as_mut().expect(POLLED_AFTER_COMPLETION) {
        ready!(unread.poll_drop(cx));
    }
    let (response, _) = answer.take().expect(POLLED_AFTER_COMPLETION);
    Poll::Ready(response)
}

impl<S: Service<Request<Body>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S: Service<Request<Body>>> State<S> {
    pub(super) fn answer(response: Response<Body>, unread: Option<BodyReader>) -> Self {
        Self::Answer {
            answer: Some((response, unread)),
        }
    }

    pub(super) fn pass(answer: S::Future, pass_through: PassThrough) -> Self {
        Self::Pass {
            future: PassFuture::new(answer, pass_through),
        }
    }

    pub(super) fn wait(
        future: impl Future<Output = Result<Response<Body>, S::Error>> + Send + 'static,
    ) -> Self {
        Self::Wait {
            future: Box::pin(future),
        }
    }
}
