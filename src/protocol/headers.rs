//! Reads the headers that the guard looks at.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::revision::{REVISIONS_WITH_SESSIONS, is_usual};

pub(crate) static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Returns whether an inner service behind CGI, WSGI or PHP would read this field as one in
/// [`ALIASED`]. They write `_` for `-`, and some of them write `_` for every other sign.
#[inline]
pub(crate) fn is_alias(name: &str) -> bool {
    // The first letter or the length rules out nearly every name.
    matches!(name.as_bytes().first(), Some(b'm' | b'l'))
        && ALIASED.iter().any(|ours| is_alias_of(name, ours))
}

/// Returns whether `name` is `ours` with another sign in place of a hyphen.
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

/// A header that may appear once. With "first wins" the guard and the inner service could read
/// different values.
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

/// The header `Mcp-Session-Id`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionHeader<'a> {
    /// No header, or one empty header.
    Absent,
    /// A value that is not visible ASCII, or is longer than any id that the guard can know.
    Malformed,
    Named(&'a HeaderValue),
    Repeated,
}

impl<'a> SessionHeader<'a> {
    pub(crate) fn of(header: Single<'a>, longest: usize) -> Self {
        match header {
            Single::Repeated => Self::Repeated,
            Single::Absent => Self::Absent,
            Single::Once(id) if id.is_empty() => Self::Absent,
            Single::Once(id) if is_well_formed(id.as_bytes(), longest) => Self::Named(id),
            Single::Once(_) => Self::Malformed,
        }
    }
}

/// The header `MCP-Protocol-Version`. Equal values count once, on several lines or in one list: if a
/// client sets the header twice, its platform joins the two values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VersionHeader<'a> {
    Absent,
    Conflicting,
    Named(&'a [u8]),
}

impl<'a> VersionHeader<'a> {
    /// Returns the version as text, if the header names one.
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

    pub(crate) fn known(self) -> Option<VersionHeader<'static>> {
        match self {
            Self::Absent => Some(VersionHeader::Absent),
            Self::Conflicting => Some(VersionHeader::Conflicting),
            Self::Named(named) => REVISIONS_WITH_SESSIONS
                .iter()
                .find(|known| known.as_bytes() == named)
                .map(|known| VersionHeader::Named(known.as_bytes())),
        }
    }

    /// Adds a line. Returns whether the line is one bare version.
    #[inline]
    pub(crate) fn add(&mut self, line: &'a HeaderValue) -> bool {
        if is_usual(line.as_bytes()) {
            self.add_member(line.as_bytes());
            return true;
        }
        self.add_list(line)
    }

    #[cold]
    fn add_list(&mut self, line: &'a HeaderValue) -> bool {
        list_members(line).for_each(|member| self.add_member(member));
        list_members(line).eq([line.as_bytes()])
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

pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    text.iter().try_fold(0, add).filter(|_| !text.is_empty())
}

pub(crate) fn names_encoding(value: &HeaderValue) -> bool {
    list_members(value).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

pub(crate) fn names_mcp_header(value: &HeaderValue) -> bool {
    list_members(value).any(|token| {
        token
            .get(..4)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"mcp-"))
    })
}

/// Returns the elements of a comma-separated header, except empty ones.
fn list_members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

pub(crate) fn is_json_in_utf8(content_type: &[u8]) -> bool {
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

/// Returns whether `text` is visible ASCII of 1 to `longest` bytes, as the specification requires of ids
/// (<https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management>).
pub(crate) fn is_well_formed(text: &[u8], longest: usize) -> bool {
    // The loop has no early exit, so that the compiler can check several bytes at once.
    let is_visible = |ok, byte| ok & (0x21..=0x7e).contains(byte);
    (1..=longest).contains(&text.len()) && text.iter().fold(true, is_visible)
}
