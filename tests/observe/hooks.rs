//! Hooks: each event once and in order; and the statistics.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::stream;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use mcp_session_guard::{
    EndReason, McpSession, Owner, RefusalReason, SessionEvent, SessionGuardBuilder,
    SessionGuardLayer, Sessions,
};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};

use super::support::{
    INITIALIZE, INITIALIZED, PING, TestServer, bodiless, event_stream, initialize_result,
    json_response, opened, post, silent_stream,
};

type Events = Arc<Mutex<Vec<String>>>;

/// A number of sessions whose ends overflow the stack if each is nested in another.
const MANY: usize = 20_000;

/// A builder with a hook that records each event as text.
fn recording() -> (SessionGuardBuilder, Events) {
    let events = Events::default();
    let hook = events.clone();
    let guard = SessionGuardLayer::builder().hook(move |event: &SessionEvent<'_>| {
        let text = match event {
            SessionEvent::Opened { session, .. } => {
                assert_eq!(session.end_reason(), None);
                "opened".to_owned()
            }
            SessionEvent::Confirmed { .. } => "confirmed".to_owned(),
            SessionEvent::StreamOpened { .. } => "stream".to_owned(),
            SessionEvent::StreamClosed { .. } => "stream closed".to_owned(),
            SessionEvent::Refused { refusal, .. } => format!("refused {}", refusal.reason()),
            SessionEvent::Ended {
                session,
                reason,
                lived,
                ..
            } => {
                assert_eq!(session.end_reason(), Some(*reason));
                format!("ended {reason} after {} s", lived.as_secs())
            }
            _ => "something new".to_owned(),
        };
        hook.lock().unwrap().push(text);
    });
    (guard, events)
}

fn take(events: &Events) -> Vec<String> {
    std::mem::take(&mut events.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_notified_of_a_sessions_whole_life_once_and_in_order() {
    let (guard, events) = recording();
    let server = TestServer::build(guard);
    let id = server.open().await;
    assert_eq!(take(&events), ["opened", "confirmed"]);
    server.ask(post(Some(&id), INITIALIZED)).await;
    assert_eq!(server.ping(&id).await, 200);
    assert_eq!(
        take(&events),
        [""; 0],
        "a request that passes causes no event"
    );
    let get = server.send(bodiless(Method::GET, Some(&id))).await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!(
        server.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    assert_eq!(take(&events), ["stream", "ended deleted after 7 s"]);
    assert!(get.into_body().frame().await.is_none());
    assert_eq!(take(&events), ["stream closed"]);
    assert_eq!(server.ping(&id).await, 404);
    assert_eq!(take(&events), ["refused session_not_found"]);
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_answer_is_dropped_is_opened_and_ended_but_never_confirmed() {
    let (guard, events) = recording();
    let server = TestServer::build(guard);
    drop(server.send(post(None, INITIALIZE)).await);
    assert_eq!(take(&events), ["opened", "ended abandoned after 0 s"]);
}

#[tokio::test(start_paused = true)]
async fn an_initialize_that_opens_no_session_causes_no_event() {
    let (guard, events) = recording();
    let handler = async || json_response(500, &serde_json::json!({}));
    let server = TestServer::around(guard.build().unwrap(), handler);
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 500);
    assert_eq!(take(&events), [""; 0]);
    assert_eq!(server.sessions.stats().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_confirms_its_session_when_the_response_passes() {
    let (guard, events) = recording();
    let handler = async || {
        let frames = [
            ": hello\n\n".to_owned(),
            format!("data: {}\n\n", initialize_result(&0.into())),
        ];
        event_stream(stream::iter(frames))
    };
    let server = TestServer::around(guard.build().unwrap(), handler);
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    body.frame().await;
    assert_eq!(take(&events), ["opened", "stream"]);
    body.frame().await;
    assert_eq!(take(&events), ["confirmed"]);
    assert!(body.frame().await.is_none());
    assert_eq!(take(&events), ["stream closed"]);
}

#[tokio::test(start_paused = true)]
async fn every_end_is_notified_with_its_reason() {
    let (guard, events) = recording();
    let guard = guard
        .max_sessions(2)
        .max_lifetime(Duration::from_secs(3600))
        .build()
        .unwrap();
    let server = TestServer::new(guard.clone());
    let ended = |events: &Events| {
        let events = take(events).into_iter();
        let ends = events.filter_map(|text| {
            let reason = text.strip_prefix("ended ")?.split(' ').next()?;
            Some(reason.to_owned())
        });
        ends.collect::<Vec<_>>()
    };
    server.open().await;
    sleep(Duration::from_secs(1)).await;
    server.open().await;
    server.open().await;
    assert_eq!(ended(&events), ["evicted"]);
    sleep(Duration::from_secs(310)).await;
    assert_eq!(ended(&events), ["never_used"; 2]);
    let id = server.open_and_use().await;
    server.sessions.end(&id);
    assert_eq!(ended(&events), ["revoked"]);
    server.open_and_use().await;
    sleep(Duration::from_secs(1900)).await;
    assert_eq!(ended(&events), ["idle"]);
    let id = server.open_and_use().await;
    let stream = server.send(bodiless(Method::GET, Some(&id))).await;
    sleep(Duration::from_secs(3700)).await;
    assert_eq!(ended(&events), ["lifetime"]);
    drop(stream);
    server.open_and_use().await;
    guard.drain(Duration::from_secs(5)).await;
    assert_eq!(ended(&events), ["drained"]);

    let (guard, events) = recording();
    let server = self::TestServer::build(guard);
    server.open().await;
    drop(server);
    assert_eq!(ended(&events), ["guard_dropped"]);
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_notified() {
    let (guard, events) = recording();
    let server = TestServer::build(guard.body_limit(1000).max_sessions(1));
    let id = server.open_and_use().await;
    take(&events);
    server.ask(bodiless(Method::PUT, None)).await;
    server.ask(post(None, PING)).await;
    server.ask(post(None, "{")).await;
    server.ask(post(None, " ".repeat(1001))).await;
    server.ask(post(None, INITIALIZE)).await;
    server.ask(post(Some(&id), INITIALIZE)).await;
    assert_eq!(
        take(&events),
        [
            "refused method_not_allowed",
            "refused missing_session_id",
            "refused parse_error",
            "refused body_too_large",
            "refused too_many_sessions",
            "refused already_initialized",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_in_flight_is_notified_as_a_refusal_too() {
    let (guard, events) = recording();
    let handler = async |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        if body != INITIALIZE {
            std::future::pending::<()>().await;
        }
        opened()
    };
    let server = TestServer::around(guard.build().unwrap(), handler);
    let id = server.open().await;
    let waiting = tokio::spawn({
        let (server, id) = (server.clone(), id.clone());
        async move { server.ask(post(Some(&id), PING)).await.status }
    });
    sleep(Duration::from_secs(1)).await;
    take(&events);
    server.sessions.end(&id);
    assert_eq!(waiting.await.unwrap(), 200);
    assert_eq!(
        take(&events),
        ["ended revoked after 1 s", "refused session_ended"]
    );
}

#[tokio::test]
async fn a_hook_that_ends_its_session_lets_the_next_hook_see_the_first_event_first() {
    let ending = SessionGuardLayer::builder().hook(|event: &SessionEvent<'_>| {
        if let SessionEvent::StreamOpened { session, .. } = event {
            assert!(session.end());
        }
    });
    let events = Events::default();
    let seen = events.clone();
    let guard = ending.hook(move |event: &SessionEvent<'_>| {
        let name = match event {
            SessionEvent::StreamOpened { .. } => "stream",
            SessionEvent::Ended { .. } => "ended",
            _ => return,
        };
        seen.lock().unwrap().push(name.to_owned());
    });
    let server = TestServer::build(guard);
    let id = server.open().await;
    let get = server.send(bodiless(Method::GET, Some(&id))).await;
    assert!(get.into_body().frame().await.is_none());
    assert_eq!(take(&events), ["stream", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_end_all_sessions_of_an_owner_from_each_of_their_ends() {
    let sessions = Arc::new(Mutex::new(None::<Sessions>));
    let (later, ends) = (sessions.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = ends.clone();
    let guard = SessionGuardLayer::builder()
        .owner(|_: &Parts| Ok(Some(Owner::new("alice"))))
        .max_sessions(MANY)
        .hook(move |event: &SessionEvent<'_>| {
            let sessions = later.lock().unwrap().clone();
            if let (SessionEvent::Ended { .. }, Some(sessions)) = (event, sessions) {
                counted.fetch_add(1, Relaxed);
                sessions.end_owner(&Owner::new("alice"));
                assert!(
                    !counted.load(Relaxed).is_multiple_of(1_000),
                    "a hook panics"
                );
            }
        });
    let server = TestServer::build(guard);
    for _ in 0..MANY {
        server.open().await;
    }
    *sessions.lock().unwrap() = Some(server.sessions.clone());
    let first = server.sessions.snapshot().pop().unwrap();
    assert!(first.end());
    assert_eq!(ends.load(Relaxed), MANY);
    assert_eq!(
        server.sessions.stats().ended[&EndReason::Revoked],
        MANY as u64
    );
}

#[tokio::test(start_paused = true)]
async fn the_state_of_each_session_may_end_the_next_one_when_it_is_dropped() {
    struct EndsNext(Option<McpSession>);

    impl Drop for EndsNext {
        fn drop(&mut self) {
            if let Some(next) = &self.0 {
                next.end();
            }
        }
    }

    let server = TestServer::build(SessionGuardLayer::builder().max_sessions(MANY));
    let mut last = None;
    for _ in 0..MANY {
        let id = server.open().await;
        let session = server.sessions.get(&id).unwrap();
        let next = last.replace(session.clone());
        session.state_or_insert_with(|| EndsNext(next));
    }
    assert!(last.take().unwrap().end());
    assert_eq!(server.sessions.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn hooks_may_panic_and_call_the_registry() {
    let (guard, events) = recording();
    let sessions = Arc::new(Mutex::new(None::<Sessions>));
    let later = sessions.clone();
    let guard = guard
        .hook(|_: &SessionEvent<'_>| panic!("a hook panics"))
        .hook(move |event: &SessionEvent<'_>| {
            let sessions = later.lock().unwrap().clone();
            let Some(sessions) = sessions else { return };
            match event {
                SessionEvent::Opened { session, .. } => {
                    assert_eq!(sessions.len(), 1);
                    session.state_or_insert_with(|| 7_u8);
                }
                // The hook ends the session during the event that it handles.
                SessionEvent::StreamOpened { session, .. } => assert!(session.end()),
                SessionEvent::Ended { session, .. } => {
                    assert!(sessions.get(session.id().as_str()).is_none());
                    assert_eq!(sessions.end_all(), 0);
                    assert_eq!(sessions.stats().ended[&EndReason::Revoked], 1);
                }
                _ => drop(sessions.snapshot()),
            }
        })
        .build()
        .unwrap();
    let server = TestServer::new(guard);
    *sessions.lock().unwrap() = Some(server.sessions.clone());
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    assert_eq!(session.state::<u8>().as_deref(), Some(&7));
    let get = server.send(bodiless(Method::GET, Some(&id))).await;
    assert!(get.into_body().frame().await.is_none());
    assert_eq!(server.ping(&id).await, 404);
    assert_eq!(
        take(&events),
        [
            "opened",
            "confirmed",
            "stream",
            "ended revoked after 0 s",
            "stream closed",
            "refused session_not_found",
        ]
    );
}

#[tokio::test]
async fn a_message_whose_session_a_hook_ends_at_the_confirmation_is_not_forwarded() {
    let guard = SessionGuardLayer::builder().hook(|event: &SessionEvent<'_>| {
        if let SessionEvent::Confirmed { session, .. } = event {
            session.end();
        }
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let calls = calls.clone();
        // Some services start their work before their future is polled.
        move |_: Request<Body>| {
            calls.fetch_add(1, Relaxed);
            ready(Ok::<_, Infallible>(json_response(
                200,
                &initialize_result(&0.into()),
            )))
        }
    });
    let service = guard.build().unwrap().layer(inner);
    // The body of the answer is not read, so `initialized` is what confirms the session.
    let opened = service.clone().oneshot(post(None, INITIALIZE)).await;
    let opened = opened.unwrap();
    let id = &opened.headers()["mcp-session-id"];
    let answer = service.oneshot(post(id.to_str().ok(), INITIALIZED)).await;
    assert_eq!(answer.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test]
async fn every_hook_sees_the_opening_before_the_end_although_a_hook_ends_the_session() {
    let events = [Events::default(), Events::default()];
    let mut guard = SessionGuardLayer::builder();
    for (events, ends) in events.iter().cloned().zip([true, false]) {
        guard = guard.hook(move |event: &SessionEvent<'_>| {
            let text = match event {
                SessionEvent::Opened { session, .. } => {
                    assert_eq!(session.end(), ends);
                    "opened"
                }
                SessionEvent::Ended { .. } => "ended",
                SessionEvent::Refused { refusal, .. } => refusal.reason().as_str(),
                _ => "something else",
            };
            events.lock().unwrap().push(text.to_owned());
        });
    }
    let server = TestServer::build(guard);
    let answer = server.ask(post(None, INITIALIZE)).await;
    for events in events {
        assert_eq!(take(&events), ["opened", "ended", "session_ended"]);
    }
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    assert_eq!(
        answer.text(),
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":0}"#
    );
    assert!(server.sessions.is_empty());
}

#[tokio::test]
async fn no_stream_opens_after_its_sessions_end() {
    let (guard, events) = recording();
    let handler = async |method: Method, session: McpSession| {
        if method == Method::POST {
            return opened();
        }
        session.end();
        silent_stream()
    };
    let server = TestServer::around(guard.build().unwrap(), handler);
    let id = server.open().await;
    let get = server.ask(bodiless(Method::GET, Some(&id))).await;
    assert_eq!(get.text(), "");
    assert_eq!(
        take(&events),
        ["opened", "confirmed", "ended revoked after 0 s"]
    );
}

#[tokio::test]
async fn a_hook_may_panic_while_a_panic_unwinds() {
    let guard = SessionGuardLayer::builder().hook(|_: &SessionEvent<'_>| panic!("a hook panics"));
    let server = TestServer::build(guard);
    let id = server.open().await;
    let in_flight = (
        server.send(bodiless(Method::GET, Some(&id))).await,
        server.send(post(None, INITIALIZE)).await,
    );
    let panics = AssertUnwindSafe(move || {
        let _in_flight = in_flight;
        panic!("the connection's task panics");
    });
    assert!(catch_unwind(panics).is_err());
    let stats = server.sessions.stats();
    assert_eq!((stats.open, stats.open_streams), (1, 0));
}

#[tokio::test]
async fn the_payload_of_a_hooks_panic_may_panic_when_it_is_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb is dropped");
        }
    }
    let (guard, events) = recording();
    let server = TestServer::build(guard.hook(|_: &SessionEvent<'_>| panic_any(Bomb)));
    let id = server.open().await;
    assert!(server.sessions.end(&id));
    assert_eq!(
        take(&events),
        ["opened", "confirmed", "ended revoked after 0 s"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_statistics_count_sessions_streams_ends_and_refusals() {
    let server = TestServer::build(SessionGuardLayer::builder());
    assert_eq!(
        server.sessions.stats(),
        SessionGuardLayer::new().sessions().stats()
    );
    let ids = [
        server.open().await,
        server.open().await,
        server.open().await,
    ];
    let get = server.send(bodiless(Method::GET, Some(&ids[0]))).await;
    server.sessions.end(&ids[1]);
    server.ask(bodiless(Method::DELETE, Some(&ids[2]))).await;
    server.ping("unknown").await;
    server.ping("unknown").await;
    server.ask(post(None, PING)).await;
    let stats = server.sessions.stats();
    assert_eq!(
        (stats.open, stats.opening, stats.open_streams, stats.opened),
        (1, 0, 1, 3)
    );
    assert_eq!(
        stats.ended,
        BTreeMap::from([(EndReason::Deleted, 1), (EndReason::Revoked, 1)])
    );
    assert_eq!(
        stats.refused,
        BTreeMap::from([
            (RefusalReason::SessionNotFound, 2),
            (RefusalReason::MissingSessionId, 1),
        ])
    );
    assert!(stats.reported.is_empty());
    drop(get);
    assert_eq!(server.sessions.stats().open_streams, 0);
}
