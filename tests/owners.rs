//! Owners: strangers, refreshed tokens, limits per owner, scopes.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use http::request::Parts;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::{EndReason, McpSession, Owner, SessionGuardBuilder, SessionGuardLayer};
use proptest::prelude::*;
use tokio::time::sleep;

use support::{Answer, INITIALIZE, PING, TestServer, UNKNOWN, bodiless, post, session_id};

/// The claims that an authentication layer puts into the extensions. Only the token changes.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Claims {
    issuer: &'static str,
    subject: &'static str,
    client: &'static str,
    token: u32,
}

const ALICE: Claims = Claims {
    issuer: "https://login.example",
    subject: "alice",
    client: "app",
    token: 1,
};
const BOB: Claims = Claims {
    subject: "bob",
    ..ALICE
};

fn owned() -> SessionGuardBuilder {
    SessionGuardLayer::builder().owner_from_extension(|claims: &Claims| {
        Owner::from_issuer_subject(claims.issuer, claims.subject)
    })
}

fn by(claims: impl Into<Option<Claims>>, mut request: Request<Body>) -> Request<Body> {
    if let Some(claims) = claims.into() {
        request.extensions_mut().insert(claims);
    }
    request
}

async fn open(server: &TestServer, claims: impl Into<Option<Claims>>) -> String {
    let answer = server.ask(by(claims, post(None, INITIALIZE))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = session_id(&answer.headers);
    id.to_owned()
}

async fn ping(server: &TestServer, claims: impl Into<Option<Claims>>, id: &str) -> u16 {
    let answer = server.ask(by(claims, post(Some(id), PING))).await;
    answer.status.as_u16()
}

/// The answers to a caller on every method, as comparable text.
async fn probe(server: &TestServer, claims: Option<&Claims>, id: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for mut request in [
        post(Some(id), PING),
        post(Some(id), INITIALIZE),
        bodiless(Method::GET, Some(id)),
        bodiless(Method::GET, Some(id)),
        bodiless(Method::DELETE, Some(id)),
    ] {
        if answers.len() == 3 {
            let value = "7".parse().unwrap();
            request.headers_mut().insert("last-event-id", value);
        }
        let Answer {
            status,
            headers,
            body,
        } = server.ask(by(claims.cloned(), request)).await;
        answers.push(format!("{status} {headers:?} {body:?}"));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_the_same_bytes_as_for_an_unknown_id_and_the_session_lives() {
    let server = TestServer::build(owned());
    let id = open(&server, ALICE).await;
    server.inner.clear();
    let session = server.sessions.get(&id).unwrap();
    sleep(Duration::from_secs(60)).await;
    for stranger in [
        Some(BOB),
        None,
        Some(Claims {
            issuer: "https://other.example",
            ..ALICE
        }),
    ] {
        let real = probe(&server, stranger.as_ref(), &id).await;
        assert_eq!(real, probe(&server, stranger.as_ref(), UNKNOWN).await);
        assert!(real[0].starts_with("404"), "{}", real[0]);
    }
    assert_eq!(server.inner.count(), 0);
    assert_eq!(session.in_flight(), 0);
    assert_eq!(
        session.idle(),
        Duration::from_secs(60),
        "a stranger does not refresh the clock"
    );
    assert_eq!(ping(&server, ALICE, &id).await, 200);
}

#[tokio::test]
async fn a_refreshed_token_of_the_same_user_keeps_the_session() {
    let server = TestServer::build(owned());
    let id = open(&server, ALICE).await;
    let refreshed = Claims {
        token: 2,
        client: "other app",
        ..ALICE
    };
    assert_eq!(ping(&server, refreshed.clone(), &id).await, 200);
    let answer = by(refreshed, bodiless(Method::DELETE, Some(&id)));
    assert_eq!(server.ask(answer).await.status, 204);
}

#[tokio::test]
async fn an_anonymous_session_matches_anonymous_callers_only() {
    let server = TestServer::build(owned());
    let id = open(&server, None).await;
    assert_eq!(server.sessions.get(&id).unwrap().owner(), None);
    assert_eq!(ping(&server, ALICE, &id).await, 404);
    assert_eq!(ping(&server, None, &id).await, 200);
}

proptest! {
    #[test]
    fn only_equal_issuer_and_subject_share_a_session(
        opener in any_claims(), other in any_claims()
    ) {
        let same = match (&opener, &other) {
            (None, None) => true,
            (Some(a), Some(b)) => (a.issuer, a.subject) == (b.issuer, b.subject),
            _ => false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let status = runtime.block_on(async {
            let server = TestServer::build(owned());
            let id = open(&server, opener).await;
            ping(&server, other, &id).await
        });
        prop_assert_eq!(status, if same { 200 } else { 404 });
    }
}

fn any_claims() -> impl Strategy<Value = Option<Claims>> {
    let word = || prop::sample::select(vec!["a", "ab", "b", "a b", " "]);
    let claims = (word(), word(), word(), any::<u32>());
    prop::option::weighted(
        0.8,
        claims.prop_map(|(issuer, subject, client, token)| Claims {
            issuer,
            subject,
            client,
            token,
        }),
    )
}

#[test]
fn owners_whose_texts_concatenate_alike_differ() {
    assert_ne!(
        Owner::from_issuer_subject("a", "bc"),
        Owner::from_issuer_subject("ab", "c")
    );
    assert_ne!(Owner::from_issuer_subject("a", "b"), Owner::new("b of a"));
    assert_ne!(Owner::from_issuer_subject("", "b"), Owner::new("b"));
    assert_eq!(
        Owner::from_issuer_subject("https://login.example", "alice").to_string(),
        "alice of https://login.example"
    );
}

#[tokio::test]
async fn the_resolver_runs_once_for_each_request() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let guard = SessionGuardLayer::builder().owner(move |_: &Parts| -> Result<_, BoxError> {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Owner::new("one")))
    });
    let server = TestServer::build(guard);
    let id = open(&server, None).await;
    ping(&server, None, &id).await;
    ping(&server, None, UNKNOWN).await;
    let get = server.send(bodiless(Method::GET, Some(&id))).await;
    drop(get);
    server.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(runs.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn handlers_see_the_owner_of_the_session() {
    let server = TestServer::build(owned());
    let id = open(&server, ALICE).await;
    ping(&server, ALICE, &id).await;
    let seen = server.inner.calls();
    let owner = |session: &Option<McpSession>| session.as_ref()?.owner().cloned();
    let alice = Owner::from_issuer_subject("https://login.example", "alice");
    assert!(
        seen.iter()
            .all(|seen| owner(&seen.session).as_ref() == Some(&alice))
    );
    assert_eq!(alice.issuer(), Some("https://login.example"));
    assert_eq!(alice.subject(), "alice");
}

#[tokio::test(start_paused = true)]
async fn a_session_beyond_the_owners_limit_evicts_the_owners_longest_idle_session() {
    let server = TestServer::build(owned().max_sessions_per_owner(3));
    let other = open(&server, BOB).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        ids.push(open(&server, ALICE).await);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ping(&server, ALICE, &ids[0]).await, 200);
    let oldest = server.sessions.get(&ids[1]).unwrap();
    let fourth = open(&server, ALICE).await;
    assert_eq!(oldest.end_reason(), Some(EndReason::Evicted));
    for id in [&ids[0], &ids[2], &fourth] {
        assert_eq!(ping(&server, ALICE, id).await, 200);
    }
    assert_eq!(ping(&server, BOB, &other).await, 200);
    // Anonymous sessions do not count.
    for _ in 0..5 {
        open(&server, None).await;
    }
    assert_eq!(server.sessions.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn an_opening_is_503_while_all_sessions_of_its_owner_are_in_use() {
    let server = TestServer::build(owned().max_sessions_per_owner(2));
    let mut streams = Vec::new();
    for _ in 0..2 {
        let id = open(&server, ALICE).await;
        let get = by(ALICE, bodiless(Method::GET, Some(&id)));
        streams.push(server.send(get).await);
    }
    let refused = server.ask(by(ALICE, post(None, INITIALIZE))).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(refused.json()["error"]["code"], -32603);
    assert_eq!(refused.json()["id"], 0);
    assert_eq!(server.sessions.len(), 2);
    drop(streams.pop());
    open(&server, ALICE).await;
    assert_eq!(server.sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_owner_at_its_limit_evicts_no_session_of_another_owner() {
    let server = TestServer::build(owned().max_sessions_per_owner(1).max_sessions(2));
    let never_used = open(&server, BOB).await;
    let id = open(&server, ALICE).await;
    let stream = server
        .send(by(ALICE, bodiless(Method::GET, Some(&id))))
        .await;
    let refused = server.ask(by(ALICE, post(None, INITIALIZE))).await;
    assert_eq!(refused.status, 503);
    assert_eq!(ping(&server, BOB, &never_used).await, 200);
    drop(stream);
}

#[tokio::test]
async fn a_hundred_openings_of_one_owner_at_once_never_exceed_its_limit() {
    let server = TestServer::build(owned().max_sessions_per_owner(5));
    let openings: Vec<_> = (0..100)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.ask(by(ALICE, post(None, INITIALIZE))).await.status })
        })
        .collect();
    for opening in openings {
        let status = opening.await.unwrap();
        assert!(status == 200 || status == 503, "{status}");
        assert!(server.sessions.len() <= 5);
    }
    for id in 0..7 {
        let opened = server.ask(by(ALICE, post(None, INITIALIZE))).await;
        assert_eq!(opened.status, 200, "opening {id}");
    }
    assert_eq!(server.sessions.len(), 5);
}

#[tokio::test]
async fn ending_an_owner_ends_its_sessions_and_streams_and_no_others() {
    let server = TestServer::build(owned());
    let mut streams = Vec::new();
    let mut ids = Vec::new();
    for claims in [ALICE, ALICE, BOB] {
        let id = open(&server, claims.clone()).await;
        let get = by(claims, bodiless(Method::GET, Some(&id)));
        streams.push(server.send(get).await.into_body());
        ids.push(id);
    }
    let alice = Owner::from_issuer_subject("https://login.example", "alice");
    assert_eq!(server.sessions.end_owner(&alice), 2);
    assert!(streams[0].frame().await.is_none());
    assert!(streams[1].frame().await.is_none());
    let pause = Duration::from_millis(20);
    assert!(
        tokio::time::timeout(pause, streams[2].frame())
            .await
            .is_err()
    );
    assert_eq!(ping(&server, ALICE, &ids[0]).await, 404);
    assert_eq!(ping(&server, ALICE, &ids[1]).await, 404);
    assert_eq!(ping(&server, BOB, &ids[2]).await, 200);
    assert_eq!(server.sessions.end_owner(&alice), 0);
    assert_eq!(server.sessions.end_all(), 1);
}

#[tokio::test]
async fn a_session_that_is_opening_is_revoked_with_the_others() {
    let (guard, gate) = (
        owned().build().unwrap(),
        Arc::new(tokio::sync::Notify::new()),
    );
    let opened = gate.clone();
    let handler = async move || {
        opened.notified().await;
        support::json_response(200, &support::initialize_result(&0.into()))
    };
    let app = axum::Router::new().route("/mcp", axum::routing::post(handler));
    let server = TestServer::around_app(guard, app);
    let opening = tokio::spawn({
        let server = server.clone();
        async move { server.ask(by(ALICE, post(None, INITIALIZE))).await }
    });
    let alice = Owner::from_issuer_subject("https://login.example", "alice");
    while server.sessions.end_owner(&alice) == 0 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let answer = opening.await.unwrap();
    assert!(!answer.headers.contains_key("mcp-session-id"), "{answer:?}");
    assert!(server.sessions.is_empty());
}

#[tokio::test]
async fn an_id_of_one_scope_is_unknown_in_the_other() {
    let files = SessionGuardLayer::builder().scope("files").build().unwrap();
    let mail = SessionGuardLayer::with_sessions(&files.sessions()).scope("mail");
    let (files, mail) = (TestServer::new(files), TestServer::build(mail));
    let id = open(&files, None).await;
    assert_eq!(
        probe(&mail, None, &id).await,
        probe(&mail, None, UNKNOWN).await
    );
    assert_eq!(mail.inner.count(), 0);
    assert_eq!(ping(&files, None, &id).await, 200);
    let other = open(&mail, None).await;
    assert_eq!(ping(&mail, None, &other).await, 200);
    assert_eq!(ping(&files, None, &other).await, 404);
    assert_eq!(mail.sessions.len(), 2);
    assert_eq!(mail.sessions.get(&id).unwrap().scope(), "files");
    assert_eq!(files.sessions.get(&other).unwrap().scope(), "mail");
    assert_eq!(mail.sessions.end_all(), 2);
}

#[tokio::test]
async fn guards_that_share_their_sessions_share_the_limit_and_the_owners() {
    let files = owned().max_sessions_per_owner(2).build().unwrap();
    let mail = SessionGuardLayer::with_sessions(&files.sessions())
        .scope("mail")
        .owner_from_extension(|claims: &Claims| {
            Owner::from_issuer_subject(claims.issuer, claims.subject)
        });
    let (files, mail) = (TestServer::new(files), TestServer::build(mail));
    let first = open(&files, ALICE).await;
    open(&mail, ALICE).await;
    open(&mail, ALICE).await;
    assert_eq!(ping(&files, ALICE, &first).await, 404);
    assert_eq!(files.sessions.len(), 2);
    let alice = Owner::from_issuer_subject("https://login.example", "alice");
    assert_eq!(files.sessions.end_owner(&alice), 2);
}
