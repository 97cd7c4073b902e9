//! Who is notified of a refusal: the hooks, the log and the metrics.

use crate::refusal::{Refusal, RefusalReason};
use crate::session::{Entry, Observers};

impl Refusal {
    /// Notifies the observers of the sessions.
    pub(crate) fn notify(self, observers: &Observers) -> Self {
        observers.refused(&self);
        self
    }

    /// The same, where a session is all that there is at hand.
    pub(crate) fn notify_of(self, entry: &Entry) -> Self {
        match entry.observers() {
            Some(observers) => self.notify(&observers),
            None => self,
        }
    }

    /// Notifies the observers that the request would be refused, if it were not for
    /// [report-only mode](crate::SessionGuardBuilder::report_only).
    pub(crate) fn report(reason: RefusalReason, observers: &Observers) {
        observers.refused(&Self::only_reported(reason));
    }
}
