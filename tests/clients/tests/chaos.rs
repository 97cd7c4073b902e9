//! Chaos: the official clients, floods, movers between machines, slow readers and resets at two nodes
//! with one store, which fails now and then, until the time is up. Then nobody may have waited in
//! vain, no official client may have lost its session, and everything is as at the start.
//!
//! Three seconds unless `CHAOS_SECONDS` says otherwise; the long form prints its table with
//! `CHAOS_SECONDS=600 cargo test --package client-tests --test chaos -- --nocapture`.
//!
//! A store with a server of its own joins by another `weather`: one that kills the server, starts it
//! again, and moves its clock.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use client_tests::driven::{Client, Kind, kinds, within};
use client_tests::raw::Raw;
use futures_util::future::join_all;
use futures_util::{Stream, stream};
use http::{Method, StatusCode};
use libtest_mimic::{Arguments, Failed, Trial};
use mcp_session_guard::store::{MemoryStore, Trouble};
use mcp_session_guard::{McpMessage, McpSession, MessageKind, SessionGuardLayer, Sessions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a node takes a store's word for good without hearing from it: longer than any trouble.
const GRACE: Duration = Duration::from_secs(30);
const UNUSED: Duration = Duration::from_secs(2);
/// How long anything may take on a busy machine before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let name = "after chaos nobody has waited in vain and nothing has grown";
    let trials = vec![Trial::test(name, chaos)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn chaos() -> Result<(), Failed> {
    let seconds = env::var("CHAOS_SECONDS").map_or(Ok(3), |seconds| seconds.parse())?;
    let time = Duration::from_secs(seconds);
    // What the servers' runtime holds is theirs alone.
    let (servers, clients) = (Runtime::new()?, Runtime::new()?);
    let place = Arc::new(servers.block_on(Place::serve()));
    clients.block_on(place.store_is_well());
    clients.block_on(place.empty());
    let start = Holdings::of(&place, &servers);

    clients.block_on(async {
        let mut actors = JoinSet::new();
        actors.spawn(weather(place.clone(), time));
        actors.spawn(flood(place.clone()));
        actors.spawn(move_about(place.clone()));
        actors.spawn(read_slowly(place.clone()));
        actors.spawn(reset(place.clone()));
        for (name, kind) in kinds() {
            match kind {
                Ok(kind) => drop(actors.spawn(use_tools(place.clone(), name, kind))),
                Err(missing) if env::var_os("REQUIRE_OUTSIDE_PROGRAMS").is_none() => {
                    println!("without {name}: needs {missing}");
                }
                Err(missing) => return Err(Failed::from(format!("{name} needs {missing}"))),
            }
        }
        sleep(time / 4).await;
        let settled = resident_kib();
        while let Some(ended) = actors.join_next().await {
            ended.map_err(|panic| format!("an actor went wrong: {panic}"))?;
        }
        place.tally.print();
        println!(
            "VmRSS: {settled:?} KiB after a quarter, {:?} KiB after all",
            resident_kib()
        );
        place.tally.assert_none_is_lost();
        if time >= Duration::from_secs(60) {
            let grown = resident_kib()
                .zip(settled)
                .map(|(end, settled)| end.saturating_sub(settled));
            assert!(
                grown.is_none_or(|kib| kib < 64 << 10),
                "grown by {grown:?} KiB"
            );
        }
        Ok(())
    })?;

    clients.block_on(place.empty());
    let until = Instant::now() + PATIENCE;
    loop {
        let now = Holdings::of(&place, &servers);
        if now.is_no_more_than(&start) {
            println!("held at the start: {start:?}\nand at the end:    {now:?}");
            return Ok(());
        }
        assert!(
            Instant::now() < until,
            "held at the start: {start:?}, and at the end: {now:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What must not grow.
#[derive(Debug)]
struct Holdings {
    sessions: usize,
    stored: usize,
    tasks: usize,
    /// Where the system tells.
    files: Option<usize>,
}

impl Holdings {
    fn of(place: &Place, servers: &Runtime) -> Self {
        Self {
            sessions: place.nodes.iter().map(|node| node.sessions.len()).sum(),
            stored: place.store.len(),
            tasks: servers.metrics().num_alive_tasks(),
            files: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
        }
    }

    fn is_no_more_than(&self, other: &Self) -> bool {
        self.sessions <= other.sessions
            && self.stored <= other.stored
            && self.tasks <= other.tasks
            && self.files <= other.files
    }
}

fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Two nodes with one store.
struct Place {
    nodes: Vec<Node>,
    store: MemoryStore,
    /// Held for writing while the store is in trouble, for reading by whoever needs it well.
    trouble: RwLock<()>,
    over: AtomicBool,
    tally: Tally,
}

struct Node {
    address: SocketAddr,
    sessions: Sessions,
}

impl Place {
    async fn serve() -> Self {
        let store = MemoryStore::new();
        let nodes = [
            Node::serve("a", store.clone()).await,
            Node::serve("b", store.clone()).await,
        ];
        Self {
            nodes: nodes.into(),
            store,
            trouble: RwLock::default(),
            over: AtomicBool::default(),
            tally: Tally::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until every node opens sessions and knows those of the others.
    async fn store_is_well(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let (here, there) = (node.raw(), self.nodes[1 - index].raw());
            within(async {
                while !is_shared(&here, &there).await {
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }

    /// Ends every session and waits until all that clients and nodes hold is given back.
    async fn empty(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended: usize = self.nodes.iter().map(|node| node.sessions.end_all()).sum();
            // Connections that were closed are not noticed in the same moment.
            sleep(Duration::from_millis(300)).await;
            if ended == 0 && self.store.is_empty() {
                return;
            }
            assert!(
                Instant::now() < until,
                "{} sessions stay in the store",
                self.store.len()
            );
        }
    }
}

impl Node {
    async fn serve(name: &str, store: MemoryStore) -> Self {
        let guard = SessionGuardLayer::builder()
            .never_used_timeout(UNUSED)
            .node_name(name)
            .store(store)
            .store_grace(GRACE)
            .store_lease(Duration::from_secs(1))
            .store_timeout(Duration::from_millis(200))
            .build()
            .expect("these can work");
        let sessions = guard.sessions();
        let app = Router::new().route("/mcp", post(message).get(events).layer(guard));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, sessions }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    fn raw(&self) -> Raw {
        Raw::new(&self.url(), None)
    }
}

/// Whether a session that opens here is known there.
async fn is_shared(here: &Raw, there: &Raw) -> bool {
    let opened = here.initialize().await;
    let Some(id) = session_id(&opened) else {
        return false;
    };
    opened.bytes().await.is_ok()
        && there.send(&Method::POST, &id, None).await.status() == StatusCode::OK
}

fn session_id(answer: &reqwest::Response) -> Option<String> {
    let id = answer.headers().get("mcp-session-id")?;
    Some(id.to_str().expect("ids are text").to_owned())
}

/// A server whose one tool counts its calls in a session.
async fn message(message: McpMessage, session: McpSession, Json(body): Json<Value>) -> Response {
    if message.kind() != MessageKind::Request {
        return StatusCode::ACCEPTED.into_response();
    }
    let result = match message.method().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": "chaos", "version": "1" },
        }),
        "tools/list" => {
            let schema = json!({ "type": "object" });
            json!({ "tools": [{ "name": "count", "inputSchema": schema }] })
        }
        "tools/call" => {
            let calls = session.state_or_insert_with(AtomicU64::default);
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let text = format!("call {call} of this session");
            json!({ "content": [{ "type": "text", "text": text }] })
        }
        _ => json!({}),
    };
    Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).into_response()
}

/// More than a slow reader takes.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let params = json!({ "level": "info", "data": "x".repeat(1 << 10) });
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
    Sse::new(stream::unfold(message.to_string(), |message| async {
        sleep(Duration::from_millis(20)).await;
        Some((Ok(Event::default().data(&message)), message))
    }))
}

/// The store fails, keeps silent and loses its news, again and again, and gets well; once each, and
/// until the time is up. Then all is over.
async fn weather(place: Arc<Place>, time: Duration) {
    let until = Instant::now() + time;
    let troubles = [Trouble::Down, Trouble::Silent, Trouble::Deaf];
    for (count, trouble) in troubles.into_iter().cycle().enumerate() {
        if count >= troubles.len() && Instant::now() >= until {
            break;
        }
        sleep(Duration::from_millis(300)).await;
        let alone = place.trouble.write().await;
        place.tally.count("store in trouble", SENT);
        place.store.set_trouble(trouble);
        sleep(Duration::from_millis(700)).await;
        place.store.set_trouble(Trouble::None);
        place.store_is_well().await;
        let well = format!("well again after {trouble:?}");
        place.tally.count("store in trouble", &well);
        drop(alone);
    }
    place.over.store(true, Ordering::Relaxed);
}

/// An official client that opens a session while the store is well and must not notice when it is not.
async fn use_tools(place: Arc<Place>, name: &'static str, kind: Kind) {
    for node in place.nodes.iter().cycle() {
        let mut client = Client::start(&kind, &node.url());
        // Its program is there once it answers; the store need not wait for that.
        client.tell("token none").await;
        let well = place.trouble.read().await;
        assert!(client.tell("open").await.is_string());
        drop(well);
        for call in 1..=100 {
            place.tally.count(name, SENT);
            let told = client.tell("call count").await;
            assert_eq!(told, format!("call {call} of this session"), "{name}");
            place.tally.count(name, "answered");
            sleep(Duration::from_millis(20)).await;
            if place.is_over() {
                return;
            }
        }
    }
}

/// Twenty openings at once; every second is ended, the others are forgotten.
async fn flood(place: Arc<Place>) {
    let nodes: Vec<_> = place.nodes.iter().map(Node::raw).collect();
    while !place.is_over() {
        let openings = (0..20).map(|number| nodes[number % 2].initialize());
        place.tally.add("initialize in a flood", SENT, 20);
        for (number, answer) in join_all(openings).await.into_iter().enumerate() {
            place
                .tally
                .answered("initialize in a flood", &answer, &[200, 503]);
            let Some(id) = session_id(&answer).filter(|_| number % 4 < 2) else {
                continue;
            };
            // To the end: a session is given up if its client does not take the answer.
            answer.bytes().await.expect("the answer is whole");
            place.tally.count("DELETE", SENT);
            let ended = nodes[number % 2].send(&Method::DELETE, &id, None).await;
            place.tally.answered("DELETE", &ended, &[204, 503]);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Opens here, goes on there, ends there, and is unknown here.
async fn move_about(place: Arc<Place>) {
    let (here, there) = (place.nodes[0].raw(), place.nodes[1].raw());
    while !place.is_over() {
        let well = place.trouble.try_read();
        let step = async |statuses: &[u16], raw: &Raw, method: Method, id: &str| {
            let expected = if well.is_ok() {
                statuses
            } else {
                &[200, 204, 404, 503]
            };
            place.tally.count("on another node", SENT);
            let answer = raw.send(&method, id, None).await;
            place.tally.answered("on another node", &answer, expected);
        };
        let opened = here.initialize().await;
        if let Some(id) = session_id(&opened) {
            opened.bytes().await.expect("the answer is whole");
            step(&[200], &here, Method::POST, &id).await;
            step(&[200], &there, Method::POST, &id).await;
            step(&[204], &there, Method::DELETE, &id).await;
            step(&[404], &there, Method::POST, &id).await;
            if well.is_ok() {
                // The news of the end is on its way.
                within(async {
                    while here.send(&Method::POST, &id, None).await.status()
                        != StatusCode::NOT_FOUND
                    {}
                })
                .await;
            }
        }
        drop(well);
        sleep(Duration::from_millis(10)).await;
    }
}

/// Takes a byte of an event stream now and then, and hangs up with most of it unread.
async fn read_slowly(place: Arc<Place>) {
    for node in place.nodes.iter().cycle() {
        if place.is_over() {
            return;
        }
        let opened = node.raw().initialize().await;
        let Some(id) = session_id(&opened) else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        opened.bytes().await.expect("the answer is whole");
        let head = format!("GET /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: {id}\r\n\r\n");
        let mut stream = begin(node, &head).await;
        place.tally.count("stream, read slowly", SENT);
        for _ in 0..30 {
            within(stream.read_u8()).await.expect("the stream goes on");
            sleep(Duration::from_millis(10)).await;
        }
        place.tally.count("stream, read slowly", "left");
    }
}

/// Sends half a message and hangs up.
async fn reset(place: Arc<Place>) {
    for node in place.nodes.iter().cycle() {
        if place.is_over() {
            return;
        }
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let half = format!("{head}content-length: 100\r\n\r\n{{\"jsonrpc\":\"2.0\",");
        let stream = begin(node, &half).await;
        place.tally.count("half a message", SENT);
        sleep(Duration::from_millis(10)).await;
        drop(stream);
        place.tally.count("half a message", "left");
    }
}

async fn begin(node: &Node, request: &str) -> TcpStream {
    let connected = within(TcpStream::connect(node.address)).await;
    let mut stream = connected.expect("the node listens");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("the node reads");
    stream
}

/// What was sent, and what became of it.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>);

const SENT: &str = "sent";

impl Tally {
    fn count(&self, actor: &'static str, what: &str) {
        self.add(actor, what, 1);
    }

    fn add(&self, actor: &'static str, what: &str, count: u64) {
        let mut rows = self.0.lock().expect("nobody panics with it");
        *rows
            .entry(actor)
            .or_default()
            .entry(what.to_owned())
            .or_default() += count;
    }

    fn answered(&self, actor: &'static str, answer: &reqwest::Response, expected: &[u16]) {
        let status = answer.status().as_u16();
        assert!(
            expected.contains(&status),
            "{actor}: {expected:?}, not {status}"
        );
        self.count(actor, &status.to_string());
    }

    fn print(&self) {
        for (actor, row) in &*self.0.lock().expect("nobody panics with it") {
            let outcomes = row.iter().filter(|(what, _)| *what != SENT);
            let outcomes: Vec<_> = outcomes
                .map(|(what, count)| format!("{what}: {count}"))
                .collect();
            println!("{actor:26} sent {:7}   {}", row[SENT], outcomes.join(", "));
        }
    }

    fn assert_none_is_lost(&self) {
        for (actor, row) in &*self.0.lock().expect("nobody panics with it") {
            let outcomes: u64 = row
                .iter()
                .filter(|(what, _)| *what != SENT)
                .map(|(_, count)| count)
                .sum();
            assert_eq!(outcomes, row[SENT], "{actor}: some went unanswered");
        }
    }
}
