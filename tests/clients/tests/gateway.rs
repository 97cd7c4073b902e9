//! The official clients through a gateway to servers with the official SDKs of three languages,
//! with the story of `clients.rs`. Then these servers are killed and restarted.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use client_tests::driven::{Client, Kind};
use client_tests::raw::Raw;
use client_tests::{Server, node, python, run_story, script_runs_its_story, trial};
use http::{Method, StatusCode};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

const UNREACHABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"The server behind the gateway cannot be reached"},"id":1}"#;
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for upstream in UPSTREAMS {
        let name = upstream.name();
        let gateway = LazyLock::new(move || Gateway::before(upstream.start("0")));
        let gateway = Arc::new(gateway);
        let typescript = ["v1", "v2"].map(|version| {
            let script = vec!["node/client.mjs", version];
            (format!("the TypeScript client {version}"), node(), script)
        });
        let python = ["v1", "v2"].map(|version| {
            let script = vec!["python/client.py"];
            (
                format!("the Python client {version}"),
                python(version),
                script,
            )
        });
        for (client, program, script) in typescript.into_iter().chain(python) {
            let gateway = gateway.clone();
            let test = format!("{client} through a gateway to {name}");
            let needed = upstream.program().and(program);
            trials.push(trial(test, needed, move |program| {
                script_runs_its_story(&program, &script, &gateway.server, false)
            }));
        }
        let test = format!("the Rust client through a gateway to {name}");
        trials.push(trial(test, upstream.program(), move |_| {
            run_story(rust_client_runs_its_story(&gateway.server))
        }));
        if upstream != Upstream::Rust {
            let test = format!("{name} is killed and restarted behind a gateway");
            let needed = upstream.program();
            trials.push(trial(test, needed, move |_| run_story(restart(upstream))));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A server with an official SDK and its own sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upstream {
    TypeScript(&'static str),
    Python(&'static str),
    /// The Rust SDK, which runs in the guarded process itself.
    Rust,
}

const UPSTREAMS: [Upstream; 5] = [
    Upstream::TypeScript("v1"),
    Upstream::TypeScript("v2"),
    Upstream::Python("v1"),
    Upstream::Python("v2"),
    Upstream::Rust,
];

impl Upstream {
    fn name(self) -> String {
        match self {
            Self::TypeScript(version) => format!("a TypeScript server {version}"),
            Self::Python(version) => format!("a Python server {version}"),
            Self::Rust => "a Rust server".to_owned(),
        }
    }

    fn program(self) -> Result<PathBuf, String> {
        match self {
            Self::TypeScript(_) => node(),
            Self::Python(version) => python(version),
            Self::Rust => Ok(PathBuf::new()),
        }
    }

    /// Starts the server. Port `0` means any free port.
    fn start(self, port: &str) -> Server {
        let program = self.program().expect("the trial requires the program");
        match self {
            Self::TypeScript(version) => Server::run(&program, &["node/server.mjs", version, port]),
            Self::Python(_) => Server::run(&program, &["python/server.py", port]),
            Self::Rust => Server::start("rmcp", &[]),
        }
    }
}

struct Gateway {
    server: Server,
    upstream: Server,
}

impl Gateway {
    fn before(upstream: Server) -> Self {
        let server = Server::start("gateway", &[upstream.url()]);
        Self { server, upstream }
    }
}

/// The story of `clients.rs` for the Rust client, which is not a script.
async fn rust_client_runs_its_story(server: &Server) {
    let raw = Raw::new(server.url(), None);
    let end = async |id: &Value| {
        let id = id.as_str().expect("the session has an id");
        let ended = raw.send(&Method::DELETE, id, None).await;
        assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    };
    let mut client = Client::start(&Kind::Rust, server.url());
    let id = client.run("open").await;
    assert_eq!(
        client.run_all(["call count", "call count"]).await,
        json!(["call 1 of this session", "call 2 of this session"])
    );
    end(&id).await;
    // The Rust client opens another session by itself.
    assert_eq!(client.run("call count").await, "call 1 of this session");

    let mut client = Client::start(&Kind::Rust, server.url());
    let id = client.run("open").await;
    client.run("begin wait").await;
    end(&id).await;
    assert_eq!(client.run("finish").await, "rejected");
}

/// A session that the upstream server has lost is answered 404, after which clients open a new one.
async fn restart(upstream: Upstream) {
    let Gateway {
        server,
        upstream: first,
    } = Gateway::before(upstream.start("0"));
    let (_, address) = first
        .url()
        .split_once("127.0.0.1:")
        .expect("the URL is local");
    let port = address.trim_end_matches("/mcp").to_owned();
    let raw = Raw::new(server.url(), None);
    let ping = async |id: &str| {
        let answer = raw.send(&Method::POST, id, None).await;
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("the answer is whole"))
    };

    let id = raw.open().await;
    assert_eq!(ping(&id).await.0, 200);
    drop(first);
    assert_eq!(ping(&id).await, (502, UNREACHABLE.to_owned()));
    let _second = upstream.start(&port);
    for _ in 0..2 {
        assert_eq!(ping(&id).await, (404, NOT_FOUND.to_owned()));
    }
    let id = raw.open().await;
    assert_eq!(ping(&id).await.0, 200);
}
