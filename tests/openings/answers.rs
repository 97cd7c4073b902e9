//! The answers that open a session, and the data that the guard stores from them.

use axum::response::Response;
use futures_util::stream;
use http_body::Body as _;
use mcp_session_guard::SessionGuardLayer;

use super::support::{
    INITIALIZE, PING, TestServer, answer_with, body_of, event_stream, next, post, respond,
    session_id, silent, with,
};
use super::{ERROR, RESULT, limit_of_one, streaming};

#[tokio::test]
async fn a_result_opens_a_session_and_only_that_answer_carries_its_id() {
    let server = TestServer::new(SessionGuardLayer::new());
    let opened = server.ask(post(None, INITIALIZE)).await;
    let id = session_id(&opened.headers);
    assert_eq!(opened.json()["result"]["serverInfo"]["name"], "recorder");
    assert_eq!(server.sessions.len(), 1);

    let session = server.sessions.get(id).unwrap();
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
    assert_eq!(
        (session.client_name(), session.client_version()),
        (Some("test"), Some("1.0"))
    );

    let used = server.ask(post(Some(id), PING)).await;
    assert!(!used.headers.contains_key("mcp-session-id"));
    let seen = server.inner.calls();
    assert_eq!(
        seen[0].session.as_ref().unwrap().id().as_str(),
        id,
        "the inner service sees the id from the start"
    );
    assert_eq!(seen[1].message.as_ref().unwrap().method(), Some("ping"));
}

#[tokio::test]
async fn accept_encoding_is_removed_from_initialize() {
    let server = TestServer::new(SessionGuardLayer::new());
    let request = with("accept-encoding: gzip", post(None, INITIALIZE));
    server.ask(request).await;
    assert!(
        !server.inner.calls()[0]
            .headers
            .contains_key("accept-encoding")
    );
}

#[tokio::test]
async fn answers_that_open_no_session_pass_without_an_id_and_free_the_slot() {
    let cases: [(u16, &str, &str); 12] = [
        (400, "application/json", ERROR),
        (500, "text/plain", "broken"),
        (404, "", ""),
        (401, "application/json", RESULT),
        (202, "", ""),
        (200, "application/json", ERROR),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"?"},"id":null}"#,
        ),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":"0","result":{}}"#,
        ),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#,
        ),
        (200, "application/json", "not json"),
        (200, "text/html", RESULT),
    ];
    for (status, content_type, body) in cases {
        let server = limit_of_one(move || respond(status, content_type, body));
        for _ in 0..2 {
            let passed = server.ask(post(None, INITIALIZE)).await;
            assert_eq!((passed.status.as_u16(), passed.text()), (status, body));
            assert!(!passed.headers.contains_key("mcp-session-id"), "{body}");
        }
        assert_eq!(server.sessions.len(), 0);
    }
}

#[tokio::test]
async fn a_string_id_that_the_inner_service_escapes_differently_is_the_same_id() {
    let server = limit_of_one(|| {
        respond(
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":"ab","result":{}}"#,
        )
    });
    let asked = r#"{"jsonrpc":"2.0","id":"\u0061b","method":"initialize"}"#;
    let opened = server.ask(post(None, asked)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_inner_service_may_escape_a_long_id_and_declare_identity_encoding() {
    let escaped = "\\u00fc".repeat(60);
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{escaped}","result":{{}}}}"#);
    let server = limit_of_one(move || {
        let mut response = respond(200, "application/json", body.clone());
        let identity = "identity".parse().unwrap();
        response.headers_mut().insert("content-encoding", identity);
        response
    });
    let asked = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"initialize"}}"#,
        "ü".repeat(60)
    );
    let opened = server.ask(post(None, asked)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_answer_with_a_lone_surrogate_opens_a_session_and_passes_unchanged() {
    let text = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","instructions":"\ud83d","\ude00":1}}"#;
    for (content_type, body) in [
        ("application/json", text.to_owned()),
        ("text/event-stream", format!("data: {text}\n\n")),
    ] {
        let expected = body.clone();
        let server = limit_of_one(move || respond(200, content_type, body.clone()));
        let opened = server.ask(post(None, INITIALIZE)).await;
        let id = session_id(&opened.headers);
        let session = server.sessions.get(id).expect("the session is open");
        assert_eq!(
            session.protocol_version(),
            Some("2025-06-18"),
            "{content_type}"
        );
        assert_eq!(opened.text(), expected);
    }
}

#[tokio::test]
async fn answers_that_cannot_be_judged_are_502() {
    let encoded = || {
        answer_with(
            "content-encoding: gzip",
            respond(200, "application/json", RESULT),
        )
    };
    let two_ids = || {
        let mut response = respond(200, "application/json", RESULT);
        response
            .headers_mut()
            .append("mcp-session-id", "a".parse().unwrap());
        response
            .headers_mut()
            .append("mcp-session-id", "b".parse().unwrap());
        response
    };
    let empty_id = || answer_with("mcp-session-id: ", respond(200, "application/json", RESULT));
    let large = || {
        respond(
            200,
            "application/json",
            format!(r#"{{"x":"{}"}}"#, "y".repeat(1 << 20)),
        )
    };
    let encoded_events = || {
        answer_with(
            "content-encoding: br",
            event_stream(stream::iter(["data: x

"])),
        )
    };
    for make in [
        encoded as fn() -> Response,
        two_ids,
        empty_id,
        large,
        encoded_events,
    ] {
        let server = limit_of_one(make);
        for _ in 0..2 {
            let refused = server.ask(post(None, INITIALIZE)).await;
            assert_eq!(refused.status, 502);
            assert_eq!(refused.json()["error"]["code"], -32603);
            assert_eq!(refused.json()["id"], 0);
            assert!(!refused.headers.contains_key("mcp-session-id"));
        }
        assert_eq!(server.sessions.len(), 0);
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_the_answer_is_skipped() {
    let text = format!("\u{feff}{RESULT}");
    let body = text.clone();
    let server = limit_of_one(move || respond(200, "application/json", body.clone()));
    let opened = server.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
    assert_eq!(opened.text(), text, "the answer passes unchanged");
    assert_eq!(server.sessions.len(), 1);
    // The same holds for an answer that arrives in two parts.
    let body = format!("\u{feff}{RESULT}");
    let server = limit_of_one(move || {
        let (one, other) = body.as_bytes().split_at(2);
        let parts = [one.to_vec(), other.to_vec()];
        respond(200, "application/json", body_of(stream::iter(parts)))
    });
    let opened = server.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_answer_of_exactly_one_mebibyte_opens_a_session() {
    let text = format!("{RESULT}{}", " ".repeat((1 << 20) - RESULT.len()));
    let server = limit_of_one(move || respond(200, "application/json", text.clone()));
    assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 200);
    assert_eq!(server.sessions.len(), 1);

    let (server, inner) = streaming();
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    let comment: &'static str = format!(": {}\n\n", "x".repeat((1 << 20) - 4)).leak();
    inner.send(comment).unwrap();
    assert_eq!(next(&mut body).await.unwrap().len(), 1 << 20);
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test]
async fn an_answer_read_to_its_last_byte_opens_a_session_before_its_end_is_polled() {
    let server = limit_of_one(|| respond(200, "application/json", RESULT));
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    assert_eq!(next(&mut body).await.unwrap(), RESULT);
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_json_answer_that_stalls_after_its_head_frees_the_slot() {
    let server = limit_of_one(|| respond(200, "application/json", silent()));
    for _ in 0..2 {
        assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 502);
    }
}

#[tokio::test]
async fn client_names_are_truncated_and_cleaned() {
    let server = TestServer::new(SessionGuardLayer::new());
    let name = format!("a\\u0007{}", "é".repeat(100));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"clientInfo":{{"name":"{name}","version":7}}}}}}"#
    );
    let opened = server.ask(post(None, text)).await;
    let session = server.sessions.get(session_id(&opened.headers)).unwrap();
    assert_eq!(
        session.client_name(),
        Some(&*format!("a\u{fffd}{}", "é".repeat(62)))
    );
    assert_eq!(session.client_version(), None);
}

#[tokio::test]
async fn client_names_of_plain_ascii_are_truncated_and_cleaned_too() {
    let server = TestServer::new(SessionGuardLayer::new());
    let (name, version) = ("n".repeat(128), "a\\u0007b");
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"clientInfo":{{"name":"{name}x","version":"{version}"}}}}}}"#
    );
    let opened = server.ask(post(None, text)).await;
    let session = server.sessions.get(session_id(&opened.headers)).unwrap();
    assert_eq!(session.client_name(), Some(&*name));
    assert_eq!(session.client_version(), Some("a\u{fffd}b"));
}

#[tokio::test]
async fn a_version_of_more_than_128_bytes_is_not_recorded() {
    // Many small servers repeat the version that the client asks for.
    for (length, is_recorded) in [(128, true), (129, false), (1_000_000, false)] {
        let version = "x".repeat(length);
        let text = RESULT.replace("2025-06-18", &version);
        let server = limit_of_one(move || respond(200, "application/json", text.clone()));
        let session = server.sessions.get(&server.open().await).unwrap();
        let recorded = is_recorded.then_some(&*version);
        assert_eq!(session.protocol_version(), recorded, "{length}");
    }
}
