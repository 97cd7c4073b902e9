//! Waits for an answer of the inner service that always passes on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;

use super::POLLED_AFTER_COMPLETION;

/// A call whose answer passes on.
pub(crate) trait PassOn {
    /// Passes the answer on.
    fn pass(self, response: Response<Body>) -> Response<Body>;
}

pin_project! {
    /// Waits for the answer, then passes it on.
    pub(crate) struct PassFuture<F, P> {
        #[pin]
        answer: F,
        call: Option<P>,
    }
}

impl<F, P> PassFuture<F, P> {
    pub(crate) fn new(answer: F, call: P) -> Self {
        Self {
            answer,
            call: Some(call),
        }
    }
}

impl<F, P, R, E> Future for PassFuture<F, P>
where
    F: Future<Output = Result<Response<R>, E>>,
    P: PassOn,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(cx))?;
        let call = this.call.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(Ok(call.pass(response.map(Body::new))))
    }
}
