use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tower_layer::Layer;

use super::service::SessionGuard;
use crate::config::{SessionGuardBuilder, Settings};
use crate::session::{Registry, Sessions};

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

/// What every clone of a layer and every service of it share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) registry: Arc<Registry>,
    /// Open `subscriptions/listen` streams.
    pub(crate) listeners: Arc<AtomicUsize>,
}

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

    pub(crate) fn from_parts(settings: Settings, registry: Arc<Registry>) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                registry,
                listeners: Arc::default(),
            }),
        }
    }

    /// The sessions of this guard.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.shared.registry.clone())
    }
}

impl Default for SessionGuardLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SessionGuardLayer {
    type Service = SessionGuard<S>;

    fn layer(&self, inner: S) -> SessionGuard<S> {
        SessionGuard::new(inner, self.shared.clone())
    }
}
