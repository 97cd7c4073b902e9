//! Every reason for which a session ends, one row each.

use std::fmt;

macro_rules! end_reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why a session ended.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum EndReason {
            $($(#[$doc])* $reason,)*
        }

        impl EndReason {
            pub(crate) const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The reason's name in logs and metrics, in snake case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

end_reasons! {
    /// The answer to `initialize` did not reach the client whole, or was none that opens a session.
    Abandoned = "abandoned",
    /// The client sent DELETE.
    Deleted = "deleted",
    /// The server shut down and the [drain](crate::SessionGuardLayer::drain)'s time was over.
    Drained = "drained",
    /// Another process has ended it, or the [store](crate::SessionGuardBuilder::store) does not know
    /// it any more.
    EndedElsewhere = "ended_elsewhere",
    /// It made room for another: the limit of sessions was reached and this was the oldest that was
    /// never used, or its owner's limit and this had been idle longest.
    Evicted = "evicted",
    /// The guard itself is gone: no layer, service or [`Sessions`](crate::Sessions) of it is left.
    GuardDropped = "guard_dropped",
    /// The server shut down, and the session goes on elsewhere: its
    /// [store](crate::SessionGuardBuilder::store) keeps it.
    HandedOver = "handed_over",
    /// No request or response for the idle timeout.
    Idle = "idle",
    /// The inner service has lost its own session: it answered 404 for its id.
    InnerLost = "inner_lost",
    /// The absolute lifetime was over.
    Lifetime = "lifetime",
    /// No second message came in time.
    NeverUsed = "never_used",
    /// Ended through [`McpSession::end`](crate::McpSession::end) or [`Sessions`](crate::Sessions).
    Revoked = "revoked",
    /// `initialize` was answered by an event stream that did not carry the response in time.
    Unconfirmed = "unconfirmed",
}

impl EndReason {
    pub(super) fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Abandoned)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_reason_survives_the_state_word() {
        for &reason in EndReason::ALL {
            assert_eq!(EndReason::from_code(reason as u8), reason);
        }
    }
}
