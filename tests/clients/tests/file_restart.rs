//! A guard with its sessions in one file, and later guards with the same file, as after a restart.
//!
//! Each simulated process has its own runtime, which is dropped with all its tasks at the end. Time
//! is real, because the thread of the file store does not use tokio's clock.

#[path = "../../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::store::{FileStore, McpSessionStore, NewSession, SessionKey, StoreOptions};
use mcp_session_guard::{Owner, SessionGuardBuilder, SessionGuardLayer};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use support::{INITIALIZE, INITIALIZED, PING, TestServer, bodiless, post};

const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":null}"#;

#[test]
fn a_session_continues_in_the_next_process() {
    let machine = Machine::new();
    let id = machine.run(|process| process.open("alice"));

    machine.run(|process| {
        assert_eq!(process.ping("alice", &id), 200);
        let session = process.server.sessions.get(&id).unwrap();
        assert_eq!(session.owner(), Some(&Owner::new("alice")));
        assert_eq!(session.client_name(), Some("test"));
        assert_eq!(session.protocol_version(), Some("2025-11-25"));
        assert_eq!(session.opened_on(), Some("machine"));
        assert_eq!(process.server.sessions.stats().restored, 1);
    });
    machine.run(|process| {
        let mut stream = process.stream("alice", &id);
        assert!(!is_over(&mut stream));
        let again = process.ask("alice", post(Some(&id), INITIALIZE));
        assert_eq!(again.0, 400, "the session stays initialized");
    });
    machine.run(|process| {
        assert_eq!(process.delete("alice", &id), 204);
        assert_eq!(process.ping("alice", &id), 404);
    });
    machine.run(|process| assert_eq!(process.ping("alice", &id), 404));
}

#[test]
fn the_owner_is_compared_in_the_next_process() {
    let machine = Machine::new();
    let id = machine.run(|process| process.open("alice"));
    machine.run(|process| {
        for request in [
            post(Some(&id), PING),
            bodiless(Method::GET, Some(&id)),
            bodiless(Method::DELETE, Some(&id)),
        ] {
            assert_eq!(process.ask("bob", request), (404, NOT_FOUND.to_owned()));
        }
        assert_eq!(process.server.inner.count(), 0);
        assert_eq!(process.ping("alice", &id), 200);
    });
}

#[test]
fn a_drain_leaves_sessions_to_the_next_process() {
    let machine = Machine::new();
    let (id, ended) = machine.run(|process| {
        let [id, ended] = [process.open("alice"), process.open("alice")];
        let mut stream = process.stream("alice", &id);
        assert_eq!(process.delete("alice", &ended), 204);
        process
            .runtime
            .block_on(process.guard.drain(Duration::from_millis(50)));
        assert!(is_over(&mut stream));
        (id, ended)
    });
    machine.run(|process| {
        assert_eq!(process.ping("alice", &id), 200);
        assert_eq!(process.ping("alice", &ended), 404);
    });
}

#[test]
fn a_confirmed_end_is_permanent() {
    let machine = Machine::new();
    let ids = machine.run(|process| {
        let ids = [(); 4].map(|()| process.open("alice"));
        assert!(process.server.sessions.end(&ids[0]));
        assert!(process.server.sessions.get(&ids[1]).unwrap().end());
        process
            .runtime
            .block_on(process.server.sessions.flush())
            .unwrap();
        ids
    });
    machine.run(|process| {
        let answers = ids.clone().map(|id| process.ping("alice", &id));
        assert_eq!(answers, [404, 404, 200, 200]);
    });
    // The next process has loaded none of these sessions.
    machine.run(|process| {
        assert_eq!(process.server.sessions.end_owner(&Owner::new("alice")), 0);
        process
            .runtime
            .block_on(process.server.sessions.flush())
            .unwrap();
    });
    machine.run(|process| {
        let answers = ids.map(|id| process.ping("alice", &id));
        assert_eq!(answers, [404; 4]);
    });
}

#[test]
fn a_session_that_is_idle_while_the_server_is_down_expires() {
    let machine = Machine::new();
    let brief = |guard: SessionGuardBuilder| guard.idle_timeout(Duration::from_secs(2));
    let id = machine.run_with(brief, |process| process.open("alice"));
    machine.run_with(brief, |process| assert_eq!(process.ping("alice", &id), 200));
    sleep(Duration::from_millis(2600));
    machine.run_with(brief, |process| assert_eq!(process.ping("alice", &id), 404));
}

#[test]
fn a_record_that_cannot_be_read_is_no_session() {
    let machine = Machine::new();
    let id = "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c";
    let store = FileStore::open(&machine.path).unwrap();
    let key = SessionKey::new("", id);
    let session = NewSession::new(&key, br#"{"v":2}"#, Duration::from_secs(60));
    let created = Runtime::new().unwrap().block_on(store.create(session));
    assert!(created.unwrap());
    drop(store);
    machine.run(|process| assert_eq!(process.ping("alice", id), 404));
}

struct Machine {
    _folder: TempDir,
    path: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        Self {
            _folder: folder,
            path,
        }
    }

    fn run<T>(&self, act: impl FnOnce(&Process) -> T) -> T {
        self.run_with(|guard| guard, act)
    }

    fn run_with<T>(
        &self,
        configure: impl FnOnce(SessionGuardBuilder) -> SessionGuardBuilder,
        act: impl FnOnce(&Process) -> T,
    ) -> T {
        let guard = SessionGuardLayer::builder()
            .store(StoreOptions::new(FileStore::open(&self.path).unwrap()).node_name("machine"))
            .owner(|request: &Parts| {
                let name = request.headers.get("x-user").map(HeaderValue::to_str);
                Ok(name.transpose()?.map(Owner::new))
            });
        let guard = configure(guard).build().unwrap();
        let process = Process {
            runtime: Runtime::new().unwrap(),
            server: TestServer::new(guard.clone()),
            guard,
        };
        act(&process)
    }
}

/// One simulated process: a guard from its start to its end.
struct Process {
    guard: SessionGuardLayer,
    server: TestServer,
    // The runtime is the last field, so that it is dropped last, with all running tasks.
    runtime: Runtime,
}

impl Process {
    fn open(&self, user: &str) -> String {
        let answer = self.server.ask(by(user, post(None, INITIALIZE)));
        let answer = self.runtime.block_on(answer);
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.headers["mcp-session-id"].to_str().unwrap();
        let ready = self.ask(user, post(Some(id), INITIALIZED));
        assert_eq!(ready.0, 202, "{ready:?}");
        id.to_owned()
    }

    fn ping(&self, user: &str, id: &str) -> u16 {
        self.ask(user, post(Some(id), PING)).0
    }

    fn delete(&self, user: &str, id: &str) -> u16 {
        self.ask(user, bodiless(Method::DELETE, Some(id))).0
    }

    /// Opens a GET stream.
    fn stream(&self, user: &str, id: &str) -> Body {
        let request = by(user, bodiless(Method::GET, Some(id)));
        let response = self.runtime.block_on(self.server.send(request));
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    fn ask(&self, user: &str, request: Request<Body>) -> (u16, String) {
        let answer = self.runtime.block_on(self.server.ask(by(user, request)));
        (answer.status.as_u16(), answer.text().to_owned())
    }
}

fn by(user: &str, mut request: Request<Body>) -> Request<Body> {
    let user = user.parse().unwrap();
    request.headers_mut().insert("x-user", user);
    request
}

fn is_over(body: &mut Body) -> bool {
    matches!(body.frame().now_or_never(), Some(None))
}
