//! The GET streams of a session. Plain streams and resumed ones (`Last-Event-ID`) have one limit
//! each, and a new stream evicts streams of its own kind only.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Entry;
use crate::sync::atomic::Ordering::Acquire;

/// The kind of stream that a GET asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StreamKind {
    Plain,
    /// A stream that broke off, from the event after the last one that the client received.
    Resumed,
}

/// The streams that a new stream evicted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gone {
    None,
    /// GETs whose answer has not begun.
    Waiting,
    /// The open streams up to this number.
    Open(u32),
}

/// The streams of one kind, oldest first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// GETs whose answer has not begun.
    waiting: VecDeque<u32>,
    open: VecDeque<u32>,
    last: u32,
}

impl Streams {
    /// Adds a GET that waits for its answer. Beyond the limit, evicts the oldest waiting GET. Open
    /// streams stay until the answer comes, because the answer may not be a stream.
    pub(super) fn wait(&mut self, limit: usize) -> (u32, Gone) {
        let number = self.next();
        let evicted = self.evict_waiting(limit.saturating_sub(1));
        self.waiting.push_back(number);
        (number, evicted)
    }

    /// Adds a stream that has begun. `waited` is the number of its GET, if that waited.
    pub(super) fn open(&mut self, waited: Option<u32>, limit: usize) -> (u32, Gone) {
        if let Some(waited) = waited {
            self.remove(waited);
        }
        let number = self.next();
        self.open.push_back(number);
        let mut evicted = self.evict_waiting(limit);
        // More than one, if another guard of the same sessions has a higher limit.
        while self.open.len() > limit {
            evicted = self.open.pop_front().map_or(evicted, Gone::Open);
        }
        (number, evicted)
    }

    /// Removes the oldest waiting GETs until at most `limit` streams are left, or none waits.
    fn evict_waiting(&mut self, limit: usize) -> Gone {
        let excess = self.len().saturating_sub(limit).min(self.waiting.len());
        self.waiting.drain(..excess);
        match excess {
            0 => Gone::None,
            _ => Gone::Waiting,
        }
    }

    pub(super) fn waits(&self, number: u32) -> bool {
        self.waiting.contains(&number)
    }

    pub(super) fn remove(&mut self, number: u32) {
        self.waiting.retain(|waiting| *waiting != number);
        self.open.retain(|open| *open != number);
    }

    /// Returns the number of waiting and open streams.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    /// Returns the number of open streams.
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether there has never been a stream. Numbers must not start again, so a used list
    /// must stay.
    pub(super) fn is_unused(&self) -> bool {
        self.last == 0
    }

    fn next(&mut self) -> u32 {
        self.last = self.last.saturating_add(1);
        self.last
    }
}

/// The place of a GET among the streams of its session, freed on drop.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    entry: Arc<Entry>,
    kind: StreamKind,
    number: u32,
}

impl StreamSlot {
    /// Adds a GET whose answer has not begun.
    pub(crate) fn wait(entry: Arc<Entry>, kind: StreamKind, limit: usize) -> Self {
        let number = entry.lazy.add_waiting(kind, limit);
        Self {
            entry,
            kind,
            number,
        }
    }

    /// Adds a stream that has begun. `waited` is the place of its GET, if that waited.
    pub(crate) fn open(
        entry: Arc<Entry>,
        kind: StreamKind,
        limit: usize,
        waited: Option<&Self>,
    ) -> Self {
        let number = waited.map(|place| place.number);
        let number = entry.lazy.add_stream(kind, number, limit);
        Self {
            entry,
            kind,
            number,
        }
    }

    /// Returns whether this GET, whose answer has not begun, was evicted.
    pub(crate) fn is_lost(&self) -> bool {
        !self.entry.lazy.waits(self.kind, self.number)
    }

    /// Returns whether this open stream was evicted. Called for every frame, so it takes no lock.
    #[inline]
    pub(crate) fn is_evicted(&self) -> bool {
        self.number <= self.entry.lazy.evicted(self.kind).load(Acquire)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.entry.lazy.remove_stream(self.kind, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_the_oldest_waiting_get_is_evicted_and_open_streams_stay() {
        let mut streams = Streams::default();
        let (first, _) = streams.open(None, 2);
        let (second, evicted) = streams.open(None, 2);
        assert_eq!(evicted, Gone::None);
        let (waiting, evicted) = streams.wait(2);
        assert_eq!(evicted, Gone::None);
        assert!(streams.waits(waiting));
        let (newer, evicted) = streams.wait(2);
        assert_eq!(evicted, Gone::Waiting);
        assert!(!streams.waits(waiting) && streams.waits(newer));
        assert_eq!(streams.open_len(), 2);
        let (_, evicted) = streams.open(Some(newer), 2);
        assert_eq!(evicted, Gone::Open(first));
        streams.remove(second);
        assert_eq!(streams.open_len(), 1);
    }

    #[test]
    fn a_lower_limit_evicts_the_oldest_streams_beyond_it() {
        let mut streams = Streams::default();
        for _ in 0..8 {
            streams.open(None, 8);
        }
        let (waiting, _) = streams.wait(20);
        let (newest, evicted) = streams.open(None, 2);
        assert_eq!(
            evicted,
            Gone::Open(newest - 3),
            "the oldest seven are evicted; the waiting GET has a number too"
        );
        assert_eq!((streams.open_len(), streams.waits(waiting)), (2, false));
    }

    #[test]
    fn numbers_continue_after_the_last_stream_has_ended() {
        let mut streams = Streams::default();
        assert!(streams.is_unused());
        let (number, _) = streams.open(None, 2);
        streams.remove(number);
        assert!(!streams.is_unused());
        assert_eq!(streams.open(None, 2).0, number + 1);
    }

    #[test]
    fn a_stream_that_begins_at_once_evicts_the_oldest_waiting_get() {
        let mut streams = Streams::default();
        let waiting = [streams.wait(2).0, streams.wait(2).0];
        assert!(waiting.iter().all(|number| streams.waits(*number)));
        let (_, evicted) = streams.open(None, 2);
        assert_eq!(evicted, Gone::Waiting);
        assert!(!streams.waits(waiting[0]) && streams.waits(waiting[1]));
    }
}
