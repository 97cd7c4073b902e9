//! The subscription to ends, and the proof that it missed none.
//!
//! A subscriber publishes heartbeats of its own, on the connection that ends are published on too, and
//! waits until it receives them. Redis delivers messages to a subscriber in the order in which they were
//! published. So when a heartbeat arrives, the subscriber has received every end that was published
//! before it sent the heartbeat. A subscriber on a server to which no process publishes any more never
//! receives a heartbeat.

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

use super::connection::{Server, SharedConnection, TIME_LIMIT, failure, timed_out};
use super::keys::{Keys, decode};
use super::publish;
use crate::store::{StoreError, StoreEvent, StoreEvents};

/// Subscribes to ends from now on.
pub(super) async fn open(
    connection: Arc<SharedConnection>,
    keys: Keys,
    lease: Duration,
) -> Result<StoreEvents, StoreError> {
    let echo = keys.echo();
    let channels = [keys.ends(), echo.clone()];
    let subscribed = timeout(TIME_LIMIT, subscribe(connection.server(), &channels)).await;
    let messages = subscribed.map_err(|_| timed_out())?.map_err(failure)?;
    let started = Instant::now();
    let subscriber = Subscriber {
        messages,
        heartbeats: heartbeats(connection, echo.clone(), started, lease),
        echo,
        last_failure: None,
        started,
        lease,
        deadline: started + lease,
    };
    Ok(Box::pin(stream::unfold(
        Some(subscriber),
        |subscriber| async {
            let mut subscriber = subscriber?;
            let event = subscriber.next().await;
            // The stream ends after an error.
            let subscriber = event.is_ok().then_some(subscriber);
            Some((event, subscriber))
        },
    )))
}

/// One subscription to ends.
struct Subscriber {
    messages: BoxStream<'static, Message>,
    heartbeats: BoxStream<'static, Result<(), StoreError>>,
    /// The channel of this subscriber's own heartbeats.
    echo: String,
    /// The reason why the last heartbeat could not be sent.
    last_failure: Option<StoreError>,
    /// The moment from which heartbeats count their time.
    started: Instant,
    lease: Duration,
    /// The moment by which the subscriber must receive a heartbeat.
    deadline: Instant,
}

/// A channel, and a message from it.
type Message = (String, Vec<u8>);

impl Subscriber {
    async fn next(&mut self) -> Result<StoreEvent, StoreError> {
        let (channel, message) = self.message().await?;
        if channel != self.echo {
            return decode(&message).ok_or_else(invalid_message);
        }
        let sent = str::from_utf8(&message)
            .ok()
            .and_then(|text| text.parse().ok());
        let sent = sent.map(Duration::from_nanos).ok_or_else(invalid_message)?;
        let as_of = (self.started + sent).min(Instant::now());
        // A heartbeat whose call timed out may arrive after the next one.
        self.deadline = self.deadline.max(as_of + self.lease);
        Ok(StoreEvent::Heartbeat { as_of })
    }

    /// Returns the next message. If a heartbeat cannot be sent, the subscriber sends the next one, until
    /// the deadline has passed.
    async fn message(&mut self) -> Result<Message, StoreError> {
        loop {
            let next = future::select(self.messages.next(), self.heartbeats.next());
            match timeout_at(self.deadline, next).await {
                Ok(Either::Left((message, _))) => return message.ok_or_else(connection_broke),
                Ok(Either::Right((sent, _))) => self.last_failure = sent.and_then(Result::err),
                Err(_) => return Err(self.last_failure.take().unwrap_or_else(timed_out)),
            }
        }
    }
}

/// Publishes a heartbeat four times per lease, and returns the result of each.
fn heartbeats(
    connection: Arc<SharedConnection>,
    echo: String,
    started: Instant,
    lease: Duration,
) -> BoxStream<'static, Result<(), StoreError>> {
    let next = move |(connection, echo, due): (Arc<SharedConnection>, String, Instant)| async move {
        sleep_until(due).await;
        let now = Instant::now();
        let heartbeat = now.duration_since(started).as_nanos().to_string();
        let sent = publish(&connection, lease / 2, &echo, heartbeat.as_bytes()).await;
        Some((sent, (connection, echo, now + lease / 4)))
    };
    stream::unfold((connection, echo, started), next).boxed()
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

/// Subscribes on a cluster. All channels with the same tag are on one node. The cluster redirects a
/// publisher to this node, or the publisher gets an error.
async fn subscribe_to_cluster(
    client: &ClusterClient,
    channels: &[String],
) -> RedisResult<BoxStream<'static, Message>> {
    let (sender, pushes) = unbounded_channel();
    let config = ClusterConfig::new().set_push_sender(sender);
    let mut connection = client.get_async_connection_with_config(config).await?;
    connection.ssubscribe(channels).await?;
    // redis-rs subscribes again by itself and would hide missed messages, so any break ends the stream.
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
    // The stream keeps its connection open.
    let messages = messages.map(move |message| {
        let _alive = &connection;
        message
    });
    Ok(messages.boxed())
}

fn connection_broke() -> StoreError {
    StoreError::new("the connection to Redis broke")
}

fn invalid_message() -> StoreError {
    StoreError::new(
        "a message on the Redis channel of ends is invalid: do not let other programs use the prefix",
    )
}
