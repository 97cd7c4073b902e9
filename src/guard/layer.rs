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
/// A clone shares the sessions of its original: put one on every route of one endpoint, and make
/// another with its own settings for another endpoint. See the [crate docs](crate) for where to
/// mount it.
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

    /// The sessions of this guard.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.shared.sessions.clone()
    }

    /// Lets the guard run dry before a shutdown. From the first poll on `initialize` is answered 503
    /// with the seconds left in `Retry-After`; whatever is open goes on until `deadline` has passed.
    /// Then every session ends as [`Drained`](crate::EndReason::Drained) and every event stream
    /// with it, those of the modern era too, so that a graceful shutdown returns although clients
    /// hold streams open. Resolves then, or earlier where nothing is open any more. There is no
    /// way back.
    ///
    /// Await it *inside* the signal of a graceful shutdown, because the listener must still accept
    /// while 503s are sent:
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
    /// Guards that [share](Self::with_sessions) their sessions drain together. Answers of known
    /// length, calls of the modern era without an event stream, and whatever
    /// [stateless](crate::SessionGuardBuilder::stateless) and [report-only](crate::SessionGuardBuilder::report_only)
    /// mode let pass run to their own end. A drain that is dropped before its end leaves the guard
    /// refusing `initialize` and ends nothing.
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
