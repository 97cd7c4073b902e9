//! The revisions of the protocol, and the form of their names.

use std::borrow::Cow;

/// Returns whether a version is a date of 2026-07-28 or later.
#[inline]
pub(crate) fn is_sessionless(version: &[u8]) -> bool {
    version >= FIRST_SESSIONLESS.as_bytes() && is_date(version)
}

/// Returns whether `text` is a date in the form `YYYY-MM-DD`. Dates in this form compare as text.
pub(crate) fn is_date(text: &[u8]) -> bool {
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

/// Returns whether `text` has the form of a version: 1 to 32 letters, digits, dots and hyphens. A refusal
/// may repeat text of this form.
pub(crate) fn is_version(text: &[u8]) -> bool {
    (1..=32).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

/// Returns the version, without an allocation if the guard knows its name.
pub(crate) fn known(version: &str) -> Cow<'static, str> {
    match usual(version.as_bytes()) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(version.to_owned()),
    }
}

/// Returns whether the guard knows the name of this version.
#[inline]
pub(crate) fn is_usual(version: &[u8]) -> bool {
    usual(version).is_some()
}

/// Returns the version as static text, if the guard knows its name.
#[inline]
pub(crate) fn usual(version: &[u8]) -> Option<&'static str> {
    let mut usual = REVISIONS_WITH_SESSIONS
        .into_iter()
        .chain([FIRST_SESSIONLESS]);
    usual.find(|usual| usual.as_bytes() == version)
}

/// The revisions with a handshake and sessions, the most common first.
pub(crate) const REVISIONS_WITH_SESSIONS: [&str; 4] =
    ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The first sessionless revision.
pub(crate) const FIRST_SESSIONLESS: &str = "2026-07-28";
