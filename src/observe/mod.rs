//! What can be seen of sessions from outside: the hooks that ship, log events and metrics.

mod log;
#[cfg(feature = "metrics")]
mod metrics;

use std::sync::Arc;

use crate::session::SessionHook;

/// The hooks that ship, and then those of the user.
pub(crate) fn hooks(users: Vec<Arc<dyn SessionHook>>) -> Vec<Arc<dyn SessionHook>> {
    let mut hooks: Vec<Arc<dyn SessionHook>> = vec![Arc::new(log::Log)];
    #[cfg(feature = "metrics")]
    hooks.push(Arc::new(metrics::Metrics::described()));
    hooks.extend(users);
    hooks
}
