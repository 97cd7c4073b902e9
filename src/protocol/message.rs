//! Reads a JSON-RPC message from its bytes: one pass, no tree (contract rows 12 to 14).
//!
//! What this reader lets through, every other JSON parser reads the same way: keys that matter
//! stand once and no other key is read as one of them, ids are strings or integers of 64 bits, text
//! is UTF-8.
//! Parsers disagree on everything else
//! (<https://bishopfox.com/blog/json-interoperability-vulnerabilities>), and a guard that saw
//! another message than its inner service would guard nothing.
//!
//! `envelope` and `fields` say what is taken from a message, `judged` which keys are; `scanner` knows
//! JSON's grammar, with `nest`, `string`, `plain`, `escape` and `number` for its parts.

mod envelope;
mod escape;
mod fields;
mod judged;
mod nest;
mod number;
mod plain;
mod scanner;
mod string;

use std::borrow::Cow;

use self::envelope::Envelope;
use self::fields::Fields;
use self::scanner::{DEEPEST, Malformed, Scanner};
use crate::promises::MAX_MESSAGE_ID;
use crate::refusal::RefusalReason;

/// One message. All of it is text; what is only compared stays bytes, and what few need is taken
/// from the fields when they ask.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: MessageKind,
    /// The id as it was written: a request's own, a response's the request's that it answers.
    pub(crate) id: Option<&'a [u8]>,
    /// Set on requests and notifications.
    pub(crate) method: Option<Cow<'a, [u8]>>,
    /// Whether a response is an error.
    pub(crate) is_error: bool,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]` of `params`.
    pub(crate) claim: Claim<'a>,
    fields: Fields<'a>,
}

impl<'a> Message<'a> {
    /// The id that a refusal carries: a request's own. A response's is the server's.
    pub(crate) fn request_id(&self) -> Option<&'a [u8]> {
        self.id.filter(|_| self.kind == MessageKind::Request)
    }

    /// `name` of `params`, where it is a string.
    pub(crate) fn name(&self) -> Option<Cow<'a, [u8]>> {
        Some(self.fields.name?.unescaped())
    }

    /// `uri` of `params`, where it is a string.
    pub(crate) fn uri(&self) -> Option<Cow<'a, [u8]>> {
        Some(self.fields.uri?.unescaped())
    }

    /// `protocolVersion` of `params`, or of `result`.
    pub(crate) fn protocol_version(&self) -> Option<Cow<'a, str>> {
        self.fields.protocol_version?.text().ok()
    }

    /// `clientInfo.name` of `params`.
    pub(crate) fn client_name(&self) -> Option<Cow<'a, str>> {
        self.fields.client_name?.text().ok()
    }

    /// `clientInfo.version` of `params`.
    pub(crate) fn client_version(&self) -> Option<Cow<'a, str>> {
        self.fields.client_version?.text().ok()
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
    pub(crate) id: Option<&'a [u8]>,
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
    /// Whether half of a surrogate pair may stand in text that the guard does not read.
    accepts_lone_surrogates: bool,
}

impl Bounds {
    /// The inner service is trusted with more than clients.
    pub(crate) const OF_ANSWERS: Self = Self {
        depth: 127,
        id: usize::MAX,
        is_strict: false,
        accepts_lone_surrogates: true,
    };

    pub(crate) fn of_requests(depth: usize) -> Self {
        Self {
            depth,
            id: MAX_MESSAGE_ID,
            is_strict: true,
            accepts_lone_surrogates: false,
        }
    }

    pub(crate) fn with_lone_surrogates(self, accepts_lone_surrogates: bool) -> Self {
        Self {
            accepts_lone_surrogates,
            ..self
        }
    }
}

/// Reads one message.
pub(crate) fn read(body: &[u8], bounds: Bounds) -> Result<Message<'_>, NoMessage<'_>> {
    let mut scanner = Scanner::new(body, bounds.depth);
    let mut envelope = Envelope::new(bounds);
    // A message is large, so it is made where it stays.
    let reason = match judge(body, &mut scanner, &mut envelope) {
        Ok(Ok(kind)) => match envelope.message(kind) {
            Ok(message) => return Ok(message),
            Err(Malformed) => unreadable(body, scanner.deepest()),
        },
        Ok(Err(reason)) => reason,
        Err(Malformed) => unreadable(body, scanner.deepest()),
    };
    Err(NoMessage {
        reason,
        id: match reason {
            RefusalReason::ParseError => None,
            _ => envelope.request_id(),
        },
    })
}

/// Reads a document and tells what message it is, or why none.
#[inline(always)]
fn judge<'a>(
    body: &'a [u8],
    scanner: &mut Scanner<'a>,
    envelope: &mut Envelope<'a>,
) -> Result<Result<MessageKind, RefusalReason>, Malformed> {
    envelope.read(scanner)?;
    scanner.end()?;
    if !scanner.is_ascii() {
        check_utf_8(body)?;
    }
    Ok(match scanner.is_too_deep() {
        true => Err(RefusalReason::TooDeep),
        false => envelope.judge(*scanner),
    })
}

#[cold]
fn unreadable(body: &[u8], deepest: usize) -> RefusalReason {
    // A document is given up behind this level, whatever follows.
    match deepest >= DEEPEST && check_utf_8(body).is_ok() {
        true => RefusalReason::TooDeep,
        false => RefusalReason::ParseError,
    }
}

/// `std` takes longer for this, beyond ASCII, than everything else together.
fn check_utf_8(body: &[u8]) -> Result<(), Malformed> {
    simdutf8::basic::from_utf8(body)
        .map(|_| ())
        .map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
