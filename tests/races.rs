//! Races between several threads.

mod support;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use futures_util::future::join_all;
use http::request::Parts;
use http::{Method, Request};
use mcp_session_guard::store::{MemoryStore, StoreOptions};
use mcp_session_guard::{Owner, Refusal, SessionEvent, SessionGuardLayer};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;

use support::rng::Rng;
use support::{
    Answer, INITIALIZE, PING, TestServer, bodiless, initialize_result, json_response, owned, post,
    silent_stream, with,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Runs each of `others` in a loop on its own thread until `work` is done.
fn while_others<T>(others: &[&(dyn Fn() + Sync)], work: impl FnOnce() -> T) -> T {
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for other in others {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    other();
                    thread::yield_now();
                }
            });
        }
        let _stop = StopOnDrop(&is_done);
        work()
    })
}

#[test]
fn every_opening_is_notified_first_and_every_end_once_while_another_thread_ends_all() {
    let lives = Arc::new(Mutex::new(HashMap::<_, Vec<_>>::new()));
    let events = lives.clone();
    let guard = SessionGuardLayer::builder().hook(move |event: &SessionEvent<'_>| {
        let (session, name) = match event {
            SessionEvent::Opened { session, .. } => (session, "opened"),
            SessionEvent::Confirmed { session, .. } => (session, "confirmed"),
            SessionEvent::Ended { session, .. } => (session, "ended"),
            _ => return,
        };
        // The thread that ends the session may run first here.
        thread::yield_now();
        let mut events = events.lock().unwrap();
        events.entry(session.fingerprint()).or_default().push(name);
    });
    let server = TestServer::build(guard);
    let end_all = || _ = server.sessions.end_all();
    while_others(&[&end_all], || {
        runtime().block_on(async {
            for _ in 0..6_000 {
                server.ask(post(None, INITIALIZE)).await;
            }
        });
    });
    end_all();
    let lives = lives.lock().unwrap();
    assert_eq!(lives.len() as u64, server.sessions.stats().opened);
    for events in lives.values() {
        // The confirmation may be notified after the end.
        assert!(
            matches!(
                events[..],
                ["opened", "ended"]
                    | ["opened", "confirmed", "ended"]
                    | ["opened", "ended", "confirmed"]
            ),
            "{events:?}"
        );
    }
}

#[test]
fn sessions_of_an_owner_that_end_while_they_are_listed_free_their_ids() {
    let (fills, filled) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
    let is_filling = fills.clone();
    let guard = SessionGuardLayer::builder()
        .owner(|request: &Parts| -> Result<_, BoxError> {
            let is_alice = request.headers.contains_key("alice");
            Ok(is_alice.then(|| Owner::new("alice")))
        })
        .id_generator(move || match is_filling.load(Ordering::SeqCst) {
            true => format!("filler-{}", filled.fetch_add(1, Ordering::SeqCst)),
            false => "always-the-same".to_owned(),
        });
    let server = TestServer::build(guard);
    let alice = Owner::new("alice");
    let open = async || -> Answer {
        let request = with("alice: 1", post(None, INITIALIZE));
        server.inner.clear();
        server.ask(request).await
    };
    runtime().block_on(async {
        // So many sessions that a look at all of them holds each part of the map for a while.
        for _ in 0..3_000 {
            server.inner.clear();
            server.ask(post(None, INITIALIZE)).await;
        }
    });
    fills.store(false, Ordering::SeqCst);
    let end_alices = || _ = server.sessions.end_owner(&alice);
    let look = || drop(server.sessions.snapshot());
    while_others(&[&end_alices, &look], || {
        runtime().block_on(async {
            for _ in 0..6_000 {
                open().await;
                end_alices();
            }
        });
    });
    assert_eq!(server.sessions.stats().opening, 0);
    let opened = runtime().block_on(open());
    assert_eq!(opened.status, 200, "the id is free: {}", opened.text());
}

const MAX_SESSIONS: usize = 12;
const OWNERS: [&str; 3] = ["alice", "bob", "carol"];

/// The events of each session in the order of their notification.
type Lives = Arc<Mutex<HashMap<String, Vec<&'static str>>>>;

/// One of two nodes that share a store.
struct Node {
    server: TestServer,
    guard: SessionGuardLayer,
    lives: Lives,
}

/// A session that a client knows, and the nodes on which a DELETE of it was answered.
struct Known {
    id: String,
    owner: &'static str,
    is_deleted: [AtomicBool; 2],
}

/// Answers a call after a few yields, so that other tasks can run in between.
async fn answer_late(request: Request<Body>) -> Response {
    let is_get = request.method() == Method::GET;
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    for _ in 0..body.len() % 4 {
        yield_now().await;
    }
    match message["method"].as_str() {
        _ if is_get => silent_stream(),
        Some("initialize") => json_response(200, &initialize_result(&message["id"])),
        _ => json_response(200, &json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
    }
}

impl Node {
    fn new(store: &MemoryStore) -> Self {
        let lives = Lives::default();
        let events = lives.clone();
        let guard = owned(SessionGuardLayer::builder())
            // Long enough for any busy machine.
            .store(StoreOptions::new(store.clone()).timeout(Duration::from_secs(60)))
            .max_sessions(MAX_SESSIONS)
            .max_sessions_per_owner(MAX_SESSIONS / 2)
            .hook(move |event: &SessionEvent<'_>| {
                let (session, name) = match event {
                    SessionEvent::Opened { session, .. } => (session, "opened"),
                    SessionEvent::Restored { session, .. } => (session, "restored"),
                    SessionEvent::Ended { session, .. } => (session, "ended"),
                    _ => return,
                };
                let id = session.id().as_str().to_owned();
                events.lock().unwrap().entry(id).or_default().push(name);
            })
            .build()
            .unwrap();
        let server = TestServer::around(guard.clone(), answer_late);
        Self {
            server,
            guard,
            lives,
        }
    }

    /// Sends a request. Also returns whether `is_known` held before the poll that answered.
    async fn send(
        &self,
        owner: &'static str,
        mut request: Request<Body>,
        is_known: impl Fn() -> bool,
    ) -> (Response, bool) {
        request.headers_mut().insert("user", owner.parse().unwrap());
        let mut answering = pin!(self.server.send(request));
        poll_fn(|context| {
            let was_known = is_known();
            let response = answering.as_mut().poll(context);
            response.map(|response| (response, was_known))
        })
        .await
    }

    /// Waits until the number of open sessions is right and all counts agree. The store's events
    /// arrive on other tasks.
    async fn settle_until(&self, is_right: impl Fn(usize) -> bool) {
        let mut last = String::new();
        let settled = timeout(Duration::from_secs(60), async {
            while let Err(wrong) = self.is_consistent(&is_right) {
                last = wrong;
                yield_now().await;
            }
        });
        assert!(settled.await.is_ok(), "{last}");
    }

    /// Checks that nothing is in flight, that the counts agree, and that hooks saw every event in
    /// order.
    fn is_consistent(&self, is_right: impl Fn(usize) -> bool) -> Result<(), String> {
        let stats = self.server.sessions.stats();
        let ended: u64 = stats.ended.values().sum();
        let is_balanced = stats.opened + stats.restored == ended + stats.open as u64;
        let is_at_rest = (stats.opening, stats.open_streams) == (0, 0);
        if !is_right(stats.open) || !is_balanced || !is_at_rest {
            return Err(format!("{stats:?}"));
        }
        for session in self.server.sessions.snapshot() {
            if (session.in_flight(), session.open_streams()) != (0, 0) {
                return Err(format!("{session:?}"));
            }
        }
        let mut begun = 0;
        for (id, events) in &*self.lives.lock().unwrap() {
            for turn in events.chunks(2) {
                assert!(matches!(turn[0], "opened" | "restored"), "{events:?}");
                assert!(matches!(turn[1..], [] | ["ended"]), "{events:?}");
                begun += 1;
            }
            let is_open = self.server.sessions.get(id).is_some();
            if (events.len() % 2 == 1) != is_open {
                return Err(format!("{events:?}"));
            }
        }
        match stats.opened + stats.restored == begun {
            true => Ok(()),
            false => Err(format!("{begun} beginnings were notified: {stats:?}")),
        }
    }
}

/// Returns whether the id is unknown, or this node has reached its session limit.
fn is_unknown(answer: &Response) -> bool {
    [404, 503].contains(&answer.status().as_u16())
}

/// The scenario of one client on both nodes.
async fn live(nodes: &[Node; 2], known: &Mutex<Vec<Arc<Known>>>, mut rng: Rng) {
    let mut streams = Vec::new();
    for _ in 0..60 {
        let at = rng.below(2);
        let node = &nodes[at];
        let act = rng.below(20);
        if act < 5 {
            let owner = OWNERS[rng.below(3)];
            let (opened, _) = node.send(owner, post(None, INITIALIZE), || false).await;
            let id = opened.headers().get("mcp-session-id").cloned();
            let status = opened.status();
            let is_whole = rng.below(8) > 0;
            if is_whole {
                to_bytes(opened.into_body(), usize::MAX).await.unwrap();
            }
            assert!(
                id.is_some() || [200, 503].contains(&status.as_u16()),
                "{status}"
            );
            if let (Some(id), true) = (id, is_whole) {
                let id = id.to_str().unwrap().to_owned();
                let is_deleted = Default::default();
                let opened = Known {
                    id,
                    owner,
                    is_deleted,
                };
                known.lock().unwrap().push(Arc::new(opened));
            }
            continue;
        }
        let newest = rng.below(6);
        let session = known.lock().unwrap().iter().rev().nth(newest).cloned();
        let Some(session) = session else { continue };
        let id = Some(&*session.id);
        let is_deleted = &session.is_deleted[at];
        let was_deleted = || is_deleted.load(Ordering::SeqCst);
        match act {
            5..=11 => {
                let call = PING.replace("ping", &"p".repeat(act));
                let (answer, was_deleted) =
                    node.send(session.owner, post(id, call), was_deleted).await;
                let is_refused = answer.extensions().get::<Refusal>().is_some();
                assert!(is_refused || !was_deleted, "a result after a DELETE");
                assert!(is_refused || answer.status() == 200);
            }
            12 => {
                let stranger = OWNERS.iter().find(|owner| **owner != session.owner);
                let (answer, _) = node.send(stranger.unwrap(), post(id, PING), || false).await;
                assert!(is_unknown(&answer));
            }
            13 | 14 => {
                let get = bodiless(Method::GET, id);
                let (answer, was_deleted) = node.send(session.owner, get, was_deleted).await;
                assert!(is_unknown(&answer) || !was_deleted);
                streams.push(answer.into_body());
            }
            15 => drop(streams.pop()),
            16 | 17 => {
                let delete = bodiless(Method::DELETE, id);
                let (answer, _) = node.send(session.owner, delete, || false).await;
                let status = answer.status().as_u16();
                assert!(is_unknown(&answer) || status == 204, "{status}");
                is_deleted.fetch_or(status == 204, Ordering::SeqCst);
            }
            18 => _ = node.server.sessions.end(&session.id),
            _ if rng.below(4) == 0 => {
                node.server.sessions.end_owner(&Owner::new(session.owner));
            }
            _ => yield_now().await,
        }
    }
}

#[test]
fn scenarios_of_many_clients_on_two_nodes_stay_consistent_even_when_one_node_drains() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    for round in 1..=80 {
        let store = MemoryStore::new();
        let nodes = Arc::new([Node::new(&store), Node::new(&store)]);
        let known = Arc::new(Mutex::new(Vec::new()));
        let is_drained = round % 2 == 0;
        runtime.block_on(async {
            let clients = (1..=6).map(|client| {
                let (nodes, known) = (nodes.clone(), known.clone());
                let rng = Rng(round * 1_000 + client);
                tokio::spawn(async move { live(&nodes, &known, rng).await })
            });
            let clients: Vec<_> = clients.collect();
            if is_drained {
                // Wait until the clients are busy.
                while known.lock().unwrap().len() < 20 && !clients.iter().all(|c| c.is_finished()) {
                    yield_now().await;
                }
                nodes[0].guard.drain(Duration::from_millis(1)).await;
                // A session that is just leaving may still be counted.
                assert!(nodes[0].server.sessions.snapshot().is_empty());
            }
            for client in join_all(clients).await {
                client.unwrap();
            }
            for node in &*nodes {
                node.server.sessions.flush().await.unwrap();
                node.settle_until(|_| true).await;
            }
            let [one, other] = &*nodes;
            one.server.sessions.end_all();
            one.settle_until(|open| open == 0).await;
            if !is_drained {
                for number in 0..=MAX_SESSIONS {
                    let owner = ["a", "b", "c", "d"][number % 4];
                    let (opened, _) = one.send(owner, post(None, INITIALIZE), || false).await;
                    let id = opened.headers().get("mcp-session-id").cloned();
                    assert_eq!(id.is_some(), number < MAX_SESSIONS, "slot {number}");
                    to_bytes(opened.into_body(), usize::MAX).await.unwrap();
                    if let Some(id) = id {
                        let ping = post(Some(id.to_str().unwrap()), PING);
                        assert_eq!(one.send(owner, ping, || false).await.0.status(), 200);
                    }
                }
                one.settle_until(|open| open == MAX_SESSIONS).await;
            }
            other.server.sessions.end_all();
            other.settle_until(|open| open == 0).await;
        });
    }
}
