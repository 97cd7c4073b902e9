//! Strings: where they end, and what they say.

use std::borrow::Cow;

use super::plain::{STEP, plain, plain_start};
use super::scanner::Malformed;

/// A string as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    /// What stands between the quotes.
    inside: &'a [u8],
    is_escaped: bool,
    is_ascii: bool,
}

impl<'a> Quoted<'a> {
    /// Reads the string that `rest` begins with. Where it is strict, escapes must name characters:
    /// surrogates come in pairs.
    #[inline(always)]
    pub(super) fn read(rest: &'a [u8], is_strict: bool) -> Result<Self, Malformed> {
        let Some([_, chunk @ ..]) = rest.first_chunk::<{ 1 + STEP }>() else {
            return Self::read_on(rest, 0, is_strict);
        };
        let len = plain_start(chunk);
        if chunk.get(len) != Some(&b'"') {
            return Self::read_on(rest, len, is_strict);
        }
        Ok(Self {
            inside: &chunk[..len],
            is_escaped: false,
            is_ascii: true,
        })
    }

    /// Reads on behind a start that is plain ASCII.
    #[inline(never)]
    fn read_on(rest: &'a [u8], start: usize, is_strict: bool) -> Result<Self, Malformed> {
        let mut at = 1 + start;
        let mut is_escaped = false;
        let mut is_ascii = true;
        loop {
            match rest.get(at) {
                Some(b'"') => {
                    return Ok(Self {
                        inside: &rest[1..at],
                        is_escaped,
                        is_ascii,
                    });
                }
                Some(b'\\') => {
                    is_escaped = true;
                    at += escape(&rest[at..], is_strict)?;
                }
                None | Some(..b' ') => return Err(Malformed),
                Some(_) => {
                    let plain = plain(&rest[at..]);
                    at += plain.len;
                    is_ascii &= plain.is_ascii;
                }
            }
        }
    }

    /// With its quotes.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.inside.len() + 2
    }

    #[inline]
    pub(super) fn is_escaped(self) -> bool {
        self.is_escaped
    }

    #[inline]
    pub(super) fn is_ascii(self) -> bool {
        self.is_ascii
    }

    /// What stands between the quotes.
    #[inline]
    pub(super) fn inside(self) -> &'a [u8] {
        self.inside
    }

    /// The characters that the string names, as bytes that may be no UTF-8 unless it is escaped.
    #[inline]
    pub(super) fn unescaped(self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.is_escaped {
            true => self.unescape().map(|text| text.into_bytes().into()),
            false => Ok(self.inside.into()),
        }
    }

    /// The characters that the string names.
    #[inline]
    pub(super) fn text(self) -> Result<Cow<'a, str>, Malformed> {
        match self.is_escaped {
            true => self.unescape().map(Cow::Owned),
            false => std::str::from_utf8(self.inside)
                .map(Cow::Borrowed)
                .map_err(|_| Malformed),
        }
    }

    #[cold]
    fn unescape(self) -> Result<String, Malformed> {
        let written = [b"\"", self.inside, b"\""].concat();
        serde_json::from_slice(&written).map_err(|_| Malformed)
    }
}

/// The length of the escape that `rest` begins with.
#[inline]
fn escape(rest: &[u8], is_strict: bool) -> Result<usize, Malformed> {
    match rest.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match (is_strict, utf_16(rest)?) {
            (true, 0xd800..=0xdbff) => match utf_16(&rest[6..])? {
                0xdc00..=0xdfff => Ok(12),
                _ => Err(Malformed),
            },
            (true, 0xdc00..=0xdfff) => Err(Malformed),
            _ => Ok(6),
        },
        _ => Err(Malformed),
    }
}

/// The code unit of the `\u` escape that `rest` begins with.
fn utf_16(rest: &[u8]) -> Result<u16, Malformed> {
    let [b'\\', b'u', digits @ ..] = rest else {
        return Err(Malformed);
    };
    let digits = digits.first_chunk::<4>().ok_or(Malformed)?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Malformed)?;
        Ok(unit << 4 | digit as u16)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A string of `len` letters, with `inside` at `place`, and what stands behind it in a body.
    fn body(len: usize, place: usize, inside: &[u8], behind: usize) -> Vec<u8> {
        let mut body = vec![b'a'; len];
        body.splice(place..place, inside.iter().copied());
        [b"\"", &body[..], b"\"", &vec![b'}'; behind]].concat()
    }

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_stands() {
        for len in 0..600 {
            for behind in [0, 1, 8, 300] {
                let body = body(len, 0, b"", behind);
                let string = Quoted::read(&body, true).unwrap();
                assert_eq!((string.len(), string.is_escaped), (len + 2, false));
                assert!(string.is_ascii);
            }
        }
    }

    #[test]
    fn control_characters_are_refused_wherever_they_stand() {
        for place in 0..600 {
            for control in [b"\x00", b"\n", b"\x1f"] {
                for is_strict in [true, false] {
                    let body = body(600, place, control, 20);
                    assert!(Quoted::read(&body, is_strict).is_err(), "{place}");
                }
            }
            let body = body(600, place, b" !#[]\x7f", 20);
            assert_eq!(Quoted::read(&body, true).unwrap().inside().len(), 606);
        }
    }

    #[test]
    fn whatever_is_beyond_ascii_is_noticed_wherever_it_stands() {
        for place in 0..600 {
            for byte in [b"\x80", b"\xc3", b"\xff"] {
                let body = body(600, place, byte, 0);
                assert!(!Quoted::read(&body, true).unwrap().is_ascii, "{place}");
            }
        }
    }

    #[test]
    fn escapes_are_found_wherever_they_stand() {
        for place in 0..600 {
            let body = body(600, place, br#"\"\\\u00e9"#, 0);
            let string = Quoted::read(&body, true).unwrap();
            assert_eq!((string.len(), string.is_escaped), (body.len(), true));
            let expected = format!("{}\"\\é{}", "a".repeat(place), "a".repeat(600 - place));
            assert_eq!(string.text().unwrap(), expected);
        }
    }

    #[test]
    fn surrogates_come_in_pairs_unless_nobody_asks() {
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
        ] {
            assert_eq!(
                Quoted::read(text.as_bytes(), true).is_ok(),
                is_pair,
                "{text}"
            );
            assert!(Quoted::read(text.as_bytes(), false).is_ok(), "{text}");
        }
        for text in [
            r#""\u00g0""#,
            r#""\u+123""#,
            r#""\u123""#,
            r#""\x""#,
            r#""\"#,
            r#""\u"#,
        ] {
            assert!(Quoted::read(text.as_bytes(), false).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_those_that_serde_json_reads(
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
            let read = Quoted::read(text.as_bytes(), true);
            // What follows a quote inside is no part of the string.
            let read = read.ok().filter(|string| string.len() == text.len());
            prop_assert_eq!(read.map(|string| string.text().unwrap().into_owned()), expected);
        }
    }
}
