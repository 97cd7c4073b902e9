//! Which answers open a session, and what the guard keeps of them.

use axum::response::Response;
use futures_util::stream;
use http_body::Body as _;
use mcp_session_guard::SessionGuardLayer;

use super::support::{
    INITIALIZE, PING, TestServer, answer_with, body_of, event_stream, next, post, respond,
    session_id, silent, with,
};
use super::{ERROR, RESULT, one_place, streaming};

#[tokio::test]
async fn a_result_opens_a_session_and_its_id_goes_out_once() {
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
        "known from the start"
    );
    assert_eq!(seen[1].message.as_ref().unwrap().method(), Some("ping"));
}

#[tokio::test]
async fn the_inner_service_is_asked_for_an_answer_that_can_be_judged() {
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
async fn answers_that_open_nothing_pass_without_an_id_and_free_the_place() {
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
        let server = one_place(move || respond(status, content_type, body));
        for _ in 0..2 {
            let passed = server.ask(post(None, INITIALIZE)).await;
            assert_eq!((passed.status.as_u16(), passed.text()), (status, body));
            assert!(!passed.headers.contains_key("mcp-session-id"), "{body}");
        }
        assert_eq!(server.sessions.len(), 0);
    }
}

#[tokio::test]
async fn a_string_id_that_the_inner_service_writes_otherwise_is_the_same_id() {
    let server = one_place(|| {
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
async fn an_inner_service_may_escape_a_long_id_and_call_its_answer_identity_encoded() {
    let escaped = "\\u00fc".repeat(60);
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{escaped}","result":{{}}}}"#);
    let server = one_place(move || {
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
async fn an_answer_with_half_of_a_surrogate_pair_opens_a_session_and_passes_as_it_is() {
    let text = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","instructions":"\ud83d","\ude00":1}}"#;
    for (content_type, body) in [
        ("application/json", text.to_owned()),
        ("text/event-stream", format!("data: {text}\n\n")),
    ] {
        let expected = body.clone();
        let server = one_place(move || respond(200, content_type, body.clone()));
        let opened = server.ask(post(None, INITIALIZE)).await;
        let id = session_id(&opened.headers);
        let session = server.sessions.get(id).expect("it is open");
        assert_eq!(
            session.protocol_version(),
            Some("2025-06-18"),
            "{content_type}"
        );
        assert_eq!(opened.text(), expected);
    }
}

#[tokio::test]
async fn answers_that_can_not_be_judged_are_502() {
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
        let server = one_place(make);
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
    let server = one_place(move || respond(200, "application/json", body.clone()));
    let opened = server.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
    assert_eq!(opened.text(), text, "it passes as it came");
    assert_eq!(server.sessions.len(), 1);
    // In an answer that comes late, too.
    let body = format!("\u{feff}{RESULT}");
    let server = one_place(move || {
        let (one, other) = body.as_bytes().split_at(2);
        let parts = [one.to_vec(), other.to_vec()];
        respond(200, "application/json", body_of(stream::iter(parts)))
    });
    let opened = server.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_answer_of_just_a_megabyte_opens_a_session() {
    let text = format!("{RESULT}{}", " ".repeat((1 << 20) - RESULT.len()));
    let server = one_place(move || respond(200, "application/json", text.clone()));
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
async fn an_answer_whose_last_byte_was_taken_opens_a_session_though_nobody_asks_for_the_end() {
    let server = one_place(|| respond(200, "application/json", RESULT));
    let mut body = server.send(post(None, INITIALIZE)).await.into_body();
    assert_eq!(next(&mut body).await.unwrap(), RESULT);
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_json_answer_that_stalls_behind_its_head_frees_the_place() {
    let server = one_place(|| respond(200, "application/json", silent()));
    for _ in 0..2 {
        assert_eq!(server.ask(post(None, INITIALIZE)).await.status, 502);
    }
}

#[tokio::test]
async fn client_texts_are_cut_and_cleaned() {
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
async fn client_texts_of_plain_ascii_are_cut_and_cleaned_too() {
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
async fn a_version_longer_than_any_can_be_is_not_kept() {
    // As many small servers repeat what the client asks for.
    for (length, is_kept) in [(128, true), (129, false), (1_000_000, false)] {
        let version = "x".repeat(length);
        let text = RESULT.replace("2025-06-18", &version);
        let server = one_place(move || respond(200, "application/json", text.clone()));
        let session = server.sessions.get(&server.open().await).unwrap();
        let kept = is_kept.then_some(&*version);
        assert_eq!(session.protocol_version(), kept, "{length}");
    }
}
