//! Sessions in a store around inner services with their own session ids.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use futures_util::future::join;
use http::{HeaderValue, Method, Request};
use mcp_session_guard::store::MemoryStore;
use mcp_session_guard::{EndReason, SessionGuardBuilder, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::times::{MINUTE, SECOND};
use super::support::{
    NOT_FOUND, PING, TestServer, bodiless, empty, initialize_result, json_response, opened, post,
    with_own_id,
};
use super::{around, builder, named, ping, settle};

/// A guard around an inner service that issues the id `name` and accepts the ids in `known`. Also
/// returns the ids that it was asked to delete.
fn with_own_ids(
    guard: SessionGuardBuilder,
    name: &'static str,
    known: &'static [&'static str],
) -> (TestServer, Arc<Mutex<Vec<String>>>) {
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let log = deleted.clone();
    let server = around(guard, move |parts, body| {
        let id = parts.headers.get("mcp-session-id");
        let id = id.map(|id| id.to_str().unwrap().to_owned());
        match (parts.method, id) {
            (Method::POST, None) => {
                assert!(body.windows(12).any(|window| window == b"\"initialize\""));
                with_own_id(name, opened())
            }
            (Method::DELETE, Some(id)) => {
                log.lock().unwrap().push(id);
                Response::new(Body::empty())
            }
            (_, Some(id)) if known.contains(&&*id) => {
                json_response(200, &initialize_result(&1.into()))
            }
            _ => empty(404),
        }
    });
    (server, deleted)
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_gets_its_own_id_on_every_node() {
    let store = MemoryStore::new();
    let (a, of_a) = with_own_ids(builder(&store).end_inner_sessions(), "of-a", &["of-a"]);
    let (b, of_b) = with_own_ids(
        builder(&store).end_inner_sessions(),
        "of-b",
        &["of-a", "of-b"],
    );
    let id = a.open().await;
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [200; 2]);
    // An administrator ends the session on one node. Each inner service gets its inner DELETE.
    assert!(b.sessions.end(&id));
    b.sessions.flush().await.unwrap();
    settle().await;
    assert_eq!(*of_a.lock().unwrap(), ["of-a"]);
    assert_eq!(*of_b.lock().unwrap(), ["of-a"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_opener_ends_a_session_everywhere_after_an_inner_404() {
    let store = MemoryStore::new();
    let (a, _) = with_own_ids(builder(&store), "of-a", &["of-a"]);
    let (b, _) = with_own_ids(builder(&store), "of-b", &["of-b"]);
    let id = a.open().await;
    assert_eq!(ping(&a, &id).await, 200);
    let answer = b.ask(post(Some(&id), PING)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
    assert_eq!(b.sessions.stats().ended[&EndReason::InnerLost], 1);
    settle().await;
    assert_eq!(ping(&a, &id).await, 200);
    // The opener's inner service has lost the session, so it ends on every node.
    let (restarted, _) = with_own_ids(named(&store, "a"), "new", &["new"]);
    assert_eq!(ping(&restarted, &id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn without_the_option_an_inner_service_gets_no_inner_delete() {
    let store = MemoryStore::new();
    let (a, of_a) = with_own_ids(builder(&store), "of-a", &["of-a"]);
    let (b, of_b) = with_own_ids(builder(&store), "of-b", &["of-a"]);
    let id = a.open().await;
    assert_eq!(ping(&b, &id).await, 200);
    assert!(b.sessions.end(&id));
    b.sessions.flush().await.unwrap();
    settle().await;
    assert!(of_a.lock().unwrap().is_empty() && of_b.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_idle_on_one_node_sends_no_inner_delete() {
    let store = MemoryStore::new();
    let (a, deleted) = with_own_ids(builder(&store).end_inner_sessions(), "of-a", &["of-a"]);
    let id = a.open().await;
    assert_eq!(ping(&a, &id).await, 200);
    sleep(MINUTE * 31).await;
    assert_eq!(a.sessions.stats().ended[&EndReason::Idle], 1);
    assert!(
        deleted.lock().unwrap().is_empty(),
        "another node may still use the session"
    );
}

const LOST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"lost"}"#;

/// A guard around an inner service with its own ids. It takes a second for a DELETE, and answers
/// the method `lost` with 404.
fn around_own_ids(guard: SessionGuardLayer) -> TestServer {
    let handler = async |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        if parts.method == Method::DELETE {
            sleep(SECOND).await;
            return empty(204);
        }
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap();
        match message["method"].as_str() {
            Some("initialize") => {
                let mut response = json_response(200, &initialize_result(&message["id"]));
                let id = HeaderValue::from_static("inner");
                response.headers_mut().insert("mcp-session-id", id);
                response
            }
            Some("lost") => empty(404),
            Some("ping") => {
                let pong = json!({ "jsonrpc": "2.0", "id": message["id"], "result": {} });
                json_response(200, &pong)
            }
            _ => empty(202),
        }
    };
    TestServer::around(guard, handler)
}

#[tokio::test(start_paused = true)]
async fn a_delete_ends_a_session_everywhere_although_an_inner_404_releases_it_meanwhile() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| around_own_ids(named(&store, name).build().unwrap()));
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let lost = async {
        sleep(SECOND / 2).await;
        b.ask(post(Some(&id), LOST)).await
    };
    let delete = b.ask(bodiless(Method::DELETE, Some(&id)));
    let (deleted, lost) = join(delete, lost).await;
    assert_eq!([deleted.status.as_u16(), lost.status.as_u16()], [204, 404]);
    assert!(store.is_empty());
    assert_eq!([a.ping(&id).await, b.ping(&id).await], [404, 404]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_ends_a_session_everywhere_although_a_drain_hands_it_over_meanwhile() {
    let store = MemoryStore::new();
    let guard = |name| named(&store, name).build().unwrap();
    let a = around_own_ids(guard("a"));
    let draining = guard("b");
    let b = around_own_ids(draining.clone());
    let id = a.open_and_use().await;
    assert_eq!(b.ping(&id).await, 200);
    let drain = async {
        sleep(SECOND / 10).await;
        draining.drain(SECOND / 2).await;
    };
    let delete = b.ask(bodiless(Method::DELETE, Some(&id)));
    let (deleted, ()) = join(delete, drain).await;
    assert_eq!(deleted.status, 204);
    assert!(store.is_empty());
    assert_eq!(a.ping(&id).await, 404);
}
