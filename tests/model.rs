//! Random scenarios of two owners on the real registry, compared with a plain map, in paused time.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use futures_util::stream;
use http::{Method, Request};
use mcp_session_guard::{Owner, SessionGuardLayer};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use support::times::{MILLI, MINUTE, paused_runtime};
use support::{
    INITIALIZE, PING, TestServer, bodiless, by, event_stream, json_response, owned, post,
    session_id, silent_stream,
};

const IDLE: Duration = Duration::from_secs(30 * 60);
const NEVER_USED: Duration = Duration::from_secs(5 * 60);
const LIFETIME: Duration = Duration::from_secs(3 * 60 * 60);
const MAX_SESSIONS: usize = 40;
const PER_OWNER: usize = 2;
const OWNERS: [&str; 2] = ["alice", "bob"];

/// One step of a scenario. A session is named by its position in the order of openings.
#[derive(Clone, Debug)]
enum Step {
    Open(Opening, &'static str),
    Ping(usize),
    /// A request of the other owner.
    Intrude(usize),
    /// A call whose client leaves before the answer.
    Leave(usize),
    Refuse(usize),
    Stream(usize),
    /// Drops the oldest open stream of the session.
    CloseStream(usize),
    Delete(usize),
    End(usize),
    EndOwner(&'static str),
    Wait(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Opening {
    Succeeds,
    SucceedsAsEvents,
    Fails,
    FailsAsEvents,
    IsDroppedUnread,
    IsLeft,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let opening = prop::sample::select(vec![
        Opening::Succeeds,
        Opening::Succeeds,
        Opening::SucceedsAsEvents,
        Opening::Fails,
        Opening::FailsAsEvents,
        Opening::IsDroppedUnread,
        Opening::IsLeft,
    ]);
    let owner = prop::sample::select(OWNERS.to_vec());
    let session = 0..6_usize;
    let step = prop_oneof![
        3 => (opening, owner.clone()).prop_map(|(opening, owner)| Step::Open(opening, owner)),
        4 => session.clone().prop_map(Step::Ping),
        1 => session.clone().prop_map(Step::Intrude),
        1 => session.clone().prop_map(Step::Leave),
        1 => session.clone().prop_map(Step::Refuse),
        2 => session.clone().prop_map(Step::Stream),
        2 => session.clone().prop_map(Step::CloseStream),
        1 => session.clone().prop_map(Step::Delete),
        1 => session.prop_map(Step::End),
        1 => owner.prop_map(Step::EndOwner),
        3 => (1..40_u32).prop_map(|minutes| Step::Wait(MINUTE * minutes)),
    ];
    prop::collection::vec(step, 1..40)
}

/// The expected state of a session.
struct Known {
    owner: &'static str,
    opened: Instant,
    last: Instant,
    is_used: bool,
    streams: Vec<Body>,
}

impl Known {
    fn is_over(&self) -> bool {
        self.opened.elapsed() >= LIFETIME
            || !self.is_used && self.opened.elapsed() >= NEVER_USED
            || self.streams.is_empty() && self.last.elapsed() >= IDLE
    }
}

/// Returns whether the owner may open one more session. At the limit the owner's longest idle
/// session is evicted.
fn make_room(known: &mut BTreeMap<String, Known>, owner: &'static str) -> bool {
    let owned_sessions = || known.iter().filter(|(_, session)| session.owner == owner);
    if owned_sessions().count() < PER_OWNER {
        return true;
    }
    let idle = owned_sessions().filter(|(_, session)| session.streams.is_empty());
    let oldest = idle.min_by_key(|(_, session)| session.last);
    let oldest = oldest.map(|(id, _)| id.clone());
    oldest.is_some_and(|id| known.remove(&id).is_some())
}

async fn answer(request: Request<Body>) -> Response {
    let is_get = request.method() == Method::GET;
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (opens, error) = (
        r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"no"}}"#,
    );
    let json = |text: &str| json_response(200, &serde_json::from_str(text).unwrap());
    let events = |text: String| event_stream(stream::iter([text]));
    match message["params"]["mode"].as_str() {
        _ if is_get => silent_stream(),
        Some("Succeeds" | "IsDroppedUnread") => json(opens),
        Some("SucceedsAsEvents") => events(format!(": hi\n\ndata: {opens}\n\n")),
        Some("Fails") => json(error),
        Some("FailsAsEvents") => events(format!("data: {error}\n\n")),
        Some("IsLeft") => std::future::pending().await,
        _ if message["method"] == "leave" => std::future::pending().await,
        _ => json_response(200, &message),
    }
}

/// Runs a scenario on both and compares them after every step.
async fn run_scenario(scenario: Vec<Step>) {
    let guard = owned(SessionGuardLayer::builder())
        .max_lifetime(LIFETIME)
        .max_sessions(MAX_SESSIONS)
        .max_sessions_per_owner(PER_OWNER)
        .build();
    let server = TestServer::around(guard.unwrap(), answer);
    let mut known = BTreeMap::<String, Known>::new();
    let mut order = Vec::<(String, &str)>::new();

    for step in scenario {
        // Makes the idle times of all sessions differ.
        sleep(MILLI).await;
        known.retain(|_, session| !session.is_over());
        let named = |session: &usize| order.get(*session).cloned();
        match &step {
            Step::Open(opening, owner) => {
                let has_room = make_room(&mut known, owner);
                let text = INITIALIZE.replace(
                    "\"params\":{",
                    &format!("\"params\":{{\"mode\":\"{opening:?}\","),
                );
                let request = server.send(by(owner, post(None, text)));
                let opened = timeout(MILLI, request).await;
                let Ok(response) = opened else {
                    assert!(has_room && matches!(opening, Opening::IsLeft));
                    continue;
                };
                if !has_room {
                    assert_eq!(response.status(), 503);
                    continue;
                }
                let id = response.headers().get("mcp-session-id");
                let id = id.map(|id| id.to_str().unwrap().to_owned());
                let sent_id = !matches!(opening, Opening::Fails);
                assert_eq!(id.is_some(), sent_id, "{opening:?}");
                if !matches!(opening, Opening::IsDroppedUnread) {
                    to_bytes(response.into_body(), usize::MAX).await.unwrap();
                }
                if let (Some(id), Opening::Succeeds | Opening::SucceedsAsEvents) = (id, opening) {
                    let now = Instant::now();
                    let session = Known {
                        owner,
                        opened: now,
                        last: now,
                        is_used: false,
                        streams: vec![],
                    };
                    known.insert(id.clone(), session);
                    order.push((id, owner));
                }
            }
            Step::Wait(time) => sleep(*time).await,
            Step::EndOwner(owner) => {
                let owned_sessions = known.values().filter(|known| known.owner == *owner);
                let owned_sessions = owned_sessions.count();
                assert_eq!(
                    server.sessions.end_owner(&Owner::new(*owner)),
                    owned_sessions
                );
                known.retain(|_, known| known.owner != *owner);
            }
            Step::Ping(session)
            | Step::Intrude(session)
            | Step::Leave(session)
            | Step::Refuse(session)
            | Step::Stream(session)
            | Step::CloseStream(session)
            | Step::Delete(session)
            | Step::End(session) => {
                let Some((id, owner)) = named(session) else {
                    continue;
                };
                let live = known.get_mut(&id).filter(|session| !session.is_over());
                act(&server, &step, &id, owner, live).await;
                if matches!(step, Step::Delete(_) | Step::End(_)) {
                    known.remove(&id);
                }
            }
        }
        known.retain(|_, session| !session.is_over());
        for (id, _) in &order {
            let session = server.sessions.get(id);
            assert_eq!(session.is_some(), known.contains_key(id), "after {step:?}");
            if let (Some(session), Some(known)) = (session, known.get(id)) {
                assert_eq!(session.in_flight(), known.streams.len(), "after {step:?}");
                assert_eq!(session.open_streams(), known.streams.len());
                assert_eq!(session.age(), known.opened.elapsed());
            }
        }
        assert_eq!(server.sessions.len(), known.len(), "after {step:?}");
    }

    // Nothing is left behind: the guard accepts exactly as many sessions as its limit.
    drop(known);
    server.sessions.end_all();
    let opens = INITIALIZE.replace("\"params\":{", "\"params\":{\"mode\":\"Succeeds\",");
    for _ in 0..MAX_SESSIONS {
        let answer = server.ask(post(None, opens.clone())).await;
        let id = session_id(&answer.headers);
        assert_eq!(server.ping(id).await, 200);
    }
    assert_eq!(server.ask(post(None, opens)).await.status, 503);
}

/// Runs one step in a session. `live` is the expected state, or `None` if the session must be
/// unknown.
async fn act(
    server: &TestServer,
    step: &Step,
    id: &str,
    owner: &'static str,
    live: Option<&mut Known>,
) {
    let ask = |request| server.ask(by(owner, request));
    let status = |alive: u16| if live.is_some() { alive } else { 404 };
    match step {
        Step::Ping(_) => {
            assert_eq!(ask(post(Some(id), PING)).await.status, status(200));
            if let Some(live) = live {
                (live.last, live.is_used) = (Instant::now(), true);
            }
        }
        Step::Intrude(_) => {
            let [one, other] = OWNERS;
            let stranger = if owner == one { other } else { one };
            let answer = server.ask(by(stranger, post(Some(id), PING))).await;
            assert_eq!(answer.status, 404);
        }
        Step::Leave(_) => {
            let call = PING.replace("ping", "leave");
            let left = timeout(MILLI, ask(post(Some(id), call))).await;
            assert_eq!(left.is_err(), live.is_some());
            if let Some(live) = live {
                (live.last, live.is_used) = (Instant::now(), true);
            }
        }
        Step::Refuse(_) => {
            assert_eq!(ask(post(Some(id), "[]")).await.status, status(400));
        }
        Step::Stream(_) => {
            let get = by(owner, bodiless(Method::GET, Some(id)));
            let response = server.send(get).await;
            assert_eq!(response.status(), status(200));
            if let Some(live) = live {
                live.streams.push(response.into_body());
            }
        }
        Step::CloseStream(_) => {
            if let Some(live) = live.filter(|live| !live.streams.is_empty()) {
                drop(live.streams.remove(0));
                live.last = Instant::now();
            }
        }
        Step::Delete(_) => {
            let deleted = ask(bodiless(Method::DELETE, Some(id))).await;
            assert_eq!(deleted.status, status(204));
        }
        Step::End(_) => assert_eq!(server.sessions.end(id), live.is_some()),
        Step::Open(..) | Step::EndOwner(_) | Step::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_scenarios_match_a_plain_map(scenario in steps()) {
        let runtime = paused_runtime();
        runtime.block_on(run_scenario(scenario));
    }
}
