//! The official clients, each controlled step by step, so that one story runs with all of them.

use std::future::Future;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{Peer, RoleClient, ServiceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::watched::Watched;
use crate::{folder, node, python};

/// How to start one of the official clients.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A program with these arguments, followed by the URL.
    Script(PathBuf, &'static [&'static str]),
    /// The Rust client, in this process.
    Rust,
}

/// The official clients: a name, and how to start it or what is missing.
#[must_use]
pub fn kinds() -> Vec<(&'static str, Result<Kind, String>)> {
    let script = |arguments| move |program| Kind::Script(program, arguments);
    vec![
        (
            "the TypeScript client v1",
            node().map(script(&["node/driven.mjs", "v1"])),
        ),
        (
            "the TypeScript client v2",
            node().map(script(&["node/driven.mjs", "v2"])),
        ),
        (
            "the Python client v1",
            python("v1").map(script(&["python/driven.py"])),
        ),
        (
            "the Python client v2",
            python("v2").map(script(&["python/driven.py"])),
        ),
        ("the Rust client", Ok(Kind::Rust)),
    ]
}

/// One of the official clients. `node/driven.mjs` lists the commands.
#[derive(Debug)]
pub enum Client {
    /// In a separate process.
    Script(Box<Script>),
    /// In this process.
    Rust(Box<RustClient>),
}

impl Client {
    /// Starts a client of the server at `url`. It does nothing until its first command.
    ///
    /// # Panics
    ///
    /// If its program does not start.
    #[must_use]
    pub fn start(kind: &Kind, url: &str) -> Self {
        match kind {
            Kind::Script(program, arguments) => {
                Self::Script(Box::new(Script::start(program, arguments, url)))
            }
            Kind::Rust => Self::Rust(Box::new(RustClient {
                url: url.to_owned(),
                http: Watched::default(),
                service: None,
                begun: None,
            })),
        }
    }

    /// Runs a command and returns its answer.
    ///
    /// # Panics
    ///
    /// If the client has died or does not answer in time.
    pub async fn run(&mut self, command: &str) -> Value {
        let (name, argument) = command.split_once(' ').unwrap_or((command, ""));
        match self {
            Self::Script(script) => script.run(command).await,
            Self::Rust(client) => client.run(name, argument).await,
        }
    }

    /// Runs several commands and returns their answers.
    pub async fn run_all<const N: usize>(&mut self, commands: [&str; N]) -> Value {
        let mut answers = Vec::new();
        for command in commands {
            answers.push(self.run(command).await);
        }
        answers.into()
    }
}

/// A script that reads commands and prints answers, line by line. It is stopped on drop.
#[derive(Debug)]
pub struct Script {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(program: &PathBuf, arguments: &[&str], url: &str) -> Self {
        let mut process = Command::new(program)
            .current_dir(folder())
            .args(arguments)
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("its output is piped");
        Self {
            input: process.stdin.take().expect("its input is piped"),
            output: BufReader::new(output).lines(),
            _process: process,
        }
    }

    async fn run(&mut self, command: &str) -> Value {
        let line = format!("{command}\n");
        let written = self.input.write_all(line.as_bytes()).await;
        written.expect("the script reads its input");
        let answer = timeout(START, self.output.next_line()).await;
        let answer = answer
            .expect("the script answers in time")
            .expect("the script prints text");
        let answer = answer.expect("the script has not died");
        serde_json::from_str(&answer).expect("the script prints JSON")
    }
}

/// The official Rust client.
#[derive(Debug)]
pub struct RustClient {
    url: String,
    http: Watched,
    service: Option<RunningService<RoleClient, ()>>,
    begun: Option<JoinHandle<String>>,
}

impl RustClient {
    async fn run(&mut self, name: &str, argument: &str) -> Value {
        match name {
            "token" => {
                self.http.set_token(argument);
                json!(argument)
            }
            "open" => {
                let config = StreamableHttpClientTransportConfig::with_uri(&*self.url);
                let http = self.http.clone();
                let transport = StreamableHttpClientTransport::with_client(http, config);
                let opened = within(().serve(transport)).await;
                self.service = Some(opened.expect("the session opens"));
                at_least(&self.http.gets, 1).await;
                json!(self.http.id())
            }
            "call" => json!(outcome(call(self.peer(), argument.to_owned())).await),
            "begin" => {
                let before = *self.http.posts.borrow();
                let call = call(self.peer(), argument.to_owned());
                self.begun = Some(tokio::spawn(call));
                at_least(&self.http.posts, before + 1).await;
                json!("begun")
            }
            "finish" => {
                let begun = self.begun.take().expect("a call was begun");
                json!(outcome(async { begun.await.expect("the call does not panic") }).await)
            }
            _ => panic!("no such command: {name}"),
        }
    }

    fn peer(&self) -> Peer<RoleClient> {
        self.service
            .as_ref()
            .expect("the session is open")
            .peer()
            .clone()
    }
}

async fn call(peer: Peer<RoleClient>, tool: String) -> String {
    match peer.call_tool(CallToolRequestParams::new(tool)).await {
        Ok(result) => {
            let content = result.content.first().and_then(|content| content.as_text());
            content.expect("the tool answers text").text.clone()
        }
        Err(_) => "rejected".to_owned(),
    }
}

/// The outcome of a call. A call that hangs is reported as timed out.
async fn outcome(call: impl Future<Output = String>) -> String {
    let outcome = timeout(LIMIT, call).await;
    outcome.unwrap_or_else(|_| "TIMED OUT".to_owned())
}

async fn at_least(count: &watch::Sender<usize>, least: usize) {
    let mut count = count.subscribe();
    let reached = within(count.wait_for(|count| *count >= least)).await;
    reached.expect("the client is alive");
}

/// Waits for `future`, at most ten seconds.
///
/// # Panics
///
/// If it takes longer.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it finishes in time")
}

const LIMIT: Duration = Duration::from_secs(10);
/// The longest time for one command of a script, including its start. Each script has its own
/// limit.
const START: Duration = Duration::from_secs(60);
