//! The life of a session: its clocks, its streams, and every way in which it ends.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod clocks;
mod delete;
mod handles;
mod in_flight;
mod stream_limits;
mod streams;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use mcp_session_guard::SessionGuardLayer;
use tokio::sync::mpsc;

use support::{TestServer, respond};

/// An inner service that answers each request with the next event stream that the test sends.
fn streaming(guard: SessionGuardLayer) -> (TestServer, mpsc::UnboundedSender<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Body>();
    let receiver = Arc::new(Mutex::new(receiver));
    let server = TestServer::opening(guard, None, move |_| {
        let body = receiver.lock().unwrap().try_recv();
        async move { respond(200, "text/event-stream", body.unwrap_or_default()) }
    });
    (server, sender)
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
