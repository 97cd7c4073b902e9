//! The plain part of a string: what lies in front of the next quote, backslash or control character.
//!
//! Bodies of many KiB are one string for the most part, so this decides how fast the reader is. It
//! looks at each byte once: for all three kinds of stop, and for whatever is beyond ASCII, which
//! saves most bodies the check of their UTF-8.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};

/// The bytes in front of the next quote, backslash or control character.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    pub(super) len: usize,
    /// `false` also where only what follows them is not.
    pub(super) is_ascii: bool,
}

impl Plain {
    fn and(self, next: Self) -> Self {
        Self {
            len: self.len + next.len,
            is_ascii: self.is_ascii && next.is_ascii,
        }
    }
}

/// Those at the start of `rest`, which may be long.
#[inline]
pub(super) fn plain(rest: &[u8]) -> Plain {
    let start = plain_words(rest, SHORT);
    if start.len < SHORT {
        return start.and(plain_bytes(&rest[start.len..]));
    }
    let rest = &rest[start.len..];
    let blocks = dispatch!(Level::new(), simd => plain_blocks(simd, rest));
    let rest = &rest[blocks.len..];
    let words = plain_words(rest, usize::MAX);
    let bytes = plain_bytes(&rest[words.len..]);
    start.and(blocks).and(words).and(bytes)
}

/// Looks at eight bytes at once, up to `most`: most strings are short, and wider registers want
/// some setting up. The high bit of a byte is set where it, less the bound, is negative; a borrow
/// spoils only the bytes above it, so the lowest such bit is always right.
#[inline(always)]
pub(super) fn plain_words(rest: &[u8], most: usize) -> Plain {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let mut len = 0;
    let mut any = 0;
    while len < most
        && let Some(word) = rest[len..].first_chunk()
    {
        let word = u64::from_le_bytes(*word);
        let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
        let stops = (below(word, b' ') | quotes | backslashes) & HIGH;
        any |= word;
        if stops != 0 {
            len += stops.trailing_zeros() as usize / 8;
            break;
        }
        len += 8;
    }
    Plain {
        len,
        is_ascii: any & HIGH == 0,
    }
}

/// Looks at the last bytes of a body, too few for a word. If `rest` is more, a word has stopped.
#[inline]
fn plain_bytes(rest: &[u8]) -> Plain {
    let rest = if rest.len() < 8 { rest } else { &[] };
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..b' ');
    Plain {
        len: rest.iter().take_while(is_plain).count(),
        is_ascii: rest.is_ascii(),
    }
}

/// Looks at whole blocks, and stops in front of the first one that is not all plain.
#[inline(always)]
fn plain_blocks<S: Simd>(simd: S, rest: &[u8]) -> Plain {
    simd.vectorize(
        #[inline(always)]
        || {
            // Changes places of '"' and ' ', so that one comparison finds quotes and controls.
            let swap = u8x64::splat(simd, b'"' ^ b' ');
            let mut any = u8x64::splat(simd, 0);
            let (blocks, _) = rest.as_chunks::<128>();
            let is_plain = |block: &&[u8; 128]| {
                let one = u8x64::from_slice(simd, &block[..64]);
                let other = u8x64::from_slice(simd, &block[64..]);
                any = any | one | other;
                let stops = (one ^ swap).min(other ^ swap).simd_le(b' ')
                    | one.simd_eq(b'\\')
                    | other.simd_eq(b'\\');
                !stops.any_true()
            };
            Plain {
                len: 128 * blocks.iter().take_while(is_plain).count(),
                is_ascii: !any.simd_ge(0x80).any_true(),
            }
        },
    )
}

/// How many bytes are read in words first.
const SHORT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_instruction_set_finds_the_same() {
        fn find<S: Simd>(simd: Option<S>, rest: &[u8]) -> Option<(usize, bool)> {
            let plain = plain_blocks(simd?, rest);
            Some((plain.len, plain.is_ascii))
        }
        let level = Level::new();
        for place in 0..384 {
            for (byte, expected) in [
                (b'"', place / 128 * 128),
                (b'\\', place / 128 * 128),
                (0x1f, place / 128 * 128),
                (b' ', 384),
                (0x80, 384),
            ] {
                let mut rest = [b'a'; 400];
                rest[place] = byte;
                for found in [
                    find(level.as_sse2(), &rest),
                    find(level.as_sse4_2(), &rest),
                    find(level.as_avx2(), &rest),
                    find(level.as_avx512(), &rest),
                ] {
                    assert!(
                        found.is_none_or(|found| found == (expected, byte != 0x80)),
                        "{place} {byte}"
                    );
                }
            }
        }
    }
}
