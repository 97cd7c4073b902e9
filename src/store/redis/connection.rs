//! The connection to Redis that all calls share. It opens on first use, and again after a failure.
//!
//! The `ConnectionManager` of redis-rs keeps a connection whose peer has vanished silently, and sends
//! command after command on it. This module drops a connection at the first answer that does not come in
//! time.

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

/// The Redis server or cluster that has the sessions.
#[derive(Clone)]
pub(super) enum Server {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// One connection for all calls.
pub(super) struct SharedConnection {
    server: Server,
    current: Mutex<Option<Arc<Connection>>>,
    /// Locked while a caller connects, so that other callers wait for the same connection.
    connecting: tokio::sync::Mutex<()>,
}

/// An open connection. Clones use the same socket.
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl SharedConnection {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a command and waits for its answer, for at most [`TIME_LIMIT`].
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.ask_within(TIME_LIMIT, command).await
    }

    pub(super) async fn ask_within<T: FromRedisValue>(
        &self,
        time_limit: Duration,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let connected = timeout(time_limit, self.connection()).await;
        let connection = connected.map_err(|_| timed_out())?.map_err(failure)?;
        match timeout(time_limit, connection.ask(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if is_connection_failure(&error) {
                    self.drop_connection(&connection);
                }
                Err(failure(error))
            }
            Err(_) => {
                self.drop_connection(&connection);
                Err(timed_out())
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

    /// Drops a connection, so that the next call opens another. Calls that wait on it may still get an
    /// answer.
    fn drop_connection(&self, connection: &Arc<Connection>) {
        let mut current = self.lock();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, connection))
        {
            *current = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn connect(&self) -> RedisResult<Connection> {
        Ok(match self {
            Self::One(client) => {
                // Each caller has its own time limit.
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

/// Returns whether a new connection may help: this one broke, or leads to a server that is not a primary
/// (any more).
fn is_connection_failure(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        // Before Redis 7 the error that a script met is a part of the text.
        || error.detail().is_some_and(|detail| detail.contains("-READONLY "))
}

/// Returns the error for the log. Of an error answer it shows the code only, because the text may repeat
/// a command with its ids.
pub(super) fn failure(error: impl Into<RedisError>) -> StoreError {
    let error = error.into();
    StoreError::new(match error.code() {
        Some(code) => format!("Redis refuses: {code}"),
        None if error.is_io_error() => format!("Redis cannot be reached: {error}"),
        None => format!("Redis failed: {}", error.category()),
    })
}

/// Returns the error for an invalid URL or certificate.
pub(super) fn unusable(error: &RedisError) -> StoreError {
    let cause = match error.is_io_error() {
        // redis-rs reports an invalid certificate or key as an I/O error, and its text shows no secret.
        true => error.to_string(),
        false => error.category().to_owned(),
    };
    StoreError::new(format!(
        "a URL, certificate or key for Redis is invalid: {cause}"
    ))
}

/// Returns the error for a call that got no answer in time.
pub(super) fn timed_out() -> StoreError {
    StoreError::new("Redis did not answer in time")
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The `Debug` of a client shows its password.
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

/// The time limit for connecting, and then for each answer.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    /// Returns the error that redis-rs creates from an answer.
    fn error_of(answer: &str) -> RedisError {
        let value = parse_redis_value(answer.as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn an_error_of_a_replica_is_a_connection_failure_in_a_script_too() {
        for answer in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-READONLY You can't write against a read only replica. script: f1, on @user_script:1.\r\n",
            "-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.\r\n",
        ] {
            assert!(is_connection_failure(&error_of(answer)), "{answer}");
        }
    }

    #[test]
    fn an_error_of_one_command_is_no_connection_failure() {
        for answer in [
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-NOPERM this user has no permissions to run the 'eval' command\r\n",
        ] {
            assert!(!is_connection_failure(&error_of(answer)), "{answer}");
        }
    }
}
