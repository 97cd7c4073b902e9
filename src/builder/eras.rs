/// Which eras of the protocol a guard serves; given to
/// [`SessionGuardBuilder::eras`](crate::SessionGuardBuilder::eras).
///
/// Revisions up to 2025-11-25 have sessions and open with `initialize`; the specification calls them
/// *legacy*. Revisions from 2026-07-28 on are sessionless; the specification calls them *modern*.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Eras {
    /// Revisions with sessions. Sessionless messages are answered 400, on which clients of both eras
    /// fall back to `initialize`.
    #[default]
    Sessions,
    /// Both. Sessionless requests carry no session, and their headers are checked against their bodies
    /// (contract §6).
    Both,
    /// Sessionless revisions. Requests with sessions, `initialize` included, are answered 400 with
    /// -32022 and the versions that are served; GET and DELETE 405.
    Sessionless,
}
