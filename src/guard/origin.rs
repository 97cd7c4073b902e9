//! Contract row 2: which `Host` and `Origin` may reach the endpoint.
//!
//! A local server is reachable from every page its user visits; a page that rebinds its own name
//! to 127.0.0.1 still sends that name in `Host` and `Origin`
//! ([specification](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Version;
use http::request::Parts;

use super::head::{Head, Single};
use super::reason::RefusalReason;
use crate::config::{ConfigError, ConfigErrorKind, Settings};

/// Judges `Host` and `Origin` together.
pub(crate) fn verify(
    head: &Head<'_>,
    parts: &Parts,
    settings: &Settings,
) -> Result<(), RefusalReason> {
    if let (Single::Once(host), Single::Absent, None) =
        (head.host, head.origin, parts.uri.authority())
        && settings.hosts.lists(host.as_bytes())
    {
        return Ok(());
    }
    let host = request_host(head.host, parts)?;
    if !settings.hosts.contains(&host) {
        return Err(RefusalReason::HostNotAllowed);
    }
    let origin = match head.origin {
        Single::Absent => return Ok(()),
        Single::Once(value) => Origin::parse(value.as_bytes()),
        Single::Repeated => None,
    };
    if settings.origins.any {
        return Ok(());
    }
    match origin {
        Some(origin) if settings.origins.contains(&origin) => Ok(()),
        Some(origin) if !settings.hosts.any && origin.is_same_site(&host) => Ok(()),
        _ => Err(RefusalReason::OriginNotAllowed),
    }
}

/// The hosts under which the endpoint may be reached.
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts {
    any: bool,
    listed: Vec<ListedHost>,
}

#[derive(Clone, Debug)]
struct ListedHost {
    host: Host<String>,
    /// The same, as nearly everybody writes it.
    text: String,
}

impl AllowedHosts {
    pub(crate) fn loopback() -> Self {
        let listed = LOOPBACK.map(|name| ListedHost::new(Host { name, port: None }));
        Self {
            any: false,
            listed: listed.into(),
        }
    }

    pub(crate) fn any() -> Self {
        Self {
            any: true,
            listed: Vec::new(),
        }
    }

    pub(crate) fn listed<I>(hosts: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let listed = read_all("allowed_hosts", hosts, ConfigErrorKind::Host, |host| {
            Host::parse(host).map(ListedHost::new)
        })?;
        Ok(Self { any: false, listed })
    }

    /// Whether this is a listed host as nearly everybody writes it, told without parsing. Where it is
    /// not, [`contains`](Self::contains) decides.
    #[inline]
    fn lists(&self, text: &[u8]) -> bool {
        self.listed
            .iter()
            .any(|listed| match text.strip_prefix(listed.text.as_bytes()) {
                Some([]) => true,
                Some([b':', port @ ..]) => listed.host.port.is_none() && is_usual_port(port),
                _ => false,
            })
    }

    fn contains(&self, host: &Host<&str>) -> bool {
        self.any
            || self.listed.iter().any(|ListedHost { host: listed, .. }| {
                listed.name.borrowed() == host.name
                    && (listed.port.is_none() || listed.port == host.port)
            })
    }
}

impl ListedHost {
    fn new(host: Host<&str>) -> Self {
        let name = match host.name {
            Name::Dns(name) => name.to_owned(),
            Name::Ip(IpAddr::V4(address)) => address.to_string(),
            Name::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        };
        Self {
            host: host.to_owned(),
            text: match host.port {
                Some(port) => format!("{name}:{port}"),
                None => name,
            },
        }
    }
}

/// Whether this is a port of up to five digits.
fn is_usual_port(port: &[u8]) -> bool {
    let is_in_range = match port.len() {
        1..=4 => true,
        5 => *port <= b"65535"[..],
        _ => false,
    };
    is_in_range && port.iter().all(u8::is_ascii_digit)
}

/// The origins of pages that may call the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct AllowedOrigins {
    any: bool,
    loopback: bool,
    listed: Vec<Origin<String>>,
}

impl AllowedOrigins {
    pub(crate) fn loopback() -> Self {
        Self {
            any: false,
            loopback: true,
            listed: Vec::new(),
        }
    }

    pub(crate) fn any() -> Self {
        Self {
            any: true,
            loopback: false,
            listed: Vec::new(),
        }
    }

    /// `setting` is what an error names.
    pub(crate) fn listed<I>(setting: &'static str, origins: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let listed = read_all(setting, origins, ConfigErrorKind::Origin, |origin| {
            Origin::parse(origin).map(Origin::to_owned)
        })?;
        Ok(Self {
            any: false,
            loopback: false,
            listed,
        })
    }

    pub(crate) fn contains(&self, origin: &Origin<&str>) -> bool {
        if self.loopback {
            return origin.is_web() && LOOPBACK.contains(&origin.host.name);
        }
        self.listed.iter().any(|listed| {
            listed.scheme.eq_ignore_ascii_case(origin.scheme)
                && listed.host.name.borrowed() == origin.host.name
                && listed.port() == origin.port()
        })
    }
}

/// A host with its port, as `Host`, `:authority` and the absolute form carry it.
#[derive(Clone, Copy, Debug)]
struct Host<T> {
    name: Name<T>,
    port: Option<u16>,
}

impl<'a> Host<&'a str> {
    /// `None` where it is malformed: userinfo, bad port, empty, characters of no host name.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at(end);
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        Some(Self {
            name: Name::parse(name)?,
            port,
        })
    }

    fn to_owned(self) -> Host<String> {
        Host {
            name: self.name.to_owned(),
            port: self.port,
        }
    }
}

/// A name compares without case and without a trailing dot, an IP literal by value.
#[derive(Clone, Copy, Debug)]
enum Name<T> {
    Dns(T),
    Ip(IpAddr),
}

impl<'a> Name<&'a str> {
    fn parse(name: &'a str) -> Option<Self> {
        if let Some(literal) = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return Some(Self::Ip(IpAddr::V6(literal.parse().ok()?)));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_valid = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if name.is_empty() || !is_valid {
            return None;
        }
        // Only a name that ends in a digit can be an address.
        match name
            .ends_with(|last: char| last.is_ascii_digit())
            .then(|| name.parse())
        {
            Some(Ok(address)) => Some(Self::Ip(IpAddr::V4(address))),
            _ => Some(Self::Dns(name)),
        }
    }

    fn to_owned(self) -> Name<String> {
        match self {
            Self::Dns(name) => Name::Dns(name.into()),
            Self::Ip(address) => Name::Ip(address),
        }
    }
}

impl Name<String> {
    fn borrowed(&self) -> Name<&str> {
        match self {
            Self::Dns(name) => Name::Dns(name),
            Self::Ip(address) => Name::Ip(*address),
        }
    }
}

impl PartialEq for Name<&str> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(one), Self::Dns(other)) => one.eq_ignore_ascii_case(other),
            (Self::Ip(one), Self::Ip(other)) => one == other,
            _ => false,
        }
    }
}

/// `scheme://host[:port]`, nothing behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<T> {
    scheme: T,
    host: Host<T>,
}

impl<'a> Origin<&'a str> {
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (scheme, host) = std::str::from_utf8(text).ok()?.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        is_scheme.then_some(Self {
            scheme,
            host: Host::parse(host.as_bytes())?,
        })
    }

    fn to_owned(self) -> Origin<String> {
        Origin {
            scheme: self.scheme.into(),
            host: self.host.to_owned(),
        }
    }

    fn is_web(&self) -> bool {
        default_port(self.scheme).is_some()
    }

    /// Whether the page came from the host that it calls.
    fn is_same_site(&self, host: &Host<&str>) -> bool {
        self.is_web()
            && self.host.name == host.name
            && self.port() == host.port.or(default_port(self.scheme))
    }
}

impl<T: AsRef<str>> Origin<T> {
    fn port(&self) -> Option<u16> {
        self.host.port.or(default_port(self.scheme.as_ref()))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

/// The host that the request names: `:authority` or the absolute form, and `Host`, which must
/// agree (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn request_host<'a>(header: Single<'a>, parts: &'a Parts) -> Result<Host<&'a str>, RefusalReason> {
    let header = match header {
        Single::Once(value) => {
            Some(Host::parse(value.as_bytes()).ok_or(RefusalReason::HostMalformed)?)
        }
        Single::Absent if parts.version > Version::HTTP_11 => None,
        Single::Absent | Single::Repeated => return Err(RefusalReason::HostMalformed),
    };
    let target = match parts.uri.authority() {
        Some(authority) => {
            let host = Host::parse(authority.as_str().as_bytes());
            Some(host.ok_or(RefusalReason::HostMalformed)?)
        }
        None => None,
    };
    match (header, target) {
        (Some(header), Some(target)) => {
            let scheme = parts.uri.scheme_str().unwrap_or_default();
            let port = |host: &Host<&str>| host.port.or(default_port(scheme));
            let agree = header.name == target.name && port(&header) == port(&target);
            agree.then_some(header).ok_or(RefusalReason::HostMalformed)
        }
        (Some(host), None) | (None, Some(host)) => Ok(host),
        (None, None) => Err(RefusalReason::HostMalformed),
    }
}

/// Reads a configured list; the error names the first entry that can not be read.
fn read_all<I, T>(
    setting: &'static str,
    texts: I,
    kind: ConfigErrorKind,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let form = match kind {
        ConfigErrorKind::Host => {
            "`host` or `host:port`, IPv6 as `[::1]`, without a scheme, a path or a wildcard"
        }
        _ => "`scheme://host` or `scheme://host:port`, without a path or a wildcard",
    };
    let read = |text: I::Item| {
        let text = text.as_ref();
        read(text.as_bytes()).ok_or_else(|| {
            let message = format!("can not hold {text:?}: write {form}");
            ConfigError::new(kind, setting, message)
        })
    };
    texts.into_iter().map(read).collect()
}

const LOOPBACK: [Name<&str>; 3] = [
    Name::Dns("localhost"),
    Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    Name::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
];
