//! The meanings of a 404 from an inner service with its own session ids: its session is lost, it
//! offers no GET stream, or the 404 is an ordinary answer.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::{Method, Request};
use mcp_session_guard::{EndReason, McpSession, RefusalReason, SessionGuardLayer};
use serde_json::json;

use support::{
    Answer, CALL, INITIALIZED, NOT_FOUND, PING, TestServer, answer_with, bodiless, event_stream,
    json_response, post, reason, respond,
};

/// A guard around an inner service with the session id `own` that answers GETs and messages with
/// `answer`.
fn answering(
    own: Option<&'static str>,
    answer: impl Fn(&Request<Body>) -> Response + Clone + Send + Sync + 'static,
) -> TestServer {
    TestServer::opening(SessionGuardLayer::new(), own, move |request| {
        std::future::ready(answer(&request))
    })
}

fn not_found(content_type: &str, body: impl Into<Body>) -> Response {
    respond(404, content_type, body)
}

fn rpc_error(code: i64, id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"?"}},"id":{id}}}"#)
}

async fn open(server: &TestServer) -> (String, McpSession) {
    let id = server.open().await;
    let session = server.sessions.get(&id).unwrap();
    (id, session)
}

#[tokio::test]
async fn a_404_to_a_get_that_does_not_mention_a_session_becomes_405_and_the_session_lives() {
    for body in [
        String::new(),
        "Not Found".to_owned(),
        "404 page not found\n".to_owned(),
        "<!DOCTYPE html><pre>Cannot GET /mcp</pre>".to_owned(),
        r#"{"detail":"Not Found"}"#.to_owned(),
        rpc_error(-32601, "null"),
        rpc_error(-32603, "null"),
        "x".repeat(70_000),
    ] {
        let text = body.clone();
        let server = answering(Some("own"), move |request| match *request.method() {
            Method::GET => not_found("text/plain", text.clone()),
            _ => json_response(200, &json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
        });
        let (id, session) = open(&server).await;
        let response = server.send(bodiless(Method::GET, Some(&id))).await;
        let reason = reason(&response);
        assert_eq!(reason, Some(RefusalReason::NoStream), "{body}");
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, 405, "{body}");
        assert_eq!(answer.headers["allow"], "POST, DELETE");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(session.end_reason(), None, "{body}");
        assert_eq!(server.ping(&id).await, 200);
    }
}

#[tokio::test]
async fn a_404_to_a_get_that_mentions_a_session_ends_the_session() {
    for body in [
        "Session not found".to_owned(),
        "no such SESSION".to_owned(),
        r#"{"detail":"unknown session id"}"#.to_owned(),
        rpc_error(-32600, "null"),
        rpc_error(-32000, "null"),
        rpc_error(-32001, "\"server-error\""),
    ] {
        let text = body.clone();
        let server = answering(Some("own"), move |_| {
            not_found("application/json", text.clone())
        });
        let (id, session) = open(&server).await;
        let answer = server.ask(bodiless(Method::GET, Some(&id))).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
        assert_eq!(session.end_reason(), Some(EndReason::InnerLost), "{body}");
    }
}

#[tokio::test]
async fn a_404_to_a_get_after_an_earlier_get_stream_ends_the_session() {
    for resumed in [false, true] {
        let is_lost = Arc::new(AtomicBool::new(false));
        let lost = is_lost.clone();
        let server = answering(Some("own"), move |_| {
            if lost.load(SeqCst) {
                return not_found("text/plain", "");
            }
            event_stream(stream::iter(["data: {}\n\n"]))
        });
        let (id, session) = open(&server).await;
        let mut first = bodiless(Method::GET, Some(&id));
        if resumed {
            let id = "7".parse().unwrap();
            first.headers_mut().insert("last-event-id", id);
        }
        assert_eq!(server.ask(first).await.text(), "data: {}\n\n");
        is_lost.store(true, SeqCst);
        let answer = server.ask(bodiless(Method::GET, Some(&id))).await;
        assert_eq!(answer.text(), NOT_FOUND);
        assert_eq!(session.end_reason(), Some(EndReason::InnerLost));
    }
}

#[tokio::test]
async fn a_stream_that_answered_a_post_does_not_count_as_an_earlier_get_stream() {
    let server = answering(Some("own"), |request| match *request.method() {
        Method::GET => not_found("text/plain", ""),
        _ => event_stream(stream::iter(["data: {}\n\n"])),
    });
    let (id, session) = open(&server).await;
    assert_eq!(server.ping(&id).await, 200);
    let answer = server.ask(bodiless(Method::GET, Some(&id))).await;
    assert_eq!((answer.status.as_u16(), session.end_reason()), (405, None));
}

#[tokio::test]
async fn an_encoded_404_to_a_get_becomes_405() {
    let server = answering(Some("own"), |_| {
        answer_with(
            "content-encoding: gzip",
            not_found("text/plain", &b"\x1f\x8b\x08"[..]),
        )
    });
    let (id, session) = open(&server).await;
    let answer = server.ask(bodiless(Method::GET, Some(&id))).await;
    assert_eq!((answer.status.as_u16(), session.end_reason()), (405, None));
    assert!(!answer.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn a_404_to_a_resumption_or_without_an_inner_id_passes() {
    for (own, last_event) in [(Some("own"), Some("7")), (None, Some("7")), (None, None)] {
        let server = answering(own, |_| not_found("text/plain", "no session, no event"));
        let (id, session) = open(&server).await;
        let mut request = bodiless(Method::GET, Some(&id));
        if let Some(event) = last_event {
            let event = event.parse().unwrap();
            request.headers_mut().insert("last-event-id", event);
        }
        let answer = server.ask(request).await;
        let seen = (answer.status.as_u16(), answer.text());
        assert_eq!(seen, (404, "no session, no event"));
        assert_eq!(session.end_reason(), None);
    }
}

#[tokio::test]
async fn a_404_to_a_post_with_an_error_about_the_request_passes() {
    for (code, id) in [
        (-32602, "1"),
        (-32002, "1"),
        (-32603, "1"),
        (-32601, "1"),
        (-32601, "null"),
        (-32601, "2"),
    ] {
        let error = rpc_error(code, id);
        let text = error.clone();
        let server = answering(Some("own"), move |_| {
            not_found("application/json", text.clone())
        });
        let (id, session) = open(&server).await;
        let answer = server.ask(post(Some(&id), PING)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, &*error));
        assert_eq!(session.end_reason(), None);
        assert!(!answer.headers.contains_key("mcp-session-id"));
    }
}

#[tokio::test]
async fn any_other_404_to_a_post_ends_the_session() {
    for (message, body) in [
        (PING, rpc_error(-32600, "1")),
        (PING, rpc_error(-32000, "1")),
        (PING, rpc_error(-32001, "1")),
        (PING, rpc_error(-32602, "null")),
        (PING, rpc_error(-32602, "2")),
        (PING, "Not Found".to_owned()),
        (PING, r#"{"jsonrpc":"2.0","result":{},"id":1}"#.to_owned()),
        (INITIALIZED, rpc_error(-32602, "null")),
    ] {
        let text = body.clone();
        let server = answering(Some("own"), move |_| {
            not_found("application/json", text.clone())
        });
        let (id, session) = open(&server).await;
        let answer = server.ask(post(Some(&id), message)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, NOT_FOUND));
        assert_eq!(session.end_reason(), Some(EndReason::InnerLost), "{body}");
    }
}

#[tokio::test]
async fn a_404_of_an_inner_service_with_its_own_id_ends_the_session() {
    let unknown = r#"{"jsonrpc":"2.0","id":"c1","error":{"code":-32601,"message":"?"}}"#;
    for (own, resumes, body, passed) in [
        (Some("own"), false, "gone", NOT_FOUND),
        (Some("own"), false, "", NOT_FOUND),
        (Some("own"), false, unknown, unknown),
        (Some("own"), true, "no such event", "no such event"),
        (None, false, "who?", "who?"),
    ] {
        let server = TestServer::opening(SessionGuardLayer::new(), own, move |_| async move {
            respond(404, "application/json", body)
        });
        let id = server.open().await;
        let session = server.sessions.get(&id).unwrap();
        let mut request = post(Some(&id), CALL);
        if resumes {
            request
                .headers_mut()
                .insert("last-event-id", "1".parse().unwrap());
        }
        let answer = server.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, passed));
        let reason = (passed == NOT_FOUND).then_some(EndReason::InnerLost);
        assert_eq!(session.end_reason(), reason);
    }
}

#[tokio::test]
async fn an_encoded_404_to_a_post_cannot_be_judged_and_passes() {
    let server = TestServer::opening(SessionGuardLayer::new(), Some("own"), |_| async {
        answer_with(
            "content-encoding: gzip",
            respond(404, "application/json", "compressed"),
        )
    });
    let id = server.open().await;
    let answer = server.ask(post(Some(&id), CALL)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, "compressed"));
    assert_eq!(server.sessions.len(), 1);
}
