//! What the guard knows of an inner service with session ids of its own.
//!
//! | file | |
//! |---|---|
//! | `delete` | frees the inner session once the guard has ended the outer one |
//! | `lost` | what a 404 means |

pub(crate) mod delete;
pub(crate) mod lost;
