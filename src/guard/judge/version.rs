//! Checks the version header.

use crate::protocol::headers::VersionHeader;
use crate::protocol::revision;
use crate::refusal::RefusalReason;

/// Checks the version header (rows 8 and 17). It must be absent, or name a version with sessions or the
/// version that the session negotiated.
#[inline]
pub(super) fn check_version(
    version: VersionHeader<'_>,
    negotiated: Option<&str>,
) -> Result<(), RefusalReason> {
    match version {
        VersionHeader::Absent => Ok(()),
        VersionHeader::Conflicting => Err(RefusalReason::ConflictingVersionHeaders),
        VersionHeader::Named(named) => {
            let is_known = revision::REVISIONS_WITH_SESSIONS
                .into_iter()
                .chain(negotiated)
                .any(|known| known.as_bytes() == named);
            is_known
                .then_some(())
                .ok_or(RefusalReason::UnsupportedVersionHeader)
        }
    }
}
