//! Log lines about JSON answers that open no session.

use std::time::Duration;

use tokio::time::sleep;
use tracing::instrument::WithSubscriber;

use super::support::{INITIALIZE, Log, post, respond};
use super::{ERROR, RESULT, limit_of_one};

#[tokio::test(start_paused = true)]
async fn a_json_answer_that_opens_no_session_is_logged_once_a_minute_with_the_cause() {
    for (status, content_type, body, why) in [
        (200, "application/json", "", "its body is empty"),
        (200, "application/json", "<html>", "its body is not JSON"),
        (
            200,
            "application/json",
            "[]",
            "its body is not one JSON-RPC message",
        ),
        (
            201,
            "application/json",
            r#"{"ok":true}"#,
            "its body is not one JSON-RPC message",
        ),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":"0","result":{}}"#,
            "its id is not that of the request",
        ),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#,
            "its message has a method and is no response",
        ),
    ] {
        let log = Log::default();
        let run = async {
            let server = limit_of_one(move || respond(status, content_type, body));
            for _ in 0..3 {
                let passed = server.ask(post(None, INITIALIZE)).await;
                assert_eq!((passed.status.as_u16(), passed.text()), (status, body));
            }
            sleep(Duration::from_secs(60)).await;
            server.ask(post(None, INITIALIZE)).await;
        };
        run.with_subscriber(log.subscriber()).await;
        let text = log.text();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains("opens no session"))
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        for (line, count) in lines.iter().zip(["count=1", "count=3"]) {
            assert!(line.contains("WARN"), "{line}");
            assert!(line.contains(why) && line.contains(count), "{line}");
        }
    }
}

#[tokio::test]
async fn an_opened_session_an_error_and_a_non_json_answer_log_no_warning() {
    for (status, content_type, body) in [
        (200, "application/json", RESULT),
        (200, "application/json", ERROR),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#,
        ),
        (200, "text/html", "<html>"),
        (401, "application/json", "{}"),
    ] {
        let log = Log::default();
        let run = async {
            let server = limit_of_one(move || respond(status, content_type, body));
            server.ask(post(None, INITIALIZE)).await
        };
        run.with_subscriber(log.subscriber()).await;
        assert!(!log.text().contains("WARN"), "{}", log.text());
    }
}
