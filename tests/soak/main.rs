//! A soak: good and bad clients, all at once over loopback sockets, until the time is up. Then
//! everything must be as it was at the start: sessions, places, tasks, open files, the inner
//! service's own sessions. Nothing that was sent whole may have gone unanswered.
//!
//! Three seconds unless `SOAK_SECONDS` says otherwise; the long form prints its table with
//! `SOAK_SECONDS=600 cargo test --package mcp-session-guard --test soak -- --nocapture`.
//! `SOAK_SEED` repeats the choices of a run, which prints its seed first.

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

/// How many clients there are at once.
const USERS: u64 = 12;
const OWNERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// The guard's limits, small enough to be met all the time.
const PLACES: usize = 40;
const PER_OWNER: usize = 5;
const EXPIRY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_millis(300);
/// How long anything may take on a busy machine before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn after_a_soak_everything_is_as_at_the_start() {
    let time = Duration::from_secs(setting("SOAK_SECONDS").unwrap_or(3));
    // Any number will do; hashing has one that is new in every run.
    let seed = setting("SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("SOAK_SEED={seed} SOAK_SECONDS={}", time.as_secs());

    let runtime = Runtime::new().unwrap();
    let place = Arc::new(Place::serve(&runtime));
    let start = Holdings::of(&place, &runtime);
    assert_eq!((start.sessions, start.inner_sessions), (0, 0));

    let until = Instant::now() + time;
    let users: Vec<_> = (0..USERS)
        .map(|number| {
            let user = User::new(&place, seed.wrapping_add(number));
            thread::spawn(move || user.live(until))
        })
        .collect();
    sleep(time / 4);
    let memory = Memory::settled();
    let lived: Vec<_> = users.into_iter().map(thread::JoinHandle::join).collect();
    place.tally.print();
    memory.print();
    for user in lived {
        user.expect("a client went on to the end");
    }
    place.tally.assert_none_is_lost();
    within(PATIENCE, "all is as at the start", || {
        Holdings::of(&place, &runtime) == start
    });

    take_every_place(&place);
    within(PATIENCE, "all is as at the start", || {
        Holdings::of(&place, &runtime) == start
    });
    memory.assert_kept_over(time);
}

/// Fills the guard with sessions in use: there are as many places as at the start, not one more.
fn take_every_place(place: &Arc<Place>) {
    let mut user = User::new(place, 0);
    user.deed = "at the end";
    let mut streams = Vec::new();
    let until = Instant::now() + PATIENCE;
    while streams.len() < PLACES {
        assert!(Instant::now() < until, "only {} places", streams.len());
        // Taken up at once and then held by a stream; on a slow day one may expire before.
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
    assert_eq!(place.sessions.len(), PLACES);
    let full = user.ask(&initialize("json", None));
    assert_eq!(
        (full.status.as_u16(), full.json()["id"].as_u64()),
        (503, Some(0))
    );
}

/// What must not grow.
#[derive(Debug, Eq, PartialEq)]
struct Holdings {
    sessions: usize,
    inner_sessions: usize,
    tasks: usize,
    /// Where the system tells.
    files: Option<usize>,
}

impl Holdings {
    fn of(place: &Place, runtime: &Runtime) -> Self {
        Self {
            sessions: place.sessions.len(),
            inner_sessions: place.inner.own.lock().unwrap().len(),
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
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

/// A guarded endpoint on a port of its own.
struct Place {
    address: SocketAddr,
    sessions: Sessions,
    inner: Inner,
    tally: Tally,
    /// Whoever floods: two at once would need too many sockets.
    flood: Mutex<()>,
}

impl Place {
    fn serve(runtime: &Runtime) -> Self {
        let guard = owned(SessionGuardLayer::builder())
            .max_sessions(PLACES)
            .max_sessions_per_owner(PER_OWNER)
            .idle_timeout(EXPIRY)
            .never_used_timeout(EXPIRY)
            .body_progress_timeout(LATE)
            .body_timeout(LATE)
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
