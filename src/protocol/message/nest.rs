//! What is open around a value: objects and arrays, one bit each.

/// Allocates from the 129th level on, which only what is refused reaches.
#[derive(Debug, Default)]
pub(super) struct Nest {
    /// The innermost ones, the last in the lowest bit: 1 for an object.
    bits: u128,
    depth: usize,
    /// The ones further out, in full words.
    outer: Vec<u128>,
}

impl Nest {
    /// Steps in by this bracket.
    #[inline]
    pub(super) fn push(&mut self, open: u8) {
        if self.depth != 0 && self.depth.is_multiple_of(WORD) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u128::from(open == b'{');
        self.depth += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth.is_multiple_of(WORD) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// The bracket that opened the innermost; `None` if nothing is open.
    #[inline]
    pub(super) fn innermost(&self) -> Option<u8> {
        (self.depth != 0).then_some(if self.bits & 1 == 1 { b'{' } else { b'[' })
    }
}

const WORD: usize = u128::BITS as usize;
