//! Decodes a scenario from bytes. After the last byte every choice is the first one.

pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn number(&mut self, below: usize) -> usize {
        usize::from(self.byte()) % below
    }

    /// True for one value in eight, and false after the last byte.
    pub(crate) fn seldom(&mut self) -> bool {
        self.byte() % 8 == 7
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.number(choices.len())].clone()
    }

    /// Raw bytes. The first byte is their number.
    pub(crate) fn raw(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (raw, rest) = self.0.split_at(length);
        self.0 = rest;
        raw
    }
}
