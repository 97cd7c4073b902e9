//! The report of the official TypeScript and Python clients about a server.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{Server, folder};

/// Runs the story of a client against a server. `listens` says whether the server sends a
/// notification on the GET stream by itself.
///
/// # Errors
///
/// If the report differs from the expected one.
pub fn script_runs_its_story(
    program: &Path,
    script: &[&str],
    server: &Server,
    listens: bool,
) -> Result<(), Failed> {
    let output = Command::new(program)
        .current_dir(folder())
        .args(script)
        .arg(server.url())
        .args(listens.then_some("--listen"))
        .output()?;
    let expected = json!({
        "tools": ["count", "test_simple_text", "wait"],
        "calls": ["call 1 of this session", "call 2 of this session"],
        "heard": listens.then_some("notifications/message"),
        "after_end": 404,
        "deleted": 204,
        "between_calls": "rejected",
        "close": "closed",
        "in_a_call": "rejected",
        "in_a_stream": "rejected",
    });
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(report) if report == expected => Ok(()),
        report => Err(format!(
            "expected {expected}\ngot {report:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}
