//! The choice of the eras that a guard serves.

/// The eras of the protocol that a guard serves, for
/// [`SessionGuardBuilder::eras`](crate::SessionGuardBuilder::eras).
///
/// Revisions up to 2025-11-25 have sessions, which `initialize` opens; the specification calls this era
/// *legacy*. Revisions from 2026-07-28 on are sessionless; the specification calls this era *modern*.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Eras {
    /// Revisions with sessions only. The guard answers sessionless messages with 400, on which clients
    /// of both eras fall back to `initialize`.
    #[default]
    Sessions,
    /// All revisions. Sessionless requests have no session, and the guard checks their headers against
    /// their bodies (contract §6).
    Both,
    /// Sessionless revisions only. The guard answers requests with sessions, including `initialize`,
    /// with 400, -32022 and the versions that it serves. It answers GET and DELETE with 405.
    Sessionless,
}
