//! The facts of a POST that passed by its head.

use super::head::HeadFlags;
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};

/// The facts of a POST's head that are needed once its body has arrived.
pub(crate) struct Admitted {
    pub(crate) flags: HeadFlags,
    pub(crate) named: Named,
    pub(crate) caller: Caller,
}

/// The result of the lookup of a request's session id.
pub(crate) enum Named {
    /// A live session. The request is in flight from row 7 on.
    Live(InFlight),
    /// The request has no id, or the mode ignores ids.
    Nothing,
    /// The id names no live session.
    Stale,
    /// The store failed to answer, for this reason.
    Unavailable(RefusalReason),
}
