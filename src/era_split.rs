//! A service that splits requests by era between two inner services.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::extract::{GuardRejection, Guarded};
use crate::protocol::era::Era;

/// Sends requests with sessions to one service and sessionless requests to another, so that a server can
/// migrate one era at a time.
///
/// Put it inside a guard that accepts both eras; the guard decides the era of each request. The service
/// with sessions (up to 2025-11-25, the specification's *legacy* era) also gets GET, DELETE and CORS
/// preflights. The other service gets the requests of 2026-07-28 on, the *modern* era. Without a guard the
/// answer is 500, so that no request reaches the wrong service.
///
/// ```
/// use axum::{Router, handler::HandlerWithoutStateExt};
/// use mcp_session_guard::{EraSplit, Eras, SessionGuardLayer};
///
/// async fn old() -> &'static str {
///     "speaks 2025-11-25, in sessions"
/// }
/// async fn new() -> &'static str {
///     "speaks 2026-07-28, without"
/// }
///
/// let both = EraSplit::new(old.into_service(), new.into_service());
/// let guard = SessionGuardLayer::builder().eras(Eras::Both).build()?;
/// let app: Router = Router::new().route_service("/mcp", both).route_layer(guard);
/// # let _ = app;
/// # Ok::<(), mcp_session_guard::ConfigError>(())
/// ```
pub struct EraSplit<L, M> {
    legacy: Half<L>,
    modern: Half<M>,
}

impl<L, M> EraSplit<L, M> {
    /// Creates a split between a service with sessions (`legacy`) and a sessionless service (`modern`).
    #[must_use]
    pub fn new(legacy: L, modern: M) -> Self {
        Self {
            legacy: Half::new(legacy),
            modern: Half::new(modern),
        }
    }
}

impl<L, M, R, Q> Service<Request<Body>> for EraSplit<L, M>
where
    L: Service<Request<Body>, Response = Response<R>>,
    M: Service<Request<Body>, Response = Response<Q>, Error = L::Error>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    Q: HttpBody<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = L::Error;
    type Future = EraSplitFuture<L::Future, M::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), L::Error>> {
        ready!(self.legacy.poll_ready(cx))?;
        self.modern.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = match request.extensions().get::<Guarded>() {
            None => Kind::Unguarded,
            Some(guarded) if guarded.era().is_some_and(Era::is_modern) => Kind::Modern {
                future: self.modern.call(request),
            },
            Some(_) => Kind::Legacy {
                future: self.legacy.call(request),
            },
        };
        EraSplitFuture { kind }
    }
}

impl<L: Clone, M: Clone> Clone for EraSplit<L, M> {
    fn clone(&self) -> Self {
        Self::new(self.legacy.service.clone(), self.modern.service.clone())
    }
}

impl<L: fmt::Debug, M: fmt::Debug> fmt::Debug for EraSplit<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraSplit")
            .field("legacy", &self.legacy.service)
            .field("modern", &self.modern.service)
            .finish()
    }
}

/// One of the two services. It remembers that it is ready, because a service that is not called stays
/// ready.
struct Half<S> {
    service: S,
    is_ready: bool,
}

impl<S> Half<S> {
    fn new(service: S) -> Self {
        Self {
            service,
            is_ready: false,
        }
    }

    fn poll_ready<B>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Request<B>>,
    {
        if !self.is_ready {
            ready!(self.service.poll_ready(cx))?;
            self.is_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    fn call<B>(&mut self, request: Request<B>) -> S::Future
    where
        S: Service<Request<B>>,
    {
        self.is_ready = false;
        self.service.call(request)
    }
}

pin_project! {
    /// The response future of [`EraSplit`].
    pub struct EraSplitFuture<L, M> {
        #[pin]
        kind: Kind<L, M>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<L, M> {
        Legacy { #[pin] future: L },
        Modern { #[pin] future: M },
        Unguarded,
    }
}

impl<L, M, R, Q, E> Future for EraSplitFuture<L, M>
where
    L: Future<Output = Result<Response<R>, E>>,
    M: Future<Output = Result<Response<Q>, E>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    Q: HttpBody<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Legacy { future } => {
                future.poll(cx).map_ok(|response| response.map(Body::new))
            }
            KindProj::Modern { future } => {
                future.poll(cx).map_ok(|response| response.map(Body::new))
            }
            KindProj::Unguarded => Poll::Ready(Ok(GuardRejection::NoGuard.into_response())),
        }
    }
}

impl<L, M> fmt::Debug for EraSplitFuture<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraSplitFuture").finish_non_exhaustive()
    }
}
