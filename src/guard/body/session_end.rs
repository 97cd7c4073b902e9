//! Ends an event stream together with its session.

use std::sync::Arc;

use super::endable::StreamEnd;
use crate::protocol::inline_bytes::InlineBytes;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, InFlight, McpSession, Observers, StreamSlot};
use crate::sync::Notify;

/// Ends an event stream when its session ends or when a newer stream evicts it.
#[derive(Debug)]
pub(crate) struct SessionEnd {
    /// The id of the request that the stream answers. Without a last event, four clients wait for their
    /// timeout.
    request: Option<InlineBytes>,
    /// The place of a GET among the streams of its session.
    place: Option<StreamSlot>,
    // Dropped before `_open`, so that the session is no longer in use when the observers are notified.
    in_flight: InFlight,
    _open: Option<OpenStream>,
}

impl SessionEnd {
    /// Creates the end of a stream that needs no last event.
    pub(crate) fn new(in_flight: InFlight) -> Self {
        let open = OpenStream::new(in_flight.entry());
        Self {
            request: None,
            place: None,
            in_flight: in_flight.into_body(),
            _open: open,
        }
    }

    /// Creates the end of a stream that answers this request.
    pub(crate) fn of_call(in_flight: InFlight, request: InlineBytes) -> Self {
        Self {
            request: Some(request),
            ..Self::new(in_flight)
        }
    }

    /// Creates the end of a GET's stream.
    pub(crate) fn of_get(in_flight: InFlight, place: StreamSlot) -> Self {
        Self {
            place: Some(place),
            ..Self::new(in_flight)
        }
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        self.in_flight.entry()
    }
}

impl StreamEnd for SessionEnd {
    #[inline]
    fn is_due(&self) -> bool {
        !self.entry().is_usable() || self.place.as_ref().is_some_and(StreamSlot::is_evicted)
    }

    fn changed(&self) -> Arc<Notify> {
        self.entry().lazy.changed()
    }

    fn last_event(&self) -> Option<Refusal> {
        // The stream may end while its session continues, for example because a DELETE was refused.
        let request = self
            .request
            .as_ref()
            .filter(|_| !self.entry().is_usable())?;
        let id = Some(request.as_bytes());
        Some(Refusal::for_message(RefusalReason::SessionEnded, id))
    }

    #[inline]
    fn on_data(&self) {
        self.in_flight.carried();
    }

    /// Returns whether a call's session has a DELETE under way. Servers end the streams of a session
    /// before they answer its DELETE, but the client of the call needs a last event if the session ends.
    fn withholds_end(&self) -> bool {
        self.request.is_some() && self.entry().is_deleting()
    }
}

/// An event stream that was announced to the observers. Notifies them of its end on drop.
#[derive(Debug)]
struct OpenStream {
    observers: Arc<Observers>,
    session: McpSession,
}

impl OpenStream {
    fn new(entry: &Arc<Entry>) -> Option<Self> {
        let observers = entry.observers().filter(|_| entry.is_usable())?;
        let session = McpSession::new(entry.clone());
        observers.stream_opened(&session);
        Some(Self { observers, session })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.observers.stream_closed(self.session.clone());
    }
}
