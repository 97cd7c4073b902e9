use std::error::Error;
use std::fmt;

/// A setting that can not work, found by [`SessionGuardBuilder::build`](crate::SessionGuardBuilder::build)
/// or by `cors` (feature `cors`).
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

    /// What is wrong with it.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// The name of the setter, or `cors`. A setter of a store's begins with `StoreOptions::`.
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
    /// A setting contradicts the eras that are served.
    Eras,
    /// A listed host can not be read.
    Host,
    /// The id generator panicked or made an invalid id.
    IdGenerator,
    /// A limit is zero or absurd. Times go up to 100 years.
    Limit,
    /// A listed origin can not be read.
    Origin,
    /// A setting about owners has no effect: owners are not asked for, or there are no sessions.
    Owner,
    /// A scope's name can not be one, is missing, or a shared registry is set up twice.
    Scope,
    /// A store has no effect, because there are no sessions, or its node name is invalid.
    Store,
    /// A listed version can not be one.
    Version,
}
