//! Sessions with owners: every official client against `examples/owners.rs`. A token is refreshed,
//! a stranger tries the id, and the owner logs out during a call.

use client_tests::driven::{Client, Kind, kinds, within};
use client_tests::raw::{IN_A_SESSION, Raw, as_json, as_text};
use client_tests::{Server, run_story, trial};
use http::{Method, StatusCode};
use libtest_mimic::{Arguments, Trial};
use serde_json::json;

/// An id in the format of a real one that names no session.
const NEVER_WAS: &str = "6f0cbb1e-58f7-4d55-9a39-7c0a3a3f2b11";

fn main() {
    let mut trials = Vec::new();
    for (name, kind) in kinds() {
        let story = format!("{name} keeps its session from a stranger and loses it by logging out");
        trials.push(trial(story, kind, |kind| run_story(own(kind))));
    }
    let name = "a client without a token is asked for one".to_owned();
    trials.push(Trial::test(name, || run_story(ask_without_a_token())));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn own(kind: Kind) {
    let server = Server::start("owners", &[]);
    let mut client = Client::start(&kind, server.url());
    client.run("token alice-1").await;
    let id = client.run("open").await;
    let id = id.as_str().expect("the session has an id");
    let commands = [
        "call whoami",
        "call count",
        "token alice-2",
        "call whoami",
        "call count",
    ];
    assert_eq!(
        client.run_all(commands).await,
        json!([
            "alice of https://issuer.example",
            "call 1 of this session",
            "alice-2",
            "alice of https://issuer.example",
            "call 2 of this session",
        ])
    );

    let bob = Raw::new(server.url(), Some("bob-1"));
    let bobs = bob.open().await;
    assert_unknown(&bob, id).await;
    assert_eq!(client.run("call count").await, "call 3 of this session");

    let alice = Raw::new(server.url(), Some("alice-1"));
    let stream = alice.send(&Method::GET, id, None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(client.run("begin wait").await, "begun");
    let logout = alice.post_to("/logout").await;
    assert_eq!(as_json(logout).await, 1, "alice had one session");
    assert_eq!(client.run("finish").await, "rejected");
    within(stream.bytes())
        .await
        .expect("the stream ends cleanly");
    assert_unknown(&alice, id).await;
    // The Rust client opens another session by itself.
    assert_eq!(
        client.run("call count").await,
        match kind {
            Kind::Rust => "call 1 of this session",
            Kind::Script(..) => "rejected",
        }
    );
    let answer = bob.send(&Method::POST, &bobs, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

/// Checks that every request with this id is answered like one with an id that never existed.
async fn assert_unknown(who: &Raw, id: &str) {
    for (method, last_event) in IN_A_SESSION {
        let answer = who.send(&method, id, last_event).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method}");
        let unknown = who.send(&method, NEVER_WAS, last_event).await;
        assert_eq!(as_text(answer).await, as_text(unknown).await, "{method}");
    }
}

async fn ask_without_a_token() {
    let server = Server::start("owners", &[]);
    for token in [None, Some("mallory-1")] {
        let answer = Raw::new(server.url(), token).initialize().await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
}
