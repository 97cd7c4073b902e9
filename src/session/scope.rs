//! The scope of a guard.

use std::sync::Arc;

/// The name that one guard gives to its sessions in a shared registry. Stored as a thin pointer,
/// because every session has one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scope(Option<Arc<String>>);

impl Scope {
    pub(crate) fn named(name: &str) -> Self {
        Self((!name.is_empty()).then(|| Arc::new(name.to_owned())))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.as_deref().map_or("", String::as_str)
    }
}
