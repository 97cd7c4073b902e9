//! The curl lines that examples print, pasted into a shell.

use std::process::Command;

use client_tests::{Server, program, trial};
use libtest_mimic::{Arguments, Failed};

fn main() {
    let programs = program("curl").and(program("sh"));
    let paste = |name: &str, example, lines, expected| {
        trial(name.to_owned(), programs.clone(), move |_| {
            paste(example, lines, expected)
        })
    };
    let trials = vec![
        paste(
            "the curl lines of quickstart open a session, use it and end it",
            "quickstart",
            3,
            &[
                r#"{"id":2,"jsonrpc":"2.0","result":{"content":[{"text":"call 1 of this session","type":"text"}]}}"#,
                "HTTP/1.1 204 No Content",
            ],
        ),
        paste(
            "the curl lines of owners open a session, use it, try it as a stranger and log out",
            "owners",
            4,
            &[
                r#"data: {"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"alice of https://issuer.example"}],"isError":false}}"#,
                "200",
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#,
                "404",
                "1",
            ],
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Checks that the expected lines come in this order. Other lines may come in between.
fn paste(example: &str, count: usize, expected: &[&str]) -> Result<(), Failed> {
    let mut server = Server::start(example, &[]);
    let output = Command::new("sh")
        .arg("-ec")
        .arg(server.curl_lines(count))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().map(str::trim_end);
    for line in expected {
        if !lines.any(|printed| printed == *line) {
            return Err(format!("expected {line}, got:\n{text}").into());
        }
    }
    Ok(())
}
