//! The official conformance suite against quickstart at every revision with sessions, and against
//! both_eras at the last of these and at the first sessionless one.
//!
//! The suite exits 0 for a skipped scenario. So each verdict is read from the result file: at least
//! one success, and no check that failed, warned or was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use client_tests::{Server, node, node_script, trial};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;

/// Example, revision, scenarios.
const SCENARIOS: [(&str, &str, &[&str]); 5] = [
    ("quickstart", "2025-03-26", &["server-session-lifecycle"]),
    (
        "quickstart",
        "2025-06-18",
        &[
            "server-session-lifecycle",
            "server-initialize",
            "ping",
            "tools-list",
            "tools-call-simple-text",
        ],
    ),
    (
        "quickstart",
        "2025-11-25",
        &[
            "server-session-lifecycle",
            "server-initialize",
            "ping",
            "tools-list",
            "tools-call-simple-text",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
        ],
    ),
    (
        "both_eras",
        "2025-11-25",
        &["server-session-lifecycle", "dns-rebinding-protection"],
    ),
    (
        "both_eras",
        "2026-07-28",
        &[
            "server-stateless",
            "http-header-validation",
            "dns-rebinding-protection",
        ],
    ),
];

fn main() {
    let arguments = Arguments::from_args();
    let servers =
        ["quickstart", "both_eras"].map(|name| (name, Arc::new(Server::start(name, &[]))));
    let mut trials = Vec::new();
    for (example, version, scenarios) in SCENARIOS {
        for scenario in scenarios {
            let (_, server) = servers
                .iter()
                .find(|(name, _)| *name == example)
                .expect("started");
            let server = server.clone();
            let name = format!("{example} passes {scenario} at {version}");
            trials.push(trial(name, node(), move |node| {
                run(&node, server.url(), scenario, version)
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(servers);
    conclusion.exit();
}

fn run(node: &Path, url: &str, scenario: &str, version: &str) -> Result<(), Failed> {
    let results = env::temp_dir().join(format!(
        "conformance-{}-{scenario}-{version}",
        std::process::id()
    ));
    let output = Command::new(node)
        .arg(node_script("conformance"))
        .args([
            "server",
            "--url",
            url,
            "--scenario",
            scenario,
            "--spec-version",
            version,
            "-o",
        ])
        .arg(&results)
        .output()?;
    let verdict = judge(&results);
    let _ = fs::remove_dir_all(&results);
    match (output.status.success(), verdict) {
        (true, Ok(())) => Ok(()),
        (_, verdict) => Err(format!(
            "{}\n{}\n{}",
            verdict.err().unwrap_or_default(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        )
        .into()),
    }
}

fn judge(results: &Path) -> Result<(), String> {
    let file = checks_file(results).ok_or("the suite wrote no result: the scenario did not run")?;
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let checks: Vec<Value> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let count = |status: &str| {
        checks
            .iter()
            .filter(|check| check["status"] == status)
            .count()
    };
    let (passed, informed) = (count("SUCCESS"), count("INFO"));
    match passed > 0 && passed + informed == checks.len() {
        true => Ok(()),
        false => Err(format!(
            "{passed} of {} checks passed: {checks:#?}",
            checks.len()
        )),
    }
}

/// The suite writes `<results>/<scenario and time>/checks.json`.
fn checks_file(results: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(results).ok()?;
    folders
        .flatten()
        .map(|folder| folder.path().join("checks.json"))
        .find(|file| file.exists())
}
