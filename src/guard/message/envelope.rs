//! The top level of a document.

use std::borrow::Cow;

use super::fields::Fields;
use super::scanner::{Malformed, Scanner};
use super::string::Quoted;
use super::{Bounds, Claim, Message, MessageKind};
use crate::guard::reason::RefusalReason;

/// A document, read but not judged.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    bounds: Bounds,
    is_object: bool,
    is_version_2: bool,
    /// As it was written.
    id: Option<&'a [u8]>,
    /// The same, where it is one that JSON-RPC and every parser know.
    valid_id: Option<&'a [u8]>,
    /// `Some(None)`: there, but no string.
    method: Option<Option<Quoted<'a>>>,
    params: Fields<'a>,
    has_result: bool,
    /// `protocolVersion` of `result`.
    result_version: Option<Quoted<'a>>,
    has_error: bool,
    /// The reserved keys that were seen, a bit each, and those that were seen again.
    seen: u8,
    repeated: u8,
    others: Others<'a>,
}

impl<'a> Envelope<'a> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            is_object: false,
            is_version_2: false,
            id: None,
            valid_id: None,
            method: None,
            params: Fields::default(),
            has_result: false,
            result_version: None,
            has_error: false,
            seen: 0,
            repeated: 0,
            others: Others::default(),
        }
    }

    /// Reads a document; what was read in front of an error stays.
    #[inline(always)]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        self.is_object = true;
        while members.is_more(scanner)? {
            match self.key(scanner)? {
                TopKey::JsonRpc => {
                    self.is_version_2 = scanner.take(br#""2.0""#) || {
                        let text = scanner.text()?.map(Quoted::unescaped).transpose()?;
                        text.is_some_and(|text| *text == *b"2.0")
                    };
                }
                TopKey::Id => {
                    let id = scanner.raw()?;
                    self.id = Some(id);
                    self.valid_id = valid_id(id, self.bounds.id);
                }
                TopKey::Method => self.method = Some(scanner.text()?),
                TopKey::Params => {
                    self.params = Fields::default();
                    self.params.read(scanner)?;
                }
                TopKey::Result => {
                    self.has_result = true;
                    self.result_version = scanner.apart(version_of_result)?;
                }
                TopKey::Error => {
                    let is_null = scanner.peek()? == b'n';
                    scanner.skip()?;
                    // Some servers write both members and leave one empty.
                    self.has_error = self.bounds.is_strict || !is_null;
                }
                TopKey::Other => scanner.skip()?,
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn key(&mut self, scanner: &mut Scanner<'a>) -> Result<TopKey, Malformed> {
        let known = match TopKey::take(scanner) {
            TopKey::Other => scanner.apart(|scanner| self.other_key(scanner))?,
            usual => usual,
        };
        self.repeated |= self.seen & known as u8;
        self.seen |= known as u8;
        Ok(known)
    }

    #[inline(never)]
    fn other_key(&mut self, scanner: &mut Scanner<'a>) -> Result<TopKey, Malformed> {
        let key = scanner.key()?.unescaped()?;
        let known = TopKey::of(&key);
        if known == TopKey::Other {
            self.others.note(key);
        }
        Ok(known)
    }

    pub(super) fn judge(&self, has_private_key: bool) -> Result<MessageKind, RefusalReason> {
        if !self.is_object {
            return Err(RefusalReason::NotOneMessage);
        }
        let is_strict = self.bounds.is_strict;
        let kind = match (&self.method, self.has_result, self.has_error) {
            _ if is_strict && !self.is_version_2 => return Err(RefusalReason::InvalidEnvelope),
            (Some(Some(_)), false, false) if self.id.is_some() => MessageKind::Request,
            (Some(Some(_)), false, false) => MessageKind::Notification,
            (None, true, false) | (None, false, true) => MessageKind::Response,
            _ => return Err(RefusalReason::InvalidEnvelope),
        };
        let may_lack_id = kind == MessageKind::Notification || self.has_error;
        let lacks_id = self.id.is_none_or(|id| self.has_error && id == b"null");
        if !(self.valid_id.is_some() || may_lack_id && lacks_id) {
            return Err(RefusalReason::InvalidId);
        }
        let is_ambiguous = self.repeated != 0
            || self.others.are_ambiguous
            || self.params.ambiguous
            || has_private_key;
        match is_strict && is_ambiguous {
            true => Err(RefusalReason::AmbiguousKeys),
            false => Ok(kind),
        }
    }

    /// The id that a refusal may carry: valid, unambiguous, and not of a response, whose id is
    /// the server's own.
    pub(super) fn request_id(&self) -> Option<&'a [u8]> {
        let is_response = self.method.is_none() && (self.has_result || self.has_error);
        if is_response || self.repeated & TopKey::Id as u8 != 0 || self.others.fold_to_id {
            None
        } else {
            self.valid_id
        }
    }

    #[inline(always)]
    pub(super) fn message(&self, kind: MessageKind) -> Result<Message<'a>, Malformed> {
        let mut fields = self.params;
        if self.has_result {
            fields.protocol_version = self.result_version;
        }
        Ok(Message {
            kind,
            id: self.valid_id,
            method: self.method.flatten().map(Quoted::unescaped).transpose()?,
            is_error: self.has_error,
            claim: match fields.claim {
                None => Claim::Absent,
                Some(None) => Claim::NotText,
                Some(Some(claim)) => Claim::Text(claim.text()?),
            },
            fields,
        })
    }
}

/// The keys of the message object that JSON-RPC does not know.
#[derive(Debug, Default)]
struct Others<'a> {
    keys: Vec<Cow<'a, [u8]>>,
    are_ambiguous: bool,
    fold_to_id: bool,
}

impl<'a> Others<'a> {
    #[cold]
    fn note(&mut self, key: Cow<'a, [u8]>) {
        if let Some(reserved) = folds_to_reserved(&key) {
            self.are_ambiguous = true;
            self.fold_to_id |= reserved == "id";
        } else if !self.are_ambiguous {
            // Once it is refused the rest need not be compared.
            let is_over = self.keys.len() == MOST_OTHERS;
            self.are_ambiguous = is_over || self.keys.contains(&key);
            self.keys.push(key);
        }
    }
}

#[inline(never)]
fn version_of_result<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Quoted<'a>>, Malformed> {
    let mut result = Fields::default();
    result.read(scanner)?;
    Ok(result.protocol_version)
}

/// A key of the message object, as a bit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum TopKey {
    Other = 0,
    JsonRpc = 1,
    Id = 2,
    Method = 4,
    Params = 8,
    Result = 16,
    Error = 32,
}

impl TopKey {
    /// Steps past a known key if it is written as nearly everybody does: compared in one go, with its
    /// quotes and colon.
    #[inline(always)]
    fn take(scanner: &mut Scanner<'_>) -> Self {
        match () {
            () if scanner.take(br#""method":"#) => Self::Method,
            () if scanner.take(br#""params":"#) => Self::Params,
            () if scanner.take(br#""id":"#) => Self::Id,
            () if scanner.take(br#""jsonrpc":"#) => Self::JsonRpc,
            () if scanner.take(br#""result":"#) => Self::Result,
            () => Self::Other,
        }
    }

    fn of(key: &[u8]) -> Self {
        match key {
            b"jsonrpc" => Self::JsonRpc,
            b"id" => Self::Id,
            b"method" => Self::Method,
            b"params" => Self::Params,
            b"result" => Self::Result,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// The reserved key that `key` equals after case folding, so that parsers that fold would read it:
/// ASCII, U+017F (long s), U+212A (kelvin).
fn folds_to_reserved(key: &[u8]) -> Option<&'static str> {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    let key = std::str::from_utf8(key).ok()?;
    RESERVED
        .into_iter()
        .find(|reserved| key.chars().map(fold).eq(reserved.chars()))
}

/// A string of at most `longest` bytes as written, or an integer that a double holds exactly. `-0` is
/// none: some parsers read a float.
#[inline(always)]
fn valid_id(raw: &[u8], longest: usize) -> Option<&[u8]> {
    let is_short_number = raw.len() < 16 && raw.iter().all(u8::is_ascii_digit);
    let is_valid = is_short_number
        || match raw {
            // It was read without regard to what its escapes name.
            [b'"', inside @ .., b'"'] => inside.len() <= longest && Quoted::read(raw, true).is_ok(),
            _ => is_long_number(raw),
        };
    is_valid.then_some(raw)
}

/// Whether this is a number of many digits, or of less than zero, that a double holds exactly.
fn is_long_number(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let value = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    digits.iter().all(u8::is_ascii_digit)
        && raw != b"-0"
        && value.is_some_and(|value| value <= MAX_SAFE_INTEGER)
}

const RESERVED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// How many members that JSON-RPC does not know a message may have.
const MOST_OTHERS: usize = 64;
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
