use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::admit::Admitted;
use super::answer::Call;
use super::body_reader::BodyReader;
use super::modern::call::ModernCall;
use super::opening::Opening;
use super::post::{Next, Post};
use super::report_only::Passing;
use super::shared::Shared;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Watch};

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
        // The inner service's answer passes as it is.
        Pass { #[pin] future: S::Future, passing: Passing },
        // The inner service answers a message of the modern era.
        Modern { #[pin] future: S::Future, call: Option<ModernCall> },
        // A POST's body is waited for. In a box, as what follows: seldom, and large.
        Read { reading: Option<Box<Reading<S>>> },
        // The inner service is asked again whether it is ready for a request.
        Ready { #[pin] watch: Watch, waiting: Option<Box<Waiting<S>>> },
        // The inner service answers in a live session.
        Call { #[pin] future: S::Future, #[pin] watch: Watch, call: Option<Call> },
        // The inner service answers an `initialize`.
        Open { #[pin] future: S::Future, #[pin] watch: Watch, opening: Option<Box<Opening>> },
        // DELETE, 404s of the inner service, answers that come slowly: seldom, so boxed.
        Wait { future: BoxFuture<S> },
        // The answer stands; what is left of the body is dropped first.
        Answer { answer: Option<(Response<Body>, Option<BodyReader>)> },
    }
}

/// A POST whose body has not come yet.
pub(super) struct Reading<S> {
    pub(super) intake: BodyReader,
    /// Not ready: who sends slowly must not hold a place in a limited one.
    pub(super) inner: S,
    pub(super) parts: Parts,
    pub(super) admitted: Admitted,
    pub(super) shared: Arc<Shared>,
}

/// A request that waits for an inner service that is not ready.
pub(super) struct Waiting<S> {
    /// What is dropped first: only a POST carries a body inward.
    rest: Option<BodyReader>,
    inner: S,
    request: Request<Body>,
    next: Next,
}

impl<S: Service<Request<Body>>> Waiting<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.poll_drop(cx));
            self.rest = None;
        }
        self.inner.poll_ready(cx)
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
        loop {
            let next = match state.as_mut().project() {
                StateProj::Pass { future, passing } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(mem::take(passing).pass(response)));
                }
                StateProj::Modern { future, call } => {
                    let response = ready!(future.poll(cx))?;
                    let call = call.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(call.pass(response)));
                }
                StateProj::Read { reading } => {
                    let intake = &mut reading.as_mut().expect(POLLED_AGAIN).intake;
                    let body = ready!(intake.poll_read(cx));
                    let Reading {
                        intake,
                        inner,
                        mut parts,
                        admitted,
                        shared,
                    } = *reading.take().expect(POLLED_AGAIN);
                    match body {
                        Ok(body) => {
                            let post = Post {
                                shared: &shared,
                                parts: &mut parts,
                                admitted,
                            };
                            match post.judge(&body, &inner) {
                                Next::Answer(response) => State::answer(*response, None),
                                next => {
                                    let request = Request::from_parts(parts, Body::from(body));
                                    State::ready(inner, request, next, None)
                                }
                            }
                        }
                        Err(reason) => State::refuse(reason, &shared, &parts, intake),
                    }
                }
                StateProj::Ready { watch, waiting } => {
                    let waited = waiting.as_mut().expect(POLLED_AGAIN);
                    match waited.poll(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => ready!(waited.next.poll_over(watch, cx)),
                    }
                    let mut waited = *waiting.take().expect(POLLED_AGAIN);
                    State::go(&mut waited.inner, waited.request, waited.next)
                }
                StateProj::Call {
                    future,
                    watch,
                    call,
                } => {
                    let awaited = call.as_mut().expect(POLLED_AGAIN);
                    let answer = match awaited.is_over() {
                        true => Poll::Pending,
                        false => future.poll(cx),
                    };
                    if answer.is_pending() {
                        awaited.wait();
                        let bell = || awaited.in_flight.entry().extras.bell();
                        ready!(watch.poll(bell, || awaited.is_over(), cx));
                    }
                    let entry = awaited.in_flight.entry();
                    // An answer that came in this very poll passes even if its handler ended the
                    // session; but after a DELETE has been answered nothing does.
                    let is_deleted = entry.end_reason() == Some(EndReason::Deleted);
                    let call = call.take().expect(POLLED_AGAIN);
                    match answer {
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(answer)) if !is_deleted => match call.pass(answer) {
                            Ok(response) => return Poll::Ready(Ok(response)),
                            Err(unclear) => State::wait(async { Ok(unclear.read().await) }),
                        },
                        _ => return Poll::Ready(Ok(call.ended())),
                    }
                }
                StateProj::Open {
                    future,
                    mut watch,
                    opening,
                } => {
                    let awaited = opening.as_ref().expect(POLLED_AGAIN);
                    let entry = awaited.entry();
                    let answer = future.poll(cx);
                    if answer.is_pending() {
                        let bell = || entry.extras.bell();
                        ready!(watch.as_mut().poll(bell, || awaited.is_over(), cx));
                    }
                    watch.stop(&entry.extras);
                    let opening = opening.take().expect(POLLED_AGAIN);
                    match answer {
                        Poll::Ready(answer) => match opening.conclude(answer?) {
                            Ok(response) => return Poll::Ready(Ok(response)),
                            Err(unread) => State::wait(async { Ok(unread.conclude().await) }),
                        },
                        Poll::Pending => return Poll::Ready(Ok(opening.ended())),
                    }
                }
                StateProj::Wait { future } => return future.as_mut().poll(cx),
                StateProj::Answer { answer } => {
                    let (_, rest) = answer.as_mut().expect(POLLED_AGAIN);
                    if let Some(rest) = rest {
                        ready!(rest.poll_drop(cx));
                    }
                    let (response, _) = answer.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(response));
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<Body>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, R> State<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Calls an inner service that is ready, or answers for it.
    pub(super) fn go(inner: &mut S, request: Request<Body>, next: Next) -> Self {
        match next {
            Next::Answer(response) => {
                release_readiness(inner);
                Self::answer(*response, None)
            }
            // Its session has ended, or it had to make room.
            Next::Call(call) if call.is_over() => {
                release_readiness(inner);
                Self::answer(call.ended(), None)
            }
            Next::Open(opening) if opening.is_over() => {
                release_readiness(inner);
                Self::answer(opening.ended(), None)
            }
            Next::Call(call) => Self::call(inner.call(request), call),
            Next::Modern(call) => Self::modern(inner.call(request), call),
            Next::Pass(passing) => Self::pass(inner.call(request), passing),
            Next::Open(opening) => Self::Open {
                future: inner.call(request),
                watch: Watch::default(),
                opening: Some(opening),
            },
        }
    }
}

impl<S: Service<Request<Body>>> State<S> {
    pub(super) fn read(reading: Reading<S>) -> Self {
        Self::Read {
            reading: Some(Box::new(reading)),
        }
    }

    /// Drops the rest of the request's body, then waits until `inner` is ready.
    pub(super) fn ready(
        inner: S,
        request: Request<Body>,
        mut next: Next,
        rest: Option<BodyReader>,
    ) -> Self {
        if let Next::Call(call) = &mut next {
            call.wait();
        }
        Self::Ready {
            watch: Watch::default(),
            waiting: Some(Box::new(Waiting {
                rest,
                inner,
                request,
                next,
            })),
        }
    }

    pub(super) fn pass(future: S::Future, passing: Passing) -> Self {
        Self::Pass { future, passing }
    }

    pub(super) fn modern(future: S::Future, call: ModernCall) -> Self {
        Self::Modern {
            future,
            call: Some(call),
        }
    }

    pub(super) fn call(future: S::Future, call: Call) -> Self {
        Self::Call {
            future,
            watch: Watch::default(),
            call: Some(call),
        }
    }

    pub(super) fn wait(
        future: impl Future<Output = Result<Response<Body>, S::Error>> + Send + 'static,
    ) -> Self {
        Self::Wait {
            future: Box::pin(future),
        }
    }

    /// Refuses a request whose body was not read to its end.
    pub(super) fn refuse(
        reason: RefusalReason,
        shared: &Shared,
        parts: &Parts,
        intake: BodyReader,
    ) -> Self {
        let refusal = Refusal::of_head(reason).notify(shared.sessions.observers());
        let response = refusal.into_response(parts.version);
        let rest = match reason {
            // It broke off: nothing more can come.
            RefusalReason::BodyBroken => None,
            _ => intake.if_must_be_dropped(parts),
        };
        Self::answer(response, rest)
    }

    pub(super) fn answer(response: Response<Body>, rest: Option<BodyReader>) -> Self {
        Self::Answer {
            answer: Some((response, rest)),
        }
    }
}

/// Gives an inner service's place back, where it is limited: it is not called yet, or not at all.
/// Returns one that is not ready.
pub(super) fn release_readiness<S: Clone>(inner: &mut S) -> S {
    *inner = inner.clone();
    inner.clone()
}

const POLLED_AGAIN: &str = "ResponseFuture polled after completion";
