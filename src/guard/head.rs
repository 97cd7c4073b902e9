//! Reads once from a request's head what contract rows 3 to 9 judge.

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    EXPECT, HOST, HeaderName, ORIGIN, TRAILER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use super::era::{self, LEGACY_REVISIONS};
use crate::session::is_well_formed;

pub(crate) static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What the guard reads of a head, in one pass over its fields. Nothing is judged yet.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) verb: Verb,
    pub(crate) host: Single<'a>,
    pub(crate) origin: Single<'a>,
    pub(crate) session: SessionHeader<'a>,
    pub(crate) version: VersionHeader<'a>,
    /// Whether `Connection` would have a proxy drop an `mcp-*` field.
    pub(crate) has_hop_by_hop_mcp_header: bool,
    pub(crate) traits: Traits,
    content_type: Single<'a>,
    is_encoded: bool,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts, longest_id: usize) -> Self {
        let mut session = Single::Absent;
        let mut length = Single::Absent;
        let mut has_version = false;
        let mut head = Self {
            verb: match parts.method {
                Method::POST => Verb::Post,
                Method::GET => Verb::Get,
                Method::DELETE => Verb::Delete,
                Method::OPTIONS if is_preflight(&parts.headers) => Verb::Preflight,
                _ => Verb::Other,
            },
            host: Single::Absent,
            origin: Single::Absent,
            session: SessionHeader::Absent,
            version: VersionHeader::Absent,
            has_hop_by_hop_mcp_header: false,
            traits: Traits::default(),
            content_type: Single::Absent,
            is_encoded: false,
        };
        for (name, value) in &parts.headers {
            // Names that `http` knows are a number each, told apart without their text.
            match name {
                name if *name == CONNECTION => {
                    head.has_hop_by_hop_mcp_header |= names_mcp_header(value);
                }
                name if *name == CONTENT_ENCODING => {
                    head.is_encoded |= names_encoding(value);
                    head.traits.describes_content = true;
                }
                name if *name == CONTENT_LENGTH => {
                    length.add(value);
                    head.traits.describes_content = true;
                }
                name if *name == CONTENT_TYPE => {
                    head.content_type.add(value);
                    head.traits.describes_content = true;
                }
                name if *name == EXPECT || *name == TRAILER || *name == TRANSFER_ENCODING => {
                    head.traits.is_foreign = true;
                }
                name if *name == HOST => head.host.add(value),
                name if *name == ORIGIN => head.origin.add(value),
                name => match name.as_str() {
                    "last-event-id" => head.traits.resumes = true,
                    "mcp-protocol-version" => {
                        let is_bare = head.version.add(value);
                        head.traits.is_ambiguous |= !is_bare || has_version;
                        has_version = true;
                    }
                    "mcp-session-id" => session.add(value),
                    other if is_alias(other) => head.traits.is_ambiguous = true,
                    other if other.starts_with("content-") => head.traits.describes_content = true,
                    _ => {}
                },
            }
        }
        head.traits.lacks_session_id = matches!(session, Single::Absent);
        head.session = SessionHeader::of(session, longest_id);
        head.traits.version = head.version.known();
        head.traits.length = match length {
            Single::Once(value) => number(value.as_bytes()),
            Single::Absent | Single::Repeated => None,
        };
        head
    }

    /// Whether the body is JSON in UTF-8 as it stands: the guard judges no bytes that the inner
    /// service would decode first.
    #[inline]
    pub(crate) fn is_plain_json(&self) -> bool {
        let is_json = match self.content_type {
            Single::Once(value) => is_json_in_utf8(value.as_bytes()),
            Single::Absent | Single::Repeated => false,
        };
        is_json && !self.is_encoded
    }
}

/// What else is remembered of a head until the body has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// `Content-Length`, where it stands once and is a number.
    pub(crate) length: Option<u64>,
    /// Whether a field tells how the body comes, which the inner service must not see.
    pub(crate) is_foreign: bool,
    /// There is a `Content-*` field.
    pub(crate) describes_content: bool,
    /// `Last-Event-ID` resumes a stream.
    pub(crate) resumes: bool,
    /// There is no session header, not even an empty one.
    pub(crate) lacks_session_id: bool,
    /// Another server may read other fields: the version header is not one line with one version, or
    /// a field has a name that some take for one of ours.
    pub(crate) is_ambiguous: bool,
    /// The version header, unless it names a version that is not known.
    version: Option<VersionHeader<'static>>,
}

impl Traits {
    /// The version header of the request with these fields.
    #[inline]
    pub(crate) fn version(self, headers: &HeaderMap) -> VersionHeader<'_> {
        self.version.unwrap_or_else(|| VersionHeader::read(headers))
    }
}

/// The methods of the transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Delete,
    Get,
    Other,
    Post,
    /// The OPTIONS that a browser sends before a call to another origin.
    Preflight,
}

/// A CORS preflight has both headers (<https://fetch.spec.whatwg.org/#cors-preflight-fetch>).
fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether CGI, WSGI or PHP would give the inner service this field under the name of one of ours:
/// they write `_` for `-`, and some of them for any other sign.
#[inline]
pub(crate) fn is_alias(name: &str) -> bool {
    // Nearly every name differs in its first letter or its length.
    matches!(name.as_bytes().first(), Some(b'm' | b'l'))
        && ALIASED.iter().any(|ours| is_alias_of(name, ours))
}

/// Whether this is `ours` with another sign for a hyphen.
pub(crate) fn is_alias_of(name: &str, ours: &str) -> bool {
    let reads_same =
        |(byte, ours): (u8, u8)| byte == ours || ours == b'-' && !byte.is_ascii_alphanumeric();
    name.len() == ours.len() && name != ours && name.bytes().zip(ours.bytes()).all(reads_same)
}

const ALIASED: [&str; 5] = [
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
];

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

    #[inline]
    pub(crate) fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
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
    fn of(header: Single<'a>, longest: usize) -> Self {
        match header {
            Single::Repeated => Self::Repeated,
            Single::Absent => Self::Absent,
            Single::Once(id) if id.is_empty() => Self::Absent,
            Single::Once(id) if is_well_formed(id.as_bytes(), longest) => {
                Self::Named(id.as_bytes())
            }
            Single::Once(_) => Self::Malformed,
        }
    }

    #[inline]
    pub(crate) fn named(self) -> Option<&'a [u8]> {
        match self {
            Self::Named(id) => Some(id),
            _ => None,
        }
    }
}

/// `MCP-Protocol-Version`. Equal ones count once, be they lines or members of a list: a client that
/// sets the header twice has its platform join the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VersionHeader<'a> {
    Absent,
    Conflicting,
    Named(&'a [u8]),
}

impl<'a> VersionHeader<'a> {
    /// The version as text, where one is named.
    #[inline]
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Self::Named(version) => std::str::from_utf8(version).ok(),
            Self::Absent | Self::Conflicting => None,
        }
    }

    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut header = Self::Absent;
        for value in headers.get_all(&PROTOCOL_VERSION) {
            header.add(value);
        }
        header
    }

    fn known(self) -> Option<VersionHeader<'static>> {
        match self {
            Self::Absent => Some(VersionHeader::Absent),
            Self::Conflicting => Some(VersionHeader::Conflicting),
            Self::Named(named) => LEGACY_REVISIONS
                .iter()
                .find(|known| known.as_bytes() == named)
                .map(|known| VersionHeader::Named(known.as_bytes())),
        }
    }

    /// Takes a line in. Whether it is one bare version.
    #[inline(always)]
    fn add(&mut self, line: &'a HeaderValue) -> bool {
        if era::is_usual(line.as_bytes()) {
            self.add_member(line.as_bytes());
            return true;
        }
        self.add_list(line)
    }

    #[cold]
    fn add_list(&mut self, line: &'a HeaderValue) -> bool {
        tokens(line).for_each(|member| self.add_member(member));
        tokens(line).eq([line.as_bytes()])
    }

    #[inline]
    fn add_member(&mut self, member: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Named(member),
            Self::Named(first) if member == *first => return,
            Self::Named(_) | Self::Conflicting => Self::Conflicting,
        };
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    text.iter().try_fold(0, add).filter(|_| !text.is_empty())
}

pub(crate) fn names_encoding(value: &HeaderValue) -> bool {
    tokens(value).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

fn names_mcp_header(value: &HeaderValue) -> bool {
    tokens(value).any(|token| {
        token
            .get(..4)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"mcp-"))
    })
}

/// The elements of a comma-separated header.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn is_json_in_utf8(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
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
