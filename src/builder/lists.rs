//! Parses the lists of hosts and origins in settings.

use super::error::{ConfigError, ConfigErrorKind};
use crate::guard::origin::{AllowedHosts, AllowedOrigins, HostPattern, OriginPattern};

/// Parses the hosts under which clients may reach the endpoint.
pub(crate) fn hosts<I>(hosts: I) -> Result<AllowedHosts, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let kind = ConfigErrorKind::Host;
    read_all("allowed_hosts", hosts, kind, HostPattern::parse).map(AllowedHosts::listed)
}

/// Parses the origins of pages that may call the endpoint. An error names `setting`.
pub(crate) fn origins<I>(setting: &'static str, origins: I) -> Result<AllowedOrigins, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let kind = ConfigErrorKind::Origin;
    read_all(setting, origins, kind, OriginPattern::parse).map(AllowedOrigins::listed)
}

/// Parses a list. The error names the first invalid entry.
fn read_all<I, T>(
    setting: &'static str,
    texts: I,
    kind: ConfigErrorKind,
    read: impl Fn(&[u8]) -> Option<Vec<T>>,
) -> Result<Vec<T>, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let form = match kind {
        ConfigErrorKind::Host => {
            "`host` or `host:port`, IPv6 as `[::1]`, without a scheme or a path"
        }
        _ => "`scheme://host` or `scheme://host:port`, without a path",
    };
    let mut patterns = Vec::new();
    for text in texts {
        let text = text.as_ref();
        patterns.extend(read(text.as_bytes()).ok_or_else(|| {
            let message = format!(
                "cannot hold {text:?}: write {form}; a wildcard is `*.` before at least two \
                 labels, as in `*.example.com`"
            );
            ConfigError::new(kind, setting, message)
        })?);
    }
    Ok(patterns)
}
