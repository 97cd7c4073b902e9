//! An opening is in the store before its answer goes out, or it leaves nothing in the store.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http::request::Parts;
use http_body_util::BodyExt;
use mcp_session_guard::store::{Fault, MemoryStore};
use tokio::time::{sleep, timeout};

use super::support::times::{MINUTE, SECOND};
use super::support::{
    INITIALIZE, INITIALIZED, TestServer, event_stream, post, session_id, silent_stream,
};
use super::{around, builder, node, ping, settle};

const RESULT: &str =
    "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n";

/// Answers `initialize` with an event stream that sends these chunks one by one.
fn events(chunks: &'static [&'static str]) -> impl Fn(Parts, Bytes) -> Response + Clone {
    move |_, body| {
        if !body.windows(12).any(|window| window == b"\"initialize\"") {
            return Response::new(Body::empty());
        }
        event_stream(stream::iter(chunks.iter().copied()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_client_leaves_during_the_store_call_leaves_nothing() {
    let store = MemoryStore::new();
    let a = node(&store);
    store.set_fault(Fault::Silent);
    assert!(
        timeout(SECOND, a.send(post(None, INITIALIZE)))
            .await
            .is_err()
    );
    assert_eq!(a.sessions.stats().opening, 0);
    store.set_fault(Fault::None);
    a.open().await;
    sleep(MINUTE).await;
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_dropped_unread_leaves_nothing_in_the_store() {
    let store = MemoryStore::new();
    let a = node(&store);
    let response = a.send(post(None, INITIALIZE)).await;
    assert_eq!(store.len(), 1);
    drop(response);
    settle().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_taken_on_another_node_opens_and_overwrites_nothing() {
    let store = MemoryStore::new();
    let [a, b] = [(), ()].map(|()| {
        let guard = builder(&store).id_generator(|| "always-the-same".to_owned());
        TestServer::build(guard)
    });
    let id = a.open_and_use().await;
    let answer = b.ask(post(None, INITIALIZE)).await;
    assert_eq!(answer.status, 503);
    sleep(SECOND).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&a, &id).await, 200);
    assert_eq!(b.sessions.stats().opening, 0);
}

#[tokio::test(start_paused = true)]
async fn an_id_taken_on_another_node_fails_an_opening_by_event_stream() {
    let store = MemoryStore::new();
    let guard = || builder(&store).id_generator(|| "always-the-same".to_owned());
    let a = TestServer::build(guard());
    let id = a.open_and_use().await;
    let b = around(guard(), events(&[": hello\n\n", RESULT]));
    let answer = b.ask(post(None, INITIALIZE)).await;
    assert!(answer.text().contains("-32603"), "{answer:?}");
    sleep(SECOND).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&a, &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_opened_by_an_event_stream_is_stored_before_the_client_has_the_result() {
    let store = MemoryStore::new();
    let a = around(builder(&store), events(&[": hello\n\n", RESULT]));
    let b = node(&store);
    let response = a.send(post(None, INITIALIZE)).await;
    let id = session_id(response.headers()).to_owned();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, ": hello\n\n");
    assert!(store.is_empty());
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, RESULT);
    assert_eq!(store.len(), 1);
    assert!(body.frame().await.is_none());
    assert_eq!(ping(&b, &id).await, 200);
    let session = b.sessions.get(&id).unwrap();
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_result_has_not_passed_is_not_stored() {
    let store = MemoryStore::new();
    let a = around(builder(&store).idle_timeout(MINUTE), |_, _| silent_stream());
    let opening = a.send(post(None, INITIALIZE)).await;
    assert!(opening.headers().contains_key("mcp-session-id"));
    sleep(30 * SECOND).await;
    assert_eq!((a.sessions.len(), store.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_result_becomes_an_error_in_the_stream_when_the_store_fails() {
    let store = MemoryStore::new();
    let a = around(builder(&store), events(&[": hello\n\n", RESULT]));
    let response = a.send(post(None, INITIALIZE)).await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    store.set_fault(Fault::Silent);
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(
        rest,
        "data: {\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Session ended\"},\"id\":0}\n\n"
    );
    assert!(a.sessions.is_empty());
    store.set_fault(Fault::None);
    sleep(MINUTE).await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_adds_no_event_to_a_result_of_which_a_part_has_passed() {
    let store = MemoryStore::new();
    let (first, second) = RESULT.split_at(20);
    let chunks = [first, second];
    let a = around(builder(&store), move |_, _| {
        event_stream(stream::iter(chunks))
    });
    let mut body = a.send(post(None, INITIALIZE)).await.into_body();
    let part = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(part, first);
    store.set_fault(Fault::Silent);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "");
    assert!(a.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_ends_with_an_error_if_only_whole_events_have_passed() {
    let store = MemoryStore::new();
    let chunks = [":\n\n".to_owned(), format!("{RESULT}data: unfinished")];
    let a = around(builder(&store), move |_, _| {
        event_stream(stream::iter(chunks.clone()))
    });
    let mut body = a.send(post(None, INITIALIZE)).await.into_body();
    body.frame().await.unwrap().unwrap();
    store.set_fault(Fault::Silent);
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(
        rest,
        "data: {\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Session ended\"},\"id\":0}\n\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_confirmed_on_another_stream_is_stored_soon_after() {
    let store = MemoryStore::new();
    let chunks = &["id: 1\ndata: \n\n"];
    let a = around(builder(&store), events(chunks));
    let b = node(&store);
    let answer = a.ask(post(None, INITIALIZE)).await;
    let id = session_id(&answer.headers);
    assert!(store.is_empty());
    a.ask(post(Some(id), INITIALIZED)).await;
    sleep(MINUTE * 3).await;
    assert_eq!(store.len(), 1);
    assert_eq!(ping(&b, id).await, 200);
}
