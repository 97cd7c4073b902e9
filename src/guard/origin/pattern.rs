//! The entries of the lists of hosts and origins.

use crate::protocol::host::{Host, LOOPBACK, Name};

/// A listed host, with its port if it has one.
#[derive(Clone, Debug)]
pub(crate) struct HostPattern {
    pub(super) name: NamePattern,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug)]
pub(super) enum NamePattern {
    Exact(Name<String>),
    /// Any one label before this suffix, which begins with a dot.
    OneLabel(String),
}

impl HostPattern {
    /// Reads an entry. Returns three patterns for `localhost`, because clients of one server use any of
    /// the loopback names. Returns `None` if the entry is invalid.
    pub(crate) fn parse(text: &[u8]) -> Option<Vec<Self>> {
        let (host, names) = match text.strip_prefix(b"*.") {
            Some(rest) => {
                let host = Host::parse(rest)?;
                (host, vec![NamePattern::one_label(host.name)?])
            }
            None => {
                let host = Host::parse(text)?;
                (host, NamePattern::exact(host.name))
            }
        };
        let with_port = |name| Self {
            name,
            port: host.port,
        };
        Some(names.into_iter().map(with_port).collect())
    }

    /// Returns the only name that this pattern matches. `None` for a wildcard.
    pub(super) fn exact_name(&self) -> Option<Name<&str>> {
        match &self.name {
            NamePattern::Exact(name) => Some(name.borrowed()),
            NamePattern::OneLabel(_) => None,
        }
    }

    /// Returns whether a request to `host` names this listed host.
    pub(super) fn matches(&self, host: &Host<&str>) -> bool {
        let port_matches = match (self.port, host.port) {
            (None, _) => true,
            (Some(listed), None) => is_default_port(listed),
            (Some(listed), Some(port)) => listed == port,
        };
        port_matches && self.name.matches(&host.name)
    }
}

/// Returns whether clients omit this port from `Host`. That depends on the scheme of the URL, which a guard
/// behind a TLS proxy does not know.
pub(super) fn is_default_port(port: u16) -> bool {
    matches!(port, 80 | 443)
}

impl NamePattern {
    fn exact(name: Name<&str>) -> Vec<Self> {
        let names = match name == LOOPBACK[0] {
            true => &LOOPBACK[..],
            false => &[name],
        };
        names
            .iter()
            .map(|&name| Self::Exact(name.to_owned()))
            .collect()
    }

    /// Returns `None` if the wildcard would cover more than one owner (`*.com`), or `name` is no DNS name.
    fn one_label(name: Name<&str>) -> Option<Self> {
        let Name::Dns(base) = name else { return None };
        let (_, last) = base.rsplit_once('.')?;
        let is_name = name.has_whole_labels() && !is_number(last);
        is_name.then(|| Self::OneLabel(format!(".{base}")))
    }

    pub(super) fn matches(&self, name: &Name<&str>) -> bool {
        match (self, name) {
            (Self::Exact(listed), name) => listed.borrowed() == *name,
            (Self::OneLabel(suffix), Name::Dns(name)) => {
                let label = name.len().checked_sub(suffix.len());
                label
                    .and_then(|length| name.split_at_checked(length))
                    .is_some_and(|(label, rest)| {
                        rest.eq_ignore_ascii_case(suffix)
                            && !label.is_empty()
                            && !label.contains('.')
                    })
            }
            (Self::OneLabel(_), Name::Ip(_)) => false,
        }
    }
}

/// Returns whether a browser reads a name that ends in this label as an IPv4 address, however short
/// ([URL](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or(label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}
