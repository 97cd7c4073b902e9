//! How a layer is made.

use super::SessionGuardBuilder;
use crate::guard::SessionGuardLayer;
use crate::sessions::Sessions;

impl SessionGuardLayer {
    /// A guard with the default settings: sessions required, loopback names only.
    pub fn new() -> Self {
        match Self::builder().build() {
            Ok(layer) => layer,
            Err(error) => unreachable!("the defaults are valid: {error}"),
        }
    }

    /// A guard with other settings.
    pub fn builder() -> SessionGuardBuilder {
        SessionGuardBuilder::new()
    }

    /// A guard that keeps its sessions with those of another, under a
    /// [scope](SessionGuardBuilder::scope) of its own: one limit for all of them, one place to look
    /// at them and to end those of an owner, one drain. An id opened under one scope is unknown
    /// under another.
    ///
    /// What concerns the sessions themselves (timeouts, limits of their number, ids) is set where
    /// they come from; setting it here too is an error.
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
