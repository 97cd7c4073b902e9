//! The state behind the `Arc` of a layer.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::inner::delete::InnerDeletes;
use super::settings::Settings;
use crate::sessions::Sessions;

/// The state that all clones of a layer and all their services share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) sessions: Sessions,
    /// The number of open `subscriptions/listen` streams.
    pub(crate) listeners: Arc<AtomicUsize>,
    pub(crate) inner_deletes: InnerDeletes,
}

impl Shared {
    pub(crate) fn new(settings: Settings, sessions: Sessions) -> Arc<Self> {
        let inner_deletes = InnerDeletes::new(&sessions);
        Arc::new(Self {
            settings,
            sessions,
            listeners: Arc::default(),
            inner_deletes,
        })
    }
}
