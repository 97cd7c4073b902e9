//! A soak: good and bad clients, all at once over loopback sockets, until the time is up. Then
//! everything must be as it was at the start: sessions, places, tasks, open files, the inner
//! service's own sessions. Nothing that was sent whole may have gone unanswered.
//!
//! Three seconds unless `SOAK_SECONDS` says otherwise; the long form prints its table with
//! `SOAK_SECONDS=600 cargo test --package mcp-session-guard --test soak -- --nocapture`.
//! `SOAK_SEED` repeats the choices of a run, which prints its seed first.

mod support;

use std::collections::HashSet;
use std::convert::Infallible;
use std::env;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, sleep};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use axum::{BoxError, Router};
use futures_util::{Stream, StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, Method};
use mcp_session_guard::{McpSession, Owner, SessionGuardLayer, Sessions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_stream::wrappers::IntervalStream;

use support::client::{Client, within};
use support::memory::{Memory, open_files};
use support::tally::{SENT, Tally};
use support::{Answer, initialize_result, json_response};

/// How many clients there are at once.
const USERS: u64 = 12;
const OWNERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// The guard's limits, small enough to be met all the time.
const PLACES: usize = 40;
const PER_OWNER: usize = 5;
const EXPIRY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_millis(300);
/// How long anything may take on a busy machine before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that clients do, and how often.
type Deed = (u64, &'static str, fn(&mut User));

const DEEDS: [Deed; 19] = [
    (12, "initialize", User::open),
    (40, "call", User::call),
    (6, "DELETE", User::delete),
    (4, "abandoned", User::abandon),
    (6, "initialize, refused by the inner", User::open_in_vain),
    (6, "initialize, left", User::leave_opening),
    (4, "initialize in a session", User::open_again),
    (4, "call, left", User::leave_call),
    (4, "call, stream left", User::leave_stream),
    (3, "call, never read", User::never_read),
    (2, "call, read slowly", User::read_slowly),
    (2, "call that ends its session", User::end_by_handler),
    (2, "call that the inner forgot", User::lose),
    (6, "GET", User::listen),
    (4, "another's session", User::intrude),
    (6, "malformed", User::malform),
    (2, "half a body", User::send_half),
    (1, "flood", User::flood),
    (2, "end_owner", User::end_owner),
];

#[test]
fn after_a_soak_everything_is_as_at_the_start() {
    let time = Duration::from_secs(setting("SOAK_SECONDS").unwrap_or(3));
    // Any number will do; hashing has one that is new in every run.
    let seed = setting("SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("SOAK_SEED={seed} SOAK_SECONDS={}", time.as_secs());

    let runtime = Runtime::new().unwrap();
    let place = Arc::new(Place::serve(&runtime));
    let start = Holdings::of(&place, &runtime);
    assert_eq!((start.sessions, start.inner_sessions), (0, 0));

    let until = Instant::now() + time;
    let users: Vec<_> = (0..USERS)
        .map(|number| {
            let user = User::new(&place, seed.wrapping_add(number));
            thread::spawn(move || user.live(until))
        })
        .collect();
    sleep(time / 4);
    let memory = Memory::settled();
    let lived: Vec<_> = users.into_iter().map(thread::JoinHandle::join).collect();
    place.tally.print();
    memory.print();
    for user in lived {
        user.expect("a client went on to the end");
    }
    place.tally.assert_none_is_lost();
    within(PATIENCE, "all is as at the start", || {
        Holdings::of(&place, &runtime) == start
    });

    take_every_place(&place);
    within(PATIENCE, "all is as at the start", || {
        Holdings::of(&place, &runtime) == start
    });
    memory.assert_kept_over(time);
}

/// Fills the guard with sessions in use: there are as many places as at the start, not one more.
fn take_every_place(place: &Arc<Place>) {
    let mut user = User::new(place, 0);
    user.deed = "at the end";
    let mut streams = Vec::new();
    let until = Instant::now() + PATIENCE;
    while streams.len() < PLACES {
        assert!(Instant::now() < until, "only {} places", streams.len());
        // Taken up at once and then held by a stream; on a slow day one may expire before.
        let Some(session) = user.try_open("json", None) else {
            continue;
        };
        let mut stream = user.connect();
        if user.ask(&call(&session, "json")).status == 200 {
            stream.send(&bare("GET", &session));
            if stream.answer().status == 200 {
                streams.push(stream);
            }
        }
    }
    assert_eq!(place.sessions.len(), PLACES);
    let full = user.ask(&initialize("json", None));
    assert_eq!(
        (full.status.as_u16(), full.json()["id"].as_u64()),
        (503, Some(0))
    );
}

/// What must not grow.
#[derive(Debug, Eq, PartialEq)]
struct Holdings {
    sessions: usize,
    inner_sessions: usize,
    tasks: usize,
    /// Where the system tells.
    files: Option<usize>,
}

impl Holdings {
    fn of(place: &Place, runtime: &Runtime) -> Self {
        Self {
            sessions: place.sessions.len(),
            inner_sessions: place.inner.own.lock().unwrap().len(),
            tasks: runtime.metrics().num_alive_tasks(),
            files: open_files(),
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

/// A guarded endpoint on a port of its own.
struct Place {
    address: SocketAddr,
    sessions: Sessions,
    inner: Inner,
    tally: Tally,
    /// Whoever floods: two at once would need too many sockets.
    flood: Mutex<()>,
}

impl Place {
    fn serve(runtime: &Runtime) -> Self {
        let guard = SessionGuardLayer::builder()
            .max_sessions(PLACES)
            .max_sessions_per_owner(PER_OWNER)
            .idle_timeout(EXPIRY)
            .never_used_timeout(EXPIRY)
            .body_timeout(LATE, LATE)
            .end_inner_sessions()
            .owner(|request: &Parts| -> Result<_, BoxError> {
                let user = request.headers.get("x-user").map(|user| user.to_str());
                Ok(user.transpose()?.map(Owner::new))
            })
            .build()
            .unwrap();
        let inner = Inner::default();
        let sessions = guard.sessions();
        let app = Router::new()
            .route("/mcp", any(answer))
            .route_layer(guard)
            .with_state(inner.clone());
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        runtime.spawn(async { axum::serve(listener, app).await });
        Self {
            address,
            sessions,
            inner,
            tally: Tally::default(),
            flood: Mutex::default(),
        }
    }
}

/// An inner service that does what `params.mode` says, with sessions of its own on demand.
#[derive(Clone, Default)]
struct Inner {
    own: Arc<Mutex<HashSet<String>>>,
    next: Arc<AtomicU64>,
}

impl Inner {
    fn open_own(&self) -> String {
        let id = format!("own-{}", self.next.fetch_add(1, Relaxed));
        self.own.lock().unwrap().insert(id.clone());
        id
    }

    /// Whether it knows the own session that the headers name, if they do.
    fn knows(&self, headers: &HeaderMap) -> bool {
        own_id(headers).is_none_or(|id| self.own.lock().unwrap().contains(id))
    }

    fn forget(&self, headers: &HeaderMap) -> bool {
        own_id(headers).is_some_and(|id| self.own.lock().unwrap().remove(id))
    }
}

fn own_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("mcp-session-id")?.to_str().ok()
}

async fn answer(
    State(inner): State<Inner>,
    session: Option<McpSession>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let unknown = json!({"jsonrpc": "2.0", "error": {"code": -32600, "message": "?"}, "id": null});
    match parts.method {
        Method::DELETE if inner.forget(&parts.headers) => return Response::default(),
        _ if !inner.knows(&parts.headers) => return json_response(404, &unknown),
        Method::GET => return events(ticks()),
        _ => {}
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let (id, mode) = (&message["id"], message["params"]["mode"].as_str().unwrap());
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "no"}});
    let result = match message["method"].as_str() {
        Some("initialize") => initialize_result(id),
        _ => {
            let session = session.as_ref().map(|session| session.id().as_str());
            json!({"jsonrpc": "2.0", "id": id, "result": {"session": session}})
        }
    };
    match mode {
        "own json" => with_own(&inner, json_response(200, &result)),
        "own events" => with_own(&inner, events(once(&result))),
        "own silence" => with_own(&inner, events(stream::pending())),
        "events" => events(ticks().take(2).chain(once(&result))),
        "large events" => {
            let large = json!({"jsonrpc": "2.0", "method": "x", "params": "x".repeat(16 << 10)});
            events(
                stream::iter(0..64)
                    .flat_map(move |_| once(&large))
                    .chain(once(&result)),
            )
        }
        "endless" => events(ticks()),
        "endless flood" => events(stream::repeat_with(|| Bytes::from(vec![b'\n'; 64 << 10]))),
        "silence" => events(stream::pending()),
        "never" => pending().await,
        "refused" => json_response(422, &error),
        "error" => json_response(200, &error),
        "error events" => events(once(&error)),
        "end" => {
            session.unwrap().end();
            json_response(200, &result)
        }
        "lose" if inner.forget(&parts.headers) => json_response(404, &unknown),
        _ => json_response(200, &result),
    }
}

fn with_own(inner: &Inner, mut response: Response) -> Response {
    let id = inner.open_own().try_into().unwrap();
    response.headers_mut().insert("mcp-session-id", id);
    response
}

fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(events.map(Ok::<_, Infallible>)))
        .unwrap()
}

fn once(message: &Value) -> impl Stream<Item = Bytes> + Send + use<> {
    stream::iter([Bytes::from(format!("data: {message}\n\n"))])
}

fn ticks() -> impl Stream<Item = Bytes> + Send {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
    ticks.map(|_| Bytes::from_static(b"data: {\"jsonrpc\":\"2.0\",\"method\":\"tick\"}\n\n"))
}

/// A session as its client knows it.
#[derive(Clone)]
struct Known {
    id: String,
    owner: Option<&'static str>,
}

/// A client, with the sessions that it has opened and not ended.
struct User {
    place: Arc<Place>,
    dice: Dice,
    /// The connection that good requests share.
    line: Option<Client>,
    sessions: Vec<Known>,
    deed: &'static str,
}

impl User {
    fn new(place: &Arc<Place>, seed: u64) -> Self {
        Self {
            place: place.clone(),
            dice: Dice(seed),
            line: None,
            sessions: Vec::new(),
            deed: "",
        }
    }

    fn live(mut self, until: Instant) {
        let all = DEEDS.iter().map(|(often, ..)| often).sum();
        while Instant::now() < until {
            let mut thrown = self.dice.throw(all);
            for (often, name, deed) in DEEDS {
                if thrown < often {
                    self.deed = name;
                    deed(&mut self);
                    break;
                }
                thrown -= often;
            }
        }
    }

    fn open(&mut self) {
        let mode = self
            .dice
            .pick(&["json", "events", "own json", "own events"]);
        let owner = self.owner();
        if let Some(session) = self.try_open(mode, owner) {
            self.sessions.push(session);
        }
    }

    fn try_open(&mut self, mode: &str, owner: Option<&'static str>) -> Option<Known> {
        let answer = self.ask(&initialize(mode, owner));
        self.opened(&answer, owner)
    }

    fn opened(&self, answer: &Answer, owner: Option<&'static str>) -> Option<Known> {
        if answer.status == 503 {
            assert_eq!(answer.headers["retry-after"], "5");
            return None;
        }
        self.expect(answer, &[200]);
        let id = answer.headers.get("mcp-session-id")?.to_str().unwrap();
        Some(Known {
            id: id.to_owned(),
            owner,
        })
    }

    fn open_in_vain(&mut self) {
        let mode = self.dice.pick(&["refused", "error", "error events"]);
        let owner = self.owner();
        let answer = self.ask(&initialize(mode, owner));
        self.expect(&answer, &[200, 422, 503]);
        if answer.status != 503 {
            // By an event stream the id has gone out before, and is no good.
            assert_eq!(
                answer.headers.contains_key("mcp-session-id"),
                mode == "error events"
            );
        }
    }

    fn open_again(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let body = initialize_body("json");
        let answer = self.ask(&post(Some(&session.id), session.owner, &body));
        self.expect(&answer, &[400, 404]);
    }

    fn leave_opening(&mut self) {
        let modes = ["never", "silence", "own silence", "own json", "own events"];
        let mode = self.dice.pick(&modes);
        let owner = self.owner();
        self.leave(&initialize(mode, owner));
    }

    fn call(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mode = self.dice.pick(&["json", "json", "events"]);
        self.call_in(&session, mode);
    }

    fn call_in(&mut self, session: &Known, mode: &str) {
        let answer = self.ask(&call(session, mode));
        self.expect(&answer, &[200, 404]);
        let message = last_message(&answer);
        if message["result"].is_object() {
            assert_eq!(message["result"]["session"], session.id);
        }
        if answer.status == 404 {
            self.sessions.retain(|known| known.id != session.id);
        } else {
            assert_eq!(message["id"], 1);
        }
    }

    fn end_by_handler(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        self.call_in(&session, "end");
        self.is_unknown(&session);
    }

    fn lose(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        self.call_in(&session, "lose");
    }

    fn delete(&mut self) {
        let Some(session) = self.take_session() else {
            return;
        };
        let answer = self.ask(&bare("DELETE", &session));
        self.expect(&answer, &[204, 404]);
        self.is_unknown(&session);
    }

    fn abandon(&mut self) {
        self.take_session();
    }

    fn leave_call(&mut self) {
        if let Some(session) = self.session() {
            self.leave(&call(&session, "never"));
        }
    }

    fn leave_stream(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mut client = self.begin(&call(&session, "endless"));
        self.read_some(&mut client);
    }

    fn never_read(&mut self) {
        if let Some(session) = self.session() {
            self.leave(&call(&session, "endless flood"));
        }
    }

    /// Takes every event, late, and misses none.
    fn read_slowly(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mut client = self.begin(&call(&session, "large events"));
        let mut answer = client.answer();
        let mut body = Vec::new();
        while answer.headers.contains_key("transfer-encoding") {
            let chunk = client.chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
            sleep(Duration::from_millis(1));
        }
        if answer.status == 200 && !body.is_empty() {
            answer.body = body.into();
            let last = last_message(&answer);
            assert_eq!(last["id"], 1);
            assert!(last["error"].is_object() || answer.body.len() > 1 << 20);
        }
        self.answered(&answer);
    }

    fn listen(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mut client = self.begin(&bare("GET", &session));
        let is_open = self.read_some(&mut client);
        if is_open && self.dice.throw(3) == 0 {
            let answer = self.ask(&bare("DELETE", &session));
            self.expect(&answer, &[204, 404]);
            while !client.chunk().is_empty() {}
        }
    }

    /// Reads the head and a few events. Whether there may be more.
    fn read_some(&mut self, client: &mut Client) -> bool {
        let answer = client.answer();
        self.expect(&answer, &[200, 404]);
        self.answered(&answer);
        let is_stream = answer.headers.contains_key("transfer-encoding");
        is_stream && (0..self.dice.throw(6)).all(|_| !client.chunk().is_empty())
    }

    fn intrude(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let owners = OWNERS.iter().map(|owner| Some(*owner)).chain([None]);
        let others: Vec<_> = owners.filter(|owner| *owner != session.owner).collect();
        let stranger = Known {
            owner: self.dice.pick(&others),
            ..session
        };
        let request = match self.dice.throw(3) {
            0 => bare("GET", &stranger),
            1 => bare("DELETE", &stranger),
            _ => call(&stranger, "json"),
        };
        let answer = self.ask(&request);
        self.expect(&answer, &[404]);
    }

    fn malform(&mut self) {
        let session = self.session();
        let body = self
            .dice
            .pick(&["", "{", "[]", "\u{feff}{}", "{} {}", r#"{"jsonrpc":"2.0"}"#]);
        let (id, owner) = session.map_or((None, None), |known| (Some(known.id), known.owner));
        let answer = self.ask(&post(id.as_deref(), owner, body));
        self.expect(&answer, if id.is_some() { &[400, 404] } else { &[400] });
    }

    fn send_half(&mut self) {
        let owner = self.owner();
        let whole = initialize("json", owner);
        let half = &whole[..whole.len() - 9];
        if self.dice.throw(2) == 0 {
            return self.leave(half);
        }
        let mut client = self.begin(half);
        let answer = client.whole_answer();
        self.expect(&answer, &[408]);
        self.answered(&answer);
    }

    /// As many as there are places, at once: waiting ones that leave, or ones that are abandoned.
    fn flood(&mut self) {
        let place = self.place.clone();
        let _one = match place.flood.try_lock() {
            Ok(one) => one,
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(error)) => panic!("{error}"),
        };
        let mode = self.dice.pick(&["never", "json", "own json"]);
        let flood: Vec<_> = (0..PLACES)
            .map(|_| self.begin(&initialize(mode, None)))
            .collect();
        if mode == "never" {
            let _ = self.try_open("json", None);
            flood.iter().for_each(|_| self.left());
            return;
        }
        for mut client in flood {
            let answer = client.whole_answer();
            self.answered(&answer);
            self.opened(&answer, None);
        }
    }

    fn end_owner(&mut self) {
        if let Some(owner) = self.owner() {
            self.place.sessions.end_owner(&Owner::new(owner));
        } else if let Some(session) = self.take_session() {
            self.place.sessions.end(&session.id);
            self.is_unknown(&session);
        }
    }

    /// Once it has ended nothing brings it back.
    fn is_unknown(&mut self, session: &Known) {
        let answer = self.ask(&call(session, "json"));
        self.expect(&answer, &[404]);
        self.sessions.retain(|known| known.id != session.id);
    }

    fn owner(&mut self) -> Option<&'static str> {
        let owner = self.dice.pick(&OWNERS);
        (self.dice.throw(2) == 0).then_some(owner)
    }

    fn session(&mut self) -> Option<Known> {
        (!self.sessions.is_empty()).then(|| self.dice.pick(&self.sessions))
    }

    fn take_session(&mut self) -> Option<Known> {
        let session = self.session()?;
        self.sessions.retain(|known| known.id != session.id);
        Some(session)
    }

    /// Sends a request on the connection that good requests share.
    fn ask(&mut self, request: &[u8]) -> Answer {
        let mut line = self.line.take().unwrap_or_else(|| self.connect());
        self.place.tally.count(self.deed, SENT);
        line.send(request);
        let answer = line.whole_answer();
        self.answered(&answer);
        if !answer.headers.contains_key("connection") {
            self.line = Some(line);
        }
        answer
    }

    /// Sends a request on a connection of its own.
    fn begin(&self, request: &[u8]) -> Client {
        let client = self.connect();
        self.place.tally.count(self.deed, SENT);
        client.send(request);
        client
    }

    /// Sends a request and hangs up, at once or a little later.
    fn leave(&mut self, request: &[u8]) {
        let client = self.begin(request);
        sleep(Duration::from_millis(self.dice.throw(20)));
        self.left();
        drop(client);
    }

    fn connect(&self) -> Client {
        Client::connect(self.place.address, PATIENCE)
    }

    fn left(&self) {
        self.place.tally.count(self.deed, "left");
    }

    fn answered(&self, answer: &Answer) {
        let has_ended = last_message(answer)["error"]["message"] == "Session ended";
        let ended = if has_ended { " ended" } else { "" };
        let outcome = format!("{}{ended}", answer.status.as_u16());
        self.place.tally.count(self.deed, &outcome);
    }

    fn expect(&self, answer: &Answer, statuses: &[u16]) {
        let is_expected = statuses.contains(&answer.status.as_u16());
        assert!(is_expected, "{}: {statuses:?}, not {answer:?}", self.deed);
    }
}

/// The body of an answer, or the last message of its event stream; null if there is none.
fn last_message(answer: &Answer) -> Value {
    let body = answer.text();
    let last = body.rsplit("data: ").next().unwrap_or(body);
    serde_json::from_str(last).unwrap_or_default()
}

fn initialize(mode: &str, owner: Option<&str>) -> Vec<u8> {
    post(None, owner, &initialize_body(mode))
}

fn initialize_body(mode: &str) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "mode": mode});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

fn call(session: &Known, mode: &str) -> Vec<u8> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "call", "params": {"mode": mode}});
    post(Some(&session.id), session.owner, &call.to_string())
}

fn post(session: Option<&str>, owner: Option<&str>, body: &str) -> Vec<u8> {
    let length = body.len();
    let framed = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    [head("POST", session, owner), framed, format!("\r\n{body}")]
        .concat()
        .into()
}

/// A request without a body.
fn bare(method: &str, session: &Known) -> Vec<u8> {
    [
        head(method, Some(&session.id), session.owner),
        "\r\n".to_owned(),
    ]
    .concat()
    .into()
}

fn head(method: &str, session: Option<&str>, owner: Option<&str>) -> String {
    let mut head = format!("{method} /mcp HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in [("mcp-session-id", session), ("x-user", owner)] {
        if let Some(value) = value {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head
}

/// Chance that can be repeated (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.throw(from.len() as u64) as usize].clone()
    }
}
