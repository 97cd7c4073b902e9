use std::time::Duration;

use super::{EndReason, McpSession};
use crate::refusal::Refusal;
use crate::store::StoreError;

/// Is told what happens to sessions; given to
/// [`SessionGuardBuilder::hook`](crate::SessionGuardBuilder::hook), most often as a closure.
///
/// # Contract
///
/// - Called on the thread on which it happens, most often that of a request: it must not block.
/// - No lock is held: it may call back into [`Sessions`](crate::Sessions) and the session.
/// - Of every session you are told once that it opened (or was restored), first of all; once that it
///   ended; and in
///   between, at most once, that it is confirmed, and of its streams. A stream's close may come after
///   the session's end, and so may whatever happens at the same moment on another thread.
/// - A panic is caught and changes nothing.
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
    message = "`{Self}` can not be told of sessions",
    label = "not a `SessionHook`",
    note = "write `|event: &SessionEvent<'_>| {{ .. }}`, with its type: closures take it from here"
)]
pub trait SessionHook: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &SessionEvent<'_>);
}

impl<F: Fn(&SessionEvent<'_>) + Send + Sync + 'static> SessionHook for F {
    fn on_event(&self, event: &SessionEvent<'_>) {
        self(event);
    }
}

/// What a [`SessionHook`] is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent<'a> {
    /// The inner service has opened a session; its id is about to go out.
    #[non_exhaustive]
    Opened {
        /// The session.
        session: &'a McpSession,
    },
    /// A session that another process has opened, or this one in an earlier life, goes on here: the
    /// [store](crate::SessionGuardBuilder::store) knew it.
    #[non_exhaustive]
    Restored {
        /// The session.
        session: &'a McpSession,
    },
    /// The [store](crate::SessionGuardBuilder::store) failed, or did not answer in time.
    #[non_exhaustive]
    StoreFailed {
        /// What went wrong.
        error: &'a StoreError,
    },
    /// The client has the answer to `initialize` whole.
    #[non_exhaustive]
    Confirmed {
        /// The session.
        session: &'a McpSession,
    },
    /// An event stream of the session has begun: of a GET, or the answer to a POST.
    #[non_exhaustive]
    StreamOpened {
        /// The session.
        session: &'a McpSession,
    },
    /// An event stream of the session is over, however it ended.
    #[non_exhaustive]
    StreamClosed {
        /// The session.
        session: &'a McpSession,
    },
    /// A request was refused; or would have been, see
    /// [`Refusal::is_only_reported`](crate::Refusal::is_only_reported).
    #[non_exhaustive]
    Refused {
        /// The refusal.
        refusal: &'a Refusal,
    },
    /// A session that had opened has ended.
    #[non_exhaustive]
    Ended {
        /// The session; its state is gone.
        session: &'a McpSession,
        /// Why.
        reason: EndReason,
        /// How long it was open.
        lived: Duration,
    },
}
