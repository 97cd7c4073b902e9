//! Watches the event stream that answers `initialize` until the response has passed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::request::{InitializeReply, OpeningRequest, set_protocol_version};
use crate::guard::body::endable::{EndableStream, StreamEnd};
use crate::guard::body::session_end::SessionEnd;
use crate::guard::body::trailers;
use crate::promises::MAX_OPENING;
use crate::protocol::sse::{EventReader, Tail};
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Entry, InFlight, Watch};
use crate::store_sync::StoreSync;

pin_project! {
    /// The event stream that answers `initialize`.
    #[project = OpeningStreamProj]
    pub(crate) enum OpeningStream {
        // The response has passed.
        Answered { #[pin] stream: EndableStream<SessionEnd> },
        // The response has not passed. `None` once the stream has ended without it.
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
        request: OpeningRequest,
        store_sync: Option<Arc<StoreSync>>,
        report_only: bool,
    ) -> Self {
        Self::Unanswered {
            stream: Some(Box::new(Unanswered {
                body,
                tail: Tail::default(),
                end: SessionEnd::new(in_flight),
                request,
                store_sync,
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
            // The stream may end early.
            Self::Unanswered { .. } => SizeHint::default(),
        }
    }
}

/// The result of polling a body for a frame.
type Polled = Option<Result<Frame<Bytes>, axum::Error>>;

/// The next part of a stream.
enum Seen {
    Bytes(Frame<Bytes>),
    /// The end of the stream, without the response.
    End(Polled),
    /// The bytes that contain the response.
    Response(Frame<Bytes>),
}

struct Unanswered {
    body: Body,
    tail: Tail,
    end: SessionEnd,
    request: OpeningRequest,
    store_sync: Option<Arc<StoreSync>>,
    report_only: bool,
    reader: EventReader,
    passed: usize,
    withheld: Option<Withheld>,
}

/// The bytes that contain the response, withheld until the store has the session.
struct Withheld {
    data: Bytes,
    stored: Pin<Box<dyn Future<Output = bool> + Send>>,
}

impl Unanswered {
    fn poll(&mut self, watch: Pin<&mut Watch>, cx: &mut Context<'_>) -> Poll<Seen> {
        if !self.end.is_due() {
            if let Poll::Ready(seen) = self.poll_inner(cx) {
                return Poll::Ready(seen);
            }
            ready!(watch.poll(|| self.end.changed(), || self.end.is_due(), cx));
        }
        // The client still waits for the response, so it needs a last event.
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
                // The consumer may not poll again.
                Some(Seen::Bytes(frame)) if self.body.is_end_stream() => {
                    return Poll::Ready(Seen::End(Some(Ok(frame))));
                }
                Some(seen) => return Poll::Ready(seen),
                None => {}
            }
        }
    }

    /// Looks for the response in a frame. A result makes the session live, and an error ends it. Too many
    /// bytes before the response also end it. Returns `None` if the frame is withheld.
    fn look_for_response(&mut self, frame: Frame<Bytes>) -> Option<Seen> {
        let Some(data) = frame.data_ref() else {
            return Some(Seen::Bytes(frame));
        };
        let entry = self.end.entry();
        self.end.on_data();
        self.passed = self.passed.saturating_add(data.len());
        let mut response = None;
        self.reader.push(data, |message| {
            if response.is_none() {
                response = match self.request.read_reply(message) {
                    InitializeReply::Unrelated(_) => None,
                    reply => Some(reply),
                };
            }
        });
        match response {
            Some(InitializeReply::Result(protocol_version)) => {
                set_protocol_version(entry, protocol_version);
                if let Some(store_sync) = self.store_sync.clone() {
                    self.withheld = Some(Withheld::new(data.clone(), entry.clone(), store_sync));
                    return None;
                }
                entry.confirm();
            }
            Some(_) => drop(entry.leave(EndReason::Abandoned)),
            None => {
                self.tail.push(data);
                if self.passed > MAX_OPENING {
                    entry.leave(EndReason::Unconfirmed);
                }
                return Some(Seen::Bytes(frame));
            }
        }
        Some(Seen::Response(frame))
    }

    /// Polls for the withheld bytes, which pass once the store has the session. If the store fails, the
    /// session ends.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        let Some(withheld) = &mut self.withheld else {
            return Poll::Pending;
        };
        let is_stored = ready!(withheld.stored.as_mut().poll(cx));
        let entry = self.end.entry();
        match is_stored {
            true => entry.confirm(),
            false => drop(entry.leave(EndReason::Abandoned)),
        }
        let data = self.withheld.take().map(|withheld| withheld.data);
        match data.filter(|_| is_stored || self.report_only) {
            Some(data) => Poll::Ready(Seen::Response(Frame::data(data))),
            None => Poll::Pending,
        }
    }

    /// Ends the session of a stream that ended without the response. If the client knows an event id and
    /// no response was withheld, the session continues, because the client can resume the stream.
    fn abandon(&mut self) {
        if !self.reader.saw_id() || self.withheld.is_some() {
            self.end.entry().leave(EndReason::Abandoned);
        }
    }
}

impl Withheld {
    fn new(data: Bytes, entry: Arc<Entry>, store_sync: Arc<StoreSync>) -> Self {
        let stored = Box::pin(async move { store_sync.keep(&entry).await.is_ok() });
        Self { data, stored }
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered").finish_non_exhaustive()
    }
}
