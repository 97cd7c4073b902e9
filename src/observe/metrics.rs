//! Metrics on the facade `metrics` (feature `metrics`). Names follow OpenTelemetry's conventions for
//! MCP where these know the thing: `mcp.server.session.duration` with `mcp.protocol.version`, whose
//! values are the revisions that have sessions and `other`. No other label but a reason.

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::protocol::revision::LEGACY_REVISIONS;
use crate::session::{SessionEvent, SessionHook};

/// Hands every event on to the recorder that is installed.
pub(super) struct Metrics(());

impl Metrics {
    /// Tells the recorder, if there is one already, what the metrics mean.
    pub(super) fn described() -> Self {
        describe_gauge!(OPEN, Unit::Count, "Sessions that are open.");
        describe_counter!(OPENED, Unit::Count, "Sessions opened.");
        describe_counter!(RESTORED, Unit::Count, "Sessions taken over from a store.");
        describe_counter!(
            STORE_FAILED,
            Unit::Count,
            "Calls of the store that failed or came too late."
        );
        describe_counter!(ENDED, Unit::Count, "Sessions ended, by reason.");
        describe_histogram!(DURATION, Unit::Seconds, "How long sessions were open.");
        describe_gauge!(STREAMS, Unit::Count, "Event streams that are open.");
        describe_counter!(REFUSED, Unit::Count, "Requests refused, by reason.");
        describe_counter!(
            REPORTED,
            Unit::Count,
            "Requests that report-only mode let pass, by the reason to refuse them."
        );
        // So that they are there before anything happens.
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
                let version = LEGACY_REVISIONS
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

/// By a literal, so that its key is hashed when this is compiled, not at each opening.
fn opened() -> Counter {
    counter!("mcp.server.session.opened")
}

/// Likewise.
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
