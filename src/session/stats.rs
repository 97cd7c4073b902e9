//! Counters of what happens to the sessions of a registry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::EndReason;
use crate::refusal::{Refusal, RefusalReason};

/// Counters of what has happened to the sessions of a guard since it was built. Cheap to read: the
/// numbers are read one by one, so under load they may differ by a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Open sessions.
    pub open: usize,
    /// `initialize` requests that the inner service has not answered yet.
    pub opening: usize,
    /// Open event streams of sessions: GET streams, resumed ones, and answers to POST.
    pub open_streams: usize,
    /// Sessions opened so far.
    pub opened: u64,
    /// Sessions restored from a [store](crate::SessionGuardBuilder::store) so far.
    pub restored: u64,
    /// Calls to the [store](crate::SessionGuardBuilder::store) that failed or timed out so far.
    pub store_failures: u64,
    /// Sessions ended so far, by reason; reasons that have not occurred are absent.
    pub ended: BTreeMap<EndReason, u64>,
    /// Requests refused so far, by reason; reasons that have not occurred are absent.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// Requests that report-only mode let pass so far, by the reason for a refusal.
    pub reported: BTreeMap<RefusalReason, u64>,
}

/// The counters behind [`SessionStats`].
#[derive(Debug)]
pub(crate) struct Counters {
    opened: AtomicU64,
    restored: AtomicU64,
    store_failures: AtomicU64,
    open_streams: AtomicUsize,
    ended: [AtomicU64; EndReason::ALL.len()],
    refused: [AtomicU64; RefusalReason::ALL.len()],
    reported: [AtomicU64; RefusalReason::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            opened: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            open_streams: AtomicUsize::new(0),
            ended: [const { AtomicU64::new(0) }; _],
            refused: [const { AtomicU64::new(0) }; _],
            reported: [const { AtomicU64::new(0) }; _],
        }
    }
}

impl Counters {
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn restored(&self) {
        self.restored.fetch_add(1, Relaxed);
    }

    pub(super) fn store_failed(&self) {
        self.store_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, reason: EndReason) {
        self.ended[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let counters = match refusal.is_only_reported() {
            true => &self.reported,
            false => &self.refused,
        };
        counters[refusal.reason() as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn stream_opened(&self) {
        self.open_streams.fetch_add(1, Relaxed);
    }

    pub(super) fn stream_closed(&self) {
        self.open_streams.fetch_sub(1, Relaxed);
    }

    pub(crate) fn read(&self, open: usize, opening: usize) -> SessionStats {
        SessionStats {
            open,
            opening,
            open_streams: self.open_streams.load(Relaxed),
            opened: self.opened.load(Relaxed),
            restored: self.restored.load(Relaxed),
            store_failures: self.store_failures.load(Relaxed),
            ended: by_reason(EndReason::ALL, &self.ended),
            refused: by_reason(&RefusalReason::ALL, &self.refused),
            reported: by_reason(&RefusalReason::ALL, &self.reported),
        }
    }
}

fn by_reason<R: Copy + Ord>(reasons: &[R], counters: &[AtomicU64]) -> BTreeMap<R, u64> {
    let counts = counters.iter().map(|counter| counter.load(Relaxed));
    let counted = reasons.iter().copied().zip(counts);
    counted.filter(|(_, count)| *count > 0).collect()
}
