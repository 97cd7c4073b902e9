//! The origins whose pages may call the endpoint.

use std::fmt;
use std::sync::Arc;

use super::pattern::HostPattern;
use crate::protocol::host::{LOOPBACK, Origin, default_port, split_scheme};
use crate::unwind::catch_panic;

/// The listed origins, and the settings that allow more origins.
#[derive(Clone, Debug)]
pub(crate) struct AllowedOrigins {
    pub(super) any: bool,
    /// Whether pages without their own origin are allowed.
    pub(super) null: bool,
    loopback: bool,
    listed: Vec<OriginPattern>,
    predicate: Option<OriginPredicate>,
}

impl AllowedOrigins {
    pub(crate) fn loopback() -> Self {
        Self {
            loopback: true,
            ..Self::listed(Vec::new())
        }
    }

    pub(crate) fn any() -> Self {
        Self {
            any: true,
            ..Self::listed(Vec::new())
        }
    }

    pub(crate) fn listed(listed: Vec<OriginPattern>) -> Self {
        Self {
            any: false,
            null: false,
            loopback: false,
            listed,
            predicate: None,
        }
    }

    /// Also allows the origins that `predicate` allows, and the origin `null` if `null` is true.
    pub(crate) fn or(self, predicate: Option<OriginPredicate>, null: bool) -> Self {
        Self {
            null,
            predicate,
            ..self
        }
    }

    pub(crate) fn lists(&self, origin: &Origin<'_>) -> bool {
        if self.loopback {
            return origin.is_web() && LOOPBACK.contains(&origin.host.name);
        }
        self.listed.iter().any(|listed| listed.matches(origin))
    }

    pub(super) fn predicate_allows(&self, origin: &Origin<'_>) -> bool {
        let Some(OriginPredicate(predicate)) = &self.predicate else {
            return false;
        };
        // A predicate may compare from either end, so there must be no dot at either end.
        if !origin.host.name.has_whole_labels() {
            return false;
        }
        let scheme = origin.scheme.to_ascii_lowercase();
        let name = origin.host.name.to_string().to_ascii_lowercase();
        catch_panic(|| predicate(&scheme, &name, origin.host.port)).unwrap_or(false)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct OriginPattern {
    scheme: String,
    host: HostPattern,
}

impl OriginPattern {
    pub(crate) fn parse(text: &[u8]) -> Option<Vec<Self>> {
        let (scheme, hosts) = split_scheme(text)?;
        let with_scheme = |host| Self {
            scheme: scheme.into(),
            host,
        };
        let hosts = HostPattern::parse(hosts)?;
        Some(hosts.into_iter().map(with_scheme).collect())
    }

    /// Returns whether this listed origin matches. An omitted port is the default port of the scheme, which
    /// is known here.
    fn matches(&self, origin: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(origin.scheme)
            && self.host.name.matches(&origin.host.name)
            && self.host.port.or(default_port(&self.scheme)) == origin.port()
    }
}

/// Allows origins that are not in the list, by scheme, name and port.
#[derive(Clone)]
pub(crate) struct OriginPredicate(Arc<AllowsOrigin>);

type AllowsOrigin = dyn Fn(&str, &str, Option<u16>) -> bool + Send + Sync;

impl OriginPredicate {
    pub(crate) fn new(
        predicate: impl Fn(&str, &str, Option<u16>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(predicate))
    }
}

impl fmt::Debug for OriginPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("OriginPredicate")
    }
}
