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
        while let Some(key) = members.next(scanner)? {
            match &*key.unescaped()? {
                b"_meta" => {
                    self.note(1);
                    scanner.apart(|scanner| self.read_meta(scanner))?;
                }
                b"name" => {
                    self.note(2);
                    self.name = scanner.text()?;
                }
                b"uri" => {
                    self.note(4);
                    self.uri = scanner.text()?;
                }
                b"protocolVersion" => {
                    self.note(8);
                    self.protocol_version = scanner.text()?;
                }
                b"clientInfo" => {
                    self.note(16);
                    scanner.apart(|scanner| self.read_client(scanner))?;
                }
                _ => scanner.skip()?,
            }
        }
        Ok(())
    }

    fn note(&mut self, key: u8) {
        self.ambiguous |= self.seen & key != 0;
        self.seen |= key;
    }

    #[inline(never)]
    fn read_meta(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.claim = None;
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while let Some(key) = members.next(scanner)? {
            if *key.unescaped()? == *CLAIM {
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
        while let Some(key) = members.next(scanner)? {
            match &*key.unescaped()? {
                b"name" => self.client_name = scanner.text()?,
                b"version" => self.client_version = scanner.text()?,
                _ => scanner.skip()?,
            }
        }
        Ok(())
    }
}

const CLAIM: &[u8] = b"io.modelcontextprotocol/protocolVersion";
