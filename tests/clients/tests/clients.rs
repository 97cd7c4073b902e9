//! The official TypeScript and Python clients, both major versions of each, against every server.
//!
//! Each client opens a session, lists, calls, reads its stream and ends the session. Then the test
//! ends the session without the client: between calls, during a call and during a stream. No client
//! may hang.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use client_tests::{SERVERS, Server, folder, node, program, python, script_runs_its_story, trial};
use libtest_mimic::{Arguments, Failed};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut servers = Vec::new();
    for (name, example, options) in SERVERS {
        let server = Arc::new(Server::start(example, options));
        servers.push(server.clone());
        // Only quickstart sends a notification on its GET stream by itself.
        let listens = example == "quickstart";
        for version in ["v1", "v2"] {
            let script = ["node/client.mjs", version];
            let server = server.clone();
            let test = format!("the TypeScript client {version} against {name}");
            trials.push(trial(test, node(), move |node| {
                script_runs_its_story(&node, &script, &server, listens)
            }));
        }
        for version in ["v1", "v2"] {
            let server = server.clone();
            let test = format!("the Python client {version} against {name}");
            trials.push(trial(test, python(version), move |python| {
                script_runs_its_story(&python, &["python/client.py"], &server, listens)
            }));
        }
    }
    let quickstart = servers[0].clone();
    let test = "refusals of bodies up to 5 MiB reach a Node client".to_owned();
    trials.push(trial(test, node(), {
        let server = quickstart.clone();
        move |node| send_large_bodies(&node, "node/large_bodies.mjs", &server)
    }));
    let test = "refusals of bodies up to 5 MiB reach a Python client".to_owned();
    trials.push(trial(test, program("python3"), move |python| {
        send_large_bodies(Path::new(python), "python/large_bodies.py", &quickstart)
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(servers);
    conclusion.exit();
}

fn send_large_bodies(program: &Path, script: &str, server: &Server) -> Result<(), Failed> {
    let output = Command::new(program)
        .current_dir(folder())
        .args([script, server.url()])
        .output()?;
    let statuses = String::from_utf8_lossy(&output.stdout).replace(' ', "");
    match statuses.trim() {
        "[400,415,404,400,415,404,413,415,404]" => Ok(()),
        other => Err(format!("{other}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
