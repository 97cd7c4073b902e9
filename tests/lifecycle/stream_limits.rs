//! The limits of GET streams per session: plain streams, resumed streams, and unanswered GETs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::SeqCst};

use axum::body::Body;
use futures_util::FutureExt;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::{McpMessage, SessionGuardBuilder, SessionGuardLayer};
use tokio::task::{JoinHandle, yield_now};

use super::streaming;
use super::support::{
    Answer, PING, TestServer, bodiless, feed, get, is_silent, next, opened, post, respond, silent,
    silent_stream,
};

/// An inner service whose event streams stay open. It does not answer GETs while `is_silent` is
/// set.
struct Inner {
    server: TestServer,
    id: String,
    is_silent: Arc<AtomicBool>,
}

impl Inner {
    async fn new(guard: SessionGuardBuilder) -> Self {
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = is_silent.clone();
        let inner = async move |message: Option<McpMessage>| {
            if message.is_some() {
                return opened();
            }
            if silent.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            silent_stream()
        };
        let server = TestServer::around(guard.build().unwrap(), inner);
        let id = server.open().await;
        Self {
            server,
            id,
            is_silent,
        }
    }

    fn request(&self, last_event: Option<&str>) -> Request<Body> {
        get(&self.id, last_event)
    }

    async fn open(&self, last_event: Option<&str>) -> Body {
        let response = self.server.send(self.request(last_event)).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    async fn open_many(&self, streams: usize, last_event: Option<&str>) -> Vec<Body> {
        let mut open = Vec::new();
        for _ in 0..streams {
            open.push(self.open(last_event).await);
        }
        open
    }

    /// Sends a GET that the inner service receives and does not answer.
    async fn ask(&self, last_event: Option<&str>) -> JoinHandle<Answer> {
        self.is_silent.store(true, SeqCst);
        let (server, request) = (self.server.clone(), self.request(last_event));
        let asked = tokio::spawn(async move { server.ask(request).await });
        yield_now().await;
        asked
    }

    fn in_flight(&self) -> usize {
        self.server.sessions.get(&self.id).unwrap().in_flight()
    }
}

/// Lets every woken task run.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// The number of these streams that have not ended.
fn still_open(streams: &mut [Body]) -> usize {
    let are_open = streams
        .iter_mut()
        .map(|stream| stream.frame().now_or_never().is_none());
    are_open.filter(|is_open| *is_open).count()
}

#[tokio::test]
async fn last_event_id_does_not_lift_the_stream_limit() {
    let inner = Inner::new(SessionGuardLayer::builder()).await;
    let mut streams = inner.open_many(300, Some("x")).await;
    assert_eq!(still_open(&mut streams), 128);
    assert_eq!(still_open(&mut streams[..172]), 0, "the oldest ended");
    assert_eq!(inner.in_flight(), 128);
}

#[tokio::test]
async fn thirty_three_resumed_calls_do_not_end_one_another() {
    let inner = Inner::new(SessionGuardLayer::builder()).await;
    let mut streams = inner.open_many(33, Some("7")).await;
    assert_eq!(still_open(&mut streams), 33);
}

#[tokio::test]
async fn a_session_may_resume_at_least_32_streams_whatever_its_limit_of_plain_streams() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(1)).await;
    let mut streams = inner.open_many(33, Some("7")).await;
    assert_eq!(still_open(&mut streams), 32);
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(9)).await;
    let mut streams = inner.open_many(37, Some("7")).await;
    assert_eq!(still_open(&mut streams), 36);
}

#[tokio::test]
async fn an_empty_last_event_id_does_not_lift_the_stream_limit_either() {
    let inner = Inner::new(SessionGuardLayer::builder()).await;
    let mut streams = inner.open_many(130, Some("")).await;
    assert_eq!(still_open(&mut streams), 128);
}

#[tokio::test]
async fn plain_and_resumed_streams_do_not_end_each_other() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(2)).await;
    let mut plain = inner.open_many(2, None).await;
    let mut resumed = inner.open_many(40, Some("7")).await;
    assert_eq!((still_open(&mut plain), still_open(&mut resumed)), (2, 32));
    let mut more = inner.open_many(3, None).await;
    assert_eq!((still_open(&mut plain), still_open(&mut more)), (0, 2));
    assert_eq!(still_open(&mut resumed), 32);
}

#[tokio::test]
async fn an_ended_stream_frees_its_slot() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(2)).await;
    for last_event in [None, Some("7")] {
        for _ in 0..100 {
            drop(inner.open(last_event).await);
        }
    }
    let mut streams = inner.open_many(2, None).await;
    streams.extend(inner.open_many(32, Some("7")).await);
    assert_eq!(still_open(&mut streams), 34);
}

#[tokio::test]
async fn unanswered_gets_count_and_the_oldest_is_answered_with_an_ended_stream() {
    for (last_event, limit) in [(None, 32), (Some("7"), 128)] {
        let inner = Inner::new(SessionGuardLayer::builder()).await;
        let mut asked = Vec::new();
        for _ in 0..300 {
            asked.push(inner.ask(last_event).await);
        }
        settle().await;
        assert_eq!(inner.in_flight(), limit);
        let over = asked.remove(0).await.unwrap();
        assert_eq!(over.status, 200);
        assert_eq!(over.headers["content-type"], "text/event-stream");
        assert_eq!(over.headers["cache-control"], "no-cache");
        assert_eq!(over.text(), "");
        let waiting = asked.iter().filter(|asked| !asked.is_finished()).count();
        assert_eq!(waiting, limit);
        assert!(!asked[298].is_finished(), "the newest GET waits");
        asked.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test]
async fn an_unanswered_get_ends_no_open_stream_until_it_is_answered() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(2)).await;
    let mut streams = inner.open_many(2, None).await;
    let first = inner.ask(None).await;
    assert!(!first.is_finished());
    let second = inner.ask(None).await;
    settle().await;
    assert!(first.is_finished(), "the older waiting GET is answered");
    assert!(!second.is_finished());
    assert_eq!(still_open(&mut streams), 2);
    second.abort();
    let _ = second.await;
    assert_eq!(inner.in_flight(), 2);
    inner.is_silent.store(false, SeqCst);
    streams.push(inner.open(None).await);
    assert_eq!(
        still_open(&mut streams[..1]),
        0,
        "the oldest open stream ends"
    );
    assert_eq!(still_open(&mut streams[1..]), 2);
}

#[tokio::test]
async fn a_get_whose_client_leaves_before_its_answer_frees_its_slot() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(1)).await;
    for _ in 0..20 {
        let asked = inner.ask(None).await;
        assert!(!asked.is_finished());
        asked.abort();
        let _ = asked.await;
    }
    assert_eq!(inner.in_flight(), 0);
    assert_eq!(
        inner.server.ask(post(Some(&inner.id), PING)).await.status,
        200
    );
}

#[tokio::test]
async fn gets_whose_bodies_have_not_arrived_count() {
    let inner = Inner::new(SessionGuardLayer::builder().max_streams(1)).await;
    let mut asked = Vec::new();
    for _ in 0..20 {
        let mut request = inner.request(None);
        *request.body_mut() = silent();
        let server = inner.server.clone();
        asked.push(tokio::spawn(async move { server.ask(request).await }));
        yield_now().await;
    }
    settle().await;
    assert_eq!(inner.in_flight(), 1);
    assert_eq!(asked.remove(0).await.unwrap().text(), "");
    asked.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn an_unanswered_get_ends_with_its_session() {
    let inner = Inner::new(SessionGuardLayer::builder()).await;
    let asked = inner.ask(None).await;
    assert!(inner.server.sessions.end(&inner.id));
    assert_eq!(asked.await.unwrap().status, 404);
}

#[tokio::test]
async fn one_stream_beyond_the_limit_ends_the_oldest() {
    let guard = SessionGuardLayer::builder().max_streams(2).build().unwrap();
    let (server, bodies) = streaming(guard);
    let id = server.open().await;
    let mut streams = Vec::new();
    let mut open = async |resumed: bool| {
        let (events, body) = feed();
        bodies.send(body).unwrap();
        let request = get(&id, resumed.then_some("7"));
        let stream = server.send(request).await.into_body();
        streams.push((events, stream));
    };
    open(false).await;
    open(true).await;
    open(false).await;
    open(false).await;
    assert_eq!(
        next(&mut streams[0].1).await,
        None,
        "the oldest stream ends"
    );
    for (events, stream) in &mut streams[1..] {
        events.send("data: {}\n\n").unwrap();
        assert_eq!(next(stream).await.unwrap(), "data: {}\n\n");
    }
    assert_eq!(server.sessions.get(&id).unwrap().open_streams(), 2);
}

#[tokio::test]
async fn a_get_answered_without_a_stream_ends_no_open_stream() {
    let guard = SessionGuardLayer::builder().max_streams(1).build().unwrap();
    let first = AtomicBool::new(true);
    let first = Arc::new(first);
    let server = TestServer::opening(guard, None, move |_| {
        let is_first = first.swap(false, Ordering::SeqCst);
        async move {
            match is_first {
                true => silent_stream(),
                false => respond(405, "text/plain", "no"),
            }
        }
    });
    let id = server.open().await;
    let mut stream = server
        .send(bodiless(Method::GET, Some(&id)))
        .await
        .into_body();
    assert_eq!(
        server.ask(bodiless(Method::GET, Some(&id))).await.status,
        405
    );
    assert!(is_silent(&mut stream).await);
}
