//! Logs and spans, and the fingerprint that replaces the id in them.

use mcp_session_guard::{Owner, SessionGuardLayer};
use tracing::field::Empty;
use tracing::instrument::WithSubscriber;
use tracing::{Instrument, info_span};

use super::support::{
    INITIALIZE, Log, PING, TestServer, initialize_result, json_response, own_ids, post,
};

#[tokio::test(start_paused = true)]
async fn logs_record_each_event_and_spans_get_the_fields_that_they_declare() {
    let log = Log::default();
    let run = async {
        let server = TestServer::build(SessionGuardLayer::builder());
        let id = server.open_and_use().await;
        let span = info_span!(
            "request",
            mcp.session.fingerprint = Empty,
            mcp.method.name = Empty,
            mcp.protocol.version = Empty
        );
        server.ping(&id).instrument(span).await;
        server.ping(&id).instrument(info_span!("no fields")).await;
        server.ping("unknown").await;
        let mut request = post(Some(&id), PING);
        let header = request.headers_mut();
        header.insert("mcp-protocol-version", "2025-06-18".parse().unwrap());
        server.ask(request).await;
        let session = server.sessions.get(&id).unwrap();
        server.sessions.end(&id);
        session.fingerprint().to_string()
    };
    let session = run.with_subscriber(log.subscriber()).await;
    let text = log.text();
    for line in [
        format!("INFO mcp_session_guard: session opened session={session}"),
        format!("DEBUG mcp_session_guard: session confirmed session={session}"),
        format!("mcp.session.fingerprint={session}"),
        "mcp.method.name=\"ping\"".to_owned(),
        "mcp.protocol.version=\"2025-11-25\"".to_owned(),
        "DEBUG mcp_session_guard: request refused reason=session_not_found status=404".to_owned(),
        format!(
            "DEBUG mcp_session_guard: request names another protocol version than was negotiated session={session}"
        ),
        format!("INFO mcp_session_guard: session ended session={session} reason=revoked lived=0ns"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_span_records_no_method_longer_than_128_bytes() {
    let log = Log::default();
    let run = async {
        let server = TestServer::build(SessionGuardLayer::builder());
        let id = server.open_and_use().await;
        for length in [128, 129] {
            let span = info_span!("request", mcp.method.name = Empty);
            let call = PING.replace("ping", &"x".repeat(length));
            server.ask(post(Some(&id), call)).instrument(span).await;
        }
    };
    run.with_subscriber(log.subscriber()).await;
    let text = log.text();
    assert!(text.contains(&format!("\"{}\"", "x".repeat(128))));
    assert!(!text.contains(&"x".repeat(129)));
}

#[tokio::test]
async fn a_refusal_that_a_client_can_cause_at_will_logs_no_warning() {
    let log = Log::default();
    let run = async {
        let owner = |_: &http::request::Parts| -> Result<_, axum::BoxError> {
            Ok(Some(Owner::new("alice")))
        };
        let guard = SessionGuardLayer::builder().owner(owner);
        let server = TestServer::build(guard.max_sessions_per_owner(1));
        let _held = server.send(post(None, INITIALIZE)).await;
        server.ask(post(None, INITIALIZE)).await.status
    };
    let refused = run.with_subscriber(log.subscriber()).await;
    assert_eq!(refused, 503);
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[tokio::test]
async fn a_listed_version_that_is_not_the_negotiated_one_is_logged() {
    let nameless = r#"{"jsonrpc":"2.0","id":0,"result":{}}"#;
    let named = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    for (result, header, is_logged) in [
        (named, Some("2025-06-18"), true),
        (named, Some("2025-11-25"), false),
        (named, None, false),
        (nameless, Some("2025-06-18"), false),
    ] {
        let log = Log::default();
        let handler = async move || json_response(200, &serde_json::from_str(result).unwrap());
        let server = TestServer::around(SessionGuardLayer::new(), handler);
        let id = server.open().await;
        let mut request = post(Some(&id), PING);
        if let Some(version) = header {
            let version = version.parse().unwrap();
            request
                .headers_mut()
                .insert("mcp-protocol-version", version);
        }
        let answer = server.ask(request).with_subscriber(log.subscriber()).await;
        assert_eq!(answer.status, 200);
        let text = log.text();
        let words = "request names another protocol version than was negotiated";
        assert_eq!(text.contains(words), is_logged, "{header:?} {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_under_a_sessionless_version_is_logged() {
    let log = Log::default();
    let handler = async || {
        let body = initialize_result(&0.into()).to_string();
        let body = body.replace("2025-11-25", "2026-07-28");
        json_response(200, &serde_json::from_str(&body).unwrap())
    };
    let server = TestServer::around(SessionGuardLayer::new(), handler);
    server.open().with_subscriber(log.subscriber()).await;
    let text = log.text();
    assert!(
        text.contains("WARN mcp_session_guard: the inner service answered initialize with"),
        "{text}"
    );
}

#[tokio::test]
async fn fingerprints_differ_between_sessions_and_stay_the_same() {
    let server = TestServer::build(SessionGuardLayer::builder());
    let ids = [server.open().await, server.open().await];
    let prints = ids
        .each_ref()
        .map(|id| server.sessions.get(id).unwrap().fingerprint());
    assert_ne!(prints[0], prints[1]);
    assert_eq!(
        prints[0],
        server.sessions.get(&ids[0]).unwrap().fingerprint()
    );
    let text = prints[0].to_string();
    assert!(
        text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_evicted_by_a_request_does_not_set_the_fields_of_that_requests_span() {
    let log = Log::default();
    let run = async {
        let guard = SessionGuardLayer::builder()
            .end_inner_sessions()
            .max_sessions(1);
        let server = TestServer::around(guard.build().unwrap(), own_ids);
        let id = server.open().await;
        let evicted = server.sessions.get(&id).unwrap().fingerprint();
        let span = info_span!("request", mcp.session.fingerprint = Empty);
        let id = server.open().instrument(span).await;
        let opened = server.sessions.get(&id).unwrap().fingerprint();
        (evicted, opened)
    };
    let (evicted, opened) = run.with_subscriber(log.subscriber()).await;
    let text = log.text();
    assert!(
        text.contains(&format!("mcp.session.fingerprint={opened}")),
        "{text}"
    );
    assert!(
        !text.contains(&format!("mcp.session.fingerprint={evicted}")),
        "{text}"
    );
}
