//! The GET streams of a session. Plain ones and resumptions (`Last-Event-ID`) have a limit each, and
//! make room for newer ones of their own kind alone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Entry;
use crate::sync::atomic::Ordering::Acquire;

/// What a GET asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StreamKind {
    Plain,
    /// A stream that broke off, from the last event on that its client has.
    Resumed,
}

/// Which streams had to make room for a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gone {
    None,
    /// GETs whose answer has not begun.
    Waiting,
    /// The open streams up to this number.
    Open(u32),
}

/// The streams of one kind, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// GETs whose answer has not begun.
    waiting: VecDeque<u32>,
    open: VecDeque<u32>,
    last: u32,
}

impl Streams {
    /// Adds a GET that waits for its answer. Beyond the limit the oldest of those that wait makes room.
    /// Open streams stay until the answer comes, because it may be no stream.
    pub(super) fn wait(&mut self, limit: usize) -> (u32, Gone) {
        let number = self.next();
        let gone = self.drop_waiting(limit.saturating_sub(1));
        self.waiting.push_back(number);
        (number, gone)
    }

    /// A stream has begun, of the GET that `waited` if it did.
    pub(super) fn open(&mut self, waited: Option<u32>, limit: usize) -> (u32, Gone) {
        if let Some(waited) = waited {
            self.remove(waited);
        }
        let number = self.next();
        self.open.push_back(number);
        let mut gone = self.drop_waiting(limit);
        // More than one where another guard of the same sessions has a higher limit.
        while self.open.len() > limit {
            gone = self.open.pop_front().map_or(gone, Gone::Open);
        }
        (number, gone)
    }

    /// Removes the oldest GETs that wait until at most `limit` streams are left, or none waits.
    fn drop_waiting(&mut self, limit: usize) -> Gone {
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

    /// How many wait or are open.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    /// How many are open.
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Whether there has never been one: numbers must not begin anew.
    pub(super) fn is_unused(&self) -> bool {
        self.last == 0
    }

    fn next(&mut self) -> u32 {
        self.last = self.last.saturating_add(1);
        self.last
    }
}

/// A GET's place among the streams of its session, given back on drop.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    entry: Arc<Entry>,
    kind: StreamKind,
    number: u32,
}

impl StreamPlace {
    /// For a GET whose answer has not begun.
    pub(crate) fn wait(entry: Arc<Entry>, kind: StreamKind, limit: usize) -> Self {
        let number = entry.extras.add_waiting(kind, limit);
        Self {
            entry,
            kind,
            number,
        }
    }

    /// For a stream that has begun. `waited` is the place of its GET, if it waited.
    pub(crate) fn open(
        entry: Arc<Entry>,
        kind: StreamKind,
        limit: usize,
        waited: Option<&Self>,
    ) -> Self {
        let number = waited.map(|place| place.number);
        let number = entry.extras.add_stream(kind, number, limit);
        Self {
            entry,
            kind,
            number,
        }
    }

    /// Whether the GET, whose answer has not begun, had to make room.
    pub(crate) fn is_lost(&self) -> bool {
        !self.entry.extras.waits(self.kind, self.number)
    }

    /// Whether the open stream had to make room. Asked for every frame, so without the lock.
    #[inline]
    pub(crate) fn is_evicted(&self) -> bool {
        self.number <= self.entry.extras.evicted(self.kind).load(Acquire)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.entry.extras.remove_stream(self.kind, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_the_oldest_that_waits_goes_and_open_streams_stay() {
        let mut streams = Streams::default();
        let (first, _) = streams.open(None, 2);
        let (second, gone) = streams.open(None, 2);
        assert_eq!(gone, Gone::None);
        let (waiting, gone) = streams.wait(2);
        assert_eq!(gone, Gone::None);
        assert!(streams.waits(waiting));
        let (newer, gone) = streams.wait(2);
        assert_eq!(gone, Gone::Waiting);
        assert!(!streams.waits(waiting) && streams.waits(newer));
        assert_eq!(streams.open_len(), 2);
        let (_, gone) = streams.open(Some(newer), 2);
        assert_eq!(gone, Gone::Open(first));
        streams.remove(second);
        assert_eq!(streams.open_len(), 1);
    }

    #[test]
    fn a_lower_limit_ends_as_many_of_the_oldest_as_are_too_many() {
        let mut streams = Streams::default();
        for _ in 0..8 {
            streams.open(None, 8);
        }
        let (waiting, _) = streams.wait(20);
        let (newest, gone) = streams.open(None, 2);
        assert_eq!(
            gone,
            Gone::Open(newest - 3),
            "the oldest seven, and the number that waits"
        );
        assert_eq!((streams.open_len(), streams.waits(waiting)), (2, false));
    }

    #[test]
    fn numbers_go_on_when_no_stream_is_left() {
        let mut streams = Streams::default();
        assert!(streams.is_unused());
        let (number, _) = streams.open(None, 2);
        streams.remove(number);
        assert!(!streams.is_unused());
        assert_eq!(streams.open(None, 2).0, number + 1);
    }

    #[test]
    fn a_stream_that_begins_at_once_takes_the_place_of_the_oldest_that_waits() {
        let mut streams = Streams::default();
        let waiting = [streams.wait(2).0, streams.wait(2).0];
        assert!(waiting.iter().all(|number| streams.waits(*number)));
        let (_, gone) = streams.open(None, 2);
        assert_eq!(gone, Gone::Waiting);
        assert!(!streams.waits(waiting[0]) && streams.waits(waiting[1]));
    }
}
