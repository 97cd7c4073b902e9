//! Sessions in [Redis](https://redis.io) or [Valkey](https://valkey.io). Feature `redis`.
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
//! It connects when it is first needed and again whenever a connection fails or falls silent: a
//! server starts without its Redis, and goes on once that is there. An answer that takes longer than
//! a second is none. With feature `redis-tls` URLs may be `rediss://…`; the program then must choose
//! the cryptography of `rustls` (its feature `ring` or `aws_lc_rs`), or connecting panics. `RedisOptions` names
//! certificates.
//!
//! # What it needs
//!
//! Redis 6.2 or newer, or any Valkey; in a cluster 7.0 or newer. A user that may do this:
//!
//! ```text
//! ACL SETUSER guard on >password resetkeys resetchannels -@all ~mcp:* &mcp:* +getex +set +del
//!     +eval +pttl +pexpire +publish +subscribe +ping +hello +select
//! ```
//!
//! and in a cluster `+spublish +ssubscribe +cluster|slots` too. Whoever may read these keys, or the
//! server's `MONITOR` and slow log, can speak in every session: keep others out.
//!
//! # What is kept
//!
//! | key | value | expires |
//! |---|---|---|
//! | `mcp:{<scope>:<id>}` | 32 bytes that name the owner's token, and the record | with the session |
//! | `mcp:owner:<hash>` | the owner's token | 10 s after the last of his sessions |
//!
//! An owner's sessions are good as long as his token is the one that they were opened with. Removing
//! them all is removing the token: one command on one key, whole or not at all, in whatever scope and
//! on whatever node of a cluster they are. Their records stay until they expire, and nobody loads
//! them. Every key expires, by the server's clock.
//!
//! A session takes about 400 bytes of Redis, and each owner about 200 once.
//!
//! Ends are published on the channel `mcp:{ends}`. Each process listens on a connection of its own
//! and publishes a heartbeat four times a lease, which it must hear within the lease.
//!
//! # What Redis may lose
//!
//! Its answer does not mean that a command is on disk, or on a replica:
//!
//! - Without persistence a restart forgets all sessions: clients that a process still knows go on
//!   until their session is checked (the next request after the connection broke), then it is 404.
//! - With `appendonly yes` the last second may be lost: sessions that opened in it are 404, and ones
//!   that ended in it are back. `appendfsync always` loses nothing.
//! - A failover loses what the replica had not got: likewise. `min-replicas-to-write 1` keeps a
//!   primary that is cut off from taking more, here from answering at all: a read counts as a write,
//!   so a replica is never asked. A connection that meets one is given up, and the host's name
//!   looked up again: where a failover moves that, sessions go on by themselves.
//!
//! An owner's token that is lost ends his sessions; it brings none back.
//!
//! Memory: `maxmemory-policy noeviction` refuses new sessions (503) when it is full, and the others
//! go on. With `volatile-*` or `allkeys-*` Redis ends sessions to make room, as if they had expired.
//!
//! # Clusters
//!
//! [`RedisStore::cluster`] works on one key at a time, so slots may lie anywhere and move meanwhile.
//! The ends use sharded channels, all on the node of one slot; when that node or its slot changes,
//! listeners hear so, listen anew, and check what they know.

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

use self::connection::{PATIENCE, Server, SharedConnection, unusable};
use self::keys::{Keys, OWNER_TOKEN_BYTES, OwnerToken, encode, hashed};
#[cfg(feature = "redis-tls")]
pub use self::options::RedisOptions;
use super::{
    McpSessionStore, NewSession, Refresh, SessionKey, StoreError, StoreEvent, StoreEvents,
    StoreFuture,
};

/// Sessions in Redis or Valkey: see the [module](self) for what it needs, keeps, and may lose.
///
/// Clones share their connection. `Debug` shows no secret.
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<SharedConnection>,
    keys: Keys,
}

impl RedisStore {
    /// Opens the server at this URL: `redis://user:password@host:port/database`, with feature
    /// `redis-tls` also `rediss://`. Does not connect yet.
    ///
    /// # Errors
    ///
    /// The URL cannot be read.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::one(&Client::open(url).map_err(|error| unusable(&error))?)
    }

    /// Opens a cluster by the URLs of some of its nodes, which may differ only in host and port. Does
    /// not connect yet.
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
    /// There is no URL, one cannot be read, or they differ in more than their host and port.
    pub fn cluster<I>(urls: I) -> Result<Self, StoreError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let urls = urls.into_iter().map(|url| url.as_ref().to_owned());
        Self::several(ClusterClientBuilder::new(urls))
    }

    fn one(client: &Client) -> Result<Self, StoreError> {
        let info = client.get_connection_info().clone();
        // Commands are small, and each is waited for.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(|error| unusable(&error))?;
        Ok(Self::with(Server::One(Box::new(client))))
    }

    fn several(cluster: ClusterClientBuilder) -> Result<Self, StoreError> {
        let cluster = cluster
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(PATIENCE)
            .response_timeout(PATIENCE)
            .overall_response_timeout(Some(PATIENCE))
            .tcp_settings(TcpSettings::default().set_nodelay(true))
            .build();
        Ok(Self::with(Server::Cluster(Box::new(
            cluster.map_err(|error| unusable(&error))?,
        ))))
    }

    /// What the names of all keys and channels begin with. Default: `mcp:`. Guards of different
    /// prefixes share nothing.
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

    /// The owner's token, which is made if there is none, and lives as long as the session that is to
    /// bear it.
    async fn token(&self, owner: Uuid, expires_in: Duration) -> Result<Uuid, StoreError> {
        let token = Uuid::new_v4();
        let mut command = script(TOKEN, &self.keys.owner(owner));
        command
            .arg(token.as_bytes())
            .arg(millis(expires_in.saturating_add(LONGER)));
        let token: Vec<u8> = self.connection.ask(&command).await?;
        Uuid::from_slice(&token).map_err(|_| StoreError::new("an owner's token can not be read"))
    }

    /// Whether the owner of a session had no sessions removed since it opened.
    async fn is_good(&self, owner_token: OwnerToken) -> Result<bool, StoreError> {
        let Some((owner, token)) = owner_token.owner() else {
            return Ok(true);
        };
        let now: Option<Vec<u8>> = self.connection.ask(&read(&self.keys.owner(owner))).await?;
        Ok(now.is_some_and(|now| now == token.as_bytes()))
    }

    async fn refresh_one(&self, session: &Refresh) -> Result<bool, StoreError> {
        let put_off = |key: &str, until: Duration| {
            let mut command = script(PUT_OFF, key);
            command.arg(millis(until)).arg(OWNER_TOKEN_BYTES);
            command
        };
        let key = self.keys.session(&session.key);
        let found: Option<Vec<u8>> = self
            .connection
            .ask(&put_off(&key, session.expires_in))
            .await?;
        let Some(owner_token) = found.as_deref().and_then(OwnerToken::read) else {
            return Ok(false);
        };
        let Some((owner, token)) = owner_token.owner() else {
            return Ok(true);
        };
        let until = session.expires_in.saturating_add(LONGER);
        let command = put_off(&self.keys.owner(owner), until);
        let now: Option<Vec<u8>> = self.connection.ask(&command).await?;
        Ok(now.is_some_and(|now| now == token.as_bytes()))
    }

    async fn tell(&self, event: &StoreEvent) -> Result<(), StoreError> {
        publish(
            &self.connection,
            PATIENCE,
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
                // What is there may have ended with its owner's others.
                let found: Option<Vec<u8>> = self.connection.ask(&read(&key)).await?;
                let Some(found) = found.as_deref().and_then(OwnerToken::read) else {
                    continue;
                };
                if self.is_good(found).await? {
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
                Some((owner_token, value)) => Ok(self.is_good(owner_token).await?.then_some(value)),
                None => Ok(None),
            }
        })
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        Box::pin(async {
            // All are put off, whatever becomes of one: what keeps failing must not end the others.
            let refreshed = join_all(sessions.iter().map(|session| self.refresh_one(session)));
            refreshed.await.into_iter().collect()
        })
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // In this order: whoever hears of the end must not find the session.
            let () = self
                .connection
                .ask(cmd("DEL").arg(self.keys.session(key)))
                .await?;
            self.tell(&StoreEvent::Ended(key.clone())).await
        })
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = self.keys.owner(hashed(owner));
            let () = self.connection.ask(cmd("DEL").arg(key)).await?;
            self.tell(&StoreEvent::OwnerEnded(owner.into())).await
        })
    }

    fn subscribe(&self, lease: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        let (connection, keys) = (self.connection.clone(), self.keys.clone());
        Some(Box::pin(subscription::listen(connection, keys, lease)))
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

/// Publishes by a primary, or fails: what a replica is told stays there.
async fn publish(
    connection: &SharedConnection,
    patience: Duration,
    channel: &str,
    message: &[u8],
) -> Result<(), StoreError> {
    let publish = match connection.server() {
        Server::One(_) => PUBLISH,
        Server::Cluster(_) => SHARD_PUBLISH,
    };
    connection
        .ask_within(patience, script(publish, channel).arg(message))
        .await
}

/// Reads a key on a primary, or fails. A replica may lag behind, or have lost its primary; GETEX
/// counts as a write, which it refuses.
fn read(key: &str) -> Cmd {
    let mut command = cmd("GETEX");
    command.arg(key);
    command
}

/// A script that works on one key.
fn script(text: &str, key: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(key);
    command
}

fn millis(duration: Duration) -> u64 {
    // Redis refuses zero, and what its clock can not count.
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    millis.clamp(1, LONGEST)
}

/// An owner's token, kept as long as the session that will bear it. GETEX as in [`read`].
const TOKEN: &str = "local token = redis.call('GETEX', KEYS[1]) \
    if not token then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return ARGV[1] end \
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
    return token";
/// Puts off the end of a key that is there, and tells what its value begins with.
const PUT_OFF: &str = "local value = redis.call('GETEX', KEYS[1]) \
    if not value then return false end \
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
    return string.sub(value, 1, ARGV[2])";
/// Deletes a session that has ended with its owner's others, unless another has taken its place.
const DELETE_IF_STALE: &str = "local value = redis.call('GETEX', KEYS[1]) \
    if value and string.sub(value, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
/// The channel stands for a key, so that a cluster leads here; there never is one.
const PUBLISH: &str = "redis.call('GETEX', KEYS[1]) redis.call('PUBLISH', KEYS[1], ARGV[1])";
const SHARD_PUBLISH: &str = "redis.call('GETEX', KEYS[1]) redis.call('SPUBLISH', KEYS[1], ARGV[1])";
/// How much longer an owner's token lives than a session that bears it.
const LONGER: Duration = Duration::from_secs(10);
/// A hundred years, in milliseconds.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
/// How often a key may change hands while a session is created under it.
const ATTEMPTS: usize = 4;
