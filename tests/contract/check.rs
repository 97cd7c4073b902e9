//! The type of a row of the contract, and its check.

use std::fmt;
use std::io;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request};
use mcp_session_guard::{Era, Owner, Refusal, SessionGuardBuilder, SessionGuardLayer};

use super::support::{Answer, INITIALIZE, INITIALIZED, PING, Seen, TestServer, post, request};

const POST: &str = "POST /mcp\n{H}\n{J}";
const S: &str = "mcp-session-id: {live}";
pub(crate) const H: &str = "host: localhost:8000";
const P: &str = "origin: http://localhost:8000\naccess-control-request-method: POST";
pub(crate) const J: &str = "content-type: application/json";
const CLAIM: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"srv-1","result":{}}"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
pub(crate) const MISSING: &str = "Bad Request: Missing session ID";
pub(crate) const NOT_FOUND: &str = "Session not found";
pub(crate) const ANY: &str = "*";

/// Declares rows grouped by mode. A mode is a function of the builder. A row is a name, the request
/// that is sent, and the answer that is expected.
macro_rules! rows {
    ($(under($mode:expr) { $($name:ident: $sent:expr => $answered:expr;)* })*) => {
        $($(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                check($mode, $sent, $answered).await;
            }
        )*)*

        pub(crate) fn table() -> Vec<(&'static str, Sent, Answered)> {
            vec![$($((stringify!($name), $sent, $answered)),*),*]
        }
    };
}
pub(crate) use rows;

/// A request as text.
pub(crate) struct Sent {
    text: &'static str,
    /// Appended to `text` as the body, unless empty.
    json: &'static str,
    /// Replaces the body in the text.
    body: Option<fn() -> Body>,
}

pub(crate) fn send(text: &'static str) -> Sent {
    Sent {
        text,
        json: "",
        body: None,
    }
}

impl Sent {
    pub(crate) fn json(self, json: &'static str) -> Self {
        Self { json, ..self }
    }

    pub(crate) fn streams(self, body: fn() -> Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    /// The whole text, with the placeholders that only shorten rows filled in.
    pub(crate) fn text(&self) -> String {
        let separator = if self.json.is_empty() { "" } else { "\n\n" };
        [self.text, separator, self.json]
            .concat()
            .replace("{POST}", POST)
            .replace("{S}", S)
            .replace("{CLAIM}", CLAIM)
    }
}

/// Takes the owner from the header `user`. Some users make the resolver fail.
pub(crate) fn owned(guard: SessionGuardBuilder) -> SessionGuardBuilder {
    guard.owner(|request: &Parts| -> Result<Option<Owner>, BoxError> {
        match request.headers.get("user").map(|user| user.as_bytes()) {
            None => Ok(None),
            Some(b"fails") => Err("no such user".into()),
            Some(b"panics") => panic!("the resolver panics"),
            Some(b"noissuer") => Ok(Some(Owner::from_issuer_subject("", "user"))),
            Some(user) => Ok(Some(Owner::new(String::from_utf8_lossy(user)))),
        }
    })
}

pub(crate) fn stalls() -> Body {
    let first = stream::iter([Ok::<_, io::Error>(Bytes::from("{"))]);
    Body::from_stream(first.chain(stream::pending()))
}

pub(crate) fn breaks_off() -> Body {
    let reset = Err(io::Error::from(io::ErrorKind::ConnectionReset));
    Body::from_stream(stream::iter([Ok(Bytes::from("{")), reset]))
}

/// The expected answer, as literals.
pub(crate) struct Answered {
    status: u16,
    kind: Kind,
    header: Option<&'static str>,
    data: Option<&'static str>,
}

enum Kind {
    Rpc {
        code: i64,
        message: &'static str,
        id: &'static str,
    },
    Problem,
    Passes,
    /// Passes, and the inner service sees this field as the only one of its name.
    PassesWith(&'static str),
    PassesWithout(&'static str),
    /// Passes without the body, its fields and the session id.
    Preflight,
    NoContent,
}

pub(crate) fn rpc(status: u16, code: i64, message: &'static str, id: &'static str) -> Answered {
    Answered {
        status,
        kind: Kind::Rpc { code, message, id },
        header: None,
        data: None,
    }
}

pub(crate) fn problem(status: u16) -> Answered {
    Answered {
        status,
        kind: Kind::Problem,
        header: None,
        data: None,
    }
}

pub(crate) fn passes() -> Answered {
    Answered {
        status: 200,
        kind: Kind::Passes,
        header: None,
        data: None,
    }
}

pub(crate) fn passes_with(field: &'static str) -> Answered {
    Answered {
        kind: Kind::PassesWith(field),
        ..passes()
    }
}

pub(crate) fn passes_without(name: &'static str) -> Answered {
    Answered {
        kind: Kind::PassesWithout(name),
        ..passes()
    }
}

pub(crate) fn preflight() -> Answered {
    Answered {
        kind: Kind::Preflight,
        ..passes()
    }
}

pub(crate) fn no_content() -> Answered {
    Answered {
        status: 204,
        kind: Kind::NoContent,
        header: None,
        data: None,
    }
}

impl Answered {
    /// Expects this `data` in the error.
    pub(crate) fn data(self, data: &'static str) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    pub(crate) fn with(self, header: &'static str) -> Self {
        Self {
            header: Some(header),
            ..self
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Rpc { code, message, id } => {
                write!(f, "{} {code} {message:?} id={id}", self.status)?;
            }
            Kind::Problem => write!(f, "{} problem+json", self.status)?,
            Kind::Passes => write!(f, "to inner")?,
            Kind::PassesWith(field) => write!(f, "to inner with {field}")?,
            Kind::PassesWithout(name) => write!(f, "to inner without {name}")?,
            Kind::Preflight => write!(f, "to inner without a body")?,
            Kind::NoContent => write!(f, "204")?,
        }
        self.header.map_or(Ok(()), |header| write!(f, ", {header}"))
    }
}

pub(crate) async fn check(
    configure: impl FnOnce(SessionGuardBuilder) -> SessionGuardBuilder,
    sent: Sent,
    answered: Answered,
) {
    let server = TestServer::build(configure(SessionGuardLayer::builder()));
    // Open sessions with `localhost` as the host. A guard that does not allow it has none.
    let live = open(&server).await;
    let ended = open(&server).await;
    server.sessions.end(ended.as_deref().unwrap_or_default());
    server.inner.clear();

    let text = fill(&sent.text(), live.as_deref(), ended.as_deref());
    let mut asked = latin_1(request(&text));
    if let Some(body) = sent.body {
        *asked.body_mut() = body();
    }
    let is_head = asked.method() == Method::HEAD;
    let sent_ids = asked.headers().get_all("mcp-session-id").iter().count();
    let response = server.send(asked).await;
    let calls = server.inner.calls();

    match &answered.kind {
        Kind::Passes | Kind::PassesWith(_) | Kind::PassesWithout(_) | Kind::Preflight => {
            let refusal = response.extensions().get::<Refusal>();
            assert!(refusal.is_none(), "{refusal:?}");
            assert!(response.status().is_success());
            assert_eq!(calls.len(), 1, "the inner service is called once");
            let body = text.split_once("\n\n").map_or("", |(_, body)| body);
            let ids = match live {
                // Without sessions the inner service gets the ids as they were sent.
                None => sent_ids,
                Some(_) => 0,
            };
            check_call(&answered.kind, &calls[0], body, ids);
        }
        Kind::NoContent => assert_eq!((response.status().as_u16(), calls.len()), (204, 0)),
        Kind::Rpc { .. } | Kind::Problem => {
            assert_eq!(
                calls.len(),
                0,
                "a refused request never reaches the inner service"
            );
            check_refusal(&answered, response, is_head).await;
            if let Some(live) = live.filter(|_| !is_head) {
                let session = server.sessions.get(&live);
                let session = session.expect("the live session survives a refusal");
                assert_eq!(session.in_flight(), 0);
                assert_eq!(server.sessions.len(), 1);
            }
        }
    }
}

/// Checks that the inner service received these bytes and this number of session ids. A preflight
/// and a modern request carry no id.
fn check_call(kind: &Kind, call: &Seen, body: &str, ids: usize) {
    let judged = match call.method {
        Method::POST => body,
        _ => "",
    };
    assert_eq!(call.body, judged, "the inner service gets the judged bytes");
    check_fields(kind, &call.headers);
    let has_none = is_modern(call) || matches!(kind, Kind::Preflight);
    let ids = if has_none { 0 } else { ids };
    assert_eq!(call.headers.get_all("mcp-session-id").iter().count(), ids);
    assert!(!call.headers.contains_key("last-event-id") || !is_modern(call));
}

async fn check_refusal(answered: &Answered, response: Response, is_head: bool) {
    assert_eq!(response.status(), answered.status);
    let refusal = response.extensions().get::<Refusal>();
    let refusal = refusal.expect("the refusal travels in the extensions");
    assert_eq!(refusal.status(), answered.status);

    let answer = Answer::of(response).await;
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length") // axum's router adds it
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let mut expected = vec![
        "cache-control: no-store".to_owned(),
        match answered.kind {
            Kind::Problem => "content-type: application/problem+json".to_owned(),
            _ => "content-type: application/json".to_owned(),
        },
        "x-content-type-options: nosniff".to_owned(),
    ];
    expected.extend(answered.header.map(str::to_owned));
    expected.sort();
    assert_eq!(headers, expected);
    if !is_head {
        check_body(answered, &answer);
    }
}

fn check_body(answered: &Answered, answer: &Answer) {
    let body = answer.json();
    match answered.kind {
        Kind::Rpc { code, message, id } => {
            let text = body["error"]["message"].as_str().expect("a message");
            assert!(message == ANY || text == message, "{text}");
            let data = answered.data.map(|data| format!(r#","data":{data}"#));
            let (data, id) = (data.unwrap_or_default(), fill(id, None, None));
            assert_eq!(
                answer.text(),
                format!(
                    r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"{text}"{data}}},"id":{id}}}"#
                )
            );
        }
        _ => {
            let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
            assert_eq!(members, ["detail", "status", "title"]);
            assert_eq!(body["status"], answered.status);
            assert_eq!(body["title"].as_str(), answer.status.canonical_reason());
            assert!(!body["detail"].as_str().unwrap().is_empty());
        }
    }
}

/// Checks the header fields that reach the inner service.
fn check_fields(kind: &Kind, headers: &HeaderMap) {
    match kind {
        Kind::PassesWith(field) => {
            let (name, value) = field.split_once(": ").unwrap();
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, [value]);
        }
        Kind::PassesWithout(name) => assert!(!headers.contains_key(*name), "{name}"),
        Kind::Preflight => {
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            names.retain(|name| !["host", "user"].contains(name));
            names.sort_unstable();
            assert_eq!(names, ["access-control-request-method", "origin"]);
        }
        _ => {}
    }
}

fn is_modern(seen: &Seen) -> bool {
    seen.era.as_ref().is_some_and(Era::is_modern)
}

/// Opens a session, or returns `None` if the guard does not open one for `localhost`.
async fn open(server: &TestServer) -> Option<String> {
    let answer = server.ask(post(None, INITIALIZE)).await;
    let is_open = answer.headers.contains_key("mcp-session-id");
    is_open.then(|| answer.session_id())
}

fn fill(text: &str, live: Option<&str>, ended: Option<&str>) -> String {
    let live = live.unwrap_or("none");
    text.replace("{live}", live)
        .replace("{LIVE}", &live.to_ascii_uppercase())
        .replace("{ended}", ended.unwrap_or("none"))
        .replace("{H}", H)
        .replace("{P}", P)
        .replace("{J}", J)
        .replace("{PING}", PING)
        .replace("{INITIALIZE}", INITIALIZE)
        .replace("{INITIALIZED}", INITIALIZED)
        .replace("{RESPONSE}", RESPONSE)
        .replace("{MODERN}", MODERN)
        .replace("{x256}", &"x".repeat(256))
        .replace("{n256}", &"9".repeat(256))
        .replace("{deep63}", &format!("{}{}", "[".repeat(63), "]".repeat(63)))
}

/// Turns a session id outside ASCII into one latin 1 byte, so that the header holds a byte above
/// 0x7F.
fn latin_1(mut request: Request<Body>) -> Request<Body> {
    if let Some(value) = request.headers_mut().get_mut("mcp-session-id")
        && value.to_str().is_err()
    {
        *value = http::HeaderValue::from_bytes(b"\xe9").unwrap();
    }
    request
}
