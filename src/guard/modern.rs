//! Judges a sessionless message, which the specification calls modern (contract §6). Each request stands
//! alone. Its headers repeat values of its body, and both must agree
//! (<https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http>).

pub(crate) mod call;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::HeaderName;

use crate::protocol::era;
use crate::protocol::headers::{Single, VersionHeader};
use crate::protocol::message::{Claim, Message, MessageKind};
use crate::refusal::RefusalReason;

/// Judges a sessionless message. `versions` are the versions that the guard serves. If empty, it serves all.
pub(crate) fn verify(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    headers: &HeaderMap,
    versions: &[String],
) -> Result<(), RefusalReason> {
    let claim = era::claim(message);
    let method = match (&message.method, &message.claim) {
        (None, _) => return Err(RefusalReason::ModernResponse),
        (Some(_), Claim::NotText) => return Err(RefusalReason::ClaimNotText),
        // The claim names an earlier date, but the header names a sessionless version.
        (Some(_), Claim::Text(_)) if claim.is_none() => return Err(RefusalReason::HeaderMismatch),
        (Some(method), _) if claim.is_some() && **method == *b"initialize" => {
            return Err(RefusalReason::ModernInitialize);
        }
        (Some(method), _) => &**method,
    };
    let is_request = message.kind == MessageKind::Request;
    if is_request && claim.is_none() {
        return Err(RefusalReason::ClaimMissing);
    }
    let version = MirrorHeader::of_version(version);
    let name = match method {
        b"tools/call" | b"prompts/get" => message.name(),
        b"resources/read" => message.uri(),
        _ => None,
    };
    let named = MirrorHeader::read(headers, &MCP_NAME);
    let agrees = claim.is_none_or(|claim| version.equals(claim.as_bytes()))
        && matches!(version, MirrorHeader::Once(_))
        && MirrorHeader::read(headers, &MCP_METHOD).agrees(is_request, method)
        && name.is_none_or(|name| named.agrees_encoded(is_request, &name));
    if !agrees {
        return Err(RefusalReason::HeaderMismatch);
    }
    let served = |version: &str| versions.is_empty() || versions.iter().any(|one| one == version);
    match version {
        MirrorHeader::Once(version) if !served(version) => Err(RefusalReason::UnsupportedVersion),
        _ => Ok(()),
    }
}

/// A header that repeats a value of the body.
#[derive(Clone, Copy)]
enum MirrorHeader<'a> {
    Absent,
    Once(&'a str),
    /// The header appears more than once, or has invalid characters.
    Unusable,
}

impl<'a> MirrorHeader<'a> {
    fn read(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        match Single::read(headers, name) {
            Single::Absent => Self::Absent,
            Single::Once(value) => value.to_str().map_or(Self::Unusable, Self::Once),
            Single::Repeated => Self::Unusable,
        }
    }

    /// Converts the version header. Equal versions count once, unlike other headers that appear twice.
    fn of_version(version: VersionHeader<'a>) -> Self {
        match version {
            VersionHeader::Absent => Self::Absent,
            VersionHeader::Conflicting => Self::Unusable,
            VersionHeader::Named(_) => match version.text() {
                Some(text) if text.is_ascii() => Self::Once(text),
                _ => Self::Unusable,
            },
        }
    }

    fn equals(self, text: &[u8]) -> bool {
        matches!(self, Self::Once(value) if value.as_bytes() == text)
    }

    /// Returns whether the header equals `text`, or is absent and not required. Only requests require it.
    fn agrees(self, is_required: bool, text: &[u8]) -> bool {
        self.equals(text) || !is_required && matches!(self, Self::Absent)
    }

    /// Returns whether the header agrees with `text`, which may be encoded as `=?base64?…?=`.
    fn agrees_encoded(self, is_required: bool, text: &[u8]) -> bool {
        let encoded = match self {
            Self::Once(value) => value
                .strip_prefix("=?base64?")
                .and_then(|rest| rest.strip_suffix("?=")),
            Self::Absent | Self::Unusable => None,
        };
        match encoded {
            Some(encoded) => STANDARD.decode(encoded).is_ok_and(|value| value == text),
            None => self.agrees(is_required, text),
        }
    }
}

static MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
static MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
