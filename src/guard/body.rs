//! Response bodies tied to their session's life: while one goes on the idle clock stands, and an
//! event stream ends when its session does.

pub(crate) mod trailers;

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::opening::stream::OpeningStream;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::sse::Tail;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::Observers;
use crate::session::{EndReason, Entry, InFlight, McpSession, StreamPlace, Watch};

pin_project! {
    /// A response body that is in flight until its end.
    pub(crate) struct SessionBody<B> {
        #[pin]
        inner: B,
        #[pin]
        watch: Watch,
        tie: Tie,
    }
}

/// What a body says when it is asked for a frame.
type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

impl<B: Body> SessionBody<B> {
    pub(crate) fn new(inner: B, in_flight: InFlight, role: Role) -> Self {
        let is_stream = role.ends_with_session() && in_flight.entry().is_usable();
        let observers = match is_stream {
            true => in_flight.entry().observers(),
            false => None,
        };
        if let Some(observers) = &observers {
            observers.stream_opened(&McpSession::new(in_flight.entry().clone()));
        }
        let mut tie = Tie {
            role,
            observers,
            in_flight: Some(in_flight.into_body()),
        };
        if inner.is_end_stream() {
            tie.finish();
        }
        Self {
            inner,
            watch: Watch::default(),
            tie,
        }
    }
}

impl<B> SessionBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// All but a frame that just passes; `polled` is what the inner body has said instead, if it was
    /// asked.
    #[inline(never)]
    fn poll_on(
        self: Pin<&mut Self>,
        was_asked: bool,
        polled: &mut Polled<B::Error>,
        cx: &mut Context<'_>,
    ) {
        let asked = was_asked.then(|| mem::replace(polled, Poll::Pending));
        *polled = self.poll_seldom(asked, cx);
    }

    fn poll_seldom(
        mut self: Pin<&mut Self>,
        polled: Option<Polled<B::Error>>,
        cx: &mut Context<'_>,
    ) -> Polled<B::Error> {
        let mut this = self.as_mut().project();
        let Some(in_flight) = &this.tie.in_flight else {
            return Poll::Ready(None);
        };
        let entry = in_flight.entry();
        if polled.is_some() || !this.tie.role.is_over(entry) {
            let held = match polled {
                Some(_) => None,
                None => this.tie.role.poll_held(entry, cx),
            };
            let mut polled = match held {
                Some(Poll::Ready(Some(data))) => {
                    this.tie.role = Role::Stream { place: None };
                    if this.inner.is_end_stream() {
                        this.tie.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(_) => Poll::Pending,
                None => polled.unwrap_or_else(|| this.inner.as_mut().poll_frame(cx)),
            };
            match &mut polled {
                Poll::Ready(Some(Ok(frame))) => {
                    trailers::strip(frame);
                    if this.tie.carried(frame.data_ref()) == Passage::Held {
                        return self.poll_frame(cx);
                    }
                    // The consumer may not ask again.
                    if this.inner.is_end_stream() && !this.tie.may_hold() {
                        this.tie.finish();
                    }
                    return polled;
                }
                Poll::Ready(Some(Err(_))) => {
                    this.tie.abandon();
                    return polled;
                }
                Poll::Ready(None) if this.tie.may_hold() => this.tie.role.hold(),
                Poll::Ready(None) => {
                    this.tie.finish();
                    return polled;
                }
                Poll::Pending => {}
            }
            if !this.tie.role.ends_with_session() {
                return Poll::Pending;
            }
            ready!(
                this.watch
                    .poll(|| entry.extras.bell(), || this.tie.role.is_over(entry), cx)
            );
        }
        let last = match entry.is_usable() {
            // Not the session is over, but this stream.
            true => None,
            false => this.tie.role.last_event(),
        };
        this.tie.finish();
        Poll::Ready(last.map(|event| Ok(Frame::data(event))))
    }
}

impl<B> Body for SessionBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Error> {
        let mut this = self.as_mut().project();
        let flows = this.tie.flows();
        let mut polled = match flows {
            true => this.inner.as_mut().poll_frame(cx),
            false => Poll::Pending,
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut polled {
            trailers::strip(frame);
            this.tie.passed(frame.data_ref());
            // The consumer may not ask again.
            if this.inner.is_end_stream() && !this.tie.may_hold() {
                this.tie.finish();
            }
        } else {
            self.poll_on(flows, &mut polled, cx);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.tie.in_flight.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.tie {
            Tie {
                in_flight: None, ..
            } => SizeHint::with_exact(0),
            // May end before its time.
            Tie { role, .. } if role.ends_with_session() => SizeHint::default(),
            Tie { .. } => self.inner.size_hint(),
        }
    }
}

/// What a response body is to its session.
#[derive(Debug)]
pub(crate) enum Role {
    /// The event stream that answers a request.
    Call {
        request: InlineBytes,
        tail: Tail,
        /// The inner service has ended it while a DELETE of its session was under way. Servers do
        /// so before they answer that: whoever waits must still be told once the session ends.
        is_held: bool,
    },
    /// The answer to `initialize`: if the client does not take it whole, the session ends.
    Opening,
    /// The event stream that answers `initialize`, until the response has passed in it.
    OpeningStream(Box<OpeningStream>),
    /// Anything but an event stream: runs to its own end.
    Plain,
    /// A GET event stream, with its place among those of its session; or an event stream whose end
    /// needs no word.
    Stream { place: Option<StreamPlace> },
}

impl Role {
    fn ends_with_session(&self) -> bool {
        !matches!(self, Self::Opening | Self::Plain)
    }

    #[inline]
    fn is_over(&self, entry: &Entry) -> bool {
        match self {
            Self::Opening | Self::Plain => false,
            Self::Call { is_held: true, .. } if !entry.is_deleting() => true,
            Self::Call { .. } | Self::OpeningStream(_) | Self::Stream { place: None } => {
                !entry.is_usable()
            }
            Self::Stream { place: Some(place) } => !entry.is_usable() || place.is_evicted(),
        }
    }

    /// Whether frames may have to wait.
    fn may_hold_back(&self) -> bool {
        matches!(
            self,
            Self::Call { is_held: true, .. } | Self::OpeningStream(_)
        )
    }

    fn hold(&mut self) {
        if let Self::Call { is_held, .. } = self {
            *is_held = true;
        }
    }

    /// Whether something is held back: bytes that come once the store has the session, or nothing but
    /// the end.
    #[inline]
    fn poll_held(
        &mut self,
        entry: &Arc<Entry>,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Option<Bytes>>> {
        match self {
            Self::Call { is_held: true, .. } => Some(Poll::Pending),
            Self::OpeningStream(opening) if opening.is_held() => Some(opening.poll_held(entry, cx)),
            _ => None,
        }
    }

    /// What a client that waits for its answer must still be told. Without it four clients wait
    /// for their timeout.
    fn last_event(&self) -> Option<Bytes> {
        match self {
            Self::Call { request, tail, .. } if tail.is_between_events() => {
                let id = Some(request.as_bytes());
                Some(Refusal::of_message(RefusalReason::SessionEnded, id).to_event())
            }
            Self::OpeningStream(opening) => opening.last_event(),
            _ => None,
        }
    }
}

/// What becomes of the bytes that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Passage {
    /// They pass.
    Free,
    /// They pass, and the response to `initialize` is among them.
    Answered,
    /// They wait until the store has the session that they open.
    Held,
}

/// A body in flight; dropped before its end, it was abandoned.
#[derive(Debug)]
struct Tie {
    role: Role,
    /// Who is told of an event stream's end.
    observers: Option<Arc<Observers>>,
    /// `None` once the body is over.
    in_flight: Option<InFlight>,
}

impl Tie {
    /// Whether the inner service's end is kept from the client until the DELETE has been answered.
    fn may_hold(&self) -> bool {
        let entry = self.in_flight.as_ref().map(InFlight::entry);
        matches!(self.role, Role::Call { .. }) && entry.is_some_and(|entry| entry.is_deleting())
    }

    /// Whether the next frame, if there is one, just passes.
    #[inline]
    fn flows(&self) -> bool {
        let Some(in_flight) = &self.in_flight else {
            return false;
        };
        match &self.role {
            Role::Call { is_held: false, .. } | Role::Stream { place: None } => {
                in_flight.entry().is_usable()
            }
            role => !role.may_hold_back() && !role.is_over(in_flight.entry()),
        }
    }

    /// A frame passed of which nothing is to be read.
    #[inline]
    fn passed(&mut self, data: Option<&Bytes>) {
        if let (Some(in_flight), Some(data)) = (&self.in_flight, data) {
            in_flight.carried();
            if let Role::Call { tail, .. } = &mut self.role {
                tail.push(data);
            }
        }
    }

    fn carried(&mut self, data: Option<&Bytes>) -> Passage {
        let (Some(in_flight), Some(data)) = (&self.in_flight, data) else {
            return Passage::Free;
        };
        in_flight.carried();
        // Frames of all others just pass.
        let Role::OpeningStream(opening) = &mut self.role else {
            return Passage::Free;
        };
        let passage = opening.carried(data, in_flight.entry());
        if passage == Passage::Answered {
            self.role = Role::Stream { place: None };
        }
        passage
    }

    #[inline(never)]
    fn finish(&mut self) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        match &mut self.role {
            Role::OpeningStream(opening) => opening.ended(in_flight.entry()),
            Role::Stream { place } => drop(place.take()),
            Role::Opening => in_flight.entry().confirm(),
            _ => {}
        }
        if let Some(observers) = self.observers.take() {
            let session = McpSession::new(in_flight.entry().clone());
            // It is no longer in flight when that is told.
            drop(in_flight);
            observers.stream_closed(&session);
        }
    }

    fn abandon(&mut self) {
        if let (Role::Opening, Some(in_flight)) = (&self.role, &self.in_flight) {
            in_flight.entry().leave(EndReason::Abandoned);
        }
        self.finish();
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.abandon();
    }
}
