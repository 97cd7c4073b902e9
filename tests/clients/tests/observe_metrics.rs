//! The metrics that a recorder of the crate `metrics` gets, and a check that no id is among them.

#[path = "../../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use http::Method;
use mcp_session_guard::{Eras, McpSession, Owner, Refusal, SessionEvent, SessionGuardLayer};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::sleep;
use tracing::instrument::WithSubscriber;

use support::{INITIALIZE, Log, PING, TestServer, bodiless, own_ids, post};

#[tokio::test(start_paused = true)]
async fn metrics_count_events_with_bounded_labels() {
    // Without a subscriber on this thread, tracing may cache that no log is wanted just as the
    // other test begins to log.
    let _log = tracing::subscriber::set_default(Log::default().subscriber());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = TestServer::new(SessionGuardLayer::builder().report_only().build().unwrap());
    let ids = [server.open().await, server.open().await];
    let get = server.send(bodiless(Method::GET, Some(&ids[0]))).await;
    sleep(Duration::from_secs(2)).await;
    server.ask(bodiless(Method::DELETE, Some(&ids[1]))).await;
    server.ping("unknown").await;
    server.ask(post(None, "{")).await;
    let read: BTreeMap<String, String> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, description, value)| {
            assert!(description.is_some(), "{key:?} is described");
            let labels = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()));
            let name = format!(
                "{} {}",
                key.key().name(),
                labels.collect::<Vec<_>>().join(",")
            );
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Gauge(level) => level.to_string(),
                DebugValue::Histogram(values) => format!("{values:?}"),
            };
            (name, value)
        })
        .collect();
    let expected = [
        ("mcp.server.request.refused reason=parse_error", "1"),
        ("mcp.server.request.reported reason=session_not_found", "1"),
        ("mcp.server.session.active ", "1"),
        (
            "mcp.server.session.duration mcp.protocol.version=2025-11-25",
            "[2.0]",
        ),
        ("mcp.server.session.ended reason=deleted", "1"),
        ("mcp.server.session.opened ", "2"),
        ("mcp.server.session.stream.active ", "1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(read, BTreeMap::from(expected));
    drop(get);
}

#[tokio::test(start_paused = true)]
async fn no_log_metric_or_debug_output_of_a_busy_run_shows_an_id() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let log = Log::default();
    let printed = Arc::new(Mutex::new(String::new()));
    let hook = printed.clone();
    let guard = SessionGuardLayer::builder()
        .hook(move |event: &SessionEvent<'_>| {
            hook.lock()
                .unwrap()
                .push_str(&format!("{event:?} {event:#?}\n"));
        })
        .owner(
            |request: &http::request::Parts| -> Result<_, axum::BoxError> {
                Ok(request.headers.get("user").map(|_| Owner::new("alice")))
            },
        )
        .end_inner_sessions()
        .eras(Eras::Both)
        .max_sessions(20)
        .build()
        .unwrap();
    let server = TestServer::around(guard.clone(), own_ids);
    let print = |what: &dyn std::fmt::Debug| {
        printed
            .lock()
            .unwrap()
            .push_str(&format!("{what:?} {what:#?}\n"));
    };
    let run = async {
        let mut ids = Vec::new();
        for turn in 0..40 {
            let answer = server.send(post(None, INITIALIZE)).await;
            let id = answer.headers()["mcp-session-id"]
                .to_str()
                .unwrap()
                .to_owned();
            print(&answer);
            drop(to_bytes(answer.into_body(), usize::MAX).await);
            let session: McpSession = server.sessions.get(&id).unwrap();
            print(&session);
            print(session.id());
            print(&server.send(post(Some(&id), PING)).await);
            let stream = server.send(bodiless(Method::GET, Some(&id))).await;
            print(&stream);
            for refused in [
                post(Some(&id), INITIALIZE),
                post(Some(&id), "{"),
                post(Some(&format!("{id}0")), PING),
                bodiless(Method::PUT, Some(&id)),
            ] {
                let answer = server.send(refused).await;
                print(&answer);
                print(&answer.extensions().get::<Refusal>());
                print(&to_bytes(answer.into_body(), usize::MAX).await);
            }
            // In the query, in a cookie and in the body an id has no meaning, and the answer does
            // not repeat it.
            let mut elsewhere = post(
                None,
                PING.replace("1", &format!("\"{id}x\""))
                    .replacen("2.0", "1.0", 1),
            );
            *elsewhere.uri_mut() = format!("/mcp?mcp-session-id={id}").parse().unwrap();
            elsewhere
                .headers_mut()
                .insert("cookie", format!("mcp-session-id={id}").parse().unwrap());
            assert_eq!(server.send(elsewhere).await.status(), 400);
            match turn % 4 {
                0 => drop(server.send(bodiless(Method::DELETE, Some(&id))).await),
                1 => drop(session.end()),
                2 => drop(server.sessions.end(&id)),
                _ => {}
            }
            drop(stream);
            ids.push(id);
        }
        print(&guard);
        print(&server.sessions);
        print(&server.sessions.stats());
        print(&server.sessions.snapshot());
        sleep(Duration::from_secs(3 * 3600)).await;
        guard.drain(Duration::from_secs(1)).await;
        ids
    };
    let ids = run.with_subscriber(log.subscriber()).await;
    let metrics = format!("{:?}", snapshotter.snapshot().into_vec());
    let printed = printed.lock().unwrap();
    assert!(log.text().lines().count() > 200 && printed.lines().count() > 1000);
    for id in ids
        .iter()
        .map(String::as_str)
        .chain(["an-inner-id-that-is-secret"])
    {
        for text in [&log.text(), &metrics, &*printed] {
            assert!(!text.contains(id), "{id} is visible");
        }
    }
}
