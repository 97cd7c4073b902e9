//! Reads once from a request's head what contract rows 3 to 9 judge.

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use crate::session::is_well_formed;

pub(crate) static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What the guard reads of a head. Nothing is judged yet.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) verb: Verb,
    pub(crate) session: SessionHeader<'a>,
    pub(crate) version: VersionHeader<'a>,
    headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts, longest_id: usize) -> Self {
        Self {
            verb: match parts.method {
                Method::POST => Verb::Post,
                Method::GET => Verb::Get,
                Method::DELETE => Verb::Delete,
                _ => Verb::Other,
            },
            session: SessionHeader::read(&parts.headers, longest_id),
            version: VersionHeader::read(&parts.headers),
            headers: &parts.headers,
        }
    }

    /// Whether `Connection` would have a proxy drop an `mcp-*` field.
    pub(crate) fn has_hop_by_hop_mcp_header(&self) -> bool {
        tokens(self.headers, &CONNECTION).any(|token| {
            token
                .get(..4)
                .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"mcp-"))
        })
    }

    /// Whether the body is JSON in UTF-8 as it stands: the guard judges no bytes that the inner
    /// service would decode first.
    pub(crate) fn is_plain_json(&self) -> bool {
        let is_json = match Single::read(self.headers, &CONTENT_TYPE) {
            Single::Once(value) => is_json_in_utf8(value.as_bytes()),
            Single::Absent | Single::Repeated => false,
        };
        is_json && !is_encoded(self.headers)
    }

    /// The body's length in bytes, as the head declares it.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.headers
            .get(CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }
}

/// The methods of the transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Delete,
    Get,
    Other,
    Post,
}

/// A header that may stand once. "First wins" would let two readers see two values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Single<'a> {
    Absent,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> Single<'a> {
    pub(crate) fn read(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

/// `Mcp-Session-Id`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionHeader<'a> {
    /// None, or one empty one.
    Absent,
    /// Not visible ASCII, or longer than any id that this guard may know.
    Malformed,
    Named(&'a [u8]),
    Repeated,
}

impl<'a> SessionHeader<'a> {
    fn read(headers: &'a HeaderMap, longest: usize) -> Self {
        match Single::read(headers, &SESSION_ID) {
            Single::Repeated => Self::Repeated,
            Single::Absent => Self::Absent,
            Single::Once(id) if id.is_empty() => Self::Absent,
            Single::Once(id) if is_well_formed(id.as_bytes(), longest) => {
                Self::Named(id.as_bytes())
            }
            Single::Once(_) => Self::Malformed,
        }
    }

    pub(crate) fn named(self) -> Option<&'a [u8]> {
        match self {
            Self::Named(id) => Some(id),
            _ => None,
        }
    }
}

/// `MCP-Protocol-Version`. Equal ones count once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VersionHeader<'a> {
    Absent,
    Conflicting,
    Named(&'a [u8]),
}

impl<'a> VersionHeader<'a> {
    /// The version as text, where one is named.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Self::Named(version) => std::str::from_utf8(version).ok(),
            Self::Absent | Self::Conflicting => None,
        }
    }

    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut values = headers
            .get_all(&PROTOCOL_VERSION)
            .iter()
            .map(|value| value.as_bytes());
        match values.next() {
            None => Self::Absent,
            Some(first) if values.all(|value| value == first) => Self::Named(first),
            Some(_) => Self::Conflicting,
        }
    }
}

/// Whether the body must be decoded before it can be read.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    tokens(headers, &CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// The elements of a comma-separated header, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn is_json_in_utf8(content_type: &[u8]) -> bool {
    let mut parts = content_type
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii);
    parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/json"))
        && parts.all(|parameter| {
            let mut sides = parameter
                .splitn(2, |byte| *byte == b'=')
                .map(<[u8]>::trim_ascii);
            let is_charset = sides
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(b"charset"));
            let charset = unquoted(sides.next().unwrap_or_default());
            !is_charset
                || ["utf-8", "utf8", "us-ascii", "ascii"]
                    .iter()
                    .any(|known| charset.eq_ignore_ascii_case(known.as_bytes()))
        })
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text)
}
