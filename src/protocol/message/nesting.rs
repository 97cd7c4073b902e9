//! A stack of the objects and arrays around a value, one bit each.

/// The open objects and arrays around a value. Allocates from level 129 on, which only refused documents
/// reach.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// The innermost levels, the last one in the lowest bit; 1 means an object.
    bits: u128,
    depth: usize,
    /// The outer levels, in full words.
    outer: Vec<u128>,
}

impl Nesting {
    /// Enters the object or array that this bracket opens.
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

    /// Returns the bracket that opened the innermost level; `None` if no level is open.
    #[inline]
    pub(super) fn innermost(&self) -> Option<u8> {
        (self.depth != 0).then_some(if self.bits & 1 == 1 { b'{' } else { b'[' })
    }
}

const WORD: usize = u128::BITS as usize;
