//! Reads strings: their end, their flags and their text.

use std::borrow::Cow;

use super::escape::{Escape, unescape};
use super::malformed::Malformed;
use super::plain::{STEP, plain, plain_start};

/// A string as it was written, with its escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    /// The bytes between the quotes.
    inside: &'a [u8],
    flags: StringFlags,
}

/// The flags of one or more strings, one bit each: an escape, a byte beyond ASCII, a lone surrogate.
/// Strings are copied often, so the flags take one byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StringFlags(u8);

impl StringFlags {
    const ESCAPED: u8 = 1;
    const BEYOND_ASCII: u8 = 2;
    const LONE_SURROGATE: u8 = 4;

    #[inline(always)]
    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline(always)]
    pub(super) fn are_ascii(self) -> bool {
        self.0 & Self::BEYOND_ASCII == 0
    }

    /// Returns whether an escape names a lone surrogate, so that the string is not Unicode text.
    #[inline(always)]
    pub(super) fn have_lone_surrogate(self) -> bool {
        self.0 & Self::LONE_SURROGATE != 0
    }
}

impl<'a> Quoted<'a> {
    /// Reads the string at the start of `rest`.
    #[inline(always)]
    pub(super) fn read(rest: &'a [u8]) -> Result<Self, Malformed> {
        let Some([_, chunk @ ..]) = rest.first_chunk::<{ 1 + STEP }>() else {
            return Self::read_slow(rest, 0);
        };
        let len = plain_start(chunk);
        if chunk.get(len) != Some(&b'"') {
            return Self::read_slow(rest, len);
        }
        Ok(Self {
            inside: &chunk[..len],
            flags: StringFlags(0),
        })
    }

    /// Reads a string whose first `start` bytes are plain ASCII.
    #[inline(never)]
    fn read_slow(rest: &'a [u8], start: usize) -> Result<Self, Malformed> {
        let mut at = 1 + start;
        let mut flags = 0;
        loop {
            match rest.get(at) {
                Some(b'"') => {
                    return Ok(Self {
                        inside: &rest[1..at],
                        flags: StringFlags(flags),
                    });
                }
                Some(b'\\') => {
                    let escape = Escape::read(&rest[at..]).ok_or(Malformed)?;
                    flags |= match escape.is_lone_surrogate() {
                        true => StringFlags::ESCAPED | StringFlags::LONE_SURROGATE,
                        false => StringFlags::ESCAPED,
                    };
                    at += escape.len;
                }
                None | Some(..b' ') => return Err(Malformed),
                Some(_) => {
                    let plain = plain(&rest[at..]);
                    at += plain.len;
                    if !plain.is_ascii {
                        flags |= StringFlags::BEYOND_ASCII;
                    }
                }
            }
        }
    }

    /// Returns the length in bytes, with the quotes.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.inside.len() + 2
    }

    #[inline]
    pub(super) fn is_escaped(self) -> bool {
        self.flags.0 & StringFlags::ESCAPED != 0
    }

    #[inline]
    pub(super) fn flags(self) -> StringFlags {
        self.flags
    }

    #[inline]
    pub(super) fn has_lone_surrogate(self) -> bool {
        self.flags.have_lone_surrogate()
    }

    /// Returns the bytes between the quotes.
    #[inline]
    pub(super) fn inside(self) -> &'a [u8] {
        self.inside
    }

    /// Returns the characters that the string names. They are UTF-8 if the body is, except lone surrogates.
    #[inline]
    pub(super) fn unescaped(self) -> Cow<'a, [u8]> {
        match self.is_escaped() {
            true => unescape(self.inside).into(),
            false => self.inside.into(),
        }
    }

    /// Returns the characters as text. Fails on a lone surrogate.
    #[inline]
    pub(super) fn text(self) -> Result<Cow<'a, str>, Malformed> {
        match self.is_escaped() {
            true => String::from_utf8(unescape(self.inside))
                .map(Cow::Owned)
                .map_err(|_| Malformed),
            false => std::str::from_utf8(self.inside)
                .map(Cow::Borrowed)
                .map_err(|_| Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a string of `len` letters with `inside` at `place`, and `behind` brackets after it.
    fn body(len: usize, place: usize, inside: &[u8], behind: usize) -> Vec<u8> {
        let mut body = vec![b'a'; len];
        body.splice(place..place, inside.iter().copied());
        [b"\"", &body[..], b"\"", &vec![b'}'; behind]].concat()
    }

    #[test]
    fn a_string_of_any_length_ends_at_its_quote() {
        for len in 0..600 {
            for behind in [0, 1, 8, 300] {
                let body = body(len, 0, b"", behind);
                let string = Quoted::read(&body).unwrap();
                assert_eq!((string.len(), string.is_escaped()), (len + 2, false));
                assert!(string.flags().are_ascii());
            }
        }
    }

    #[test]
    fn control_characters_are_refused_at_any_position() {
        for place in 0..600 {
            for control in [b"\x00", b"\n", b"\x1f"] {
                let body = body(600, place, control, 20);
                assert!(Quoted::read(&body).is_err(), "{place}");
            }
            let body = body(600, place, b" !#[]\x7f", 20);
            assert_eq!(Quoted::read(&body).unwrap().inside().len(), 606);
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_found_at_any_position() {
        for place in 0..600 {
            for byte in [b"\x80", b"\xc3", b"\xff"] {
                let body = body(600, place, byte, 0);
                assert!(!Quoted::read(&body).unwrap().flags().are_ascii(), "{place}");
            }
        }
    }

    #[test]
    fn escapes_are_found_at_any_position() {
        for place in 0..600 {
            let body = body(600, place, br#"\"\\\u00e9"#, 0);
            let string = Quoted::read(&body).unwrap();
            assert_eq!((string.len(), string.is_escaped()), (body.len(), true));
            let expected = format!("{}\"\\é{}", "a".repeat(place), "a".repeat(600 - place));
            assert_eq!(string.text().unwrap(), expected);
        }
    }

    #[test]
    fn a_lone_surrogate_is_found() {
        for (text, is_pair) in [
            (r#""\ud83d\ude00""#, true),
            (r#""\uD83D\uDE00\uD83D\uDE00""#, true),
            (r#""\ud7ff\ue000""#, true),
            (r#""\ud83d""#, false),
            (r#""\ude00""#, false),
            (r#""\ud83d\ud83d\ude00""#, false),
            (r#""\ud83dude00""#, false),
            (r#""\ud83d\n""#, false),
            (r#""\ud83d\u0041""#, false),
            (r#""\ud83d\\ude00""#, false),
            (r#""\ud83d""#, false),
            (r#""a\ude00b\ud83d\ude00""#, false),
        ] {
            let string = Quoted::read(text.as_bytes()).unwrap();
            assert_eq!(string.len(), text.len(), "{text}");
            assert_eq!(string.has_lone_surrogate(), !is_pair, "{text}");
            assert_eq!(string.text().is_ok(), is_pair, "{text}");
        }
        for text in [
            r#""\u00g0""#,
            r#""\u+123""#,
            r#""\u123""#,
            r#""\x""#,
            r#""\"#,
            r#""\u"#,
            r#""\ud83d\u""#,
            r#""\ud83d\ude0""#,
            r#""\ud83d\x""#,
        ] {
            assert!(Quoted::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_string_is_accepted_if_and_only_if_serde_json_accepts_it(
            inside in prop::collection::vec(
                prop_oneof![
                    "[a-z !]{1,40}",
                    "[\\PC\x00-\x1f\"]",
                    r#"\\(["\\/bfnrt]|u[0-9a-fA-F]{4})"#,
                    r#"\\u[dD][89a-f][0-9]{2}"#,
                ],
                0..12,
            ),
        ) {
            let text = format!("\"{}\"", inside.concat());
            let expected = serde_json::from_str::<String>(&text).ok();
            let read = Quoted::read(text.as_bytes());
            // A quote in `inside` ends the string early.
            let read = read.ok().filter(|string| string.len() == text.len());
            if let Some(string) = read {
                prop_assert_eq!(string.has_lone_surrogate(), expected.is_none());
            }
            let read = read.and_then(|string| string.text().ok());
            prop_assert_eq!(read.map(String::from), expected);
        }
    }
}
