//! Raw bytes over loopback TCP to `axum::serve`, for behaviour that requests in process cannot
//! show. The clock is real, so every wait ends with its event or fails after five seconds.

mod support;

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use futures_util::stream;
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use mcp_session_guard::{McpMessage, McpSession, SessionGuardBuilder, SessionGuardLayer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use support::client::{Client, within};
use support::{Answer, INITIALIZE, NOT_FOUND, PING, TestServer, event_stream, opened};

const POST: &str = "POST /mcp HTTP/1.1\n{H}\n{J}";
const PINGS: &str = "POST /mcp HTTP/1.1\n{H}\n{J}\n{S}\ncontent-length: 40\n\n{PING}";
const CHUNKED_PING: &str = "POST /mcp HTTP/1.1\n{H}\n{J}\n{S}\ntrailer: x-sum\n\
    transfer-encoding: chunked\n\na;ext=1\n{\"jsonrpc\"\n1E\n:\"2.0\",\"id\":1,\"method\":\"ping\"}\n\
    0\nx-sum: 1\n\n";
const GETS: &str = "GET /mcp HTTP/1.1\n{H}\n{S}\n\n";
const MIB: usize = 1 << 20;

/// Declares refusals after which the connection stays open: a name, the head, the size of the body,
/// the status.
macro_rules! refused {
    ($($name:ident: $head:expr, $size:expr => $status:expr;)*) => {
        $(#[test] fn $name() { refuses_and_stays_open(&Server::new(guard()), $head, $size, $status); })*
    };
}

refused! {
    two_session_headers_are_refused: "{POST}\n{S}\nMCP-Session-ID: x", 9 => 400;
    two_session_headers_in_the_other_order_are_refused: "{POST}\nMCP-Session-ID: x\n{S}", 9 => 400;
    two_equal_session_headers_are_refused: "{POST}\n{S}\n{S}", 9 => 400;
    a_session_header_of_8_kib_is_unknown: "{POST}\nmcp-session-id: {x8K}", 9 => 404;
    an_absolute_target_with_another_host_is_refused: "POST http://127.0.0.1:8000/mcp HTTP/1.1\n{H}\n{J}\n{S}", 9 => 400;
    an_absolute_target_with_another_port_is_refused: "POST http://localhost:8001/mcp HTTP/1.1\n{H}\n{J}\n{S}", 9 => 400;
    the_connection_outlives_a_large_body_of_a_malformed_request: "{POST}\n{S}\n{S}", 3 * MIB => 400;
    the_connection_outlives_a_large_body_for_an_unknown_session: "{POST}\nmcp-session-id: x", 3 * MIB => 404;
    options_with_a_body_is_refused: "OPTIONS /mcp HTTP/1.1\n{H}\n{J}\n{S}", 9 => 405;
    the_connection_outlives_a_large_body_of_options: "OPTIONS /mcp HTTP/1.1\n{H}\n{J}", 3 * MIB => 405;
    the_connection_outlives_a_large_body_of_another_type: "POST /mcp HTTP/1.1\n{H}\ncontent-type: text/plain\n{S}", 3 * MIB => 415;
}

#[test]
fn a_session_header_of_a_byte_above_ascii_is_unknown() {
    let server = Server::new(guard());
    for letter in '\u{80}'..='\u{ff}' {
        let head = format!("{POST}\nmcp-session-id: {letter}");
        refuses_and_stays_open(&server, &head, 9, 404);
    }
}

/// Sends a good request right after the refused one. Only the good request reaches the inner
/// service.
fn refuses_and_stays_open(server: &Server, head: &str, size: usize, status: u16) {
    server.guarded.inner.clear();
    let mut client = server.connect();
    let refused = server.text(&format!("{head}\ncontent-length: {size}\n\n"));
    client.send(&[refused, vec![b'x'; size], server.text(PINGS)].concat());
    let answer = client.answer();
    assert_refused(&answer, status);
    assert!(!answer.headers.contains_key("connection"), "{answer:?}");
    assert_eq!(client.answer().status, 200);
    let [seen] = &server.guarded.inner.calls()[..] else {
        panic!("the inner service is called once");
    };
    assert_eq!(seen.body, PING);
}

fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    if status == 404 {
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.text(), NOT_FOUND);
    } else {
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
}

#[test]
fn a_session_header_of_1_mib_does_not_harm_other_clients() {
    let server = Server::new(guard());
    let mut client = server.connect();
    // hyper does not read that much. It answers by itself, and the reset may destroy that answer.
    let _ = client.try_send(&server.text(&format!("{POST}\nmcp-session-id: {}", "x".repeat(MIB))));
    let answer = client.rest();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "));
    server.assert_unharmed();
}

#[test]
fn http_1_0_without_a_host_is_refused() {
    let (server, mut client) =
        Server::with_request("POST /mcp HTTP/1.0\n{J}\n{S}\ncontent-length: 40\n\n{PING}");
    assert_refused(&client.answer(), 400);
    server.assert_unharmed();
}

#[test]
fn an_absolute_target_that_agrees_with_the_host_passes() {
    let ping = PINGS.replace("/mcp", "http://localhost:8000/mcp");
    let (_server, mut client) = Server::with_request(&ping);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn the_refusal_of_a_body_declared_too_long_is_readable_after_sending_it() {
    let (server, mut client) = Server::with_request("{POST}\n{S}\ncontent-length: 4194305\n\n");
    client.send(&vec![b'x'; 4_194_305]);
    assert_closes(&server, &mut client, 413);
}

#[test]
fn the_refusal_of_a_body_declared_far_too_long_is_readable() {
    let (server, mut client) = Server::with_request("{POST}\n{S}\ncontent-length: 5242880\n\n");
    // The guard reads and drops only as much as the limit. The rest may meet a closed connection.
    let _ = client.try_send(&vec![b'x'; 5 * MIB]);
    assert_closes(&server, &mut client, 413);
}

#[test]
fn the_refusal_of_chunks_that_grow_too_long_is_readable_after_sending_them() {
    let (server, mut client) = Server::with_request("{POST}\n{S}\ntransfer-encoding: chunked\n\n");
    for _ in 0..5 {
        client.send(&[b"100000\r\n", &vec![b'x'; MIB][..], b"\r\n"].concat());
    }
    client.send(b"0\r\n\r\n");
    assert_closes(&server, &mut client, 413);
}

#[test]
fn a_body_that_stalls_is_answered_408() {
    let server = Server::new(
        guard()
            .body_progress_timeout(Duration::from_millis(100))
            .body_timeout(PATIENCE),
    );
    let mut client = server.connect();
    client.send(&server.text("{POST}\n{S}\ncontent-length: 9000\n\n{"));
    assert_closes(&server, &mut client, 408);
}

#[test]
fn a_body_that_trickles_is_answered_408() {
    let server = Server::new(
        guard()
            .body_progress_timeout(Duration::from_millis(100))
            .body_timeout(2 * PATIENCE),
    );
    let mut client = server.connect();
    client.send(&server.text("{POST}\n{S}\ncontent-length: 9000\n\n{"));
    eventually("the body is late", || {
        let _ = client.try_send(b" "); // the last byte may meet a closed connection
        client.has_answer()
    });
    assert_closes(&server, &mut client, 408);
}

fn assert_closes(server: &Server, client: &mut Client, status: u16) {
    let answer = client.answer();
    assert_refused(&answer, status);
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(client.rest(), b"");
    server.assert_unharmed();
}

#[test]
fn a_body_shorter_than_declared_never_reaches_the_inner_service() {
    let (server, mut client) = Server::with_request("{POST}\n{S}\ncontent-length: 41\n\n{PING}");
    client.stream().shutdown(Shutdown::Write).unwrap();
    let answer = client.rest();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "));
    server.assert_unharmed();
}

#[test]
fn a_reset_in_mid_body_leaves_nothing_in_flight() {
    let (server, client) =
        Server::with_request("{POST}\n{S}\nexpect: 100-continue\ncontent-length: 41\n\n{PING}");
    eventually("100 Continue comes", || client.has_answer());
    assert_eq!(server.session.in_flight(), 1);
    drop(client); // with unread bytes, so that the connection is reset
    server.assert_unharmed();
}

#[test]
fn a_refusal_by_the_head_comes_instead_of_100_continue() {
    let server = Server::new(guard());
    for (head, status) in [
        ("{POST}\n{S}\n{S}\ncontent-length: 40", 400),
        ("{POST}\nmcp-session-id: x\ncontent-length: 40", 404),
        ("POST /mcp HTTP/1.1\n{H}\n{S}\ncontent-length: 40", 415),
        ("{POST}\n{S}\ncontent-length: 4194305", 413),
    ] {
        let mut client = server.connect();
        client.send(&server.text(&format!("{head}\nexpect: 100-continue\n\n")));
        assert_refused(&client.answer(), status);
    }
    server.assert_unharmed();
}

#[test]
fn after_a_good_head_100_continue_comes_first() {
    let (server, mut client) =
        Server::with_request("{POST}\n{S}\nexpect: 100-continue\ncontent-length: 40\n\n");
    assert_eq!(client.answer().status, 100);
    assert_eq!(server.guarded.inner.count(), 0);
    client.send(PING.as_bytes());
    assert_eq!(client.answer().status, 200);
    let seen = &server.guarded.inner.calls()[0];
    assert_eq!(seen.body, PING);
    assert!(!seen.headers.contains_key("expect"));
}

#[test]
fn a_chunked_body_reaches_the_inner_service_with_a_length_and_without_trailers() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let log = got.clone();
    let inner = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap();
        let seen = (parts.headers, body.trailers().cloned(), body.to_bytes());
        log.lock().unwrap().push(seen);
        opened()
    };
    let server = Server::around(guard(), any(inner.clone()));
    let mut client = server.connect();
    client.send(&server.text(CHUNKED_PING));
    assert_eq!(client.answer().status, 200);
    // Report-only mode passes a PUT unchanged, which shows what the guard removes from the POST.
    let server = Server::around(guard().report_only(), any(inner));
    let mut client = server.connect();
    client.send(&server.text(&CHUNKED_PING.replace("POST", "PUT")));
    assert_eq!(client.answer().status, 200);
    let got = got.lock().unwrap();
    let [_, (headers, None, body), _, (_, Some(untouched), _)] = &got[..] else {
        panic!("trailers reach the inner service on PUT only: {got:?}");
    };
    assert_eq!(untouched["x-sum"], "1");
    assert_eq!(headers["content-length"], "40");
    assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("trailer"));
    assert_eq!(body, PING);
}

/// An inner service that answers everything at once and records method, header names and body.
fn recording() -> (MethodRouter, Arc<Mutex<Vec<Recorded>>>) {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let log = recorded.clone();
    let inner = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let names = parts.headers.keys().map(|name| name.as_str().to_owned());
        log.lock()
            .unwrap()
            .push((parts.method, names.collect(), body));
        opened()
    };
    (any(inner), recorded)
}

type Recorded = (Method, Vec<String>, Bytes);

const PREFLIGHT: &str = "OPTIONS /mcp HTTP/1.1\n{H}\norigin: http://localhost:8000\naccess-control-request-method: POST";

/// A good call follows each request. Bytes left over from a body would be read as that call.
#[test]
fn the_body_of_a_get_or_preflight_is_dropped_and_the_connection_stays_open() {
    let chunked = "transfer-encoding: chunked\ntrailer: x-sum\n\n28\n{PING}\n0\nx-sum: 1\n\n";
    for head in ["GET /mcp HTTP/1.1\n{H}\n{S}", PREFLIGHT] {
        for body in ["content-length: 40\n\n{PING}", chunked] {
            let (inner, recorded) = recording();
            let server = Server::around(guard(), inner);
            recorded.lock().unwrap().clear();
            let mut client = server.connect();
            let sent = server.text(&format!("{head}\n{{J}}\n{body}"));
            client.send(&[sent, server.text(PINGS)].concat());
            assert_eq!(client.whole_answer().status, 200);
            assert_eq!(client.answer().status, 200);
            let recorded = recorded.lock().unwrap();
            let [(_, names, empty), (method, _, ping)] = &recorded[..] else {
                panic!("two requests: {recorded:?}");
            };
            assert!(empty.is_empty(), "{head}");
            for name in names {
                let describes_a_body = name.starts_with("content-")
                    || ["transfer-encoding", "trailer"].contains(&name.as_str());
                assert!(!describes_a_body, "{head}: {name}");
            }
            assert_eq!((method, &ping[..]), (&Method::POST, PING.as_bytes()));
        }
    }
}

#[test]
fn the_body_of_a_delete_is_dropped_and_the_connection_stays_open() {
    let server = Server::new(guard());
    let mut client = server.connect();
    let delete = "DELETE /mcp HTTP/1.1\n{H}\n{S}\n{J}\ncontent-length: 40\n\n{PING}";
    client.send(&[server.text(delete), server.text(PINGS)].concat());
    assert_eq!(client.answer().status, 204);
    assert_refused(&client.answer(), 404);
    assert_eq!(server.guarded.inner.count(), 0);
}

#[test]
fn a_request_with_more_body_than_the_guard_drops_is_answered_and_the_connection_closes() {
    for method in ["GET", "DELETE"] {
        let (inner, recorded) = recording();
        let server = Server::around(guard().body_limit(200), inner);
        recorded.lock().unwrap().clear();
        let mut client = server.connect();
        let head = format!("{method} /mcp HTTP/1.1\n{{H}}\n{{S}}\ncontent-length: 1000000\n\n");
        client.send(&[server.text(&head), vec![b'x'; 500]].concat());
        assert!(client.answer().status.is_success());
        assert_eq!(client.rest(), b"");
        let recorded = recorded.lock().unwrap();
        assert!(recorded.iter().all(|(_, _, body)| body.is_empty()));
    }
}

#[test]
fn a_get_whose_body_stalls_is_answered_after_two_seconds_and_the_connection_closes() {
    let (inner, recorded) = recording();
    let server = Server::around(guard(), inner);
    recorded.lock().unwrap().clear();
    let mut client = server.connect();
    client.send(&server.text("GET /mcp HTTP/1.1\n{H}\n{S}\ncontent-length: 40\n\n{"));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), b"");
    assert_eq!(recorded.lock().unwrap().len(), 1);
}

#[test]
fn a_get_that_expects_100_continue_is_answered_without_its_body() {
    let (inner, recorded) = recording();
    let server = Server::around(guard(), inner);
    recorded.lock().unwrap().clear();
    let mut client = server.connect();
    let head = "GET /mcp HTTP/1.1\n{H}\n{S}\nexpect: 100-continue\ncontent-length: 40\n\n";
    client.send(&server.text(head));
    assert_eq!(client.answer().status, 200);
    let recorded = recorded.lock().unwrap();
    assert!(recorded[0].2.is_empty() && !recorded[0].1.contains(&"expect".to_owned()));
}

#[test]
fn a_trailer_never_carries_the_inner_services_session_id() {
    let inner = async |message: Option<McpMessage>| {
        let own = [("mcp-session-id", "own")];
        if message.is_some_and(|message| message.method() == Some("initialize")) {
            return (own, opened()).into_response();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("mcp-session-id", "own".parse().unwrap());
        trailers.insert("x-sum", "1".parse().unwrap());
        let frames = [
            Ok::<_, Infallible>(Frame::data(Bytes::from("{}"))),
            Ok(Frame::trailers(trailers)),
        ];
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("trailer", "x-sum, mcp-session-id");
        let body = StreamBody::new(stream::iter(frames));
        response.body(Body::new(body)).unwrap()
    };
    let server = Server::around(guard(), any(inner));
    let mut client = server.connect();
    let request = PINGS.replace("{H}", "{H}\nte: trailers\nconnection: close");
    client.send(&server.text(&request));
    assert_eq!(client.answer().status, 200);
    let rest = String::from_utf8(client.rest()).unwrap().to_lowercase();
    assert!(rest.contains("x-sum: 1"), "{rest}");
    assert!(!rest.contains("mcp-session-id"), "{rest}");
}

#[test]
fn a_stream_whose_client_disconnects_is_no_longer_open() {
    let (server, mut client) = Server::with_request(GETS);
    assert_eq!(client.answer().status, 200);
    let session = &server.session;
    assert_eq!((session.open_streams(), session.in_flight()), (1, 1));
    drop(client);
    eventually("the stream has ended", || session.open_streams() == 0);
    server.guarded.inner.clear();
    server.assert_unharmed();
}

#[test]
fn a_client_that_never_reads_its_stream_is_released_with_its_connection() {
    let (server, frames) = streaming();
    let mut client = server.connect();
    client.send(&server.text(PINGS));
    assert_eq!(client.answer().status, 200);
    for _ in 0..32 {
        frames.send(vec![b'\n'; MIB].into()).unwrap();
    }
    assert_eq!(server.session.in_flight(), 1);
    drop(client);
    server.assert_unharmed();
}

#[test]
fn a_client_that_leaves_during_initialize_frees_its_slot() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let inner = async move || {
        if count.fetch_add(1, SeqCst) == 1 {
            pending::<()>().await;
        }
        opened()
    };
    let server = Server::around(guard().max_sessions(1), any(inner));
    server.session.end();
    let (first, mut second) = (server.connect(), server.connect());
    let initialize = server.text(&format!("{POST}\ncontent-length: 151\n\n{INITIALIZE}"));
    first.send(&initialize);
    eventually("the inner service works", || calls.load(SeqCst) == 2);
    second.send(&initialize);
    let answer = second.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["id"], 0);
    assert_eq!(calls.load(SeqCst), 2);
    drop(first);
    eventually("the slot is free", || {
        second.send(&initialize);
        second.answer().status == 200
    });
    assert_eq!(server.guarded.sessions.len(), 1);
}

#[test]
fn delete_ends_an_open_stream_cleanly() {
    let server = Server::new(guard());
    let (mut reader, mut client) = (server.connect(), server.connect());
    reader.send(&server.text(GETS));
    assert_eq!(reader.answer().headers["transfer-encoding"], "chunked");
    client.send(&server.text(&GETS.replace("GET", "DELETE")));
    assert_eq!(client.answer().status, 204);
    assert_eq!(reader.chunk(), b"");
    for client in [&mut reader, &mut client] {
        client.send(&server.text(PINGS));
        assert_refused(&client.answer(), 404);
    }
}

#[test]
fn events_reach_the_client_unchanged_before_the_next_is_produced() {
    for request in [GETS, PINGS] {
        let (server, frames) = streaming();
        let mut client = server.connect();
        client.send(&server.text(request));
        let head = client.answer();
        assert_eq!(head.headers["x-accel-buffering"], "no");
        assert_eq!(head.headers["cache-control"], "no-cache");
        for frame in [
            ": first\n\n",
            "id: 1\r\ndata: {\r\ndata: }\r\n\r\n",
            "data: half ",
            "\u{e9}\n",
            "\n",
            "retry: 1\r\r",
        ] {
            frames.send(frame.into()).unwrap();
            assert_eq!(client.chunk(), frame.as_bytes());
        }
        drop(frames);
        assert_eq!(client.chunk(), b"");
    }
}

/// An inner service that answers the first request after `initialize` with the bytes that the test
/// sends.
fn streaming() -> (Server, UnboundedSender<Bytes>) {
    let (sender, receiver) = unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let inner = async move |message: Option<McpMessage>| {
        let receiver = match message.as_ref().and_then(McpMessage::method) {
            Some("initialize") => None,
            _ => receiver.lock().unwrap().take(),
        };
        let Some(mut receiver) = receiver else {
            return opened();
        };
        event_stream(stream::poll_fn(move |cx| receiver.poll_recv(cx)))
    };
    let server = Server::around(guard(), any(inner));
    (server, sender)
}

fn guard() -> SessionGuardBuilder {
    SessionGuardLayer::builder()
}

/// A guarded endpoint on its own port, with one open session. Its connections close on drop.
struct Server {
    guarded: TestServer,
    session: McpSession,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// A guard around a [`Recorder`](support::Recorder).
    fn new(guard: SessionGuardBuilder) -> Self {
        Self::serve(TestServer::build(guard))
    }

    /// The server, and a client that has sent `text`.
    fn with_request(text: &str) -> (Self, Client) {
        let server = Self::new(guard());
        let client = server.connect();
        client.send(&server.text(text));
        (server, client)
    }

    fn around(guard: SessionGuardBuilder, inner: MethodRouter) -> Self {
        let app = Router::new().route("/mcp", inner);
        Self::serve(TestServer::around_app(guard.build().unwrap(), app))
    }

    fn serve(guarded: TestServer) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let app = guarded.app.clone();
        runtime.spawn(async { axum::serve(listener, app).await });
        let id = runtime.block_on(guarded.open());
        guarded.inner.clear();
        Self {
            session: guarded.sessions.get(&id).unwrap(),
            guarded,
            address,
            _runtime: runtime,
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address, PATIENCE)
    }

    /// The bytes of a text in Latin 1, with placeholders filled and lines ended by CR LF.
    fn text(&self, text: &str) -> Vec<u8> {
        let text = text
            .replace("{POST}", POST)
            .replace("{H}", "host: localhost:8000")
            .replace("{J}", "content-type: application/json")
            .replace(
                "{S}",
                &format!("mcp-session-id: {}", self.session.id().as_str()),
            )
            .replace("{x8K}", &"x".repeat(8 << 10))
            .replace("{PING}", PING)
            .replace('\n', "\r\n");
        text.chars()
            .map(|letter| u8::try_from(letter).unwrap())
            .collect()
    }

    /// Checks that the inner service was not called, that nothing is in flight, and that the
    /// session still works.
    fn assert_unharmed(&self) {
        eventually("nothing is in flight", || self.session.in_flight() == 0);
        assert_eq!(self.guarded.inner.count(), 0);
        let mut client = self.connect();
        client.send(&self.text(PINGS));
        assert_eq!(client.answer().status, 200);
    }
}

fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(PATIENCE, what, holds);
}

const PATIENCE: Duration = Duration::from_secs(5);
