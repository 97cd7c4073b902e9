//! The plain part of a string: what lies in front of the next quote, backslash or control character.
//!
//! Bodies of many KiB are one string for the most part, so this decides how fast the reader is. It
//! looks at each byte once: for all three kinds of stop, and for whatever is beyond ASCII, which
//! saves most bodies the check of their UTF-8.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i8x16, u8x16, u8x64};

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

/// How many of these sixteen bytes are plain ASCII: most strings are, and are shorter.
#[inline(always)]
pub(super) fn plain_start(chunk: &[u8; STEP]) -> usize {
    // In registers that each processor of the target has.
    dispatch!(Level::baseline(), simd => ascii_step(simd, chunk))
}

/// The end of a body, with zeros behind it, which are control characters.
fn padded(rest: &[u8]) -> [u8; STEP] {
    let mut chunk = [0; STEP];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

#[inline(always)]
fn ascii_step<S: Simd>(simd: S, chunk: &[u8; STEP]) -> usize {
    let bytes = u8x16::from_slice(simd, chunk);
    // What is beyond ASCII is negative.
    let below = bytes.bitcast::<i8x16<S>>().simd_lt(b' ' as i8);
    let stops = below | bytes.simd_eq(b'"') | bytes.simd_eq(b'\\');
    first(stops.to_bitmask())
}

/// Those at the start of `rest`, which may be long.
pub(super) fn plain(rest: &[u8]) -> Plain {
    let mut found = Plain {
        len: 0,
        is_ascii: true,
    };
    // Wider registers want some setting up.
    while found.len < SHORT {
        let step = dispatch!(Level::baseline(), simd => plain_step(simd, &rest[found.len..]));
        found = found.and(step);
        if step.len < STEP {
            return found;
        }
    }
    let long = &rest[found.len..];
    found = found.and(dispatch!(Level::new(), simd => plain_blocks(simd, long)));
    loop {
        let step = dispatch!(Level::baseline(), simd => plain_step(simd, &rest[found.len..]));
        found = found.and(step);
        if step.len < STEP {
            return found;
        }
    }
}

/// Those among the first sixteen.
#[inline(always)]
fn plain_step<S: Simd>(simd: S, rest: &[u8]) -> Plain {
    let bytes = match rest.first_chunk::<STEP>() {
        Some(chunk) => u8x16::from_slice(simd, chunk),
        None => u8x16::from_slice(simd, &padded(rest)),
    };
    let swapped = bytes ^ SWAP;
    let stops = swapped.min(b' ').simd_eq(swapped) | bytes.simd_eq(b'\\');
    Plain {
        len: first(stops.to_bitmask()),
        is_ascii: !bytes.bitcast::<i8x16<S>>().simd_lt(0).any_true(),
    }
}

/// The place of the first bit, or how many there are.
#[inline(always)]
fn first(bits: u64) -> usize {
    (bits | 1 << STEP).trailing_zeros() as usize
}

/// Looks at whole blocks, and stops in front of the first one that is not all plain.
#[inline(always)]
fn plain_blocks<S: Simd>(simd: S, rest: &[u8]) -> Plain {
    simd.vectorize(
        #[inline(always)]
        || {
            let swap = u8x64::splat(simd, SWAP);
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

/// Changes places of '"' and ' ', so that one comparison finds quotes and controls.
const SWAP: u8 = b'"' ^ b' ';
/// How many bytes are looked at together at first.
pub(super) const STEP: usize = 16;
/// How many bytes are read in such steps.
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

    #[test]
    fn a_stop_is_found_beside_another_in_the_other_half_of_its_block() {
        for place in 0..64 {
            for (one, other) in [(b'"', b'\\'), (b'\\', b'"')] {
                let mut rest = [b'a'; 200];
                (rest[64 + place], rest[128 + place]) = (one, other);
                assert_eq!(plain(&rest).len, 64 + place);
            }
        }
    }
}
