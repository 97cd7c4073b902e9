//! The requests that look a session up in the store, and the answers of the store.

use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;
use mcp_session_guard::store::{Fault, MemoryStore};
use mcp_session_guard::{McpSession, Owner, SessionGuardLayer};
use tokio::time::{sleep, timeout};

use super::support::times::{MINUTE, SECOND};
use super::support::{INITIALIZE, NOT_FOUND, PING, TestServer, UNKNOWN, by, owned, post};
use super::{builder, named, node, open_by, ping, ping_by, settle};

#[tokio::test(start_paused = true)]
async fn a_session_opened_on_one_node_continues_on_another() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let guard = owned(named(&store, name)).scope("mail");
        TestServer::build(guard)
    });
    let id = open_by(&a, "alice").await;

    assert_eq!(ping_by(&b, "alice", &id).await, 200);
    let session = b.sessions.get(&id).unwrap();
    assert_eq!(session.owner(), Some(&Owner::new("alice")));
    assert_eq!(session.scope(), "mail");
    assert_eq!(session.client_name(), Some("test"));
    assert_eq!(session.client_version(), Some("1.0"));
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
    assert_eq!(session.opened_on(), Some("a"));
    assert_eq!(b.sessions.stats().restored, 1);
    assert_eq!(b.sessions.stats().opened, 0);
    assert_eq!(b.sessions.stats().open, 1);

    let answer = b.ask(by("alice", post(Some(&id), INITIALIZE))).await;
    assert_eq!(
        answer.status, 400,
        "the session is initialized on every node"
    );
    assert!(answer.text().contains("Server already initialized"));
}

#[tokio::test(start_paused = true)]
async fn a_known_session_is_served_without_a_store_call() {
    let store = MemoryStore::new();
    let a = node(&store);
    let id = a.open_and_use().await;
    // The session is older than the subscription, which begins with the first session. So the node
    // checks it once, and refreshes it once after its use.
    sleep(MINUTE).await;
    assert_eq!(ping(&a, &id).await, 200);
    let calls = store.calls();
    for _ in 0..100 {
        assert_eq!(ping(&a, &id).await, 200);
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(store.calls(), calls, "thirty seconds, six leases");
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_for_an_unknown_id_share_one_store_lookup() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    b.open().await;
    settle().await;
    let calls = store.calls();
    let all = join_all((0..50).map(|_| ping(&b, &id))).await;
    assert_eq!(all, [200; 50]);
    assert_eq!(store.calls(), calls + 1);
    assert_eq!(b.sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_shared_lookup_does_not_cancel_the_others() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    store.set_fault(Fault::Silent);
    let leaver = timeout(SECOND, ping(&b, &id));
    let stayer = async {
        sleep(SECOND / 2).await;
        let stayer = ping(&b, &id);
        let mended = async {
            sleep(SECOND).await;
            store.set_fault(Fault::None);
        };
        futures_util::future::join(stayer, mended).await.0
    };
    let (left, stayed) = futures_util::future::join(leaver, stayer).await;
    assert!(left.is_err());
    // The second client starts its own lookup, which also times out.
    assert_eq!(stayed, 503);
    sleep(SECOND).await;
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn malformed_ids_and_modern_messages_are_not_looked_up() {
    let store = MemoryStore::new();
    let a = node(&store);
    a.open().await;
    settle().await;
    let calls = store.calls();
    for id in ["x", "2F7A1C0C-5D3B-4C2E-9A7B-0D1E2F3A4B5C"] {
        assert_eq!(ping(&a, id).await, 404);
    }
    let mut modern = post(Some(UNKNOWN), PING);
    let version = HeaderValue::from_static("2026-07-28");
    modern.headers_mut().insert("mcp-protocol-version", version);
    assert_eq!(a.ask(modern).await.status, 400);
    assert_eq!(store.calls(), calls);
    assert_eq!(ping(&a, UNKNOWN).await, 404);
    assert_eq!(store.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_refused_by_its_head_makes_no_store_call() {
    let store = MemoryStore::new();
    let a = node(&store);
    let mut foreign = post(Some(UNKNOWN), PING);
    let host = HeaderValue::from_static("evil.example");
    foreign.headers_mut().insert("host", host);
    assert_eq!(a.ask(foreign).await.status, 403);
    assert_eq!(store.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_owner_or_scope_finds_nothing() {
    let store = MemoryStore::new();
    let a = TestServer::build(owned(builder(&store)).scope("mail"));
    let b = TestServer::build(owned(builder(&store)).scope("mail"));
    let c = TestServer::build(owned(builder(&store)).scope("files"));
    let id = open_by(&a, "alice").await;
    for (server, user) in [(&b, "bob"), (&c, "alice"), (&b, "bob")] {
        let answer = server.ask(by(user, post(Some(&id), PING))).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
        assert_eq!(server.inner.count(), 0);
    }
    assert_eq!(ping(&b, &id).await, 404);
    assert_eq!(ping_by(&b, "alice", &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_counts_as_an_unknown_id() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    for value in [
        &b""[..],
        b"{}",
        br#"{"v":2,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#,
        br#"{"v":0,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#,
        &[b'['; 100_000],
        b"\xff\xfe",
    ] {
        store.overwrite(value);
        let answer = b.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    }
    let readable = br#"{"v":1,"opened":0,"on":"a","client":[null,null],"owner":null,"version":null,"inner":null}"#;
    store.overwrite(readable);
    assert_eq!(ping(&b, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_node_at_its_session_limit_loads_no_session_and_answers_503() {
    let store = MemoryStore::new();
    let a = node(&store);
    let b = TestServer::build(builder(&store).max_sessions(1));
    let id = a.open_and_use().await;
    b.open_and_use().await;
    let answer = b.ask(post(Some(&id), PING)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["id"], 1);
    assert!(answer.text().contains("Too many sessions"));
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_store_names_no_node() {
    let server = TestServer::new(SessionGuardLayer::new());
    let id = server.open().await;
    let session: McpSession = server.sessions.get(&id).unwrap();
    assert_eq!(session.opened_on(), None);
    assert!(server.sessions.flush().await.is_ok());
}
