//! The time of a request in process: `cargo bench -p client-tests --bench guard`.
//!
//! The candidates take turns. Every figure is a median. Compare only figures of the same run.
#![allow(missing_docs)]

mod support;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::any;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Method, Request};
use mcp_session_guard::SessionGuardLayer;
use support::{
    ANSWER, Candidate, FRAME, INITIALIZE, Shared, UNKNOWN, call, guarded, hand_written, identity,
    in_turns, micros, open, open_and_use, post, read, request, row, send, times,
};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tower::layer::util::Identity;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

fn main() {
    let runtime = support::runtime();
    calls(&runtime);
    gets(&runtime);
    openings(&runtime);
    streams(&runtime);
}

/// A call in an open session, by size.
fn calls(runtime: &Runtime) {
    let hand_written = hand_written::router();
    let ours = guarded(SessionGuardLayer::new());
    let hand_written_id = runtime.block_on(open_and_use(&hand_written));
    let our_id = runtime.block_on(open_and_use(&ours));
    let (cookies, cookie) = runtime.block_on(tower_sessions());
    for (size, bytes, runs) in [
        ("130 B", 130, 4000),
        ("1 KiB", 1 << 10, 4000),
        ("16 KiB", 16 << 10, 2000),
        ("1 MiB", 1 << 20, 50),
    ] {
        let body = call(bytes);
        let of = |id| post(Some(id), body.clone());
        let with_cookie = || {
            let mut request = of(UNKNOWN);
            request.headers_mut().insert(COOKIE, cookie.clone());
            request
        };
        let taken = in_turns(
            &format!("a call of {size}"),
            runs,
            &mut [
                asking(runtime, "no layer", &support::bare(), 200, || of(UNKNOWN)),
                asking(runtime, "identity", &identity(), 200, || of(UNKNOWN)),
                asking(runtime, "hand-written", &hand_written, 200, || {
                    of(&hand_written_id)
                }),
                asking(runtime, "tower-sessions", &cookies, 200, with_cookie),
                asking(runtime, "this crate", &ours, 200, || of(&our_id)),
                asking(runtime, "  unknown id", &ours, 404, || of(UNKNOWN)),
                asking(runtime, "  no id", &ours, 400, || post(None, body.clone())),
            ],
        );
        let [_, identity, hand_written, cookies, ours, ..] = taken[..] else {
            unreachable!("seven candidates");
        };
        row(
            &format!("time added in process, call of {size}"),
            &micros(ours - identity),
            &micros(hand_written - identity),
            &format!("tower-sessions {}", micros(cookies - identity)),
        );
    }
}

/// A GET, which has no body to read.
fn gets(runtime: &Runtime) {
    let app = guarded(SessionGuardLayer::new());
    let id = runtime.block_on(open_and_use(&app));
    let get = |id| request(&Method::GET, Some(id), Bytes::new());
    in_turns(
        "a GET",
        4000,
        &mut [
            asking(runtime, "no layer", &support::bare(), 200, || get(&id)),
            asking(runtime, "this crate", &app, 200, || get(&id)),
        ],
    );
}

/// `initialize`, also at the session limit.
fn openings(runtime: &Runtime) {
    const CAP: usize = 1000;
    /// Ten times the default, and more than this bench opens.
    const PLENTY: usize = 100_000;
    let plenty = guarded(support::guard(PLENTY));
    let full = guarded(support::guard(CAP));
    let evicting = guarded(support::guard(CAP));
    runtime.block_on(async {
        for _ in 0..CAP {
            open_and_use(&full).await;
            open(&evicting).await;
        }
    });
    let opening = || post(None, INITIALIZE);
    let new_id_only = support::new_id_only();
    let taken = in_turns(
        "initialize",
        2000,
        &mut [
            asking(runtime, "no layer", &support::bare(), 200, opening),
            asking(runtime, "handler with a new id", &new_id_only, 200, opening),
            asking(
                runtime,
                "hand-written",
                &hand_written::router(),
                200,
                opening,
            ),
            asking(runtime, "this crate", &plenty, 200, opening),
            asking(runtime, "evicting the oldest", &evicting, 200, opening),
            asking(runtime, "refused: full", &full, 503, opening),
        ],
    );
    let [_, new_id_only, hand_written, ours, _, refused] = taken[..] else {
        unreachable!("six candidates");
    };
    row(
        "opening, against a handler that only creates an id",
        &times(ours / new_id_only),
        &times(hand_written / new_id_only),
        "",
    );
    let refused = times(refused / ours);
    row("refusal over the cap, against an opening", &refused, "", "");
}

/// An event stream of two thousand frames.
fn streams(runtime: &Runtime) {
    const FRAMES: usize = 2000;
    let bare = support::streaming(FRAMES)
        .layer(Identity::new())
        .with_state(Shared);
    let ours = support::streaming(FRAMES)
        .route_layer(SessionGuardLayer::new())
        .with_state(Shared);
    let id = runtime.block_on(open_and_use(&ours));
    let post = || post(Some(&id), call(130));
    let get = || request(&Method::GET, Some(&id), Bytes::new());
    let whole = FRAMES * FRAME.len();
    in_turns(
        "an event stream of 2 000 frames",
        50,
        &mut [
            reading(runtime, "identity, POST", &bare, whole, post),
            reading(runtime, "this crate, POST", &ours, whole, post),
            reading(runtime, "identity, GET", &bare, whole, get),
            reading(runtime, "this crate, GET", &ours, whole, get),
        ],
    );
}

/// A candidate that sends requests. Each must be answered with `status`.
fn asking<'a>(
    runtime: &'a Runtime,
    name: &'static str,
    app: &Router,
    status: u16,
    request: impl Fn() -> Request<Body> + 'a,
) -> Candidate<'a> {
    let app = app.clone();
    let run = move |runs| {
        runtime.block_on(async {
            for _ in 0..runs {
                assert_eq!(send(&app, request()).await, status, "{name}");
            }
        });
    };
    (name, Box::new(run))
}

/// A candidate that sends requests. Each answer must have `bytes` bytes.
fn reading<'a>(
    runtime: &'a Runtime,
    name: &'static str,
    app: &Router,
    bytes: usize,
    request: impl Fn() -> Request<Body> + 'a,
) -> Candidate<'a> {
    let app = app.clone();
    let run = move |runs| {
        runtime.block_on(async {
            for _ in 0..runs {
                let response = app.clone().oneshot(request()).await.expect("infallible");
                assert_eq!(read(response).await, bytes, "{name}");
            }
        });
    };
    (name, Box::new(run))
}

/// A handler that reads one value of its tower-session, and the cookie of a session.
async fn tower_sessions() -> (Router, HeaderValue) {
    async fn answer(session: Session, method: Method, _body: Bytes) -> &'static str {
        if method == Method::PUT {
            session
                .insert("value", 7)
                .await
                .expect("the value is stored");
        }
        let value: Option<u32> = session.get("value").await.expect("the value is loaded");
        assert_eq!(value, Some(7));
        ANSWER
    }
    let app = Router::new()
        .route("/mcp", any(answer))
        .layer(SessionManagerLayer::new(MemoryStore::default()));
    let opening = request(&Method::PUT, None, Bytes::new());
    let response = app.clone().oneshot(opening).await.expect("infallible");
    let cookie = response.headers()[SET_COOKIE].clone();
    (app, cookie)
}
