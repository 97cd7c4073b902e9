//! Reads the head of a request once, for contract rows 3 to 9.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, ORIGIN, TRAILER,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::protocol::headers::{
    SessionHeader, Single, VersionHeader, is_alias, is_json_in_utf8, names_encoding,
    names_mcp_header, parse_u64,
};

/// The parts of a head that the guard judges, read in one pass over the fields.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) host: Single<'a>,
    pub(crate) origin: Single<'a>,
    pub(crate) session: SessionHeader<'a>,
    pub(crate) version: VersionHeader<'a>,
    /// Whether `Connection` makes proxies drop an `mcp-*` field.
    pub(crate) has_hop_by_hop_mcp_header: bool,
    pub(crate) flags: HeadFlags,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts, longest_id: usize) -> Self {
        let mut session = Single::Absent;
        let mut length = Single::Absent;
        let mut content_type = Single::Absent;
        let mut is_encoded = false;
        let mut has_version = false;
        let mut head = Self {
            method: &parts.method,
            host: Single::Absent,
            origin: Single::Absent,
            session: SessionHeader::Absent,
            version: VersionHeader::Absent,
            has_hop_by_hop_mcp_header: false,
            flags: HeadFlags::default(),
        };
        for (name, value) in &parts.headers {
            // `http` stores a standard name as a number, so these comparisons read no text.
            match name {
                name if *name == CONNECTION => {
                    head.has_hop_by_hop_mcp_header |= names_mcp_header(value);
                }
                name if *name == CONTENT_ENCODING => {
                    is_encoded |= names_encoding(value);
                    head.flags.describes_content = true;
                }
                name if *name == CONTENT_LENGTH => {
                    length.add(value);
                    head.flags.describes_content = true;
                }
                name if *name == CONTENT_TYPE => {
                    content_type.add(value);
                    head.flags.describes_content = true;
                }
                name if *name == EXPECT || *name == TRAILER || *name == TRANSFER_ENCODING => {
                    head.flags.describes_framing = true;
                }
                name if *name == HOST => head.host.add(value),
                name if *name == ORIGIN => head.origin.add(value),
                name => match name.as_str() {
                    "last-event-id" => head.flags.resumes = true,
                    "mcp-protocol-version" => {
                        let is_bare = head.version.add(value);
                        head.flags.is_ambiguous |= !is_bare || has_version;
                        has_version = true;
                    }
                    "mcp-session-id" => session.add(value),
                    other if is_alias(other) => head.flags.is_ambiguous = true,
                    other if other.starts_with("content-") => head.flags.describes_content = true,
                    _ => {}
                },
            }
        }
        head.flags.lacks_session_id = matches!(session, Single::Absent);
        head.session = SessionHeader::of(session, longest_id);
        head.flags.version = head.version.known();
        head.flags.is_plain_json = !is_encoded && is_json(content_type);
        head.flags.length = match length {
            Single::Once(value) => parse_u64(value.as_bytes()),
            Single::Absent | Single::Repeated => None,
        };
        head
    }
}

/// The facts of a head that are needed once the body has arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadFlags {
    /// `Content-Length`, if it appears once and is a number.
    pub(crate) length: Option<u64>,
    /// Whether the body is JSON in UTF-8 without an encoding. The guard must not judge bytes that the
    /// inner service would decode first.
    pub(crate) is_plain_json: bool,
    /// Whether a field describes how the body is sent. The inner service must not see this field.
    pub(crate) describes_framing: bool,
    /// Whether there is a `Content-*` field.
    pub(crate) describes_content: bool,
    /// Whether the request resumes a stream (`Last-Event-ID`).
    pub(crate) resumes: bool,
    /// Whether there is no session header, not even an empty one.
    pub(crate) lacks_session_id: bool,
    /// Whether another server may read the head differently: the version header is not one line with
    /// one version, or a field has a name that some servers take for an MCP name.
    pub(crate) is_ambiguous: bool,
    /// The version header. `None` if it names an unknown version.
    version: Option<VersionHeader<'static>>,
}

impl HeadFlags {
    /// Returns the version header. `headers` must be those of the same request.
    #[inline]
    pub(crate) fn version(self, headers: &HeaderMap) -> VersionHeader<'_> {
        self.version.unwrap_or_else(|| VersionHeader::read(headers))
    }
}

fn is_json(content_type: Single<'_>) -> bool {
    match content_type {
        Single::Once(value) => is_json_in_utf8(value.as_bytes()),
        Single::Absent | Single::Repeated => false,
    }
}
