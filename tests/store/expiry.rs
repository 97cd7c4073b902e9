//! The expiry of sessions in the store and on the nodes that know them.

use std::sync::{Arc, Mutex};

use mcp_session_guard::store::{McpSessionStore, MemoryStore, SessionKey};
use mcp_session_guard::{EndReason, SessionEvent};
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::support::times::{MINUTE, SECOND};
use super::support::{INITIALIZE, PING, TestServer, is_over, post};
use super::{builder, node, ping, stream_of};

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_age_on_every_node() {
    let store = MemoryStore::new();
    let id = node(&store).open_and_use().await;
    let key = SessionKey::new("", &*id);
    let value = store.load(&key).await.unwrap().unwrap();
    // The paused clock of the test does not stop wall time, so the test moves the opening back by
    // an hour.
    let mut record: Value = serde_json::from_slice(&value).unwrap();
    record["opened"] = (record["opened"].as_u64().unwrap() - 3_600_000).into();
    store.overwrite(record.to_string().as_bytes());
    let second = TestServer::build(builder(&store).max_lifetime(90 * MINUTE));
    assert_eq!(ping(&second, &id).await, 200);
    let age = second.sessions.get(&id).unwrap().age();
    assert!((60 * MINUTE..61 * MINUTE).contains(&age), "{age:?}");
    let mut stream = stream_of(&second, &id).await;
    sleep(29 * MINUTE).await;
    assert!(!is_over(&mut stream));
    sleep(2 * MINUTE).await;
    assert!(is_over(&mut stream), "the lifetime counts from the opening");
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_is_refreshed_once_per_tenth_of_the_idle_timeout() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    sleep(MINUTE * 4).await;
    let calls = store.calls();
    for _ in 0..300 {
        assert_eq!(ping(&a, &id).await, 200);
        sleep(SECOND * 12).await;
    }
    // An hour with a refresh every three minutes.
    let refreshes = store.calls() - calls;
    assert!((15..=21).contains(&refreshes), "{refreshes}");
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_keeps_a_session_alive_on_every_node() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    sleep(MINUTE * 300).await;
    assert!(!is_over(&mut stream));
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_idle_everywhere_expires_everywhere() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    sleep(MINUTE * 40).await;
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
    assert!(store.is_empty());
    assert_eq!(a.sessions.stats().ended[&EndReason::Idle], 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_released_by_its_opener_lives_on_the_node_that_uses_it() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    // This node only opened the session.
    let id = a.open().await;
    for _ in 0..40 {
        assert_eq!(ping(&b, &id).await, 200);
        sleep(MINUTE).await;
    }
    assert_eq!(a.sessions.stats().ended[&EndReason::NeverUsed], 1);
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [200; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_never_used_expires_in_the_store_too() {
    let store = MemoryStore::new();
    let a = node(&store);
    a.open().await;
    sleep(MINUTE * 7).await;
    assert!(a.sessions.is_empty());
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_used_just_before_it_expires_is_not_lost() {
    let store = MemoryStore::new();
    let a = node(&store);
    // The background task starts with the first session, so its sweeps do not fall on the expiry
    // below.
    let _first = a.open_and_use().await;
    sleep(SECOND).await;
    let id = a.open().await;
    sleep(SECOND * 299 + SECOND / 2).await;
    for _ in 0..12 {
        assert_eq!(a.ping(&id).await, 200);
        sleep(SECOND * 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_sessions_over() {
    let store = MemoryStore::new();
    let guard = builder(&store).build().unwrap();
    let [a, b] = [TestServer::new(guard.clone()), node(&store)];
    let id = a.open_and_use().await;
    let mut stream = stream_of(&a, &id).await;
    let drained = tokio::spawn(guard.drain(SECOND * 10));
    yield_now().await;
    let answer = a.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(ping(&a, &id).await, 200);
    drained.await.unwrap();
    assert!(is_over(&mut stream));
    assert_eq!(a.sessions.stats().ended[&EndReason::HandedOver], 1);
    assert_eq!(ping(&b, &id).await, 200);
    let answer = a.ask(post(Some(&id), PING)).await;
    assert_eq!(
        answer.status, 503,
        "the session lives on, but this process has drained"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_leaves_its_sessions_to_the_next() {
    let store = MemoryStore::new();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let reasons = ended.clone();
    let first = TestServer::new(
        builder(&store)
            .hook(move |event: &SessionEvent<'_>| {
                if let SessionEvent::Ended { reason, .. } = event {
                    reasons.lock().unwrap().push(*reason);
                }
            })
            .build()
            .unwrap(),
    );
    let id = first.open_and_use().await;
    drop(first);
    assert_eq!(*ended.lock().unwrap(), [EndReason::HandedOver]);
    let second = node(&store);
    assert_eq!(ping(&second, &id).await, 200);
}
