//! The file store in a process that is killed: every answer that it printed is durable.
//!
//! The processes run this program, which is why it has no standard harness.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use libtest_mimic::{Arguments, Failed, Trial};
use mcp_session_guard::store::{
    FileStore, FileStoreErrorKind, McpSessionStore, NewSession, Refresh, SessionKey,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use uuid::Uuid;

fn main() {
    if let Ok(path) = env::var(PATH) {
        let store = FileStore::open(path).unwrap();
        println!("open");
        let runtime = Runtime::new().unwrap();
        return match env::var(PART).as_deref() {
            Ok("worker") => runtime.block_on(work(&store)),
            Ok("refresher") => runtime.block_on(refresh(&store)),
            Ok("confined") => runtime.block_on(live_on_a_full_disk(&store)),
            _ => unreachable!("the parent sets the part"),
        };
    }
    let trials = vec![
        Trial::test("every_answer_before_one_of_thirty_kills_is_durable", || {
            run_story(every_answer_is_durable)
        }),
        Trial::test("a_refresh_is_safe_after_a_second", || {
            run_story(a_refresh_is_safe_after_a_second)
        }),
        Trial::test("a_killed_process_releases_the_file", || {
            run_story(a_killed_process_releases_its_file)
        }),
        Trial::test("a_full_disk_does_not_block_existing_sessions", || {
            run_story(a_full_disk_does_not_block_existing_sessions)
        })
        .with_ignored_flag(cfg!(not(unix))),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run_story(story: fn()) -> Result<(), Failed> {
    story();
    Ok(())
}

/// Opens and ends sessions, several at once. Prints each step before it and each answer after it.
async fn work(store: &FileStore) {
    let workers = (0..8).map(|_| async {
        for round in 0.. {
            let owner = Uuid::new_v4().to_string();
            let ids = [(); 4].map(|()| Uuid::new_v4().to_string());
            let [refreshed, removed, owned, also_owned] = &ids;
            for id in &ids {
                let key = SessionKey::new(SCOPE, &**id);
                let mut session = NewSession::new(&key, id.as_bytes(), LONG);
                if [owned, also_owned].contains(&id) {
                    session = session.owned_by(&owner);
                }
                assert!(store.create(session).await.unwrap());
                println!("created {id}");
            }
            let refresh = Refresh::new(SessionKey::new(SCOPE, &**refreshed), LONG * 2);
            assert_eq!(store.refresh(&[refresh]).await.unwrap(), [true]);
            println!("removing {removed}");
            let removing = SessionKey::new(SCOPE, &**removed);
            store.remove(&removing).await.unwrap();
            println!("removed {removed}");
            if round % 2 == 0 {
                println!("removing {owned}\nremoving {also_owned}");
                store.remove_owner(&owner).await.unwrap();
                println!("removed {owned}\nremoved {also_owned}");
            }
        }
    });
    join_all(workers).await;
}

/// The expected state of a session, according to the printed lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Known {
    Present,
    Unclear,
    Removed,
}

fn every_answer_is_durable() {
    let folder = Folder::new();
    let mut known = HashMap::new();
    let mut pauses = Pauses(7);
    for _ in 0..30 {
        let mut process = Process::start(&folder.path, "worker");
        // The kill often comes while the file is being opened.
        process.read_for(pauses.next(), |line| note(&mut known, line));
        process.kill(|line| note(&mut known, line));
        // The last line is complete or missing.
        check(&folder.path, &known);
    }
    let count = |state| known.values().filter(|known| **known == state).count();
    let (present, removed) = (count(Known::Present), count(Known::Removed));
    assert!(
        present > 50 && removed > 50,
        "{present} present, {removed} removed"
    );
}

fn note(known: &mut HashMap<String, Known>, line: &str) {
    let Some((word, id)) = line.split_once(' ') else {
        return;
    };
    let state = match word {
        "created" => Known::Present,
        "removing" => Known::Unclear,
        "removed" => Known::Removed,
        _ => panic!("unexpected line: {line}"),
    };
    known.insert(id.to_owned(), state);
}

fn check(path: &Path, known: &HashMap<String, Known>) {
    let store = FileStore::open(path).unwrap();
    let check = known.iter().map(async |(id, known)| {
        let key = SessionKey::new(SCOPE, &**id);
        let value = store.load(&key).await.unwrap();
        match known {
            Known::Present => assert_eq!(value.as_deref(), Some(id.as_bytes())),
            Known::Removed => assert_eq!(value, None),
            Known::Unclear => assert!(value.is_none_or(|value| value == id.as_bytes())),
        }
    });
    Runtime::new().unwrap().block_on(join_all(check));
}

/// Creates a session that expires soon, refreshes it once, and then waits.
async fn refresh(store: &FileStore) {
    let key = SessionKey::new(SCOPE, REFRESHED);
    let session = NewSession::new(&key, b"x", SHORT);
    assert!(store.create(session).await.unwrap());
    println!("created");
    let refresh = Refresh::new(key, LONG);
    assert_eq!(store.refresh(&[refresh]).await.unwrap(), [true]);
    println!("refreshed");
    std::future::pending::<()>().await;
}

fn a_refresh_is_safe_after_a_second() {
    let folder = Folder::new();
    let mut process = Process::start(&folder.path, "refresher");
    process.expect(["open", "created"]);
    let created = Instant::now();
    process.expect(["refreshed"]);
    // The promise is one second. The extra half is for busy machines.
    thread::sleep(Duration::from_millis(1500));
    process.kill(|line| panic!("unexpected line: {line}"));
    thread::sleep(SHORT.saturating_sub(created.elapsed()) + Duration::from_millis(100));
    let store = FileStore::open(&folder.path).unwrap();
    let key = SessionKey::new(SCOPE, REFRESHED);
    let load = Runtime::new().unwrap().block_on(store.load(&key));
    assert_eq!(load.unwrap().as_deref(), Some(&b"x"[..]));
}

fn a_killed_process_releases_its_file() {
    let folder = Folder::new();
    let mut process = Process::start(&folder.path, "refresher");
    process.expect(["open"]);
    let refused = FileStore::open(&folder.path).unwrap_err().to_string();
    assert!(refused.contains("another process has it open"), "{refused}");
    process.kill(|_| {});
    drop(FileStore::open(&folder.path).unwrap());
}

/// Writes beyond the size limit of the file fail, as on a full disk.
fn a_full_disk_does_not_block_existing_sessions() {
    let folder = Folder::new();
    let runtime = Runtime::new().unwrap();
    let store = FileStore::open(&folder.path).unwrap();
    let created = (0..EXISTING).map(|number| create(&store, number));
    assert!(runtime.block_on(join_all(created)).iter().all(|it| *it));
    drop(store);
    // This also leaves no room for the copy that shrinking the file needs.
    let blocks = folder.path.metadata().unwrap().len().div_ceil(512);
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\"");
    let mut new = 0;
    // The second round is a restart on a disk that is full from the start.
    for _ in 0..2 {
        let mut process = Process::start_by(&folder.path, "confined", |program| {
            let mut shell = Command::new("sh");
            shell.arg("-ec").arg(&script).arg(program);
            shell
        });
        process.expect(["open"]);
        let others = process.lines.iter().skip_while(|line| {
            let is_created = line == "created";
            new += usize::from(is_created);
            is_created
        });
        assert_eq!(others.take(1).collect::<Vec<_>>(), ["full"]);
        // The process keeps its lock on the file, even while it reopens the file after a failure.
        let last = loop {
            match process.lines.try_recv() {
                Ok(line) => break line,
                Err(_) => {
                    let refused = FileStore::open(&folder.path).unwrap_err();
                    assert_eq!(refused.kind(), FileStoreErrorKind::InUse, "{refused}");
                }
            }
        };
        assert_eq!(last, "loaded");
        process.kill(|line| panic!("unexpected line: {line}"));
    }

    let store = FileStore::open(&folder.path).unwrap();
    let all = EXISTING + new;
    let loads = (0..all).map(|number| runtime.block_on(store.load(&numbered(number))));
    assert!(
        loads
            .into_iter()
            .all(|value| value.unwrap().unwrap() == RECORD)
    );
    assert!(runtime.block_on(create(&store, all + 1_000_000)));
}

/// Keeps opening sessions for which there is no room, while others are loaded.
async fn live_on_a_full_disk(store: &FileStore) {
    let mut number = first_free(store).await;
    while create(store, number).await {
        println!("created");
        number += 1;
    }
    println!("full");
    let end = Instant::now() + Duration::from_secs(3);
    let mut refused = 0;
    while Instant::now() < end {
        let key = numbered(refused % EXISTING);
        let opening = create(store, 1_000_000 + refused);
        let (opened, loaded) = futures_util::join!(opening, store.load(&key));
        refused += usize::from(!opened);
        assert_eq!(loaded.unwrap().unwrap(), RECORD);
    }
    assert!(refused > 10, "{refused}");
    println!("loaded");
    std::future::pending::<()>().await;
}

/// The first number without a session.
async fn first_free(store: &FileStore) -> usize {
    let mut number = EXISTING;
    while store.load(&numbered(number)).await.unwrap().is_some() {
        number += 1;
    }
    number
}

/// Creates a session. Returns whether there was room for it.
async fn create(store: &FileStore, number: usize) -> bool {
    let key = numbered(number);
    let created = store.create(NewSession::new(&key, RECORD, LONG)).await;
    created.is_ok_and(|created| created)
}

fn numbered(number: usize) -> SessionKey {
    SessionKey::new(SCOPE, format!("{number:08}"))
}

/// This program in another process, with its own store.
struct Process {
    process: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(path: &Path, part: &str) -> Self {
        Self::start_by(path, part, Command::new)
    }

    fn start_by(path: &Path, part: &str, by: impl FnOnce(PathBuf) -> Command) -> Self {
        let mut process = by(env::current_exe().unwrap())
            .env(PATH, path)
            .env(PART, part)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, lines) = channel();
        thread::spawn(move || send(output, |line| sender.send(line).is_ok()));
        Self { process, lines }
    }

    /// Reads the printed lines for this time.
    fn read_for(&mut self, time: Duration, mut note: impl FnMut(&str)) {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => note(&line),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the process has ended by itself"),
            }
        }
    }

    fn expect<const N: usize>(&mut self, lines: [&str; N]) {
        for line in lines {
            assert_eq!(self.lines.recv().unwrap(), line);
        }
    }

    /// Sends SIGKILL, and reads the lines printed until then.
    fn kill(mut self, mut note: impl FnMut(&str)) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for line in self.lines.iter() {
            note(&line);
        }
    }
}

fn send(lines: Lines<BufReader<ChildStdout>>, mut send: impl FnMut(String) -> bool) {
    for line in lines.map_while(Result::ok) {
        if !send(line) {
            return;
        }
    }
}

/// Pauses of up to a fifth of a second, the same in every run.
struct Pauses(u64);

impl Pauses {
    fn next(&mut self) -> Duration {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Duration::from_millis((self.0 >> 33) % 200)
    }
}

struct Folder {
    _folder: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        Self {
            _folder: folder,
            path,
        }
    }
}

const PATH: &str = "STORE_TO_KEEP";
const PART: &str = "PART_TO_PLAY";
const SCOPE: &str = "mail";
const REFRESHED: &str = "refreshed";
/// The number of sessions before the disk is full.
const EXISTING: usize = 1000;
const RECORD: &[u8] = &[b'v'; 600];
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(600);
