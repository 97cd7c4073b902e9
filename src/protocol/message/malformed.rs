//! The error of a body that is no JSON.

/// The body breaks JSON's grammar, or nests deeper than [`MAX_READ_DEPTH`](super::scanner::MAX_READ_DEPTH).
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Malformed;
