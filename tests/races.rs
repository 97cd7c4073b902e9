//! What happens at the same moment on several threads.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use axum::BoxError;
use http::request::Parts;
use mcp_session_guard::{Owner, SessionEvent, SessionGuardLayer};
use tokio::runtime::{Builder, Runtime};

use support::{Answer, INITIALIZE, World, post};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Does something again and again on threads of their own, until `work` is done.
fn while_others<T>(others: &[&(dyn Fn() + Sync)], work: impl FnOnce() -> T) -> T {
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for other in others {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    other();
                    thread::yield_now();
                }
            });
        }
        let _stop = StopOnDrop(&is_done);
        work()
    })
}

#[test]
fn every_opening_is_told_first_and_every_end_once_while_somebody_ends_all() {
    let lives = Arc::new(Mutex::new(HashMap::<_, Vec<_>>::new()));
    let told = lives.clone();
    let guard = SessionGuardLayer::builder().hook(move |event: &SessionEvent<'_>| {
        let (session, word) = match event {
            SessionEvent::Opened { session, .. } => (session, "opened"),
            SessionEvent::Confirmed { session, .. } => (session, "confirmed"),
            SessionEvent::Ended { session, .. } => (session, "ended"),
            _ => return,
        };
        // Whoever ends it meanwhile may come first.
        thread::yield_now();
        let mut told = told.lock().unwrap();
        told.entry(session.fingerprint()).or_default().push(word);
    });
    let world = World::new(guard.build().unwrap());
    let end_all = || _ = world.sessions.end_all();
    while_others(&[&end_all], || {
        runtime().block_on(async {
            for _ in 0..6_000 {
                world.ask(post(None, INITIALIZE)).await;
            }
        });
    });
    end_all();
    let lives = lives.lock().unwrap();
    assert_eq!(lives.len() as u64, world.sessions.stats().opened);
    for told in lives.values() {
        // That the client has its answer may be told late.
        assert!(
            matches!(
                told[..],
                ["opened", "ended"]
                    | ["opened", "confirmed", "ended"]
                    | ["opened", "ended", "confirmed"]
            ),
            "{told:?}"
        );
    }
}

#[test]
fn sessions_of_an_owner_that_are_ended_while_they_are_listed_leave_their_ids_free() {
    let (fills, filled) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
    let is_filling = fills.clone();
    let guard = SessionGuardLayer::builder()
        .owner(|request: &Parts| -> Result<_, BoxError> {
            let is_alice = request.headers.contains_key("alice");
            Ok(is_alice.then(|| Owner::new("alice")))
        })
        .id_generator(move || match is_filling.load(Ordering::SeqCst) {
            true => format!("filler-{}", filled.fetch_add(1, Ordering::SeqCst)),
            false => "always-the-same".to_owned(),
        });
    let world = World::new(guard.build().unwrap());
    let alice = Owner::new("alice");
    let open = async || -> Answer {
        let mut request = post(None, INITIALIZE);
        request.headers_mut().insert("alice", "1".parse().unwrap());
        world.inner.clear();
        world.ask(request).await
    };
    runtime().block_on(async {
        // So many that whoever looks at all of them holds each part of the map for a while.
        for _ in 0..3_000 {
            world.inner.clear();
            world.ask(post(None, INITIALIZE)).await;
        }
    });
    fills.store(false, Ordering::SeqCst);
    let end_alices = || _ = world.sessions.end_owner(&alice);
    let look = || drop(world.sessions.snapshot());
    while_others(&[&end_alices, &look], || {
        runtime().block_on(async {
            for _ in 0..6_000 {
                open().await;
                end_alices();
            }
        });
    });
    assert_eq!(world.sessions.stats().opening, 0);
    let opened = runtime().block_on(open());
    assert_eq!(opened.status, 200, "the id is free: {}", opened.text());
}
