//! The hosts under which the endpoint may be reached.

use std::fmt;
use std::sync::Arc;

use super::pattern::{HostPattern, NamePattern, is_default_port};
use crate::protocol::host::{Host, LOOPBACK, Origin, default_port};
use crate::unwind::unless_it_panics;

/// The listed hosts, and the predicate that adds to them.
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts {
    any: bool,
    listed: Vec<HostPattern>,
    /// Those of `listed` that are no wildcards.
    usual: Vec<UsualHost>,
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
            usual: listed.iter().filter_map(UsualHost::of).collect(),
            listed,
            predicate: None,
        }
    }

    /// Allows what `predicate` allows too.
    pub(crate) fn or(self, predicate: Option<HostPredicate>) -> Self {
        Self { predicate, ..self }
    }

    /// Whether this is a listed host as most clients write it, found without parsing: a call of 130 B
    /// costs 5 % less. Where it is not, [`allows`](Self::allows) decides.
    #[inline]
    pub(super) fn lists_as_usual(&self, text: &[u8]) -> bool {
        self.usual
            .iter()
            .any(|usual| match text.strip_prefix(usual.name.as_bytes()) {
                Some([]) => usual.matches_no_port,
                Some([b':', port @ ..]) => match &usual.port {
                    None => is_usual_port(port),
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
        // A predicate may compare from either end, and must not meet a dot there.
        if !host.name.has_whole_labels() {
            return false;
        }
        let name = host.name.to_string().to_ascii_lowercase();
        unless_it_panics(|| predicate(&name, host.port)).unwrap_or(false)
    }

    /// Whether a page of `origin`, which calls `host`, came from the endpoint itself. Only a host
    /// that is listed by its name says that its pages are the endpoint's: wildcards and predicates
    /// let in names that may be others'.
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

/// A listed host as most clients write it.
#[derive(Clone, Debug)]
struct UsualHost {
    name: String,
    /// The listed port in digits. Without one, every port matches.
    port: Option<String>,
    matches_no_port: bool,
}

impl UsualHost {
    fn of(listed: &HostPattern) -> Option<Self> {
        Some(Self {
            name: listed.exact_name()?.to_string(),
            port: listed.port.map(|port| port.to_string()),
            matches_no_port: listed.port.is_none_or(is_default_port),
        })
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
