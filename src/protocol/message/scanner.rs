//! A strict pull reader of JSON (RFC 8259), which also checks the values that it skips.
//!
//! It does not recurse. It allocates only for escapes, and for nesting that is refused.

use super::judged::is_private;
use super::malformed::Malformed;
use super::nesting::Nesting;
use super::number;
use super::string::{Quoted, StringFlags};

/// A position in a body, before a value, a key or punctuation.
///
/// Text that nests deeper than `max_depth` is *over depth*. The message is already refused, and the
/// scanner reads on only because the id may follow. It checks the grammar of this text and nothing else.
///
/// Nearly all methods are inlined, so that a scanner stays in registers. The others work on a copy
/// (see [`out_of_line`](Self::out_of_line)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    /// How many objects and arrays are open.
    level: usize,
    max_depth: usize,
    deepest: usize,
    has_private_key: bool,
    /// The flags of all strings so far.
    flags: StringFlags,
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
            flags: StringFlags::default(),
        }
    }

    /// Returns the depth that was entered, without the levels inside text that is over depth.
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Returns whether the document nests deeper than `max_depth`.
    pub(super) fn is_too_deep(&self) -> bool {
        self.deepest > self.max_depth
    }

    /// Returns whether a key, at any level, is private to serde_json.
    pub(super) fn has_private_key(&self) -> bool {
        self.has_private_key
    }

    /// Returns whether a key or a string value, at any level, holds a lone surrogate.
    pub(super) fn has_lone_surrogate(&self) -> bool {
        self.flags.have_lone_surrogate()
    }

    /// Returns whether all strings so far are ASCII. If not, the caller must check that the body is UTF-8.
    pub(super) fn is_ascii(&self) -> bool {
        self.flags.are_ascii()
    }

    /// Calls a long or rarely used function with a copy of the scanner, so that no address of the
    /// scanner itself escapes.
    #[inline(always)]
    pub(super) fn out_of_line<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let mut copy = *self;
        let result = read(&mut copy);
        *self = copy;
        result
    }

    /// Skips whitespace and returns the next byte. Does not step past this byte.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Result<u8, Malformed> {
        match self.body.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => {
                self.at = skip_whitespace(self.body, self.at);
                self.body.get(self.at).copied().ok_or(Malformed)
            }
        }
    }

    /// Skips whitespace and checks that `byte` is next. Does not step past this byte.
    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.body.get(self.at) != Some(&byte) {
            self.at = skip_whitespace(self.body, self.at);
            if self.body.get(self.at) != Some(&byte) {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    /// Checks that only whitespace follows.
    #[inline(always)]
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        match self.at == self.body.len() || self.peek().is_err() {
            true => Ok(()),
            false => Err(Malformed),
        }
    }

    /// Steps past these bytes if they come next. Returns whether they did.
    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.rest().starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Enters an object. Skips any other value and returns `None`.
    #[inline(always)]
    pub(super) fn object(&mut self) -> Result<Option<Members>, Malformed> {
        if self.is_over_depth() || self.peek()? != b'{' {
            self.skip()?;
            return Ok(None);
        }
        self.enter()?;
        Ok(Some(Members { is_first: true }))
    }

    /// Reads a string. Skips any other value and returns `None`.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Option<Quoted<'a>>, Malformed> {
        if self.is_over_depth() || self.peek()? != b'"' {
            self.skip()?;
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// Returns any value as it was written. Checks only its grammar, as in text that is over depth.
    #[inline(always)]
    pub(super) fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek()?;
        let start = self.at;
        let level = std::mem::replace(&mut self.level, OVER_DEPTH);
        self.skip()?;
        self.level = level;
        Ok(&self.body[start..self.at])
    }

    /// Skips a value and checks its grammar.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek()? {
            b'{' if self.rest().get(1) == Some(&b'}') => {
                self.enter()?;
                self.leave();
                Ok(())
            }
            b'{' | b'[' => self.out_of_line(Self::skip_container),
            first => self.skip_scalar(first),
        }
    }

    #[inline(never)]
    fn skip_container(&mut self) -> Result<(), Malformed> {
        self.out_of_line(Self::skip_container_inline)
    }

    /// Skips an object or array.
    #[inline(always)]
    fn skip_container_inline(&mut self) -> Result<(), Malformed> {
        let mut nesting = Nesting::default();
        let mut open = self.peek()?;
        loop {
            // At a bracket that opens a level.
            self.enter()?;
            nesting.push(open);
            let mut is_over = self.peek()? == closing(open);
            loop {
                // At a member, an element or the closing bracket.
                if is_over {
                    self.leave();
                    nesting.pop();
                    match nesting.innermost() {
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
                        first => self.skip_scalar(first)?,
                    }
                }
                // After a member or an element.
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

    /// Skips a string, a number or a literal that begins with `first`.
    #[inline(always)]
    fn skip_scalar(&mut self, first: u8) -> Result<(), Malformed> {
        match first {
            b'"' => {
                self.string()?;
            }
            b'-' | b'0'..=b'9' => {
                self.at += number::read(self.rest(), !self.is_over_depth())?;
            }
            b'n' => self.literal(b"null")?,
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// Reads a key and steps past its colon.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Quoted<'a>, Malformed> {
        self.expect(b'"')?;
        let key = self.string()?;
        if key.is_escaped() || key.inside().first() == Some(&b'$') {
            self.has_private_key |= is_private(key);
        }
        self.expect(b':')?;
        self.at += 1;
        Ok(key)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Quoted<'a>, Malformed> {
        let string = Quoted::read(self.rest())?;
        self.at += string.len();
        self.flags.add(string.flags());
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
        if !self.is_over_depth() {
            if self.level == MAX_READ_DEPTH {
                return Err(Malformed);
            }
            self.deepest = self.deepest.max(self.level + 1);
        }
        self.level += 1;
        self.at += 1;
        Ok(())
    }

    /// Steps past the bracket that closes an object or array.
    #[inline(always)]
    fn leave(&mut self) {
        self.level -= 1;
        self.at += 1;
    }

    #[inline(always)]
    fn is_over_depth(&self) -> bool {
        self.level > self.max_depth
    }
}

/// The remaining members of an object.
#[derive(Debug)]
pub(super) struct Members {
    is_first: bool,
}

impl Members {
    /// Steps to the next member, whose key and value the caller reads. Returns `false` after the last one.
    #[inline(always)]
    pub(super) fn advance(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, Malformed> {
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

/// Returns the position after the whitespace at `at`. Most clients write none.
#[inline(never)]
fn skip_whitespace(body: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    at + body[at..].iter().take_while(is_space).count()
}

/// Returns the bracket that closes what `open` opened.
#[inline(always)]
fn closing(open: u8) -> u8 {
    if open == b'{' { b'}' } else { b']' }
}

/// The deepest level that the scanner reads, as in serde_json. A document that nests deeper is malformed.
pub(super) const MAX_READ_DEPTH: usize = 127;
/// A level that is over depth for every limit.
const OVER_DEPTH: usize = usize::MAX / 2;

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

    /// Returns arrays and objects that nest in turns.
    fn nested(depth: usize) -> String {
        let open = |level: usize| ["[", r#"{"a":"#][level % 2];
        let close = |level: usize| ["]", "}"][level % 2];
        let opens: String = (0..depth).map(open).collect();
        let closes: String = (0..depth).rev().map(close).collect();
        format!("{opens}0{closes}")
    }

    #[test]
    fn every_level_closes_with_its_own_bracket() {
        for depth in [1, 2, 127, 128, 129, 256, 257, 1_000] {
            let text = nested(depth);
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
    fn the_scanner_stops_after_level_127() {
        assert_eq!(skip(&nested(127), 127), Ok(127));
        assert_eq!(skip(&nested(128), 127), Err(Malformed));
        assert_eq!(skip(&nested(128), 126), Ok(127));
    }

    #[test]
    fn only_the_grammar_of_text_over_depth_is_checked() {
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
    fn a_lone_surrogate_is_found_in_keys_and_values_at_every_level() {
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
        fn a_value_is_accepted_if_and_only_if_serde_json_accepts_it(
            text in r#"([\[\]{}",: \n01a\\]|"a":|null|true|false|-1\.5e3){0,16}"#,
        ) {
            prop_assert_eq!(skip(&text, 127).is_ok(), serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
