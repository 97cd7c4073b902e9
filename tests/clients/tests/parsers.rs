//! Python's `json` and Node's `JSON.parse` read the same kind, method, id, claim, name and uri in
//! every message that the guard accepts, and so do the parsers of Rust. The messages are all seeds
//! of the fuzzer, and random ones. With lone surrogates accepted, only Python and Node are
//! compared.

#[path = "../../../fuzz/agree.rs"]
mod agree;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;

use client_tests::messages::Rng;
use client_tests::{folder, program, trial};
use libtest_mimic::{Arguments, Failed};
use mcp_session_guard::MessageKind;
use mcp_session_guard::fuzzing::{ReadMessage, read_message_with_lone_surrogates};
use serde_json::{Value, json};

const MADE: usize = 40_000;

fn main() {
    let with = |name: &str, program, script: &'static str| {
        trial(name.to_owned(), program, move |program| {
            reads_alike(program, script)
        })
    };
    let trials = vec![
        with(
            "Python's json reads accepted messages like the guard",
            program("python3"),
            "python/parse.py",
        ),
        with(
            "Node's JSON.parse reads accepted messages like the guard",
            program("node"),
            "node/parse.mjs",
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Every accepted message, with the guard's reading of it.
fn accepted_messages() -> Result<Vec<(Vec<u8>, ReadMessage)>, Failed> {
    let seeds = fs::read_dir(folder().join("../../fuzz/seeds/message"))?;
    let mut bodies = seeds
        .map(|seed| fs::read(seed?.path()))
        .collect::<Result<Vec<_>, _>>()?;
    // Sort them, so that they are the same in every run.
    bodies.sort();
    let mut rng = Rng::new(2);
    for made in 0..MADE {
        bodies.push(match made % 4 {
            0 => {
                let mut body = bodies[rng.below(bodies.len())].clone();
                rng.change(&mut body);
                body
            }
            _ => rng.message(),
        });
    }
    let mut with_lone_surrogates = 0;
    let read = |body: Vec<u8>| {
        let read = agree::read_alike(&body).or_else(|| {
            let read = read_message_with_lone_surrogates(&body)?;
            with_lone_surrogates += 1;
            Some(read)
        });
        read.map(|read| (body, read))
    };
    let bodies: Vec<_> = bodies.into_iter().filter_map(read).collect();
    // Too few accepted messages would prove nothing.
    assert!(bodies.len() > MADE / 10, "{} are accepted", bodies.len());
    assert!(with_lone_surrogates > MADE / 100, "{with_lone_surrogates}");
    let is_large = |(_, read): &&(_, ReadMessage)| {
        let id = read.id.as_deref().and_then(|id| id.parse::<i128>().ok());
        id.is_some_and(|id| id.abs() > 1 << 53)
    };
    let large = bodies.iter().filter(is_large).count();
    assert!(large > MADE / 100, "{large}");
    Ok(bodies)
}

fn reads_alike(program: &str, script: &str) -> Result<(), Failed> {
    let bodies = accepted_messages()?;
    let mut process = Command::new(program)
        .arg(folder().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().ok_or("no input")?;
    let output = process.stdout.take().ok_or("no output")?;
    let lines: String = bodies.iter().map(|(body, _)| hex(body) + "\n").collect();
    // Write and read at the same time, because pipes hold little.
    let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
    let mut seen = BufReader::new(output).lines();
    for (body, read) in &bodies {
        let text = String::from_utf8_lossy(body);
        let line = seen
            .next()
            .ok_or_else(|| format!("{program} refuses {text}"))??;
        let seen: Value = serde_json::from_str(&line)?;
        if !is_same(&seen, read, program == "node") {
            return Err(format!("{program} sees {seen} in {text}").into());
        }
    }
    writer.join().map_err(|_| "the writer panicked")??;
    assert!(process.wait()?.success());
    println!(
        "{}: {} of {MADE} messages are accepted",
        program,
        bodies.len()
    );
    Ok(())
}

fn is_same(seen: &Value, read: &ReadMessage, has_doubles: bool) -> bool {
    let kind = match read.kind {
        MessageKind::Request => "Request",
        MessageKind::Notification => "Notification",
        MessageKind::Response => "Response",
    };
    let id: Value = read
        .id
        .as_deref()
        .map(|id| serde_json::from_str(id).expect("an id is JSON"))
        .unwrap_or_default();
    // JavaScript numbers are doubles.
    let id = match (id.as_f64(), seen["id"].as_f64()) {
        (Some(id), Some(seen_id)) if has_doubles && id == seen_id => seen["id"].clone(),
        _ => id,
    };
    *seen
        == json!({
            "kind": kind,
            "method": read.method,
            "id": id,
            "claim": read.claimed_version,
            "name": read.name,
            "uri": read.uri,
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
