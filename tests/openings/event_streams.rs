//! `initialize` answered by an event stream: the session is provisional until the response has
//! passed.

use std::time::Duration;

use futures_util::stream;
use http_body::Body as _;
use mcp_session_guard::EndReason;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{INITIALIZE, INITIALIZED, body_of, next, post, respond, session_id};
use super::{ERROR, RESULT, limit_of_one, streaming};

#[tokio::test]
async fn an_event_stream_opens_a_session_once_the_response_has_passed() {
    let (server, inner) = streaming();
    let opened = server.send(post(None, INITIALIZE)).await;
    let id = session_id(opened.headers()).to_owned();
    assert_eq!(opened.headers()["x-accel-buffering"], "no");
    let session = server.sessions.get(&id).expect("usable from the head");
    assert_eq!(session.protocol_version(), None);
    assert_eq!(
        server.ask(post(Some(&id), INITIALIZE)).await.status,
        400,
        "already initialized"
    );

    let mut body = opened.into_body();
    let frames = [
        "id: 0\nretry: 9\ndata:\n\n",
        ": comment\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}\r\n\r\nda",
        "ta: {\"jsonrpc\":\"2.0\",\"id\":0,\"res",
        "ult\":{\"protocolVersion\":\"2025-06-18\"}}\n",
    ];
    for text in frames {
        inner.send(text).unwrap();
        assert_eq!(
            next(&mut body).await.unwrap(),
            text,
            "bytes pass as they come"
        );
        assert_eq!(session.protocol_version(), None);
    }
    inner.send("\n").unwrap();
    next(&mut body).await.unwrap();
    assert_eq!(session.protocol_version(), Some("2025-06-18"));
    drop(inner);
    assert_eq!(next(&mut body).await, None);
    assert_eq!(session.end_reason(), None);
}

#[tokio::test]
async fn an_event_stream_of_declared_length_may_still_end_early() {
    let text = format!("data: {ERROR}\n\n: bye\n\n");
    let server = limit_of_one(move || {
        let mut response = respond(
            200,
            "text/event-stream",
            body_of(stream::iter([text.clone()])),
        );
        let length = text.len().into();
        response.headers_mut().insert("content-length", length);
        response
    });
    let opened = server.send(post(None, INITIALIZE)).await;
    assert!(!opened.headers().contains_key("content-length"));
}

#[tokio::test]
async fn an_error_in_the_event_stream_ends_the_provisional_session() {
    let (server, inner) = streaming();
    let opened = server.send(post(None, INITIALIZE)).await;
    let mut body = opened.into_body();
    let text = "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"no\"}}\n\n";
    inner.send(text).unwrap();
    assert_eq!(next(&mut body).await.unwrap(), text);
    assert_eq!(server.sessions.len(), 0);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_without_the_response_ends_the_session_unless_it_can_be_resumed() {
    for (text, left) in [("data: {}\n\n", 0), ("id: 1\ndata: {}\n\n", 1)] {
        let (server, inner) = streaming();
        let mut body = server.send(post(None, INITIALIZE)).await.into_body();
        inner.send(text).unwrap();
        next(&mut body).await;
        drop(inner);
        assert_eq!(next(&mut body).await, None);
        assert_eq!(server.sessions.len(), left, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provisional_session_ends_after_sixty_seconds() {
    let (server, inner) = streaming();
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    inner.send("id: 1\ndata:\n\n").unwrap();
    next(&mut body).await;
    let session = server.sessions.snapshot().pop().unwrap();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(session.end_reason(), None);
    assert_eq!(session.ended().await, EndReason::Unconfirmed);
    let last = next(&mut body).await.unwrap();
    assert_eq!(
        last,
        "data: {\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Session ended\"},\"id\":0}\n\n"
    );
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_initialized_notification_confirms_a_session_whose_result_came_on_a_resumed_stream() {
    let (server, inner) = streaming();
    let opened = server.send(post(None, INITIALIZE)).await;
    let id = session_id(opened.headers()).to_owned();
    let mut body = opened.into_body();
    inner.send("id: 1\ndata:\n\n").unwrap();
    next(&mut body).await;
    drop(body);
    assert_eq!(server.ask(post(Some(&id), INITIALIZED)).await.status, 202);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(server.ping(&id).await, 202);
}

#[tokio::test]
async fn an_event_stream_that_opens_a_session_declares_no_length_and_ends_with_its_last_byte() {
    let text = format!("data: {RESULT}\n\n");
    let stream = text.clone();
    let server = limit_of_one(move || respond(200, "text/event-stream", stream.clone()));
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(next(&mut body).await.unwrap(), text);
    assert!(body.is_end_stream());
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test]
async fn a_megabyte_of_events_before_the_response_ends_the_session() {
    let (server, inner) = streaming();
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    let comment: &'static str = format!(": {}\n\n", "x".repeat(1 << 20)).leak();
    inner.send(comment).unwrap();
    assert_eq!(next(&mut body).await.unwrap().len(), comment.len());
    assert_eq!(server.sessions.len(), 0);
    let last: Value = serde_json::from_slice(&next(&mut body).await.unwrap()[6..]).unwrap();
    assert_eq!(
        (&last["id"], &last["error"]["code"]),
        (&json!(0), &json!(-32603))
    );
    assert_eq!(next(&mut body).await, None);
}
