//! The message reader compared with other JSON readers: `cargo bench -p client-tests --bench
//! reader`.
//!
//! The candidates take turns, so that other load hits all of them. Each figure is the median of
//! many turns. The reader does all checks of the contract (rows 12 to 14). The others check only
//! the grammar, and `IgnoredAny` does not check surrogates. The last bodies are the most expensive
//! ones for this reader: escaped keys. They are compared with one plain string of the same size,
//! whose cost per byte counts as 1.
#![allow(clippy::disallowed_types)] // paused time measures nothing

use std::hint::black_box;
use std::time::Instant;

use mcp_session_guard::fuzzing::is_message;
use serde::de::IgnoredAny;
use serde_json::Value;

type Body = (&'static str, Vec<u8>);
type Candidate = (&'static str, fn(&[u8]) -> bool);

const CANDIDATES: [Candidate; 4] = [
    ("this reader", is_message),
    ("Value", |body| {
        serde_json::from_slice::<Value>(body).is_ok()
    }),
    ("IgnoredAny", |body| {
        serde_json::from_slice::<IgnoredAny>(body).is_ok()
    }),
    ("UTF-8 alone", |body| std::str::from_utf8(body).is_ok()),
];

fn main() {
    println!(
        "{:32} {:>8}  ns of each candidate, and of `Value` for one of this reader",
        "body", "bytes"
    );
    show(bodies(), |_| String::new());
    let mut plain = None;
    show(large_bodies(), |cost| {
        format!("  a byte costs {:>4.1}", cost / *plain.get_or_insert(cost))
    });
}

/// Prints the figures of each body. `remark` gets the ns per byte of this reader.
fn show(bodies: Vec<Body>, mut remark: impl FnMut(f64) -> String) {
    for (name, body) in bodies {
        let medians = CANDIDATES.map(|(_, read)| {
            assert!(read(&body), "{name}");
            Vec::new()
        });
        let medians = measure(&body, medians);
        let figures: Vec<_> = CANDIDATES
            .iter()
            .zip(medians)
            .map(|((candidate, _), median)| format!("{candidate} {median:>7.0}"))
            .collect();
        let ratio = medians[1] / medians[0];
        println!(
            "{name:32} {:>8}  {}  {ratio:>5.1} x{}",
            body.len(),
            figures.join("  "),
            remark(medians[0] / body.len() as f64)
        );
    }
}

/// The median time of one call of each candidate, in ns.
fn measure(body: &[u8], mut turns: [Vec<f64>; CANDIDATES.len()]) -> [f64; CANDIDATES.len()] {
    // Long enough for the clock, and short enough for a thousand turns.
    let calls = (100_000 / body.len()).clamp(1, 200);
    for _ in 0..(MOST_BYTES / body.len()).clamp(101, TURNS) {
        for (times, (_, read)) in turns.iter_mut().zip(CANDIDATES) {
            let start = Instant::now();
            for _ in 0..calls {
                black_box(read(black_box(body)));
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / calls as f64);
        }
    }
    turns.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn bodies() -> Vec<Body> {
    let call = |arguments: &str| {
        let head = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"_meta":{"progressToken":17},"name":"read_file","arguments":"#;
        format!("{head}{arguments}}}}}").into_bytes()
    };
    let string = |piece: &str, len: usize| {
        let text = piece.repeat(len / piece.len());
        call(&format!(r#"{{"text":"{text}"}}"#))
    };
    let small_keys: Vec<_> = (0..)
        .map(|key| format!(r#""k{key}":{key}"#))
        .take(1_400)
        .collect();
    vec![
        ("call", call(r#"{"path":"src/main.rs","limit":50}"#)),
        ("1 KiB, one string", string(ENGLISH, 900)),
        ("16 KiB, one string", string(ENGLISH, 16 << 10)),
        ("256 KiB, one string", string(ENGLISH, 256 << 10)),
        ("256 KiB, one string, German", string(GERMAN, 256 << 10)),
        ("256 KiB, one string, Chinese", string(CHINESE, 256 << 10)),
        ("16 KiB, many escapes", string(ESCAPED, 16 << 10)),
        (
            "16 KiB, many small keys",
            call(&format!("{{{}}}", small_keys.join(","))),
        ),
    ]
}

/// Bodies of 1 MiB. The message object itself may have at most 64 keys.
fn large_bodies() -> Vec<Body> {
    let call = |name: &str, text: &str| {
        let params = match name {
            "_meta" => format!(r#""name":"x","_meta":{{{text}}}"#),
            "params" => format!(r#""name":"x",{text}"#),
            _ => format!(r#""name":"x","arguments":{{{text}}}"#),
        };
        let head = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":"#;
        format!("{head}{{{params}}}}}").into_bytes()
    };
    let fill = |piece: &str| {
        let text = piece.repeat(MIB / piece.len());
        text.trim_end_matches(',').to_owned()
    };
    let long_key = fill(r"\u006b");
    vec![
        (
            "1 MiB, one string",
            call("arguments", &format!(r#""text":"{}""#, fill(ENGLISH))),
        ),
        ("1 MiB, small keys", call("arguments", &fill(r#""k":0,"#))),
        (
            "1 MiB, escaped keys",
            call("arguments", &fill(r#""\u006b":0,"#)),
        ),
        (
            "1 MiB, shortest escaped keys",
            call("arguments", &fill(r#""\n":0,"#)),
        ),
        (
            "1 MiB, escaped keys in params",
            call("params", &fill(r#""\u006b":0,"#)),
        ),
        (
            "1 MiB, escaped keys in _meta",
            call("_meta", &fill(r#""\u006b":0,"#)),
        ),
        (
            "1 MiB, keys of kelvins in params",
            call(
                "params",
                &fill(&format!(r#""{}":0,"#, r"\u212a".repeat(39))),
            ),
        ),
        (
            "1 MiB, one escaped key in params",
            call("params", &format!(r#""{long_key}":0"#)),
        ),
    ]
}

const MIB: usize = 1 << 20;
const ENGLISH: &str = "The quick brown fox jumps over the lazy dog. ";
const GERMAN: &str = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ";
const CHINESE: &str = "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。";
const ESCAPED: &str = r#"let path = \"a\\b\";\n\t"#;
const TURNS: usize = 1_001;
/// A body above this total of bytes gets fewer turns.
const MOST_BYTES: usize = 256 << 20;
