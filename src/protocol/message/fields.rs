//! Reads the members of `params` and `result` that the guard looks at.

use super::judged::{self, Found};
use super::malformed::Malformed;
use super::scanner::Scanner;
use super::string::Quoted;

/// The members of `params` or `result` that the guard looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    /// The claim; `Some(None)` if it is not a string.
    pub(super) claim: Option<Option<Quoted<'a>>>,
    pub(super) name: Option<Quoted<'a>>,
    pub(super) uri: Option<Quoted<'a>>,
    pub(super) protocol_version: Option<Quoted<'a>>,
    pub(super) client_name: Option<Quoted<'a>>,
    pub(super) client_version: Option<Quoted<'a>>,
    is_ambiguous: bool,
    /// The judged keys so far, one bit each. A duplicate is ambiguous.
    seen: u8,
    /// The judged keys that have a lookalike so far, one bit each.
    lookalikes: u8,
}

impl<'a> Fields<'a> {
    /// Reads the members of an object. Skips any other value.
    #[inline(always)]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while members.advance(scanner)? {
            let key = match FieldKey::take(scanner) {
                Some(common) => common,
                None => scanner.out_of_line(|scanner| self.key_in_any_spelling(scanner))?,
            };
            self.is_ambiguous |= self.seen & key as u8 != 0;
            self.seen |= key as u8;
            match key {
                FieldKey::Meta => scanner.out_of_line(|scanner| self.read_meta(scanner))?,
                FieldKey::Name => self.name = scanner.text()?,
                FieldKey::Uri => self.uri = scanner.text()?,
                FieldKey::ProtocolVersion => self.protocol_version = scanner.text()?,
                FieldKey::ClientInfo => scanner.out_of_line(|scanner| self.read_client(scanner))?,
                FieldKey::Arguments | FieldKey::Other => scanner.skip()?,
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn key_in_any_spelling(&mut self, scanner: &mut Scanner<'a>) -> Result<FieldKey, Malformed> {
        Ok(match judged::find(scanner.key()?, &FieldKey::JUDGED) {
            Found::Same(key) => key,
            Found::Lookalike(key) => {
                // The method decides whether the lookalike is refused, and may come later.
                self.lookalikes |= key as u8;
                FieldKey::Other
            }
            Found::Other => FieldKey::Other,
        })
    }

    #[inline(never)]
    fn read_meta(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.claim = None;
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while members.advance(scanner)? {
            match judged::find(scanner.key()?, &[(CLAIM, ())]) {
                Found::Same(()) => {
                    self.is_ambiguous |= self.claim.is_some();
                    self.claim = Some(scanner.text()?);
                }
                Found::Lookalike(()) => {
                    self.is_ambiguous = true;
                    scanner.skip()?;
                }
                Found::Other => scanner.skip()?,
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn read_client(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        (self.client_name, self.client_version) = (None, None);
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while members.advance(scanner)? {
            let field = match () {
                () if scanner.take(br#""name":"#) => Some(&mut self.client_name),
                () if scanner.take(br#""version":"#) => Some(&mut self.client_version),
                () => match judged::find(scanner.key()?, &[("name", 0), ("version", 1)]) {
                    Found::Same(0) => Some(&mut self.client_name),
                    Found::Same(_) => Some(&mut self.client_version),
                    Found::Lookalike(_) | Found::Other => None,
                },
            };
            match field {
                Some(field) => *field = scanner.text()?,
                None => scanner.skip()?,
            }
        }
        Ok(())
    }

    /// Returns whether two parsers may read these members differently in a message with this method.
    #[inline]
    pub(super) fn are_ambiguous(&self, method: Option<Quoted<'a>>) -> bool {
        self.is_ambiguous
            || self.lookalikes != 0 && self.lookalikes & FieldKey::judged_in(method) != 0
    }

    /// Returns whether text that the guard reads holds a lone surrogate.
    #[cold]
    pub(super) fn have_lone_surrogate(&self) -> bool {
        [
            self.claim.flatten(),
            self.name,
            self.uri,
            self.protocol_version,
            self.client_name,
            self.client_version,
        ]
        .into_iter()
        .flatten()
        .any(Quoted::has_lone_surrogate)
    }
}

/// A key of `params` or `result`, as a bit.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum FieldKey {
    Other = 0,
    Meta = 1,
    Name = 2,
    Uri = 4,
    ProtocolVersion = 8,
    ClientInfo = 16,
    Arguments = 32,
}

impl FieldKey {
    const JUDGED: [(&str, Self); 6] = [
        ("_meta", Self::Meta),
        ("name", Self::Name),
        ("uri", Self::Uri),
        ("protocolVersion", Self::ProtocolVersion),
        ("clientInfo", Self::ClientInfo),
        ("arguments", Self::Arguments),
    ];

    /// Steps past a key that is common in calls and in `initialize`. Compares it in one go with its quotes
    /// and colon.
    #[inline(always)]
    fn take(scanner: &mut Scanner<'_>) -> Option<Self> {
        match () {
            () if scanner.take(br#""name":"#) => Some(Self::Name),
            () if scanner.take(br#""arguments":"#) => Some(Self::Arguments),
            () if scanner.take(br#""_meta":"#) => Some(Self::Meta),
            () if scanner.take(br#""protocolVersion":"#) => Some(Self::ProtocolVersion),
            () if scanner.take(br#""capabilities":"#) => Some(Self::Other),
            () if scanner.take(br#""clientInfo":"#) => Some(Self::ClientInfo),
            () if scanner.take(br#""serverInfo":"#) => Some(Self::Other),
            () => None,
        }
    }

    /// Returns the keys of `params` that must not have a lookalike, one bit each: those that a server with
    /// this method looks at.
    #[cold]
    fn judged_in(method: Option<Quoted<'_>>) -> u8 {
        let method = method.map(Quoted::unescaped).unwrap_or_default();
        let of_method = match &*method {
            b"tools/call" | b"prompts/get" => Self::Name as u8 | Self::Arguments as u8,
            b"initialize" => Self::ProtocolVersion as u8 | Self::ClientInfo as u8,
            method if method.starts_with(b"resources/") => Self::Uri as u8,
            _ => 0,
        };
        Self::Meta as u8 | of_method
    }
}

const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
