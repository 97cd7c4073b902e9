//! The connection by which Redis is asked: made when it is needed, and made anew when it has failed.
//!
//! The crate's own `ConnectionManager` keeps a connection on which nothing comes back (a peer that is
//! gone without a word) and asks on it again and again; this one gives it up at the first silence.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult,
    ServerErrorKind,
};
use tokio::time::timeout;

use crate::store::StoreError;

/// Where the sessions are.
#[derive(Clone)]
pub(super) enum Server {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// One connection for all calls.
pub(super) struct SharedConnection {
    server: Server,
    held: Mutex<Option<Arc<Connection>>>,
    /// Taken by whoever connects, so that others wait for the same connection.
    connecting: tokio::sync::Mutex<()>,
}

/// Clones speak on one socket.
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl SharedConnection {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            held: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a command and waits for its answer, for [`PATIENCE`] at most.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.ask_within(PATIENCE, command).await
    }

    pub(super) async fn ask_within<T: FromRedisValue>(
        &self,
        patience: Duration,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let connected = timeout(patience, self.connection()).await;
        let connection = connected.map_err(|_| silent())?.map_err(failure)?;
        match timeout(patience, connection.ask(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if is_of_connection(&error) {
                    self.give_up(&connection);
                }
                Err(failure(error))
            }
            Err(_) => {
                self.give_up(&connection);
                Err(silent())
            }
        }
    }

    async fn connection(&self) -> RedisResult<Arc<Connection>> {
        if let Some(connection) = self.lock().clone() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = self.lock().clone() {
            return Ok(connection);
        }
        let connection = Arc::new(self.server.connect().await?);
        *self.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// Whoever still waits for an answer on it may; the next call makes another.
    fn give_up(&self, connection: &Arc<Connection>) {
        let mut held = self.lock();
        if held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, connection))
        {
            *held = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn connect(&self) -> RedisResult<Connection> {
        Ok(match self {
            Self::One(client) => {
                // Whoever asks keeps the time.
                let config = AsyncConnectionConfig::new().set_response_timeout(None);
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                Connection::One(connection.await?)
            }
            Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }
}

impl Connection {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}

/// Whether another connection may do better: it broke, or leads to a server that is no primary
/// (any more).
fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        // What a script has met is, before Redis 7, a part of a sentence.
        || error.detail().is_some_and(|detail| detail.contains("-READONLY "))
}

/// What went wrong, without what Redis says beside its code: that may repeat a command, with its
/// ids.
pub(super) fn failure(error: impl Into<RedisError>) -> StoreError {
    let error = error.into();
    StoreError::new(match error.code() {
        Some(code) => format!("Redis refuses: {code}"),
        None if error.is_io_error() => format!("Redis can not be reached: {error}"),
        None => format!("Redis can not be used: {}", error.category()),
    })
}

/// What is wrong with an address or a certificate.
pub(super) fn unusable(error: &RedisError) -> StoreError {
    StoreError::new(match error.is_io_error() {
        // The crate tells so of a certificate or a key that cannot be read.
        true => format!("Redis can not be used: {error}"),
        false => format!("Redis can not be used: {}", error.category()),
    })
}

/// It does not answer.
pub(super) fn silent() -> StoreError {
    StoreError::new("Redis does not answer in time")
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client would show its password.
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

/// How long a connection, and then each answer, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    /// What a server says, as the client tells it.
    fn said(answer: &str) -> RedisError {
        let value = parse_redis_value(answer.as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn a_server_that_is_no_primary_is_known_from_a_script_too_by_old_and_new_ones() {
        for answer in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-READONLY You can't write against a read only replica. script: f1, on @user_script:1.\r\n",
            "-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.\r\n",
        ] {
            assert!(is_of_connection(&said(answer)), "{answer}");
        }
    }

    #[test]
    fn a_refusal_of_one_command_is_none_of_the_connection() {
        for answer in [
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-NOPERM this user has no permissions to run the 'eval' command\r\n",
        ] {
            assert!(!is_of_connection(&said(answer)), "{answer}");
        }
    }
}
