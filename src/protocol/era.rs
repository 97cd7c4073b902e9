//! Which era a message belongs to. The specification's versioning page defines the words: the
//! *legacy* era opens with `initialize`, the *modern* one (2026-07-28 on) has no handshake; each
//! of its requests carries a *claim* and names its version in `MCP-Protocol-Version`.

use std::borrow::Cow;

use super::headers::VersionHeader;
use super::message::{Claim, Message};
use super::revision::{FIRST_MODERN, is_date, is_version, known, names_modern, usual};

/// The era of the protocol that a request is of, with the version that it is served under.
///
/// In a handler it is an extractor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums)] // the specification's versioning page knows no other
pub enum Era {
    /// Revisions with a handshake: the version that the request names, else the one that
    /// `initialize` negotiated, else 2025-03-26. `None` on `initialize` itself.
    Legacy(Option<Cow<'static, str>>),
    /// 2026-07-28 on: the version that the request claims; a notification may name it in its
    /// header alone.
    Modern(Cow<'static, str>),
}

impl Era {
    /// Whether the request is of the modern era, which knows no sessions.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// The protocol version that the request is served under; `None` on `initialize`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Legacy(version) => version.as_deref(),
            Self::Modern(version) => Some(version),
        }
    }

    /// Of a legacy message, or of a GET, which has no method.
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
            None => known(version.text().or(negotiated).unwrap_or(ASSUMED)),
        }))
    }

    /// Of a modern message.
    pub(crate) fn modern(message: &Message<'_>, version: VersionHeader<'_>) -> Self {
        Self::Modern(known(
            claim(message).or(version.text()).unwrap_or(FIRST_MODERN),
        ))
    }
}

/// Whether a message is of the modern era, by its body first: a session's own version is legacy
/// whatever it is, a claim is modern, `initialize` is legacy, and only then the header decides.
/// `own` is that version, if the header names it.
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

/// The version that a message claims.
#[inline]
pub(crate) fn claim<'a>(message: &'a Message<'_>) -> Option<&'a str> {
    match &message.claim {
        Claim::Text(text) if is_claim(text) => Some(text),
        Claim::Text(_) | Claim::NotText | Claim::Absent => None,
    }
}

/// The version that a message asks for, if it is fit to be shown again.
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

/// Whether the version header is a date of 2026-07-28 or later.
#[inline]
pub(crate) fn header_names_modern(version: VersionHeader<'_>) -> bool {
    match version {
        VersionHeader::Named(text) => names_modern(text),
        VersionHeader::Absent | VersionHeader::Conflicting => false,
    }
}

/// A claim is any string but an earlier date: those revisions do not define the key, so nobody
/// skips the session with one.
fn is_claim(text: &str) -> bool {
    !is_date(text.as_bytes()) || text >= FIRST_MODERN
}
/// What a server assumes where no version is named
/// (<https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#protocol-version-header>).
const ASSUMED: &str = "2025-03-26";

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
    fn a_header_names_the_modern_era_by_a_date_only() {
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
