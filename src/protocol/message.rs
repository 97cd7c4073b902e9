//! Reads a JSON-RPC message from its bytes, in one pass and without a tree (contract rows 12 to 14).
//!
//! The reader accepts only messages that every JSON parser reads the same way. Each judged key appears
//! once and has no lookalike, ids are strings or 64-bit integers, and text is UTF-8. Parsers disagree
//! on everything else (<https://bishopfox.com/blog/json-interoperability-vulnerabilities>). If the
//! guard and the inner service read different messages, the guard protects nothing.
//!
//! `envelope` and `fields` read the members that the guard looks at, and `judged` finds their keys.
//! `scanner` reads JSON's grammar; `nesting`, `string`, `plain`, `escape` and `number` are its parts.

mod envelope;
mod escape;
mod fields;
mod judged;
mod malformed;
mod nesting;
mod number;
mod plain;
mod scanner;
mod string;

use std::borrow::Cow;

use self::envelope::Envelope;
use self::fields::Fields;
use self::malformed::Malformed;
use self::scanner::{MAX_READ_DEPTH, Scanner};
use crate::promises::MAX_MESSAGE_ID;
use crate::refusal::RefusalReason;

/// A message, borrowed from its body. All parts are valid UTF-8. Parts that are only compared stay bytes,
/// and the methods unescape rarely used parts on demand.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: MessageKind,
    /// The id as it was written. A response has the id of the request that it answers.
    pub(crate) id: Option<&'a [u8]>,
    /// The method of a request or notification; `None` on a response.
    pub(crate) method: Option<Cow<'a, [u8]>>,
    /// Whether the message is an error response.
    pub(crate) is_error: bool,
    /// The member `_meta["io.modelcontextprotocol/protocolVersion"]` of `params`.
    pub(crate) claim: Claim<'a>,
    fields: Fields<'a>,
}

impl<'a> Message<'a> {
    /// Returns the id that a refusal carries: the id of a request. A response's id belongs to the server.
    pub(crate) fn request_id(&self) -> Option<&'a [u8]> {
        self.id.filter(|_| self.kind == MessageKind::Request)
    }

    /// Returns `name` of `params`, if it is a string.
    pub(crate) fn name(&self) -> Option<Cow<'a, [u8]>> {
        Some(self.fields.name?.unescaped())
    }

    /// Returns `uri` of `params`, if it is a string.
    pub(crate) fn uri(&self) -> Option<Cow<'a, [u8]>> {
        Some(self.fields.uri?.unescaped())
    }

    /// Returns `protocolVersion` of `result` if there is a result, else of `params`.
    pub(crate) fn protocol_version(&self) -> Option<Cow<'a, str>> {
        self.fields.protocol_version?.text().ok()
    }

    /// Returns `clientInfo.name` of `params`.
    pub(crate) fn client_name(&self) -> Option<Cow<'a, str>> {
        self.fields.client_name?.text().ok()
    }

    /// Returns `clientInfo.version` of `params`.
    pub(crate) fn client_version(&self) -> Option<Cow<'a, str>> {
        self.fields.client_version?.text().ok()
    }
}

/// The kind of a JSON-RPC message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[allow(clippy::exhaustive_enums)] // JSON-RPC 2.0 defines no other
pub enum MessageKind {
    /// A message with a method and without an id. Its sender expects no answer.
    Notification,
    /// A message with a method and an id.
    Request,
    /// A result or an error: the answer to a request that the server sent.
    Response,
}

/// The value of the version key in `params._meta`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Claim<'a> {
    #[default]
    Absent,
    NotText,
    Text(Cow<'a, str>),
}

/// Why a body is not a valid message, with the request's id if a refusal may carry it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct InvalidMessage<'a> {
    pub(crate) reason: RefusalReason,
    pub(crate) id: Option<&'a [u8]>,
}

/// The limits of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The maximum depth; the message object is depth 1.
    max_depth: usize,
    /// The maximum length of a string id in bytes, as written.
    max_id_len: usize,
    /// Whether to refuse messages that two parsers may read differently.
    is_strict: bool,
    /// Whether text that the guard does not read may hold a lone surrogate.
    accepts_lone_surrogates: bool,
}

impl Bounds {
    /// The limits of the inner service's answers. The guard trusts the inner service more than clients.
    pub(crate) const FOR_ANSWERS: Self = Self {
        max_depth: 127,
        max_id_len: usize::MAX,
        is_strict: false,
        accepts_lone_surrogates: true,
    };

    pub(crate) fn for_requests(max_depth: usize) -> Self {
        Self {
            max_depth,
            max_id_len: MAX_MESSAGE_ID,
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

/// Reads a body as one message.
pub(crate) fn read(body: &[u8], bounds: Bounds) -> Result<Message<'_>, InvalidMessage<'_>> {
    let mut scanner = Scanner::new(body, bounds.max_depth);
    let mut envelope = Envelope::new(bounds);
    // A message is large, so this function builds it in its final place.
    let reason = match judge(body, &mut scanner, &mut envelope) {
        Ok(Ok(kind)) => match envelope.message(kind) {
            Ok(message) => return Ok(message),
            Err(Malformed) => unreadable(body, scanner.deepest()),
        },
        Ok(Err(reason)) => reason,
        Err(Malformed) => unreadable(body, scanner.deepest()),
    };
    Err(InvalidMessage {
        reason,
        id: match reason {
            RefusalReason::ParseError => None,
            _ => envelope.request_id(),
        },
    })
}

/// Reads a document. Returns the kind of its message, or why it is not a message.
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
    // The scanner does not read beyond this level, so only the depth is known to be wrong.
    match deepest >= MAX_READ_DEPTH && check_utf_8(body).is_ok() {
        true => RefusalReason::TooDeep,
        false => RefusalReason::ParseError,
    }
}

/// Checks that the body is UTF-8. Beyond ASCII, `std` takes longer for this than the rest of the reader.
fn check_utf_8(body: &[u8]) -> Result<(), Malformed> {
    simdutf8::basic::from_utf8(body)
        .map(|_| ())
        .map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
