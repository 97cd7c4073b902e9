//! Correct and faulty clients, and their actions.

use std::sync::{Arc, TryLockError};
use std::thread::sleep;
use std::time::Duration;

use mcp_session_guard::Owner;
use serde_json::Value;
use tokio::time::Instant;

use super::requests::{KnownSession, bare, call, initialize, initialize_body, post};
use super::support::Answer;
use super::support::client::Client;
use super::support::rng::Rng;
use super::support::tally::SENT;
use super::{Endpoint, MAX_SESSIONS, OWNERS, PATIENCE};

/// The weight of an action, its name in the table, and the action.
type Action = (usize, &'static str, fn(&mut User));

const ACTIONS: [Action; 19] = [
    (12, "initialize", User::open),
    (40, "call", User::call),
    (6, "DELETE", User::delete),
    (4, "abandoned", User::abandon),
    (6, "initialize, inner refusal", User::open_refused),
    (6, "initialize, client left", User::leave_opening),
    (4, "initialize in a session", User::open_again),
    (4, "call, client left", User::leave_call),
    (4, "stream, client left", User::leave_stream),
    (3, "call, never read", User::never_read),
    (2, "call, read slowly", User::read_slowly),
    (2, "call that ends its session", User::end_by_handler),
    (2, "call, inner session lost", User::lose),
    (6, "GET", User::listen),
    (4, "session of another owner", User::intrude),
    (6, "malformed", User::malform),
    (2, "half a body", User::send_half),
    (1, "flood", User::flood),
    (2, "end_owner", User::end_owner),
];

/// A client and the sessions that it has opened and not ended.
pub(crate) struct User {
    endpoint: Arc<Endpoint>,
    rng: Rng,
    /// The connection that well-formed requests share.
    line: Option<Client>,
    sessions: Vec<KnownSession>,
    pub(crate) action: &'static str,
}

impl User {
    pub(crate) fn new(endpoint: &Arc<Endpoint>, seed: u64) -> Self {
        Self {
            endpoint: endpoint.clone(),
            rng: Rng(seed),
            line: None,
            sessions: Vec::new(),
            action: "",
        }
    }

    pub(crate) fn run(mut self, until: Instant) {
        let all = ACTIONS.iter().map(|(often, ..)| often).sum();
        while Instant::now() < until {
            let mut drawn = self.rng.below(all);
            for (often, name, action) in ACTIONS {
                if drawn < often {
                    self.action = name;
                    action(&mut self);
                    break;
                }
                drawn -= often;
            }
        }
    }

    fn open(&mut self) {
        let mode = self.rng.pick(&["json", "events", "own json", "own events"]);
        let owner = self.owner();
        if let Some(session) = self.try_open(mode, owner) {
            self.sessions.push(session);
        }
    }

    pub(crate) fn try_open(
        &mut self,
        mode: &str,
        owner: Option<&'static str>,
    ) -> Option<KnownSession> {
        let answer = self.ask(&initialize(mode, owner));
        self.opened(&answer, owner)
    }

    fn opened(&self, answer: &Answer, owner: Option<&'static str>) -> Option<KnownSession> {
        if answer.status == 503 {
            assert_eq!(answer.headers["retry-after"], "5");
            return None;
        }
        self.expect(answer, &[200]);
        let id = answer.headers.get("mcp-session-id")?.to_str().unwrap();
        Some(KnownSession {
            id: id.to_owned(),
            owner,
        })
    }

    fn open_refused(&mut self) {
        let mode = self.rng.pick(&["refused", "error", "error events"]);
        let owner = self.owner();
        let answer = self.ask(&initialize(mode, owner));
        self.expect(&answer, &[200, 422, 503]);
        if answer.status != 503 {
            // An event stream carries the id in its head, before the error makes the id unknown.
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
        let mode = self.rng.pick(&modes);
        let owner = self.owner();
        self.leave(&initialize(mode, owner));
    }

    fn call(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mode = self.rng.pick(&["json", "json", "events"]);
        self.call_in(&session, mode);
    }

    fn call_in(&mut self, session: &KnownSession, mode: &str) {
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

    /// Reads every event late and misses none.
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
        if is_open && self.rng.below(3) == 0 {
            let answer = self.ask(&bare("DELETE", &session));
            self.expect(&answer, &[204, 404]);
            while !client.chunk().is_empty() {}
        }
    }

    /// Reads the head and a few events. Returns whether the stream is still open.
    fn read_some(&mut self, client: &mut Client) -> bool {
        let answer = client.answer();
        self.expect(&answer, &[200, 404]);
        self.answered(&answer);
        let is_stream = answer.headers.contains_key("transfer-encoding");
        is_stream && (0..self.rng.below(6)).all(|_| !client.chunk().is_empty())
    }

    fn intrude(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let owners = OWNERS.iter().map(|owner| Some(*owner)).chain([None]);
        let others: Vec<_> = owners.filter(|owner| *owner != session.owner).collect();
        let stranger = KnownSession {
            owner: self.rng.pick(&others),
            ..session
        };
        let request = match self.rng.below(3) {
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
            .rng
            .pick(&["", "{", "[]", "\u{feff}{}", "{} {}", r#"{"jsonrpc":"2.0"}"#]);
        let (id, owner) = session.map_or((None, None), |known| (Some(known.id), known.owner));
        let answer = self.ask(&post(id.as_deref(), owner, body));
        self.expect(&answer, if id.is_some() { &[400, 404] } else { &[400] });
    }

    fn send_half(&mut self) {
        let owner = self.owner();
        let whole = initialize("json", owner);
        let half = &whole[..whole.len() - 9];
        if self.rng.below(2) == 0 {
            return self.leave(half);
        }
        let mut client = self.begin(half);
        let answer = client.whole_answer();
        self.expect(&answer, &[408]);
        self.answered(&answer);
    }

    /// Sends as many openings at once as the session limit. They either wait and leave, or open
    /// sessions and abandon them.
    fn flood(&mut self) {
        let endpoint = self.endpoint.clone();
        let _one = match endpoint.flood.try_lock() {
            Ok(one) => one,
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(error)) => panic!("{error}"),
        };
        let mode = self.rng.pick(&["never", "json", "own json"]);
        let flood: Vec<_> = (0..MAX_SESSIONS)
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
            self.endpoint.sessions.end_owner(&Owner::new(owner));
        } else if let Some(session) = self.take_session() {
            self.endpoint.sessions.end(&session.id);
            self.is_unknown(&session);
        }
    }

    /// Checks that the session is unknown after its end.
    fn is_unknown(&mut self, session: &KnownSession) {
        let answer = self.ask(&call(session, "json"));
        self.expect(&answer, &[404]);
        self.sessions.retain(|known| known.id != session.id);
    }

    fn owner(&mut self) -> Option<&'static str> {
        let owner = self.rng.pick(&OWNERS);
        (self.rng.below(2) == 0).then_some(owner)
    }

    fn session(&mut self) -> Option<KnownSession> {
        (!self.sessions.is_empty()).then(|| self.rng.pick(&self.sessions))
    }

    fn take_session(&mut self) -> Option<KnownSession> {
        let session = self.session()?;
        self.sessions.retain(|known| known.id != session.id);
        Some(session)
    }

    /// Sends a request on the connection that well-formed requests share.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        let mut line = self.line.take().unwrap_or_else(|| self.connect());
        self.endpoint.tally.count(self.action, SENT);
        line.send(request);
        let answer = line.whole_answer();
        self.answered(&answer);
        if !answer.headers.contains_key("connection") {
            self.line = Some(line);
        }
        answer
    }

    /// Sends a request on a separate connection.
    fn begin(&self, request: &[u8]) -> Client {
        let client = self.connect();
        self.endpoint.tally.count(self.action, SENT);
        client.send(request);
        client
    }

    /// Sends a request and hangs up at once or a little later.
    fn leave(&mut self, request: &[u8]) {
        let client = self.begin(request);
        sleep(Duration::from_millis(self.rng.below(20) as u64));
        self.left();
        drop(client);
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.endpoint.address, PATIENCE)
    }

    fn left(&self) {
        self.endpoint.tally.count(self.action, "left");
    }

    fn answered(&self, answer: &Answer) {
        let has_ended = last_message(answer)["error"]["message"] == "Session ended";
        let ended = if has_ended { " ended" } else { "" };
        let outcome = format!("{}{ended}", answer.status.as_u16());
        self.endpoint.tally.count(self.action, &outcome);
    }

    fn expect(&self, answer: &Answer, statuses: &[u16]) {
        let is_expected = statuses.contains(&answer.status.as_u16());
        assert!(is_expected, "{}: {statuses:?}, not {answer:?}", self.action);
    }
}

/// The body of an answer, or the last message of its event stream. Null if there is none.
fn last_message(answer: &Answer) -> Value {
    let body = answer.text();
    let last = body.rsplit("data: ").next().unwrap_or(body);
    serde_json::from_str(last).unwrap_or_default()
}
