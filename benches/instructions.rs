//! The cost of a request in instructions, which other load of the machine does not change.
//!
//! `benches/check` runs each measure under callgrind, which counts only inside [`measured`], and
//! divides the count by the number that this program prints. Without the name of a measure it
//! prints all names.
#![allow(missing_docs)]

mod support;

use std::hint::black_box;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{Method, Request};
use http_body_util::BodyExt;
use mcp_session_guard::fuzzing::is_message;
use mcp_session_guard::store::MemoryStore;
use mcp_session_guard::{Owner, SessionEvent, SessionGuardLayer};
use support::{
    FRAME, INITIALIZE, Shared, UNKNOWN, call, guarded, hand_written, identity, new_id_only,
    open_and_use, post, request, runtime, send,
};
use tower::ServiceExt;
use tower::layer::util::Identity;

type App = fn() -> Router;
type Requests = fn(&str) -> Request<Body>;

/// Name, server, expected status, and the request, which gets the id of a session if the server
/// opens one.
const REQUESTS: [(&str, App, u16, Requests); 19] = [
    ("GET, identity layer", identity, 200, get),
    ("GET", ours, 200, get),
    ("call of 130 B, identity layer", identity, 200, small),
    (
        "call of 130 B, hand-written",
        hand_written::router,
        200,
        small,
    ),
    ("call of 130 B", ours, 200, small),
    ("call of 16 KiB, identity layer", identity, 200, large),
    (
        "call of 16 KiB, hand-written",
        hand_written::router,
        200,
        large,
    ),
    ("call of 16 KiB", ours, 200, large),
    ("call of 130 B, with an owner", owned, 200, small),
    ("call of 130 B, with a hook", hooked, 200, small),
    ("call of 130 B, report-only", reporting, 200, small),
    ("call of 130 B, with a log", logged, 200, small),
    ("call of 130 B, with a store", stored, 200, small),
    ("unknown id", ours, 404, |_| small(UNKNOWN)),
    ("missing id", ours, 400, |_| post(None, call(130))),
    (
        "initialize, handler with a new id",
        new_id_only,
        200,
        opening,
    ),
    (
        "initialize, hand-written",
        hand_written::router,
        200,
        opening,
    ),
    ("initialize", ours, 200, opening),
    ("initialize, refused", full, 503, opening),
];

/// Name, server, request. One frame of the answer counts.
const STREAMS: [(&str, App, Requests); 3] = [
    ("frame of a call, identity layer", bare_stream, small),
    ("frame of a call", our_stream, small),
    ("frame of a GET", our_stream, get),
];

const READING: &str = "reading 130 B";

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    for (known, server, status, request) in REQUESTS {
        if name == known {
            return requests(&server(), status, request);
        }
    }
    for (known, server, request) in STREAMS {
        if name == known {
            return frames(&server(), request);
        }
    }
    if name == READING {
        return reading();
    }
    REQUESTS
        .iter()
        .for_each(|measure| println!("{}", measure.0));
    STREAMS.iter().for_each(|measure| println!("{}", measure.0));
    println!("{READING}");
}

/// callgrind counts only inside this function.
#[inline(never)]
fn measured(run: &mut dyn FnMut()) {
    run();
}

fn get(id: &str) -> Request<Body> {
    request(&Method::GET, Some(id), Bytes::new())
}

fn small(id: &str) -> Request<Body> {
    post(Some(id), call(130))
}

fn large(id: &str) -> Request<Body> {
    post(Some(id), call(16 << 10))
}

fn opening(_: &str) -> Request<Body> {
    post(None, INITIALIZE)
}

fn ours() -> Router {
    guarded(SessionGuardLayer::new())
}

/// A layer outside puts the owner into the extensions, as authentication does.
fn owned() -> Router {
    let owner = Owner::from_issuer_subject("https://login.example", "alice");
    let guard = SessionGuardLayer::builder()
        .owner_from_extension(Owner::clone)
        .require_owner();
    guarded(guard.build().expect("the settings are valid")).layer(axum::Extension(owner))
}

fn hooked() -> Router {
    let guard = SessionGuardLayer::builder().hook(|event: &SessionEvent<'_>| {
        black_box(event);
    });
    guarded(guard.build().expect("the settings are valid"))
}

fn reporting() -> Router {
    let guard = SessionGuardLayer::builder().report_only();
    guarded(guard.build().expect("the settings are valid"))
}

/// A subscriber for INFO and above, without a span around the request.
fn logged() -> Router {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::sink)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("no subscriber is set yet");
    ours()
}

fn stored() -> Router {
    let guard = SessionGuardLayer::builder().store(MemoryStore::new());
    guarded(guard.build().expect("the settings are valid"))
}

/// A guard that has reached its limit of one session.
fn full() -> Router {
    let app = guarded(support::guard(1));
    runtime().block_on(open_and_use(&app));
    app
}

fn bare_stream() -> Router {
    let app = support::streaming(FRAMES + 1);
    app.layer(Identity::new()).with_state(Shared)
}

fn our_stream() -> Router {
    let app = support::streaming(FRAMES + 1);
    app.route_layer(SessionGuardLayer::new()).with_state(Shared)
}

/// Sends requests that were built before, after a warm-up.
fn requests(app: &Router, status: u16, request: Requests) {
    let runtime = runtime();
    let id = session(app);
    let send_all = |requests: Vec<Request<Body>>| {
        runtime.block_on(async {
            for request in requests {
                assert_eq!(send(app, request).await, status);
            }
        });
    };
    let build = || (0..RUNS).map(|_| request(&id)).collect();
    send_all(build());
    let mut requests = build();
    measured(&mut || send_all(std::mem::take(&mut requests)));
    println!("{RUNS}");
}

/// Reads all frames of a stream except the first and the end.
fn frames(app: &Router, request: Requests) {
    let runtime = runtime();
    let response = app.clone().oneshot(request(&session(app)));
    let response = runtime.block_on(response).expect("infallible");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body
            .frame()
            .await
            .expect("another frame")
            .expect("a whole frame");
        assert_eq!(frame.into_data().expect("no trailers"), FRAME);
    };
    runtime.block_on(next());
    measured(&mut || {
        runtime.block_on(async {
            for _ in 0..FRAMES {
                next().await;
            }
        });
    });
    println!("{FRAMES}");
}

/// A session that was used once, if the server opens any.
fn session(app: &Router) -> String {
    runtime().block_on(async {
        let opened = app.clone().oneshot(opening("")).await.expect("infallible");
        match opened.headers().contains_key("mcp-session-id") {
            true => open_and_use(app).await,
            false => UNKNOWN.to_owned(),
        }
    })
}

fn reading() {
    let body = call(130);
    measured(&mut || {
        for _ in 0..RUNS {
            assert!(is_message(black_box(&body)));
        }
    });
    println!("{RUNS}");
}

const RUNS: usize = 100;
const FRAMES: usize = 1000;
