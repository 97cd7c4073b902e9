//! A scenario decoded from bytes and run on guards around an inner service that the oracle checks.
//! It has every kind of request, owners, two scopes, broken bodies and answers, time, and every
//! kind of end.
//!
//! A scenario leaves nothing behind, so scenarios are independent.

mod frames;
mod inner;
mod input;
mod oracle;
mod request;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::poll;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use mcp_session_guard::Sessions;
use mcp_session_guard::{
    Eras, Owner, Refusal, SessionGuard, SessionGuardBuilder, SessionGuardLayer,
};
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower_layer::Layer;
use tower_service::Service;

use self::inner::{Answer, Inner};
use self::input::Input;
use self::oracle::{Caller, Legacy, Oracle, Rules};
use self::request::{Sent, Tag};

const MAX_SESSIONS: usize = 3;
const PER_OWNER: usize = 2;
const STREAMS: usize = 2;
const MOST_STEPS: usize = 60;
const MINUTE: Duration = Duration::from_secs(60);

type Answering = Pin<Box<dyn Future<Output = io::Result<Response>>>>;
type Draining = Pin<Box<dyn Future<Output = ()>>>;

/// Runs the scenario that these bytes encode.
pub(crate) fn run(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut input = Input::new(bytes);
        let mut scenario = Scenario::new(&mut input);
        for _ in 0..MOST_STEPS {
            if input.is_empty() {
                break;
            }
            scenario.step(&mut input).await;
            scenario.check_invariants();
        }
        scenario.finish().await;
    });
}

struct Scenario {
    oracle: Arc<Mutex<Oracle>>,
    rules: Rules,
    layer: SessionGuardLayer,
    guards: Vec<SessionGuard<Inner>>,
    sessions: Sessions,
    answering: Vec<(usize, Answering)>,
    bodies: Vec<OpenBody>,
    drain: Option<Draining>,
    is_draining: bool,
}

struct OpenBody {
    body: Body,
    /// The session that must end this event stream with its own end.
    session: Option<usize>,
}

impl Scenario {
    fn new(input: &mut Input<'_>) -> Self {
        let (first, second) = (input.byte(), input.byte());
        let is_on = |bits: u8, bit: u8| bits & bit != 0;
        let legacy = match first & 7 {
            6 => Legacy::Stateless,
            7 => Legacy::Refused,
            _ => Legacy::Sessions,
        };
        let resolves_owners = is_on(first, 8) && legacy == Legacy::Sessions;
        let rules = Rules {
            legacy,
            accepts_modern: is_on(first, 16) || legacy == Legacy::Refused,
            resolves_owners,
            requires_owner: is_on(first, 32) && resolves_owners,
            reopens_stale: is_on(first, 64),
            ends_inner: is_on(first, 128),
            only_reports: second & 15 == 15,
        };
        let own = SessionGuardLayer::builder().max_sessions(MAX_SESSIONS);
        let own = match resolves_owners {
            true => own.max_sessions_per_owner(PER_OWNER),
            false => own,
        };
        let layer = with(own, rules, second);
        let mut layers = vec![layer.clone()];
        if is_on(second, 16) {
            let other = SessionGuardLayer::with_sessions(&layer.sessions()).scope("other");
            layers.push(with(other, rules, second));
        }
        let oracle = Arc::new(Mutex::new(Oracle {
            rules,
            sent: Vec::new(),
            sessions: Vec::new(),
            inner_ids: Vec::new(),
        }));
        let inner = Inner {
            oracle: oracle.clone(),
        };
        Self {
            guards: layers
                .iter()
                .map(|layer| layer.layer(inner.clone()))
                .collect(),
            sessions: layer.sessions(),
            layer,
            oracle,
            rules,
            answering: Vec::new(),
            bodies: Vec::new(),
            drain: None,
            is_draining: false,
        }
    }

    async fn step(&mut self, input: &mut Input<'_>) {
        match input.number(16) {
            0..=6 => {
                let (request, sent) =
                    request::decode(input, &self.oracle.lock().unwrap(), self.guards.len());
                self.send(request, sent);
            }
            7 | 8 => {
                let times = [
                    1, 500, 1_000, 5_000, 31_000, 61_000, 301_000, 1_801_000, 90_000_000,
                ];
                advance(Duration::from_millis(input.pick(&times))).await;
            }
            9 if !self.bodies.is_empty() => {
                let number = input.number(self.bodies.len());
                self.read(number, input.number(4)).await;
            }
            10 if !self.bodies.is_empty() => {
                drop(self.bodies.swap_remove(input.number(self.bodies.len())));
            }
            11 if !self.answering.is_empty() => {
                drop(
                    self.answering
                        .swap_remove(input.number(self.answering.len())),
                );
            }
            12 => self.end(input),
            13 if input.seldom() && self.drain.is_none() => {
                let patience = Duration::from_secs(input.number(20) as u64);
                self.drain = Some(Box::pin(self.layer.drain(patience)));
                self.is_draining = true;
            }
            _ => {}
        }
        // Yielding also lets ready tasks run.
        yield_now().await;
        self.poll_all().await;
    }

    fn send(&mut self, mut request: Request<Body>, sent: Sent) {
        let mut oracle = self.oracle.lock().unwrap();
        let tag = oracle.sent.len();
        request.extensions_mut().insert(Tag(tag));
        let scope = sent.scope;
        oracle.sent.push(sent);
        drop(oracle);
        let guard = &mut self.guards[scope];
        let ready = poll_fn(|context| Service::<Request<Body>>::poll_ready(guard, context));
        let is_ready = ready.now_or_never();
        assert!(matches!(is_ready, Some(Ok(()))));
        self.answering.push((tag, Box::pin(guard.call(request))));
    }

    /// Polls every pending future once.
    async fn poll_all(&mut self) {
        for (tag, mut answering) in std::mem::take(&mut self.answering) {
            match poll!(&mut answering) {
                Poll::Pending => self.answering.push((tag, answering)),
                Poll::Ready(Ok(response)) => self.answered(tag, response),
                Poll::Ready(Err(_)) => {
                    let oracle = self.oracle.lock().unwrap();
                    assert_eq!(oracle.sent[tag].calls, 1, "the inner service's error");
                }
            }
        }
        if let Some(drain) = &mut self.drain
            && poll!(drain).is_ready()
        {
            self.drain = None;
            if self.is_draining {
                assert_eq!(self.sessions.len(), 0, "after a drain");
                self.mark_over(|_| true);
            }
        }
    }

    fn answered(&mut self, tag: usize, response: Response) {
        let mut oracle = self.oracle.lock().unwrap();
        let opened = oracle.answered(tag, &response);
        let sent = &oracle.sent[tag];
        let headers = response.headers();
        let ends_with_session = sent.answer.is_events
            && sent.answer.is_streamed
            && !sent.was_modern
            && sent.method != Method::OPTIONS
            && response.extensions().get::<Refusal>().is_none()
            && response.status() != StatusCode::NOT_FOUND
            && headers
                .get("content-type")
                .is_some_and(|kind| kind == "text/event-stream")
            && self.rules.legacy == Legacy::Sessions
            && !self.rules.only_reports
            && sent.method != Method::DELETE;
        let session = match opened {
            Some(opened) => Some(opened),
            // The answer to an `initialize` that opened no session, even if it names an ended one.
            None if is_initialize(&sent.body) => None,
            None if sent.session.iter().all(|id| id.is_empty()) => None,
            None => oracle.named(tag),
        };
        self.bodies.push(OpenBody {
            body: response.into_body(),
            session: session.filter(|_| ends_with_session),
        });
    }

    async fn read(&mut self, number: usize, frames: usize) {
        for _ in 0..=frames {
            let open = &mut self.bodies[number];
            if let Poll::Ready(None | Some(Err(_))) = poll!(open.body.frame()) {
                drop(self.bodies.swap_remove(number));
                return;
            }
        }
    }

    /// Ends sessions like an administrator.
    fn end(&mut self, input: &mut Input<'_>) {
        match input.number(4) {
            0 if self.rules.resolves_owners => {
                let name = input.pick(&["alice", "bob"]);
                self.sessions.end_owner(&Owner::new(name));
                self.mark_over(|caller| caller == Caller::Of(name));
            }
            1 => {
                self.sessions.end_all();
                self.mark_over(|_| true);
            }
            _ => {
                let mut oracle = self.oracle.lock().unwrap();
                let newest = input.number(oracle.sessions.len().max(1));
                if let Some(session) = oracle.sessions.iter_mut().rev().nth(newest) {
                    self.sessions.end(&session.id);
                    session.is_over = true;
                }
            }
        }
    }

    fn mark_over(&self, of: impl Fn(Caller) -> bool) {
        for session in &mut self.oracle.lock().unwrap().sessions {
            session.is_over |= of(session.caller);
        }
    }

    /// Checks the invariants that always hold.
    fn check_invariants(&mut self) {
        let stats = self.sessions.stats();
        assert!(stats.open + stats.opening <= MAX_SESSIONS, "{stats:?}");
        let open = self.sessions.snapshot();
        assert_eq!((open.len(), self.sessions.len()), (stats.open, stats.open));
        for session in &open {
            assert!(session.open_streams() <= STREAMS);
            let owned = open.iter().filter(|other| other.owner() == session.owner());
            assert!(session.owner().is_none() || owned.count() <= PER_OWNER);
        }
        let oracle = self.oracle.lock().unwrap();
        for session in oracle.sessions.iter().filter(|session| session.is_over) {
            assert!(self.sessions.get(&session.id).is_none(), "{session:?}");
        }
        self.bodies.retain_mut(|open| {
            let session = open.session.map(|session| &oracle.sessions[session]);
            let is_over = session.is_some_and(|session| session.is_over);
            if is_over {
                assert_ends(&mut open.body);
            }
            !is_over
        });
    }

    /// Checks that nothing is left behind after all clients have left and time has passed.
    async fn finish(mut self) {
        self.answering.clear();
        self.bodies.clear();
        drop(self.drain.take());
        for session in self.sessions.snapshot() {
            assert_eq!((session.in_flight(), session.open_streams()), (0, 0));
        }
        for _ in 0..3 {
            advance(MINUTE * 31).await;
            yield_now().await;
        }
        let stats = self.sessions.stats();
        assert_eq!((stats.open, stats.opening, stats.open_streams), (0, 0, 0));
        let ends: u64 = stats.ended.values().sum();
        assert_eq!(stats.opened + stats.restored, ends);
        if !self.is_draining && self.rules.legacy == Legacy::Sessions && !self.rules.only_reports {
            self.fill().await;
        }
        let began = Instant::now();
        self.layer.drain(MINUTE * 60).await;
        assert!(began.elapsed() < MINUTE, "nothing is in flight");
        assert_eq!(self.sessions.len(), 0);
    }

    /// Checks that the guard accepts exactly as many sessions as its limit.
    async fn fill(&mut self) {
        for number in 0..=MAX_SESSIONS {
            let opened = self.ask(number, None, "initialize").await;
            let id = opened.headers().get("mcp-session-id").cloned();
            assert_eq!(id.is_some(), number < MAX_SESSIONS, "slot {number}");
            let Some(id) = id else {
                assert_eq!(opened.status(), 503);
                break;
            };
            opened.into_body().collect().await.unwrap();
            let id = Some(id.to_str().unwrap());
            assert_eq!(self.ask(number, id, "ping").await.status(), 200);
        }
        assert_eq!(self.sessions.end_all(), MAX_SESSIONS);
    }

    async fn ask(&mut self, number: usize, session: Option<&str>, method: &str) -> Response {
        let body = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}"}}"#);
        let caller = Caller::Of(["u0", "u1", "u2", "u3"][number]);
        let mut request = Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("user", caller.header().unwrap());
        if let Some(id) = session {
            request = request.header("mcp-session-id", id);
        }
        let sent = Sent {
            session: session.map(|id| id.parse().unwrap()).into_iter().collect(),
            caller,
            body: body.clone().into_bytes(),
            ..Sent::usual(Answer::usual())
        };
        self.send(request.body(body.into()).unwrap(), sent);
        let (tag, answering) = self.answering.pop().unwrap();
        let response = answering.await.unwrap();
        self.oracle.lock().unwrap().answered(tag, &response);
        response
    }
}

fn is_initialize(body: &[u8]) -> bool {
    let message = serde_json::from_slice::<serde_json::Value>(body);
    message.is_ok_and(|message| message["method"] == "initialize")
}

/// Checks that the body of an ended session has at most a last event, and then its end.
fn assert_ends(body: &mut Body) {
    for _ in 0..2 {
        match pin!(body.frame()).now_or_never() {
            Some(None) => {
                assert!(body.is_end_stream());
                return;
            }
            Some(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap();
                assert!(
                    data.starts_with(b"data: "),
                    "a result after the end: {data:?}"
                );
                assert!(data.ends_with(b"\n\n"));
            }
            other => panic!("not the end of an ended session's body: {other:?}"),
        }
    }
    panic!("the body goes on after the end of its session");
}

/// A guard with the settings that all guards of a scenario share.
fn with(mut builder: SessionGuardBuilder, rules: Rules, bits: u8) -> SessionGuardLayer {
    builder = builder.body_limit(700).json_depth(8).max_streams(STREAMS);
    if rules.legacy == Legacy::Stateless {
        builder = builder.stateless();
    }
    builder = match (rules.legacy, rules.accepts_modern) {
        (Legacy::Refused, _) => builder.eras(Eras::Sessionless),
        (_, true) => builder.eras(Eras::Both),
        (_, false) => builder,
    };
    if rules.resolves_owners {
        builder = builder.owner(|request: &Parts| -> Result<Option<Owner>, BoxError> {
            match request.headers.get("user").map(|user| user.to_str()) {
                None => Ok(None),
                Some(Ok("fail")) => Err("the resolver fails".into()),
                Some(user) => Ok(Some(Owner::new(user?))),
            }
        });
    }
    if rules.requires_owner {
        builder = builder.require_owner();
    }
    if rules.reopens_stale {
        builder = builder.reopen_stale_sessions();
    }
    if rules.ends_inner {
        builder = builder.end_inner_sessions();
    }
    if rules.only_reports {
        builder = builder.report_only();
    }
    if bits & 32 != 0 {
        builder = builder.end_on_refused_delete();
    }
    builder.build().unwrap()
}
