//! Streamed bodies that tests write and read.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A body of these frames.
pub fn body_of<S>(frames: S) -> Body
where
    S: Stream<Item: Into<Bytes>> + Send + 'static,
{
    Body::from_stream(frames.map(|frame| Ok::<Bytes, Infallible>(frame.into())))
}

/// A body that carries nothing and never ends.
pub fn silent() -> Body {
    body_of(stream::pending::<Bytes>())
}

/// A body that the test feeds. It ends when the sender is dropped.
pub fn feed() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    (sender, body_of(frames))
}

/// A body that has no bytes at its first poll.
pub fn comes_late(text: &'static str) -> Body {
    Body::from_stream(stream::once(async move {
        tokio::task::yield_now().await;
        Ok::<_, io::Error>(text)
    }))
}

/// The next frame, or `None` at the end of the body. Panics after five seconds.
pub async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = timeout(Duration::from_secs(5), body.frame())
        .await
        .expect("a frame or the end");
    Some(frame?.unwrap().into_data().unwrap())
}

/// Returns whether no frame comes for a millisecond.
pub async fn is_silent(body: &mut Body) -> bool {
    timeout(Duration::from_millis(1), body.frame())
        .await
        .is_err()
}

/// Returns whether a body is at its end now.
pub fn is_over(body: &mut Body) -> bool {
    matches!(body.frame().now_or_never(), Some(None))
}
