//! The cost of a request over loopback HTTP, in CPU time of the server only: `cargo bench -p
//! client-tests --bench wire`.
//!
//! Each candidate is a separate process with one thread. The candidates take turns, and start
//! several times, because the memory layout of a process changes a figure by up to a tenth. Every
//! figure is a median.
#![allow(missing_docs)]

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::middleware::{Next, from_fn};
use axum::routing::any_service;
use axum::serve::ListenerExt;
use mcp_session_guard::SessionGuardLayer;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use support::{
    INITIALIZE, INITIALIZED, UNKNOWN, call, guarded, hand_written, median, micros, resident, row,
    runtime, times,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn main() {
    match env::var(SERVE) {
        Ok(candidate) => runtime().block_on(serve(&candidate)),
        Err(_) => runtime().block_on(async {
            calls(130, "130 B").await;
            calls(16 << 10, "16 KiB").await;
            lives().await;
            floods().await;
        }),
    }
}

/// A call in an open session.
async fn calls(bytes: usize, size: &str) {
    let body = call(bytes);
    let body = std::str::from_utf8(&body).expect("JSON is text");
    let names = [
        "bare",
        "idle",
        "hand-written",
        "this crate",
        "rmcp",
        "rmcp guarded",
    ];
    let taken = in_turns(&format!("a call of {size}"), Run::Call, Some(body), names).await;
    let [bare, idle, hand_written, ours, rmcp, guarded] = taken;
    row(
        &format!("CPU of a call of {size} over HTTP, against no layer"),
        &times(ours / bare),
        &times(hand_written / bare),
        &format!(
            "`from_fn` that does nothing {}, rmcp {}",
            times(idle / bare),
            times(rmcp / bare)
        ),
    );
    row(
        &format!("the same, rmcp behind the guard against rmcp alone, {size}"),
        &times(guarded / rmcp),
        "",
        "",
    );
}

/// A session from `initialize` to DELETE, without a call.
async fn lives() {
    let names = ["this crate", "rmcp", "rmcp guarded"];
    let [ours, rmcp, _] = in_turns("a session opened and closed", Run::Life, None, names).await;
    row(
        "CPU of a session opened and closed over HTTP (three requests)",
        &micros(ours),
        "",
        &format!("rmcp {}", micros(rmcp)),
    );
}

/// Sessions that no client uses or closes.
async fn floods() {
    for (name, first, then) in [("this crate", 10_000, 20_000), ("rmcp", 1_000, 2_000)] {
        let mut server = Server::start(name).await;
        let before = resident(&server.id());
        server.cpu_of(Run::Flood, first).await;
        let filled = resident(&server.id());
        server.cpu_of(Run::Flood, then).await;
        let flooded = resident(&server.id());
        let each = (filled - before) / first as u64;
        let [filled, flooded] = [filled, flooded].map(|bytes| bytes >> 10);
        let memory = format!("{filled} KiB after {first} openings, {flooded} after {then} more");
        eprintln!("{name}: {memory}, {each} bytes for each of the first");
        if name == "this crate" {
            row(
                "memory of a server with a limit of 10 000 sessions",
                &memory,
                "",
                "",
            );
        }
    }
}

/// Runs the servers in turns and returns the median CPU time of one run on each, in nanoseconds.
async fn in_turns<const N: usize>(
    what: &str,
    run: Run,
    call: Option<&str>,
    names: [&str; N],
) -> [f64; N] {
    let mut taken = [(); N].map(|()| Vec::new());
    for _ in 0..STARTS {
        let mut servers = Vec::new();
        for name in names {
            let mut server = Server::start(name).await;
            if let Some(call) = call {
                server.open(call).await;
            }
            servers.push(server);
        }
        for round in 0..=ROUNDS {
            for (server, taken) in servers.iter_mut().zip(&mut taken) {
                let each = server.cpu_of(run, RUNS).await;
                // The first round warms up.
                if round > 0 {
                    taken.push(each);
                }
            }
        }
    }
    let taken = taken.map(median);
    eprintln!("{what}");
    for (name, median) in names.iter().zip(&taken) {
        let ratio = median / taken[0];
        eprintln!("  {name:<16} {median:>12.0} ns  {ratio:>6.3}");
    }
    taken
}

/// A candidate in a separate process. It is stopped on drop.
struct Server {
    process: Child,
    connections: Vec<Connection>,
}

impl Server {
    async fn start(name: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("Linux reports it"))
            .env(SERVE, name)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = process.stdout.take().expect("the output is piped");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the server prints text");
        let address = line.trim().parse().expect("the server prints its address");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::to(address).await);
        }
        Self {
            process,
            connections,
        }
    }

    /// Opens a session for each connection, if the server has sessions, for `call`.
    async fn open(&mut self, call: &str) {
        for connection in &mut self.connections {
            let id = connection.open().await;
            let id = id.as_deref().unwrap_or(UNKNOWN);
            connection.call = request("POST", Some(id), call);
        }
    }

    fn id(&self) -> String {
        self.process.id().to_string()
    }

    /// The CPU time of the process per run. All connections share the runs.
    async fn cpu_of(&mut self, run: Run, runs: usize) -> f64 {
        let before = self.cpu();
        let mut tasks = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            tasks.spawn(async move {
                for _ in 0..runs / CONNECTIONS {
                    connection.run(run).await;
                }
                connection
            });
        }
        self.connections = tasks.join_all().await;
        (self.cpu() - before) / (runs / CONNECTIONS * CONNECTIONS) as f64
    }

    /// The CPU time so far in nanoseconds.
    fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("the server runs");
        let of = |task: std::io::Result<fs::DirEntry>| -> Option<f64> {
            let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse().ok()
        };
        tasks.filter_map(of).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The action that a connection repeats.
#[derive(Clone, Copy)]
enum Run {
    Call,
    Flood,
    Life,
}

/// A kept-alive HTTP/1.1 connection. Its call is built before the measurement.
struct Connection {
    stream: TcpStream,
    call: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self {
            stream,
            call: Vec::new(),
            buffer: Vec::new(),
        }
    }

    async fn run(&mut self, run: Run) {
        match run {
            Run::Call => {
                let call = std::mem::take(&mut self.call);
                assert_eq!(self.ask(&call).await, 200);
                self.call = call;
            }
            Run::Flood => {
                let opening = request("POST", None, INITIALIZE);
                assert_eq!(self.ask(&opening).await, 200);
            }
            Run::Life => {
                let id = self.open().await.expect("an id");
                let status = self.ask(&request("DELETE", Some(&id), "")).await;
                assert!((200..300).contains(&status), "{status}");
            }
        }
    }

    /// Opens a session, if the server has sessions, and uses it as clients do.
    async fn open(&mut self) -> Option<String> {
        assert_eq!(self.ask(&request("POST", None, INITIALIZE)).await, 200);
        let id = self.header("mcp-session-id: ")?.to_owned();
        let status = self.ask(&request("POST", Some(&id), INITIALIZED)).await;
        assert!((200..300).contains(&status), "{status}");
        Some(id)
    }

    /// Sends a request, reads the answer to its end, and returns its status.
    async fn ask(&mut self, request: &[u8]) -> u16 {
        self.stream
            .write_all(request)
            .await
            .expect("the connection is open");
        self.buffer.clear();
        while !self.is_whole() {
            let read = self.stream.read_buf(&mut self.buffer).await;
            assert_ne!(
                read.expect("the connection is open"),
                0,
                "the server hung up"
            );
        }
        let status = self
            .buffer
            .get(9..12)
            .and_then(|status| std::str::from_utf8(status).ok());
        status
            .and_then(|status| status.parse().ok())
            .expect("a status")
    }

    fn is_whole(&self) -> bool {
        let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") else {
            return false;
        };
        match self.header("content-length: ") {
            Some(length) => {
                self.buffer.len() - head - 4 == length.parse::<usize>().expect("a length")
            }
            None if self.header("transfer-encoding: ").is_some() => {
                self.buffer.ends_with(b"0\r\n\r\n")
            }
            None => true,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.buffer).ok()?;
        let (head, _) = text.split_once("\r\n\r\n")?;
        head.lines().find_map(|line| line.strip_prefix(name))
    }
}

fn request(method: &str, session: Option<&str>, body: &str) -> Vec<u8> {
    let length = body.len();
    let session =
        session.map(|id| format!("Mcp-Session-Id: {id}\r\nMcp-Protocol-Version: 2025-11-25\r\n"));
    let session = session.unwrap_or_default();
    format!(
        "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
         {session}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn serve(candidate: &str) {
    let app = match candidate {
        "bare" => support::bare(),
        "idle" => {
            support::bare().layer(from_fn(async |request, next: Next| next.run(request).await))
        }
        "hand-written" => hand_written::router(),
        "this crate" => guarded(SessionGuardLayer::new()),
        "rmcp" => rmcp(),
        "rmcp guarded" => rmcp().route_layer(SessionGuardLayer::new()),
        other => unreachable!("no candidate is called {other}"),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    println!("{}", listener.local_addr().expect("its address"));
    // Without it, small events would wait for the client's delayed acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await.expect("the server runs");
}

fn rmcp() -> Router {
    let config = StreamableHttpServerConfig::default();
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Tools), sessions, config);
    Router::new().route("/mcp", any_service(service))
}

#[derive(Clone)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Answers at once.")]
    async fn echo(&self) -> String {
        "hello".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

const SERVE: &str = "SERVE";
const CONNECTIONS: usize = 16;
const STARTS: usize = 5;
const ROUNDS: usize = 4;
const RUNS: usize = 4_000;
