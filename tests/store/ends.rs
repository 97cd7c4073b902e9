//! A session that one node ends is ended on every node.

use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::Method;
use mcp_session_guard::EndReason;
use mcp_session_guard::store::{Fault, MemoryStore, SessionKey};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::partly::{Call, partly};
use super::support::times::{LEASE, SECOND};
use super::support::{TestServer, UNKNOWN, bodiless, is_over};
use super::{named, node, ping, settle, stream_of};

#[tokio::test(start_paused = true)]
async fn a_session_that_one_node_ends_is_ended_on_the_others_at_once() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    let mut on_a = stream_of(&a, &id).await;
    let mut on_b = stream_of(&b, &id).await;
    assert!(!is_over(&mut on_a) && !is_over(&mut on_b));

    let answer = b.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 204);
    assert!(store.is_empty());
    settle().await;
    assert!(is_over(&mut on_a) && is_over(&mut on_b));
    assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
    assert_eq!(a.sessions.stats().ended[&EndReason::EndedElsewhere], 1);
    assert_eq!(b.sessions.stats().ended[&EndReason::Deleted], 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_a_node_misses_is_known_after_the_lease() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    assert_eq!(ping(&b, &id).await, 200);
    sleep(LEASE).await;
    store.set_fault(Fault::Deaf);
    assert_eq!(b.ask(bodiless(Method::DELETE, Some(&id))).await.status, 204);
    assert_eq!(ping(&b, &id).await, 404);

    assert_eq!(
        ping(&a, &id).await,
        200,
        "this node cannot know of the end yet"
    );
    sleep(LEASE + Duration::from_millis(1)).await;
    let calls = store.calls();
    assert_eq!(join_all((0..9).map(|_| ping(&a, &id))).await, [404; 9]);
    assert_eq!(store.calls(), calls + 1, "all requests share one check");
}

#[tokio::test(start_paused = true)]
async fn without_a_subscription_each_session_is_checked_once_per_lease() {
    let store = MemoryStore::new();
    let a = node(&store);
    let ids = [a.open_and_use().await, a.open_and_use().await];
    store.set_fault(Fault::Deaf);
    sleep(LEASE * 2).await;
    let calls = store.calls();
    for _ in 0..4 {
        for id in &ids {
            assert_eq!(ping(&a, id).await, 200);
        }
        sleep(SECOND).await;
    }
    // The node also tries to subscribe again, which adds calls.
    let checks = store.calls() - calls;
    assert!((2..=4).contains(&checks), "{checks}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restored_subscription_every_session_is_checked_again() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let [ended, live] = [a.open_and_use().await, a.open_and_use().await];
    sleep(LEASE).await;
    // The subscription breaks and is restored within the lease. A session ends in between.
    store.set_fault(Fault::Down);
    store.set_fault(Fault::None);
    assert_eq!(
        b.ask(bodiless(Method::DELETE, Some(&ended))).await.status,
        204
    );
    sleep(SECOND).await;
    let calls = store.calls();
    assert_eq!(ping(&a, &ended).await, 404);
    assert_eq!([ping(&a, &live).await, ping(&a, &live).await], [200; 2]);
    assert_eq!(store.calls(), calls + 2);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_does_not_reach_the_store_is_503_and_ends_the_session_on_this_node() {
    let store = MemoryStore::new();
    let [a, b] = [node(&store), node(&store)];
    let id = a.open_and_use().await;
    store.set_fault(Fault::Down);
    let answer = a.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(ping(&a, &id).await, 404);
    store.set_fault(Fault::None);
    assert_eq!(
        ping(&a, &id).await,
        404,
        "the session does not come back while the removal is repeated"
    );
    sleep(LEASE * 2).await;
    assert!(store.is_empty());
    assert_eq!(ping(&b, &id).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_one_node_loads_while_another_ends_it_is_ended() {
    for round in 0..40 {
        let store = MemoryStore::new();
        let [a, b] = [node(&store), node(&store)];
        // A node subscribes at its first store call, so this call subscribes `b`.
        assert_eq!(ping(&b, UNKNOWN).await, 404);
        settle().await;
        let id = a.open_and_use().await;
        let loads = join_all((0..4).map(|_| ping(&b, &id)));
        let delete = async {
            for _ in 0..round % 8 {
                yield_now().await;
            }
            a.ask(bodiless(Method::DELETE, Some(&id))).await.status
        };
        let (_, deleted) = futures_util::future::join(loads, delete).await;
        assert_eq!(deleted, 204);
        settle().await;
        assert_eq!([ping(&a, &id).await, ping(&b, &id).await], [404; 2]);
        assert!(b.sessions.is_empty());
    }
}

/// The seconds until a stream ends.
async fn seconds_until_over(stream: &mut Body) -> u64 {
    let began = Instant::now();
    while !is_over(stream) && began.elapsed() < SECOND * 2000 {
        sleep(SECOND).await;
    }
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_although_its_session_ended_while_the_subscription_was_down() {
    for idle in [SECOND * 30 * 60, SECOND * 24 * 60 * 60] {
        let store = MemoryStore::new();
        let [a, b] =
            ["a", "b"].map(|name| TestServer::build(named(&store, name).idle_timeout(idle)));
        let id = a.open_and_use().await;
        sleep(SECOND * 200).await;
        let mut stream = a.send(bodiless(Method::GET, Some(&id))).await.into_body();
        store.set_fault(Fault::Down);
        store.set_fault(Fault::None);
        let deleted = b.ask(bodiless(Method::DELETE, Some(&id))).await;
        assert_eq!(deleted.status, 204);
        assert!(seconds_until_over(&mut stream).await <= 5);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_removals_do_not_delay_others() {
    let store = MemoryStore::new();
    // Like a cluster with one part down.
    fn is_lost(key: &SessionKey) -> bool {
        key.id().as_bytes()[0].is_multiple_of(3)
    }
    let a = partly(
        &store,
        |call| matches!(call, Call::Remove(key) if is_lost(key)),
    );
    for _ in 0..300 {
        let id = a.open_and_use().await;
        let expected = match is_lost(&SessionKey::new("", &*id)) {
            true => 503,
            false => 204,
        };
        let deleted = a.ask(bodiless(Method::DELETE, Some(&id))).await;
        assert_eq!(deleted.status, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_the_store_refuses_is_reported_once() {
    let store = MemoryStore::new();
    let a = partly(&store, |call| matches!(call, Call::Remove(_)));
    let id = a.open_and_use().await;
    let deleted = a.ask(bodiless(Method::DELETE, Some(&id))).await;
    assert_eq!(deleted.status, 503);
    sleep(SECOND * 60).await;
    assert_eq!(a.sessions.stats().store_failures, 1);
}
