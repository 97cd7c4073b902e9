//! Random histories on three nodes with one store that fails now and then, several requests at once,
//! held against what may be. Time is paused.

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

/// After this long without trouble everybody knows everything.
const CALM: Duration = Duration::from_secs(15);
const NODES: usize = 3;
const OWNERS: [&str; 2] = ["alice", "bob"];

/// A part of a history. Sessions are named by the order in which they opened.
#[derive(Clone, Debug)]
enum Turn {
    Together(Vec<Deed>),
    /// The process ends without a word, and another takes its place.
    Replace(usize),
    /// The process is shut down, and another takes its place.
    Drain(usize),
    Fault(Fault),
    Wait(u64),
}

/// One request, or one word of an administrator, on one of the nodes.
#[derive(Clone, Copy, Debug)]
struct Deed {
    node: usize,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Open(&'static str),
    Ping(usize),
    /// By the other owner.
    Intrude(usize),
    Stream(usize),
    Delete(usize),
    EndOwner(&'static str),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
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
    let deed = (0..NODES, act).prop_map(|(node, act)| Deed { node, act });
    let trouble = prop::sample::select(vec![
        Fault::None,
        Fault::None,
        Fault::Down,
        Fault::Silent,
        Fault::Deaf,
    ]);
    let turn = prop_oneof![
        6 => prop::collection::vec(deed, 1..6).prop_map(Turn::Together),
        1 => (0..NODES).prop_map(Turn::Replace),
        1 => (0..NODES).prop_map(Turn::Drain),
        2 => trouble.prop_map(Turn::Fault),
        2 => (0..40_u64).prop_map(Turn::Wait),
    ];
    prop::collection::vec(turn, 1..30)
}

/// What is known of a session.
struct Session {
    id: String,
    owner: &'static str,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Live,
    /// Its end was confirmed at this moment.
    Ended(Instant),
    /// Its end was asked for and not confirmed.
    Doubtful,
}

struct Node {
    server: TestServer,
    guard: SessionGuardLayer,
    /// Open streams, with the session of each.
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

/// What came of a deed.
struct Outcome {
    status: u16,
    opened: Option<String>,
    stream: Option<Body>,
}

struct Cluster {
    store: MemoryStore,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    trouble: Fault,
    /// When the last trouble was over.
    mended: Instant,
    /// Whose sessions one node is still trying to end, new ones of other nodes included.
    ending: Vec<&'static str>,
    /// Whether a process ended in trouble: what it still had to tell may be lost.
    is_untold: bool,
}

impl Cluster {
    fn new() -> Self {
        let store = MemoryStore::new();
        Self {
            nodes: (0..NODES).map(|_| Node::new(&store)).collect(),
            store,
            sessions: Vec::new(),
            trouble: Fault::None,
            mended: Instant::now() - CALM * 2,
            ending: Vec::new(),
            is_untold: false,
        }
    }

    /// Since when there has been no trouble, if that is long enough.
    fn calm_since(&self) -> Option<Instant> {
        let is_calm = self.trouble == Fault::None && self.mended.elapsed() >= CALM;
        is_calm.then_some(self.mended + CALM)
    }

    async fn turn(&mut self, turn: &Turn) {
        match turn {
            Turn::Wait(seconds) => sleep(SECOND * u32::try_from(*seconds).unwrap()).await,
            Turn::Fault(trouble) => {
                if self.trouble != Fault::None {
                    self.mended = Instant::now();
                }
                self.trouble = *trouble;
                self.store.set_fault(*trouble);
            }
            Turn::Replace(node) => self.replace(*node).await,
            Turn::Drain(node) => {
                self.nodes[*node].guard.drain(SECOND).await;
                self.replace(*node).await;
            }
            Turn::Together(deeds) => {
                let asked = Instant::now();
                let outcomes = join_all(deeds.iter().map(|deed| self.act(*deed))).await;
                let before: Vec<_> = self.sessions.iter().map(|known| known.fate).collect();
                for (deed, outcome) in deeds.iter().zip(&outcomes) {
                    self.learn(*deed, outcome);
                }
                for (deed, outcome) in deeds.iter().zip(outcomes) {
                    self.judge(*deed, &before, deeds, asked, outcome);
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
        if self.calm_since().is_some() {
            self.ending.clear();
        }
        self.look_at_streams();
    }

    async fn replace(&mut self, node: usize) {
        self.is_untold |= self.calm_since().is_none();
        self.nodes[node] = Node::new(&self.store);
        self.warm_up(node).await;
    }

    /// Whoever has asked nothing yet does not listen either.
    async fn warm_up(&self, node: usize) {
        self.nodes[node].server.ping(UNKNOWN).await;
        sleep(Duration::from_millis(10)).await;
    }

    async fn act(&self, Deed { node, act }: Deed) -> Option<Outcome> {
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
                let told = node.server.sessions.flush().await;
                Outcome {
                    status: if told.is_ok() { 204 } else { 503 },
                    opened: None,
                    stream: None,
                }
            }
        })
    }

    /// Keeps what a deed has brought about.
    fn learn(&mut self, deed: Deed, outcome: &Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        let now = Instant::now();
        let concerned: Vec<_> = match deed.act {
            Act::Delete(number) => vec![number],
            Act::EndOwner(owner) => (0..self.sessions.len())
                .filter(|number| self.sessions[*number].owner == owner)
                .collect(),
            _ => Vec::new(),
        };
        if let (Act::EndOwner(owner), 503) = (deed.act, outcome.status) {
            self.ending.push(owner);
        }
        for number in concerned {
            let fate = &mut self.sessions[number].fate;
            *fate = match (*fate, outcome.status) {
                (Fate::Ended(at), _) => Fate::Ended(at),
                (_, 204) => Fate::Ended(now),
                (Fate::Live, 503) => Fate::Doubtful,
                (fate, _) => fate,
            };
        }
    }

    /// Whether what came of a deed may be, and keeps what opened.
    fn judge(
        &mut self,
        deed: Deed,
        before: &[Fate],
        deeds: &[Deed],
        asked: Instant,
        outcome: Option<Outcome>,
    ) {
        let Some(outcome) = outcome else { return };
        let status = outcome.status;
        let calm_since = self.calm_since();
        let may_fail = calm_since.is_none();
        let told = format!("{deed:?} of {deeds:?}: {status}, {:?}", self.trouble);
        match deed.act {
            Act::Open(owner) => {
                assert!(status == 200 || may_fail && status == 503, "{told}");
                if let Some(id) = outcome.opened {
                    let is_ending =
                        |deed: &Deed| matches!(deed.act, Act::EndOwner(other) if other == owner);
                    let is_ending = deeds.iter().any(is_ending) || self.ending.contains(&owner);
                    let fate = match is_ending {
                        true => Fate::Doubtful,
                        false => Fate::Live,
                    };
                    self.sessions.push(Session { id, owner, fate });
                }
            }
            Act::EndOwner(_) => assert!(status == 204 || may_fail, "{told}"),
            Act::Intrude(_) => {
                assert!(status == 404 || may_fail && status == 503, "{told}");
            }
            Act::Ping(number) | Act::Stream(number) | Act::Delete(number) => {
                let good = match deed.act {
                    Act::Delete(_) => 204,
                    _ => 200,
                };
                let owner = self.sessions[number].owner;
                let is_ended_meanwhile = deeds.iter().any(|other| match other.act {
                    Act::Delete(other) => other == number,
                    Act::EndOwner(other) => other == owner,
                    _ => false,
                });
                // A call that is cut off is answered 200 with an error.
                let (is_good, is_gone) = (status == good, status == 404);
                let is_right = match before[number] {
                    Fate::Live if is_ended_meanwhile => is_good || is_gone,
                    Fate::Live => is_good,
                    Fate::Doubtful => is_good || is_gone,
                    Fate::Ended(at) if calm_since.is_some_and(|since| since <= at) => is_gone,
                    Fate::Ended(at) => {
                        let patience = match self.trouble {
                            Fault::Down | Fault::Silent => LEASE + GRACE,
                            // It is left alone a while.
                            _ if self.mended.elapsed() < SECOND => LEASE + GRACE,
                            _ => LEASE,
                        };
                        is_gone || is_good && asked - at <= patience
                    }
                };
                assert!(
                    is_right || may_fail && status == 503,
                    "{told}, {:?}",
                    before[number]
                );
                if let Some(stream) = outcome.stream {
                    self.nodes[deed.node].streams.push((number, stream));
                }
            }
        }
    }

    /// A stream ends with its session, and not before.
    fn look_at_streams(&mut self) {
        let calm_since = self.calm_since();
        for node in &mut self.nodes {
            node.streams.retain_mut(|(number, stream)| {
                let is_over = matches!(stream.frame().now_or_never(), Some(None));
                match self.sessions[*number].fate {
                    Fate::Live => assert!(!is_over, "its session lives"),
                    Fate::Ended(at) if calm_since.is_some_and(|since| since <= at) => {
                        assert!(is_over, "its session is over");
                    }
                    Fate::Ended(_) | Fate::Doubtful => {}
                }
                !is_over
            });
        }
    }

    /// In the end all agree, and nothing is left behind.
    async fn finish(mut self) {
        self.turn(&Turn::Fault(Fault::None)).await;
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
                Fate::Doubtful => assert_eq!(statuses, [statuses[0]; NODES]),
            }
            live += usize::from(statuses[0] == 200);
        }
        if !self.is_untold {
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
    fn random_histories_on_three_nodes_end_alike_on_all(history in turns()) {
        let runtime = paused_runtime();
        runtime.block_on(async {
            let mut cluster = Cluster::new();
            for node in 0..NODES {
                cluster.warm_up(node).await;
            }
            for turn in &history {
                cluster.turn(turn).await;
            }
            cluster.finish().await;
        });
    }
}
