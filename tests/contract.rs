//! The contract as a table: each line is a request and its answer, written from CONTRACT.md.
//!
//! `cargo test --test contract -- --nocapture the_table` prints the table. Every line also checks
//! that a refused request never reaches the inner service, that a passed request reaches it with
//! equal bytes, and that the live session still works afterwards.
//!
//! The files of `tests/` that test each section of the contract:
//!
//! | section | rule | file |
//! |---|---|---|
//! | 1 | body limit, JSON depth, read deadlines | `contract/options.rs`, `bodies.rs` |
//! | 1 | idle timeout, silent stream, never used, lifetime | `lifecycle/clocks.rs` |
//! | 1 | confirmation of an `initialize` answered by SSE | `openings/event_streams.rs` |
//! | 1 | sessions at once, per owner | `openings/capacity.rs`, `owners.rs` |
//! | 1 | GET streams: open, resumed, not answered | `lifecycle/stream_limits.rs` |
//! | 1 | session id | `openings/ids.rs` |
//! | 1 | invalid settings | `settings.rs` |
//! | 2 | rows 1 to 9: the head | `contract/head.rs`, `mounting.rs`, `wire.rs` |
//! | 2 | row 2: `Host` and `Origin` | `contract/hosts.rs`, `contract/origins.rs` |
//! | 2 | rows 10 to 14: the body | `contract/body.rs`, `bodies.rs`, `wire.rs` |
//! | 2 | rows 15 to 23: the message and its era | `contract/message.rs`, `eras.rs` |
//! | 2 | bytes and fields that no inner service gets | `inward.rs`, `wire.rs` |
//! | 2 | modes: stateless, legacy era refused | `contract/modes.rs`, `eras.rs` |
//! | 2 | report-only | `report_only.rs` |
//! | 3 | refusals: status, code, id, header fields | `contract/check.rs`, `observe/hooks.rs` |
//! | 3 | a body that is not read is dropped | `bodies.rs`, `wire.rs` |
//! | 3 | a refusal refreshes no clock | `lifecycle/clocks.rs`, `report_only.rs` |
//! | 4.1 | a slot is reserved; at the session limit the guard makes room | `openings/capacity.rs` |
//! | 4.2 | the forwarded request | `openings/answers.rs` |
//! | 4.3 | which answers open a session | `openings/answers.rs`, `openings/event_streams.rs`, `openings/warnings.rs` |
//! | 4.4 | ids: the guard's, and the inner service's own | `openings/ids.rs`, `inward.rs` |
//! | 4.5 | an opening that fails leaves nothing | `openings/capacity.rs` |
//! | 4.6 | the data that a session stores | `openings/answers.rs` |
//! | 5 | every end, notified once | `lifecycle/clocks.rs`, `observe/hooks.rs`, `races.rs`, `model.rs` |
//! | 5 | the effect of an end on streams and calls | `lifecycle/streams.rs`, `lifecycle/in_flight.rs` |
//! | 5 | DELETE | `lifecycle/delete.rs` |
//! | 5 | an inner 404 | `lost.rs` |
//! | 5 | the inner DELETE | `inner_delete.rs` |
//! | 5 | answers pass unchanged, except for a few fields | `lifecycle/answers.rs` |
//! | 5 | owner, sessions per owner, scope | `contract/owners.rs`, `owners.rs` |
//! | 5 | drain | `drain.rs` |
//! | 5 | handles, and the state of handlers | `lifecycle/handles.rs` |
//! | 5 | logs, spans, counts | `observe/logs.rs`, `observe/hooks.rs` |
//! | 6 | the modern era, accepted | `contract/modes.rs`, `eras.rs`, `drain.rs` |
//! | 7 | which requests ask the store | `store/lookup.rs` |
//! | 7 | the store does not know the id, fails, or is silent | `store/lookup.rs`, `store/outage.rs` |
//! | 7 | `initialize` and the store | `store/openings.rs` |
//! | 7 | ends on every node, DELETE | `store/ends.rs`, `store/owners.rs`, `nodes.rs` |
//! | 7 | stored, refreshed, handed over | `store/lookup.rs`, `store/expiry.rs` |
//! | 7 | inner services with their own ids | `store/inner_ids.rs` |
//! | 7 | a file, Redis | `clients/tests/file_store.rs`, `clients/tests/killed.rs`, `clients/tests/redis/main.rs` |
//! | all | everything at once: nothing leaks | `soak/main.rs` |

mod support;

#[path = "contract/body.rs"]
mod body;
#[path = "contract/check.rs"]
mod check;
#[path = "contract/head.rs"]
mod head;
#[path = "contract/hosts.rs"]
mod hosts;
#[path = "contract/message.rs"]
mod message;
#[path = "contract/modes.rs"]
mod modes;
#[path = "contract/options.rs"]
mod options;
#[path = "contract/origins.rs"]
mod origins;
#[path = "contract/owners.rs"]
mod owners;

use std::path::Path;

use mcp_session_guard::SessionGuardLayer;
use serde_json::Value;

use check::{Answered, H, J, NOT_FOUND, Sent};
use support::{PING, TestServer, request};

/// All rows in the order of the contract.
fn table() -> Vec<(&'static str, Sent, Answered)> {
    let mut rows: Vec<_> = [
        head::table(),
        hosts::table(),
        origins::table(),
        body::table(),
        message::table(),
        options::table(),
        owners::table(),
        modes::table(),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Sort by the row number. Rows without a number come last.
    rows.sort_by_key(|(name, ..)| name.strip_prefix("row_").map_or("~", |name| &name[..2]));
    rows
}

#[test]
fn the_table() {
    for (name, sent, answered) in table() {
        let text = sent.text().replace('\n', " | ");
        println!(
            "{:<60} {:<120.120} -> {answered}",
            name.replace('_', " "),
            text
        );
    }
}

#[test]
fn every_row_of_the_contract_has_a_line() {
    for row in 1..=23 {
        let prefix = format!("row_{row:02}_");
        assert!(
            table().iter().any(|(name, ..)| name.starts_with(&prefix)),
            "{prefix} is missing"
        );
    }
}

#[test]
fn every_section_of_the_contract_names_existing_files() {
    let lines = include_str!("contract.rs").lines();
    let rows: Vec<_> = lines.filter(|line| line.starts_with("//! | ")).collect();
    for heading in include_str!("../CONTRACT.md").lines() {
        let Some((section, _)) = heading
            .strip_prefix("## ")
            .and_then(|it| it.split_once('.'))
        else {
            continue;
        };
        let row = format!("//! | {section}");
        assert!(rows.iter().any(|line| line.starts_with(&row)), "{heading}");
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for file in rows.iter().flat_map(|line| line.split('`')) {
        assert!(
            !file.ends_with(".rs") || tests.join(file).exists(),
            "{file}"
        );
    }
}

#[tokio::test]
async fn refusals_of_rows_6_and_7_are_byte_identical() {
    let server = TestServer::new(SessionGuardLayer::new());
    let mut answers = Vec::new();
    for id in [
        "unknown",
        "a b",
        "00000000-0000-4000-8000-000000000000",
        &"x".repeat(8192),
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let text = format!("{method} /mcp\n{H}\n{J}\nmcp-session-id: {id}\n\n{PING}");
            let answer = server.ask(request(&text)).await;
            answers.push((answer.status, format!("{:?}", answer.headers), answer.body));
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    let body: Value = serde_json::from_slice(&answers[0].2).unwrap();
    assert_eq!(body["error"]["message"], NOT_FOUND);
}
