//! Dual-era and legacy clients against every mix of eras of `examples/both_eras.rs`.
//!
//! A dual-era client must work wherever one of its eras is served. A legacy client must get a
//! useful error where only the modern era is served.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use client_tests::{Server, folder, node, python, trial};
use libtest_mimic::{Arguments, Failed};

const SESSIONS: &str = "the service with sessions";
const NO_SESSIONS: &str = "the service without sessions";
/// The text by which clients report that the endpoint serves none of their versions.
const UNSUPPORTED: &str = "Unsupported protocol version";

/// A client, how to run it, and the text that it must print against each mix.
const CLIENTS: [(&str, Run, [&str; 3]); 6] = [
    (
        "the dual-era TypeScript client",
        Run::Node("auto"),
        [SESSIONS, NO_SESSIONS, NO_SESSIONS],
    ),
    (
        "the TypeScript client v2, legacy",
        Run::Node("legacy"),
        [SESSIONS, SESSIONS, UNSUPPORTED],
    ),
    (
        "the TypeScript client v1",
        Run::Node("v1"),
        [SESSIONS, SESSIONS, UNSUPPORTED],
    ),
    (
        "the dual-era Python client",
        Run::Python("v2", "auto"),
        [SESSIONS, NO_SESSIONS, NO_SESSIONS],
    ),
    (
        "the Python client v2, legacy",
        Run::Python("v2", "legacy"),
        [SESSIONS, SESSIONS, UNSUPPORTED],
    ),
    // This client shows only the status.
    (
        "the Python client v1",
        Run::Python("v1", "legacy"),
        [SESSIONS, SESSIONS, "400 Bad Request"],
    ),
];

#[derive(Clone, Copy)]
enum Run {
    Node(&'static str),
    Python(&'static str, &'static str),
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut servers = Vec::new();
    for (place, mix) in ["sessions", "both", "modern"].into_iter().enumerate() {
        let server = Arc::new(Server::start("both_eras", &[mix]));
        servers.push(server.clone());
        for (client, run, expected) in CLIENTS {
            let (program, script) = match run {
                Run::Node(mode) => (node(), ["node/era.mjs", mode]),
                Run::Python(version, mode) => (python(version), ["python/era.py", mode]),
            };
            let server = server.clone();
            trials.push(trial(
                format!("{client} against {mix}"),
                program,
                move |program| ask(program, script, &server, expected[place]),
            ));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(servers);
    conclusion.exit();
}

fn ask(program: PathBuf, script: [&str; 2], server: &Server, expected: &str) -> Result<(), Failed> {
    let output = Command::new(program)
        .current_dir(folder())
        .args(script)
        .arg(server.url())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_error = expected != SESSIONS && expected != NO_SESSIONS;
    match text.contains(expected) && text.starts_with("error: ") == is_error {
        true => Ok(()),
        false => Err(format!(
            "expected {expected}, got {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}
