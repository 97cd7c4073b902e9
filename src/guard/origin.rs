//! Checks `Host` and `Origin` of a request (contract row 2).
//!
//! Every page that a user visits can reach a server on the user's machine. A page that rebinds its own name
//! to 127.0.0.1 still sends that name in `Host` and `Origin`
//! ([specification](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning)).
//!
//! | file | |
//! |---|---|
//! | `pattern` | the entries of the lists |
//! | `hosts`, `origins` | the lists and their predicates |

mod hosts;
mod origins;
mod pattern;
#[cfg(test)]
mod tests;

use http::Version;
use http::request::Parts;

pub(crate) use self::hosts::{AllowedHosts, HostPredicate};
pub(crate) use self::origins::{AllowedOrigins, OriginPattern, OriginPredicate};
pub(crate) use self::pattern::HostPattern;
use super::head::Head;
use crate::protocol::headers::Single;
use crate::protocol::host::{Host, Origin, default_port};
use crate::refusal::RefusalReason;

/// Judges `Host` and `Origin` together.
pub(crate) fn verify(
    head: &Head<'_>,
    parts: &Parts,
    hosts: &AllowedHosts,
    origins: &AllowedOrigins,
) -> Result<(), RefusalReason> {
    if let (Single::Once(host), Single::Absent, None) =
        (head.host, head.origin, parts.uri.authority())
        && hosts.lists_literally(host.as_bytes())
    {
        return Ok(());
    }
    let host = request_host(head.host, parts)?;
    if !hosts.allows(&host) {
        return Err(RefusalReason::HostNotAllowed);
    }
    let is_allowed = match head.origin {
        Single::Absent => true,
        _ if origins.any => true,
        Single::Once(origin) => is_origin_allowed(origin.as_bytes(), &host, hosts, origins),
        Single::Repeated => false,
    };
    match is_allowed {
        true => Ok(()),
        false => Err(RefusalReason::OriginNotAllowed),
    }
}

/// Returns whether a page of this origin may call the endpoint, which it reached as `host`.
fn is_origin_allowed(
    text: &[u8],
    host: &Host<&str>,
    hosts: &AllowedHosts,
    origins: &AllowedOrigins,
) -> bool {
    match Origin::parse(text) {
        Some(origin) => {
            origins.lists(&origin)
                || hosts.is_own_origin(host, &origin)
                || origins.predicate_allows(&origin)
        }
        None => origins.null && is_null(text),
    }
}

/// Returns whether this is the origin of a page without its own, for example a sandboxed frame or a file.
fn is_null(origin: &[u8]) -> bool {
    // Some web views send `file://` where browsers send `null`.
    matches!(origin, b"null" | b"file://")
}

/// Returns the host that the request names. If the request has both `Host` and `:authority` or the absolute
/// form, they must agree (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn request_host<'a>(header: Single<'a>, parts: &'a Parts) -> Result<Host<&'a str>, RefusalReason> {
    let header = match header {
        Single::Once(value) => {
            Some(Host::parse_in_request(value.as_bytes()).ok_or(RefusalReason::HostMalformed)?)
        }
        Single::Absent if parts.version > Version::HTTP_11 => None,
        Single::Absent | Single::Repeated => return Err(RefusalReason::HostMalformed),
    };
    let target = match parts.uri.authority() {
        Some(authority) => {
            let host = Host::parse_in_request(authority.as_str().as_bytes());
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
