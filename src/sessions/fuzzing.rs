//! What benches see of the registry. Not built otherwise.
#![allow(missing_docs)]

use std::sync::Arc;

use super::{Found, Sessions};
use crate::session::{Entry, Scope, sweep_gently};

/// The size of a session's record.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// What a request costs that names a session: from its id to the end of its answer.
pub fn touch(sessions: &Sessions, id: &[u8]) -> bool {
    match sessions.begin(id, &Scope::default(), None) {
        Found::Session(mut session) => {
            session.admit_message();
            true
        }
        Found::Unknown | Found::AskStore => false,
    }
}

/// Ends every session whose clocks ran out, as the reaper does now and then where there are many.
pub async fn sweep(sessions: &Sessions) {
    sweep_gently(&Arc::downgrade(&sessions.registry)).await;
}
