//! The error of an invalid setting.

use std::error::Error;
use std::fmt;

/// An invalid setting, found by [`SessionGuardBuilder::build`](crate::SessionGuardBuilder::build) or by
/// `cors` (feature `cors`).
#[derive(Clone, Debug)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    setting: &'static str,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind, setting: &'static str, message: String) -> Self {
        Self {
            kind,
            setting,
            message,
        }
    }

    /// Returns what is wrong with the setting.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Returns the name of the setter, or `cors`. The name of a store setting begins with
    /// `StoreOptions::`.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.message)
    }
}

impl Error for ConfigError {}

/// The kinds of [`ConfigError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// A setting contradicts the eras that the guard serves.
    Eras,
    /// A host in a list is invalid.
    Host,
    /// The id generator panicked or returned an invalid id.
    IdGenerator,
    /// A limit is zero or too large. Times are at most 100 years.
    Limit,
    /// An origin in a list is invalid.
    Origin,
    /// A setting about owners has no effect, because there is no owner resolver or there are no
    /// sessions.
    Owner,
    /// The name of a scope is invalid or missing, or a guard with shared sessions changes a setting of
    /// the sessions.
    Scope,
    /// A store has no effect because there are no sessions, or its node name is invalid.
    Store,
    /// A version in a list is invalid.
    Version,
}
