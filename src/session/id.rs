//! Session ids: their format, how they are generated, and the check of a header before a lookup
//! (contract §1 "session id", row 6).

use crate::promises::MAX_SESSION_ID;
use crate::protocol::headers::is_well_formed;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::unwind::catch_panic;

/// The id of a session, as sent in `Mcp-Session-Id`.
///
/// An id is a bearer secret: a client that knows it can act in the session. `Debug` therefore reveals
/// nothing of it; call [`as_str`](Self::as_str) where you need the text.
#[derive(Clone)]
pub struct McpSessionId(Repr);

#[derive(Clone)]
enum Repr {
    /// An id as long as a UUID, stored in place so that a lookup follows no pointer.
    Uuid([u8; Hyphenated::LENGTH]),
    Custom(Arc<str>),
}

impl McpSessionId {
    /// Returns the id as text: 1 to 128 characters of visible ASCII (0x21 to 0x7E).
    #[must_use]
    pub fn as_str(&self) -> &str {
        // An id is ASCII, so the default is never used.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns a short keyed hash of the id, for logs and pages. Every process draws a new key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Fingerprint(KEY.hash_one(self))
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        // An id is visible ASCII, and visible ASCII is a valid header value.
        let mut value = HeaderValue::from_bytes(self.as_bytes())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// Returns an id that was issued before; `None` if no guard can have issued it.
    pub(super) fn restored(text: &str) -> Option<Self> {
        if !is_well_formed(text.as_bytes(), MAX_SESSION_ID) {
            return None;
        }
        Some(Self(match text.as_bytes().try_into() {
            Ok(uuid) => Repr::Uuid(uuid),
            Err(_) => Repr::Custom(text.into()),
        }))
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Uuid(text) => text,
            Repr::Custom(text) => text.as_bytes(),
        }
    }
}

impl Borrow<[u8]> for McpSessionId {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Hash for McpSessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialEq for McpSessionId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for McpSessionId {}

impl fmt::Debug for McpSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("McpSessionId(..)")
    }
}

/// A hash that replaces a session id where the id itself must not appear. `Display` writes 16
/// hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The generator of new ids: UUID v4 in lower case, unless the user provided another.
#[derive(Clone, Default)]
pub(crate) struct IdSource(Option<Arc<dyn Fn() -> String + Send + Sync>>);

impl IdSource {
    pub(crate) fn custom(generator: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(generator)))
    }

    /// Returns a new id; `None` if the user's generator panicked or returned an invalid id.
    pub(crate) fn next(&self) -> Option<McpSessionId> {
        let Some(generator) = &self.0 else {
            let mut text = [0; Hyphenated::LENGTH];
            Uuid::new_v4().hyphenated().encode_lower(&mut text);
            return Some(McpSessionId(Repr::Uuid(text)));
        };
        let text = catch_panic(|| generator())?;
        is_well_formed(text.as_bytes(), MAX_SESSION_ID)
            .then(|| McpSessionId(Repr::Custom(text.into())))
    }

    /// Returns whether this source may have generated the id. No other id needs a lookup in a store.
    pub(crate) fn may_have_generated(&self, id: &[u8]) -> bool {
        self.0.is_some() || is_uuid_v4(id)
    }

    /// Returns the length of the longest id that this source can generate, in bytes.
    pub(crate) fn longest(&self) -> usize {
        match self.0 {
            Some(_) => MAX_SESSION_ID,
            None => Hyphenated::LENGTH,
        }
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "custom",
            None => "UUID v4",
        })
    }
}

/// Returns whether the id is a UUID v4 in the spelling that the guard issues.
fn is_uuid_v4(id: &[u8]) -> bool {
    id.len() == Hyphenated::LENGTH
        && !id.iter().any(u8::is_ascii_uppercase)
        && Uuid::try_parse_ascii(id).is_ok_and(|id| id.get_version_num() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_id_is_a_hyphenated_lower_case_uuid_v4() {
        let id = IdSource::default().next().unwrap();
        let parsed = Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!(parsed.get_version_num(), 4);
        assert_eq!(parsed.hyphenated().to_string(), id.as_str());
        assert!(IdSource::default().may_have_generated(id.as_bytes()));
    }

    #[test]
    fn an_id_of_another_form_cannot_have_been_generated() {
        let source = IdSource::default();
        for other in [
            "",
            "x",
            "2f7a1c0c5d3b4c2e9a7b0d1e2f3a4b5c",
            "2F7A1C0C-5D3B-4C2E-9A7B-0D1E2F3A4B5C",
            "2f7a1c0c-5d3b-1c2e-9a7b-0d1e2f3a4b5c",
            "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5g",
        ] {
            assert!(!source.may_have_generated(other.as_bytes()), "{other}");
        }
        assert!(source.may_have_generated(b"2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c"));
    }

    #[test]
    fn a_generator_that_panics_or_returns_an_invalid_id_yields_no_id() {
        for text in ["", "a b", "ä", "a\u{7f}", &"x".repeat(129)] {
            let text = text.to_owned();
            assert!(IdSource::custom(move || text.clone()).next().is_none());
        }
        assert!(IdSource::custom(|| panic!("no id today")).next().is_none());
        assert!(IdSource::custom(|| "x".repeat(128)).next().is_some());
    }

    #[test]
    fn debug_reveals_nothing_of_an_id() {
        let id = IdSource::custom(|| "secret".to_owned()).next().unwrap();
        assert_eq!(format!("{id:?}"), "McpSessionId(..)");
    }
}
