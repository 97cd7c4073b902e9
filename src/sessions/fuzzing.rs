//! Access to the registry for benchmarks. Not compiled otherwise.
#![allow(missing_docs)]

use std::sync::Arc;

use super::{Found, Sessions};
use crate::session::{Entry, Scope, sweep_gently};

/// The size of a session's entry, in bytes.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// Does the work of one request with a session id, from the lookup to the end of the answer. Returns
/// whether the session is open.
pub fn touch(sessions: &Sessions, id: &[u8]) -> bool {
    match sessions.begin(id, &Scope::default(), None) {
        Found::Session(mut session) => {
            session.admit_message();
            true
        }
        Found::Unknown | Found::AskStore => false,
    }
}

/// Ends every expired session, as the reaper does when there are many.
pub async fn sweep(sessions: &Sessions) {
    sweep_gently(&Arc::downgrade(&sessions.registry)).await;
}
