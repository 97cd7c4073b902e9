//! The inner DELETE: the guard ends the inner session of an outer session that it has ended.

mod support;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, McpSession, SessionGuardBuilder, SessionGuardLayer};
use tokio::time::{Instant, sleep, timeout};

use support::times::SECOND;
use support::{
    INITIALIZE, PING, TestServer, bodiless, empty, hello_stream, opened, post, respond, session_id,
    with, with_own_id,
};

type Recorded = Arc<Mutex<Vec<(HeaderMap, String, Option<EndReason>)>>>;

/// An inner service that opens sessions with the ids `own-<n>`, answers DELETE with `status`, and
/// records each DELETE.
fn recording(guard: SessionGuardBuilder, status: u16) -> (TestServer, Recorded) {
    let recorded = Recorded::default();
    let deletes = recorded.clone();
    let count = Arc::new(Mutex::new(0));
    let handler = move |request: Request<Body>| {
        let (deletes, count) = (deletes.clone(), count.clone());
        async move {
            if request.method() == Method::DELETE {
                let reason = McpSession::from_extensions(request.extensions())
                    .unwrap()
                    .end_reason();
                let uri = request.uri().to_string();
                deletes
                    .lock()
                    .unwrap()
                    .push((request.headers().clone(), uri, reason));
                return empty(status);
            }
            let is_stream = request.headers().contains_key("x-events");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if body != INITIALIZE {
                return empty(202);
            }
            let mut count = count.lock().unwrap();
            *count += 1;
            let response = match is_stream {
                true => hello_stream(),
                false => opened(),
            };
            with_own_id(&format!("own-{count}"), response)
        }
    };
    (
        TestServer::around(guard.build().unwrap(), handler),
        recorded,
    )
}

fn ending_inner_sessions() -> SessionGuardBuilder {
    SessionGuardLayer::builder().end_inner_sessions()
}

fn ids(recorded: &Recorded) -> Vec<String> {
    let recorded = recorded.lock().unwrap();
    let mut ids: Vec<_> = recorded
        .iter()
        .map(|(headers, ..)| headers["mcp-session-id"].to_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn each_session_that_the_guard_ends_causes_an_inner_delete() {
    let (server, recorded) = recording(ending_inner_sessions().max_lifetime(3600 * SECOND), 204);
    let id = server.open().await;
    server.sessions.end(&id);
    sleep(SECOND).await;
    {
        let recorded = recorded.lock().unwrap();
        let [(headers, uri, reason)] = &recorded[..] else {
            panic!("one DELETE: {recorded:?}");
        };
        assert_eq!((uri.as_str(), *reason), ("/mcp", Some(EndReason::Revoked)));
        let mut sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        sent.sort();
        assert_eq!(
            sent,
            [
                ("host", "localhost:8000"),
                ("mcp-protocol-version", "2025-11-25"),
                ("mcp-session-id", "own-1"),
            ]
        );
    }
    let id = server.open_and_use().await;
    assert_eq!(
        server.sessions.get(&id).unwrap().ended().await,
        EndReason::Idle
    );
    server.open().await;
    sleep(301 * SECOND).await;
    assert_eq!(
        ids(&recorded),
        ["own-1", "own-2", "own-3"],
        "also for expired sessions"
    );
}

#[tokio::test(start_paused = true)]
async fn the_inner_delete_of_a_session_opened_over_http_2_has_the_host_of_its_authority() {
    let (server, recorded) = recording(ending_inner_sessions(), 204);
    let mut request = post(None, INITIALIZE);
    request.headers_mut().remove("host");
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = "http://localhost:8000/mcp".parse().unwrap();
    let answer = server.ask(request).await;
    let id = session_id(&answer.headers);
    server.sessions.end(id);
    sleep(SECOND).await;
    let recorded = recorded.lock().unwrap();
    assert_eq!(recorded[0].0["host"], "localhost:8000");
    assert_eq!(recorded[0].1, "/mcp");
}

#[tokio::test(start_paused = true)]
async fn no_inner_delete_is_sent_by_default_after_a_client_delete_or_without_an_inner_id() {
    let (server, recorded) = recording(SessionGuardLayer::builder(), 204);
    let id = server.open().await;
    server.sessions.end(&id);
    sleep(SECOND).await;
    assert_eq!(ids(&recorded), [""; 0], "off by default");

    let (server, recorded) = recording(ending_inner_sessions(), 204);
    let id = server.open().await;
    assert_eq!(
        server.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    sleep(SECOND).await;
    assert_eq!(ids(&recorded), ["own-1"], "only the client's DELETE");

    let server = TestServer::build(ending_inner_sessions());
    let id = server.open().await;
    server.sessions.end(&id);
    sleep(SECOND).await;
    assert_eq!(
        server.inner.count(),
        1,
        "an inner service without its own id gets no DELETE"
    );
}

#[tokio::test(start_paused = true)]
async fn an_inner_session_whose_answer_opened_no_outer_session_is_ended_too() {
    let (server, recorded) = recording(ending_inner_sessions(), 204);
    // The client leaves before it has the whole answer.
    drop(server.send(post(None, INITIALIZE)).await);
    let request = with("x-events: 1", post(None, INITIALIZE));
    // The stream never carries the response.
    let stream = server.send(request).await;
    sleep(61 * SECOND).await;
    drop(stream);
    assert_eq!(ids(&recorded), ["own-1", "own-2"]);
    assert!(server.sessions.is_empty());
}

/// An inner service with its own id that answers with `work`. Also returns the number of DELETEs
/// that it has completed.
fn doing<F, Fut>(guard: SessionGuardLayer, work: F) -> (TestServer, Arc<AtomicUsize>)
where
    F: FnOnce(Method, McpSession) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send,
{
    let deletes = Arc::<AtomicUsize>::default();
    let counted = deletes.clone();
    let handler = async move |method: Method, session: McpSession| {
        let is_delete = method == Method::DELETE;
        let mut response = work(method, session).await;
        if is_delete {
            counted.fetch_add(1, Ordering::SeqCst);
        } else {
            let id = "own".parse().unwrap();
            response.headers_mut().insert("mcp-session-id", id);
        }
        response
    };
    (TestServer::around(guard, handler), deletes)
}

/// An inner service that takes `wait` for each DELETE.
fn slow_to_delete(
    guard: SessionGuardLayer,
    status: u16,
    wait: Duration,
) -> (TestServer, Arc<AtomicUsize>) {
    doing(guard, async move |method: Method, _: McpSession| {
        if method != Method::DELETE {
            return opened();
        }
        sleep(wait).await;
        empty(status)
    })
}

#[tokio::test(start_paused = true)]
async fn an_inner_session_named_by_an_empty_or_non_json_answer_is_ended_too() {
    for (status, kind, body, expected) in [
        (202, "application/json", "", 1),
        (200, "text/plain", "hello", 1),
        (200, "application/json", "no json", 1),
        // The inner service refused to open a session.
        (400, "application/json", "no", 0),
    ] {
        let guard = ending_inner_sessions().build().unwrap();
        let work = async move |method: Method, _: McpSession| match method {
            Method::DELETE => empty(204),
            _ => respond(status, kind, body),
        };
        let (server, deletes) = doing(guard, work);
        assert_eq!(server.ask(post(None, INITIALIZE)).await.text(), body);
        sleep(SECOND).await;
        let sent = deletes.load(Ordering::SeqCst);
        assert_eq!(sent, expected, "{status} {kind} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_ends_the_session_it_opens_gets_an_inner_delete() {
    let work = async |method: Method, session: McpSession| {
        if method == Method::DELETE {
            return empty(204);
        }
        assert!(session.end());
        opened()
    };
    let (server, deletes) = doing(ending_inner_sessions().build().unwrap(), work);
    let answer = server.ask(post(None, INITIALIZE)).await;
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    sleep(SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_ends_the_session_in_its_delete_gets_no_second_delete() {
    let work = async |method: Method, session: McpSession| {
        if method != Method::DELETE {
            return opened();
        }
        assert!(session.end());
        empty(204)
    };
    let (server, deletes) = doing(ending_inner_sessions().build().unwrap(), work);
    let id = server.open().await;
    server.ask(bodiless(Method::DELETE, Some(&id))).await;
    sleep(10 * SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_gets_a_delete_whose_client_left() {
    let (server, deletes) = slow_to_delete(ending_inner_sessions().build().unwrap(), 204, SECOND);
    let id = server.open().await;
    let delete = server.send(bodiless(Method::DELETE, Some(&id)));
    assert!(timeout(SECOND / 2, delete).await.is_err());
    assert!(server.sessions.is_empty());
    sleep(10 * SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_1024_inner_deletes_are_queued() {
    let (server, recorded) = recording(ending_inner_sessions(), 204);
    for _ in 0..1100 {
        server.open().await;
    }
    assert_eq!(server.sessions.end_all(), 1100);
    sleep(SECOND).await;
    assert_eq!(ids(&recorded).len(), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_inner_deletes_whatever_their_status() {
    for status in [204, 404, 405, 500] {
        let guard = ending_inner_sessions().build().unwrap();
        let (server, deletes) = slow_to_delete(guard.clone(), status, SECOND);
        for _ in 0..100 {
            server.open().await;
        }
        let begun = Instant::now();
        guard.drain(SECOND).await;
        // 100 DELETEs, 32 at once, each taking a second.
        assert_eq!(begun.elapsed(), 5 * SECOND);
        assert_eq!(deletes.load(Ordering::SeqCst), 100);
        assert_eq!(server.ask(post(None, PING)).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_inner_deletes_of_guards_with_shared_sessions() {
    let files = SessionGuardLayer::new();
    let mail = SessionGuardLayer::with_sessions(&files.sessions())
        .scope("mail")
        .end_inner_sessions()
        .build();
    let (server, deletes) = slow_to_delete(mail.unwrap(), 204, SECOND);
    server.open().await;
    files.drain(SECOND).await;
    assert_eq!(deletes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_inner_deletes_delay_a_drain_by_at_most_five_seconds() {
    // DELETEs that run or wait when the drain finishes continue, each for up to 5 s.
    for (wait, then, later) in [(2 * SECOND, 64, 100), (3600 * SECOND, 0, 0)] {
        let guard = ending_inner_sessions().build().unwrap();
        let (server, deletes) = slow_to_delete(guard.clone(), 204, wait);
        for _ in 0..100 {
            server.open().await;
        }
        let begun = Instant::now();
        guard.drain(SECOND).await;
        assert_eq!(begun.elapsed(), 6 * SECOND);
        assert_eq!(deletes.load(Ordering::SeqCst), then);
        sleep(60 * SECOND).await;
        assert_eq!(deletes.load(Ordering::SeqCst), later);
    }
}
