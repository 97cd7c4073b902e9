//! The event stream that answers `initialize`: watched until the response has passed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::asked::{Asked, Outcome, keep_version};
use crate::guard::body::endable::{EndableStream, StreamEnd};
use crate::guard::body::session_end::SessionEnd;
use crate::guard::body::trailers;
use crate::promises::MAX_OPENING;
use crate::protocol::sse::{EventReader, Tail};
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Entry, InFlight, Watch};
use crate::sessions::Sessions;

pin_project! {
    /// A provisional session's stream.
    #[project = OpeningStreamProj]
    pub(crate) enum OpeningStream {
        // The response has passed.
        Answered { #[pin] stream: EndableStream<SessionEnd> },
        // It has not passed yet. `None` once the stream is over without it.
        Unanswered { stream: Option<Box<Unanswered>>, #[pin] watch: Watch },
    }

    impl PinnedDrop for OpeningStream {
        fn drop(this: Pin<&mut Self>) {
            if let OpeningStreamProj::Unanswered { stream: Some(stream), .. } = this.project() {
                stream.abandon();
            }
        }
    }
}

impl OpeningStream {
    pub(crate) fn new(
        body: Body,
        in_flight: InFlight,
        request: Asked,
        sessions: Sessions,
        report_only: bool,
    ) -> Self {
        Self::Unanswered {
            stream: Some(Box::new(Unanswered {
                body,
                tail: Tail::default(),
                end: SessionEnd::new(in_flight),
                request,
                sessions,
                report_only,
                reader: EventReader::default(),
                passed: 0,
                withheld: None,
            })),
            watch: Watch::default(),
        }
    }
}

impl HttpBody for OpeningStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let (stream, watch) = match self.as_mut().project() {
            OpeningStreamProj::Answered { stream } => return stream.poll_frame(cx),
            OpeningStreamProj::Unanswered { stream, watch } => (stream, watch),
        };
        let Some(unanswered) = stream else {
            return Poll::Ready(None);
        };
        match ready!(unanswered.poll(watch, cx)) {
            Seen::Bytes(frame) => Poll::Ready(Some(Ok(frame))),
            Seen::End(polled) => {
                unanswered.abandon();
                *stream = None;
                Poll::Ready(polled)
            }
            Seen::Response(frame) => {
                if let Some(answered) = stream.take() {
                    let Unanswered { body, end, .. } = *answered;
                    let stream = EndableStream::new(body, end);
                    self.set(Self::Answered { stream });
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answered { stream } => stream.is_end_stream(),
            Self::Unanswered { stream, .. } => stream.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answered { stream } => stream.size_hint(),
            // It may end early.
            Self::Unanswered { .. } => SizeHint::default(),
        }
    }
}

/// What a body says when it is asked for a frame.
type Polled = Option<Result<Frame<Bytes>, axum::Error>>;

/// What came next in a stream.
enum Seen {
    Bytes(Frame<Bytes>),
    /// Its end, without the response.
    End(Polled),
    /// Bytes with the response.
    Response(Frame<Bytes>),
}

struct Unanswered {
    body: Body,
    tail: Tail,
    end: SessionEnd,
    request: Asked,
    sessions: Sessions,
    report_only: bool,
    reader: EventReader,
    passed: usize,
    withheld: Option<Withheld>,
}

/// Bytes with the response, while the store is told of the session that they open.
struct Withheld {
    data: Bytes,
    kept: Pin<Box<dyn Future<Output = bool> + Send>>,
}

impl Unanswered {
    fn poll(&mut self, watch: Pin<&mut Watch>, cx: &mut Context<'_>) -> Poll<Seen> {
        if !self.end.is_due() {
            if let Poll::Ready(seen) = self.poll_inner(cx) {
                return Poll::Ready(seen);
            }
            ready!(watch.poll(|| self.end.changed(), || self.end.is_due(), cx));
        }
        // What a client that waits for the response must still be told.
        let refusal = self.request.refusal(RefusalReason::SessionEnded);
        let is_between_events = self.tail.is_between_events();
        let last = is_between_events.then(|| Ok(Frame::data(refusal.to_event())));
        Poll::Ready(Seen::End(last))
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        loop {
            if self.withheld.is_some() {
                return self.poll_withheld(cx);
            }
            let mut frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                over => return Poll::Ready(Seen::End(over)),
            };
            trailers::strip(&mut frame);
            match self.look_for_response(frame) {
                // The consumer may not ask again.
                Some(Seen::Bytes(frame)) if self.body.is_end_stream() => {
                    return Poll::Ready(Seen::End(Some(Ok(frame))));
                }
                Some(seen) => return Poll::Ready(seen),
                None => {}
            }
        }
    }

    /// Looks at the bytes that came. With the response among them a result makes the session live,
    /// an error ends it. Too much before it ends the session too. `None` where the bytes are withheld.
    fn look_for_response(&mut self, frame: Frame<Bytes>) -> Option<Seen> {
        let Some(data) = frame.data_ref() else {
            return Some(Seen::Bytes(frame));
        };
        let entry = self.end.entry();
        self.end.carried();
        self.passed = self.passed.saturating_add(data.len());
        let mut response = None;
        self.reader.push(data, |message| {
            if response.is_none() {
                response = match self.request.outcome(message) {
                    Outcome::Unrelated(_) => None,
                    outcome => Some(outcome),
                };
            }
        });
        self.tail.push(data);
        match response {
            Some(Outcome::Result(protocol_version)) => {
                keep_version(entry, protocol_version);
                if entry.has_store() {
                    self.withheld = Some(Withheld::new(
                        data.clone(),
                        entry.clone(),
                        self.sessions.clone(),
                    ));
                    return None;
                }
                entry.confirm();
            }
            Some(_) => drop(entry.leave(EndReason::Abandoned)),
            None => {
                if self.passed > MAX_OPENING {
                    entry.leave(EndReason::Unconfirmed);
                }
                return Some(Seen::Bytes(frame));
            }
        }
        Some(Seen::Response(frame))
    }

    /// The bytes that were withheld, once the store has the session. Where it failed, the session ends.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        let Some(withheld) = &mut self.withheld else {
            return Poll::Pending;
        };
        let is_kept = ready!(withheld.kept.as_mut().poll(cx));
        let entry = self.end.entry();
        match is_kept {
            true => entry.confirm(),
            false => drop(entry.leave(EndReason::Abandoned)),
        }
        let data = self.withheld.take().map(|withheld| withheld.data);
        match data.filter(|_| is_kept || self.report_only) {
            Some(data) => Poll::Ready(Seen::Response(Frame::data(data))),
            None => Poll::Pending,
        }
    }

    /// The stream is over without the response. Only a client that knows an event id can still
    /// resume it.
    fn abandon(&mut self) {
        if !self.reader.saw_id() || self.withheld.is_some() {
            self.end.entry().leave(EndReason::Abandoned);
        }
    }
}

impl Withheld {
    fn new(data: Bytes, entry: Arc<Entry>, sessions: Sessions) -> Self {
        let kept = Box::pin(async move { sessions.keep(&entry).await.is_ok() });
        Self { data, kept }
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered").finish_non_exhaustive()
    }
}
