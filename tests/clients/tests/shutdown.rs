//! A shutdown with every official client against `examples/shutdown.rs`: SIGTERM comes during a
//! call, with a stream open.

use std::time::Duration;

use client_tests::driven::{Client, Kind, kinds, within};
use client_tests::raw::{Raw, as_json};
use client_tests::{Server, program, run_story, trial};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use libtest_mimic::Arguments;
use reqwest::Response;
use serde_json::json;
use tokio::time::Instant;

/// The drain in seconds, an argument of the example.
const DRAIN: &str = "3";
/// The limit for the whole shutdown: the drain and five more seconds.
const LIMIT: Duration = Duration::from_secs(8);

fn main() {
    let mut trials = Vec::new();
    for (name, kind) in kinds() {
        let kind = program("sh").and(kind);
        let story = format!("{name} works during a drain and gets an error at its end");
        trials.push(trial(story, kind, |kind| run_story(drain_in_a_call(kind))));
    }
    let story = "a hundred open streams do not delay the shutdown".to_owned();
    let shell = program("sh");
    trials.push(trial(
        story,
        shell,
        |_| run_story(drain_a_hundred_streams()),
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn drain_in_a_call(kind: Kind) {
    let mut server = Server::start("shutdown", &[DRAIN]);
    let mut client = Client::start(&kind, server.url());
    let id = client.run("open").await;
    let id = id.as_str().expect("the session has an id");
    let raw = Raw::new(server.url(), None);
    let stream = raw.send(&Method::GET, id, None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(
        client.run_all(["call count", "begin wait"]).await,
        json!(["call 1 of this session", "begun"])
    );

    server.terminate();
    let until = Instant::now() + LIMIT;
    assert_eq!(server.line(), "draining");
    assert_refuses_to_open(&raw).await;
    assert_eq!(client.run("call count").await, "call 2 of this session");

    within(stream.bytes())
        .await
        .expect("the stream ends cleanly");
    assert_eq!(client.run("finish").await, "rejected");
    assert_eq!(server.exit_code(until).await, Some(0));
    assert_eq!(server.line(), "stopped");
}

/// Checks that the refusal of an opening asks the client to retry after the drain.
async fn assert_refuses_to_open(raw: &Raw) {
    // The example prints that it drains a moment before the drain begins.
    let refused = within(async {
        loop {
            let answer = raw.initialize().await;
            if answer.status() != StatusCode::OK {
                break answer;
            }
        }
    });
    let refused = refused.await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds = refused.headers()["retry-after"].to_str();
    assert!(["1", "2", DRAIN].contains(&seconds.expect("the header is text")));
    let body = as_json(refused).await;
    assert_eq!(
        (&body["id"], &body["error"]["code"]),
        (&json!(7), &json!(-32603))
    );
}

async fn drain_a_hundred_streams() {
    let mut server = Server::start("shutdown", &[DRAIN]);
    let raw = Raw::new(server.url(), None);
    let mut streams = Vec::new();
    for _ in 0..10 {
        let id = raw.open().await;
        for _ in 0..10 {
            let stream = raw.send(&Method::GET, &id, None).await;
            assert_eq!(stream.status(), StatusCode::OK);
            streams.push(stream);
        }
    }
    server.terminate();
    let until = Instant::now() + LIMIT;
    for end in within(join_all(streams.into_iter().map(Response::bytes))).await {
        end.expect("the stream ends cleanly");
    }
    assert_eq!(server.exit_code(until).await, Some(0));
}
