//! The event stream that answers `initialize`: watched until the response has passed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{Asked, LARGEST_ANSWER, Outcome, keep_version};
use crate::guard::body::Passage;
use crate::protocol::sse::EventReader;
use crate::protocol::sse::Tail;
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Entry};
use crate::sessions::Sessions;

/// A provisional session's stream.
#[derive(Debug)]
pub(crate) struct OpeningStream {
    request: Asked,
    sessions: Sessions,
    report_only: bool,
    reader: EventReader,
    passed: usize,
    tail: Tail,
    held: Option<Held>,
}

/// Bytes with the response, while the store is told of the session that they open.
struct Held {
    data: Bytes,
    kept: Pin<Box<dyn Future<Output = bool> + Send>>,
}

impl OpeningStream {
    pub(crate) fn new(request: Asked, sessions: Sessions, report_only: bool) -> Self {
        Self {
            request,
            sessions,
            report_only,
            reader: EventReader::default(),
            passed: 0,
            tail: Tail::default(),
            held: None,
        }
    }

    /// Looks at the bytes that came. With the response among them a result makes the session live,
    /// an error ends it. Too much before it ends the session too.
    pub(crate) fn carried(&mut self, data: &Bytes, entry: &Arc<Entry>) -> Passage {
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
        if let Some(Outcome::Result(protocol_version)) = response {
            keep_version(entry, protocol_version);
            if entry.has_store() {
                self.hold(data.clone(), entry.clone());
                return Passage::Held;
            }
            entry.confirm();
            return Passage::Answered;
        }
        self.tail.push(data);
        if response.is_some() {
            entry.leave(EndReason::Abandoned);
            return Passage::Answered;
        }
        if self.passed > LARGEST_ANSWER {
            entry.leave(EndReason::Unconfirmed);
        }
        Passage::Free
    }

    fn hold(&mut self, data: Bytes, entry: Arc<Entry>) {
        let sessions = self.sessions.clone();
        let kept = Box::pin(async move { sessions.keep(&entry).await.is_ok() });
        self.held = Some(Held { data, kept });
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The bytes that were held, once the store has the session. `None` where it failed, which ends
    /// the session.
    pub(crate) fn poll_held(
        &mut self,
        entry: &Arc<Entry>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(None);
        };
        let is_kept = ready!(held.kept.as_mut().poll(cx));
        let data = self.held.take().map(|held| held.data);
        if is_kept {
            entry.confirm();
            return Poll::Ready(data);
        }
        entry.leave(EndReason::Abandoned);
        Poll::Ready(data.filter(|_| self.report_only))
    }

    /// The stream is over without the response. Only a client that knows an event id can still
    /// resume it.
    pub(crate) fn ended(&self, entry: &Arc<Entry>) {
        if !self.reader.saw_id() || self.is_held() {
            entry.leave(EndReason::Abandoned);
        }
    }

    /// What a client that waits for the response must still be told.
    pub(crate) fn last_event(&self) -> Option<Bytes> {
        let refusal = self.request.refusal(RefusalReason::SessionEnded);
        self.tail.is_between_events().then(|| refusal.to_event())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
