//! Random scenarios on three nodes with one store that sometimes fails, with concurrent requests,
//! compared with the permitted outcomes. Time is paused.

mod support;

use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::store::{Fault, MemoryStore};
use mcp_session_guard::{Owner, SessionGuardLayer};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use support::times::{GRACE, LEASE, SECOND, paused_runtime};
use support::{INITIALIZE, INITIALIZED, PING, TestServer, UNKNOWN, bodiless, by, owned, post};

/// After this time without a fault all nodes agree.
const CALM: Duration = Duration::from_secs(15);
const NODES: usize = 3;
const OWNERS: [&str; 2] = ["alice", "bob"];

/// A step of a scenario. A session is named by its position in the order of openings.
#[derive(Clone, Debug)]
enum Step {
    Together(Vec<Operation>),
    /// The process ends without a drain, and another takes its place.
    Replace(usize),
    /// The process drains, and another takes its place.
    Drain(usize),
    Fault(Fault),
    Wait(u64),
}

/// One request, or one call of an administrator, on one node.
#[derive(Clone, Copy, Debug)]
struct Operation {
    node: usize,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Open(&'static str),
    Ping(usize),
    /// A request of the other owner.
    Intrude(usize),
    Stream(usize),
    Delete(usize),
    EndOwner(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..5_usize;
    let owner = prop::sample::select(OWNERS.to_vec());
    let act = prop_oneof![
        3 => owner.clone().prop_map(Act::Open),
        8 => session.clone().prop_map(Act::Ping),
        1 => session.clone().prop_map(Act::Intrude),
        2 => session.clone().prop_map(Act::Stream),
        2 => session.prop_map(Act::Delete),
        1 => owner.prop_map(Act::EndOwner),
    ];
    let operation = (0..NODES, act).prop_map(|(node, act)| Operation { node, act });
    let fault = prop::sample::select(vec![
        Fault::None,
        Fault::None,
        Fault::Down,
        Fault::Silent,
        Fault::Deaf,
    ]);
    let step = prop_oneof![
        6 => prop::collection::vec(operation, 1..6).prop_map(Step::Together),
        1 => (0..NODES).prop_map(Step::Replace),
        1 => (0..NODES).prop_map(Step::Drain),
        2 => fault.prop_map(Step::Fault),
        2 => (0..40_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..30)
}

/// The expected state of a session.
struct Session {
    id: String,
    owner: &'static str,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Live,
    /// The end was confirmed at this moment.
    Ended(Instant),
    /// The end was requested and not confirmed.
    Unconfirmed,
}

struct Node {
    server: TestServer,
    guard: SessionGuardLayer,
    /// Open streams, each with the number of its session.
    streams: Vec<(usize, Body)>,
}

impl Node {
    fn new(store: &MemoryStore) -> Self {
        let guard = owned(SessionGuardLayer::builder())
            .store(store.clone())
            .idle_timeout(Duration::from_secs(2 * 60 * 60))
            .never_used_timeout(Duration::from_secs(60 * 60))
            .build()
            .unwrap();
        Self {
            server: TestServer::new(guard.clone()),
            guard,
            streams: Vec::new(),
        }
    }

    async fn ask(&self, owner: &'static str, request: Request<Body>) -> Outcome {
        let is_stream = request.method() == Method::GET;
        let response = self.server.send(by(owner, request)).await;
        let status = response.status().as_u16();
        let id = response.headers().get("mcp-session-id");
        let opened = id.map(|id| id.to_str().unwrap().to_owned());
        let stream = match is_stream && status == 200 {
            true => Some(response.into_body()),
            false => {
                response.into_body().collect().await.unwrap();
                None
            }
        };
        Outcome {
            status,
            opened,
            stream,
        }
    }

    async fn open(&self, owner: &'static str) -> Outcome {
        let outcome = self.ask(owner, post(None, INITIALIZE)).await;
        if let Some(id) = &outcome.opened {
            self.ask(owner, post(Some(id), INITIALIZED)).await;
        }
        outcome
    }
}

/// The outcome of an operation.
struct Outcome {
    status: u16,
    opened: Option<String>,
    stream: Option<Body>,
}

struct Cluster {
    store: MemoryStore,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    fault: Fault,
    /// When the last fault ended.
    recovered: Instant,
    /// Owners whose sessions one node is still trying to end, including new sessions on other
    /// nodes.
    ending: Vec<&'static str>,
    /// Whether a process ended during a fault. The ends that it still had to report may be lost.
    may_lose_ends: bool,
}

impl Cluster {
    fn new() -> Self {
        let store = MemoryStore::new();
        Self {
            nodes: (0..NODES).map(|_| Node::new(&store)).collect(),
            store,
            sessions: Vec::new(),
            fault: Fault::None,
            recovered: Instant::now() - CALM * 2,
            ending: Vec::new(),
            may_lose_ends: false,
        }
    }

    /// Since when the store has been without a fault, if that is long enough.
    fn calm_since(&self) -> Option<Instant> {
        let is_calm = self.fault == Fault::None && self.recovered.elapsed() >= CALM;
        is_calm.then_some(self.recovered + CALM)
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => sleep(SECOND * u32::try_from(*seconds).unwrap()).await,
            Step::Fault(fault) => {
                if self.fault != Fault::None {
                    self.recovered = Instant::now();
                }
                self.fault = *fault;
                self.store.set_fault(*fault);
            }
            Step::Replace(node) => self.replace(*node).await,
            Step::Drain(node) => {
                self.nodes[*node].guard.drain(SECOND).await;
                self.replace(*node).await;
            }
            Step::Together(operations) => {
                let asked = Instant::now();
                let outcomes =
                    join_all(operations.iter().map(|operation| self.act(*operation))).await;
                let before: Vec<_> = self.sessions.iter().map(|known| known.fate).collect();
                for (operation, outcome) in operations.iter().zip(&outcomes) {
                    self.record(*operation, outcome);
                }
                for (operation, outcome) in operations.iter().zip(outcomes) {
                    self.check(*operation, &before, operations, asked, outcome);
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
        if self.calm_since().is_some() {
            self.ending.clear();
        }
        self.check_streams();
    }

    async fn replace(&mut self, node: usize) {
        self.may_lose_ends |= self.calm_since().is_none();
        self.nodes[node] = Node::new(&self.store);
        self.warm_up(node).await;
    }

    /// A node subscribes at its first store call.
    async fn warm_up(&self, node: usize) {
        self.nodes[node].server.ping(UNKNOWN).await;
        sleep(Duration::from_millis(10)).await;
    }

    async fn act(&self, Operation { node, act }: Operation) -> Option<Outcome> {
        let node = &self.nodes[node];
        let session = |number: usize| self.sessions.get(number);
        Some(match act {
            Act::Open(owner) => node.open(owner).await,
            Act::Ping(number) => {
                let Session { id, owner, .. } = session(number)?;
                node.ask(owner, post(Some(id), PING)).await
            }
            Act::Intrude(number) => {
                let Session { id, owner, .. } = session(number)?;
                let [one, other] = OWNERS;
                let stranger = if *owner == one { other } else { one };
                node.ask(stranger, post(Some(id), PING)).await
            }
            Act::Stream(number) => {
                let Session { id, owner, .. } = session(number)?;
                node.ask(owner, bodiless(Method::GET, Some(id))).await
            }
            Act::Delete(number) => {
                let Session { id, owner, .. } = session(number)?;
                node.ask(owner, bodiless(Method::DELETE, Some(id))).await
            }
            Act::EndOwner(owner) => {
                node.server.sessions.end_owner(&Owner::new(owner));
                let flushed = node.server.sessions.flush().await;
                Outcome {
                    status: if flushed.is_ok() { 204 } else { 503 },
                    opened: None,
                    stream: None,
                }
            }
        })
    }

    /// Records the effects of an operation.
    fn record(&mut self, operation: Operation, outcome: &Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        let now = Instant::now();
        let concerned: Vec<_> = match operation.act {
            Act::Delete(number) => vec![number],
            Act::EndOwner(owner) => (0..self.sessions.len())
                .filter(|number| self.sessions[*number].owner == owner)
                .collect(),
            _ => Vec::new(),
        };
        if let (Act::EndOwner(owner), 503) = (operation.act, outcome.status) {
            self.ending.push(owner);
        }
        for number in concerned {
            let fate = &mut self.sessions[number].fate;
            *fate = match (*fate, outcome.status) {
                (Fate::Ended(at), _) => Fate::Ended(at),
                (_, 204) => Fate::Ended(now),
                (Fate::Live, 503) => Fate::Unconfirmed,
                (fate, _) => fate,
            };
        }
    }

    /// Checks that the outcome of an operation is permitted, and records the session that it
    /// opened.
    fn check(
        &mut self,
        operation: Operation,
        before: &[Fate],
        operations: &[Operation],
        asked: Instant,
        outcome: Option<Outcome>,
    ) {
        let Some(outcome) = outcome else { return };
        let status = outcome.status;
        let calm_since = self.calm_since();
        let may_fail = calm_since.is_none();
        let context = format!(
            "{operation:?} of {operations:?}: {status}, {:?}",
            self.fault
        );
        match operation.act {
            Act::Open(owner) => {
                assert!(status == 200 || may_fail && status == 503, "{context}");
                if let Some(id) = outcome.opened {
                    let is_ending = |operation: &Operation| matches!(operation.act, Act::EndOwner(other) if other == owner);
                    let is_ending =
                        operations.iter().any(is_ending) || self.ending.contains(&owner);
                    let fate = match is_ending {
                        true => Fate::Unconfirmed,
                        false => Fate::Live,
                    };
                    self.sessions.push(Session { id, owner, fate });
                }
            }
            Act::EndOwner(_) => assert!(status == 204 || may_fail, "{context}"),
            Act::Intrude(_) => {
                assert!(status == 404 || may_fail && status == 503, "{context}");
            }
            Act::Ping(number) | Act::Stream(number) | Act::Delete(number) => {
                let good = match operation.act {
                    Act::Delete(_) => 204,
                    _ => 200,
                };
                let owner = self.sessions[number].owner;
                let is_ended_meanwhile = operations.iter().any(|other| match other.act {
                    Act::Delete(other) => other == number,
                    Act::EndOwner(other) => other == owner,
                    _ => false,
                });
                // A call that is cut off is answered 200 with an error.
                let (is_good, is_gone) = (status == good, status == 404);
                let is_right = match before[number] {
                    Fate::Live if is_ended_meanwhile => is_good || is_gone,
                    Fate::Live => is_good,
                    Fate::Unconfirmed => is_good || is_gone,
                    Fate::Ended(at) if calm_since.is_some_and(|since| since <= at) => is_gone,
                    Fate::Ended(at) => {
                        let patience = match self.fault {
                            Fault::Down | Fault::Silent => LEASE + GRACE,
                            // The node pauses before it calls a store that failed.
                            _ if self.recovered.elapsed() < SECOND => LEASE + GRACE,
                            _ => LEASE,
                        };
                        is_gone || is_good && asked - at <= patience
                    }
                };
                assert!(
                    is_right || may_fail && status == 503,
                    "{context}, {:?}",
                    before[number]
                );
                if let Some(stream) = outcome.stream {
                    self.nodes[operation.node].streams.push((number, stream));
                }
            }
        }
    }

    /// A stream ends with its session, and not before.
    fn check_streams(&mut self) {
        let calm_since = self.calm_since();
        for node in &mut self.nodes {
            node.streams.retain_mut(|(number, stream)| {
                let is_over = matches!(stream.frame().now_or_never(), Some(None));
                match self.sessions[*number].fate {
                    Fate::Live => assert!(!is_over, "the session of this stream lives"),
                    Fate::Ended(at) if calm_since.is_some_and(|since| since <= at) => {
                        assert!(is_over, "the session of this stream has ended");
                    }
                    Fate::Ended(_) | Fate::Unconfirmed => {}
                }
                !is_over
            });
        }
    }

    /// Checks that all nodes agree at the end and that nothing is left behind.
    async fn finish(mut self) {
        self.step(&Step::Fault(Fault::None)).await;
        sleep(CALM * 8).await;
        let mut live = 0;
        for node in &mut self.nodes {
            node.streams.clear();
            node.server.sessions.flush().await.unwrap();
        }
        for session in &self.sessions {
            let ping = |node| Node::ask(node, session.owner, post(Some(&session.id), PING));
            let pings = join_all(self.nodes.iter().map(ping)).await;
            let statuses: Vec<_> = pings.iter().map(|ping| ping.status).collect();
            match session.fate {
                Fate::Live => assert_eq!(statuses, [200; NODES]),
                Fate::Ended(_) => assert_eq!(statuses, [404; NODES]),
                Fate::Unconfirmed => assert_eq!(statuses, [statuses[0]; NODES]),
            }
            live += usize::from(statuses[0] == 200);
        }
        if !self.may_lose_ends {
            assert_eq!(self.store.len(), live);
        }
        for node in &self.nodes {
            assert_eq!(node.server.sessions.len(), live);
            assert_eq!(node.server.sessions.stats().opening, 0);
            for session in node.server.sessions.snapshot() {
                assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_scenarios_leave_three_nodes_in_agreement(scenario in steps()) {
        let runtime = paused_runtime();
        runtime.block_on(async {
            let mut cluster = Cluster::new();
            for node in 0..NODES {
                cluster.warm_up(node).await;
            }
            for step in &scenario {
                cluster.step(step).await;
            }
            cluster.finish().await;
        });
    }
}
