//! A soak: correct and faulty clients act at once over loopback sockets until the time is up. Then
//! sessions, slots, tasks, open files and inner sessions must be as at the start, and every request
//! that was sent whole must have an answer.
//!
//! It takes three seconds, or `SOAK_SECONDS`. The long form prints its table with `SOAK_SECONDS=600
//! cargo test --package mcp-session-guard --test soak -- --nocapture`. A run prints its seed first.
//! `SOAK_SEED` repeats the choices of that run.

mod clients;
mod inner;
mod requests;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use axum::serve::ListenerExt;
use mcp_session_guard::{SessionGuardLayer, Sessions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use clients::User;
use inner::{Inner, answer};
use requests::{bare, call, initialize};
use support::client::within;
use support::memory::{Memory, open_files};
use support::owned;
use support::tally::Tally;

/// The number of concurrent clients.
const USERS: u64 = 12;
const OWNERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// The guard's limits, small enough to be reached all the time.
const MAX_SESSIONS: usize = 40;
const PER_OWNER: usize = 5;
const EXPIRY: Duration = Duration::from_secs(1);
const BODY_TIMEOUT: Duration = Duration::from_millis(300);
/// The longest wait on a busy machine. Anything slower counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn after_a_soak_all_resources_are_as_at_the_start() {
    let time = Duration::from_secs(setting("SOAK_SECONDS").unwrap_or(3));
    // Any number will do. `RandomState` has a new one in every run.
    let seed = setting("SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("SOAK_SEED={seed} SOAK_SECONDS={}", time.as_secs());

    let runtime = Runtime::new().unwrap();
    let endpoint = Arc::new(Endpoint::serve(&runtime));
    let start = Resources::of(&endpoint, &runtime);
    assert_eq!((start.sessions, start.inner_sessions), (0, 0));

    let until = Instant::now() + time;
    let users: Vec<_> = (0..USERS)
        .map(|number| {
            let user = User::new(&endpoint, seed.wrapping_add(number));
            thread::spawn(move || user.run(until))
        })
        .collect();
    sleep(time / 4);
    let memory = Memory::settled();
    let lived: Vec<_> = users.into_iter().map(thread::JoinHandle::join).collect();
    endpoint.tally.print();
    memory.print();
    for user in lived {
        user.expect("no client panics");
    }
    endpoint.tally.assert_none_is_lost();
    within(PATIENCE, "all resources are as at the start", || {
        Resources::of(&endpoint, &runtime) == start
    });

    fill_every_slot(&endpoint);
    within(PATIENCE, "all resources are as at the start", || {
        Resources::of(&endpoint, &runtime) == start
    });
    memory.assert_stable_over(time);
}

/// Fills the guard with sessions in use. Exactly as many fit as at the start.
fn fill_every_slot(endpoint: &Arc<Endpoint>) {
    let mut user = User::new(endpoint, 0);
    user.action = "at the end";
    let mut streams = Vec::new();
    let until = Instant::now() + PATIENCE;
    while streams.len() < MAX_SESSIONS {
        assert!(Instant::now() < until, "only {} slots", streams.len());
        // The session is used at once and then kept by a stream. On a slow machine it may expire
        // before.
        let Some(session) = user.try_open("json", None) else {
            continue;
        };
        let mut stream = user.connect();
        if user.ask(&call(&session, "json")).status == 200 {
            stream.send(&bare("GET", &session));
            if stream.answer().status == 200 {
                streams.push(stream);
            }
        }
    }
    assert_eq!(endpoint.sessions.len(), MAX_SESSIONS);
    let full = user.ask(&initialize("json", None));
    assert_eq!(
        (full.status.as_u16(), full.json()["id"].as_u64()),
        (503, Some(0))
    );
}

/// The resources that must not grow.
#[derive(Debug, Eq, PartialEq)]
struct Resources {
    sessions: usize,
    inner_sessions: usize,
    tasks: usize,
    /// `None` if the system does not report it.
    files: Option<usize>,
}

impl Resources {
    fn of(endpoint: &Endpoint, runtime: &Runtime) -> Self {
        Self {
            sessions: endpoint.sessions.len(),
            inner_sessions: endpoint.inner.own.lock().unwrap().len(),
            tasks: runtime.metrics().num_alive_tasks(),
            files: open_files(),
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {value}")),
    )
}

/// A guarded endpoint on its own port.
struct Endpoint {
    address: SocketAddr,
    sessions: Sessions,
    inner: Inner,
    tally: Tally,
    /// Held by the client that floods, because two floods at once would need too many sockets.
    flood: Mutex<()>,
}

impl Endpoint {
    fn serve(runtime: &Runtime) -> Self {
        let guard = owned(SessionGuardLayer::builder())
            .max_sessions(MAX_SESSIONS)
            .max_sessions_per_owner(PER_OWNER)
            .idle_timeout(EXPIRY)
            .never_used_timeout(EXPIRY)
            .body_progress_timeout(BODY_TIMEOUT)
            .body_timeout(BODY_TIMEOUT)
            .end_inner_sessions()
            .build()
            .unwrap();
        let inner = Inner::default();
        let sessions = guard.sessions();
        let app = Router::new()
            .route("/mcp", any(answer))
            .route_layer(guard)
            .with_state(inner.clone());
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        runtime.spawn(async { axum::serve(listener, app).await });
        Self {
            address,
            sessions,
            inner,
            tally: Tally::default(),
            flood: Mutex::default(),
        }
    }
}
