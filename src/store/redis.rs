//! A session store in [Redis](https://redis.io) or [Valkey](https://valkey.io) (feature `redis`).
//!
//! ```no_run
//! use mcp_session_guard::SessionGuardLayer;
//! use mcp_session_guard::store::{RedisStore, StoreOptions};
//!
//! let store = RedisStore::open("redis://10.0.0.5:6379")?.prefix("mail:");
//! let guard = SessionGuardLayer::builder()
//!     .store(StoreOptions::new(store).node_name("mail-1"))
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The store connects on first use, and again whenever a connection fails or falls silent. A server
//! starts without its Redis and continues once Redis is there. An answer that takes longer than one
//! second counts as a failure. With feature `redis-tls` a URL may be `rediss://…`. The program must then
//! choose the cryptography of `rustls` (its feature `ring` or `aws_lc_rs`), or connecting panics.
//! `RedisOptions` sets certificates.
//!
//! # Requirements
//!
//! Redis 6.2 or newer, or any Valkey; for a cluster 7.0 or newer. The user needs these permissions:
//!
//! ```text
//! ACL SETUSER guard on >password resetkeys resetchannels -@all ~mcp:* &mcp:* +getex +set +del
//!     +eval +pttl +pexpire +publish +subscribe +ping +hello +select
//! ```
//!
//! In a cluster the user also needs `+spublish +ssubscribe +cluster|slots`. A program that can read
//! these keys, the slow log, or the output of `MONITOR` can use every session, so deny it access.
//!
//! # Keys
//!
//! | key | value | expires |
//! |---|---|---|
//! | `mcp:{<scope>:<id>}` | 32 bytes that name the owner's token, and the record | with the session |
//! | `mcp:owner:<hash>` | the owner's token | 10 s after the last session of the owner |
//!
//! A session is valid as long as its owner's token is the one that it was opened with. To remove all
//! sessions of an owner, the store removes the token. This is one command on one key, so it happens
//! whole or not at all, whatever the scopes and cluster nodes of the sessions. The records stay until
//! they expire, but no process loads them. Every key expires, by the server's clock.
//!
//! A session takes about 400 bytes of Redis, and each owner about 200 bytes once.
//!
//! The store publishes ends on the channel `mcp:{ends}`. Each process subscribes on a connection of its
//! own and publishes a heartbeat four times per lease. It must receive a heartbeat within the lease.
//!
//! # What Redis may lose
//!
//! An answer of Redis does not mean that a command is on disk, or on a replica:
//!
//! - Without persistence a restart loses all sessions. A process that knows a session serves it until it
//!   checks the session (at the next request after the connection broke). Then it answers 404.
//! - With `appendonly yes` a restart may lose the last second: sessions that opened in it are 404, and
//!   sessions that ended in it are valid again. `appendfsync always` loses nothing.
//! - A failover loses what the replica had not received, with the same effects. With
//!   `min-replicas-to-write 1` a primary that is cut off accepts no writes. It then answers the guard no
//!   reads either, because the guard reads with a command that counts as a write, so that a replica
//!   never answers. The store closes a connection to a replica and looks up the host name again. If the
//!   failover moves this name, sessions continue without further action.
//!
//! The loss of an owner's token ends the owner's sessions. It restores none.
//!
//! Memory: with `maxmemory-policy noeviction` a full Redis refuses new sessions (503), and the others
//! continue. With `volatile-*` or `allkeys-*` Redis evicts sessions, as if they had expired.
//!
//! # Clusters
//!
//! A store from [`RedisStore::cluster`] works on one key at a time, so slots may be on any node and may
//! move at any time. Ends use sharded channels, all on the node of one slot. When this node or its slot
//! changes, each subscription breaks, so the guard subscribes again and checks the sessions that it
//! knows.

mod connection;
mod keys;
#[cfg(feature = "redis-tls")]
mod options;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, ProtocolVersion, cmd};
use uuid::Uuid;

use self::connection::{Server, SharedConnection, TIME_LIMIT, unusable};
use self::keys::{Keys, OWNER_TOKEN_BYTES, OwnerToken, encode, hashed};
#[cfg(feature = "redis-tls")]
pub use self::options::RedisOptions;
use super::{
    McpSessionStore, NewSession, Refresh, SessionKey, StoreError, StoreEvent, StoreEvents,
    StoreFuture,
};

/// A session store in Redis or Valkey. The [module](self) lists what it needs, stores and may lose.
///
/// Clones share their connection. `Debug` shows no secret.
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<SharedConnection>,
    keys: Keys,
}

impl RedisStore {
    /// Creates a store on the server at this URL. Does not connect yet.
    ///
    /// The URL is `redis://user:password@host:port/database`; with feature `redis-tls` it may also begin
    /// with `rediss://`.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::on_server(&Client::open(url).map_err(|error| unusable(&error))?)
    }

    /// Creates a store on a cluster from the URLs of some of its nodes. Does not connect yet. The URLs
    /// may differ only in host and port.
    ///
    /// ```no_run
    /// use mcp_session_guard::store::RedisStore;
    ///
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
    /// let store = RedisStore::cluster(nodes)?;
    /// # Ok::<(), mcp_session_guard::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no URL, a URL is invalid, or the URLs differ in more than host and port.
    pub fn cluster<I>(urls: I) -> Result<Self, StoreError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let urls = urls.into_iter().map(|url| url.as_ref().to_owned());
        Self::on_cluster(ClusterClientBuilder::new(urls))
    }

    fn on_server(client: &Client) -> Result<Self, StoreError> {
        let info = client.get_connection_info().clone();
        // Commands are small, and each caller waits for its answer, so Nagle's algorithm would only
        // delay them.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(|error| unusable(&error))?;
        Ok(Self::with(Server::One(Box::new(client))))
    }

    fn on_cluster(cluster: ClusterClientBuilder) -> Result<Self, StoreError> {
        let cluster = cluster
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(TIME_LIMIT)
            .response_timeout(TIME_LIMIT)
            .overall_response_timeout(Some(TIME_LIMIT))
            .tcp_settings(TcpSettings::default().set_nodelay(true))
            .build();
        Ok(Self::with(Server::Cluster(Box::new(
            cluster.map_err(|error| unusable(&error))?,
        ))))
    }

    /// Sets the prefix of all keys and channels. Default: `mcp:`. Guards with different prefixes share
    /// no sessions.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.keys.prefix = prefix.into();
        self
    }

    fn with(server: Server) -> Self {
        Self {
            connection: Arc::new(SharedConnection::new(server)),
            keys: Keys {
                prefix: "mcp:".to_owned(),
            },
        }
    }

    /// Returns the owner's token. Creates one if there is none. The token expires after the session that
    /// is about to refer to it.
    async fn token(&self, owner: Uuid, expires_in: Duration) -> Result<Uuid, StoreError> {
        let token = Uuid::new_v4();
        let mut command = script(GET_OR_CREATE_TOKEN, &self.keys.owner(owner));
        command
            .arg(token.as_bytes())
            .arg(millis(expires_in.saturating_add(TOKEN_MARGIN)));
        let token: Vec<u8> = self.connection.ask(&command).await?;
        Uuid::from_slice(&token).map_err(|_| {
            StoreError::new(
                "an owner's token in Redis is invalid: do not let other programs use the prefix",
            )
        })
    }

    /// Returns whether the session is valid: anonymous, or its owner's sessions have not been removed
    /// since it opened.
    async fn is_valid(&self, owner_token: OwnerToken) -> Result<bool, StoreError> {
        let Some((owner, token)) = owner_token.owner() else {
            return Ok(true);
        };
        let current: Option<Vec<u8>> = self.connection.ask(&read(&self.keys.owner(owner))).await?;
        Ok(current.is_some_and(|current| current == token.as_bytes()))
    }

    async fn refresh_one(&self, session: &Refresh) -> Result<bool, StoreError> {
        let postpone = |key: &str, expires_in: Duration| {
            let mut command = script(POSTPONE, key);
            command.arg(millis(expires_in)).arg(OWNER_TOKEN_BYTES);
            command
        };
        let key = self.keys.session(&session.key);
        let found: Option<Vec<u8>> = self
            .connection
            .ask(&postpone(&key, session.expires_in))
            .await?;
        let Some(owner_token) = found.as_deref().and_then(OwnerToken::read) else {
            return Ok(false);
        };
        let Some((owner, token)) = owner_token.owner() else {
            return Ok(true);
        };
        let expires_in = session.expires_in.saturating_add(TOKEN_MARGIN);
        let command = postpone(&self.keys.owner(owner), expires_in);
        let current: Option<Vec<u8>> = self.connection.ask(&command).await?;
        Ok(current.is_some_and(|current| current == token.as_bytes()))
    }

    async fn publish_event(&self, event: &StoreEvent) -> Result<(), StoreError> {
        publish(
            &self.connection,
            TIME_LIMIT,
            &self.keys.ends(),
            &encode(event),
        )
        .await
    }
}

impl McpSessionStore for RedisStore {
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = self.keys.session(session.key);
            let owner_token = match session.owner.map(hashed) {
                Some(owner) => OwnerToken::new(owner, self.token(owner, session.expires_in).await?),
                None => OwnerToken::ANONYMOUS,
            };
            let mut create = cmd("SET");
            create.arg(&key).arg(owner_token.before(session.value));
            create.arg("NX").arg("PX").arg(millis(session.expires_in));
            for _ in 0..ATTEMPTS {
                let created: Option<String> = self.connection.ask(&create).await?;
                if created.is_some() {
                    return Ok(true);
                }
                // The session under this key may have ended together with the other sessions of its
                // owner.
                let found: Option<Vec<u8>> = self.connection.ask(&read(&key)).await?;
                let Some(found) = found.as_deref().and_then(OwnerToken::read) else {
                    continue;
                };
                if self.is_valid(found).await? {
                    return Ok(false);
                }
                let mut delete = script(DELETE_IF_STALE, &key);
                delete.arg(found.as_bytes());
                let () = self.connection.ask(&delete).await?;
            }
            Ok(false)
        })
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let found: Option<Vec<u8>> =
                self.connection.ask(&read(&self.keys.session(key))).await?;
            match found.and_then(OwnerToken::split) {
                Some((owner_token, value)) => {
                    Ok(self.is_valid(owner_token).await?.then_some(value))
                }
                None => Ok(None),
            }
        })
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        Box::pin(async {
            // Refreshes each session, even if one fails: a session that keeps failing must not end the
            // others.
            let refreshed = join_all(sessions.iter().map(|session| self.refresh_one(session)));
            refreshed.await.into_iter().collect()
        })
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // Removes before it publishes: a process that receives the end must not find the session.
            let () = self
                .connection
                .ask(cmd("DEL").arg(self.keys.session(key)))
                .await?;
            self.publish_event(&StoreEvent::Ended(key.clone())).await
        })
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = self.keys.owner(hashed(owner));
            let () = self.connection.ask(cmd("DEL").arg(key)).await?;
            self.publish_event(&StoreEvent::OwnerEnded(owner.into()))
                .await
        })
    }

    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        let (connection, keys) = (self.connection.clone(), self.keys.clone());
        Some(Box::pin(subscription::open(connection, keys, lease)))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", self.connection.server())
            .field("prefix", &self.keys.prefix)
            .finish_non_exhaustive()
    }
}

/// Publishes on a primary, or fails. A message that a replica publishes does not reach the other nodes.
async fn publish(
    connection: &SharedConnection,
    time_limit: Duration,
    channel: &str,
    message: &[u8],
) -> Result<(), StoreError> {
    let publish = match connection.server() {
        Server::One(_) => PUBLISH,
        Server::Cluster(_) => SHARD_PUBLISH,
    };
    connection
        .ask_within(time_limit, script(publish, channel).arg(message))
        .await
}

/// Returns a command that reads a key on a primary, or fails. A replica may lag behind, or have lost its
/// primary. GETEX counts as a write, which a replica refuses.
fn read(key: &str) -> Cmd {
    let mut command = cmd("GETEX");
    command.arg(key);
    command
}

/// Returns a command that runs a script on one key.
fn script(text: &str, key: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(key);
    command
}

fn millis(duration: Duration) -> u64 {
    // Redis refuses zero, and times that its clock cannot count.
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    millis.clamp(1, MAX_MILLIS)
}

/// Returns the owner's token, creates it if necessary, and keeps it as long as the session that will
/// refer to it. The script uses GETEX for the reason in [`read`].
const GET_OR_CREATE_TOKEN: &str = "local token = redis.call('GETEX', KEYS[1]) \
    if not token then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return ARGV[1] end \
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
    return token";
/// Postpones the expiry of an existing key, and returns the first bytes of its value.
const POSTPONE: &str = "local value = redis.call('GETEX', KEYS[1]) \
    if not value then return false end \
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
    return string.sub(value, 1, ARGV[2])";
/// Deletes a session whose owner's sessions were removed, unless another session has taken its key.
const DELETE_IF_STALE: &str = "local value = redis.call('GETEX', KEYS[1]) \
    if value and string.sub(value, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
/// Publishes a message. The script names the channel as its key, so a cluster runs it on the node of the
/// channel. This key never exists.
const PUBLISH: &str = "redis.call('GETEX', KEYS[1]) redis.call('PUBLISH', KEYS[1], ARGV[1])";
const SHARD_PUBLISH: &str = "redis.call('GETEX', KEYS[1]) redis.call('SPUBLISH', KEYS[1], ARGV[1])";
/// The time for which an owner's token outlives the sessions that refer to it.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// 100 years, in milliseconds.
const MAX_MILLIS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
/// The number of times that `create` tries to store a session while other processes use the same key.
const ATTEMPTS: usize = 4;
