//! Reads the name and version of a client.

use std::borrow::Cow;
use std::sync::Arc;

use crate::promises::MAX_CLIENT_TEXT;
use crate::protocol::message::Message;
use crate::session::{Client, Registry};

/// Returns the name and version of the client, cleaned so that they can be stored and shown.
pub(crate) fn client(message: &Message<'_>, registry: &Registry) -> Arc<Client> {
    let name = message.client_name().map(clean);
    let version = message.client_version().map(clean);
    registry.client(name.as_deref(), version.as_deref())
}

/// Cuts a text to the length that a session stores, and replaces control characters.
fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_CLIENT_TEXT && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
    let mut clean = String::new();
    for letter in text.chars() {
        let letter = if letter.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            letter
        };
        if clean.len() + letter.len_utf8() > MAX_CLIENT_TEXT {
            break;
        }
        clean.push(letter);
    }
    clean.into()
}
