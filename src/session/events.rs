//! The events of sessions, and the hook that observes them.

use std::time::Duration;

use super::{EndReason, McpSession};
use crate::refusal::Refusal;
use crate::store::StoreError;

/// Observes the events of sessions. Passed to
/// [`SessionGuardBuilder::hook`](crate::SessionGuardBuilder::hook), usually as a closure.
///
/// # Contract
///
/// - The guard calls the hook on the thread on which the event happens, usually that of a request.
///   The hook must not block.
/// - The guard holds no lock during the call, so the hook may call back into
///   [`Sessions`](crate::Sessions) and the session.
/// - Of every session the hook receives one `Opened` or `Restored` event first, and one `Ended` event.
///   In between it receives at most one `Confirmed` event, and the events of the session's streams.
///   `StreamClosed` may follow after `Ended`, and so may an event of the same moment on another thread.
/// - If the hook ends a session or drops a stream, the guard notifies all hooks of that end after they
///   have returned from the current event. So every hook receives the events of one thread in the same
///   order, and a hook may end any number of sessions.
/// - The guard catches a panic, which changes nothing.
///
/// ```
/// use mcp_session_guard::{SessionEvent, SessionGuardLayer};
///
/// let guard = SessionGuardLayer::builder()
///     .hook(|event: &SessionEvent<'_>| match event {
///         SessionEvent::Ended { session, reason, lived, .. } => {
///             println!("{} ended after {lived:?}: {reason}", session.fingerprint());
///         }
///         SessionEvent::Refused { refusal, .. } => println!("refused: {}", refusal.reason()),
///         _ => {}
///     })
///     .build()?;
/// # Ok::<(), mcp_session_guard::ConfigError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot observe sessions",
    label = "not a `SessionHook`",
    note = "write the closure as `|event: &SessionEvent<'_>| {{ .. }}`: the compiler cannot infer this type"
)]
pub trait SessionHook: Send + Sync + 'static {
    /// Handles one event.
    fn on_event(&self, event: &SessionEvent<'_>);
}

impl<F: Fn(&SessionEvent<'_>) + Send + Sync + 'static> SessionHook for F {
    fn on_event(&self, event: &SessionEvent<'_>) {
        self(event);
    }
}

/// An event that a [`SessionHook`] receives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent<'a> {
    /// The inner service opened a session. The guard is about to send the id to the client.
    #[non_exhaustive]
    Opened {
        /// The session.
        session: &'a McpSession,
    },
    /// The guard restored a session from the [store](crate::SessionGuardBuilder::store). Another
    /// process opened it, or this one before a restart.
    #[non_exhaustive]
    Restored {
        /// The session.
        session: &'a McpSession,
    },
    /// The [store](crate::SessionGuardBuilder::store) failed, or did not answer in time.
    #[non_exhaustive]
    StoreFailed {
        /// The error of the store.
        error: &'a StoreError,
    },
    /// The client received the whole answer to `initialize`.
    #[non_exhaustive]
    Confirmed {
        /// The session.
        session: &'a McpSession,
    },
    /// An event stream of the session began: the answer to a GET or to a POST.
    #[non_exhaustive]
    StreamOpened {
        /// The session.
        session: &'a McpSession,
    },
    /// An event stream of the session ended, for any reason.
    #[non_exhaustive]
    StreamClosed {
        /// The session.
        session: &'a McpSession,
    },
    /// The guard refused a request, or would have: see
    /// [`Refusal::is_only_reported`](crate::Refusal::is_only_reported).
    #[non_exhaustive]
    Refused {
        /// The refusal.
        refusal: &'a Refusal,
    },
    /// A session that had opened ended.
    #[non_exhaustive]
    Ended {
        /// The session. Its state is already dropped.
        session: &'a McpSession,
        /// Why it ended.
        reason: EndReason,
        /// How long it was open.
        lived: Duration,
    },
}
