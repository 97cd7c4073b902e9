//! Session handles: state, ends, counts, and the memory that a session keeps alive.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Method, Uri};
use mcp_session_guard::{EndReason, McpSession, Refusal, SessionGuardLayer};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::SetOnDrop;
use super::support::{
    INITIALIZE, INITIALIZED, PING, TestServer, bodiless, next, opened, post, respond,
};

#[tokio::test]
async fn handlers_keep_typed_state_in_a_session_until_it_ends() {
    struct Visits(AtomicUsize, #[allow(dead_code)] SetOnDrop);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let handler = async move |session: McpSession| {
        let visits =
            session.state_or_insert_with(|| Visits(AtomicUsize::new(0), SetOnDrop(flag.clone())));
        visits.0.fetch_add(1, Ordering::SeqCst);
        opened()
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    let (one, other) = (server.open().await, server.open().await);
    server.ping(&one).await;
    let visits = |id: &str| {
        let session = server.sessions.get(id).unwrap();
        session
            .state::<Visits>()
            .map(|visits| visits.0.load(Ordering::SeqCst))
    };
    assert_eq!((visits(&one), visits(&other)), (Some(2), Some(1)));
    assert_eq!(server.sessions.get(&one).unwrap().state::<String>(), None);
    server.sessions.end(&other);
    assert!(dropped.swap(false, Ordering::SeqCst));
    let session = server.sessions.get(&one).unwrap();
    session.end();
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(*session.state_or_insert_with(|| 7_u8), 7);
    assert_eq!(
        session.state::<u8>(),
        None,
        "an ended session stores no state"
    );
}

#[tokio::test]
async fn state_may_call_back_into_its_session_and_may_panic_when_it_is_dropped() {
    struct Callback(McpSession, bool);
    impl Drop for Callback {
        fn drop(&mut self) {
            assert!(
                self.0.open_streams() == 0 && !self.1,
                "a panic of the user's own"
            );
        }
    }
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    let inner = session.clone();
    // The inner value stays, so the outer value is dropped at once.
    session.state_or_insert_with(|| {
        inner.state_or_insert_with(|| Callback(inner.clone(), true));
        Callback(inner.clone(), false)
    });
    assert!(session.end());
    assert_eq!(server.sessions.len(), 0);
}

#[tokio::test]
async fn sessions_can_be_counted_listed_and_ended_through_the_registry() {
    let server = TestServer::new(SessionGuardLayer::new());
    let (one, other) = (server.open().await, server.open().await);
    assert_eq!(server.sessions.len(), 2);
    let mut ids: Vec<_> = server
        .sessions
        .snapshot()
        .iter()
        .map(|session| session.id().as_str().to_owned())
        .collect();
    ids.sort();
    let mut expected = vec![one.clone(), other.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    let session = server.sessions.get(&one).unwrap();
    assert!(server.sessions.end(&one));
    assert!(!server.sessions.end(&one) && !session.end());
    assert_eq!(session.ended().await, EndReason::Revoked);
    assert_eq!(server.sessions.end_all(), 1);
    assert!(server.sessions.is_empty());
    assert_eq!(server.ping(&other).await, 404);
}

#[tokio::test]
async fn a_task_that_waits_for_the_end_may_call_the_registry() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    let sessions = server.sessions.clone();
    let waiting = tokio::spawn({
        let ended = session.ended();
        async move {
            ended.await;
            (
                sessions.len(),
                sessions.get("x").is_none(),
                sessions.end_all(),
            )
        }
    });
    yield_now().await;
    session.end();
    assert_eq!(waiting.await.unwrap(), (0, true, 0));
}

#[tokio::test]
async fn a_task_that_waits_for_the_end_since_the_opening_is_notified() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let handler = async move |session: McpSession| {
        tokio::spawn(async move { sender.send(session.ended().await) });
        yield_now().await;
        opened()
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    let id = server.open().await;
    assert!(!server.sessions.is_empty());
    assert!(server.sessions.end(&id));
    let end = timeout(Duration::from_secs(5), ends.recv()).await;
    assert_eq!(end.expect("the task is notified"), Some(EndReason::Revoked));
}

#[tokio::test]
async fn a_task_that_waits_for_the_end_is_notified_when_the_guard_is_dropped() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    let mut stream = server
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    drop(server);
    assert_eq!(session.ended().await, EndReason::GuardDropped);
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn debug_output_never_shows_a_session_id() {
    let guard = SessionGuardLayer::new();
    let server = TestServer::new(guard.clone());
    let id = server.open_and_use().await;
    let session = server.sessions.get(&id).unwrap();
    let seen = server.inner.calls();
    let printed = format!(
        "{guard:?} {:?} {session:?} {:?} {:?} {:?} {:?}",
        server.sessions,
        session.id(),
        seen[1].session,
        seen[1].message,
        server
            .send(post(Some("unknown"), PING))
            .await
            .extensions()
            .get::<Refusal>(),
    );
    assert!(!printed.contains(&id), "{printed}");
    let opened = server.send(post(None, INITIALIZE)).await;
    assert!(
        opened.headers()["mcp-session-id"].is_sensitive(),
        "logs leave the header out"
    );
}

#[tokio::test]
async fn a_session_keeps_no_buffer_of_its_initialize_alive() {
    let guard = SessionGuardLayer::builder().end_inner_sessions();
    let server = TestServer::opening(guard.build().unwrap(), Some("own"), |_| async {
        respond(204, "text/plain", "")
    });
    // Like hyper, whose header values are slices of its read buffer.
    let uri = Bytes::from(format!("/mcp?{}", "x".repeat(60_000)));
    let host = Bytes::from(format!("localhost{}", "x".repeat(60_000)));
    let mut request = post(None, INITIALIZE);
    *request.uri_mut() = Uri::from_maybe_shared(uri.clone()).unwrap();
    let value = HeaderValue::from_maybe_shared(host.slice(..9)).unwrap();
    request.headers_mut().insert("host", value);
    assert_eq!(server.ask(request).await.status, 200);
    assert_eq!(server.sessions.len(), 1);
    assert!(uri.is_unique() && host.is_unique());
}

#[tokio::test]
async fn a_session_keeps_no_buffer_of_the_answer_that_opened_it_alive() {
    let head = Bytes::from(format!("own{}", "x".repeat(60_000)));
    let own = Arc::new(Mutex::new(Some(head.slice(..3))));
    let handler = async move || {
        let own = own.lock().unwrap().take().unwrap();
        let mut response = opened();
        let id = HeaderValue::from_maybe_shared(own).unwrap();
        response.headers_mut().insert("mcp-session-id", id);
        response
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 200);
    assert_eq!(server.sessions.len(), 1);
    assert!(head.is_unique());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_under_mixed_operations_leave_nothing_behind() {
    let server = TestServer::new(SessionGuardLayer::new());
    let tasks = (0..100).map(|task| {
        let server = server.clone();
        tokio::spawn(async move {
            for turn in 0..100 {
                let id = server.open().await;
                assert_eq!(server.ask(post(Some(&id), INITIALIZED)).await.status, 202);
                let stream = server.send(bodiless(Method::GET, Some(&id))).await;
                match (task + turn) % 3 {
                    0 => assert!(server.sessions.end(&id)),
                    _ => {
                        let deleted = server.ask(bodiless(Method::DELETE, Some(&id))).await;
                        assert_eq!(deleted.status, 204);
                    }
                }
                assert_eq!(server.ping(&id).await, 404, "no answer after the end");
                assert_eq!(stream.into_body().into_data_stream().count().await, 0);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(server.sessions.is_empty());
    assert!(server.inner.calls().iter().all(|seen| {
        seen.session
            .as_ref()
            .is_some_and(|session| session.in_flight() == 0)
    }));
}
