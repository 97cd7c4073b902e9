//! The file store: the conformance suite, and the fate of the file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use mcp_session_guard::store::{
    FileStore, FileStoreError, FileStoreErrorKind, McpSessionStore, NewSession, Refresh,
    SessionKey, conformance,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

macro_rules! cases {
    ($($name:ident)*) => {
        mod the_store_in_a_file {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::check(stringify!($name)).await;
                }
            )*

            #[test]
            fn passes_every_case_except_those_about_ends() {
                let all = super::conformance::all();
                let names = all.iter().map(|case| case.name());
                let names: Vec<_> = names.filter(|name| !super::OF_ENDS.contains(name)).collect();
                assert_eq!(names, [$(stringify!($name)),*]);
            }
        }
    };
}

cases! {
    a_created_session_loads_through_both_handles
    a_key_that_was_never_created_loads_none
    create_does_not_overwrite_a_session
    one_of_many_concurrent_creates_of_a_key_succeeds
    one_of_many_concurrent_creates_succeeds_after_the_owner_was_removed
    scopes_ids_and_owners_with_special_characters_stay_separate
    a_session_expires_and_its_key_is_free_again
    a_refresh_postpones_the_expiry_and_never_shortens_it
    a_refresh_answers_in_order_and_restores_no_session
    a_removed_session_loads_through_no_handle
    remove_owner_ends_only_that_owners_sessions_in_every_scope
    remove_owner_does_not_end_later_sessions
    a_reused_key_ends_with_its_latest_owner_only
    a_cancelled_call_leaves_the_store_usable
    debug_shows_no_id
}

/// The cases about ends on other nodes. A file has one process, so there are none.
const OF_ENDS: [&str; 2] = [
    "every_end_is_announced_before_the_next_heartbeat",
    "heartbeats_come_three_times_per_lease_and_are_fresh",
];

async fn check(name: &str) {
    let folder = Folder::new();
    let store = folder.open();
    let all = conformance::all();
    let case = all.iter().find(|case| case.name() == name);
    case.unwrap().check(&store, &store).await;
}

#[test]
fn the_store_is_send_and_sync() {
    fn all<T: Send + Sync + std::fmt::Debug + 'static>() {}
    all::<FileStore>();
    all::<FileStoreError>();
    all::<FileStoreErrorKind>();
}

#[test]
fn the_file_store_has_no_subscription() {
    assert!(Folder::new().open().subscribe(LONG).is_none());
}

#[tokio::test]
async fn a_file_cannot_be_opened_twice_at_once() {
    let folder = Folder::new();
    let store = folder.open();
    assert_eq!(folder.refused(), FileStoreErrorKind::InUse);
    let error = FileStore::open(&folder.path).unwrap_err().to_string();
    let expected = format!("{}: another process has it open", folder.path.display());
    assert!(error.starts_with(&expected), "{error}");

    let key = key();
    assert!(create(&store, &key).await);
    drop(store);
    assert_eq!(load(&folder.open(), &key).await, Some(VALUE.to_vec()));
}

#[tokio::test]
async fn the_last_writes_are_there_when_the_store_is_opened_again() {
    let folder = Folder::new();
    let store = folder.open();
    let keys = [(); 3].map(|()| key());
    for key in &keys {
        let session = NewSession::new(key, VALUE, Duration::from_secs(3)).owned_by("alice");
        assert!(store.create(session).await.unwrap());
    }
    let [refreshed, removed, expired] = &keys;
    store.remove(removed).await.unwrap();
    let refresh = Refresh::new(refreshed.clone(), LONG);
    assert_eq!(store.refresh(&[refresh]).await.unwrap(), [true]);
    drop(store);

    let store = folder.open();
    assert_eq!(load(&store, removed).await, None);
    assert_eq!(load(&store, expired).await, Some(VALUE.to_vec()));
    sleep(Duration::from_millis(3100)).await;
    assert_eq!(load(&store, expired).await, None);
    assert_eq!(load(&store, refreshed).await, Some(VALUE.to_vec()));
    store.remove_owner("alice").await.unwrap();
    assert_eq!(load(&store, refreshed).await, None);
}

#[tokio::test]
async fn abandoned_calls_end_soon_and_do_not_harm_others() {
    let folder = Folder::new();
    let store = folder.open();
    for _ in 0..5000 {
        let _ = store.load(&key()).now_or_never();
    }
    let keys: Vec<_> = (0..3000).map(|_| key()).collect();
    let calls = keys.iter().map(|key| create(&store, key));
    assert!(join_all(calls).await.iter().all(|created| *created));
}

#[test]
fn a_store_survives_or_ends_cleanly_with_a_dropped_runtime() {
    let folder = Folder::new();
    let store = folder.open();
    let key = key();
    {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = NewSession::new(&key, VALUE, LONG);
        assert!(runtime.block_on(store.create(session)).unwrap());
        let calls = [(); 100].map(|()| store.load(&key));
        runtime.block_on(async {
            for call in calls {
                let _ = call.now_or_never();
            }
        });
    }
    drop(store);
    let store = folder.open();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(load(&store, &key)), Some(VALUE.to_vec()));
    // The runtime drops the store, in a task that never ends.
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(store);
    });
    drop(runtime);
    drop(folder.open());
}

#[test]
fn a_file_of_another_format_is_refused_and_left_unchanged() {
    let folder = Folder::new();
    for foreign in [&b"x"[..], b"SQLite format 3\0", &[0; 100_000], b"redb"] {
        fs::write(&folder.path, foreign).unwrap();
        assert_eq!(folder.refused(), FileStoreErrorKind::NotAStore);
        assert_eq!(fs::read(&folder.path).unwrap(), foreign);
    }
    fs::remove_file(&folder.path).unwrap();
    drop(folder.open());
}

#[test]
fn a_missing_folder_and_a_path_to_a_folder_are_errors() {
    let folder = Folder::new();
    let missing = folder.path.join("missing/sessions.redb");
    let error = FileStore::open(&missing).unwrap_err();
    assert_eq!(error.kind(), FileStoreErrorKind::Io);
    let error = error.to_string();
    assert!(error.contains("missing/sessions.redb"), "{error}");
    fs::create_dir(&folder.path).unwrap();
    assert_eq!(folder.refused(), FileStoreErrorKind::Io);
}

#[tokio::test]
async fn a_truncated_file_is_refused_at_any_length() {
    let whole = a_filled_file().await;
    let folder = Folder::new();
    let step = whole.len() / 40;
    for length in (0..whole.len()).step_by(step).chain([1]) {
        fs::write(&folder.path, &whole[..length]).unwrap();
        let kind = folder.refused();
        let expected = match length {
            1 => FileStoreErrorKind::NotAStore,
            _ => FileStoreErrorKind::Damaged,
        };
        assert_eq!(kind, expected, "cut off after {length}");
        assert!(fs::read(&folder.path).unwrap() == whole[..length]);
    }
}

#[tokio::test]
async fn a_corrupted_file_is_refused_or_complete() {
    let whole = a_filled_file().await;
    let folder = Folder::new();
    let key = SessionKey::new("", "intact");
    let mut refused = 0;
    for begin in (0..whole.len() - 64).step_by(2048) {
        let mut garbled = whole.clone();
        for byte in &mut garbled[begin..begin + 64] {
            *byte ^= 0x5a;
        }
        fs::write(&folder.path, &garbled).unwrap();
        match FileStore::open(&folder.path) {
            // The damage hit unused bytes.
            Ok(store) => assert_eq!(load(&store, &key).await, Some(VALUE.to_vec())),
            Err(error) => {
                let kind = error.kind();
                assert_ne!(kind, FileStoreErrorKind::InUse, "{error}");
                assert!(fs::read(&folder.path).unwrap() == garbled, "{begin}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let _store = folder.open();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["sessions.redb", "sessions.redb.lock"]);
}

#[tokio::test]
async fn leftovers_of_a_killed_process_do_not_block_the_store() {
    for half in [&b""[..], &[0; 73_728], b"nonsense"] {
        let folder = Folder::new();
        fs::write(folder.folder.path().join("sessions.redb.new"), half).unwrap();
        let store = folder.open();
        assert!(create(&store, &key()).await);
    }
}

/// Ten thousand sessions per round that no client ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_space_of_expired_sessions_is_reused() {
    let folder = Folder::new();
    let store = folder.open();
    let mut lengths = Vec::new();
    for _ in 0..5 {
        stream::iter(0..10_000)
            .for_each_concurrent(1000, |_| async {
                let key = key();
                let session = NewSession::new(&key, VALUE, Duration::from_millis(1));
                assert!(store.create(session).await.unwrap());
            })
            .await;
        // They expire at once, and are removed within a second and a half.
        sleep(Duration::from_millis(1500)).await;
        lengths.push(fs::metadata(&folder.path).unwrap().len());
    }
    assert!(lengths[4] <= lengths[1] * 3 / 2, "{lengths:?}");
    drop(store);
    // Opening the file shrinks it, once the last sessions are removed.
    let given_back = async {
        loop {
            let store = folder.open();
            if fs::metadata(&folder.path).unwrap().len() < 200_000 {
                return;
            }
            sleep(Duration::from_secs(1)).await;
            drop(store);
        }
    };
    let given_back = timeout(Duration::from_secs(30), given_back).await;
    assert!(given_back.is_ok(), "{lengths:?}");
}

/// The bytes of a file with several pages.
async fn a_filled_file() -> Vec<u8> {
    let folder = Folder::new();
    let store = folder.open();
    let intact = SessionKey::new("", "intact");
    assert!(create(&store, &intact).await);
    let keys: Vec<_> = (0..100).map(|_| key()).collect();
    join_all(keys.iter().map(|key| create(&store, key))).await;
    drop(store);
    fs::read(&folder.path).unwrap()
}

struct Folder {
    folder: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        Self { folder, path }
    }

    fn open(&self) -> FileStore {
        FileStore::open(&self.path).unwrap()
    }

    fn refused(&self) -> FileStoreErrorKind {
        FileStore::open(&self.path).unwrap_err().kind()
    }
}

fn key() -> SessionKey {
    SessionKey::new("", uuid::Uuid::new_v4().to_string())
}

async fn create(store: &FileStore, key: &SessionKey) -> bool {
    store
        .create(NewSession::new(key, VALUE, LONG))
        .await
        .unwrap()
}

async fn load(store: &FileStore, key: &SessionKey) -> Option<Vec<u8>> {
    store.load(key).await.unwrap()
}

/// The size of most records.
const VALUE: &[u8] = &[b'v'; 250];
const LONG: Duration = Duration::from_secs(60);
