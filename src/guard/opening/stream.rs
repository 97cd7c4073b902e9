//! The event stream that answers `initialize`: watched until the response has passed.

use std::sync::Arc;

use bytes::Bytes;

use super::events::EventReader;
use super::{Asked, LARGEST_ANSWER, Outcome, keep_version};
use crate::guard::body::Tail;
use crate::guard::reason::RefusalReason;
use crate::session::{EndReason, Entry};

/// A provisional session's stream.
#[derive(Debug)]
pub(crate) struct OpeningStream {
    request: Asked,
    reader: EventReader,
    passed: usize,
    tail: Tail,
}

impl OpeningStream {
    pub(crate) fn new(request: Asked) -> Self {
        Self {
            request,
            reader: EventReader::default(),
            passed: 0,
            tail: Tail::default(),
        }
    }

    /// Looks at the bytes that pass. `true` once the response was among them: a result makes the
    /// session live, an error ends it. Too much before it ends the session too.
    pub(crate) fn carried(&mut self, data: &[u8], entry: &Arc<Entry>) -> bool {
        self.tail.push(data);
        self.passed = self.passed.saturating_add(data.len());
        let mut response = None;
        self.reader.push(data, |message| {
            response = response.take().or_else(|| self.request.outcome(message));
        });
        match response {
            Some(Outcome::Result(protocol_version)) => {
                keep_version(entry, protocol_version);
                entry.confirm();
            }
            Some(Outcome::Error) => {
                entry.leave(EndReason::Abandoned);
            }
            None => {
                if self.passed > LARGEST_ANSWER {
                    entry.leave(EndReason::Unconfirmed);
                }
                return false;
            }
        }
        true
    }

    /// The stream is over without the response. Only a client that knows an event id can still
    /// resume it.
    pub(crate) fn ended(&self, entry: &Arc<Entry>) {
        if !self.reader.saw_id() {
            entry.leave(EndReason::Abandoned);
        }
    }

    /// What a client that waits for the response must still be told.
    pub(crate) fn last_event(&self) -> Option<Bytes> {
        let refusal = self.request.refusal(RefusalReason::SessionEnded);
        self.tail.is_between_events().then(|| refusal.to_event())
    }
}
