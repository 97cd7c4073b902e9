//! Metrics, through the facade `metrics` (feature `metrics`).
//!
//! Names follow OpenTelemetry's conventions for MCP where those define the metric:
//! `mcp.server.session.duration` with `mcp.protocol.version`, whose values are the revisions with
//! sessions and `other`. The only other label is `reason`.

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::protocol::revision::REVISIONS_WITH_SESSIONS;
use crate::session::{SessionEvent, SessionHook};

/// A hook that passes every event to the installed recorder.
pub(super) struct Metrics(());

impl Metrics {
    /// Describes the metrics to the recorder, if one is installed already.
    pub(super) fn described() -> Self {
        describe_gauge!(OPEN, Unit::Count, "Sessions that are open.");
        describe_counter!(OPENED, Unit::Count, "Sessions opened.");
        describe_counter!(RESTORED, Unit::Count, "Sessions restored from a store.");
        describe_counter!(
            STORE_FAILED,
            Unit::Count,
            "Calls to the store that failed or timed out."
        );
        describe_counter!(ENDED, Unit::Count, "Sessions ended, by reason.");
        describe_histogram!(DURATION, Unit::Seconds, "How long sessions were open.");
        describe_gauge!(STREAMS, Unit::Count, "Event streams that are open.");
        describe_counter!(REFUSED, Unit::Count, "Requests refused, by reason.");
        describe_counter!(
            REPORTED,
            Unit::Count,
            "Requests that report-only mode let pass, by the reason for a refusal."
        );
        // A scrape shows these metrics before the first event.
        open().increment(0);
        gauge!(STREAMS).increment(0);
        opened().increment(0);
        Self(())
    }
}

impl SessionHook for Metrics {
    fn on_event(&self, event: &SessionEvent<'_>) {
        match event {
            SessionEvent::Opened { .. } => {
                opened().increment(1);
                open().increment(1);
            }
            SessionEvent::Restored { .. } => {
                counter!(RESTORED).increment(1);
                open().increment(1);
            }
            SessionEvent::StoreFailed { .. } => counter!(STORE_FAILED).increment(1),
            SessionEvent::Confirmed { .. } => {}
            SessionEvent::StreamOpened { .. } => gauge!(STREAMS).increment(1),
            SessionEvent::StreamClosed { .. } => gauge!(STREAMS).decrement(1),
            SessionEvent::Refused { refusal } => {
                let name = match refusal.is_only_reported() {
                    true => REPORTED,
                    false => REFUSED,
                };
                counter!(name, "reason" => refusal.reason().as_str()).increment(1);
            }
            SessionEvent::Ended {
                session,
                reason,
                lived,
            } => {
                let version = session.protocol_version();
                let version = REVISIONS_WITH_SESSIONS
                    .into_iter()
                    .find(|known| version == Some(known))
                    .unwrap_or("other");
                counter!(ENDED, "reason" => reason.as_str()).increment(1);
                open().decrement(1);
                histogram!(DURATION, "mcp.protocol.version" => version).record(*lived);
            }
        }
    }
}

/// The counter of opened sessions. Its name is a literal, so the key is hashed at compile time, not
/// at each opening.
fn opened() -> Counter {
    counter!("mcp.server.session.opened")
}

/// The gauge of open sessions. Its name is a literal for the same reason.
fn open() -> Gauge {
    gauge!("mcp.server.session.active")
}

const OPEN: &str = "mcp.server.session.active";
const OPENED: &str = "mcp.server.session.opened";
const RESTORED: &str = "mcp.server.session.restored";
const STORE_FAILED: &str = "mcp.server.session.store.failed";
const ENDED: &str = "mcp.server.session.ended";
const DURATION: &str = "mcp.server.session.duration";
const STREAMS: &str = "mcp.server.session.stream.active";
const REFUSED: &str = "mcp.server.request.refused";
const REPORTED: &str = "mcp.server.request.reported";
