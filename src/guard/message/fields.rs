//! What the guard looks at inside `params` and `result`.

use super::scanner::{Malformed, Scanner};
use super::string::Quoted;

/// The members of `params` or `result` that the guard looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    /// `Some(None)`: there, but no string.
    pub(super) claim: Option<Option<Quoted<'a>>>,
    pub(super) name: Option<Quoted<'a>>,
    pub(super) uri: Option<Quoted<'a>>,
    pub(super) protocol_version: Option<Quoted<'a>>,
    pub(super) client_name: Option<Quoted<'a>>,
    pub(super) client_version: Option<Quoted<'a>>,
    pub(super) ambiguous: bool,
    /// The keys that must not stand twice and were seen, a bit each.
    seen: u8,
}

impl<'a> Fields<'a> {
    /// Reads an object's fields, and nothing of any other value.
    #[inline(always)]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while members.is_more(scanner)? {
            let key = match FieldKey::take(scanner) {
                Some(usual) => usual,
                None => scanner.apart(FieldKey::read)?,
            };
            self.ambiguous |= self.seen & key as u8 != 0;
            self.seen |= key as u8;
            match key {
                FieldKey::Meta => scanner.apart(|scanner| self.read_meta(scanner))?,
                FieldKey::Name => self.name = scanner.text()?,
                FieldKey::Uri => self.uri = scanner.text()?,
                FieldKey::ProtocolVersion => self.protocol_version = scanner.text()?,
                FieldKey::ClientInfo => scanner.apart(|scanner| self.read_client(scanner))?,
                FieldKey::Other => scanner.skip()?,
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn read_meta(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.claim = None;
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while members.is_more(scanner)? {
            if *scanner.key()?.unescaped()? == *CLAIM {
                self.ambiguous |= self.claim.is_some();
                self.claim = Some(scanner.text()?);
            } else {
                scanner.skip()?;
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
        while members.is_more(scanner)? {
            let field = match () {
                () if scanner.take(br#""name":"#) => Some(&mut self.client_name),
                () if scanner.take(br#""version":"#) => Some(&mut self.client_version),
                () => match &*scanner.key()?.unescaped()? {
                    b"name" => Some(&mut self.client_name),
                    b"version" => Some(&mut self.client_version),
                    _ => None,
                },
            };
            match field {
                Some(field) => *field = scanner.text()?,
                None => scanner.skip()?,
            }
        }
        Ok(())
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
}

impl FieldKey {
    /// Steps past a key that calls and openings have, compared in one go with its quotes and colon.
    #[inline(always)]
    fn take(scanner: &mut Scanner<'_>) -> Option<Self> {
        match () {
            () if scanner.take(br#""name":"#) => Some(Self::Name),
            () if scanner.take(br#""arguments":"#) => Some(Self::Other),
            () if scanner.take(br#""_meta":"#) => Some(Self::Meta),
            () if scanner.take(br#""protocolVersion":"#) => Some(Self::ProtocolVersion),
            () if scanner.take(br#""capabilities":"#) => Some(Self::Other),
            () if scanner.take(br#""clientInfo":"#) => Some(Self::ClientInfo),
            () if scanner.take(br#""serverInfo":"#) => Some(Self::Other),
            () => None,
        }
    }

    #[inline(never)]
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        Ok(match &*scanner.key()?.unescaped()? {
            b"_meta" => Self::Meta,
            b"name" => Self::Name,
            b"uri" => Self::Uri,
            b"protocolVersion" => Self::ProtocolVersion,
            b"clientInfo" => Self::ClientInfo,
            _ => Self::Other,
        })
    }
}

const CLAIM: &[u8] = b"io.modelcontextprotocol/protocolVersion";
