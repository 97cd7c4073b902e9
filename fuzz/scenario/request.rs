//! A request, with the facts that the oracle needs.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Version};

use super::frames::body;
use super::inner::Answer;
use super::input::Input;
use super::oracle::{Caller, Oracle};

pub(crate) const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";

/// A request as it was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    /// The index of the guard that gets the request.
    pub(crate) scope: usize,
    pub(crate) caller: Caller,
    pub(crate) session: Vec<HeaderValue>,
    pub(crate) versions: Vec<HeaderValue>,
    pub(crate) methods: Vec<HeaderValue>,
    pub(crate) has_good_host: bool,
    pub(crate) has_good_type: bool,
    pub(crate) is_hop_by_hop: bool,
    pub(crate) is_preflight: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) is_whole: bool,
    pub(crate) answer: Answer,
    /// The number of calls of the inner service.
    pub(crate) calls: usize,
    /// The request reached the inner service as a modern one.
    pub(crate) was_modern: bool,
    /// The session id that the inner service issued.
    pub(crate) inner_id: Option<HeaderValue>,
}

impl Sent {
    /// A valid POST.
    pub(crate) fn usual(answer: Answer) -> Self {
        Self {
            method: Method::POST,
            scope: 0,
            caller: Caller::Anonymous,
            session: Vec::new(),
            versions: Vec::new(),
            methods: Vec::new(),
            has_good_host: true,
            has_good_type: true,
            is_hop_by_hop: false,
            is_preflight: false,
            body: Vec::new(),
            is_whole: true,
            answer,
            calls: 0,
            was_modern: false,
            inner_id: None,
        }
    }
}

/// Identifies a request, in its extensions.
#[derive(Clone, Copy)]
pub(crate) struct Tag(pub usize);

const HOSTS: [(&[&str], &str, bool); 12] = [
    (&["localhost"], "/mcp", true),
    (&["localhost:8000"], "/mcp", true),
    (&["127.0.0.1"], "http://127.0.0.1/mcp", true),
    (&["LocalHost.:1"], "/mcp", true),
    (&["[::1]:80"], "/mcp", true),
    (&["evil.example"], "/mcp", false),
    (&[], "/mcp", false),
    (&["localhost", "localhost"], "/mcp", false),
    (&["me@localhost"], "/mcp", false),
    (&["localhost:x"], "/mcp", false),
    (&["localhost"], "http://evil.example/mcp", false),
    (&["localhost:"], "/mcp", true),
];
const ORIGINS: [(&[&str], bool); 6] = [
    (&[], true),
    (&["http://localhost:5173"], true),
    (&["null"], false),
    (&["https://evil.example"], false),
    (&["http://localhost", "http://localhost"], false),
    (&["ftp://localhost"], false),
];
const TYPES: [(&[(&str, &str)], bool); 9] = [
    (&[("content-type", "application/json")], true),
    (
        &[("content-type", "Application/JSON; charset=\"UTF-8\"")],
        true,
    ),
    (
        &[
            ("content-type", "application/json"),
            ("content-encoding", "identity"),
        ],
        true,
    ),
    (&[("content-type", "text/plain")], false),
    (&[], false),
    (
        &[
            ("content-type", "application/json"),
            ("content-type", "application/json"),
        ],
        false,
    ),
    (
        &[("content-type", "application/json; charset=latin1")],
        false,
    ),
    (&[("content-type", "application/jsonp")], false),
    (
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ],
        false,
    ),
];
const VERSIONS: [&[&str]; 14] = [
    &[],
    &["2025-11-25"],
    &["2025-03-26"],
    &["2026-07-28"],
    &["2026-07-28", "2026-07-28"],
    &["2025-11-25", "2026-07-28"],
    &["2027-01-01"],
    &["DRAFT"],
    &["2025-11-25", "2025-11-25"],
    &[""],
    &["2025-11-25, 2025-11-25"],
    &["2026-07-28,2026-07-28", "2026-07-28"],
    &["2025-11-25, 2025-06-18"],
    &[", 2025-06-18 ,"],
];
const OTHERS: [(&str, &str); 11] = [
    ("last-event-id", "7"),
    ("expect", "100-continue"),
    ("transfer-encoding", "chunked"),
    ("content-length", "3"),
    ("connection", "keep-alive, Mcp-Session-Id"),
    ("trailer", "etag"),
    ("accept-encoding", "gzip"),
    ("content-language", "de"),
    ("mcp_session_id", "x"),
    ("mcp.protocol-version", "2026-07-28"),
    ("last_event-id", "7"),
];

/// Decodes a request to one of `scopes` guards.
pub(crate) fn decode(
    input: &mut Input<'_>,
    oracle: &Oracle,
    scopes: usize,
) -> (Request<Body>, Sent) {
    let method = input.pick(&[
        Method::POST,
        Method::POST,
        Method::POST,
        Method::GET,
        Method::DELETE,
        Method::OPTIONS,
        Method::HEAD,
        Method::PATCH,
    ]);
    let usual = input.byte();
    let often = |bit: u8, input: &mut Input<'_>| usual & bit != 0 && input.seldom();
    let host = if often(1, input) {
        input.number(HOSTS.len())
    } else {
        0
    };
    let origin = if often(2, input) {
        input.number(ORIGINS.len())
    } else {
        0
    };
    let kind = if often(4, input) {
        input.number(TYPES.len())
    } else {
        0
    };
    let caller = input.pick(&Caller::ALL);
    let versions = input.pick(&VERSIONS);
    let (session, usual_version) = session(input, oracle);
    let versions: Vec<_> = match usual_version && !input.seldom() {
        true => Vec::new(),
        false => versions.iter().map(|version| value(version)).collect(),
    };
    let text = message(input);
    let methods = methods(input, &text);
    let mut request = Request::builder()
        .method(&method)
        .uri(HOSTS[host].1)
        .version(input.pick(&[
            Version::HTTP_11,
            Version::HTTP_11,
            Version::HTTP_2,
            Version::HTTP_10,
        ]));
    for name in HOSTS[host].0 {
        request = request.header("host", *name);
    }
    for name in ORIGINS[origin].0 {
        request = request.header("origin", *name);
    }
    let mut is_preflight = method == Method::OPTIONS && !input.seldom();
    if is_preflight {
        request = request.header("access-control-request-method", "POST");
        // Most often the origin is a page on this machine.
        match ORIGINS[origin].0.is_empty() {
            true if input.seldom() => is_preflight = false,
            true => request = request.header("origin", "http://localhost:5173"),
            false => {}
        }
    }
    for (name, value) in TYPES[kind].0 {
        request = request.header(*name, *value);
    }
    if let Some(user) = caller.header() {
        request = request.header("user", user);
    }
    let mut headers = Vec::new();
    headers.extend(session.iter().map(|id| ("mcp-session-id", id)));
    headers.extend(
        versions
            .iter()
            .map(|version| ("mcp-protocol-version", version)),
    );
    headers.extend(methods.iter().map(|method| ("mcp-method", method)));
    for (name, value) in headers {
        request = request.header(HeaderName::from_static(name), value);
    }
    let mut is_hop_by_hop = false;
    if input.seldom() {
        let (name, value) = input.pick(&OTHERS);
        is_hop_by_hop = name == "connection";
        request = request.header(name, value);
    }
    let (body, is_whole) = body(&text, input);
    let sent = Sent {
        method,
        scope: input.number(scopes),
        caller,
        session,
        versions,
        methods,
        has_good_host: HOSTS[host].2 && ORIGINS[origin].1,
        has_good_type: TYPES[kind].1,
        is_hop_by_hop,
        is_preflight,
        body: text,
        is_whole,
        ..Sent::usual(Answer::decode(input))
    };
    (request.body(body).unwrap(), sent)
}

/// The session headers, and whether they are those of a usual client.
fn session(input: &mut Input<'_>, oracle: &Oracle) -> (Vec<HeaderValue>, bool) {
    let known = |input: &mut Input<'_>| {
        let newest = input.number(oracle.sessions.len().max(1));
        let known = oracle.sessions.iter().rev().nth(newest);
        value(known.map_or("none", |known| &known.id))
    };
    let choice = input.byte();
    let headers = match choice % 16 {
        0..=2 => vec![],
        3..=9 => vec![known(input)],
        10 => vec![value("2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c")],
        11 => vec![value("")],
        12 => vec![known(input), known(input)],
        13 => vec![known(input), value("2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c")],
        14 => oracle.inner_ids.last().cloned().into_iter().collect(),
        _ => HeaderValue::from_bytes(input.raw()).into_iter().collect(),
    };
    (headers, choice % 16 < 10)
}

/// The `Mcp-Method` headers, most often the method of the body.
fn methods(input: &mut Input<'_>, text: &[u8]) -> Vec<HeaderValue> {
    let message: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let method = || value(message["method"].as_str().unwrap_or("ping"));
    match input.number(8) {
        0 => vec![],
        1 => vec![value("wrong")],
        2 => vec![method(), method()],
        _ => vec![method()],
    }
}

/// The bytes of a body.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.number(16);
    if kind == 15 {
        return input.raw().to_vec();
    }
    let id = input.pick(&["0", "7", "\"a\"", "", "null", "1.5", "9007199254740993"]);
    let id = match id {
        "" => String::new(),
        id => format!(r#","id":{id}"#),
    };
    let claim = match input.number(12) {
        8 => format!(r#""_meta":{{"{CLAIM}":"2026-07-28"}}"#),
        9 => format!(r#""_meta":{{"{CLAIM}":"DRAFT"}}"#),
        10 => format!(r#""_meta":{{"{CLAIM}":"2025-11-25"}}"#),
        11 => format!(r#""_meta":{{"{CLAIM}":7}}"#),
        _ => r#""capabilities":{}"#.to_owned(),
    };
    let mut text = match kind {
        0..=4 => format!(
            r#"{{"jsonrpc":"2.0","method":"initialize","params":{{"clientInfo":{{"name":"c"}},{claim}}}{id}}}"#
        ),
        5..=9 => {
            let method = input.pick(&[
                "ping",
                "tools/call",
                "notifications/initialized",
                "subscriptions/listen",
                "server/discover",
                "notifications/cancelled",
            ]);
            format!(r#"{{"jsonrpc":"2.0"{id},"method":"{method}","params":{{{claim}}}}}"#)
        }
        10 => format!(r#"{{"jsonrpc":"2.0","result":{{}}{id}}}"#),
        11 => format!(r#"{{"jsonrpc":"2.0","error":{{"code":1,"message":"m"}}{id}}}"#),
        12 => format!(r#"[{{"jsonrpc":"2.0","method":"initialize"{id}}}]"#),
        13 => {
            let other = input.pick(&[
                r#""method":"initialize""#,
                r#""method\u0000":"initialize""#,
                r#""Method":"initialize""#,
                r#""params":{"_Meta":{}}"#,
                r#""x":"\ud83d""#,
                r#""error":null"#,
            ]);
            format!(r#"{{"jsonrpc":"2.0","method":"ping",{other}{id}}}"#)
        }
        _ => format!(r#"{{"jsonrpc":"2.0","method":"ping"{id},"params":["{}"]}}"#, "x".repeat(900)),
    }
    .into_bytes();
    if input.seldom() {
        let at = input.number(text.len());
        text[at] = input.byte();
    }
    text
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("?"))
}
