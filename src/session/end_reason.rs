//! The reasons for which a session ends, one row each.

use std::fmt;

macro_rules! end_reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// The reason why a session ended.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum EndReason {
            $($(#[$doc])* $reason,)*
        }

        impl EndReason {
            pub(crate) const ALL: &[Self] = &[$(Self::$reason,)*];

            /// Returns the name of the reason in logs and metrics, in snake case.
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
    /// The client did not receive the whole answer to `initialize`, or the answer opened no session.
    Abandoned = "abandoned",
    /// The client sent DELETE.
    Deleted = "deleted",
    /// The server shut down, and the deadline of the [drain](crate::SessionGuardLayer::drain) passed.
    Drained = "drained",
    /// Another node ended the session, or the [store](crate::SessionGuardBuilder::store) no longer
    /// knows it.
    EndedElsewhere = "ended_elsewhere",
    /// The guard evicted the session to make room for another. At the session limit it evicts the
    /// oldest session that was never used; at the limit of an owner, the owner's session that has
    /// been idle longest.
    Evicted = "evicted",
    /// The guard was dropped: no layer, service or [`Sessions`](crate::Sessions) of it is left.
    GuardDropped = "guard_dropped",
    /// The server shut down and released the session, which may live on elsewhere: its
    /// [store](crate::SessionGuardBuilder::store) keeps it.
    HandedOver = "handed_over",
    /// No request or response body was in flight for the idle timeout.
    Idle = "idle",
    /// The inner service lost its own session: it answered 404 for the id of that session.
    InnerLost = "inner_lost",
    /// The session reached its absolute lifetime.
    Lifetime = "lifetime",
    /// The client sent no second message in time.
    NeverUsed = "never_used",
    /// The server called [`McpSession::end`](crate::McpSession::end) or a method of
    /// [`Sessions`](crate::Sessions).
    Revoked = "revoked",
    /// The inner service answered `initialize` with an event stream that did not carry the response
    /// in time.
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
    fn every_end_reason_is_read_back_from_the_state_word() {
        for &reason in EndReason::ALL {
            assert_eq!(EndReason::from_code(reason as u8), reason);
        }
    }
}
