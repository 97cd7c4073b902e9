//! The three lines that quickstart prints, pasted into a shell.

use std::process::Command;

use client_tests::{Server, program, trial};
use libtest_mimic::{Arguments, Failed};

fn main() {
    let programs = program("curl").and(program("sh"));
    let name = "the curl lines of quickstart open a session, use it and end it";
    let trials = vec![trial(name.to_owned(), programs, |_| paste())];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn paste() -> Result<(), Failed> {
    let mut server = Server::start("quickstart", &[]);
    let output = Command::new("sh")
        .arg("-ec")
        .arg(server.curl_lines(3))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let expected = [
        r#"{"id":2,"jsonrpc":"2.0","result":{"content":[{"text":"call 1 of this session","type":"text"}]}}"#,
        "HTTP/1.1 204 No Content",
    ];
    let mut lines = text.lines();
    for line in expected {
        if lines.next().map(str::trim_end) != Some(line) {
            return Err(format!("expected {line}, got:\n{text}").into());
        }
    }
    Ok(())
}
