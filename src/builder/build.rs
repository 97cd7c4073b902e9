//! Builds a layer from the settings, and checks them.

use std::time::Duration;

use uuid::Uuid;

use super::error::{ConfigError, ConfigErrorKind};
use super::{Eras, SessionGuardBuilder};
use crate::SessionGuardLayer;
use crate::guard::settings::{Mode, Settings};
use crate::observe;
use crate::promises::CONFIRM_TIMEOUT;
use crate::protocol::headers::is_well_formed;
use crate::protocol::revision::is_version;
use crate::session::{Limits, Scope, nanos};
use crate::sessions::{Sessions, SessionsSettings};
use crate::store_sync::StoreSettings;

impl SessionGuardBuilder {
    /// Builds the layer. Does not need a runtime.
    ///
    /// # Errors
    ///
    /// A limit is out of range, a host, origin, version or scope is invalid, the id generator returns no
    /// valid id, or settings contradict each other. [`ConfigErrorKind`] lists the kinds.
    pub fn build(self) -> Result<SessionGuardLayer, ConfigError> {
        self.check_limits()?;
        let mode = self.read_mode()?;
        self.check_versions()?;
        self.check_owners(mode)?;
        self.check_scope()?;
        let store = self.read_store(mode)?;
        if self.ids.next().is_none() {
            let message = "must return ids of 1 to 128 visible ASCII characters (0x21 to 0x7E)";
            let kind = ConfigErrorKind::IdGenerator;
            return Err(ConfigError::new(kind, "id_generator", message.into()));
        }
        let limits = Limits {
            idle: nanos(self.idle_timeout),
            never_used: nanos(self.never_used_timeout),
            unconfirmed: nanos(CONFIRM_TIMEOUT),
            silent: nanos(self.silent_stream_timeout),
            lifetime: self.max_lifetime.map(nanos),
        };
        let sessions = match self.shared {
            Some(sessions) => sessions,
            None => Sessions::new(SessionsSettings {
                ids: self.ids,
                limits,
                max_sessions: self.max_sessions,
                max_per_owner: self.max_sessions_per_owner.unwrap_or(usize::MAX),
                hooks: observe::hooks(self.hooks.0),
                store,
            }),
        };
        let settings = Settings {
            mode,
            modern_versions: self.modern_versions,
            body_limit: self.body_limit,
            json_depth: self.json_depth,
            accept_lone_surrogates: self.accept_lone_surrogates,
            progress_timeout: self.body_progress_timeout,
            body_timeout: self.body_timeout,
            max_streams: self.max_streams.try_into().unwrap_or(u16::MAX), // check_limits has checked the range
            reopen_stale: self.reopen_stale,
            end_on_refused_delete: self.end_on_refused_delete,
            end_inner_sessions: self.end_inner_sessions,
            report_only: self.report_only,
            owners: self.owners,
            scope: Scope::named(&self.scope),
            longest_id: sessions.registry().longest_id(),
            hosts: self.hosts?.or(self.host_predicate),
            origins: self.origins?.or(self.origin_predicate, self.null_origin),
        };
        Ok(SessionGuardLayer::from_parts(settings, sessions))
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let per_owner = self.max_sessions_per_owner.unwrap_or(1);
        for (setting, value, max) in [
            ("body_limit", self.body_limit, 1 << 30),
            ("json_depth", self.json_depth, 127),
            ("max_sessions", self.max_sessions, u32::MAX as usize),
            ("max_sessions_per_owner", per_owner, u32::MAX as usize),
            ("max_streams", self.max_streams, u16::MAX.into()),
        ] {
            if !(1..=max).contains(&value) {
                let message = format!("must be 1 to {max}");
                return Err(ConfigError::new(ConfigErrorKind::Limit, setting, message));
            }
        }
        for (setting, limit) in [
            ("body_progress_timeout", self.body_progress_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("never_used_timeout", self.never_used_timeout),
            ("silent_stream_timeout", self.silent_stream_timeout),
            ("max_lifetime", self.max_lifetime.unwrap_or(MAX_TIME)),
        ] {
            check_time(setting, limit)?;
        }
        Ok(())
    }

    fn read_mode(&self) -> Result<Mode, ConfigError> {
        Ok(match (self.eras, self.is_stateless) {
            (Eras::Sessions, false) => Mode::Sessions,
            (Eras::Sessions, true) => Mode::Stateless,
            (Eras::Both, false) => Mode::Both,
            (Eras::Both, true) => Mode::BothStateless,
            (Eras::Sessionless, false) => Mode::Sessionless,
            (Eras::Sessionless, true) => {
                let message = "has no effect with Eras::Sessionless: remove it";
                let kind = ConfigErrorKind::Eras;
                return Err(ConfigError::new(kind, "stateless", message.into()));
            }
        })
    }

    fn check_versions(&self) -> Result<(), ConfigError> {
        let is_invalid = |version: &&String| !is_version(version.as_bytes());
        let Some(invalid) = self.modern_versions.iter().find(is_invalid) else {
            return Ok(());
        };
        let message = format!(
            "cannot hold {invalid:?}: a version has 1 to 32 letters, digits, dots and hyphens"
        );
        let kind = ConfigErrorKind::Version;
        Err(ConfigError::new(kind, "modern_versions", message))
    }

    /// Refuses settings about owners that have no effect, because they would look like protection.
    fn check_owners(&self, mode: Mode) -> Result<(), ConfigError> {
        let setting = match (self.owners.is_required, self.max_sessions_per_owner) {
            (true, _) => "require_owner",
            (false, Some(_)) => "max_sessions_per_owner",
            (false, None) => "owner",
        };
        let message = match &self.owners.resolver {
            None if setting != "owner" => "has no effect without a resolver: set owner as well",
            Some(_) if !mode.has_sessions() => {
                "has no effect, because this guard has no sessions: remove it"
            }
            _ => return Ok(()),
        };
        let kind = ConfigErrorKind::Owner;
        Err(ConfigError::new(kind, setting, message.into()))
    }

    fn check_scope(&self) -> Result<(), ConfigError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let (setting, message) = match (&self.shared, self.sessions_setter) {
            _ if self.scope.len() > 64 || !self.scope.bytes().all(is_allowed) => {
                ("scope", "must be 1 to 64 letters, digits, '.', '_' and '-'")
            }
            (Some(_), _) if self.scope.is_empty() => (
                "scope",
                "must be set, because this guard shares its sessions",
            ),
            (Some(_), Some(setting)) => (
                setting,
                "must be set on the guard that the sessions come from",
            ),
            _ => return Ok(()),
        };
        let kind = ConfigErrorKind::Scope;
        Err(ConfigError::new(kind, setting, message.into()))
    }

    /// Reads the settings of the store.
    fn read_store(&self, mode: Mode) -> Result<Option<StoreSettings>, ConfigError> {
        let Some(options) = &self.store else {
            return Ok(None);
        };
        let error = |setting, message: &str| {
            ConfigError::new(ConfigErrorKind::Store, setting, message.into())
        };
        if !mode.has_sessions() {
            let message = "has no effect, because this guard has no sessions: remove it";
            return Err(error("store", message));
        }
        check_time("StoreOptions::lease", options.lease)?;
        check_time("StoreOptions::grace", options.grace.max(MIN_TIME))?;
        check_time("StoreOptions::timeout", options.timeout)?;
        let node = options.node_name.clone().unwrap_or_else(random_name);
        if !is_well_formed(node.as_bytes(), 64) {
            let message = "must be 1 to 64 characters of visible ASCII (0x21 to 0x7E)";
            return Err(error("StoreOptions::node_name", message));
        }
        Ok(Some(StoreSettings {
            store: options.store.clone(),
            lease: options.lease,
            grace: options.grace,
            timeout: options.timeout,
            node,
        }))
    }
}

/// Returns a name that no other process has by chance.
fn random_name() -> String {
    Uuid::new_v4().simple().to_string()
}

fn check_time(setting: &'static str, time: Duration) -> Result<(), ConfigError> {
    match (MIN_TIME..=MAX_TIME).contains(&time) {
        true => Ok(()),
        false => {
            let message = "must be more than zero and at most 100 years".to_owned();
            Err(ConfigError::new(ConfigErrorKind::Limit, setting, message))
        }
    }
}

const MAX_TIME: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
const MIN_TIME: Duration = Duration::from_nanos(1);
