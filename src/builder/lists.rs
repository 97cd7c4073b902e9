//! Reads the lists of hosts and origins that a setting holds.

use super::error::{ConfigError, ConfigErrorKind};
use crate::guard::origin::{AllowedHosts, AllowedOrigins, HostPattern, OriginPattern};

/// The hosts under which the endpoint may be reached.
pub(crate) fn hosts<I>(hosts: I) -> Result<AllowedHosts, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let kind = ConfigErrorKind::Host;
    read_all("allowed_hosts", hosts, kind, HostPattern::parse).map(AllowedHosts::listed)
}

/// The origins of pages that may call it. `setting` is what an error names.
pub(crate) fn origins<I>(setting: &'static str, origins: I) -> Result<AllowedOrigins, ConfigError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let kind = ConfigErrorKind::Origin;
    read_all(setting, origins, kind, OriginPattern::parse).map(AllowedOrigins::listed)
}

/// Reads a configured list; the error names the first entry that cannot be read.
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
