//! The guard's reader of event streams finds the same messages as `eventsource-stream`, wherever
//! the bytes are cut. The first byte of the input is the size of a piece.
#![no_main]

use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use libfuzzer_sys::fuzz_target;
use mcp_session_guard::fuzzing::read_events;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    // The oracle refuses text that is not UTF-8, panics on a byte order mark, and takes a lone CR
    // for the end of a line only if it sees the next byte.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.starts_with('\u{feff}') {
        return;
    }
    let text = text.replace('\r', "\n");
    let chunk = usize::from(*cut).max(1);

    let read = read_events(text.as_bytes().chunks(chunk));
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(text.as_bytes().to_vec())]);
    let events = whole.eventsource().collect::<Vec<_>>().now_or_never();
    let oracle: Vec<_> = events
        .expect("the stream is ready")
        .into_iter()
        .flatten()
        .filter(|event| event.event == "message")
        .map(|event| event.data)
        .collect();
    assert_eq!(read, oracle, "{text:?}");
});
