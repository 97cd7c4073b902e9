//! What is called what in Redis, and what stands in front of each value.

use uuid::Uuid;

use crate::store::{SessionKey, StoreEvent};

/// The names under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

impl Keys {
    /// Scopes hold no colon, so no two sessions have one name. A cluster places the key by what
    /// stands in braces; each is worked on by itself, so that may be anywhere.
    pub(super) fn session(&self, key: &SessionKey) -> String {
        format!("{}{{{}:{}}}", self.prefix, key.scope(), key.id())
    }

    /// Where an owner's token is. The name is hashed: it may be long, and personal.
    pub(super) fn owner(&self, owner: Uuid) -> String {
        format!("{}owner:{}", self.prefix, owner.simple())
    }

    /// The channel on which ends are told. Its tag keeps it on one node of a cluster, with the
    /// channels of those who listen.
    pub(super) fn ends(&self) -> String {
        format!("{}{{ends}}", self.prefix)
    }

    /// The channel on which one listener hears itself.
    pub(super) fn echo(&self) -> String {
        format!("{}:{}", self.ends(), Uuid::new_v4().simple())
    }
}

/// Whose a session is, in front of its value: the owner's name, hashed, and the token that the owner
/// had when it opened. It is good as long as that is the owner's token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OwnerToken([u8; OWNER_TOKEN_BYTES]);

impl OwnerToken {
    /// Nobody's.
    pub(super) const ANONYMOUS: Self = Self([0; OWNER_TOKEN_BYTES]);

    pub(super) fn new(owner: Uuid, token: Uuid) -> Self {
        let mut bytes = [0; OWNER_TOKEN_BYTES];
        bytes[..16].copy_from_slice(owner.as_bytes());
        bytes[16..].copy_from_slice(token.as_bytes());
        Self(bytes)
    }

    /// The owner token and what stands behind it; `None` if this is no value of ours.
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

    /// The owner and the token; `None` if it is nobody's.
    pub(super) fn owner(&self) -> Option<(Uuid, Uuid)> {
        let part = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
        let (owner, token) = self.0.split_at(16);
        (*self != Self::ANONYMOUS).then_some((part(owner)?, part(token)?))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An owner's name, hashed. Two names of one hash would log each other out and no more: nobody gains
/// by finding such a pair.
pub(super) fn hashed(owner: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, owner.as_bytes())
}

/// What is published of an end.
pub(super) fn encode(event: &StoreEvent) -> Vec<u8> {
    match event {
        StoreEvent::Ended(key) => format!("s{}:{}", key.scope(), key.id()).into(),
        StoreEvent::OwnerEnded(owner) => format!("o{owner}").into(),
        StoreEvent::Heartbeat { .. } => Vec::new(),
    }
}

/// Reads what [`encode`] has written; `None` if it is something else.
pub(super) fn decode(message: &[u8]) -> Option<StoreEvent> {
    let text = std::str::from_utf8(message).ok()?;
    if let Some(owner) = text.strip_prefix('o') {
        return Some(StoreEvent::OwnerEnded(owner.into()));
    }
    let (scope, id) = text.strip_prefix('s')?.split_once(':')?;
    Some(StoreEvent::Ended(SessionKey::new(scope, id)))
}

/// How many bytes stand in front of each value.
pub(super) const OWNER_TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_token_is_read_again_and_nobodys_names_no_owner() {
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
    fn what_is_too_short_for_an_owner_token_is_none() {
        for length in [0, 1, OWNER_TOKEN_BYTES - 1] {
            assert_eq!(OwnerToken::split(vec![1; length]), None);
        }
    }

    #[test]
    fn an_end_is_read_as_it_was_told() {
        let key = SessionKey::new("a.b", "x:y}{");
        let read = decode(&encode(&StoreEvent::Ended(key.clone())));
        assert!(matches!(read, Some(StoreEvent::Ended(read)) if read == key));
        for owner in ["", "s:", "[\"a\",\"b\"]", "\u{1F511}"] {
            let read = decode(&encode(&StoreEvent::OwnerEnded(owner.into())));
            assert!(matches!(read, Some(StoreEvent::OwnerEnded(read)) if *read == *owner));
        }
    }

    #[test]
    fn what_nobody_tells_is_none() {
        for message in [&b""[..], b"x", b"s", b"sscope", b"o\xff", b"S:id"] {
            assert!(decode(message).is_none(), "{message:?}");
        }
    }
}
