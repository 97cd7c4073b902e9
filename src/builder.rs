//! Every setting, its default and what it refuses. The defaults are those of the contract, §1.

mod build;
mod eras;
mod error;
mod layer;
pub(crate) mod lists;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use http::request::Parts;

pub use self::eras::Eras;
pub use self::error::{ConfigError, ConfigErrorKind};
use crate::guard::origin::{AllowedHosts, AllowedOrigins, HostPredicate, OriginPredicate};
use crate::promises::defaults;
use crate::session::SessionHook;
use crate::session::{IdSource, Owner, OwnerResolver, OwnerSource};
use crate::sessions::Sessions;
use crate::store::StoreOptions;

/// Builds a [`SessionGuardLayer`](crate::SessionGuardLayer) with settings other than the defaults.
///
/// Two setters choose which [`Eras`] of the protocol are served, and how:
///
/// | [`eras`](Self::eras) | | with [`stateless`](Self::stateless) |
/// |---|---|---|
/// | [`Eras::Sessions`] (default) | clients of both eras fall back to `initialize` | the same, without sessions |
/// | [`Eras::Both`] | both are served | both are served, without sessions |
/// | [`Eras::Sessionless`] | only revisions from 2026-07-28 on are served | an error from [`build`](Self::build) |
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
    eras: Eras,
    is_stateless: bool,
    modern_versions: Vec<String>,
    body_limit: usize,
    json_depth: usize,
    accept_lone_surrogates: bool,
    body_progress_timeout: Duration,
    body_timeout: Duration,
    idle_timeout: Duration,
    never_used_timeout: Duration,
    silent_stream_timeout: Duration,
    max_lifetime: Option<Duration>,
    max_sessions: usize,
    max_streams: usize,
    max_sessions_per_owner: Option<usize>,
    reopen_stale: bool,
    end_on_refused_delete: bool,
    end_inner_sessions: bool,
    report_only: bool,
    hooks: Hooks,
    owners: OwnerSource,
    scope: String,
    ids: IdSource,
    store: Option<StoreOptions>,
    shared: Option<Sessions>,
    /// A setter that concerns the sessions themselves, if one was called.
    of_sessions: Option<&'static str>,
    hosts: Result<AllowedHosts, ConfigError>,
    hosts_where: Option<HostPredicate>,
    origins: Result<AllowedOrigins, ConfigError>,
    origins_where: Option<OriginPredicate>,
    null_origin: bool,
}

impl SessionGuardBuilder {
    pub(crate) fn new() -> Self {
        Self {
            eras: Eras::Sessions,
            is_stateless: false,
            modern_versions: Vec::new(),
            body_limit: defaults::BODY_LIMIT,
            json_depth: defaults::JSON_DEPTH,
            accept_lone_surrogates: false,
            body_progress_timeout: defaults::BODY_PROGRESS_TIMEOUT,
            body_timeout: defaults::BODY_TIMEOUT,
            idle_timeout: defaults::IDLE_TIMEOUT,
            never_used_timeout: defaults::NEVER_USED_TIMEOUT,
            silent_stream_timeout: defaults::SILENT_STREAM_TIMEOUT,
            max_lifetime: None,
            max_sessions: defaults::MAX_SESSIONS,
            max_streams: defaults::MAX_STREAMS,
            max_sessions_per_owner: None,
            reopen_stale: false,
            end_on_refused_delete: false,
            end_inner_sessions: false,
            report_only: false,
            hooks: Hooks::default(),
            owners: OwnerSource::default(),
            scope: String::new(),
            ids: IdSource::default(),
            store: None,
            shared: None,
            of_sessions: None,
            hosts: Ok(AllowedHosts::loopback()),
            hosts_where: None,
            origins: Ok(AllowedOrigins::loopback()),
            origins_where: None,
            null_origin: false,
        }
    }

    pub(crate) fn sharing(sessions: &Sessions) -> Self {
        Self {
            shared: Some(sessions.clone()),
            ..Self::new()
        }
    }

    /// Sets which eras of the protocol are served. Default: [`Eras::Sessions`].
    ///
    /// ```
    /// use mcp_session_guard::{Eras, SessionGuardLayer};
    ///
    /// let guard = SessionGuardLayer::builder().eras(Eras::Both).build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    pub fn eras(mut self, eras: Eras) -> Self {
        self.eras = eras;
        self
    }

    /// Serves the revisions with sessions (up to 2025-11-25) without sessions: `Mcp-Session-Id` is
    /// neither read, stripped nor issued, every sound POST goes to the inner service, GET and DELETE
    /// are answered 405. An error from [`build`](Self::build) with [`Eras::Sessionless`], which serves no
    /// such revision.
    ///
    /// Default: sessions are required.
    pub fn stateless(mut self) -> Self {
        self.is_stateless = true;
        self
    }

    /// The sessionless versions that are served; any other is answered 400 with -32022.
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
    ///
    /// axum's extractors (`Json`, `Bytes`) have a limit of their own, 2 MB unless a
    /// [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) was set. For a POST whose body is above 64 KiB
    /// the guard sets it to this limit, so a `DefaultBodyLimit` outside the guard no longer counts for such
    /// a body. One inside the guard wins. A limit outside that cuts the body itself, like tower-http's
    /// `RequestBodyLimitLayer`, is answered 413 by the guard.
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

    /// Accepts messages in which half of a surrogate pair stands alone (`"\ud83d"`), as JavaScript
    /// writes a string that it cut inside a character beyond U+FFFF. Default: such a message is
    /// answered 400.
    ///
    /// JSON parsers in JavaScript and Python read such strings, serde_json does not: call this only if
    /// the inner service is not written in Rust. The method, the id and all other text that the guard
    /// reads must be Unicode text even then.
    pub fn accept_lone_surrogates(mut self) -> Self {
        self.accept_lone_surrogates = true;
        self
    }

    /// Sets how long every 16 KiB of a request body may take, or its rest, if that is less. Default: 30
    /// seconds; more than zero, at most 100 years. Later ones are answered 408. See also
    /// [`body_timeout`](Self::body_timeout).
    pub fn body_progress_timeout(mut self, limit: Duration) -> Self {
        self.body_progress_timeout = limit;
        self
    }

    /// Sets how long a whole request body may take. Default: 120 seconds; more than zero, at most 100
    /// years. Later ones are answered 408. See also
    /// [`body_progress_timeout`](Self::body_progress_timeout).
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = limit;
        self
    }

    /// How long a session may be idle, counted from the end of its last request *and* response
    /// body; while one is in flight the clock stands. Default: 30 minutes.
    ///
    /// Most clients do not open a new session when theirs has expired, so rather too long than
    /// too short.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.of_sessions = Some("idle_timeout");
        self.idle_timeout = limit;
        self
    }

    /// How long a session may wait for its second message. Default: 5 minutes.
    pub fn never_used_timeout(mut self, limit: Duration) -> Self {
        self.of_sessions = Some("never_used_timeout");
        self.never_used_timeout = limit;
        self
    }

    /// When no open response body of a session has carried a byte for so long, they no longer stop
    /// the idle clock, for they may belong to dead connections: the idle timeout then begins.
    /// Default: 24 hours.
    pub fn silent_stream_timeout(mut self, limit: Duration) -> Self {
        self.of_sessions = Some("silent_stream_timeout");
        self.silent_stream_timeout = limit;
        self
    }

    /// How long a session may live however busy it is (OWASP ASVS 5, 7.3.2). Default: no limit.
    pub fn max_lifetime(mut self, limit: Duration) -> Self {
        self.of_sessions = Some("max_lifetime");
        self.max_lifetime = Some(limit);
        self
    }

    /// How many sessions there may be at once, those that are just opening included. Default:
    /// 10 000. When all places are taken, expired sessions go first, then the oldest that was
    /// never used; else `initialize` is answered 503.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.of_sessions = Some("max_sessions");
        self.max_sessions = sessions;
        self
    }

    /// How many sessions one owner may have at once. Default: no limit of its own. One more ends
    /// the owner's session that has been idle longest, even if the inner service then refuses the new
    /// one; where none is idle, `initialize` is answered 503. Needs [`owner`](Self::owner); sessions of nobody are not limited by it.
    pub fn max_sessions_per_owner(mut self, sessions: usize) -> Self {
        self.of_sessions = Some("max_sessions_per_owner");
        self.max_sessions_per_owner = Some(sessions);
        self
    }

    /// Whose each request is. A session is its opener's alone: to others its id is unknown, on
    /// every method, and they are answered byte for byte like for an id that never was. Default:
    /// nobody asks, and whoever knows an id may use it.
    ///
    /// The authentication itself is done by a layer outside the guard (added after it). See
    /// [`OwnerResolver`] for what a resolver may do, and what its errors do.
    ///
    /// ```
    /// use axum::BoxError;
    /// use http::request::Parts;
    /// use mcp_session_guard::{Owner, SessionGuardLayer};
    ///
    /// /// What the authentication layer leaves in the extensions.
    /// #[derive(Clone)]
    /// struct Claims { iss: String, sub: String }
    ///
    /// let guard = SessionGuardLayer::builder()
    ///     .owner(|request: &Parts| -> Result<Option<Owner>, BoxError> {
    ///         let claims = request.extensions.get::<Claims>();
    ///         Ok(claims.map(|claims| Owner::from_issuer_subject(&*claims.iss, &*claims.sub)))
    ///     })
    ///     .require_owner()
    ///     .build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    pub fn owner(mut self, resolver: impl OwnerResolver) -> Self {
        self.owners.resolver = Some(Arc::new(resolver));
        self
    }

    /// Whose each request is, by a value that an authentication layer outside has put into the
    /// request's extensions; without such a value it is nobody's. See [`owner`](Self::owner).
    ///
    /// ```
    /// use mcp_session_guard::{Owner, SessionGuardLayer};
    ///
    /// #[derive(Clone)]
    /// struct User { id: u64 }
    ///
    /// let guard = SessionGuardLayer::builder()
    ///     .owner_from_extension(|user: &User| Owner::new(user.id.to_string()))
    ///     .build()?;
    /// // A layer that inserts an `Owner` itself saves making one for each request:
    /// let guard = SessionGuardLayer::builder().owner_from_extension(Owner::clone).build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    pub fn owner_from_extension<T: Send + Sync + 'static>(
        self,
        owner: impl Fn(&T) -> Owner + Send + Sync + 'static,
    ) -> Self {
        self.owner(move |request: &Parts| -> Result<_, BoxError> {
            Ok(request.extensions.get().map(&owner))
        })
    }

    /// Refuses nobody's requests: `initialize` and messages of the modern era are answered 403,
    /// everything else 404. Default: off. Needs [`owner`](Self::owner).
    pub fn require_owner(mut self) -> Self {
        self.owners.is_required = true;
        self
    }

    /// Names the part of the [shared](crate::SessionGuardLayer::with_sessions) sessions that this guard
    /// sees: an id opened under one name is unknown under another. 1 to 64 letters, digits, `.`,
    /// `_` and `-`. Default: no name. Guards of the same name see the same sessions.
    pub fn scope(mut self, name: impl Into<String>) -> Self {
        self.scope = name.into();
        self
    }

    /// How many GET event streams a session may have open. Default: 32; at most 65 535. One more ends the
    /// oldest. Resumed streams (`Last-Event-ID`) have a limit of their own, four times as many and at
    /// least 32; neither kind ends streams of the other. A GET that the inner service has not answered yet
    /// counts too: beyond the limit the oldest of these is answered with an event stream that is over.
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

    /// Sends the inner service a DELETE for each of its own sessions whose outer one the guard has
    /// ended, by whatever reason but the client's DELETE and its own 404, so that it frees its
    /// state. Default: off; it is left to the inner service's own timeouts.
    ///
    /// The request has the path and `Host` of the `initialize` that opened the session, the inner
    /// session id and the negotiated version, and nothing else of the client's: where the inner
    /// service wants authentication, let a layer inside the guard add it. At most 32 are under way
    /// at once, each for at most 5 s; beyond 1 024 that wait no more are sent. How they are answered
    /// is ignored. [`drain`](crate::SessionGuardLayer::drain) waits up to 5 s for them. An `initialize` that
    /// is given up before the inner service has answered it has named no id that could be sent.
    ///
    /// Each session keeps a clone of the inner service until it ends; if that holds
    /// [`Sessions`](crate::Sessions) in turn, dropping the guard does not end its sessions.
    pub fn end_inner_sessions(mut self) -> Self {
        self.end_inner_sessions = true;
        self
    }

    /// Tells `hook` what happens to sessions: opened, confirmed, ended, refused. May be called more
    /// than once; hooks are told in that order, after the log and the metrics. See [`SessionHook`]
    /// for what a hook may do.
    pub fn hook(mut self, hook: impl SessionHook) -> Self {
        self.of_sessions = Some("hook");
        self.hooks.0.push(Arc::new(hook));
        self
    }

    /// Refuses nothing that a server without a guard would take, but tells of it: hooks, logs and
    /// metrics hear of every refusal, and the request goes to the inner service as it came. For the
    /// first days in front of a server that runs already. Default: off.
    ///
    /// Sessions are opened, kept and ended as always; past the limit, clients get none. Requests
    /// that are let pass carry neither handle nor era: take `Option<McpSession>` and
    /// `Option<McpMessage>` in handlers, and not `Era`; an [`EraSplit`](crate::EraSplit) gives them to
    /// its legacy half. Bodies that are too large, late, broken or no JSON are refused all the same, and
    /// so are answers to `initialize` over 1 MiB.
    ///
    /// **This protects nothing**: `Host`, `Origin` and owners are only looked at.
    pub fn report_only(mut self) -> Self {
        self.report_only = true;
        self
    }

    /// Makes session ids by `generator` instead of UUID v4: visible ASCII (0x21 to 0x7E), at most
    /// 128 bytes.
    ///
    /// An id is a bearer secret: take at least 128 bits from a cryptographic source. Called once
    /// by [`build`](Self::build) to see that it works. An invalid id, a panic, or an id that is
    /// in use four times running makes `initialize` answer 503.
    pub fn id_generator(mut self, generator: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.of_sessions = Some("id_generator");
        self.ids = IdSource::custom(generator);
        self
    }

    /// Keeps sessions in `store` too, so that they outlive this process and other processes with the
    /// same store know them. Default: none, sessions end with the process.
    ///
    /// What is known here is served without asking. Limits of numbers are each process's own. With
    /// a store that processes share, the idle timeout is kept to within a fifth, for it is told of
    /// activity once in a tenth of it at most; and a session of which this process has heard nothing
    /// for so long ends here alone. See [`McpSessionStore`](crate::McpSessionStore) for what it costs when a store fails.
    ///
    /// An inner service without session ids of its own needs nothing more. One that has them gets
    /// its id from wherever a session opened: it must be able to restore it, or answers 404, which
    /// ends the session cleanly; [`McpSession::opened_on`](crate::McpSession::opened_on) tells a proxy
    /// where it is known.
    ///
    /// [`StoreOptions`] has the settings of a store: how long sessions are served while it cannot be
    /// reached, how long a call may take, and this process's name.
    pub fn store(mut self, store: impl Into<StoreOptions>) -> Self {
        self.of_sessions = Some("store");
        self.store = Some(store.into());
        self
    }

    /// The names under which this endpoint may be reached, instead of the loopback names. Default:
    /// `localhost`, `127.0.0.1`, `[::1]`; the list replaces them. An empty list refuses every request.
    ///
    /// | entry | matches |
    /// |---|---|
    /// | `mcp.example.com`, `192.0.2.1`, `[2001:db8::1]` | this host with any port or none |
    /// | `mcp.example.com:8443` | this host with this port |
    /// | `mcp.example.com:443`, `mcp.example.com:80` | this host with this port or none, for clients leave out the port that their URL's scheme implies |
    /// | `*.example.com`, `*.example.com:8443` | exactly one label in front: `a.example.com`, but neither `example.com` nor `a.b.example.com`. At least two labels must follow `*.` |
    /// | `localhost`, `localhost:8080` | the same of `127.0.0.1` and `[::1]` too |
    ///
    /// A page of a host that is listed by its name may call it: see
    /// [`allowed_origins`](Self::allowed_origins). For names that no list can hold, see
    /// [`allowed_hosts_where`](Self::allowed_hosts_where).
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
        self.hosts = lists::hosts(hosts);
        self
    }

    /// Allows hosts by a predicate too. Default: none. It adds to the list of
    /// [`allowed_hosts`](Self::allowed_hosts), or to the loopback names where none is set, and is
    /// called only for a host that the list does not match. A second predicate replaces the first.
    ///
    /// The predicate gets the name, in lower case and without a trailing dot, and the port if
    /// the request has one. An IP address comes in its canonical form, IPv6 in brackets. A
    /// predicate that panics refuses the request. It runs on the request path, so it must not block.
    ///
    /// ```
    /// use mcp_session_guard::SessionGuardLayer;
    ///
    /// // tenant-1.example.com, tenant-2.example.com, ...
    /// let guard = SessionGuardLayer::builder()
    ///     .allowed_hosts_where(|name, port| {
    ///         let number = name
    ///             .strip_prefix("tenant-")
    ///             .and_then(|name| name.strip_suffix(".example.com"));
    ///         let is_tenant = number.is_some_and(|number| number.parse::<u32>().is_ok());
    ///         is_tenant && matches!(port, None | Some(443))
    ///     })
    ///     .build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    ///
    /// A suffix alone is rarely enough: `name.ends_with("example.com")` is true of
    /// `evil-example.com` too.
    pub fn allowed_hosts_where(
        mut self,
        predicate: impl Fn(&str, Option<u16>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.hosts_where = Some(HostPredicate::new(predicate));
        self
    }

    /// The origins of pages that may call this endpoint, instead of loopback ones:
    /// `scheme://host` or `scheme://host:port`. Default: http and https on a loopback name, any port.
    /// Requests without `Origin` are not concerned.
    ///
    /// Scheme, host and port must match; a port that is left out is the scheme's. As in
    /// [`allowed_hosts`](Self::allowed_hosts), `https://*.example.com` matches exactly one label in
    /// front, and `http://localhost:3000` stands for `http://127.0.0.1:3000` and
    /// `http://[::1]:3000` too.
    ///
    /// The endpoint's own origin passes without being listed: http or https with the host and port
    /// that the request names, where that host is listed by its name. A host that a wildcard or a
    /// predicate let in may be somebody else's, so its pages need an entry here.
    pub fn allowed_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.origins = lists::origins("allowed_origins", origins);
        self
    }

    /// Allows origins of pages by a predicate too. Default: none. It adds to the list of
    /// [`allowed_origins`](Self::allowed_origins), or to the loopback origins where none is set, and
    /// is called only for an origin that is neither listed nor the endpoint's own. A second
    /// predicate replaces the first.
    ///
    /// The predicate gets the scheme and the name, both in lower case, the name without a trailing
    /// dot, and the port if the origin has one: none where the page uses the scheme's own port.
    /// An IP address comes in its canonical form, IPv6 in brackets. It is never called for `null`,
    /// for a malformed origin, or for two. A predicate that panics refuses the request. It runs on the
    /// request path, so it must not block.
    ///
    /// ```
    /// use mcp_session_guard::SessionGuardLayer;
    ///
    /// // Any page that a developer serves on a private address.
    /// let guard = SessionGuardLayer::builder()
    ///     .allowed_origins_where(|scheme, name, port| {
    ///         let address = name.parse::<std::net::Ipv4Addr>();
    ///         scheme == "http" && port == Some(5173) && address.is_ok_and(|ip| ip.is_private())
    ///     })
    ///     .build()?;
    /// # Ok::<(), mcp_session_guard::ConfigError>(())
    /// ```
    pub fn allowed_origins_where(
        mut self,
        predicate: impl Fn(&str, &str, Option<u16>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.origins_where = Some(OriginPredicate::new(predicate));
        self
    }

    /// Accepts `Origin: null` and `Origin: file://`, which pages in desktop apps and pages that were
    /// opened from a file send. Default: refused. It adds to
    /// [`allowed_origins`](Self::allowed_origins).
    ///
    /// **Any web page can send `null`**: a sandboxed frame of any page does. With this setting every
    /// page that the user visits can call the endpoint. Use it only if each request also needs a
    /// secret that no page knows, for example a bearer token, and if `Host` is still checked.
    ///
    /// The layer of `cors` (feature `cors`) never allows `null`: such a page can call, but a browser
    /// lets it read nothing until that layer gets an `AllowOrigin` of your own.
    pub fn dangerously_allow_null_origin(mut self) -> Self {
        self.null_origin = true;
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
}

/// The hooks in the order in which they were added.
#[derive(Clone, Default)]
struct Hooks(Vec<Arc<dyn SessionHook>>);

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}
