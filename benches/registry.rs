//! The cost of a million sessions: `cargo bench --features _internals --bench registry`. `--
//! 10000000` measures more sessions, and `-- memory`, `-- touches` or `-- sweeps` only one part.
//!
//! Sweeps depend on the allocator: glibc's blocks a thread while another thread frees memory that
//! the first one has allocated. `LD_PRELOAD=libjemalloc.so.2` avoids this.
#![allow(missing_docs, clippy::disallowed_types)]

mod support;

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use mcp_session_guard::fuzzing::{ENTRY_BYTES, sweep, touch};
use mcp_session_guard::{SessionGuardBuilder, SessionGuardLayer, Sessions};
use support::{
    Candidate, call, guarded, in_turns, median, nanos, open_and_use, post, quantile, resident, row,
    send, times,
};
use tokio::runtime::Runtime;

fn main() {
    let number = |argument: String| argument.parse().ok();
    if let Some(sessions) = env::var(MEMORY_OF).ok().and_then(number) {
        return memory(sessions);
    }
    let most: usize = env::args().skip(1).find_map(number).unwrap_or(MILLION);
    let larger = (most > MILLION).then_some(most);
    let parts = ["memory", "touches", "sweeps"];
    let asked: Vec<_> = env::args()
        .filter(|argument| parts.contains(&argument.as_str()))
        .collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    if is_asked("memory") {
        memories([900_000, MILLION].into_iter().chain(larger));
    }
    if is_asked("touches") {
        let counts = [1_000, 10_000, 100_000, MILLION];
        counts.into_iter().chain(larger).for_each(touches);
    }
    if is_asked("sweeps") {
        sweeps();
    }
}

/// Measures each number in a separate process, so that memory used by earlier measures does not
/// count.
fn memories(counts: impl Iterator<Item = usize>) {
    for sessions in counts {
        let mut process = Command::new(env::current_exe().expect("Linux reports it"));
        let ran = process.env(MEMORY_OF, sessions.to_string()).status();
        assert!(ran.is_ok_and(|status| status.success()));
    }
}

/// The memory of a session that has been used and is idle.
fn memory(sessions: usize) {
    let app = guarded(support::guard(sessions));
    let runtime = support::runtime();
    let before = resident("self");
    runtime.block_on(async {
        for _ in 0..sessions {
            open_and_use(&app).await;
        }
    });
    let each = (resident("self") - before) / sessions as u64;
    eprintln!("{sessions} idle sessions: {each} bytes each, of them {ENTRY_BYTES} the entry");
    row(
        &format!("bytes of an idle session, of {sessions}"),
        &each.to_string(),
        "",
        "",
    );
}

/// A lookup compared with maps of entries of the same size. The entries are in the table, or behind
/// an `Arc`: requests need the latter, because they keep their entry after the lock of the map is
/// released.
fn touches(count: usize) {
    let (_, sessions, ids) = open_many(SessionGuardLayer::builder(), count);
    let inline: DashMap<Id, [AtomicU64; WORDS], RandomState> = DashMap::default();
    let shared: DashMap<Id, Arc<[AtomicU64; WORDS]>, RandomState> = DashMap::default();
    for id in &ids {
        inline.insert(*id, Default::default());
        shared.insert(*id, Arc::default());
    }
    // Shuffle them, so that the order differs from the order of allocation.
    let ids = shuffled(ids);
    let hit = |id: &Id| touch(&sessions, id);
    let plain = |id: &Id| inline.get(id).map(|entry| entry[0].store(1, Relaxed));
    let behind_arc = |id: &Id| {
        let entry = shared.get(id).map(|entry| entry.value().clone());
        entry.map(|entry| entry[0].store(1, Relaxed))
    };
    for threads in [1, 2] {
        let taken = in_turns(
            &format!("a touch of one of {count} sessions, threads: {threads}"),
            100_000,
            &mut [
                on_threads("plain DashMap of Arcs", threads, &ids, |id| {
                    behind_arc(id).is_some()
                }),
                on_threads("  entries in the table", threads, &ids, |id| {
                    plain(id).is_some()
                }),
                on_threads("this crate", threads, &ids, hit),
            ],
        );
        let [shared, inline, ours] = taken[..] else {
            unreachable!("three candidates");
        };
        if count == MILLION {
            let what = format!(
                "hit of one of {count} sessions, threads: {threads}, against a plain DashMap of `Arc`s"
            );
            let in_table = format!("{} with its entries in the table", times(ours / inline));
            row(&what, &times(ours / shared), "", &in_table);
        }
    }
}

/// The effect of a sweep on other requests.
fn sweeps() {
    let (mut calm, mut sweeping, mut sweeps) = (Vec::new(), Vec::new(), Vec::new());
    let server = Server::new(SessionGuardLayer::builder(), Duration::ZERO);
    for _ in 0..SWEEPS {
        let (taken, lasted) = server.sweep();
        sweeping.extend(taken);
        sweeps.push(nanos(lasted));
        let until = Instant::now() + lasted;
        calm.extend(server.latencies(|| Instant::now() < until));
    }
    assert_eq!(server.sessions.len(), MILLION + 1, "no session expires");
    drop(server);

    // No background task sweeps meanwhile, because the runtime that opened the sessions is dropped.
    let idle = Duration::from_secs(2);
    let server = Server::new(SessionGuardLayer::builder().idle_timeout(idle), idle);
    let (ending, lasted) = server.sweep();
    assert_eq!(server.sessions.len(), 1, "all others expire");

    eprintln!("other requests, with {MILLION} sessions");
    let [calm, sweeping, ending] = [
        ("no sweep", calm),
        ("sweeps that end no session", sweeping),
        ("a sweep that ends all sessions", ending),
    ]
    .map(|(name, taken)| {
        let at = |share| quantile(taken.clone(), share) / 1000.0;
        let [half, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(at);
        eprintln!("  {name:<24} µs: median {half:.1}, p99 {p99:.1}, p99.9 {p999:.1}, {most:.0}");
        p999
    });
    let [found_none, ended_all] = [median(sweeps), nanos(lasted)].map(|nanos| nanos / 1e6);
    eprintln!(
        "  a sweep that ends no session takes {found_none:.0} ms, one that ends all {ended_all:.0}"
    );
    let sweeping = times(sweeping / calm);
    let ending = times(ending / calm);
    row(
        &format!("p99.9 of other requests while {MILLION} sessions are swept, against idle"),
        &format!("{sweeping}; {ending} where all end"),
        "",
        "",
    );
}

/// A million idle sessions, and one session in use.
struct Server {
    app: Router,
    sessions: Sessions,
    runtime: Runtime,
    id: String,
}

impl Server {
    fn new(builder: SessionGuardBuilder, idle: Duration) -> Self {
        let (app, sessions, _) = open_many(builder, MILLION);
        thread::sleep(idle);
        let runtime = support::runtime();
        let id = runtime.block_on(open_and_use(&app));
        Self {
            app,
            sessions,
            runtime,
            id,
        }
    }

    /// The latencies of sequential requests, for as long as `goes_on` returns true.
    fn latencies(&self, goes_on: impl Fn() -> bool) -> Vec<f64> {
        let body = call(130);
        let mut taken = Vec::new();
        self.runtime.block_on(async {
            while goes_on() {
                let request = post(Some(&self.id), body.clone());
                let start = Instant::now();
                assert_eq!(send(&self.app, request).await, 200);
                taken.push(nanos(start.elapsed()));
            }
        });
        taken
    }

    /// The latencies of requests while another thread sweeps, and the duration of the sweep.
    fn sweep(&self) -> (Vec<f64>, Duration) {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                let start = Instant::now();
                support::runtime().block_on(sweep(&self.sessions));
                is_over.store(true, Relaxed);
                start.elapsed()
            });
            let taken = self.latencies(|| !is_over.load(Relaxed));
            (taken, sweeper.join().expect("a sweep"))
        })
    }
}

/// Opens `count` sessions and uses each once.
fn open_many(builder: SessionGuardBuilder, count: usize) -> (Router, Sessions, Vec<Id>) {
    let guard = builder.max_sessions(count + 1).build().expect("limits");
    let sessions = guard.sessions();
    let app = guarded(guard);
    let ids = support::runtime().block_on(async {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            let id = open_and_use(&app).await;
            ids.push(id.into_bytes().try_into().expect("a UUID"));
        }
        ids
    });
    (app, sessions, ids)
}

/// Touches random sessions on `threads` threads. Reading the clock separates two touches: requests
/// come one by one, so the processor must not start the next touch while memory is slow.
fn on_threads<'a>(
    name: &'static str,
    threads: usize,
    ids: &'a [Id],
    touch: impl Fn(&Id) -> bool + Sync + 'a,
) -> Candidate<'a> {
    // Each run begins where the last one ended, so that its sessions are not in the caches yet.
    let mut next = 0;
    let run = move |runs: usize| {
        let each = runs / threads;
        thread::scope(|scope| {
            for part in 0..threads {
                let touch = &touch;
                let start = (next + part * ids.len() / threads) % ids.len();
                scope.spawn(move || {
                    for id in ids[start..].iter().chain(ids.iter().cycle()).take(each) {
                        assert!(black_box(touch(id)));
                        black_box(Instant::now());
                    }
                });
            }
        });
        next += each;
    };
    (name, Box::new(run))
}

/// A Fisher-Yates shuffle with a xorshift generator (Marsaglia).
fn shuffled(mut ids: Vec<Id>) -> Vec<Id> {
    let mut state = 88_172_645_463_325_252_u64;
    for last in (1..ids.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ids.swap(last, (state % (last as u64 + 1)) as usize);
    }
    ids
}

type Id = [u8; 36];
const WORDS: usize = ENTRY_BYTES / 8;
const MILLION: usize = 1_000_000;
/// A gentle sweep of a million sessions takes some seconds.
const SWEEPS: usize = 3;
const MEMORY_OF: &str = "MEMORY_OF";
