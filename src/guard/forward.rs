//! What the inner service gets: the handle in the extensions, its own session id or none, the guard's
//! own reading of the headers, and exactly the bytes that were judged (contract row 23, §4.4). Only a
//! POST carries a body inward.

use std::mem;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Request};

use super::answer::LAST_EVENT_ID;
use super::head::HeadFlags;
use super::span;
use crate::extract::{Content, Guarded, McpMessage};
use crate::guard::settings::Settings;
use crate::protocol::era::Era;
use crate::protocol::headers::{
    PROTOCOL_VERSION, SESSION_ID, VersionHeader, is_alias, is_alias_of,
};
use crate::session::{Entry, McpSession};

/// Makes a message of a session ready for the inner service.
#[inline]
pub(crate) fn prepare(
    parts: &mut Parts,
    entry: &Arc<Entry>,
    message: McpMessage,
    flags: HeadFlags,
) {
    span::record(Some(entry), Some(&message));
    readdress(parts, entry, flags);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::Message(message),
    });
}

/// Makes a request of a session ready that has no message.
pub(crate) fn prepare_stream(parts: &mut Parts, entry: &Arc<Entry>, flags: HeadFlags) {
    span::record(Some(entry), None);
    attach_stream(parts, entry, flags);
    remove_content(&mut parts.headers, flags);
}

/// The same, for what nobody looks at from outside.
pub(crate) fn attach_stream(parts: &mut Parts, entry: &Arc<Entry>, flags: HeadFlags) {
    let version = flags.version(&parts.headers);
    let era = Era::legacy(None, version, entry.protocol_version());
    readdress(parts, entry, flags);
    parts.extensions.insert(Guarded {
        session: Some(McpSession::new(entry.clone())),
        content: Content::Stream(era),
    });
}

/// Gives a request the inner service's own session id, or none.
#[inline]
fn readdress(parts: &mut Parts, entry: &Entry, flags: HeadFlags) {
    match entry.inner_id() {
        Some(id) => drop(parts.headers.insert(&SESSION_ID, id.clone())),
        None if flags.lacks_session_id => {}
        None => drop(parts.headers.remove(&SESSION_ID)),
    }
    settle(&mut parts.headers, flags, is_alias);
}

/// Makes a message ready where there are no sessions: the session header stays as it is, in every
/// spelling.
pub(crate) fn prepare_stateless(parts: &mut Parts, message: McpMessage, flags: HeadFlags) {
    settle(&mut parts.headers, flags, |name| {
        is_alias(name) && !is_alias_of(name, SESSION_ID.as_str())
    });
    attach_message(parts, message);
}

/// Makes a message of the modern era ready, which knows neither sessions nor resumed streams.
pub(crate) fn prepare_modern(parts: &mut Parts, message: McpMessage, flags: HeadFlags) {
    parts.headers.remove(&SESSION_ID);
    parts.headers.remove(LAST_EVENT_ID);
    settle(&mut parts.headers, flags, is_alias);
    attach_message(parts, message);
}

fn attach_message(parts: &mut Parts, message: McpMessage) {
    span::record(None, Some(&message));
    parts.extensions.insert(Guarded {
        content: Content::Message(message),
        ..Guarded::default()
    });
}

/// Makes a CORS preflight ready, which is of no session and has no body. The extractors know that it
/// was guarded.
pub(crate) fn prepare_preflight(parts: &mut Parts) {
    remove_where(&mut parts.headers, |name| {
        is_of_content(name) || is_of_framing(name) || is_mcp(name) || is_alias(name)
    });
    parts.headers.remove(LAST_EVENT_ID);
    parts.extensions.insert(Guarded::default());
}

/// Describes a body of `length` bytes that stands there whole; `flags` is what the head says of it.
#[inline]
pub(crate) fn reframe(parts: &mut Parts, flags: HeadFlags, length: usize, settings: &Settings) {
    if length > SURELY_BELOW_ANY_LIMIT {
        raise_body_limit(&mut parts.extensions, settings);
    }
    if flags.is_foreign {
        for name in [TRANSFER_ENCODING, EXPECT, TRAILER] {
            parts.headers.remove(name);
        }
    }
    if flags.length != Some(length as u64) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Raises axum's own limit, 2 MB unless it was set: its extractors would refuse what the guard let
/// through. A limit that is set inside wins.
#[cold]
fn raise_body_limit(extensions: &mut Extensions, settings: &Settings) {
    let mut request = Request::new(());
    mem::swap(request.extensions_mut(), extensions);
    DefaultBodyLimit::max(settings.body_limit).apply(&mut request);
    mem::swap(request.extensions_mut(), extensions);
}

/// Leaves one line of the version header, as the guard read it, and no field that `is_alias` of ours.
#[inline]
fn settle(headers: &mut HeaderMap, flags: HeadFlags, is_alias: fn(&str) -> bool) {
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

/// A request without a body says nothing of one: hyper's client sends such a `Content-Length` and no
/// bytes, and the next request on the connection is read as the body.
#[inline]
fn remove_content(headers: &mut HeaderMap, flags: HeadFlags) {
    if flags.describes_content || flags.is_foreign {
        remove_where(headers, |name| is_of_content(name) || is_of_framing(name));
    }
}

#[cold]
fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let names = headers.keys().filter(|name| goes(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_of_content(name: &str) -> bool {
    name.starts_with("content-")
}

fn is_of_framing(name: &str) -> bool {
    [TRANSFER_ENCODING, TRAILER, EXPECT]
        .iter()
        .any(|framing| name == framing.as_str())
}

/// To tell the extractors of a limit costs a small message 2 % of its way, and no limit is as small.
const SURELY_BELOW_ANY_LIMIT: usize = 64 << 10;

/// Whether this is one of the protocol's names, with any sign for the hyphen.
fn is_mcp(name: &str) -> bool {
    name.strip_prefix("mcp")
        .is_some_and(|rest| rest.starts_with(|sign: char| !sign.is_ascii_alphanumeric()))
}
