//! Byte strings that need no allocation if they are short.

use std::fmt;

/// A copy of a message's id or method, which does not keep the body in memory. Up to [`SHORT`] bytes,
/// enough for a UUID in quotes, need no allocation.
#[derive(Clone)]
pub(crate) struct InlineBytes(Repr);

#[derive(Clone)]
enum Repr {
    Short { bytes: [u8; SHORT], len: u8 },
    Long(Box<[u8]>),
}

impl InlineBytes {
    #[inline]
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        Self(match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                let len = text.len() as u8;
                Repr::Short { bytes, len }
            }
            None => Repr::Long(text.into()),
        })
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { bytes, len } => &bytes[..usize::from(*len)],
            Repr::Long(text) => text,
        }
    }
}

impl fmt::Debug for InlineBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

const SHORT: usize = 38;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_stored() {
        for len in [0, 1, 37, 38, 39, 256, 1000] {
            let text = "x".repeat(len);
            assert_eq!(
                InlineBytes::new(text.as_bytes()).clone().as_bytes(),
                text.as_bytes()
            );
        }
    }
}
