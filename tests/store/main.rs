//! Sessions in a store: several guards with one store, like several nodes, and a store that fails.
//! Time is paused.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod expiry;
mod inner_ids;
mod lookup;
mod openings;
mod outage;
mod owners;
mod partly;

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use http::request::Parts;
use http::{Method, Request};
use mcp_session_guard::store::{MemoryStore, StoreOptions, conformance};
use mcp_session_guard::{SessionGuardBuilder, SessionGuardLayer};
use tokio::time::sleep;

use support::{INITIALIZE, INITIALIZED, PING, TestServer, bodiless, by, post};

const UNAVAILABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error: the server cannot look up sessions now. Retry later."},"id":1}"#;

fn builder(store: &MemoryStore) -> SessionGuardBuilder {
    SessionGuardLayer::builder().store(store.clone())
}

/// The builder of a node with this name.
fn named(store: &MemoryStore, name: &str) -> SessionGuardBuilder {
    let options = StoreOptions::new(store.clone()).node_name(name);
    SessionGuardLayer::builder().store(options)
}

fn node(store: &MemoryStore) -> TestServer {
    TestServer::build(builder(store))
}

/// A guard around an inner service that answers with `answer`.
fn around(
    guard: SessionGuardBuilder,
    answer: impl Fn(Parts, Bytes) -> Response + Clone + Send + Sync + 'static,
) -> TestServer {
    let handler = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        answer(parts, body)
    };
    TestServer::around(guard.build().unwrap(), handler)
}

async fn open_by(server: &TestServer, user: &str) -> String {
    let answer = server.ask(by(user, post(None, INITIALIZE))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.session_id();
    assert_eq!(
        server
            .ask(by(user, post(Some(&id), INITIALIZED)))
            .await
            .status,
        202
    );
    id
}

async fn ping_by(server: &TestServer, user: &str, id: &str) -> u16 {
    server
        .ask(by(user, post(Some(id), PING)))
        .await
        .status
        .as_u16()
}

async fn ping(server: &TestServer, id: &str) -> u16 {
    server.ping(id).await.as_u16()
}

/// Opens a GET stream.
async fn stream_of(server: &TestServer, id: &str) -> Body {
    let response = server.send(bodiless(Method::GET, Some(id))).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Lets the background tasks finish their pending work.
async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_passes_the_conformance_suite() {
    let store = MemoryStore::new();
    conformance::check(&store, &store.clone()).await;
}
