//! Which era a message belongs to. The specification's versioning page defines the words: the
//! *legacy* era opens with `initialize`, the *modern* one (2026-07-28 on) has no handshake; each
//! of its requests carries a *claim* and names its version in `MCP-Protocol-Version`.

use super::head::VersionHeader;
use super::message::Message;

/// An era of the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// The era of a message, by its body first: a session's own version is legacy whatever it is, a
/// claim is modern, `initialize` is legacy, and only then the header decides.
pub(crate) fn of(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    negotiated: Option<&str>,
) -> Era {
    let claim = message
        .claimed_version
        .as_deref()
        .filter(|text| is_claim(text));
    let is_sessions_own = negotiated.is_some_and(|negotiated| {
        version == VersionHeader::Named(negotiated.as_bytes())
            && claim.is_none_or(|claim| claim == negotiated)
    });
    match () {
        () if is_sessions_own => Era::Legacy,
        () if claim.is_some() => Era::Modern,
        () if message.method.as_deref() == Some("initialize") => Era::Legacy,
        () if header_names_modern(version) => Era::Modern,
        () => Era::Legacy,
    }
}

/// Whether the version header is a date of 2026-07-28 or later.
pub(crate) fn header_names_modern(version: VersionHeader<'_>) -> bool {
    match version {
        VersionHeader::Named(text) => is_date(text) && text >= FIRST_MODERN.as_bytes(),
        VersionHeader::Absent | VersionHeader::Conflicting => false,
    }
}

/// A claim is any string but an earlier date: those revisions do not define the key, so nobody
/// skips the session with one.
fn is_claim(text: &str) -> bool {
    !is_date(text.as_bytes()) || text >= FIRST_MODERN
}

/// `YYYY-MM-DD`; such dates compare as text.
fn is_date(text: &[u8]) -> bool {
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0_u32, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    text.len() == 10
        && text[4] == b'-'
        && text[7] == b'-'
        && number(0..4).is_some()
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
}

/// The revisions with a handshake.
pub(crate) const LEGACY_REVISIONS: [&str; 4] =
    ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const FIRST_MODERN: &str = "2026-07-28";

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
