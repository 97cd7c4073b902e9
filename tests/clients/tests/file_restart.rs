//! A guard whose sessions are in one file, and the next guard with that file, as after a restart.
//!
//! Each life has a runtime of its own, which is gone with all its tasks when the life is over. Time is
//! real, for the file's thread knows no other.

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
fn a_session_goes_on_in_the_next_life() {
    let machine = Machine::new();
    let id = machine.live(|life| life.open("alice"));

    machine.live(|life| {
        assert_eq!(life.ping("alice", &id), 200);
        let session = life.server.sessions.get(&id).unwrap();
        assert_eq!(session.owner(), Some(&Owner::new("alice")));
        assert_eq!(session.client_name(), Some("test"));
        assert_eq!(session.protocol_version(), Some("2025-11-25"));
        assert_eq!(session.opened_on(), Some("machine"));
        assert_eq!(life.server.sessions.stats().restored, 1);
    });
    machine.live(|life| {
        let mut stream = life.stream("alice", &id);
        assert!(!is_over(&mut stream));
        let again = life.ask("alice", post(Some(&id), INITIALIZE));
        assert_eq!(again.0, 400, "it is initialized for good");
    });
    machine.live(|life| {
        assert_eq!(life.delete("alice", &id), 204);
        assert_eq!(life.ping("alice", &id), 404);
    });
    machine.live(|life| assert_eq!(life.ping("alice", &id), 404));
}

#[test]
fn its_owner_is_compared_in_the_next_life() {
    let machine = Machine::new();
    let id = machine.live(|life| life.open("alice"));
    machine.live(|life| {
        for request in [
            post(Some(&id), PING),
            bodiless(Method::GET, Some(&id)),
            bodiless(Method::DELETE, Some(&id)),
        ] {
            assert_eq!(life.ask("bob", request), (404, NOT_FOUND.to_owned()));
        }
        assert_eq!(life.server.inner.count(), 0);
        assert_eq!(life.ping("alice", &id), 200);
    });
}

#[test]
fn a_drain_leaves_sessions_to_the_next_life() {
    let machine = Machine::new();
    let (id, ended) = machine.live(|life| {
        let [id, ended] = [life.open("alice"), life.open("alice")];
        let mut stream = life.stream("alice", &id);
        assert_eq!(life.delete("alice", &ended), 204);
        life.runtime
            .block_on(life.guard.drain(Duration::from_millis(50)));
        assert!(is_over(&mut stream));
        (id, ended)
    });
    machine.live(|life| {
        assert_eq!(life.ping("alice", &id), 200);
        assert_eq!(life.ping("alice", &ended), 404);
    });
}

#[test]
fn an_end_that_was_confirmed_is_one_for_good() {
    let machine = Machine::new();
    let ids = machine.live(|life| {
        let ids = [(); 4].map(|()| life.open("alice"));
        assert!(life.server.sessions.end(&ids[0]));
        assert!(life.server.sessions.get(&ids[1]).unwrap().end());
        life.runtime.block_on(life.server.sessions.flush()).unwrap();
        ids
    });
    machine.live(|life| {
        let answers = ids.clone().map(|id| life.ping("alice", &id));
        assert_eq!(answers, [404, 404, 200, 200]);
    });
    // Of these this life knows nothing.
    machine.live(|life| {
        assert_eq!(life.server.sessions.end_owner(&Owner::new("alice")), 0);
        life.runtime.block_on(life.server.sessions.flush()).unwrap();
    });
    machine.live(|life| {
        let answers = ids.map(|id| life.ping("alice", &id));
        assert_eq!(answers, [404; 4]);
    });
}

#[test]
fn a_session_that_nobody_used_while_the_server_was_down_expires() {
    let machine = Machine::new();
    let brief = |guard: SessionGuardBuilder| guard.idle_timeout(Duration::from_secs(2));
    let id = machine.live_with(brief, |life| life.open("alice"));
    machine.live_with(brief, |life| assert_eq!(life.ping("alice", &id), 200));
    sleep(Duration::from_millis(2600));
    machine.live_with(brief, |life| assert_eq!(life.ping("alice", &id), 404));
}

#[test]
fn a_record_that_can_not_be_read_is_no_session() {
    let machine = Machine::new();
    let id = "2f7a1c0c-5d3b-4c2e-9a7b-0d1e2f3a4b5c";
    let store = FileStore::open(&machine.path).unwrap();
    let key = SessionKey::new("", id);
    let session = NewSession::new(&key, br#"{"v":2}"#, Duration::from_secs(60));
    let created = Runtime::new().unwrap().block_on(store.create(session));
    assert!(created.unwrap());
    drop(store);
    machine.live(|life| assert_eq!(life.ping("alice", id), 404));
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

    fn live<T>(&self, act: impl FnOnce(&Life) -> T) -> T {
        self.live_with(|guard| guard, act)
    }

    fn live_with<T>(
        &self,
        configure: impl FnOnce(SessionGuardBuilder) -> SessionGuardBuilder,
        act: impl FnOnce(&Life) -> T,
    ) -> T {
        let guard = SessionGuardLayer::builder()
            .store(StoreOptions::new(FileStore::open(&self.path).unwrap()).node_name("machine"))
            .owner(|request: &Parts| {
                let name = request.headers.get("x-user").map(HeaderValue::to_str);
                Ok(name.transpose()?.map(Owner::new))
            });
        let guard = configure(guard).build().unwrap();
        let life = Life {
            runtime: Runtime::new().unwrap(),
            server: TestServer::new(guard.clone()),
            guard,
        };
        act(&life)
    }
}

/// A guard from its start to its end.
struct Life {
    guard: SessionGuardLayer,
    server: TestServer,
    // Gone last, with whatever still runs.
    runtime: Runtime,
}

impl Life {
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

    /// An open GET stream.
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
