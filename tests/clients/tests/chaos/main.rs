//! Chaos: the official clients, floods, clients that move between nodes, slow readers and resets
//! act on two nodes with one store, which fails now and then, until the time is up. Then every
//! request must have an answer, no official client may have lost its session, and all resources
//! must be as at the start.
//!
//! It takes three seconds, or `CHAOS_SECONDS`. The long form prints its table with
//! `CHAOS_SECONDS=600 cargo test --package client-tests --test chaos -- --nocapture`.
//!
//! One run uses a store in memory with simulated faults. The other uses a real Redis, which is
//! killed, cut off, and has its clock moved. A session that a wrong clock expires is answered 404
//! or continues, and is never another client's session. A wrong clock does not expire sessions in
//! use, unless it loses a day.

mod clients;
mod cluster;
mod faults;
#[path = "../../../support/memory.rs"]
mod memory;
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
use crate::cluster::Cluster;
use crate::faults::{cause_faults, lose_a_day};
use crate::memory::{Memory, open_files};
use crate::store::Store;

/// The longest wait on a busy machine. Anything slower counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let name = "after chaos every request has an answer and no resource has grown";
    let trials = vec![
        Trial::test(format!("a store in memory: {name}"), || {
            chaos(Store::in_memory())
        }),
        trial(format!("a Redis: {name}"), redis_server(), |_| {
            chaos(Store::in_redis())
        }),
    ];
    let mut arguments = Arguments::from_args();
    // Run one trial at a time, because the resources of one would count for the other.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn chaos(store: impl Future<Output = Store>) -> Result<(), Failed> {
    let seconds = env::var("CHAOS_SECONDS").map_or(Ok(3), |seconds| seconds.parse())?;
    let time = Duration::from_secs(seconds);
    // The servers have their own runtime, so that its tasks are only theirs.
    let (servers, clients) = (Runtime::new()?, Runtime::new()?);
    let cluster = Arc::new(servers.block_on(async { Cluster::serve(store.await).await }));
    clients.block_on(cluster.store_works());
    clients.block_on(cluster.store_is_connected());
    clients.block_on(cluster.empty());
    let start = Resources::of(&cluster, &servers);

    clients.block_on(async {
        let mut tasks = JoinSet::new();
        tasks.spawn(cause_faults(cluster.clone(), time));
        tasks.spawn(flood(cluster.clone()));
        tasks.spawn(move_about(cluster.clone()));
        tasks.spawn(read_slowly(cluster.clone()));
        tasks.spawn(reset(cluster.clone()));
        for (name, kind) in kinds() {
            match kind {
                Ok(kind) => drop(tasks.spawn(use_tools(cluster.clone(), name, kind))),
                Err(missing) if env::var_os("REQUIRE_OUTSIDE_PROGRAMS").is_none() => {
                    println!("without {name}: needs {missing}");
                }
                Err(missing) => return Err(Failed::from(format!("{name} needs {missing}"))),
            }
        }
        sleep(time / 4).await;
        let memory = Memory::settled();
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|panic| format!("a client panicked: {panic}"))?;
        }
        if cluster.store.has_clock() {
            lose_a_day(&cluster).await;
        }
        cluster.tally.print();
        cluster.tally.print_all();
        memory.print();
        cluster.tally.assert_none_is_lost();
        memory.assert_stable_over(time);
        Ok(())
    })?;

    clients.block_on(cluster.empty());
    let until = Instant::now() + PATIENCE;
    loop {
        let now = Resources::of(&cluster, &servers);
        if now.is_no_more_than(&start) {
            println!("resources at the start: {start:?}\nand at the end:         {now:?}");
            return Ok(());
        }
        assert!(
            Instant::now() < until,
            "resources at the start: {start:?}, and at the end: {now:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The resources that must not grow.
#[derive(Debug)]
struct Resources {
    sessions: usize,
    stored: usize,
    tasks: usize,
    /// `None` if the system does not report it.
    files: Option<usize>,
}

impl Resources {
    fn of(cluster: &Cluster, servers: &Runtime) -> Self {
        Self {
            sessions: cluster.nodes.iter().map(|node| node.sessions.len()).sum(),
            stored: cluster.store.len(),
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
