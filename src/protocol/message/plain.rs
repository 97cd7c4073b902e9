//! Finds the plain part of a string: the bytes before the next quote, backslash or control character.
//!
//! A body of many KiB is mostly one string, so this search decides how fast the reader is. It looks at
//! each byte once, for all three kinds of stop and for bytes beyond ASCII. An ASCII body needs no check
//! of its UTF-8.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i8x16, u8x16, u8x64};

/// A plain part of a string.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    pub(super) len: usize,
    /// Whether the part is ASCII. May be `false` if only a byte after the part is not.
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

/// Returns how many bytes at the start of `chunk` are plain ASCII. Most strings are ASCII and shorter
/// than a chunk.
#[inline(always)]
pub(super) fn plain_start(chunk: &[u8; STEP]) -> usize {
    // Every processor of the target has registers of this size.
    dispatch!(Level::baseline(), simd => ascii_step(simd, chunk))
}

/// Pads the end of a body with zeros, which stop the search because they are control characters.
fn padded(rest: &[u8]) -> [u8; STEP] {
    let mut chunk = [0; STEP];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

#[inline(always)]
fn ascii_step<S: Simd>(simd: S, chunk: &[u8; STEP]) -> usize {
    let bytes = u8x16::from_slice(simd, chunk);
    // As `i8`, a byte beyond ASCII is negative.
    let below = bytes.bitcast::<i8x16<S>>().simd_lt(b' ' as i8);
    let stops = below | bytes.simd_eq(b'"') | bytes.simd_eq(b'\\');
    first(stops.to_bitmask())
}

/// Returns the plain part at the start of `rest`, which may be long.
pub(super) fn plain(rest: &[u8]) -> Plain {
    let mut found = Plain {
        len: 0,
        is_ascii: true,
    };
    // Wider registers cost some set-up, which does not pay for a short string.
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

/// Returns the plain part within the first [`STEP`] bytes.
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

/// Returns the index of the first bit that is set, or [`STEP`] if none is.
#[inline(always)]
fn first(bits: u64) -> usize {
    (bits | 1 << STEP).trailing_zeros() as usize
}

/// Returns the plain part in whole blocks, up to the first block with a stop.
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

/// Swaps the quote and the space, so that one comparison finds quotes and control characters.
const SWAP: u8 = b'"' ^ b' ';
/// The size of a small step in bytes.
pub(super) const STEP: usize = 16;
/// The number of bytes that are read in small steps before wider registers take over.
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
