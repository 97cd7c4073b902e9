//! What the guard looks at inside `params` and `result`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};

use super::Claim;
use super::json::{Depth, Skip, Text, key_seed, no_object, value_seed};

/// The members of `params` or `result` that the guard looks at.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) uri: Option<Cow<'a, str>>,
    pub(super) protocol_version: Option<Cow<'a, str>>,
    pub(super) client_name: Option<Cow<'a, str>>,
    pub(super) client_version: Option<Cow<'a, str>>,
    pub(super) ambiguous: bool,
}

/// Reads an object's fields, and nothing of any other value.
pub(super) struct FieldsSeed<'d> {
    pub(super) depth: Depth<'d>,
}

value_seed!(FieldsSeed<'_> => Fields<'a>);

impl<'a> Visitor<'a> for FieldsSeed<'_> {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let inside = self.depth.enter();
        let mut fields = Fields::default();
        let mut seen = 0_u8;
        while let Some(key) = map.next_key_seed(FieldKeySeed(inside))? {
            fields.ambiguous |= seen & key as u8 != 0;
            seen |= key as u8;
            match key {
                FieldKey::Meta => {
                    let meta = map.next_value_seed(PairSeed {
                        depth: inside,
                        keys: META_KEYS,
                    })?;
                    fields.ambiguous |= meta.repeats_first;
                    fields.claim = match (meta.has_first, meta.first) {
                        (_, Some(version)) => Claim::Text(version),
                        (true, None) => Claim::NotText,
                        (false, None) => Claim::Absent,
                    };
                }
                FieldKey::ClientInfo => {
                    let client = map.next_value_seed(PairSeed {
                        depth: inside,
                        keys: CLIENT_KEYS,
                    })?;
                    fields.client_name = client.first;
                    fields.client_version = client.second;
                }
                FieldKey::ProtocolVersion => {
                    fields.protocol_version = map.next_value_seed(Text { depth: inside })?;
                }
                FieldKey::Name => fields.name = map.next_value_seed(Text { depth: inside })?,
                FieldKey::Uri => fields.uri = map.next_value_seed(Text { depth: inside })?,
                FieldKey::Other => {
                    map.next_value_seed(Skip { depth: inside })?;
                }
            }
        }
        Ok(fields)
    }

    no_object!(Fields::default());
}

/// A key of `params` that must not stand twice, as a bit.
#[derive(Clone, Copy)]
#[repr(u8)]
enum FieldKey {
    Other = 0,
    Meta = 1,
    Name = 2,
    Uri = 4,
    ProtocolVersion = 8,
    ClientInfo = 16,
}

key_seed!(FieldKeySeed -> FieldKey, |key| match &*key {
    "_meta" => FieldKey::Meta,
    "name" => FieldKey::Name,
    "uri" => FieldKey::Uri,
    "protocolVersion" => FieldKey::ProtocolVersion,
    "clientInfo" => FieldKey::ClientInfo,
    _ => FieldKey::Other,
});

/// Two members of an object, where they are strings.
#[derive(Default)]
struct Pair<'a> {
    first: Option<Cow<'a, str>>,
    second: Option<Cow<'a, str>>,
    has_first: bool,
    repeats_first: bool,
}

struct PairSeed<'d> {
    depth: Depth<'d>,
    keys: [&'static str; 2],
}

value_seed!(PairSeed<'_> => Pair<'a>);

impl<'a> Visitor<'a> for PairSeed<'_> {
    type Value = Pair<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Pair<'a>, A::Error> {
        let inside = self.depth.enter();
        let mut pair = Pair::default();
        while let Some(key) = map.next_key_seed(KeySeed(inside))? {
            if key == self.keys[0] {
                pair.repeats_first |= std::mem::replace(&mut pair.has_first, true);
                pair.first = map.next_value_seed(Text { depth: inside })?;
            } else if key == self.keys[1] {
                pair.second = map.next_value_seed(Text { depth: inside })?;
            } else {
                map.next_value_seed(Skip { depth: inside })?;
            }
        }
        Ok(pair)
    }

    no_object!(Pair::default());
}

key_seed!(KeySeed -> Cow<'a, str>, |key| key);

const META_KEYS: [&str; 2] = ["io.modelcontextprotocol/protocolVersion", ""];
const CLIENT_KEYS: [&str; 2] = ["name", "version"];
