//! The modern era's rules (contract §6): each request stands alone, its headers repeat what its body
//! says, and the two must agree
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

/// Judges a message of the modern era. `versions` are those that are served; empty: all.
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
        // An earlier date, beside a header that names the modern era.
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
    let version = Repeated::of_version(version);
    let name = match method {
        b"tools/call" | b"prompts/get" => message.name(),
        b"resources/read" => message.uri(),
        _ => None,
    };
    let named = Repeated::read(headers, &MCP_NAME);
    let agrees = claim.is_none_or(|claim| version.says(claim.as_bytes()))
        && matches!(version, Repeated::Once(_))
        && Repeated::read(headers, &MCP_METHOD).says_if(is_request, method)
        && name.is_none_or(|name| named.says_encoded_if(is_request, &name));
    if !agrees {
        return Err(RefusalReason::HeaderMismatch);
    }
    let served = |version: &str| versions.is_empty() || versions.iter().any(|one| one == version);
    match version {
        Repeated::Once(version) if !served(version) => Err(RefusalReason::UnsupportedVersion),
        _ => Ok(()),
    }
}

/// A header that repeats what the body says.
#[derive(Clone, Copy)]
enum Repeated<'a> {
    Absent,
    Once(&'a str),
    /// More than once, or with characters that no such header has.
    Unusable,
}

impl<'a> Repeated<'a> {
    fn read(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        match Single::read(headers, name) {
            Single::Absent => Self::Absent,
            Single::Once(value) => value.to_str().map_or(Self::Unusable, Self::Once),
            Single::Repeated => Self::Unusable,
        }
    }

    /// Equal versions count once, unlike other headers that stand twice.
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

    fn says(self, text: &[u8]) -> bool {
        matches!(self, Self::Once(said) if said.as_bytes() == text)
    }

    /// Requests need the header; on notifications it only must not be wrong.
    fn says_if(self, is_needed: bool, text: &[u8]) -> bool {
        self.says(text) || !is_needed && matches!(self, Self::Absent)
    }

    /// The same for text that may be written as `=?base64?…?=`.
    fn says_encoded_if(self, is_needed: bool, text: &[u8]) -> bool {
        let encoded = match self {
            Self::Once(said) => said
                .strip_prefix("=?base64?")
                .and_then(|rest| rest.strip_suffix("?=")),
            Self::Absent | Self::Unusable => None,
        };
        match encoded {
            Some(encoded) => STANDARD.decode(encoded).is_ok_and(|said| said == text),
            None => self.says_if(is_needed, text),
        }
    }
}

static MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
static MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
