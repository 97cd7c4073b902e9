//! Sessions in a real Redis: the suite that every store must pass, guards on one server, and what
//! networks and servers do to them.

#[path = "../../../../tests/support/mod.rs"]
mod support;

mod faults;
mod guards;
mod nodes;

use std::future::Future;
use std::time::Duration;

use client_tests::fault::Fault;
use client_tests::redis::{Cluster, Redis, redis_server};
use client_tests::{play, program, trial};
use libtest_mimic::{Arguments, Trial};
use mcp_session_guard::store::RedisStore;
use mcp_session_guard::store::conformance;

use crate::faults::Trouble;

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
        nodes::what_one_node_ends_is_over_on_the_others_at_once
        nodes::a_session_that_is_loaded_while_it_ends_is_over
        nodes::an_owner_who_is_logged_out_on_one_node_is_so_on_all
        nodes::an_end_that_is_not_heard_of_is_known_after_the_lease
        nodes::a_record_of_another_schema_is_an_unknown_id
        nodes::every_key_expires_and_none_outlives_its_session_by_much
        nodes::a_session_in_use_does_not_expire_and_one_that_is_not_does
        nodes::a_redis_that_lost_everything_ends_what_it_vouched_for
        nodes::a_guard_that_is_dropped_leaves_neither_task_nor_connection
        nodes::no_error_and_no_debug_text_shows_a_secret
        nodes::the_permissions_that_are_documented_suffice
        faults::a_full_redis_refuses_newcomers_alone
        faults::a_guard_starts_before_its_redis
        faults::who_only_listens_leaves_a_server_that_is_no_primary_any_more
        faults::what_can_not_be_put_off_keeps_no_other_from_it
    }
    trials.push(story(
        "a_stream_of_ends_that_hears_nothing_fails",
        || (),
        faults::a_stream_of_ends_that_hears_nothing_fails,
    ));
    trials.push(story(
        "a cluster: the_permissions_that_are_documented_suffice",
        Cluster::start,
        nodes::the_permissions_that_are_documented_suffice_in_a_cluster,
    ));
    trials.push(story(
        "a cluster: a_slot_that_moves_takes_no_end_along_unheard",
        Cluster::start,
        nodes::a_slot_that_moves_takes_no_end_along_unheard,
    ));
    let tls = redis_server().and(program("openssl"));
    trials.push(trial(
        "it_is_spoken_to_over_tls".to_owned(),
        tls.clone(),
        |_| play(nodes::it_is_spoken_to_over_tls()),
    ));
    let name = "a_client_certificate_is_shown_to_one_server_and_to_a_cluster";
    trials.push(trial(name.to_owned(), tls, |_| {
        play(nodes::a_client_certificate_is_shown_to_one_server_and_to_a_cluster())
    }));
    trials.push(story(
        "connections_that_are_reset_strand_nobody",
        || (),
        faults::connections_that_are_reset_strand_nobody,
    ));
    trials.push(story(
        "a_slow_redis_is_waited_for",
        || (),
        faults::a_slow_redis_is_waited_for,
    ));
    for (name, trouble) in [
        ("down", Trouble::Network(Fault::Down)),
        ("half-open", Trouble::Network(Fault::Silent)),
        (
            "too slow",
            Trouble::Network(Fault::Slow(Duration::from_secs(2))),
        ),
        ("killed and restarted", Trouble::Killed),
        ("a replica", Trouble::Replica),
    ] {
        let refuses = format!("{name}: a_redis_in_trouble_refuses_what_only_it_can_tell");
        trials.push(story(
            &refuses,
            move || trouble,
            faults::a_redis_in_trouble_refuses_what_only_it_can_tell,
        ));
        let under_way = format!("{name}: what_is_under_way_when_it_breaks_is_refused");
        trials.push(story(
            &under_way,
            move || trouble,
            faults::what_is_under_way_when_it_breaks_is_refused,
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Every case, each on a server of its own, by two ways to it.
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
            play(async move {
                case.check(&store(&redis), &store(&redis)).await;
            })
        })
    });
    trials.collect()
}

/// A story that begins with this.
fn story<T, F>(name: &str, start: impl FnOnce() -> T + Send + 'static, tale: fn(T) -> F) -> Trial
where
    T: 'static,
    F: Future<Output = ()> + 'static,
{
    trial(name.to_owned(), redis_server(), move |_| {
        self::play(tale(start()))
    })
}
