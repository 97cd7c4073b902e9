//! The sessions of this process: the registry and the handles to it.

pub(crate) mod clock;
mod drain;
mod end_reason;
mod entry;
mod events;
mod handle;
mod id;
mod lazy;
mod minutely;
mod observers;
mod owner;
mod reaper;
mod registry;
mod scope;
mod state;
mod stats;
mod streams;
mod task_counter;

pub(crate) use self::clock::nanos;
pub(crate) use self::drain::Drain;
pub use self::end_reason::EndReason;
pub(crate) use self::entry::{Client, Entry, InFlight, Limits};
pub use self::events::{SessionEvent, SessionHook};
pub use self::handle::McpSession;
pub(crate) use self::id::IdSource;
pub use self::id::{Fingerprint, McpSessionId};
pub(crate) use self::lazy::{InnerDelete, Watch};
pub(crate) use self::observers::Observers;
pub(crate) use self::owner::{Caller, OwnerSource};
pub use self::owner::{Owner, OwnerResolver};
#[cfg(any(fuzzing, feature = "_internals"))]
pub(crate) use self::registry::sweep_gently;
pub(crate) use self::registry::{
    NewEntry, OnLeave, Registry, RegistrySettings, ReserveError, Slot,
};
pub(crate) use self::scope::Scope;
pub(crate) use self::state::Phase;
pub use self::stats::SessionStats;
pub(crate) use self::streams::{StreamKind, StreamSlot};
pub(crate) use self::task_counter::{TaskCounter, TaskToken};
