//! Prepares a request for the inner service (contract row 23, §4.4). The inner service gets a handle in the
//! extensions, its own session id or none, the headers as the guard read them, and exactly the bytes that
//! the guard judged. Only a POST carries a body inward.

use std::mem;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Request};

use super::head::HeadFlags;
use super::span;
use crate::extract::{Content, Guarded, McpMessage};
use crate::guard::settings::Settings;
use crate::protocol::era::Era;
use crate::protocol::headers::{
    LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID, VersionHeader, is_alias, is_alias_of,
};
use crate::session::{Entry, McpSession};

/// Prepares a message of a session.
#[inline]
pub(crate) fn prepare(
    parts: &mut Parts,
    entry: &Arc<Entry>,
    message: McpMessage,
    flags: HeadFlags,
) {
    span::record(Some(entry), Some(&message));
    set_inner_session_id(parts, entry, flags);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::Message(message),
    });
}

/// Prepares a GET or DELETE of a session, which carries no message.
pub(crate) fn prepare_stream(parts: &mut Parts, entry: &Arc<Entry>, flags: HeadFlags) {
    span::record(Some(entry), None);
    attach_stream(parts, entry, flags);
    remove_content(&mut parts.headers, flags);
}

/// Attaches a session to a request without a message. Records nothing in the current span, because the
/// guard may have created the request itself.
pub(crate) fn attach_stream(parts: &mut Parts, entry: &Arc<Entry>, flags: HeadFlags) {
    let version = flags.version(&parts.headers);
    let era = Era::legacy(None, version, entry.protocol_version());
    set_inner_session_id(parts, entry, flags);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::NoMessage(era),
    });
}

/// Replaces the session id of a request with that of the inner session, or removes it.
#[inline]
fn set_inner_session_id(parts: &mut Parts, entry: &Entry, flags: HeadFlags) {
    match entry.inner_id() {
        Some(id) => drop(parts.headers.insert(&SESSION_ID, id.clone())),
        None if flags.lacks_session_id => {}
        None => drop(parts.headers.remove(&SESSION_ID)),
    }
    normalize(&mut parts.headers, flags, is_alias);
}

/// Prepares a message in stateless mode. The session header stays unchanged, in every spelling.
pub(crate) fn prepare_stateless(parts: &mut Parts, message: McpMessage, flags: HeadFlags) {
    normalize(&mut parts.headers, flags, |name| {
        is_alias(name) && !is_alias_of(name, SESSION_ID.as_str())
    });
    attach_message(parts, message);
}

/// Prepares a sessionless message. It keeps neither a session id nor `Last-Event-ID`.
pub(crate) fn prepare_modern(parts: &mut Parts, message: McpMessage, flags: HeadFlags) {
    parts.headers.remove(&SESSION_ID);
    parts.headers.remove(&LAST_EVENT_ID);
    normalize(&mut parts.headers, flags, is_alias);
    attach_message(parts, message);
}

fn attach_message(parts: &mut Parts, message: McpMessage) {
    span::record(None, Some(&message));
    parts.extensions.insert(Guarded {
        content: Content::Message(message),
        ..Guarded::default()
    });
}

/// Prepares a CORS preflight, which belongs to no session and has no body. The extractors see that the guard
/// handled it.
pub(crate) fn prepare_preflight(parts: &mut Parts) {
    remove_where(&mut parts.headers, |name| {
        is_content_field(name) || is_framing_field(name) || is_mcp(name) || is_alias(name)
    });
    parts.headers.remove(&LAST_EVENT_ID);
    parts.extensions.insert(Guarded::default());
}

/// Sets the fields about the body, which has arrived whole and has `length` bytes. `flags` are those of the
/// same request.
#[inline]
pub(crate) fn set_framing(parts: &mut Parts, flags: HeadFlags, length: usize, settings: &Settings) {
    if length > SURELY_BELOW_ANY_LIMIT {
        raise_body_limit(&mut parts.extensions, settings);
    }
    if flags.describes_framing {
        for name in FRAMING {
            parts.headers.remove(name);
        }
    }
    if flags.length != Some(length as u64) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Raises axum's own body limit (2 MB by default), because its extractors would reject a body that the guard
/// accepted. A limit that is set inside the guard wins.
#[cold]
fn raise_body_limit(extensions: &mut Extensions, settings: &Settings) {
    let mut request = Request::new(());
    mem::swap(request.extensions_mut(), extensions);
    DefaultBodyLimit::max(settings.body_limit).apply(&mut request);
    mem::swap(request.extensions_mut(), extensions);
}

/// Writes the version header as one line, as the guard read it, and removes each field whose name
/// `is_alias` accepts.
#[inline]
fn normalize(headers: &mut HeaderMap, flags: HeadFlags, is_alias: fn(&str) -> bool) {
    if flags.is_ambiguous {
        remove_where(headers, is_alias);
        write_one_version(headers);
    }
}

fn write_one_version(headers: &mut HeaderMap) {
    let version = match VersionHeader::read(headers) {
        VersionHeader::Named(version) => HeaderValue::from_bytes(version).ok(),
        VersionHeader::Absent | VersionHeader::Conflicting => None,
    };
    match version {
        Some(version) => drop(headers.insert(&PROTOCOL_VERSION, version)),
        None => drop(headers.remove(&PROTOCOL_VERSION)),
    }
}

/// Removes the fields about a body from a request without one. Otherwise hyper's client sends the
/// `Content-Length` but no bytes, and the server reads the next request on the connection as the body.
#[inline]
fn remove_content(headers: &mut HeaderMap, flags: HeadFlags) {
    if flags.describes_content || flags.describes_framing {
        remove_where(headers, |name| {
            is_content_field(name) || is_framing_field(name)
        });
    }
}

#[cold]
fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let names = headers.keys().filter(|name| is_removed(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_content_field(name: &str) -> bool {
    name.starts_with("content-")
}

fn is_framing_field(name: &str) -> bool {
    FRAMING.iter().any(|framing| name == framing.as_str())
}

/// The fields that say how a body is sent, besides its length.
const FRAMING: [HeaderName; 3] = [TRANSFER_ENCODING, TRAILER, EXPECT];
/// The longest body, in bytes, for which the guard does not raise axum's limit. No limit is this small, and
/// raising it makes a small message 2 % more expensive.
const SURELY_BELOW_ANY_LIMIT: usize = 64 << 10;

/// Returns whether this is a name of the protocol, with any character for the hyphen.
fn is_mcp(name: &str) -> bool {
    name.strip_prefix("mcp")
        .is_some_and(|rest| rest.starts_with(|sign: char| !sign.is_ascii_alphanumeric()))
}
