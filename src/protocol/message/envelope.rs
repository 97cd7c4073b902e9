//! Reads and judges the top level of a document.

use std::borrow::Cow;

use super::fields::Fields;
use super::judged::{self, Found};
use super::malformed::Malformed;
use super::scanner::Scanner;
use super::string::Quoted;
use super::{Bounds, Claim, Message, MessageKind};
use crate::promises::MAX_MESSAGE_ID;
use crate::refusal::RefusalReason;

/// The top level of a document, read but not judged.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    bounds: Bounds,
    is_object: bool,
    is_version_2: bool,
    /// The id as it was written.
    id: Option<&'a [u8]>,
    /// The id as it was written, if it is one that JSON-RPC allows and every parser reads the same way.
    valid_id: Option<&'a [u8]>,
    /// The method; `Some(None)` if it is not a string.
    method: Option<Option<Quoted<'a>>>,
    params: Fields<'a>,
    /// The first byte of `result`, which shows its type.
    result: Option<u8>,
    /// The first byte of `error`.
    error: Option<u8>,
    /// The member `protocolVersion` of `result`.
    result_version: Option<Quoted<'a>>,
    /// The reserved keys so far, one bit each.
    seen: u8,
    /// The reserved keys that have a duplicate so far.
    repeated: u8,
    /// The reserved keys that have a lookalike so far.
    lookalikes: u8,
    unknown_keys: UnknownKeys<'a>,
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
            result: None,
            error: None,
            result_version: None,
            seen: 0,
            repeated: 0,
            lookalikes: 0,
            unknown_keys: UnknownKeys::default(),
        }
    }

    /// Reads a document. After an error, the members before it stay.
    #[inline(always)]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        self.is_object = true;
        while members.advance(scanner)? {
            match self.key(scanner)? {
                TopKey::JsonRpc => {
                    self.is_version_2 = scanner.take(br#""2.0""#) || {
                        let text = scanner.text()?.map(Quoted::unescaped);
                        text.is_some_and(|text| *text == *b"2.0")
                    };
                }
                TopKey::Id => {
                    let id = scanner.raw()?;
                    self.id = Some(id);
                    self.valid_id = valid_id(id, self.bounds.max_id_len);
                }
                TopKey::Method => self.method = Some(scanner.text()?),
                TopKey::Params => {
                    self.params = Fields::default();
                    self.params.read(scanner)?;
                }
                TopKey::Result => {
                    self.result = Some(scanner.peek()?);
                    self.result_version = scanner.out_of_line(version_of_result)?;
                }
                TopKey::Error => {
                    self.error = Some(scanner.peek()?);
                    scanner.skip()?;
                }
                TopKey::Other => scanner.skip()?,
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn key(&mut self, scanner: &mut Scanner<'a>) -> Result<TopKey, Malformed> {
        let known = match TopKey::take(scanner) {
            TopKey::Other => scanner.out_of_line(|scanner| self.key_in_any_spelling(scanner))?,
            common => common,
        };
        self.repeated |= self.seen & known as u8;
        self.seen |= known as u8;
        Ok(known)
    }

    #[inline(never)]
    fn key_in_any_spelling(&mut self, scanner: &mut Scanner<'a>) -> Result<TopKey, Malformed> {
        let key = scanner.key()?;
        Ok(match judged::find(key, &TopKey::RESERVED) {
            Found::Same(reserved) => reserved,
            Found::Lookalike(reserved) => {
                self.lookalikes |= reserved as u8;
                TopKey::Other
            }
            Found::Other => {
                self.unknown_keys.add(key);
                TopKey::Other
            }
        })
    }

    /// Returns the kind of the message, or why the guard refuses it. `scanner` is a copy: see
    /// [`Scanner::out_of_line`].
    #[inline(always)]
    pub(super) fn judge(&self, scanner: Scanner<'a>) -> Result<MessageKind, RefusalReason> {
        if !self.is_object {
            return Err(RefusalReason::NotOneMessage);
        }
        let is_strict = self.bounds.is_strict;
        let has_error = self.has_error();
        let kind = match (&self.method, self.has_result(), has_error) {
            _ if is_strict && !self.is_version_2 => return Err(RefusalReason::InvalidEnvelope),
            (Some(Some(_)), false, false) if self.id.is_some() => MessageKind::Request,
            (Some(Some(_)), false, false) => MessageKind::Notification,
            (None, true, false) | (None, false, true) => MessageKind::Response,
            _ => return Err(RefusalReason::InvalidEnvelope),
        };
        let may_lack_id = kind == MessageKind::Notification || has_error;
        let lacks_id = self.id.is_none_or(|id| has_error && id == b"null");
        if !(self.valid_id.is_some() || may_lack_id && lacks_id) {
            return Err(RefusalReason::InvalidId);
        }
        let is_ambiguous = self.repeated | self.lookalikes != 0
            || self.unknown_keys.are_ambiguous
            || self.params.are_ambiguous(self.method.flatten())
            || scanner.has_private_key();
        if is_strict && is_ambiguous {
            return Err(RefusalReason::AmbiguousKeys);
        }
        match scanner.has_lone_surrogate() && !self.may_have_lone_surrogates() {
            true => Err(RefusalReason::LoneSurrogate),
            false => Ok(kind),
        }
    }

    /// Returns whether the settings accept this message's lone surrogates. They never do in text that the
    /// guard reads. (An id with a lone surrogate is invalid.)
    #[cold]
    fn may_have_lone_surrogates(&self) -> bool {
        let read = [self.method.flatten(), self.result_version];
        self.bounds.accepts_lone_surrogates
            && !self.params.have_lone_surrogate()
            && !read.into_iter().flatten().any(Quoted::has_lone_surrogate)
    }

    /// Returns whether the message has an error. Some peers write both members of a response and set one to
    /// `null`.
    #[inline]
    fn has_error(&self) -> bool {
        match self.error {
            Some(NULL) => self.bounds.is_strict && self.method.is_some(),
            error => error.is_some(),
        }
    }

    #[inline]
    fn has_result(&self) -> bool {
        match (self.result, self.error) {
            (Some(NULL), Some(OBJECT)) => self.method.is_some(),
            (result, _) => result.is_some(),
        }
    }

    /// Returns the id that a refusal may carry: it is unambiguous, and either valid or a number of at most
    /// [`MAX_MESSAGE_ID`] bytes. Returns `None` for a response, whose id belongs to the server.
    pub(super) fn request_id(&self) -> Option<&'a [u8]> {
        let of_response = TopKey::Result as u8 | TopKey::Error as u8;
        let is_response = self.method.is_none() && (self.seen | self.lookalikes) & of_response != 0;
        if is_response || (self.repeated | self.lookalikes) & TopKey::Id as u8 != 0 {
            return None;
        }
        let is_number = |id: &&[u8]| matches!(id, [b'-' | b'0'..=b'9', ..]);
        let number = self.id.filter(is_number);
        self.valid_id
            .or(number.filter(|number| number.len() <= MAX_MESSAGE_ID))
    }

    #[inline(always)]
    pub(super) fn message(&self, kind: MessageKind) -> Result<Message<'a>, Malformed> {
        let mut fields = self.params;
        if self.has_result() {
            fields.protocol_version = self.result_version;
        }
        Ok(Message {
            kind,
            id: self.valid_id,
            method: self.method.flatten().map(Quoted::unescaped),
            is_error: self.has_error(),
            claim: match fields.claim {
                None => Claim::Absent,
                Some(None) => Claim::NotText,
                Some(Some(claim)) => Claim::Text(claim.text()?),
            },
            fields,
        })
    }
}

/// The keys of the message object that JSON-RPC does not define.
#[derive(Debug, Default)]
struct UnknownKeys<'a> {
    keys: Vec<Cow<'a, [u8]>>,
    are_ambiguous: bool,
}

impl<'a> UnknownKeys<'a> {
    #[cold]
    fn add(&mut self, key: Quoted<'a>) {
        // The guard refuses an ambiguous message, so the remaining keys need no comparison.
        if !self.are_ambiguous {
            let key = key.unescaped();
            let is_over = self.keys.len() == MAX_UNKNOWN_KEYS;
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
    const RESERVED: [(&str, Self); 6] = [
        ("jsonrpc", Self::JsonRpc),
        ("id", Self::Id),
        ("method", Self::Method),
        ("params", Self::Params),
        ("result", Self::Result),
        ("error", Self::Error),
    ];

    /// Steps past a reserved key in its most common spelling. Compares it in one go with its quotes and
    /// colon.
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
}

/// Returns `raw` if it is a valid id: a string of at most `max_len` bytes as written, or a 64-bit integer
/// with or without a sign.
#[inline(always)]
fn valid_id(raw: &[u8], max_len: usize) -> Option<&[u8]> {
    let is_short_number = raw.len() < 16 && raw.iter().all(u8::is_ascii_digit);
    let is_valid = is_short_number
        || match raw {
            [b'"', inside @ .., b'"'] => {
                let is_text = |id: Quoted<'_>| !id.has_lone_surrogate();
                inside.len() <= max_len && Quoted::read(raw).is_ok_and(is_text)
            }
            _ => is_integer(raw),
        };
    is_valid.then_some(raw)
}

/// Returns whether `raw` is a 64-bit integer. `-0` is not, because some parsers read it as a float.
fn is_integer(raw: &[u8]) -> bool {
    let text = std::str::from_utf8(raw).unwrap_or_default();
    text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok() && text != "-0"
}

/// The first byte of `null`.
const NULL: u8 = b'n';
/// The first byte of an object.
const OBJECT: u8 = b'{';
/// The maximum number of members in a message that JSON-RPC does not define.
const MAX_UNKNOWN_KEYS: usize = 64;
