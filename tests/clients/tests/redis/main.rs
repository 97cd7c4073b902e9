//! Sessions in a real Redis: the conformance suite, several guards on one server, and faults of
//! networks and servers.

#[path = "../../../../tests/support/mod.rs"]
mod support;

mod faults;
mod guards;
mod nodes;

use std::future::Future;
use std::time::Duration;

use client_tests::fault::Fault;
use client_tests::redis::{Cluster, Redis, redis_server};
use client_tests::{program, run_story, trial};
use libtest_mimic::{Arguments, Trial};
use mcp_session_guard::store::RedisStore;
use mcp_session_guard::store::conformance;

use crate::faults::Outage;

fn main() {
    let mut trials = Vec::new();
    trials.extend(cases("one server", Redis::start_alone, Redis::store));
    trials.extend(cases("a cluster", Cluster::start, Cluster::store));
    macro_rules! stories {
        ($($module:ident::$name:ident)*) => {
            $(trials.push(story(stringify!($name), Redis::start_alone, $module::$name));)*
        };
    }
    stories! {
        nodes::a_session_that_one_node_ends_is_ended_on_the_others_at_once
        nodes::a_session_that_is_loaded_while_it_ends_is_ended
        nodes::an_owner_logged_out_on_one_node_is_logged_out_on_all
        nodes::an_end_that_a_node_misses_is_known_after_the_lease
        nodes::a_record_of_another_schema_is_an_unknown_id
        nodes::every_key_expires_and_none_outlives_its_session_by_much
        nodes::a_session_in_use_does_not_expire_and_one_that_is_not_does
        nodes::sessions_that_redis_has_lost_end
        nodes::a_dropped_guard_leaves_neither_task_nor_connection
        nodes::no_error_and_no_debug_text_shows_a_secret
        nodes::the_documented_permissions_suffice
        faults::a_full_redis_refuses_only_openings
        faults::a_guard_starts_before_its_redis
        faults::a_subscription_leaves_a_server_that_is_no_longer_the_primary
        faults::a_failed_refresh_does_not_prevent_the_others
    }
    trials.push(story(
        "a_silent_subscription_fails",
        || (),
        faults::a_silent_subscription_fails,
    ));
    trials.push(story(
        "a cluster: the_documented_permissions_suffice",
        Cluster::start,
        nodes::the_documented_permissions_suffice_in_a_cluster,
    ));
    trials.push(story(
        "a cluster: a_moving_slot_loses_no_end",
        Cluster::start,
        nodes::a_moving_slot_loses_no_end,
    ));
    let tls = redis_server().and(program("openssl"));
    trials.push(trial(
        "redis_works_over_tls".to_owned(),
        tls.clone(),
        |_| run_story(nodes::redis_works_over_tls()),
    ));
    let name = "a_client_certificate_is_sent_to_one_server_and_to_a_cluster";
    trials.push(trial(name.to_owned(), tls, |_| {
        run_story(nodes::a_client_certificate_is_sent_to_one_server_and_to_a_cluster())
    }));
    trials.push(story(
        "reset_connections_lose_no_session",
        || (),
        faults::reset_connections_lose_no_session,
    ));
    trials.push(story(
        "the_guard_waits_for_a_slow_redis",
        || (),
        faults::the_guard_waits_for_a_slow_redis,
    ));
    for (name, outage) in [
        ("down", Outage::Network(Fault::Down)),
        ("half-open", Outage::Network(Fault::Silent)),
        (
            "too slow",
            Outage::Network(Fault::Slow(Duration::from_secs(2))),
        ),
        ("killed and restarted", Outage::Killed),
        ("a replica", Outage::Replica),
    ] {
        let refuses = format!("{name}: a_failing_redis_refuses_unknown_ids_and_openings");
        trials.push(story(
            &refuses,
            move || outage,
            faults::a_failing_redis_refuses_unknown_ids_and_openings,
        ));
        let under_way = format!("{name}: calls_in_flight_when_redis_fails_are_refused");
        trials.push(story(
            &under_way,
            move || outage,
            faults::calls_in_flight_when_redis_fails_are_refused,
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// One trial per case of the conformance suite, each on its own server with two stores.
fn cases<T: 'static>(
    kind: &'static str,
    start: fn() -> T,
    store: fn(&T) -> RedisStore,
) -> Vec<Trial> {
    let all = conformance::all().into_iter();
    let trials = all.map(|case| {
        let name = format!("{kind}: {}", case.name());
        trial(name, redis_server(), move |_| {
            let redis = start();
            run_story(async move {
                case.check(&store(&redis), &store(&redis)).await;
            })
        })
    });
    trials.collect()
}

/// A trial whose story begins with the result of `start`.
fn story<T, F>(name: &str, start: impl FnOnce() -> T + Send + 'static, run: fn(T) -> F) -> Trial
where
    T: 'static,
    F: Future<Output = ()> + 'static,
{
    trial(name.to_owned(), redis_server(), move |_| {
        self::run_story(run(start()))
    })
}
