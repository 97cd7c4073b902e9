//! Servers with their sessions in a file, killed and restarted under every official client. The
//! session continues, or ends cleanly if the inner service has lost it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use client_tests::driven::{Client, Kind, kinds, within};
use client_tests::raw::Raw;
use client_tests::{Server, example, program, run_story, trial};
use http::Method;
use libtest_mimic::Arguments;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;

fn main() {
    let mut trials = Vec::new();
    for (name, kind) in kinds() {
        let story = format!("{name} does not notice that its server was killed");
        trials.push(trial(story, kind.clone(), |kind| {
            run_story(keeps_session(kind, "durable"))
        }));
        let story =
            format!("{name} does not notice that an rmcp server with restored sessions was killed");
        trials.push(trial(story, kind.clone(), |kind| {
            run_story(keeps_session(kind, "durable_rmcp"))
        }));
        let story = format!("{name} gets an error when a killed rmcp server has lost its sessions");
        trials.push(trial(story, kind, |kind| run_story(gets_error(kind))));
    }
    let story = "a session that rmcp has lost is ended permanently".to_owned();
    trials.push(trial(story, Ok(()), |()| run_story(ended_permanently())));
    let story = "rmcp forgets a session that has ended".to_owned();
    trials.push(trial(story, Ok(()), |()| run_story(forgotten_by_rmcp())));
    let story = "the curl lines of durable use one session across a kill".to_owned();
    let programs = program("curl").and(program("sh"));
    trials.push(trial(story, programs, |_| run_story(pasted())));
    let story = "a full disk refuses only new sessions, and only while it is full".to_owned();
    let programs = program("sh").and(program("prlimit"));
    trials.push(trial(story, programs, |_| run_story(full_disk())));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn keeps_session(kind: Kind, example: &'static str) {
    let machine = Machine::new(example, &[]);
    let mut server = machine.start("0");
    let mut client = Client::start(&kind, server.url());
    let id = client.run("open").await;
    let id = id.as_str().expect("the session has an id");
    assert_eq!(
        client.run_all(["call count", "call count"]).await,
        json!(["call 1 of this session", "call 2 of this session"])
    );
    assert_eq!(
        next_events(&mut server),
        ["a session opened", "a stream opened"]
    );

    for kill in 1..=2 {
        let port = port(&server);
        drop(server); // by SIGKILL
        server = machine.start(&port);
        // The state of the handler is lost, as the documentation says.
        assert_eq!(
            client.run_all(["call count", "call count"]).await,
            json!(["call 1 of this session", "call 2 of this session"])
        );
        // The client reopens its stream, but no session. The Python clients give up a stream that
        // broke off twice.
        if kill == 1 {
            assert_eq!(
                next_events(&mut server),
                ["a session goes on", "a stream opened"]
            );
        } else {
            assert_ne!(next_event(&mut server), "a session opened");
        }
    }
    let raw = Raw::new(server.url(), None);
    assert_eq!(raw.send(&Method::DELETE, id, None).await.status(), 204);
    let port = port(&server);
    drop(server);
    let _server = machine.start(&port);
    let answer = raw.send(&Method::POST, id, None).await;
    assert_eq!(answer.status(), 404);
}

async fn gets_error(kind: Kind) {
    let machine = Machine::new("durable_rmcp", &["forgetful"]);
    let server = machine.start("0");
    let mut client = Client::start(&kind, server.url());
    client.run("open").await;
    assert_eq!(client.run("call count").await, "call 1 of this session");
    let port = port(&server);
    drop(server);
    let _server = machine.start(&port);
    let expected = match kind {
        Kind::Script(..) => "rejected",
        // The Rust client opens another session by itself.
        Kind::Rust => "call 1 of this session",
    };
    assert_eq!(client.run("call count").await, expected);
}

async fn ended_permanently() {
    let machine = Machine::new("durable_rmcp", &["forgetful"]);
    let mut server = machine.start("0");
    let raw = Raw::new(server.url(), None);
    let id = raw.open().await;
    let port = port(&server);
    for _ in 0..2 {
        drop(server);
        server = machine.start(&port);
        let answer = raw.send(&Method::POST, &id, None).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.text().await.expect("the answer is whole"), NOT_FOUND);
    }
    let id = raw.open().await;
    assert_eq!(raw.send(&Method::POST, &id, None).await.status(), 200);
}

async fn forgotten_by_rmcp() {
    let machine = Machine::new("durable_rmcp", &[]);
    let server = machine.start("0");
    let raw = Raw::new(server.url(), None);
    let before = machine.bytes();
    for _ in 0..400 {
        let id = raw.open().await;
        assert_eq!(raw.send(&Method::DELETE, &id, None).await.status(), 204);
    }
    let after = machine.bytes();
    assert!(after <= 2 * before, "from {before} to {after} bytes");
}

async fn pasted() {
    let machine = Machine::new("durable", &[]);
    let mut server = machine.start("0");
    let lines = server.curl_lines(2);
    let (open, call) = lines.split_once('\n').expect("two lines are printed");
    let id = sh(&format!("{open}\necho $SESSION"));
    let port = port(&server);
    drop(server);
    let _server = machine.start(&port);
    assert_eq!(
        sh(&format!("SESSION={id}\n{call}")),
        r#"{"id":2,"jsonrpc":"2.0","result":{"content":[{"text":"call 1 of this session","type":"text"}]}}"#
    );
}

/// The output of a shell for these lines.
fn sh(lines: &str) -> String {
    let output = Command::new("sh").args(["-ec", lines]).output();
    let output = output.expect("the shell runs").stdout;
    let text = String::from_utf8(output).expect("the output is text");
    text.trim_end().to_owned()
}

async fn full_disk() {
    let machine = Machine::new("durable", &[]);
    let file = machine.file();
    // Writes beyond the size limit of the file fail, as on a full disk.
    let limited = "trap '' XFSZ; ulimit -S -f 300; exec \"$@\"";
    let durable = example("durable");
    let durable = durable.to_str().expect("the path is text");
    let server = Server::run(Path::new("sh"), &["-c", limited, "sh", durable, &file, "0"]);
    let raw = Raw::new(server.url(), None);
    let first = raw.open().await;
    let mut opened = 0;
    let refused = loop {
        let answer = raw.initialize().await;
        match answer.status().as_u16() {
            200 => opened += 1,
            _ => break answer,
        }
        // An answer that is not taken would end its session.
        assert!(opened < 2000, "the disk was never full");
        answer.bytes().await.expect("the answer is whole");
    };
    assert!(opened > 10, "{opened}");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(raw.send(&Method::POST, &first, None).await.status(), 200);

    let more = [
        "--fsize=unlimited:",
        "--pid",
        &server.process_id().to_string(),
    ];
    let more = Command::new("prlimit").args(more).status();
    assert!(more.is_ok_and(|status| status.success()));
    let second = within(async {
        while raw.initialize().await.status() != 200 {
            sleep(Duration::from_millis(50)).await;
        }
        raw.open().await
    });
    let second = second.await;
    let port = port(&server);
    drop(server);
    let _server = machine.start(&port);
    for id in [first, second] {
        assert_eq!(raw.send(&Method::POST, &id, None).await.status(), 200);
    }
}

/// A file, and the server that stores its sessions there.
struct Machine {
    folder: TempDir,
    example: &'static str,
    options: &'static [&'static str],
}

impl Machine {
    fn new(example: &'static str, options: &'static [&'static str]) -> Self {
        Self {
            folder: tempfile::tempdir().expect("the folder is created"),
            example,
            options,
        }
    }

    fn start(&self, port: &str) -> Server {
        let file = self.file();
        let mut arguments = vec![&*file, port];
        arguments.extend(self.options);
        Server::start(self.example, &arguments)
    }

    fn file(&self) -> String {
        let file = self.folder.path().join("sessions.redb");
        file.to_str().expect("the path is text").to_owned()
    }

    fn bytes(&self) -> u64 {
        let about = Path::new(&self.file()).metadata();
        about.expect("the file exists").len()
    }
}

fn port(server: &Server) -> String {
    let (_, port) = server.url().rsplit_once(':').expect("the URL has a port");
    port.trim_end_matches("/mcp").to_owned()
}

/// The next two session events that the server prints, sorted.
fn next_events(server: &mut Server) -> [String; 2] {
    let mut events = [next_event(server), next_event(server)];
    events.sort();
    events
}

/// The next session event that the server prints.
fn next_event(server: &mut Server) -> String {
    loop {
        let line = server.line();
        if line.starts_with("a s") {
            return line;
        }
    }
}
