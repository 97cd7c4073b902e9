//! `examples/cluster` with every official client: one of its two nodes is killed, and the client
//! keeps its session.

use client_tests::driven::{Client, Kind, kinds, within};
use client_tests::raw::Raw;
use client_tests::redis::{Redis, free_port, redis_server, url};
use client_tests::{Server, program, run_story, signal, trial};
use http::{Method, StatusCode};
use libtest_mimic::Arguments;
use serde_json::Value;

fn main() {
    let mut trials = Vec::new();
    for killed in ["one", "two"] {
        for (name, kind) in kinds() {
            let kind = redis_server().and(program("sh")).and(kind);
            let story = format!("{name} keeps its session when node {killed} is killed");
            trials.push(trial(story, kind, move |kind| {
                run_story(keeps_session_without(killed, kind))
            }));
        }
    }
    let story = "without a Redis the example prints what it needs".to_owned();
    trials.push(trial(story, Ok(()), |()| {
        let unused = url(free_port());
        let (code, errors) = Server::fail("cluster", &[("REDIS_URL", &unused)]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("This example needs a Redis"), "{errors}");
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn keeps_session_without(killed: &'static str, kind: Kind) {
    let redis = Redis::start(&[]);
    let mut server = Server::start_with("cluster", &[("REDIS_URL", &redis.url())]);
    let [one, two] = ["one", "two"].map(|name| pid(&mut server, name));
    let mut client = Client::start(&kind, server.url());
    let id = client.run("open").await;
    let id = id.as_str().expect("the session has an id");
    let raw = Raw::new(server.url(), None);
    // The load balancer spreads these streams over both nodes.
    let mut streams = Vec::new();
    for _ in 0..4 {
        let stream = raw.send(&Method::GET, id, None).await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let before = which(&mut client).await;
    assert!(before.contains(&"one".into()) && before.contains(&"two".into()));

    let (pid, left) = match killed {
        "one" => (one, "two"),
        _ => (two, "one"),
    };
    signal("KILL", &pid);
    assert_eq!(server.line(), format!("node {killed} is gone"));
    assert_eq!(which(&mut client).await, [left; 6]);
    let stream = raw.send(&Method::GET, id, None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let ended = raw.send(&Method::DELETE, id, None).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    within(stream.bytes())
        .await
        .expect("the stream ends cleanly");
    assert_eq!(redis.keys(), [b""; 0], "Redis has no key left");
}

/// The nodes that answered six calls.
async fn which(client: &mut Client) -> Vec<Value> {
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(client.run("call which").await);
    }
    answers
}

/// The process id of a node, as the example prints it.
fn pid(server: &mut Server, name: &str) -> String {
    loop {
        let line = server.line();
        if let Some(line) = line.strip_prefix("kill -9 ") {
            let (pid, comment) = line.split_once(' ').expect("a comment follows");
            assert!(comment.ends_with(&format!("node {name}")), "{comment}");
            return pid.to_owned();
        }
    }
}
