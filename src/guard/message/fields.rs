//! What the guard looks at inside `params` and `result`.

use std::borrow::Cow;

use super::Claim;
use super::scanner::{Malformed, Scanner};

/// The members of `params` or `result` that the guard looks at.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) uri: Option<Cow<'a, str>>,
    pub(super) protocol_version: Option<Cow<'a, str>>,
    pub(super) client_name: Option<Cow<'a, str>>,
    pub(super) client_version: Option<Cow<'a, str>>,
    pub(super) ambiguous: bool,
    /// The keys that must not stand twice and were seen, a bit each.
    seen: u8,
}

impl<'a> Fields<'a> {
    /// Reads an object's fields, and nothing of any other value.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while let Some(key) = members.next(scanner)? {
            scanner.colon()?;
            match &*key {
                b"_meta" => {
                    self.note(1);
                    self.read_meta(scanner)?;
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
                    self.read_client(scanner)?;
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

    fn read_meta(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.claim = Claim::Absent;
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while let Some(key) = members.next(scanner)? {
            scanner.colon()?;
            if *key == *CLAIM {
                self.ambiguous |= self.claim != Claim::Absent;
                self.claim = scanner.text()?.map_or(Claim::NotText, Claim::Text);
            } else {
                scanner.skip()?;
            }
        }
        Ok(())
    }

    fn read_client(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        (self.client_name, self.client_version) = (None, None);
        let Some(mut members) = scanner.object()? else {
            return Ok(());
        };
        while let Some(key) = members.next(scanner)? {
            scanner.colon()?;
            match &*key {
                b"name" => self.client_name = scanner.text()?,
                b"version" => self.client_version = scanner.text()?,
                _ => scanner.skip()?,
            }
        }
        Ok(())
    }
}

const CLAIM: &[u8] = b"io.modelcontextprotocol/protocolVersion";
