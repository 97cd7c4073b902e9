//! Decides to which era a message belongs.
//!
//! The specification's versioning page defines the words. The *legacy* era has sessions, which open
//! with `initialize`. The *modern* era (2026-07-28 on) has no handshake and no sessions: each request
//! carries a *claim* and names its version in `MCP-Protocol-Version`.

use std::borrow::Cow;

use super::headers::VersionHeader;
use super::message::{Claim, Message};
use super::revision::{FIRST_SESSIONLESS, is_date, is_sessionless, is_version, known, usual};

/// The era of a request, with sessions or sessionless, and the protocol version that the request is
/// served under.
///
/// Handlers can take it as an extractor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums)] // the specification's versioning page defines no other
pub enum Era {
    /// With sessions (up to 2025-11-25): the version that the request names, else the version that
    /// `initialize` negotiated, else 2025-03-26. `None` on `initialize` itself.
    Legacy(Option<Cow<'static, str>>),
    /// Sessionless (2026-07-28 on): the version that the request claims. A notification may name its
    /// version in the header alone.
    Modern(Cow<'static, str>),
}

impl Era {
    /// Returns whether the request belongs to the sessionless era (2026-07-28 on).
    #[must_use]
    pub fn is_modern(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// Returns the protocol version that the request is served under; `None` on `initialize`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Legacy(version) => version.as_deref(),
            Self::Modern(version) => Some(version),
        }
    }

    /// Returns the era of a legacy message, or of a GET, which has no method.
    #[inline]
    pub(crate) fn legacy(
        method: Option<&[u8]>,
        version: VersionHeader<'_>,
        negotiated: Option<&str>,
    ) -> Self {
        if method == Some(b"initialize") {
            return Self::Legacy(None);
        }
        let usual = match version {
            VersionHeader::Named(named) => usual(named),
            VersionHeader::Absent | VersionHeader::Conflicting => None,
        };
        Self::Legacy(Some(match usual {
            Some(usual) => Cow::Borrowed(usual),
            None => known(version.text().or(negotiated).unwrap_or(ASSUMED_VERSION)),
        }))
    }

    /// Returns the era of a modern message.
    pub(crate) fn modern(message: &Message<'_>, version: VersionHeader<'_>) -> Self {
        Self::Modern(known(
            claim(message)
                .or(version.text())
                .unwrap_or(FIRST_SESSIONLESS),
        ))
    }
}

/// Returns whether a message belongs to the modern era. The body decides before the header: a message
/// that names only its session's version is legacy, a claim is modern, and `initialize` is legacy.
/// `own` is the session's version, if the header names it.
#[inline]
pub(crate) fn is_modern(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    own: Option<&str>,
) -> bool {
    let claim = claim(message);
    let is_sessions_own = own.is_some_and(|own| claim.is_none_or(|claim| claim == own));
    match () {
        () if is_sessions_own => false,
        () if claim.is_some() => true,
        () if message.method.as_deref() == Some(b"initialize") => false,
        () => header_names_modern(version),
    }
}

/// Returns the version that a message claims.
#[inline]
pub(crate) fn claim<'a>(message: &'a Message<'_>) -> Option<&'a str> {
    match &message.claim {
        Claim::Text(text) if is_claim(text) => Some(text),
        Claim::Text(_) | Claim::NotText | Claim::Absent => None,
    }
}

/// Returns the version that a message asks for, if a refusal may repeat it.
pub(crate) fn requested<'a>(
    message: &'a Message<'_>,
    version: VersionHeader<'a>,
) -> Option<Cow<'a, str>> {
    claim(message)
        .map(Cow::Borrowed)
        .or_else(|| message.protocol_version())
        .or_else(|| version.text().map(Cow::Borrowed))
        .filter(|version| is_version(version.as_bytes()))
}

/// Returns whether the version header is a date of 2026-07-28 or later.
#[inline]
pub(crate) fn header_names_modern(version: VersionHeader<'_>) -> bool {
    match version {
        VersionHeader::Named(text) => is_sessionless(text),
        VersionHeader::Absent | VersionHeader::Conflicting => false,
    }
}

/// Returns whether `text` is a claim: any string except a date before 2026-07-28. Earlier revisions do
/// not define the key, so a client cannot use their dates to skip the session.
fn is_claim(text: &str) -> bool {
    !is_date(text.as_bytes()) || text >= FIRST_SESSIONLESS
}

/// The version that a server assumes if the request names none
/// (<https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#protocol-version-header>).
const ASSUMED_VERSION: &str = "2025-03-26";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_any_string_but_an_earlier_date() {
        for text in [
            "2026-07-28",
            "2026-07-29",
            "2027-01-01",
            "DRAFT-2026-v1",
            "",
            "2025-13-01",
        ] {
            assert!(is_claim(text), "{text}");
        }
        for text in ["2026-07-27", "2025-11-25", "2024-11-05", "1999-01-01"] {
            assert!(!is_claim(text), "{text}");
        }
    }

    #[test]
    fn only_a_date_in_the_header_names_the_modern_era() {
        for (text, is_modern) in [
            ("2026-07-28", true),
            ("9999-12-31", true),
            ("2026-07-27", false),
            ("DRAFT", false),
        ] {
            assert_eq!(
                header_names_modern(VersionHeader::Named(text.as_bytes())),
                is_modern
            );
        }
    }
}
