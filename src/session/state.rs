//! The state of a session, in one word.
//!
//! ```text
//! Reserved ──────▶ Live ──────▶ Ended
//!  │  │              ▲           ▲  ▲
//!  │  └▶ Provisional ┴───────────┘  │
//!  └────────────────────────────────┘
//! ```
//!
//! - *Reserved*: the inner service has not answered `initialize`.
//! - *Provisional*: an event stream may still carry the answer. The id is already valid.
//! - *Live*: the client has the answer, or receives it as a whole.
//! - *Ended*: the session is over for one [reason](EndReason), permanently.

use super::EndReason;

/// The phase of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Reserved,
    Provisional,
    Live,
    Ended,
}

/// The state word: phase (2 bits), flags, end reason (8 bits), in flight (24), beginnings (24).
///
/// Beginnings are counted so that a check notices a request that began and ended since the last
/// check. More than 2^24 requests of one session at once would need more memory than a machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State(pub(super) u64);

impl State {
    pub(super) const PHASE: u64 = 0b11;
    pub(super) const USED: u64 = 1 << 2;
    pub(super) const DELETING: u64 = 1 << 3;
    pub(super) const CONFIRMED: u64 = 1 << 4;
    /// All observers were notified of the opening.
    pub(super) const ANNOUNCED: u64 = 1 << 5;
    /// The client left before the inner service answered its DELETE.
    pub(super) const DELETE_UNANSWERED: u64 = 1 << 6;
    /// The inner service answered a GET with an event stream.
    pub(super) const STREAMED: u64 = 1 << 7;
    pub(super) const REASON_SHIFT: u32 = 8;
    pub(super) const IN_FLIGHT_SHIFT: u32 = 16;
    pub(super) const ONE_IN_FLIGHT: u64 = 1 << Self::IN_FLIGHT_SHIFT;
    pub(super) const ONE_BEGINNING: u64 = 1 << 40;

    pub(super) fn phase_only(phase: Phase) -> Self {
        Self(phase as u64)
    }

    pub(super) fn with_phase(self, phase: Phase) -> Self {
        Self(self.0 & !Self::PHASE | phase as u64)
    }

    pub(super) fn begun(self) -> Self {
        Self(
            self.0
                .wrapping_add(Self::ONE_IN_FLIGHT)
                .wrapping_add(Self::ONE_BEGINNING),
        )
    }

    pub(super) fn ended(self, reason: EndReason) -> Self {
        Self(self.with_phase(Phase::Ended).0 | (reason as u64) << Self::REASON_SHIFT)
    }

    pub(super) fn phase(self) -> Phase {
        match self.0 & Self::PHASE {
            0 => Phase::Reserved,
            1 => Phase::Provisional,
            2 => Phase::Live,
            _ => Phase::Ended,
        }
    }

    pub(super) fn is_usable(self) -> bool {
        matches!(self.phase(), Phase::Provisional | Phase::Live)
    }

    pub(super) fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }

    pub(super) fn is_announced(self) -> bool {
        self.0 & Self::ANNOUNCED != 0
    }

    pub(super) fn is_confirmed(self) -> bool {
        self.0 & Self::CONFIRMED != 0
    }

    pub(super) fn in_flight(self) -> u64 {
        self.0 >> Self::IN_FLIGHT_SHIFT & 0xff_ffff
    }

    pub(super) fn end_reason(self) -> Option<EndReason> {
        let code = (self.0 >> Self::REASON_SHIFT & 0xff) as u8;
        (self.phase() == Phase::Ended).then(|| EndReason::from_code(code))
    }
}
