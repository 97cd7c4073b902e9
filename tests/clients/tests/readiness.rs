//! Readiness of the inner service, tested with mocks that panic when they are called before they
//! are ready.

#[path = "../../support/mod.rs"]
mod support;

use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::{EraSplit, SessionGuard, SessionGuardLayer};
use tokio::time::timeout;
use tower_test::mock::{self, Mock, Spawn, spawn_layer};

use support::{Answer, INITIALIZE, PING, PREFLIGHT, bodiless, comes_late, echo, post, request};

const MINUTE: Duration = Duration::from_secs(60);
const OWN_ID: [(&str, &str); 1] = [("mcp-session-id", "own")];

#[tokio::test]
async fn readiness_of_the_inner_service_is_passed_on() {
    let (mut guard, mut inner) = spawn_layer(SessionGuardLayer::new());
    inner.allow(0);
    assert_eq!(readiness(&mut guard), Poll::Pending);
    inner.allow(1);
    assert!(guard.is_woken());
    assert_eq!(readiness(&mut guard), Poll::Ready(Ok(())));
    inner.send_error("down");
    assert_eq!(readiness(&mut guard), Poll::Ready(Err("down".to_owned())));
}

fn readiness(
    guard: &mut Spawn<SessionGuard<Mock<Request<Body>, Response>>>,
) -> Poll<Result<(), String>> {
    guard
        .poll_ready::<Request<Body>>()
        .map_err(|error| error.to_string())
}

/// The mock panics if it is called without having been polled ready. Its clones are not ready.
#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_called() {
    let (mut guard, mut inner) = spawn_layer(SessionGuardLayer::new());
    let mut id = String::new();
    for (method, message) in [
        (Method::OPTIONS, ""),
        (Method::POST, INITIALIZE),
        (Method::POST, PING),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ] {
        let session = Some(id.as_str()).filter(|id| !id.is_empty());
        let request = match method {
            Method::POST => post(session, comes_late(message)),
            Method::OPTIONS => request(PREFLIGHT),
            _ => bodiless(method.clone(), session),
        };
        inner.allow(1);
        assert_eq!(readiness(&mut guard), Poll::Ready(Ok(())));
        let answer = tokio::spawn(guard.call(request));
        let called = timeout(MINUTE, inner.next_request()).await;
        let (seen, respond) = called.expect("a call").unwrap();
        assert_eq!(seen.method(), method);
        let body = seen.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, message);
        // With its own id the inner service also gets the DELETE.
        respond.send_response((OWN_ID, echo(body).map(Body::new)).into_response());
        let answer = Answer::of(answer.await.unwrap().unwrap()).await;
        assert!(answer.status.is_success());
        if message == INITIALIZE {
            let opened = answer.headers["mcp-session-id"].to_str();
            opened.unwrap().clone_into(&mut id);
        }
    }
}

#[tokio::test]
async fn two_services_are_ready_when_both_are() {
    let (legacy, mut legacy_handle) = mock::pair::<Request<Body>, Response>();
    let (modern, mut modern_handle) = mock::pair::<Request<Body>, Response>();
    legacy_handle.allow(0);
    modern_handle.allow(1);
    let mut both = Spawn::new(EraSplit::new(legacy, modern));
    assert!(both.poll_ready().is_pending());
    // The modern service has not been polled yet. Once ready, it is not polled again.
    legacy_handle.allow(1);
    assert!(both.poll_ready().is_ready());
    assert!(both.poll_ready().is_ready());
    modern_handle.send_error("gone");
    assert!(
        both.poll_ready().is_ready(),
        "a ready service stays ready until it is called"
    );
}
