//! Opens the readers to the fuzz targets and benchmarks. Not part of the public API.
#![allow(missing_docs, missing_debug_implementations)]

use std::borrow::Cow;

use crate::protocol::message::{self, Bounds, Claim, MessageKind};
use crate::protocol::sse::EventReader;

pub struct ReadMessage {
    pub kind: MessageKind,
    pub method: Option<String>,
    pub id: Option<String>,
    pub claimed_version: Option<String>,
    pub name: Option<String>,
    pub uri: Option<String>,
}

/// Reads a request body as the guard does. Returns `None` if the guard refuses it.
pub fn read_message(body: &[u8]) -> Option<ReadMessage> {
    read_within(body, Bounds::for_requests(64))
}

/// Reads a request body as a guard that accepts lone surrogates does.
pub fn read_message_with_lone_surrogates(body: &[u8]) -> Option<ReadMessage> {
    read_within(body, Bounds::for_requests(64).with_lone_surrogates(true))
}

fn read_within(body: &[u8], bounds: Bounds) -> Option<ReadMessage> {
    let message = message::read(body, bounds).ok()?;
    Some(ReadMessage {
        kind: message.kind,
        name: message.name().map(text),
        uri: message.uri().map(text),
        method: message.method.map(text),
        id: message.id.map(|id| text(id.into())),
        claimed_version: match message.claim {
            Claim::Text(version) => Some(version.into()),
            Claim::Absent | Claim::NotText => None,
        },
    })
}

fn text(bytes: Cow<'_, [u8]>) -> String {
    String::from_utf8(bytes.into_owned()).expect("all of a message is text")
}

/// Returns the data of the message events in a stream that arrives in these pieces.
pub fn read_events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut reader = EventReader::default();
    let mut messages = Vec::new();
    for piece in pieces {
        reader.push(piece, |data| {
            messages.push(String::from_utf8_lossy(data).into_owned());
        });
    }
    messages
}

/// Returns whether the guard accepts a body. Copies nothing.
pub fn is_message(body: &[u8]) -> bool {
    std::hint::black_box(message::read(body, Bounds::for_requests(64))).is_ok()
}
