//! `initialize`: what opens a session, what does not, and that nothing is left behind.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::any;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use mcp_session_guard::{
    EndReason, McpSession, Refusal, RefusalReason, SessionGuardBuilder, SessionGuardLayer,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tracing::instrument::WithSubscriber;

use support::{
    INITIALIZE, INITIALIZED, Log, PING, World, bodiless, initialize_result, json_response, post,
};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}"#;

/// A guard with room for one session, around an inner service that answers everything the same.
fn one_place(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> World {
    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .build()
        .unwrap();
    World::around(
        guard,
        Router::new().route("/mcp", any(async move || answer())),
    )
}

fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    if !content_type.is_empty() {
        response = response.header("content-type", content_type);
    }
    response.body(body.into()).unwrap()
}

fn events(frames: &[&str]) -> Body {
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| Bytes::from((*frame).to_owned()))
        .collect();
    Body::from_stream(stream::iter(frames).map(Ok::<_, std::io::Error>))
}

#[tokio::test]
async fn a_result_opens_a_session_and_its_id_goes_out_once() {
    let world = World::new(SessionGuardLayer::new());
    let opened = world.ask(post(None, INITIALIZE)).await;
    let id = opened.headers["mcp-session-id"].to_str().unwrap();
    assert_eq!(opened.json()["result"]["serverInfo"]["name"], "recorder");
    assert_eq!(world.sessions.len(), 1);

    let session = world.sessions.get(id).unwrap();
    assert_eq!(session.protocol_version(), Some("2025-11-25"));
    assert_eq!(
        (session.client_name(), session.client_version()),
        (Some("test"), Some("1.0"))
    );

    let used = world.ask(post(Some(id), PING)).await;
    assert!(!used.headers.contains_key("mcp-session-id"));
    let seen = world.inner.calls();
    assert_eq!(
        seen[0].session.as_ref().unwrap().id().as_str(),
        id,
        "known from the start"
    );
    assert_eq!(seen[1].message.as_ref().unwrap().method(), Some("ping"));
}

#[tokio::test]
async fn the_inner_service_is_asked_for_an_answer_that_can_be_judged() {
    let world = World::new(SessionGuardLayer::new());
    let mut request = post(None, INITIALIZE);
    request
        .headers_mut()
        .insert("accept-encoding", "gzip".parse().unwrap());
    world.ask(request).await;
    assert!(
        !world.inner.calls()[0]
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
        let world = one_place(move || answer(status, content_type, body));
        for _ in 0..2 {
            let passed = world.ask(post(None, INITIALIZE)).await;
            assert_eq!((passed.status.as_u16(), passed.text()), (status, body));
            assert!(!passed.headers.contains_key("mcp-session-id"), "{body}");
        }
        assert_eq!(world.sessions.len(), 0);
    }
}

#[tokio::test]
async fn an_id_of_the_inner_services_own_is_stripped_from_answers_that_open_nothing() {
    let world = one_place(|| {
        let mut response = answer(400, "application/json", ERROR);
        response
            .headers_mut()
            .insert("mcp-session-id", "inner".parse().unwrap());
        response
    });
    let passed = world.ask(post(None, INITIALIZE)).await;
    assert_eq!(passed.status, 400);
    assert!(!passed.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn a_string_id_that_the_inner_service_writes_otherwise_is_the_same_id() {
    let world = one_place(|| {
        answer(
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":"ab","result":{}}"#,
        )
    });
    let asked = r#"{"jsonrpc":"2.0","id":"\u0061b","method":"initialize"}"#;
    let opened = world.ask(post(None, asked)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_inner_service_may_escape_a_long_id_and_call_its_answer_identity_encoded() {
    let escaped = "\\u00fc".repeat(60);
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{escaped}","result":{{}}}}"#);
    let world = one_place(move || {
        let mut response = answer(200, "application/json", body.clone());
        let identity = "identity".parse().unwrap();
        response.headers_mut().insert("content-encoding", identity);
        response
    });
    let asked = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"initialize"}}"#,
        "ü".repeat(60)
    );
    let opened = world.ask(post(None, asked)).await;
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
        let world = one_place(move || answer(200, content_type, body.clone()));
        let opened = world.ask(post(None, INITIALIZE)).await;
        let id = opened.headers["mcp-session-id"].to_str().unwrap();
        let session = world.sessions.get(id).expect("it is open");
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
        let mut response = answer(200, "application/json", RESULT);
        response
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        response
    };
    let two_ids = || {
        let mut response = answer(200, "application/json", RESULT);
        response
            .headers_mut()
            .append("mcp-session-id", "a".parse().unwrap());
        response
            .headers_mut()
            .append("mcp-session-id", "b".parse().unwrap());
        response
    };
    let empty_id = || {
        let mut response = answer(200, "application/json", RESULT);
        response
            .headers_mut()
            .insert("mcp-session-id", "".parse().unwrap());
        response
    };
    let large = || {
        answer(
            200,
            "application/json",
            format!(r#"{{"x":"{}"}}"#, "y".repeat(1 << 20)),
        )
    };
    let encoded_events = || {
        let mut response = answer(200, "text/event-stream", "");
        *response.body_mut() = events(&["data: x\n\n"]);
        response
            .headers_mut()
            .insert("content-encoding", "br".parse().unwrap());
        response
    };
    for make in [
        encoded as fn() -> Response,
        two_ids,
        empty_id,
        large,
        encoded_events,
    ] {
        let world = one_place(make);
        for _ in 0..2 {
            let refused = world.ask(post(None, INITIALIZE)).await;
            assert_eq!(refused.status, 502);
            assert_eq!(refused.json()["error"]["code"], -32603);
            assert_eq!(refused.json()["id"], 0);
            assert!(!refused.headers.contains_key("mcp-session-id"));
        }
        assert_eq!(world.sessions.len(), 0);
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_the_answer_is_skipped() {
    let text = format!("\u{feff}{RESULT}");
    let body = text.clone();
    let world = one_place(move || answer(200, "application/json", body.clone()));
    let opened = world.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
    assert_eq!(opened.text(), text, "it passes as it came");
    assert_eq!(world.sessions.len(), 1);
    // In an answer that comes late, too.
    let body = format!("\u{feff}{RESULT}");
    let world = one_place(move || {
        let (one, other) = body.as_bytes().split_at(2);
        let parts = [one.to_vec(), other.to_vec()].map(Ok::<_, std::io::Error>);
        answer(
            200,
            "application/json",
            Body::from_stream(stream::iter(parts)),
        )
    });
    let opened = world.ask(post(None, INITIALIZE)).await;
    assert!(opened.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn an_inner_id_that_comes_twice_and_equal_counts_once() {
    for values in [&["own", "own"][..], &["own, own"], &["own,own", "own,own"]] {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = seen.clone();
        let inner = async move |request: Request<Body>| {
            let id = request.headers().get("mcp-session-id").cloned();
            log.lock().unwrap().push(id);
            let mut response = answer(200, "application/json", RESULT);
            for value in values {
                let value = value.parse().unwrap();
                response.headers_mut().append("mcp-session-id", value);
            }
            response
        };
        let app = Router::new().route("/mcp", any(inner));
        let world = World::around(SessionGuardLayer::new(), app);
        let id = world.open().await;
        assert_eq!(world.ping(&id).await, 200);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[1].as_ref().unwrap(), "own", "{values:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_json_that_opens_no_session_is_a_warning_once_a_minute_that_says_why() {
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
            let world = one_place(move || answer(status, content_type, body));
            for _ in 0..3 {
                let passed = world.ask(post(None, INITIALIZE)).await;
                assert_eq!((passed.status.as_u16(), passed.text()), (status, body));
            }
            sleep(Duration::from_secs(60)).await;
            world.ask(post(None, INITIALIZE)).await;
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
async fn a_session_an_error_and_an_answer_that_is_no_json_are_no_warning() {
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
            let world = one_place(move || answer(status, content_type, body));
            world.ask(post(None, INITIALIZE)).await
        };
        run.with_subscriber(log.subscriber()).await;
        assert!(!log.text().contains("WARN"), "{}", log.text());
    }
}

#[tokio::test]
async fn an_inner_error_a_panic_and_a_client_that_leaves_free_the_place() {
    let mode = Arc::new(AtomicUsize::new(0));
    let (chosen, held) = (mode.clone(), Arc::new(Notify::new()));
    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .build()
        .unwrap();
    let sessions = guard.sessions();
    let inner = tower::service_fn(move |_: Request<Body>| {
        let (mode, held) = (chosen.load(Ordering::SeqCst), held.clone());
        async move {
            match mode {
                0 => Err("broken".to_owned()),
                1 => panic!("broken"),
                2 => {
                    held.notified().await;
                    Err(String::new())
                }
                _ => Ok(answer(200, "application/json", RESULT)),
            }
        }
    });
    let service = tower::Layer::layer(&guard, inner);
    let open = || tower::ServiceExt::oneshot(service.clone(), post(None, INITIALIZE));

    assert_eq!(open().await.unwrap_err(), "broken");
    mode.store(1, Ordering::SeqCst);
    assert!(tokio::spawn(open()).await.unwrap_err().is_panic());
    mode.store(2, Ordering::SeqCst);
    assert!(timeout(Duration::from_millis(5), open()).await.is_err());
    mode.store(3, Ordering::SeqCst);
    assert_eq!(open().await.unwrap().status(), 200);
    assert_eq!(sessions.len(), 0, "the answer was dropped unread");
    let opened = open().await.unwrap();
    assert_eq!(sessions.len(), 1, "live from the head");
    opened.into_body().collect().await.unwrap();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_thousand_openings_at_once_never_exceed_the_limit() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = {
        let (running, most) = (running.clone(), most.clone());
        async move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            json_response(200, &initialize_result(&json!(0)))
        }
    };
    let guard = SessionGuardLayer::builder()
        .max_sessions(10)
        .build()
        .unwrap();
    let world = World::around(guard, Router::new().route("/mcp", any(slow)));
    let answers = join_all((0..1000).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { world.ask(post(None, INITIALIZE)).await })
    }))
    .await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(Result::unwrap)
        .partition(|answer| answer.status == 200);
    assert_eq!(most.load(Ordering::SeqCst), 10);
    assert_eq!(
        (opened.len(), refused.len(), world.sessions.len()),
        (10, 990, 10)
    );
    for answer in refused {
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.headers["retry-after"].as_bytes()
            ),
            (503, &b"5"[..])
        );
        assert_eq!(
            (&answer.json()["error"]["code"], &answer.json()["id"]),
            (&json!(-32603), &json!(0))
        );
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_oldest_never_used_session_goes() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(3)
        .build()
        .unwrap();
    let world = World::new(guard);
    let used = world.open_and_use().await;
    let (second, third) = (world.open().await, world.open().await);
    let evicted = world.sessions.get(&second).unwrap();
    let fourth = world.open().await;
    assert_eq!(evicted.end_reason(), Some(EndReason::Evicted));
    for (id, status) in [(used, 200), (second, 404), (third, 200), (fourth, 200)] {
        assert_eq!(world.ping(&id).await, status);
    }
    assert_eq!(
        world.ask(post(None, INITIALIZE)).await.status,
        503,
        "all are in use"
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_places_are_taken_expired_sessions_go_first() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(2)
        .build()
        .unwrap();
    let world = World::new(guard);
    world.open_and_use().await;
    sleep(Duration::from_secs(29 * 60)).await;
    let newer = world.open_and_use().await;
    sleep(Duration::from_secs(60)).await;
    world.open().await;
    assert_eq!(world.ping(&newer).await, 200);
}

/// A look at all of them for each opening would make a flood dear.
#[tokio::test(start_paused = true)]
async fn a_full_guard_looks_for_expired_sessions_once_a_second() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(2)
        .build()
        .unwrap();
    let world = World::new(guard);
    let used = world.open_and_use().await;
    // Between two sweeps, which come by themselves.
    sleep(Duration::from_millis(500)).await;
    let idle = world.open_and_use().await;
    let idle = world.sessions.get(&idle).unwrap();
    sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(world.ping(&used).await, 200);
    // A look that finds nothing.
    sleep(Duration::from_millis(59_600)).await;
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
    // What has expired since is not found within a second, but then, and not by then alone.
    for wait in [500, 0, 499] {
        sleep(Duration::from_millis(wait)).await;
        assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
    }
    assert_eq!(idle.end_reason(), None);
    sleep(Duration::from_millis(1)).await;
    let newcomer = world.open_and_use().await;
    assert_eq!(idle.end_reason(), Some(EndReason::Idle));
    for id in [&used, &newcomer] {
        assert_eq!(world.ping(id).await, 200);
    }
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_waits_for_no_more_of_that_look_than_it_needs() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(500)
        .build()
        .unwrap();
    let world = World::new(guard);
    let used = world.open_and_use().await;
    // Between two sweeps, which come by themselves.
    sleep(Duration::from_secs(1)).await;
    for _ in 1..500 {
        world.open_and_use().await;
    }
    sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(world.ping(&used).await, 200);
    sleep(Duration::from_secs(60)).await;
    world.open().await;
    let ended = world.sessions.stats().ended[&EndReason::Idle];
    assert!((1..499).contains(&ended), "{ended} have expired");
}

#[tokio::test]
async fn a_flood_of_openings_keeps_the_limit() {
    let guard = SessionGuardLayer::builder()
        .max_sessions(100)
        .build()
        .unwrap();
    let world = World::new(guard);
    for _ in 0..20_000 {
        world.inner.clear();
        world.open().await;
        assert!(world.sessions.len() <= 100);
    }
}

#[tokio::test]
async fn a_generator_that_repeats_itself_never_hands_over_a_session() {
    let guard = SessionGuardLayer::builder()
        .id_generator(|| "same".to_owned())
        .build()
        .unwrap();
    let world = World::new(guard);
    let id = world.open_and_use().await;
    let refused = world.ask(post(None, INITIALIZE)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(world.inner.count(), 2, "the inner service is not called");
    assert_eq!(
        (id.as_str(), world.ping("same").await.as_u16()),
        ("same", 200)
    );
}

#[tokio::test]
async fn a_generator_that_fails_later_is_503_and_frees_the_place() {
    let fails = Arc::new(AtomicBool::new(false));
    let chosen = fails.clone();
    let generator = move || match chosen.load(Ordering::SeqCst) {
        true => "not valid".to_owned(),
        false => "valid".to_owned(),
    };
    let guard = SessionGuardLayer::builder()
        .max_sessions(1)
        .id_generator(generator)
        .build()
        .unwrap();
    let world = World::new(guard);
    fails.store(true, Ordering::SeqCst);
    let response = world.send(post(None, INITIALIZE)).await;
    assert_eq!(response.status(), 503);
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.reason(), RefusalReason::IdGeneratorFailed);
    fails.store(false, Ordering::SeqCst);
    assert_eq!(world.open().await, "valid");
}

#[tokio::test]
async fn client_texts_are_cut_and_cleaned() {
    let world = World::new(SessionGuardLayer::new());
    let name = format!("a\\u0007{}", "é".repeat(100));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"clientInfo":{{"name":"{name}","version":7}}}}}}"#
    );
    let opened = world.ask(post(None, text)).await;
    let session = world
        .sessions
        .get(opened.headers["mcp-session-id"].to_str().unwrap())
        .unwrap();
    assert_eq!(
        session.client_name(),
        Some(&*format!("a\u{fffd}{}", "é".repeat(62)))
    );
    assert_eq!(session.client_version(), None);
}

#[tokio::test]
async fn client_texts_of_plain_ascii_are_cut_and_cleaned_too() {
    let world = World::new(SessionGuardLayer::new());
    let (name, version) = ("n".repeat(128), "a\\u0007b");
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"clientInfo":{{"name":"{name}x","version":"{version}"}}}}}}"#
    );
    let opened = world.ask(post(None, text)).await;
    let session = world
        .sessions
        .get(opened.headers["mcp-session-id"].to_str().unwrap())
        .unwrap();
    assert_eq!(session.client_name(), Some(&*name));
    assert_eq!(session.client_version(), Some("a\u{fffd}b"));
}

#[tokio::test]
async fn a_version_longer_than_any_can_be_is_not_kept() {
    // As many small servers repeat what the client asks for.
    for (length, is_kept) in [(128, true), (129, false), (1_000_000, false)] {
        let version = "x".repeat(length);
        let text = RESULT.replace("2025-06-18", &version);
        let world = one_place(move || answer(200, "application/json", text.clone()));
        let session = world.sessions.get(&world.open().await).unwrap();
        let kept = is_kept.then_some(&*version);
        assert_eq!(session.protocol_version(), kept, "{length}");
    }
}

/// An inner service that answers `initialize` with the event stream that the test feeds.
fn streaming() -> (World, mpsc::UnboundedSender<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let handler = async move |request: Request<Body>| {
        let is_initialize = request.method() == Method::POST && receiver.lock().unwrap().is_some();
        if !is_initialize {
            return answer(202, "", "");
        }
        let receiver = receiver.lock().unwrap().take().unwrap();
        let frames = stream::unfold(receiver, async |mut receiver| {
            let frame = receiver.recv().await?;
            Some((Ok::<_, std::io::Error>(Bytes::from(frame)), receiver))
        });
        answer(
            200,
            "text/event-stream; charset=utf-8",
            Body::from_stream(frames),
        )
    };
    let world = World::around(
        SessionGuardLayer::new(),
        Router::new().route("/mcp", any(handler)),
    );
    (world, sender)
}

async fn frame(body: &mut Body) -> Option<Bytes> {
    let frame = timeout(Duration::from_secs(5), body.frame())
        .await
        .expect("a frame or the end");
    Some(frame?.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn an_event_stream_opens_a_session_once_the_response_has_passed() {
    let (world, inner) = streaming();
    let opened = world.send(post(None, INITIALIZE)).await;
    let id = opened.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(opened.headers()["x-accel-buffering"], "no");
    let session = world.sessions.get(&id).expect("usable from the head");
    assert_eq!(session.protocol_version(), None);
    assert_eq!(
        world.ask(post(Some(&id), INITIALIZE)).await.status,
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
            frame(&mut body).await.unwrap(),
            text,
            "bytes pass as they come"
        );
        assert_eq!(session.protocol_version(), None);
    }
    inner.send("\n").unwrap();
    frame(&mut body).await.unwrap();
    assert_eq!(session.protocol_version(), Some("2025-06-18"));
    drop(inner);
    assert_eq!(frame(&mut body).await, None);
    assert_eq!(session.end_reason(), None);
}

#[tokio::test]
async fn an_event_stream_of_declared_length_may_still_end_early() {
    let text = format!("data: {ERROR}\n\n: bye\n\n");
    let world = one_place(move || {
        let mut response = answer(200, "text/event-stream", events(&[&text]));
        let length = text.len().into();
        response.headers_mut().insert("content-length", length);
        response
    });
    let opened = world.send(post(None, INITIALIZE)).await;
    assert!(!opened.headers().contains_key("content-length"));
}

#[tokio::test(start_paused = true)]
async fn a_json_answer_that_stalls_behind_its_head_frees_the_place() {
    let world = one_place(|| {
        let stalls = stream::pending::<Result<Bytes, std::io::Error>>();
        answer(200, "application/json", Body::from_stream(stalls))
    });
    for _ in 0..2 {
        assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 502);
    }
}

#[tokio::test]
async fn an_error_in_the_event_stream_ends_the_provisional_session() {
    let (world, inner) = streaming();
    let opened = world.send(post(None, INITIALIZE)).await;
    let mut body = opened.into_body();
    let text = "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"no\"}}\n\n";
    inner.send(text).unwrap();
    assert_eq!(frame(&mut body).await.unwrap(), text);
    assert_eq!(world.sessions.len(), 0);
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_without_the_response_ends_the_session_unless_it_can_be_resumed() {
    for (text, left) in [("data: {}\n\n", 0), ("id: 1\ndata: {}\n\n", 1)] {
        let (world, inner) = streaming();
        let mut body = world.send(post(None, INITIALIZE)).await.into_body();
        inner.send(text).unwrap();
        frame(&mut body).await;
        drop(inner);
        assert_eq!(frame(&mut body).await, None);
        assert_eq!(world.sessions.len(), left, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provisional_session_ends_after_sixty_seconds() {
    let (world, inner) = streaming();
    let mut body = world.send(post(None, INITIALIZE)).await.into_body();
    inner.send("id: 1\ndata:\n\n").unwrap();
    frame(&mut body).await;
    let session = world.sessions.snapshot().pop().unwrap();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(session.end_reason(), None);
    assert_eq!(session.ended().await, EndReason::Unconfirmed);
    let last = frame(&mut body).await.unwrap();
    assert_eq!(
        last,
        "data: {\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Session ended\"},\"id\":0}\n\n"
    );
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_initialized_has_got_the_result_on_a_resumed_stream() {
    let (world, inner) = streaming();
    let opened = world.send(post(None, INITIALIZE)).await;
    let id = opened.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut body = opened.into_body();
    inner.send("id: 1\ndata:\n\n").unwrap();
    frame(&mut body).await;
    drop(body);
    assert_eq!(world.ask(post(Some(&id), INITIALIZED)).await.status, 202);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.ping(&id).await, 202);
}

#[tokio::test]
async fn an_answer_of_just_a_megabyte_opens_a_session() {
    let text = format!("{RESULT}{}", " ".repeat((1 << 20) - RESULT.len()));
    let world = one_place(move || answer(200, "application/json", text.clone()));
    assert_eq!(world.ask(post(None, INITIALIZE)).await.status, 200);
    assert_eq!(world.sessions.len(), 1);

    let (world, inner) = streaming();
    let mut body = world.send(post(None, INITIALIZE)).await.into_body();
    let comment: &'static str = format!(": {}\n\n", "x".repeat((1 << 20) - 4)).leak();
    inner.send(comment).unwrap();
    assert_eq!(frame(&mut body).await.unwrap().len(), 1 << 20);
    assert_eq!(world.sessions.len(), 1);
}

#[tokio::test]
async fn an_event_stream_that_opens_a_session_promises_no_length_and_is_over_with_its_last_byte() {
    let text = format!("data: {RESULT}\n\n");
    let stream = text.clone();
    let world = one_place(move || answer(200, "text/event-stream", stream.clone()));
    let mut body = world.send(post(None, INITIALIZE)).await.into_body();
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(frame(&mut body).await.unwrap(), text);
    assert!(body.is_end_stream());
    assert_eq!(world.sessions.len(), 1);
}

#[tokio::test]
async fn an_answer_whose_last_byte_was_taken_opens_a_session_though_nobody_asks_for_the_end() {
    let world = one_place(|| answer(200, "application/json", RESULT));
    let mut body = world.send(post(None, INITIALIZE)).await.into_body();
    assert_eq!(frame(&mut body).await.unwrap(), RESULT);
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(world.sessions.len(), 1);
}

#[tokio::test]
async fn a_megabyte_of_events_before_the_response_ends_the_session() {
    let (world, inner) = streaming();
    let mut body = world.send(post(None, INITIALIZE)).await.into_body();
    let comment: &'static str = format!(": {}\n\n", "x".repeat(1 << 20)).leak();
    inner.send(comment).unwrap();
    assert_eq!(frame(&mut body).await.unwrap().len(), comment.len());
    assert_eq!(world.sessions.len(), 0);
    let last: Value = serde_json::from_slice(&frame(&mut body).await.unwrap()[6..]).unwrap();
    assert_eq!(
        (&last["id"], &last["error"]["code"]),
        (&json!(0), &json!(-32603))
    );
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test]
async fn an_inner_service_keeps_its_own_id_and_nobody_outside_sees_it() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let recorded = seen.clone();
    let handler = async move |request: Request<Body>| {
        let id = request.headers().get("mcp-session-id").cloned();
        recorded
            .lock()
            .unwrap()
            .push((request.method().clone(), id));
        let mut response = answer(200, "application/json", RESULT);
        response
            .headers_mut()
            .insert("mcp-session-id", "inner-7".parse().unwrap());
        response
    };
    let world = World::around(
        SessionGuardLayer::new(),
        Router::new().route("/mcp", any(handler)),
    );
    let opened = world.ask(post(None, INITIALIZE)).await;
    let id = opened.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_ne!(id, "inner-7");
    assert_eq!(opened.headers.get_all("mcp-session-id").iter().count(), 1);
    let used = world.ask(post(Some(&id), PING)).await;
    assert!(!used.headers.contains_key("mcp-session-id"));
    assert_eq!(world.ask(post(Some("inner-7"), PING)).await.status, 404);
    assert_eq!(
        world.ask(bodiless(Method::DELETE, Some(&id))).await.status,
        204
    );
    let own = Some("inner-7".parse().unwrap());
    let expected = [
        (Method::POST, None),
        (Method::POST, own.clone()),
        (Method::DELETE, own),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_session_revoked_while_it_opens_does_not_open() {
    let (gate, handles) = (
        Arc::new(Semaphore::new(0)),
        Arc::new(std::sync::Mutex::new(None)),
    );
    let (waits, kept) = (gate.clone(), handles.clone());
    let handler = async move |session: McpSession| {
        *kept.lock().unwrap() = Some(session);
        let _ = waits.acquire().await.unwrap();
        answer(200, "application/json", RESULT)
    };
    let world = World::around(
        SessionGuardLayer::new(),
        Router::new().route("/mcp", any(handler)),
    );
    let opening = tokio::spawn({
        let world = world.clone();
        async move { world.ask(post(None, INITIALIZE)).await }
    });
    while handles.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let session = handles.lock().unwrap().take().unwrap();
    assert_eq!(
        world.sessions.get(session.id().as_str()).map(|_| ()),
        None,
        "not open yet"
    );
    assert!(session.end());
    gate.add_permits(1);
    let answer = opening.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (
            200,
            r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Session ended"},"id":0}"#
        )
    );
    assert!(!answer.headers.contains_key("mcp-session-id"));
    assert_eq!(world.sessions.len(), 0);
}

#[test]
fn settings_that_can_not_work_are_errors_when_building() {
    let zero = Duration::ZERO;
    let absurd = Duration::MAX;
    type Set = fn(SessionGuardBuilder, Duration) -> SessionGuardBuilder;
    let cases: [(&str, Set); 6] = [
        ("idle_timeout", |guard, time| guard.idle_timeout(time)),
        ("never_used_timeout", |guard, time| {
            guard.never_used_timeout(time)
        }),
        ("silent_stream_timeout", |guard, time| {
            guard.silent_stream_timeout(time)
        }),
        ("lifetime", |guard, time| guard.lifetime(time)),
        ("body_timeout", |guard, time| {
            guard.body_timeout(time, Duration::from_secs(1))
        }),
        ("body_timeout", |guard, time| {
            guard.body_timeout(Duration::from_secs(1), time)
        }),
    ];
    for (setting, set) in cases {
        for time in [zero, absurd] {
            let error = set(SessionGuardLayer::builder(), time).build().unwrap_err();
            assert_eq!(error.setting(), setting);
            assert!(error.to_string().starts_with(setting));
        }
    }
    let build = SessionGuardLayer::builder;
    for (setting, builder) in [
        ("max_sessions", build().max_sessions(0)),
        ("max_sessions", build().max_sessions(usize::MAX)),
        ("max_streams", build().max_streams(0)),
        ("body_limit", build().body_limit(0)),
        ("body_limit", build().body_limit(usize::MAX)),
        ("json_depth", build().json_depth(0)),
        ("json_depth", build().json_depth(128)),
        ("id_generator", build().id_generator(String::new)),
        ("id_generator", build().id_generator(|| panic!("no ids"))),
        (
            "allowed_hosts",
            build().allowed_hosts(["https://mcp.example"]),
        ),
        ("allowed_hosts", build().allowed_hosts(["*.example"])),
        ("allowed_hosts", build().allowed_hosts(["*"])),
        ("allowed_hosts", build().allowed_hosts(["a.*.example.com"])),
        ("allowed_hosts", build().allowed_hosts(["mcp.example:"])),
        (
            "allowed_hosts",
            build()
                .allowed_hosts_where(|_, _| true)
                .allowed_hosts(["*.1.2"]),
        ),
        ("allowed_origins", build().allowed_origins(["mcp.example"])),
        (
            "allowed_origins",
            build().allowed_origins(["https://mcp.example/"]),
        ),
        (
            "allowed_origins",
            build().allowed_origins(["https://*.example"]),
        ),
        (
            "allowed_origins",
            build()
                .allowed_origins_where(|_, _, _| true)
                .dangerously_allow_null_origin()
                .allowed_origins(["null"]),
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
    assert!(build().json_depth(127).build().is_ok());
    let wildcards = build()
        .allowed_hosts(["*.example.com", "*.example.com:8443"])
        .allowed_origins(["https://*.example.com", "https://*.example.com:8443"]);
    assert!(wildcards.build().is_ok());
}
