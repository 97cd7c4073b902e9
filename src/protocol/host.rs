//! Parses hosts and origins into types that compare as the contract says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The names of this machine on the loopback interface.
pub(crate) const LOOPBACK: [Name<&str>; 3] = [
    Name::Dns("localhost"),
    Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    Name::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
];

/// A host with its optional port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<T> {
    pub(crate) name: Name<T>,
    pub(crate) port: Option<u16>,
}

impl<'a> Host<&'a str> {
    /// Parses a host as it appears in `Origin` and in settings. Returns `None` if the host is
    /// malformed: empty, with userinfo, with an invalid port, or with a character that no host name has.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (name, port) = split(text)?;
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => None,
        };
        let name = Name::parse(name)?;
        Some(Self { name, port })
    }

    /// Parses a host as it appears in `Host`, `:authority` and the absolute form. Unlike in `Origin`,
    /// an empty port is valid and means none (RFC 3986 §3.2.3).
    pub(crate) fn parse_in_request(text: &'a [u8]) -> Option<Self> {
        let (name, port) = split(text)?;
        let port = match port {
            Some("") | None => None,
            Some(digits) => Some(parse_port(digits)?),
        };
        let name = Name::parse(name)?;
        Some(Self { name, port })
    }
}

/// Splits a host into its name and, if there is a colon, the port after it.
fn split(text: &[u8]) -> Option<(&str, Option<&str>)> {
    let text = std::str::from_utf8(text).ok()?;
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at(end);
    match port.strip_prefix(':') {
        None if !port.is_empty() => None,
        port => Some((name, port)),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    // The parser of the standard library accepts a sign too.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// The name of a host. Names compare without case and without a trailing dot, IP literals by value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<T> {
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
        // Only a name that ends in a digit can be an IPv4 address.
        match name
            .ends_with(|last: char| last.is_ascii_digit())
            .then(|| name.parse())
        {
            Some(Ok(address)) => Some(Self::Ip(IpAddr::V4(address))),
            _ => Some(Self::Dns(name)),
        }
    }

    pub(crate) fn to_owned(self) -> Name<String> {
        match self {
            Self::Dns(name) => Name::Dns(name.into()),
            Self::Ip(address) => Name::Ip(address),
        }
    }

    /// Returns whether no label is empty. DNS allows no other name.
    pub(crate) fn has_whole_labels(&self) -> bool {
        match self {
            Self::Dns(name) => name.split('.').all(|label| !label.is_empty()),
            Self::Ip(_) => true,
        }
    }
}

impl Name<String> {
    pub(crate) fn borrowed(&self) -> Name<&str> {
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

/// Writes the name as in a URL, with IPv6 in brackets.
impl<T: fmt::Display> fmt::Display for Name<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// An origin: `scheme://host[:port]` with nothing after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) host: Host<&'a str>,
}

impl<'a> Origin<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (scheme, host) = split_scheme(text)?;
        let host = Host::parse(host)?;
        Some(Self { scheme, host })
    }

    pub(crate) fn is_web(&self) -> bool {
        default_port(self.scheme).is_some()
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.host.port.or(default_port(self.scheme))
    }
}

/// Splits an origin into its scheme and the text after `://`.
pub(crate) fn split_scheme(text: &[u8]) -> Option<(&str, &[u8])> {
    let (scheme, host) = std::str::from_utf8(text).ok()?.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, host.as_bytes()))
}

pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}
