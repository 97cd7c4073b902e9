//! A strict pull reader of JSON (RFC 8259): values that nobody asks for are checked and skipped.
//!
//! It neither recurses nor, but for escapes and for nests that are refused, allocates.

use super::judged::is_private;
use super::nest::Nest;
use super::number;
use super::string::{Marks, Quoted};

/// The body breaks JSON's grammar, or nests deeper than anybody reads.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// Stands before the next value, key or punctuation of a body.
///
/// What nests deeper than it may is *foreign*: refused already, and read on only for the id that
/// may follow. Of foreign text the grammar is checked, and nothing else.
///
/// Nearly all that is here is read in line, so that a scanner lives in registers; what is not gets
/// a copy (see [`apart`](Self::apart)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    /// How many objects and arrays are open.
    level: usize,
    max_depth: usize,
    deepest: usize,
    has_private_key: bool,
    /// Of all strings.
    marks: Marks,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a [u8], max_depth: usize) -> Self {
        Self {
            body,
            at: 0,
            level: 0,
            max_depth,
            deepest: 0,
            has_private_key: false,
            marks: Marks::default(),
        }
    }

    /// How many levels were entered, not counting those within foreign text.
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether more levels were entered than may be.
    pub(super) fn is_too_deep(&self) -> bool {
        self.deepest > self.max_depth
    }

    /// Whether a key, at any level, means something to serde_json alone.
    pub(super) fn has_private_key(&self) -> bool {
        self.has_private_key
    }

    /// Whether a string, key or value, at any level, holds half of a surrogate pair.
    pub(super) fn has_lone_surrogate(&self) -> bool {
        self.marks.have_lone_surrogate()
    }

    /// Whether what was read is ASCII; if not, nobody has checked yet that it is UTF-8.
    pub(super) fn is_ascii(&self) -> bool {
        self.marks.are_ascii()
    }

    /// Reads what is long or seldom out of line. It sees a copy: no address of the scanner itself
    /// gets out.
    #[inline(always)]
    pub(super) fn apart<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let mut copy = *self;
        let result = read(&mut copy);
        *self = copy;
        result
    }

    /// The next byte that is no white space.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Result<u8, Malformed> {
        match self.body.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => {
                self.at = behind_space(self.body, self.at);
                self.body.get(self.at).copied().ok_or(Malformed)
            }
        }
    }

    /// This byte must be next, but for white space.
    #[inline(always)]
    fn reach(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.body.get(self.at) != Some(&byte) {
            self.at = behind_space(self.body, self.at);
            if self.body.get(self.at) != Some(&byte) {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    /// Nothing may follow but white space.
    #[inline(always)]
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        match self.at == self.body.len() || self.peek().is_err() {
            true => Ok(()),
            false => Err(Malformed),
        }
    }

    /// Steps past these bytes if they come next.
    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.rest().starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Steps into an object; any other value is skipped.
    #[inline(always)]
    pub(super) fn object(&mut self) -> Result<Option<Members>, Malformed> {
        if self.is_foreign() || self.peek()? != b'{' {
            self.skip()?;
            return Ok(None);
        }
        self.enter()?;
        Ok(Some(Members { is_first: true }))
    }

    /// A value that is taken if it is a string.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Option<Quoted<'a>>, Malformed> {
        if self.is_foreign() || self.peek()? != b'"' {
            self.skip()?;
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// Any value as it was written, read like foreign text.
    #[inline(always)]
    pub(super) fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek()?;
        let start = self.at;
        let level = std::mem::replace(&mut self.level, FOREIGN);
        self.skip()?;
        self.level = level;
        Ok(&self.body[start..self.at])
    }

    /// A value that nobody needs.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek()? {
            b'{' if self.rest().get(1) == Some(&b'}') => {
                self.enter()?;
                self.leave();
                Ok(())
            }
            b'{' | b'[' => self.apart(Self::skip_nest),
            first => self.skip_leaf(first),
        }
    }

    #[inline(never)]
    fn skip_nest(&mut self) -> Result<(), Malformed> {
        self.apart(Self::skip_nest_in_line)
    }

    /// An object or array.
    #[inline(always)]
    fn skip_nest_in_line(&mut self) -> Result<(), Malformed> {
        let mut nest = Nest::default();
        let mut open = self.peek()?;
        loop {
            // Behind a bracket that opens one.
            self.enter()?;
            nest.push(open);
            let mut is_over = self.peek()? == closing(open);
            loop {
                // In front of a member or element, or of the bracket that closes.
                if is_over {
                    self.leave();
                    nest.pop();
                    match nest.innermost() {
                        Some(outer) => open = outer,
                        None => return Ok(()),
                    }
                } else {
                    if open == b'{' {
                        self.key()?;
                    }
                    match self.peek()? {
                        inner @ (b'{' | b'[') => {
                            open = inner;
                            break;
                        }
                        first => self.skip_leaf(first)?,
                    }
                }
                // Behind one.
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        is_over = false;
                    }
                    close if close == closing(open) => is_over = true,
                    _ => return Err(Malformed),
                }
            }
        }
    }

    /// A value that begins with this byte, and is no object or array.
    #[inline(always)]
    fn skip_leaf(&mut self, first: u8) -> Result<(), Malformed> {
        match first {
            b'"' => {
                self.string()?;
            }
            b'-' | b'0'..=b'9' => {
                self.at += number::read(self.rest(), !self.is_foreign())?;
            }
            b'n' => self.literal(b"null")?,
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// A key with its colon.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Quoted<'a>, Malformed> {
        self.reach(b'"')?;
        let key = self.string()?;
        if key.is_escaped() || key.inside().first() == Some(&b'$') {
            self.has_private_key |= is_private(key);
        }
        self.reach(b':')?;
        self.at += 1;
        Ok(key)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Quoted<'a>, Malformed> {
        let string = Quoted::read(self.rest())?;
        self.at += string.len();
        self.marks.add(string.marks());
        Ok(string)
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<(), Malformed> {
        match self.take(word) {
            true => Ok(()),
            false => Err(Malformed),
        }
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    /// Steps past the bracket that opens an object or array.
    #[inline(always)]
    fn enter(&mut self) -> Result<(), Malformed> {
        if !self.is_foreign() {
            if self.level == DEEPEST {
                return Err(Malformed);
            }
            self.deepest = self.deepest.max(self.level + 1);
        }
        self.level += 1;
        self.at += 1;
        Ok(())
    }

    /// Steps past the bracket that closes one.
    #[inline(always)]
    fn leave(&mut self) {
        self.level -= 1;
        self.at += 1;
    }

    #[inline(always)]
    fn is_foreign(&self) -> bool {
        self.level > self.max_depth
    }
}

/// The members of an object that are still to come.
#[derive(Debug)]
pub(super) struct Members {
    is_first: bool,
}

impl Members {
    /// Whether there is one more; its key is the caller's to read, and the value behind it.
    #[inline(always)]
    pub(super) fn is_more(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, Malformed> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        match scanner.peek()? {
            b'}' => {
                scanner.leave();
                return Ok(false);
            }
            b',' if !is_first => scanner.at += 1,
            _ if is_first => {}
            _ => return Err(Malformed),
        }
        Ok(true)
    }
}

/// Where the white space ends that is here. Most clients write none.
#[inline(never)]
fn behind_space(body: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    at + body[at..].iter().take_while(is_space).count()
}

/// The bracket that closes what this one opened.
#[inline(always)]
fn closing(open: u8) -> u8 {
    if open == b'{' { b'}' } else { b']' }
}

/// How many levels are read before a document is given up, as serde_json does.
pub(super) const DEEPEST: usize = 127;
/// A level that is foreign whatever the limit.
const FOREIGN: usize = usize::MAX / 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn skip(text: &str, max_depth: usize) -> Result<usize, Malformed> {
        let mut scanner = Scanner::new(text.as_bytes(), max_depth);
        scanner.skip()?;
        scanner.end()?;
        Ok(scanner.deepest())
    }

    /// Objects and arrays in turns.
    fn nest(depth: usize) -> String {
        let open = |level: usize| ["[", r#"{"a":"#][level % 2];
        let close = |level: usize| ["]", "}"][level % 2];
        let opens: String = (0..depth).map(open).collect();
        let closes: String = (0..depth).rev().map(close).collect();
        format!("{opens}0{closes}")
    }

    #[test]
    fn a_nest_of_any_depth_closes_as_it_opened() {
        for depth in [1, 2, 127, 128, 129, 256, 257, 1_000] {
            let text = nest(depth);
            assert_eq!(skip(&text, 0), Ok(1), "{depth}");
            for place in 0..depth {
                let mut text = text.clone().into_bytes();
                let close = text.len() - 1 - place;
                text[close] ^= b']' ^ b'}';
                assert!(
                    skip(std::str::from_utf8(&text).unwrap(), 0).is_err(),
                    "{depth} {place}"
                );
            }
        }
    }

    #[test]
    fn nobody_reads_behind_level_127() {
        assert_eq!(skip(&nest(127), 127), Ok(127));
        assert_eq!(skip(&nest(128), 127), Err(Malformed));
        assert_eq!(skip(&nest(128), 126), Ok(127));
    }

    #[test]
    fn foreign_text_keeps_to_the_grammar_and_to_nothing_else() {
        assert!(skip("[1e999]", 1).is_err());
        assert!(skip("[1e999]", 0).is_ok());
        for text in [
            "[\"\n\"]",
            "[01]",
            r#"["\x"]"#,
            "[1,]",
            r#"[{"a" 1}]"#,
            "[nul]",
        ] {
            assert!(skip(text, 0).is_err(), "{text}");
        }
        let mut scanner = Scanner::new(br#"[[["\ud800",1e999]]] ,"#, 127);
        assert_eq!(scanner.raw(), Ok(&br#"[[["\ud800",1e999]]]"#[..]));
        assert_eq!((scanner.deepest(), scanner.peek()), (0, Ok(b',')));
    }

    #[test]
    fn a_lone_surrogate_is_noticed_in_keys_and_values_at_every_level() {
        for (text, expected) in [
            (r#""\ud800""#, true),
            (r#"["\udc00"]"#, true),
            (r#"[[{"a":"\ud800"}],1]"#, true),
            (r#"{"\ud800":1}"#, true),
            (r#"[{"a":{"\udc00":1}}]"#, true),
            (r#"{"\ud83d\ude00":"\ud83d\ude00"}"#, false),
            (r#"{"\\ud800":"\\ud800"}"#, false),
        ] {
            let mut scanner = Scanner::new(text.as_bytes(), 127);
            assert_eq!(scanner.skip(), Ok(()), "{text}");
            assert_eq!(scanner.has_lone_surrogate(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn values_are_those_that_serde_json_reads(
            text in r#"([\[\]{}",: \n01a\\]|"a":|null|true|false|-1\.5e3){0,16}"#,
        ) {
            prop_assert_eq!(skip(&text, 127).is_ok(), serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
