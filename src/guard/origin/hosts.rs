//! The hosts by which clients may reach the endpoint.

use std::fmt;
use std::sync::Arc;

use super::pattern::{HostPattern, NamePattern, is_default_port};
use crate::protocol::host::{Host, LOOPBACK, Origin, default_port};
use crate::unwind::catch_panic;

/// The listed hosts, and the predicate that allows more hosts.
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts {
    any: bool,
    listed: Vec<HostPattern>,
    /// The hosts in `listed` that are not wildcards.
    literal: Vec<LiteralHost>,
    predicate: Option<HostPredicate>,
}

impl AllowedHosts {
    pub(crate) fn loopback() -> Self {
        let listed = LOOPBACK.map(|name| HostPattern {
            name: NamePattern::Exact(name.to_owned()),
            port: None,
        });
        Self::listed(listed.into())
    }

    pub(crate) fn any() -> Self {
        Self {
            any: true,
            ..Self::listed(Vec::new())
        }
    }

    pub(crate) fn listed(listed: Vec<HostPattern>) -> Self {
        Self {
            any: false,
            literal: listed.iter().filter_map(LiteralHost::of).collect(),
            listed,
            predicate: None,
        }
    }

    /// Also allows the hosts that `predicate` allows.
    pub(crate) fn or(self, predicate: Option<HostPredicate>) -> Self {
        Self { predicate, ..self }
    }

    /// Returns whether this is a listed host in its usual spelling, without parsing it. This makes a call
    /// of 130 B 5 % cheaper. For other spellings, [`allows`](Self::allows) decides.
    #[inline]
    pub(super) fn lists_literally(&self, text: &[u8]) -> bool {
        self.literal
            .iter()
            .any(|literal| match text.strip_prefix(literal.name.as_bytes()) {
                Some([]) => literal.matches_no_port,
                Some([b':', port @ ..]) => match &literal.port {
                    None => is_plain_port(port),
                    Some(listed) => port == listed.as_bytes(),
                },
                _ => false,
            })
    }

    pub(super) fn allows(&self, host: &Host<&str>) -> bool {
        self.any
            || self.listed.iter().any(|listed| listed.matches(host))
            || self.predicate_allows(host)
    }

    fn predicate_allows(&self, host: &Host<&str>) -> bool {
        let Some(HostPredicate(predicate)) = &self.predicate else {
            return false;
        };
        // A predicate may compare from either end, so there must be no dot at either end.
        if !host.name.has_whole_labels() {
            return false;
        }
        let name = host.name.to_string().to_ascii_lowercase();
        catch_panic(|| predicate(&name, host.port)).unwrap_or(false)
    }

    /// Returns whether a page of `origin`, which calls `host`, came from the endpoint itself. Only a host
    /// that is listed by name counts, because wildcards and predicates also allow names that may belong
    /// to others.
    pub(super) fn is_own_origin(&self, host: &Host<&str>, origin: &Origin<'_>) -> bool {
        let is_own_port = |listed: &HostPattern| {
            let port = host.port.or(listed.port).or(default_port(origin.scheme));
            port == origin.port()
        };
        origin.is_web()
            && origin.host.name == host.name
            && self.listed.iter().any(|listed| {
                listed.exact_name().is_some() && listed.matches(host) && is_own_port(listed)
            })
    }
}

/// A listed host in its usual spelling.
#[derive(Clone, Debug)]
struct LiteralHost {
    name: String,
    /// The listed port in digits. `None` matches every port.
    port: Option<String>,
    matches_no_port: bool,
}

impl LiteralHost {
    fn of(listed: &HostPattern) -> Option<Self> {
        Some(Self {
            name: listed.exact_name()?.to_string(),
            port: listed.port.map(|port| port.to_string()),
            matches_no_port: listed.port.is_none_or(is_default_port),
        })
    }
}

/// Returns whether this is a valid port of one to five digits.
fn is_plain_port(port: &[u8]) -> bool {
    let is_in_range = match port.len() {
        1..=4 => true,
        5 => *port <= b"65535"[..],
        _ => false,
    };
    is_in_range && port.iter().all(u8::is_ascii_digit)
}

/// Allows hosts that are not in the list, by name and port.
#[derive(Clone)]
pub(crate) struct HostPredicate(Arc<AllowsHost>);

type AllowsHost = dyn Fn(&str, Option<u16>) -> bool + Send + Sync;

impl HostPredicate {
    pub(crate) fn new(
        predicate: impl Fn(&str, Option<u16>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(predicate))
    }
}

impl fmt::Debug for HostPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("HostPredicate")
    }
}
