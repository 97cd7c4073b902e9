//! What benches see of the registry. Not built otherwise.
#![allow(missing_docs)]

use super::entry::Entry;
use super::{Scope, Sessions};

/// The size of a session's record.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// What a request costs that names a session: from its id to the end of its answer.
pub fn touch(sessions: &Sessions, id: &[u8]) -> bool {
    let session = sessions.registry.begin(id, &Scope::default(), None);
    session.map(|mut session| session.admit_message()).is_some()
}

/// Ends every session whose clocks ran out, as the reaper does now and then.
pub fn sweep(sessions: &Sessions) {
    sessions.registry.sweep();
}
