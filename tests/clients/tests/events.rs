//! The reader of event streams compared with another reader.

use std::convert::Infallible;

use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use mcp_session_guard::fuzzing::read_events;
use proptest::prelude::*;

/// The messages that another reader finds in the whole stream.
fn oracle(text: &str) -> Vec<String> {
    let whole = stream::iter([Ok::<_, Infallible>(text.as_bytes().to_vec())]);
    let events = whole.eventsource().collect::<Vec<_>>().now_or_never();
    let events = events.expect("the stream is ready").into_iter().flatten();
    events
        .filter(|event| event.event == "message")
        .map(|event| event.data)
        .collect()
}

proptest! {
    #[test]
    fn both_readers_find_the_same_messages(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "", "", "data: a", "data:b", "data", "data:  c", ": comment", "event: message",
                "event: ping", "event", "id: 1", "retry: 5", "dataa: x", "é: x", "data: é",
            ]),
            0..20,
        ),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        piece in 1..9_usize,
    ) {
        let text: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        let messages = read_events(text.as_bytes().chunks(piece));
        prop_assert_eq!(messages, oracle(&text));
    }
}
