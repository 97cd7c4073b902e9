//! The built-in hooks, which log and count session events, and the fields of spans.

mod log;
#[cfg(feature = "metrics")]
mod metrics;

use std::sync::Arc;

use crate::session::SessionHook;

/// Returns the built-in hooks, followed by those of the user.
pub(crate) fn hooks(users: Vec<Arc<dyn SessionHook>>) -> Vec<Arc<dyn SessionHook>> {
    let mut hooks: Vec<Arc<dyn SessionHook>> = vec![Arc::new(log::Log)];
    #[cfg(feature = "metrics")]
    hooks.push(Arc::new(metrics::Metrics::described()));
    hooks.extend(users);
    hooks
}
