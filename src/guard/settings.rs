//! The settings of a guard.

use std::time::Duration;

use crate::guard::origin::{AllowedHosts, AllowedOrigins};
use crate::refusal::RefusalReason;
use crate::session::{OwnerSource, Scope};

/// The settings by which the guard judges a request. They exist once, behind the `Arc` of the layer.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// The sessionless versions that are served. If empty, the inner service decides.
    pub(crate) modern_versions: Vec<String>,
    pub(crate) body_limit: usize,
    pub(crate) json_depth: usize,
    pub(crate) accept_lone_surrogates: bool,
    pub(crate) progress_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) max_streams: u16,
    pub(crate) reopen_stale: bool,
    pub(crate) end_on_refused_delete: bool,
    pub(crate) end_inner_sessions: bool,
    pub(crate) report_only: bool,
    pub(crate) owners: OwnerSource,
    pub(crate) scope: Scope,
    pub(crate) longest_id: usize,
    pub(crate) hosts: AllowedHosts,
    pub(crate) origins: AllowedOrigins,
}

impl Settings {
    /// Returns whether report-only mode lets a request pass despite this reason. A body that the
    /// guard cannot read cannot be passed on (contract rows 10 to 12).
    pub(crate) fn lets_pass(&self, reason: RefusalReason) -> bool {
        self.report_only
            && !matches!(
                reason,
                RefusalReason::BodyTooLarge
                    | RefusalReason::BodyLate
                    | RefusalReason::BodyBroken
                    | RefusalReason::ParseError
            )
    }
}

/// The eras that the guard serves, and whether the era with sessions has them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Sessions,
    /// The era with sessions, served without them.
    Stateless,
    Both,
    BothStateless,
    Sessionless,
}

impl Mode {
    #[inline]
    pub(crate) fn has_sessions(self) -> bool {
        matches!(self, Self::Sessions | Self::Both)
    }

    /// Returns whether the guard serves the sessionless era.
    #[inline]
    pub(crate) fn accepts_sessionless(self) -> bool {
        matches!(self, Self::Both | Self::BothStateless | Self::Sessionless)
    }
}
