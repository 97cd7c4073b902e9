//! Every setting, its default and what it refuses. The defaults are those of the contract, §1.

mod error;

use std::time::Duration;

pub use self::error::{ConfigError, ConfigErrorKind};
use crate::SessionGuardLayer;
use crate::guard::era::is_version;
use crate::guard::origin::{AllowedHosts, AllowedOrigins};
use crate::session::{IdSource, Limits, Registry, nanos};

/// Builds a [`SessionGuardLayer`] with settings other than the defaults.
///
/// The *legacy era* of the protocol are the revisions up to 2025-11-25, whose clients open with
/// `initialize`; the *modern era* begins with 2026-07-28 and knows no sessions. What each gets is
/// chosen by three setters:
///
/// | | modern era refused (default) | [`accept_modern`](Self::accept_modern) |
/// |---|---|---|
/// | sessions (default) | clients of both fall back to `initialize` | both are served |
/// | [`stateless`](Self::stateless) | the same, without sessions | both are served, nobody has a session |
/// | [`refuse_legacy`](Self::refuse_legacy) | an error when building | only the modern era is served |
///
/// ```
/// use std::time::Duration;
/// use mcp_session_guard::SessionGuardLayer;
///
/// let guard = SessionGuardLayer::builder()
///     .idle_timeout(Duration::from_secs(15 * 60))
///     .allowed_hosts(["mcp.example.com"])
///     .build()?;
/// assert!(guard.sessions().is_empty());
///
/// // What can not work is an error here, not at the first request.
/// assert!(SessionGuardLayer::builder().max_sessions(0).build().is_err());
/// # Ok::<(), mcp_session_guard::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionGuardBuilder {
    legacy: LegacyEra,
    modern: ModernEra,
    modern_versions: Vec<String>,
    body_limit: usize,
    json_depth: usize,
    progress_timeout: Duration,
    body_timeout: Duration,
    idle_timeout: Duration,
    never_used_timeout: Duration,
    silent_stream_timeout: Duration,
    lifetime: Option<Duration>,
    max_sessions: usize,
    max_streams: usize,
    reopen_stale: bool,
    end_on_refused_delete: bool,
    ids: IdSource,
    hosts: Result<AllowedHosts, ConfigError>,
    origins: Result<AllowedOrigins, ConfigError>,
}

impl SessionGuardBuilder {
    pub(crate) fn new() -> Self {
        Self {
            legacy: LegacyEra::Sessions,
            modern: ModernEra::Refused,
            modern_versions: Vec::new(),
            body_limit: 4 << 20,
            json_depth: 64,
            progress_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30 * 60),
            never_used_timeout: Duration::from_secs(5 * 60),
            silent_stream_timeout: Duration::from_secs(24 * 60 * 60),
            lifetime: None,
            max_sessions: 10_000,
            max_streams: 32,
            reopen_stale: false,
            end_on_refused_delete: false,
            ids: IdSource::default(),
            hosts: Ok(AllowedHosts::loopback()),
            origins: Ok(AllowedOrigins::loopback()),
        }
    }

    /// Serves the legacy era without sessions: `Mcp-Session-Id` is neither read, stripped nor
    /// issued, every sound POST goes to the inner service, GET and DELETE are answered 405.
    ///
    /// Default: sessions are required.
    pub fn stateless(mut self) -> Self {
        self.legacy = LegacyEra::Stateless;
        self
    }

    /// Refuses the legacy era: its requests, `initialize` included, are answered 400 with -32022 and
    /// the versions that are served; GET and DELETE 405. Only together with
    /// [`accept_modern`](Self::accept_modern).
    pub fn refuse_legacy(mut self) -> Self {
        self.legacy = LegacyEra::Refused;
        self
    }

    /// Accepts the modern era (2026-07-28 on) too: its requests carry no session, and their
    /// headers are checked against their bodies (contract §6). Default: refused, on which
    /// dual-era clients fall back to `initialize`.
    pub fn accept_modern(mut self) -> Self {
        self.modern = ModernEra::Accepted;
        self
    }

    /// The versions of the modern era that are served; any other is answered 400 with -32022.
    /// Must equal what the inner service's `server/discover` names. Default: the inner service
    /// decides.
    pub fn modern_versions<I>(mut self, versions: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.modern_versions = versions.into_iter().map(Into::into).collect();
        self
    }

    /// The largest request body, in bytes. Default: 4 MiB; at most 1 GiB. More is answered 413.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How deep a message may nest; the message object itself is depth 1. Default: 64; at most
    /// 127. More is answered 400.
    pub fn json_depth(mut self, depth: usize) -> Self {
        self.json_depth = depth;
        self
    }

    /// How long a request body may take: at most `progress` for every 16 KiB (or for the rest, if
    /// that is less), and `total` in all. Default: 30 s and 120 s. Later ones are answered 408.
    pub fn body_timeout(mut self, progress: Duration, total: Duration) -> Self {
        self.progress_timeout = progress;
        self.body_timeout = total;
        self
    }

    /// How long a session may be idle, counted from the end of its last request *and* response
    /// body; while one is in flight the clock stands. Default: 30 minutes.
    ///
    /// Most clients do not open a new session when theirs has expired, so rather too long than
    /// too short.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// How long a session may wait for its second message. Default: 5 minutes.
    pub fn never_used_timeout(mut self, limit: Duration) -> Self {
        self.never_used_timeout = limit;
        self
    }

    /// When no open response body of a session has carried a byte for so long, they no longer stop
    /// the idle clock, for they may belong to dead connections: the idle timeout then begins.
    /// Default: 24 hours.
    pub fn silent_stream_timeout(mut self, limit: Duration) -> Self {
        self.silent_stream_timeout = limit;
        self
    }

    /// How long a session may live however busy it is (OWASP ASVS 5, 7.3.2). Default: no limit.
    pub fn lifetime(mut self, limit: Duration) -> Self {
        self.lifetime = Some(limit);
        self
    }

    /// How many sessions there may be at once, those that are just opening included. Default:
    /// 10 000. When all places are taken, expired sessions go first, then the oldest that was
    /// never used; else `initialize` is answered 503.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How many GET event streams a session may have open; resumptions (`Last-Event-ID`) do not
    /// count. Default: 32. One more ends the oldest.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Opens a new session when `initialize` names a session that is unknown or over, instead of
    /// answering 404. Default: off. The client's id is never adopted.
    pub fn reopen_stale_sessions(mut self) -> Self {
        self.reopen_stale = true;
        self
    }

    /// Ends the session on DELETE even if an inner service that keeps a session of its own refuses
    /// with a 4xx other than 404. Default: the refusal is passed on and the session goes on (405
    /// says that clients may not end it).
    pub fn end_on_refused_delete(mut self) -> Self {
        self.end_on_refused_delete = true;
        self
    }

    /// Makes session ids by `generator` instead of UUID v4: visible ASCII (0x21 to 0x7E), at most
    /// 128 bytes.
    ///
    /// An id is a bearer secret: take at least 128 bits from a cryptographic source. Called once
    /// by [`build`](Self::build) to see that it works. An invalid id, a panic, or an id that is
    /// in use four times running makes `initialize` answer 503.
    pub fn id_generator(mut self, generator: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.ids = IdSource::custom(generator);
        self
    }

    /// The names under which this endpoint may be reached, instead of the loopback names: `host`
    /// (every port) or `host:port`. Default: `localhost`, `127.0.0.1`, `[::1]`; the list replaces
    /// them. An empty list refuses every request.
    ///
    /// An inner service may check `Host` too, as rmcp does: give it the same names. A 403 without
    /// a [`Refusal`](crate::Refusal) in the response's extensions is the inner service's.
    ///
    /// This is what stops DNS rebinding
    /// ([specification](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning)).
    pub fn allowed_hosts<I>(mut self, hosts: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.hosts = AllowedHosts::listed(hosts);
        self
    }

    /// The origins of pages that may call this endpoint, instead of loopback ones:
    /// `scheme://host` or `scheme://host:port`. Default: http and https on a loopback name. The
    /// endpoint's own origin always passes; requests without `Origin` are not concerned.
    pub fn allowed_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.origins = AllowedOrigins::listed("allowed_origins", origins);
        self
    }

    /// Accepts every well-formed `Host`. Only behind a proxy that checks it: otherwise any web
    /// page can reach a local server by DNS rebinding. The endpoint's own origin then no longer
    /// passes by itself.
    pub fn dangerously_allow_any_host(mut self) -> Self {
        self.hosts = Ok(AllowedHosts::any());
        self
    }

    /// Accepts every `Origin`. Only behind a proxy that checks it: otherwise any web page can
    /// call the endpoint from its visitor's browser.
    pub fn dangerously_allow_any_origin(mut self) -> Self {
        self.origins = Ok(AllowedOrigins::any());
        self
    }

    /// Builds the layer. Needs no runtime.
    ///
    /// # Errors
    ///
    /// A limit is zero or absurd, a host or origin can not be read, or the id generator makes no
    /// valid id.
    pub fn build(self) -> Result<SessionGuardLayer, ConfigError> {
        within("body_limit", self.body_limit, 1 << 30)?;
        within("json_depth", self.json_depth, 127)?;
        within("max_sessions", self.max_sessions, u32::MAX as usize)?;
        within("max_streams", self.max_streams, u16::MAX.into())?;
        for (setting, limit) in [
            ("body_timeout", self.progress_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("never_used_timeout", self.never_used_timeout),
            ("silent_stream_timeout", self.silent_stream_timeout),
            ("lifetime", self.lifetime.unwrap_or(LONGEST)),
        ] {
            if limit.is_zero() || limit > LONGEST {
                let message = format!("must be more than zero and at most {LONGEST:?}");
                return Err(ConfigError::new(ConfigErrorKind::Limit, setting, message));
            }
        }
        if (self.legacy, self.modern) == (LegacyEra::Refused, ModernEra::Refused) {
            let message = "refuses every request: accept the modern era as well";
            return Err(ConfigError::new(
                ConfigErrorKind::NoEra,
                "refuse_legacy",
                message.into(),
            ));
        }
        if let Some(bad) = self
            .modern_versions
            .iter()
            .find(|version| !is_version(version.as_bytes()))
        {
            let message = format!(
                "can not hold {bad:?}: a version has 1 to 32 letters, digits, dots and hyphens"
            );
            return Err(ConfigError::new(
                ConfigErrorKind::Version,
                "modern_versions",
                message,
            ));
        }
        if self.ids.next().is_none() {
            let message = "must make ids of 1 to 128 visible ASCII characters (0x21 to 0x7E)";
            let kind = ConfigErrorKind::IdGenerator;
            return Err(ConfigError::new(kind, "id_generator", message.into()));
        }
        let limits = Limits {
            idle: nanos(self.idle_timeout),
            never_used: nanos(self.never_used_timeout),
            unconfirmed: nanos(UNCONFIRMED),
            silent: nanos(self.silent_stream_timeout),
            lifetime: self.lifetime.map(nanos),
        };
        let settings = Settings {
            legacy: self.legacy,
            modern: self.modern,
            modern_versions: self.modern_versions,
            body_limit: self.body_limit,
            json_depth: self.json_depth,
            progress_timeout: self.progress_timeout,
            body_timeout: self.body_timeout,
            max_streams: self.max_streams,
            reopen_stale: self.reopen_stale,
            end_on_refused_delete: self.end_on_refused_delete,
            longest_id: self.ids.longest(),
            hosts: self.hosts?,
            origins: self.origins?,
        };
        let registry = Registry::new(self.ids, limits, self.max_sessions);
        Ok(SessionGuardLayer::from_parts(settings, registry))
    }
}

/// The settings that a request is judged by. They exist once, behind the layer's `Arc`.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) legacy: LegacyEra,
    pub(crate) modern: ModernEra,
    /// Empty: the inner service decides.
    pub(crate) modern_versions: Vec<String>,
    pub(crate) body_limit: usize,
    pub(crate) json_depth: usize,
    pub(crate) progress_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) max_streams: usize,
    pub(crate) reopen_stale: bool,
    pub(crate) end_on_refused_delete: bool,
    pub(crate) longest_id: usize,
    pub(crate) hosts: AllowedHosts,
    pub(crate) origins: AllowedOrigins,
}

/// What the legacy era gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LegacyEra {
    Refused,
    Sessions,
    Stateless,
}

/// What the modern era gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ModernEra {
    Accepted,
    Refused,
}

fn within(setting: &'static str, value: usize, most: usize) -> Result<(), ConfigError> {
    match (1..=most).contains(&value) {
        true => Ok(()),
        false => {
            let message = format!("must be 1 to {most}");
            Err(ConfigError::new(ConfigErrorKind::Limit, setting, message))
        }
    }
}

/// How long an `initialize` answered by an event stream may wait for the response (contract §1).
const UNCONFIRMED: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
