//! Chaos: the official clients, floods, movers between machines, slow readers and resets at two nodes
//! with one store, which fails now and then, until the time is up. Then nobody may have waited in
//! vain, no official client may have lost its session, and everything is as at the start.
//!
//! Three seconds unless `CHAOS_SECONDS` says otherwise; the long form prints its table with
//! `CHAOS_SECONDS=600 cargo test --package client-tests --test chaos -- --nocapture`.
//!
//! Once with a store in memory, which is told to fail, and once with a real Redis, which is killed,
//! cut off, and has its clock moved. What a clock that is wrong makes it forget is 404 or goes on, and
//! is never another's session; those in use it does not forget, unless it loses a day.

mod clients;
mod faults;
#[path = "../../../support/memory.rs"]
mod memory;
mod place;
mod store;
#[path = "../../../support/tally.rs"]
mod tally;

use std::env;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use client_tests::driven::kinds;
use client_tests::redis::redis_server;
use client_tests::trial;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clients::{flood, move_about, read_slowly, reset, use_tools};
use crate::faults::{cause_faults, lose_a_day};
use crate::memory::{Memory, open_files};
use crate::place::Place;
use crate::store::Store;

/// How long anything may take on a busy machine before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let name = "after chaos nobody has waited in vain and nothing has grown";
    let trials = vec![
        Trial::test(format!("a store in memory: {name}"), || {
            chaos(Store::in_memory())
        }),
        trial(format!("a Redis: {name}"), redis_server(), |_| {
            chaos(Store::in_redis())
        }),
    ];
    let mut arguments = Arguments::from_args();
    // What one holds would be counted for the other.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn chaos(store: impl Future<Output = Store>) -> Result<(), Failed> {
    let seconds = env::var("CHAOS_SECONDS").map_or(Ok(3), |seconds| seconds.parse())?;
    let time = Duration::from_secs(seconds);
    // What the servers' runtime holds is theirs alone.
    let (servers, clients) = (Runtime::new()?, Runtime::new()?);
    let place = Arc::new(servers.block_on(async { Place::serve(store.await).await }));
    clients.block_on(place.store_is_well());
    clients.block_on(place.store_is_met());
    clients.block_on(place.empty());
    let start = Holdings::of(&place, &servers);

    clients.block_on(async {
        let mut tasks = JoinSet::new();
        tasks.spawn(cause_faults(place.clone(), time));
        tasks.spawn(flood(place.clone()));
        tasks.spawn(move_about(place.clone()));
        tasks.spawn(read_slowly(place.clone()));
        tasks.spawn(reset(place.clone()));
        for (name, kind) in kinds() {
            match kind {
                Ok(kind) => drop(tasks.spawn(use_tools(place.clone(), name, kind))),
                Err(missing) if env::var_os("REQUIRE_OUTSIDE_PROGRAMS").is_none() => {
                    println!("without {name}: needs {missing}");
                }
                Err(missing) => return Err(Failed::from(format!("{name} needs {missing}"))),
            }
        }
        sleep(time / 4).await;
        let memory = Memory::settled();
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|panic| format!("a client went wrong: {panic}"))?;
        }
        if place.store.has_clock() {
            lose_a_day(&place).await;
        }
        place.tally.print();
        place.tally.print_all();
        memory.print();
        place.tally.assert_none_is_lost();
        memory.assert_stable_over(time);
        Ok(())
    })?;

    clients.block_on(place.empty());
    let until = Instant::now() + PATIENCE;
    loop {
        let now = Holdings::of(&place, &servers);
        if now.is_no_more_than(&start) {
            println!("held at the start: {start:?}\nand at the end:    {now:?}");
            return Ok(());
        }
        assert!(
            Instant::now() < until,
            "held at the start: {start:?}, and at the end: {now:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What must not grow.
#[derive(Debug)]
struct Holdings {
    sessions: usize,
    stored: usize,
    tasks: usize,
    /// Where the system tells.
    files: Option<usize>,
}

impl Holdings {
    fn of(place: &Place, servers: &Runtime) -> Self {
        Self {
            sessions: place.nodes.iter().map(|node| node.sessions.len()).sum(),
            stored: place.store.len(),
            tasks: servers.metrics().num_alive_tasks(),
            files: open_files(),
        }
    }

    fn is_no_more_than(&self, other: &Self) -> bool {
        self.sessions <= other.sessions
            && self.stored <= other.stored
            && self.tasks <= other.tasks
            && self.files <= other.files
    }
}
