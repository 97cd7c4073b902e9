//! The plain part of a string: what lies in front of the next quote, backslash or control character.
//!
//! Bodies of many KiB are one string for the most part, so this decides how fast the reader is. It
//! looks at each byte once: for all three kinds of stop, and for whatever is beyond ASCII, which
//! saves most bodies the check of their UTF-8.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16, u8x64};

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
    let mut found = Plain {
        len: 0,
        is_ascii: true,
    };
    while found.len < SHORT {
        let step = plain_start(&rest[found.len..]);
        found = found.and(step);
        if step.len < STEP {
            return found;
        }
    }
    // Wider registers want some setting up.
    let long = &rest[found.len..];
    found = found.and(dispatch!(Level::new(), simd => plain_blocks(simd, long)));
    loop {
        let step = plain_start(&rest[found.len..]);
        found = found.and(step);
        if step.len < STEP {
            return found;
        }
    }
}

/// Those among the first sixteen of `rest`: most strings are shorter.
#[inline(always)]
pub(super) fn plain_start(rest: &[u8]) -> Plain {
    match rest.first_chunk() {
        // In registers that each processor of the target has.
        Some(chunk) => dispatch!(Level::baseline(), simd => plain_step(simd, chunk)),
        None => plain_end(rest),
    }
}

/// Those at the end of a body.
#[inline(never)]
fn plain_end(rest: &[u8]) -> Plain {
    // Zeros behind it, which are control characters.
    let mut chunk = [0; STEP];
    chunk[..rest.len()].copy_from_slice(rest);
    dispatch!(Level::baseline(), simd => plain_step(simd, &chunk))
}

#[inline(always)]
fn plain_step<S: Simd>(simd: S, chunk: &[u8; STEP]) -> Plain {
    let bytes = u8x16::from_slice(simd, chunk);
    let swapped = bytes ^ SWAP;
    let stops = swapped.min(b' ').simd_eq(swapped) | bytes.simd_eq(b'\\');
    let beyond = bytes.simd_ge(0x80);
    Plain {
        len: (stops.to_bitmask() | 1 << STEP).trailing_zeros() as usize,
        is_ascii: !beyond.any_true(),
    }
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
const STEP: usize = 16;
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
}
