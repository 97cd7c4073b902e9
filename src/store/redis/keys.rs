//! The names of keys and channels in Redis, and the owner token in front of each value.

use uuid::Uuid;

use crate::store::{SessionKey, StoreEvent};

/// The names of keys and channels under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

impl Keys {
    /// Returns the key of a session. A scope contains no colon, so no two sessions have the same key. A
    /// cluster places a key by the part in braces. Each command uses one key only, so the key may be on
    /// any node.
    pub(super) fn session(&self, key: &SessionKey) -> String {
        format!("{}{{{}:{}}}", self.prefix, key.scope(), key.id())
    }

    /// Returns the key of an owner's token. The owner's name is hashed, because it may be long and
    /// personal.
    pub(super) fn owner(&self, owner: Uuid) -> String {
        format!("{}owner:{}", self.prefix, owner.simple())
    }

    /// Returns the channel for ends. The tag in braces keeps it on one node of a cluster, together with
    /// the echo channels of the subscribers.
    pub(super) fn ends(&self) -> String {
        format!("{}{{ends}}", self.prefix)
    }

    /// Returns a new channel on which one subscriber receives its own heartbeats.
    pub(super) fn echo(&self) -> String {
        format!("{}:{}", self.ends(), Uuid::new_v4().simple())
    }
}

/// The owner of a session, in front of its value: the hashed name of the owner, and the token that the
/// owner had when the session opened. The session is valid as long as this is still the owner's token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OwnerToken([u8; OWNER_TOKEN_BYTES]);

impl OwnerToken {
    /// The owner token of an anonymous session.
    pub(super) const ANONYMOUS: Self = Self([0; OWNER_TOKEN_BYTES]);

    pub(super) fn new(owner: Uuid, token: Uuid) -> Self {
        let mut bytes = [0; OWNER_TOKEN_BYTES];
        bytes[..16].copy_from_slice(owner.as_bytes());
        bytes[16..].copy_from_slice(token.as_bytes());
        Self(bytes)
    }

    /// Splits a stored value into its owner token and the rest. Returns `None` if the value is too
    /// short.
    pub(super) fn split(mut stored: Vec<u8>) -> Option<(Self, Vec<u8>)> {
        let owner_token = Self::read(&stored)?;
        stored.drain(..OWNER_TOKEN_BYTES);
        Some((owner_token, stored))
    }

    pub(super) fn read(stored: &[u8]) -> Option<Self> {
        stored.first_chunk().copied().map(Self)
    }

    pub(super) fn before(self, value: &[u8]) -> Vec<u8> {
        [&self.0, value].concat()
    }

    /// Returns the hashed owner and the token, or `None` for an anonymous session.
    pub(super) fn owner(&self) -> Option<(Uuid, Uuid)> {
        let part = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
        let (owner, token) = self.0.split_at(16);
        (*self != Self::ANONYMOUS).then_some((part(owner)?, part(token)?))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the hash of an owner's name. Two owners with the same hash could only end each other's
/// sessions, so an attacker gains nothing from finding two.
pub(super) fn hashed(owner: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, owner.as_bytes())
}

/// Encodes an end for its channel. The encoding of a heartbeat is empty.
pub(super) fn encode(event: &StoreEvent) -> Vec<u8> {
    match event {
        StoreEvent::Ended(key) => format!("s{}:{}", key.scope(), key.id()).into(),
        StoreEvent::OwnerEnded(owner) => format!("o{owner}").into(),
        StoreEvent::Heartbeat { .. } => Vec::new(),
    }
}

/// Decodes a message from [`encode`]. Returns `None` for any other message.
pub(super) fn decode(message: &[u8]) -> Option<StoreEvent> {
    let text = std::str::from_utf8(message).ok()?;
    if let Some(owner) = text.strip_prefix('o') {
        return Some(StoreEvent::OwnerEnded(owner.into()));
    }
    let (scope, id) = text.strip_prefix('s')?.split_once(':')?;
    Some(StoreEvent::Ended(SessionKey::new(scope, id)))
}

/// The length of an owner token, in bytes.
pub(super) const OWNER_TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_token_is_read_back_and_an_anonymous_one_names_no_owner() {
        let (owner, token) = (hashed("alice"), Uuid::new_v4());
        let stored = OwnerToken::new(owner, token).before(b"value");
        let (owner_token, value) = OwnerToken::split(stored).unwrap();
        assert_eq!(owner_token.owner(), Some((owner, token)));
        assert_eq!(value, b"value");

        let stored = OwnerToken::ANONYMOUS.before(b"");
        assert_eq!(
            OwnerToken::split(stored),
            Some((OwnerToken::ANONYMOUS, vec![]))
        );
        assert_eq!(OwnerToken::ANONYMOUS.owner(), None);
    }

    #[test]
    fn a_value_that_is_too_short_has_no_owner_token() {
        for length in [0, 1, OWNER_TOKEN_BYTES - 1] {
            assert_eq!(OwnerToken::split(vec![1; length]), None);
        }
    }

    #[test]
    fn an_end_is_decoded_as_it_was_encoded() {
        let key = SessionKey::new("a.b", "x:y}{");
        let read = decode(&encode(&StoreEvent::Ended(key.clone())));
        assert!(matches!(read, Some(StoreEvent::Ended(read)) if read == key));
        for owner in ["", "s:", "[\"a\",\"b\"]", "\u{1F511}"] {
            let read = decode(&encode(&StoreEvent::OwnerEnded(owner.into())));
            assert!(matches!(read, Some(StoreEvent::OwnerEnded(read)) if *read == *owner));
        }
    }

    #[test]
    fn an_unknown_message_is_not_decoded() {
        for message in [&b""[..], b"x", b"s", b"sscope", b"o\xff", b"S:id"] {
            assert!(decode(message).is_none(), "{message:?}");
        }
    }
}
