//! The ends that are published, and the proof that none was missed.
//!
//! A listener publishes a heartbeat of its own, by the connection on which ends are published too, and
//! waits until it hears that. Redis hands a listener what is published in its order: when the heartbeat is
//! back, everything that was published before it was sent has been heard. A connection to a server by
//! which nobody publishes any more never hears it.

use std::str;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::{self, BoxStream};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::{Client, Msg, PushInfo, PushKind, RedisResult};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::connection::{PATIENCE, Server, SharedConnection, failure, silent};
use super::keys::{Keys, decode};
use super::publish;
use crate::store::{StoreError, StoreEvent, StoreEvents};

/// Listens from now on.
pub(super) async fn listen(
    connection: Arc<SharedConnection>,
    keys: Keys,
    lease: Duration,
) -> Result<StoreEvents, StoreError> {
    let echo = keys.echo();
    let channels = [keys.ends(), echo.clone()];
    let subscribed = timeout(PATIENCE, subscribe(connection.server(), &channels)).await;
    let messages = subscribed.map_err(|_| silent())?.map_err(failure)?;
    let began = Instant::now();
    let listener = Listener {
        messages,
        heartbeats: heartbeats(connection, echo.clone(), began, lease),
        echo,
        failed: None,
        began,
        lease,
        until: began + lease,
    };
    Ok(Box::pin(stream::unfold(Some(listener), |listener| async {
        let mut listener = listener?;
        let event = listener.next().await;
        // After an error nothing comes.
        let listener = event.is_ok().then_some(listener);
        Some((event, listener))
    })))
}

/// One stream of ends.
struct Listener {
    messages: BoxStream<'static, Message>,
    heartbeats: BoxStream<'static, Result<(), StoreError>>,
    /// The channel of its own heartbeats.
    echo: String,
    /// Why the last heartbeat could not be sent.
    failed: Option<StoreError>,
    /// What heartbeats count from.
    began: Instant,
    lease: Duration,
    /// By when it must have heard a heartbeat.
    until: Instant,
}

/// A channel and what was published there.
type Message = (String, Vec<u8>);

impl Listener {
    async fn next(&mut self) -> Result<StoreEvent, StoreError> {
        let (channel, message) = self.message().await?;
        if channel != self.echo {
            return decode(&message).ok_or_else(unreadable);
        }
        let sent = str::from_utf8(&message).ok().and_then(|it| it.parse().ok());
        let sent = sent.map(Duration::from_nanos).ok_or_else(unreadable)?;
        let as_of = (self.began + sent).min(Instant::now());
        // One that was given up may come after its successor.
        self.until = self.until.max(as_of + self.lease);
        Ok(StoreEvent::Heartbeat { as_of })
    }

    /// The next that is published. Where a heartbeat can not be sent, the next one is tried, until it is
    /// too late for any.
    async fn message(&mut self) -> Result<Message, StoreError> {
        loop {
            let next = future::select(self.messages.next(), self.heartbeats.next());
            match timeout_at(self.until, next).await {
                Ok(Either::Left((message, _))) => return message.ok_or_else(broken),
                Ok(Either::Right((sent, _))) => self.failed = sent.and_then(Result::err),
                Err(_) => return Err(self.failed.take().unwrap_or_else(silent)),
            }
        }
    }
}

/// Publishes a heartbeat four times a lease, and tells what became of it.
fn heartbeats(
    connection: Arc<SharedConnection>,
    echo: String,
    began: Instant,
    lease: Duration,
) -> BoxStream<'static, Result<(), StoreError>> {
    let next = move |(connection, echo, due): (Arc<SharedConnection>, String, Instant)| async move {
        sleep_until(due).await;
        let now = Instant::now();
        let heartbeat = now.duration_since(began).as_nanos().to_string();
        let sent = publish(&connection, lease / 2, &echo, heartbeat.as_bytes()).await;
        Some((sent, (connection, echo, now + lease / 4)))
    };
    stream::unfold((connection, echo, began), next).boxed()
}

async fn subscribe(
    server: &Server,
    channels: &[String],
) -> RedisResult<BoxStream<'static, Message>> {
    match server {
        Server::One(client) => subscribe_to_one(client, channels).await,
        Server::Cluster(client) => subscribe_to_cluster(client, channels).await,
    }
}

async fn subscribe_to_one(
    client: &Client,
    channels: &[String],
) -> RedisResult<BoxStream<'static, Message>> {
    let mut connection = client.get_async_pubsub().await?;
    connection.subscribe(channels).await?;
    let message = |message: Msg| {
        let channel = message.get_channel_name().to_owned();
        (channel, message.get_payload_bytes().to_owned())
    };
    Ok(connection.into_on_message().map(message).boxed())
}

/// The channels of one tag are all on one node; who publishes is led there, or hears an error.
async fn subscribe_to_cluster(
    client: &ClusterClient,
    channels: &[String],
) -> RedisResult<BoxStream<'static, Message>> {
    let (sender, pushes) = unbounded_channel();
    let config = ClusterConfig::new().set_push_sender(sender);
    let mut connection = client.get_async_connection_with_config(config).await?;
    connection.ssubscribe(channels).await?;
    // It subscribes anew by itself and would hide what was missed: a break ends the messages.
    let next = move |mut pushes: UnboundedReceiver<PushInfo>| async {
        loop {
            let push = pushes.recv().await?;
            match push.kind {
                PushKind::SMessage => {
                    let message = Msg::from_push_info(push)?;
                    let channel = message.get_channel_name().to_owned();
                    return Some(((channel, message.get_payload_bytes().to_owned()), pushes));
                }
                PushKind::SSubscribe => {}
                _ => return None,
            }
        }
    };
    let messages = stream::unfold(pushes, next);
    // The connection lives as long as they are listened to.
    let messages = messages.map(move |message| {
        let _alive = &connection;
        message
    });
    Ok(messages.boxed())
}

fn broken() -> StoreError {
    StoreError::new("the connection to Redis broke")
}

fn unreadable() -> StoreError {
    StoreError::new("a message from Redis can not be read")
}
