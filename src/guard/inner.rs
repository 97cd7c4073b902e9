//! Handles an inner service that sets its own session ids.
//!
//! | file | |
//! |---|---|
//! | `delete` | sends the inner DELETE when the guard has ended the outer session |
//! | `lost` | decides whether a 404 means that the inner session is lost |

pub(crate) mod delete;
pub(crate) mod lost;
