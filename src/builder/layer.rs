//! The constructors of a guard.

use super::SessionGuardBuilder;
use crate::guard::SessionGuardLayer;
use crate::sessions::Sessions;

impl SessionGuardLayer {
    /// Creates a guard with the default settings: sessions are required, and only loopback names are
    /// allowed.
    pub fn new() -> Self {
        match Self::builder().build() {
            Ok(layer) => layer,
            Err(error) => unreachable!("the defaults are valid: {error}"),
        }
    }

    /// Creates a builder for a guard with other settings.
    pub fn builder() -> SessionGuardBuilder {
        SessionGuardBuilder::new()
    }

    /// Creates a builder for a guard that shares its sessions with another guard, under its own
    /// [scope](SessionGuardBuilder::scope).
    ///
    /// Both guards have one limit for all sessions, one [`Sessions`] to list them and to end those of an
    /// owner, and one drain. An id that was opened in one scope is unknown in another.
    ///
    /// The settings of the sessions themselves (timeouts, limits of their number, ids, hooks, store)
    /// belong to the guard that the sessions come from. If this builder sets one of them too, `build`
    /// returns an error.
    ///
    /// ```
    /// use mcp_session_guard::SessionGuardLayer;
    ///
    /// let files = SessionGuardLayer::builder().scope("files").max_sessions(500).build()?;
    /// let mail = SessionGuardLayer::with_sessions(&files.sessions()).scope("mail").build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    pub fn with_sessions(sessions: &Sessions) -> SessionGuardBuilder {
        SessionGuardBuilder::sharing(sessions)
    }
}

impl Default for SessionGuardLayer {
    fn default() -> Self {
        Self::new()
    }
}
