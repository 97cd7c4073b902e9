//! The layer, and the drain of its sessions.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::service::SessionGuard;
use super::settings::Settings;
use super::shared::Shared;
use crate::sessions::Sessions;

/// Layer that applies [`SessionGuard`], which owns the sessions of the MCP endpoint it wraps.
///
/// A clone shares the sessions of its original. Put clones of one layer on every route of an
/// endpoint, and build another layer, with its own settings, for another endpoint. See the
/// [crate docs](crate) for where to mount it.
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionGuardLayer {
    shared: Arc<Shared>,
}

impl SessionGuardLayer {
    pub(crate) fn from_parts(settings: Settings, sessions: Sessions) -> Self {
        Self {
            shared: Shared::new(settings, sessions),
        }
    }

    /// Returns the sessions of this guard.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.shared.sessions.clone()
    }

    /// Drains the guard before a shutdown. A drain cannot be undone.
    ///
    /// From the first poll on, the guard answers `initialize` with 503 and the seconds left in
    /// `Retry-After`. Open sessions keep working until `deadline` has passed. Then the guard ends
    /// every session as [`Drained`](crate::EndReason::Drained) and every event stream, sessionless
    /// ones too, so that a graceful shutdown returns although clients hold streams open. The future
    /// resolves then, or earlier if nothing is open any more.
    ///
    /// Await it *inside* the signal of a graceful shutdown, because the listener must still accept
    /// connections while the guard answers 503:
    ///
    /// ```no_run
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router,
    /// #     guard: mcp_session_guard::SessionGuardLayer, signal: impl Future<Output = ()> + Send + 'static)
    /// # -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         signal.await;
    ///         guard.drain(Duration::from_secs(10)).await;
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// Guards that [share](Self::with_sessions) their sessions drain together. The drain does not cut
    /// off answers of known length, sessionless calls without an event stream, and requests that
    /// [stateless](crate::SessionGuardBuilder::stateless) or
    /// [report-only](crate::SessionGuardBuilder::report_only) mode lets pass. If the future is dropped
    /// early, the guard ends nothing and keeps refusing `initialize`.
    pub fn drain(&self, deadline: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = self.shared.clone();
        async move {
            shared.sessions.close(deadline).await;
        }
    }
}

impl<S> Layer<S> for SessionGuardLayer {
    type Service = SessionGuard<S>;

    fn layer(&self, inner: S) -> SessionGuard<S> {
        SessionGuard::new(inner, self.shared.clone())
    }
}
