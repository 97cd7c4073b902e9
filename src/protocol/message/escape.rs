//! Reads escapes in strings, and replaces them with the text that they name.
//!
//! The text is WTF-8 (<https://simonsapin.github.io/wtf-8/>), which is UTF-8 with lone surrogates. JSON
//! can express a lone surrogate; UTF-8 cannot.

/// An escape in a string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Escape {
    /// The length in bytes, with the backslash.
    pub(super) len: usize,
    /// The code point that the escape names. A surrogate pair is one escape with one code point. A lone
    /// surrogate names itself.
    pub(super) code: u32,
}

impl Escape {
    /// Reads the escape at the start of `rest`.
    #[inline]
    pub(super) fn read(rest: &[u8]) -> Option<Self> {
        let code = match rest.get(1)? {
            b'u' => return Self::read_utf_16(rest),
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            itself @ (b'"' | b'\\' | b'/') => u32::from(*itself),
            _ => return None,
        };
        Some(Self { len: 2, code })
    }

    #[inline]
    fn read_utf_16(rest: &[u8]) -> Option<Self> {
        let unit = utf_16(rest)?;
        if let 0xd800..=0xdbff = unit
            && let Some(low @ 0xdc00..=0xdfff) = utf_16(&rest[6..])
        {
            let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return Some(Self { len: 12, code });
        }
        Some(Self { len: 6, code: unit })
    }

    /// Returns whether the escape names a lone surrogate.
    #[inline]
    pub(super) fn is_lone_surrogate(self) -> bool {
        matches!(self.code, 0xd800..=0xdfff)
    }
}

/// Returns the code unit of the `\u` escape at the start of `rest`.
#[inline]
fn utf_16(rest: &[u8]) -> Option<u32> {
    let [b'\\', b'u', one, two, three, four, ..] = rest else {
        return None;
    };
    let digit = |byte: &u8| u32::from(HEX[usize::from(*byte)]);
    let (one, two, three, four) = (digit(one), digit(two), digit(three), digit(four));
    let is_hex = one | two | three | four <= 0xf;
    is_hex.then_some(one << 12 | two << 8 | three << 4 | four)
}

/// Returns the text of a valid string. `inside` is the bytes between its quotes.
pub(super) fn unescape(inside: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, behind) = rest.split_at(at);
        text.extend_from_slice(plain);
        let Some(escape) = Escape::read(behind) else {
            break;
        };
        text.extend_from_slice(wtf_8(escape.code, &mut [0; 4]));
        rest = &behind[escape.len..];
    }
    text.extend_from_slice(rest);
    text
}

/// Returns the text of a valid string up to its first U+0000, and whether there is one. Does not allocate.
/// Text that does not fit leaves at most three bytes of the buffer free.
#[inline]
pub(super) fn unescape_start<'b, const SIZE: usize>(
    inside: &[u8],
    buffer: &'b mut [u8; SIZE],
) -> (&'b [u8], bool) {
    let mut len = 0;
    let mut rest = inside;
    while let [first, behind @ ..] = rest
        && let Some(free) = buffer[len..].first_chunk_mut::<4>()
    {
        if *first != b'\\' {
            free[0] = *first;
            (rest, len) = (behind, len + 1);
            continue;
        }
        let Some(escape) = Escape::read(rest) else {
            break;
        };
        match escape.code {
            0 => return (&buffer[..len], true),
            1..0x80 => {
                free[0] = escape.code as u8;
                len += 1;
            }
            code => len += wtf_8(code, free).len(),
        }
        rest = &rest[escape.len..];
    }
    (&buffer[..len], false)
}

#[inline]
fn wtf_8(code: u32, buffer: &mut [u8; 4]) -> &[u8] {
    match char::from_u32(code) {
        Some(letter) => letter.encode_utf8(buffer).as_bytes(),
        None => {
            // A surrogate, encoded like any other code point of its size.
            let part = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
            *buffer = [0xe0 | (code >> 12) as u8, part(6), part(0), 0];
            &buffer[..3]
        }
    }
}

/// The value of each hexadecimal digit; 0xff for every other byte.
const HEX: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        values[digit as usize] = value as u8;
        values[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escape_names_one_code_point() {
        for (text, len, code) in [
            (r"\n", 2, 10),
            (r"\/", 2, 0x2f),
            (r"\u0000", 6, 0),
            (r"\u00eF", 6, 0xef),
            (r"\uD83D\uDE00", 12, 0x1_f600),
            (r"\udbff\udfff", 12, 0x10_ffff),
            (r"\ud83d", 6, 0xd83d),
            (r"\ude00\ud83d", 6, 0xde00),
            (r"\ud83d\ud83d\ude00", 6, 0xd83d),
            (r"\ud83d\n", 6, 0xd83d),
            (r"\ud83d\u00g0", 6, 0xd83d),
        ] {
            let expected = Escape { len, code };
            assert_eq!(Escape::read(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            r"\", r"\x", r"\u", r"\u123", r"\u00g0", r"\u+123", r"\U0041",
        ] {
            assert_eq!(Escape::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_text_too() {
        assert_eq!(unescape(br"a\ud83db"), b"a\xed\xa0\xbdb");
        assert_eq!(unescape(br"\ude00\ud83d"), b"\xed\xb8\x80\xed\xa0\xbd");
        assert_eq!(unescape(br"\ud83d\ude00"), "\u{1f600}".as_bytes());
    }

    #[test]
    fn the_start_of_a_text_ends_at_nul_or_when_the_buffer_is_full() {
        for (inside, start, is_cut) in [
            (r"", &b""[..], false),
            (r"\u0000", b"", true),
            (r"ab\u0000cd", b"ab", true),
            (r"abcd\u0000", b"abcd", true),
            (r"abcde", b"abcde", false),
            (r"abcde\u0000", b"abcde", false),
            (r"abcdefg", b"abcde", false),
            (r"abcd\ud83d\ude00", "abcd\u{1f600}".as_bytes(), false),
            (r"abcd\ud83d\ude00\u0000", "abcd\u{1f600}".as_bytes(), false),
            (r"abcde\ud83d\ude00", b"abcde", false),
        ] {
            let mut buffer = [0; 8];
            let found = unescape_start(inside.as_bytes(), &mut buffer);
            assert_eq!(found, (start, is_cut), "{inside}");
        }
    }

    proptest! {
        #[test]
        fn the_text_is_the_one_that_serde_json_reads(
            inside in prop::collection::vec(
                prop_oneof!["[a-zé😀 ]{1,9}", r#"\\(["\\/bfnrt]|u[0-9a-cA-C][0-9a-fA-F]{3})"#, r"\\ud[89ab]3d\\ud[c-f]00"],
                0..9,
            ),
        ) {
            let inside = inside.concat();
            let expected: String = serde_json::from_str(&format!("\"{inside}\"")).unwrap();
            prop_assert_eq!(unescape(inside.as_bytes()), expected.as_bytes());
            let mut buffer = [0; 200];
            let (start, is_cut) = unescape_start(inside.as_bytes(), &mut buffer);
            let expected = expected.split_once('\0').map_or((&*expected, false), |(start, _)| (start, true));
            prop_assert_eq!((start, is_cut), (expected.0.as_bytes(), expected.1));
        }
    }
}
