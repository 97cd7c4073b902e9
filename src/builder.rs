//! The builder of a guard: each setting with its default and its valid values (contract §1).

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
/// | [`Eras::Sessions`] (default) | revisions with sessions are served; clients of both eras fall back to them | the same, without sessions |
/// | [`Eras::Both`] | all revisions are served | all revisions are served, without sessions |
/// | [`Eras::Sessionless`] | only sessionless revisions (from 2026-07-28 on) are served | an error from [`build`](Self::build) |
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
/// // An invalid setting is an error here, not at the first request.
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
    /// The name of a called setter whose setting belongs to the sessions, not to the guard.
    sessions_setter: Option<&'static str>,
    hosts: Result<AllowedHosts, ConfigError>,
    host_predicate: Option<HostPredicate>,
    origins: Result<AllowedOrigins, ConfigError>,
    origin_predicate: Option<OriginPredicate>,
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
            sessions_setter: None,
            hosts: Ok(AllowedHosts::loopback()),
            host_predicate: None,
            origins: Ok(AllowedOrigins::loopback()),
            origin_predicate: None,
            null_origin: false,
        }
    }

    pub(crate) fn sharing(sessions: &Sessions) -> Self {
        Self {
            shared: Some(sessions.clone()),
            ..Self::new()
        }
    }

    /// Sets which eras of the protocol the guard serves. Default: [`Eras::Sessions`].
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

    /// Serves the revisions with sessions (up to 2025-11-25) without sessions. Default: sessions are
    /// required.
    ///
    /// The guard then neither reads, removes nor issues `Mcp-Session-Id`. It forwards every valid POST
    /// to the inner service, and answers GET and DELETE with 405. With [`Eras::Sessionless`], which
    /// serves no revision with sessions, [`build`](Self::build) returns an error.
    pub fn stateless(mut self) -> Self {
        self.is_stateless = true;
        self
    }

    /// Sets the sessionless versions that the guard serves. It answers any other with 400 and -32022.
    /// Default: the inner service decides.
    ///
    /// The list must equal the versions in the inner service's `server/discover`.
    pub fn modern_versions<I>(mut self, versions: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.modern_versions = versions.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the size limit of a request body, in bytes. Default: 4 MiB; at least 1 byte, at most 1 GiB.
    /// A larger body is answered 413.
    ///
    /// axum's extractors (`Json`, `Bytes`) have a limit of their own: 2 MB, unless a
    /// [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) is set. For a POST with a body above 64 KiB
    /// the guard sets it to this limit, so a `DefaultBodyLimit` outside the guard does not apply to this
    /// body. One inside the guard applies. If a layer outside cuts the body at its own limit, like
    /// tower-http's `RequestBodyLimitLayer`, the guard answers 413.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sets how deep a message may nest; the message object itself has depth 1. Default: 64; at least 1,
    /// at most 127. A deeper message is answered 400.
    pub fn json_depth(mut self, depth: usize) -> Self {
        self.json_depth = depth;
        self
    }

    /// Accepts messages with half of a surrogate pair (`"\ud83d"`). JavaScript writes this if it cuts a
    /// string inside a character beyond U+FFFF. Default: such a message is answered 400.
    ///
    /// JSON parsers in JavaScript and Python accept these strings; serde_json does not. Call this only
    /// if the inner service is not written in Rust. The method, the id and all other text that the guard
    /// reads must be valid Unicode even then.
    pub fn accept_lone_surrogates(mut self) -> Self {
        self.accept_lone_surrogates = true;
        self
    }

    /// Sets how long each 16 KiB of a request body may take. The rest of a body may take as long, even
    /// if it is shorter. Default: 30 seconds; more than zero, at most 100 years.
    ///
    /// A body that takes longer is answered 408. See also [`body_timeout`](Self::body_timeout).
    pub fn body_progress_timeout(mut self, limit: Duration) -> Self {
        self.body_progress_timeout = limit;
        self
    }

    /// Sets how long a whole request body may take. Default: 120 seconds; more than zero, at most 100
    /// years.
    ///
    /// A body that takes longer is answered 408. See also
    /// [`body_progress_timeout`](Self::body_progress_timeout).
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = limit;
        self
    }

    /// Sets how long a session may be idle. Default: 30 minutes; more than zero, at most 100 years.
    ///
    /// The idle time begins at the end of the last request *and* response body, and does not run while
    /// one is in flight. Most clients do not open a new session after theirs has expired, so prefer a
    /// long timeout to a short one.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.sessions_setter = Some("idle_timeout");
        self.idle_timeout = limit;
        self
    }

    /// Sets how long a session may wait for its second message. Default: 5 minutes; more than zero, at
    /// most 100 years.
    pub fn never_used_timeout(mut self, limit: Duration) -> Self {
        self.sessions_setter = Some("never_used_timeout");
        self.never_used_timeout = limit;
        self
    }

    /// Sets how long the open response bodies of a session may be silent before they count as dead.
    /// Default: 24 hours; more than zero, at most 100 years.
    ///
    /// If none of them has carried a byte for this time, their connections may be dead. They then no
    /// longer keep the session in use, and its [idle timeout](Self::idle_timeout) begins.
    pub fn silent_stream_timeout(mut self, limit: Duration) -> Self {
        self.sessions_setter = Some("silent_stream_timeout");
        self.silent_stream_timeout = limit;
        self
    }

    /// Sets how long a session may live, even if it is in use (OWASP ASVS 5, 7.3.2). Default: no limit;
    /// more than zero, at most 100 years.
    pub fn max_lifetime(mut self, limit: Duration) -> Self {
        self.sessions_setter = Some("max_lifetime");
        self.max_lifetime = Some(limit);
        self
    }

    /// Sets how many sessions may exist at once, including those that are opening. Default: 10 000; at
    /// least 1.
    ///
    /// If the limit is reached, the guard first removes expired sessions, then evicts the oldest session
    /// that was never used. If there is none, it answers `initialize` with 503.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.sessions_setter = Some("max_sessions");
        self.max_sessions = sessions;
        self
    }

    /// Sets how many sessions one owner may have at once. Default: no limit per owner; at least 1.
    /// Requires [`owner`](Self::owner).
    ///
    /// At the limit an `initialize` ends the owner's session that has been idle longest, even if the
    /// inner service then refuses the new one. If all are in use, `initialize` is answered 503. The
    /// limit does not apply to anonymous sessions.
    pub fn max_sessions_per_owner(mut self, sessions: usize) -> Self {
        self.sessions_setter = Some("max_sessions_per_owner");
        self.max_sessions_per_owner = Some(sessions);
        self
    }

    /// Sets the resolver that finds the owner of each request. Default: no resolver, so a client that
    /// knows an id can use its session.
    ///
    /// Only the owner that opened a session can use it. To all other requests its id is unknown, on
    /// every method, and the answer is byte for byte that for an id that never existed.
    ///
    /// A layer outside the guard (added after it) authenticates the request. [`OwnerResolver`] says what
    /// a resolver may do, and what its errors do.
    ///
    /// ```
    /// use axum::BoxError;
    /// use http::request::Parts;
    /// use mcp_session_guard::{Owner, SessionGuardLayer};
    ///
    /// /// The value that the authentication layer inserts into the extensions.
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

    /// Finds the owner of each request from a value in its extensions, which an authentication layer
    /// outside the guard has inserted. A request without this value is anonymous. See
    /// [`owner`](Self::owner).
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
    /// // If the layer inserts an `Owner` itself, the guard does not create one for each request:
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

    /// Refuses requests without an owner: `initialize` and messages of sessionless revisions with 403,
    /// all others with 404. Default: off. Requires [`owner`](Self::owner).
    pub fn require_owner(mut self) -> Self {
        self.owners.is_required = true;
        self
    }

    /// Sets the scope of this guard in [shared](crate::SessionGuardLayer::with_sessions) sessions: 1 to
    /// 64 letters, digits, `.`, `_` and `-`. Default: no scope.
    ///
    /// An id that was opened in one scope is unknown in another. Guards with the same scope see the same
    /// sessions.
    pub fn scope(mut self, name: impl Into<String>) -> Self {
        self.scope = name.into();
        self
    }

    /// Sets how many GET event streams a session may have open. Default: 32; at least 1, at most 65 535.
    /// One more ends the oldest.
    ///
    /// Resumed streams (`Last-Event-ID`) have a limit of their own: four times as many, and at least 32.
    /// Streams of one kind do not end streams of the other. A GET counts even before the inner service
    /// has answered it. Beyond the limit the guard answers the oldest GET of this kind with an event
    /// stream that has already ended.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Opens a new session if `initialize` names a session that is unknown or has ended, instead of
    /// answering 404. Default: off. The guard never adopts the client's id.
    pub fn reopen_stale_sessions(mut self) -> Self {
        self.reopen_stale = true;
        self
    }

    /// Ends the session on DELETE even if the inner service refuses to end its own session with a 4xx
    /// other than 404. Default: the guard passes the refusal on and the session continues (405 says that
    /// clients may not end it).
    pub fn end_on_refused_delete(mut self) -> Self {
        self.end_on_refused_delete = true;
        self
    }

    /// Sends the inner service a DELETE for its own session after the guard has ended the outer one, so
    /// that the inner service frees its state. Default: off; the inner session ends by its own timeouts.
    ///
    /// The guard sends no DELETE if the client's DELETE or a 404 of the inner service ended the session.
    /// The request has the path and `Host` of the `initialize` that opened the session, the inner
    /// session id and the negotiated version, and no other field of the client. If the inner service
    /// requires authentication, add it in a layer inside the guard.
    ///
    /// At most 32 of these requests are in flight at once, each for at most 5 seconds. Beyond 1 024 that
    /// wait the guard sends no more. It ignores the answers. [`drain`](crate::SessionGuardLayer::drain)
    /// waits up to 5 seconds for them. If an `initialize` is given up before the inner service has
    /// answered it, the guard knows no inner id, and sends no DELETE.
    ///
    /// Each session keeps a clone of the inner service until it ends. If the inner service has a clone
    /// of [`Sessions`](crate::Sessions), dropping the guard does not end its sessions.
    pub fn end_inner_sessions(mut self) -> Self {
        self.end_inner_sessions = true;
        self
    }

    /// Adds a hook, which is notified when a session is opened, confirmed or ended, and when a request
    /// is refused. See [`SessionHook`] for what a hook may do.
    ///
    /// Several hooks are notified in the order of these calls, after the log and the metrics.
    pub fn hook(mut self, hook: impl SessionHook) -> Self {
        self.sessions_setter = Some("hook");
        self.hooks.0.push(Arc::new(hook));
        self
    }

    /// Logs what would be refused, without refusing it. Use it for the first days in front of a server
    /// that already runs. Default: off.
    ///
    /// Hooks, logs and metrics get each refusal, and the guard forwards the request to the inner service
    /// unchanged. Sessions open and end as always; beyond the session limit clients get none. A
    /// forwarded request of this kind has neither session handle nor era. Use `Option<McpSession>` and
    /// `Option<McpMessage>` in handlers, and not `Era`; an [`EraSplit`](crate::EraSplit) sends these
    /// requests to its legacy half. The guard still refuses bodies that are too large, late, broken or
    /// not JSON, and `initialize` answers over 1 MiB.
    ///
    /// **This protects nothing**: the guard checks `Host`, `Origin` and owners, but does not enforce
    /// them.
    pub fn report_only(mut self) -> Self {
        self.report_only = true;
        self
    }

    /// Sets the generator of session ids: visible ASCII (0x21 to 0x7E), at most 128 bytes. Default: UUID
    /// v4.
    ///
    /// An id is a bearer secret: use at least 128 bits from a cryptographic source.
    /// [`build`](Self::build) calls the generator once to check it. If the generator returns an invalid
    /// id, panics, or returns an id that is in use four times in a row, the guard answers `initialize`
    /// with 503.
    pub fn id_generator(mut self, generator: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.sessions_setter = Some("id_generator");
        self.ids = IdSource::custom(generator);
        self
    }

    /// Stores sessions in `store` too, so that they outlive this process and other processes with the
    /// same store know them. Default: none; sessions end with the process.
    ///
    /// The guard serves a session that it knows without a lookup. Limits of numbers apply to each
    /// process. If processes share the store, the idle timeout is accurate to a fifth, because the store
    /// gets the activity of a session at most once per tenth of it. A session that this process has had
    /// no request for during the timeout ends on this process only. See
    /// [`McpSessionStore`](crate::McpSessionStore) for what happens when a store fails.
    ///
    /// An inner service without session ids of its own needs no change. An inner service with its own
    /// ids gets its id on every process. It must be able to restore the session, or it answers 404,
    /// which ends the session cleanly. [`McpSession::opened_on`](crate::McpSession::opened_on) tells a
    /// proxy which node opened it.
    ///
    /// [`StoreOptions`] has the settings of a store: how long sessions are served while it cannot be
    /// reached, how long a call may take, and the name of this process.
    pub fn store(mut self, store: impl Into<StoreOptions>) -> Self {
        self.sessions_setter = Some("store");
        self.store = Some(store.into());
        self
    }

    /// Sets the host names under which clients may reach this endpoint. Default: `localhost`,
    /// `127.0.0.1` and `[::1]`; the list replaces them. An empty list refuses every request.
    ///
    /// | entry | matches |
    /// |---|---|
    /// | `mcp.example.com`, `192.0.2.1`, `[2001:db8::1]` | this host with any port or none |
    /// | `mcp.example.com:8443` | this host with this port |
    /// | `mcp.example.com:443`, `mcp.example.com:80` | this host with this port or none, because clients omit the default port of the URL's scheme |
    /// | `*.example.com`, `*.example.com:8443` | exactly one label in front: `a.example.com`, but neither `example.com` nor `a.b.example.com`. At least two labels must follow `*.` |
    /// | `localhost`, `localhost:8080` | also `127.0.0.1` and `[::1]`, with the same port |
    ///
    /// Pages of a host that is listed by its name may call this endpoint: see
    /// [`allowed_origins`](Self::allowed_origins). For names that no list can contain, see
    /// [`allowed_hosts_where`](Self::allowed_hosts_where).
    ///
    /// The inner service may check `Host` too, as rmcp does: give it the same names. A 403 without a
    /// [`Refusal`](crate::Refusal) in the response's extensions comes from the inner service.
    ///
    /// This check prevents DNS rebinding
    /// ([specification](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning)).
    pub fn allowed_hosts<I>(mut self, hosts: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.hosts = lists::hosts(hosts);
        self
    }

    /// Also allows the hosts that a predicate accepts. Default: no predicate. A second predicate
    /// replaces the first.
    ///
    /// The predicate adds to the list of [`allowed_hosts`](Self::allowed_hosts), or to the loopback
    /// names if no list is set. The guard calls it only for a host that the list does not match. It gets
    /// the name, in lower case and without a trailing dot, and the port if the request has one. An IP
    /// address comes in its canonical form, IPv6 in brackets. If the predicate panics, the guard refuses
    /// the request. It runs on the request path, so it must not block.
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
    /// A suffix alone is rarely enough: `name.ends_with("example.com")` is also true for
    /// `evil-example.com`.
    pub fn allowed_hosts_where(
        mut self,
        predicate: impl Fn(&str, Option<u16>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.host_predicate = Some(HostPredicate::new(predicate));
        self
    }

    /// Sets the origins of pages that may call this endpoint: `scheme://host` or `scheme://host:port`.
    /// Default: http and https on a loopback name, with any port; the list replaces them. Requests
    /// without `Origin` always pass.
    ///
    /// Scheme, host and port must match; without a port the entry has the default port of its scheme. As
    /// in [`allowed_hosts`](Self::allowed_hosts), `https://*.example.com` matches exactly one label in
    /// front, and `http://localhost:3000` also matches `http://127.0.0.1:3000` and `http://[::1]:3000`.
    ///
    /// The endpoint's own origin passes without an entry: http or https with the host and port of the
    /// request, if this host is listed by its name. A host that a wildcard or a predicate allowed may
    /// belong to another party, so its pages need an entry here.
    pub fn allowed_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.origins = lists::origins("allowed_origins", origins);
        self
    }

    /// Also allows the page origins that a predicate accepts. Default: no predicate. A second predicate
    /// replaces the first.
    ///
    /// The predicate adds to the list of [`allowed_origins`](Self::allowed_origins), or to the loopback
    /// origins if no list is set. The guard calls it only for an origin that is neither listed nor the
    /// endpoint's own, and never for `null`, for a malformed origin, or for two. It gets the scheme and
    /// the name, both in lower case, the name without a trailing dot. It also gets the port, or `None`
    /// if the page uses the default port of its scheme. An IP address comes in its canonical form, IPv6
    /// in brackets. If the predicate panics, the guard refuses the request. It runs on the request path,
    /// so it must not block.
    ///
    /// ```
    /// use mcp_session_guard::SessionGuardLayer;
    ///
    /// // Pages that a developer serves on a private address.
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
        self.origin_predicate = Some(OriginPredicate::new(predicate));
        self
    }

    /// Accepts `Origin: null` and `Origin: file://`, in addition to
    /// [`allowed_origins`](Self::allowed_origins). Default: refused.
    ///
    /// Pages in desktop apps, and pages that were opened from a file, send these origins. **But any web
    /// page can send `null`** from a sandboxed frame, so with this setting every page that the user
    /// visits can call the endpoint. Use it only if each request also needs a secret that no page knows,
    /// for example a bearer token, and if `Host` is still checked.
    ///
    /// The layer of `cors` (feature `cors`) never allows `null`. A page with this origin can call the
    /// endpoint, but its browser lets it read nothing until that layer gets an `AllowOrigin` of your
    /// own.
    pub fn dangerously_allow_null_origin(mut self) -> Self {
        self.null_origin = true;
        self
    }

    /// Accepts every well-formed `Host`. Use it only behind a proxy that checks `Host`: otherwise any
    /// web page can reach a local server by DNS rebinding.
    ///
    /// The endpoint's own origin then no longer passes without an entry in
    /// [`allowed_origins`](Self::allowed_origins).
    pub fn dangerously_allow_any_host(mut self) -> Self {
        self.hosts = Ok(AllowedHosts::any());
        self
    }

    /// Accepts every `Origin`. Use it only behind a proxy that checks `Origin`: otherwise any web page
    /// can call this endpoint from its visitor's browser.
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
