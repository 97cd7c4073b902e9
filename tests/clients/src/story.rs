//! What the official TypeScript and Python clients tell of a server.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{Server, folder};

/// Has a client play its story against a server, which may speak unasked on its GET stream.
///
/// # Errors
///
/// If it goes otherwise than it should.
pub fn script_plays_its_story(
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
