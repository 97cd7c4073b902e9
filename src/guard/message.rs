//! Reads a JSON-RPC message from its bytes: one pass, no tree (contract rows 12 to 14).
//!
//! What this reader lets through, every other JSON parser reads the same way: keys that matter
//! stand once and in one spelling, ids survive a round trip through a double, text is UTF-8.
//! Parsers disagree on everything else
//! (<https://bishopfox.com/blog/json-interoperability-vulnerabilities>), and a guard that saw
//! another message than its inner service would guard nothing.

mod fields;
mod json;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use self::fields::{Fields, FieldsSeed};
use self::json::{Depth, Findings, Skip, Text, key_seed, no_object};
use super::reason::RefusalReason;

/// One message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: MessageKind,
    /// The id as it was written: a request's own, a response's the request's that it answers.
    pub(crate) id: Option<&'a str>,
    /// Set on requests and notifications.
    pub(crate) method: Option<Cow<'a, str>>,
    /// Whether a response is an error.
    pub(crate) is_error: bool,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]` of `params`.
    pub(crate) claim: Claim<'a>,
    /// `name` of `params`, where it is a string.
    pub(crate) name: Option<Cow<'a, str>>,
    /// `uri` of `params`, where it is a string.
    pub(crate) uri: Option<Cow<'a, str>>,
    /// `protocolVersion` of `params`, or of `result`.
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    /// `clientInfo.name` of `params`.
    pub(crate) client_name: Option<Cow<'a, str>>,
    /// `clientInfo.version` of `params`.
    pub(crate) client_version: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    /// The id that a refusal carries: a request's own. A response's is the server's.
    pub(crate) fn request_id(&self) -> Option<&'a str> {
        self.id.filter(|_| self.kind == MessageKind::Request)
    }
}

/// What a JSON-RPC message is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[allow(clippy::exhaustive_enums)] // JSON-RPC 2.0 knows no other
pub enum MessageKind {
    /// A method without an id: no answer is expected.
    Notification,
    /// A method with an id.
    Request,
    /// A result or an error, for a request that the server sent.
    Response,
}

/// What stands under the key of the protocol version in `params._meta`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Claim<'a> {
    #[default]
    Absent,
    NotText,
    Text(Cow<'a, str>),
}

/// A body that is no message, with the id of the request that it may have been.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct NoMessage<'a> {
    pub(crate) reason: RefusalReason,
    pub(crate) id: Option<&'a str>,
}

/// What a message may measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How deep it nests; the message object itself is depth 1.
    depth: usize,
    /// How many bytes a string id has, as written.
    id: usize,
    /// Whether what parsers may read differently is refused.
    is_strict: bool,
}

impl Bounds {
    /// The inner service is trusted with more than clients.
    pub(crate) const OF_ANSWERS: Self = Self {
        depth: 127,
        id: usize::MAX,
        is_strict: false,
    };

    pub(crate) fn of_requests(depth: usize) -> Self {
        Self {
            depth,
            id: LONGEST_ID,
            is_strict: true,
        }
    }
}

/// Reads one message.
pub(crate) fn read(body: &[u8], bounds: Bounds) -> Result<Message<'_>, NoMessage<'_>> {
    let findings = Findings::default();
    let mut envelope = Envelope {
        longest_id: bounds.id,
        is_strict: bounds.is_strict,
        ..Envelope::default()
    };
    let parsed = std::str::from_utf8(body).ok().and_then(|text| {
        let mut json = Deserializer::from_str(text);
        let depth = Depth::top(bounds.depth, &findings);
        let read = json.deserialize_any(EnvelopeVisitor {
            depth,
            envelope: &mut envelope,
        });
        read.and_then(|()| json.end()).ok()
    });
    let judged = match parsed {
        // serde_json gives a document up behind its 127th level.
        None if findings.deepest() >= SERDE_JSON_DEPTH => Err(RefusalReason::TooDeep),
        None => {
            return Err(NoMessage {
                reason: RefusalReason::ParseError,
                id: None,
            });
        }
        Some(()) if findings.deepest() > bounds.depth => Err(RefusalReason::TooDeep),
        Some(()) => envelope.judge(&findings),
    };
    match judged {
        Ok(kind) => Ok(envelope.into_message(kind)),
        Err(reason) => Err(NoMessage {
            reason,
            id: envelope.request_id(),
        }),
    }
}

/// The top level of a document, read but not judged.
#[derive(Default)]
struct Envelope<'a> {
    longest_id: usize,
    is_strict: bool,
    is_object: bool,
    is_version_2: bool,
    id: Option<&'a RawValue>,
    /// `Some(None)`: there, but no string.
    method: Option<Option<Cow<'a, str>>>,
    params: Fields<'a>,
    result: Option<Fields<'a>>,
    has_error: bool,
    repeats_id: bool,
    ambiguous: bool,
}

impl<'a> Envelope<'a> {
    fn judge(&self, findings: &Findings) -> Result<MessageKind, RefusalReason> {
        if !self.is_object {
            return Err(RefusalReason::NotOneMessage);
        }
        let kind = match (&self.method, self.result.is_some(), self.has_error) {
            _ if self.is_strict && !self.is_version_2 => {
                return Err(RefusalReason::InvalidEnvelope);
            }
            (Some(Some(_)), false, false) if self.id.is_some() => MessageKind::Request,
            (Some(Some(_)), false, false) => MessageKind::Notification,
            (None, true, false) | (None, false, true) => MessageKind::Response,
            _ => return Err(RefusalReason::InvalidEnvelope),
        };
        let may_lack_id = kind == MessageKind::Notification || self.has_error;
        let lacks_id = self
            .id
            .is_none_or(|id| self.has_error && id.get() == "null");
        if !(self.valid_id().is_some() || may_lack_id && lacks_id) {
            return Err(RefusalReason::InvalidId);
        }
        let is_ambiguous = self.ambiguous || self.params.ambiguous || findings.has_private_key();
        match self.is_strict && is_ambiguous {
            true => Err(RefusalReason::AmbiguousKeys),
            false => Ok(kind),
        }
    }

    /// The id that a refusal may carry: valid, unambiguous, and not of a response, whose id is
    /// the server's own.
    fn request_id(&self) -> Option<&'a str> {
        let is_response = self.method.is_none() && (self.result.is_some() || self.has_error);
        if is_response || self.repeats_id {
            None
        } else {
            self.valid_id()
        }
    }

    fn valid_id(&self) -> Option<&'a str> {
        self.id
            .map(RawValue::get)
            .filter(|id| is_valid_id(id, self.longest_id))
    }

    fn into_message(self, kind: MessageKind) -> Message<'a> {
        Message {
            kind,
            id: self.valid_id(),
            method: self.method.flatten(),
            is_error: self.has_error,
            claim: self.params.claim,
            name: self.params.name,
            uri: self.params.uri,
            protocol_version: match self.result {
                Some(result) => result.protocol_version,
                None => self.params.protocol_version,
            },
            client_name: self.params.client_name,
            client_version: self.params.client_version,
        }
    }
}

struct EnvelopeVisitor<'a, 'e, 'd> {
    depth: Depth<'d>,
    envelope: &'e mut Envelope<'a>,
}

impl<'a> Visitor<'a> for EnvelopeVisitor<'a, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { depth, envelope } = self;
        let inside = depth.enter();
        envelope.is_object = true;
        let mut seen = 0_u8;
        let mut others = Vec::new();
        while let Some(key) = map.next_key_seed(TopKeySeed(inside))? {
            if let Some(bit) = key.bit() {
                let repeated = seen & bit != 0;
                seen |= bit;
                envelope.ambiguous |= repeated;
                envelope.repeats_id |= repeated && matches!(key, TopKey::Id);
            }
            match key {
                TopKey::JsonRpc => {
                    let text = map.next_value_seed(Text { depth: inside })?;
                    envelope.is_version_2 = text.is_some_and(|text| text == "2.0");
                }
                TopKey::Id => envelope.id = Some(map.next_value()?),
                TopKey::Method => {
                    envelope.method = Some(map.next_value_seed(Text { depth: inside })?);
                }
                TopKey::Params => {
                    envelope.params = map.next_value_seed(FieldsSeed { depth: inside })?;
                }
                TopKey::Result => {
                    envelope.result = Some(map.next_value_seed(FieldsSeed { depth: inside })?);
                }
                TopKey::Error => {
                    let is_null = map.next_value_seed(Skip { depth: inside })?;
                    // Some servers write both members and leave one empty.
                    envelope.has_error = envelope.is_strict || !is_null;
                }
                TopKey::Folded { is_id } => {
                    envelope.ambiguous = true;
                    envelope.repeats_id |= is_id;
                    map.next_value_seed(Skip { depth: inside })?;
                }
                TopKey::Other(name) => {
                    // Once it is refused the rest need not be compared.
                    if !envelope.ambiguous {
                        let is_over = others.len() == MOST_OTHERS;
                        envelope.ambiguous = is_over || others.contains(&name);
                        others.push(name);
                    }
                    map.next_value_seed(Skip { depth: inside })?;
                }
            }
        }
        Ok(())
    }

    no_object!(());
}

/// A key of the message object.
enum TopKey<'a> {
    JsonRpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    /// One of these only after case folding: parsers that fold would read it.
    Folded {
        is_id: bool,
    },
    Other(Cow<'a, str>),
}

impl TopKey<'_> {
    fn bit(&self) -> Option<u8> {
        Some(match self {
            Self::JsonRpc => 1,
            Self::Id => 2,
            Self::Method => 4,
            Self::Params => 8,
            Self::Result => 16,
            Self::Error => 32,
            Self::Folded { .. } | Self::Other(_) => return None,
        })
    }
}

key_seed!(TopKeySeed -> TopKey<'a>, |key| match &*key {
    "jsonrpc" => TopKey::JsonRpc,
    "id" => TopKey::Id,
    "method" => TopKey::Method,
    "params" => TopKey::Params,
    "result" => TopKey::Result,
    "error" => TopKey::Error,
    text => match folds_to_reserved(text) {
        Some(reserved) => TopKey::Folded { is_id: reserved == "id" },
        None => TopKey::Other(key),
    },
});

/// The reserved key that `key` equals after case folding: ASCII, U+017F (long s), U+212A (kelvin).
fn folds_to_reserved(key: &str) -> Option<&'static str> {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    RESERVED
        .into_iter()
        .find(|reserved| key.chars().map(fold).eq(reserved.chars()))
}

/// A string of at most `longest` bytes as written, or an integer that a double holds exactly. `-0` is
/// none: some parsers read a float.
fn is_valid_id(raw: &str, longest: usize) -> bool {
    if let Some(string) = raw.strip_prefix('"') {
        // `RawValue` checks the grammar but not that escapes name characters.
        return string.len() - 1 <= longest && serde_json::from_str::<Cow<'_, str>>(raw).is_ok();
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && raw != "-0"
        && digits
            .parse::<u64>()
            .is_ok_and(|value| value <= MAX_SAFE_INTEGER)
}

const RESERVED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// How many members that JSON-RPC does not know a message may have.
const MOST_OTHERS: usize = 64;
/// How many levels serde_json reads before it gives a document up.
const SERDE_JSON_DEPTH: usize = 127;
const LONGEST_ID: usize = 256;
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
