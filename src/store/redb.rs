//! A store in one file on this machine. Operations that it has answered survive a kill of the process.

mod clock;
mod error;
mod file;
mod job;
mod tables;
#[cfg(test)]
mod test_folder;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use self::error::{FileStoreError, FileStoreErrorKind};
use self::job::{Answer, Call, Task};
use self::tables::{Reading, Tables};
use self::worker::Worker;
use super::{
    McpSessionStore, NewSession, Refresh, SessionKey, StoreError, StoreEvents, StoreFuture,
};

/// A session store in one file, so that sessions survive a restart or a crash of a server on one machine
/// (feature `redb`).
///
/// ```
/// use mcp_session_guard::SessionGuardLayer;
/// use mcp_session_guard::store::{FileStore, FileStoreErrorKind};
///
/// # let folder = std::env::temp_dir().join(format!("sessions-of-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("sessions.redb"); // `folder` is for example /var/lib/…
/// let store = FileStore::open(&path)?;
///
/// // One process at a time.
/// let refused = FileStore::open(&path).unwrap_err();
/// assert_eq!(refused.kind(), FileStoreErrorKind::InUse);
///
/// let guard = SessionGuardLayer::builder().store(store).build()?;
/// # drop::<SessionGuardLayer>(guard);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Guarantees
///
/// - **An opened session exists, and an ended session is gone**, even after `kill -9` or a power cut:
///   `create`, `remove` and `remove_owner` answer after the disk has confirmed. Calls that arrive while
///   the disk is busy share the next confirmation.
/// - **A kill or a power cut loses** at most the refreshes of the last second, so a session may end that
///   much early.
/// - **A full disk** is an error of the calls that write: no session opens, and none ends or is
///   refreshed in the file, because this takes room too. Existing sessions are still loaded, even after
///   a restart. Sessions in use continue. A record that was not refreshed expires as if its session had
///   not been used. The store writes again within a second after there is room.
/// - **A failing disk** is an error of the calls that meet it. The store reopens the file within a
///   second and continues from the last confirmed state.
/// - **A damaged file, or a file that is no store**, is an error of [`open`](Self::open). The store
///   never takes such a file for an empty store, and never repairs it by dropping data.
///
/// # Requirements
///
/// - **One process, one guard.** `open` refuses a second process while the first lives. The second may
///   try again, because a process releases the file when it ends, however it ends. Guards in one process
///   share their sessions by [`with_sessions`](crate::SessionGuardLayer::with_sessions), not by a store.
/// - **A local disk** that confirms only what it has written. The folder must exist, and must be as
///   durable as the sessions should be (a container's own disk is not). The store keeps an empty file
///   beside its file, with a name that ends in `.lock`. Do not remove it.
/// - **Secrecy.** The file contains session ids in clear text. The store makes it readable for its user
///   only. Make the folder readable for this user only too, and protect backups.
/// - **Little room**: half a kilobyte per session, and three or four times that while all sessions are
///   written at once. New sessions use the room of sessions that ended. The next `open` returns the rest
///   to the disk.
///
/// **Backups**: copy the file while no process has it open. Do not restore an old copy, because it
/// brings back sessions that have ended since.
///
/// **Time** starts at `open` with the machine's time, or with the latest time in the file if that is
/// later. From then on it runs at its own pace, so setting the clock of a running server has no effect.
/// If the clock is set back before a start, sessions live longer by the downtime. If it is set forward,
/// they end that much earlier.
///
/// The store uses [redb](https://docs.rs/redb): pure Rust, one dependency, a stable file format, one
/// file.
pub struct FileStore {
    jobs: Option<Sender<Task>>,
    /// Limits how many calls wait at once. Each takes a few KiB.
    permits: Arc<Semaphore>,
    worker: Option<JoinHandle<()>>,
    path: Box<Path>,
}

impl FileStore {
    /// Opens the store at `path`, or creates an empty store if there is no file.
    ///
    /// This call blocks while it reads and checks the whole file, so call it before the server starts.
    /// Ten thousand sessions take less than a tenth of a second, or up to a second if there is room to
    /// return to the disk.
    ///
    /// # Errors
    ///
    /// See [`FileStoreErrorKind`]. The file stays as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileStoreError> {
        let path: Box<Path> = path.as_ref().into();
        let worker = Worker::new(path.clone())?;
        let (jobs, queue) = channel();
        let worker = thread::Builder::new()
            .name("mcp-session-store".to_owned())
            .spawn(move || worker.run(&queue))
            .map_err(|error| FileStoreError::new(&path, error.into()))?;
        Ok(Self {
            jobs: Some(jobs),
            permits: Arc::new(Semaphore::new(MAX_WAITING)),
            worker: Some(worker),
            path,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Reading) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = |answer, permit| Task::Read(Call::boxed(run, answer, permit));
        self.call(task).await
    }

    async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = |answer, permit| Task::Write(Call::boxed(run, answer, permit));
        self.call(task).await
    }

    /// Sends a task to the worker, and waits until its result is as durable as it must be.
    async fn call<T>(
        &self,
        task: impl FnOnce(Answer<T>, OwnedSemaphorePermit) -> Task,
    ) -> Result<T, StoreError> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(StoreError::new)?;
        let (answer, answered) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            // Without a worker the wait for the answer below fails.
            let _ = jobs.send(task(answer, permit));
        }
        answered.await.map_err(StoreError::new)?
    }
}

impl McpSessionStore for FileStore {
    fn create<'a>(&'a self, session: NewSession<'a>) -> StoreFuture<'a, bool> {
        let key = session.key.clone();
        let value = session.value.to_owned();
        let owner = session.owner.map(str::to_owned);
        let expires_in = session.expires_in;
        Box::pin(
            self.write(move |tables| tables.create(&key, &value, owner.as_deref(), expires_in)),
        )
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        let key = key.clone();
        Box::pin(self.read(move |reading| reading.load(&key)))
    }

    fn refresh<'a>(&'a self, sessions: &'a [Refresh]) -> StoreFuture<'a, Vec<bool>> {
        let sessions = sessions.to_owned();
        Box::pin(self.write(move |tables| {
            let refreshed = sessions.iter().map(|session| tables.refresh(session));
            refreshed.collect()
        }))
    }

    fn remove<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        let key = key.clone();
        Box::pin(self.write(move |tables| tables.remove(&key)))
    }

    fn remove_owner<'a>(&'a self, owner: &'a str) -> StoreFuture<'a, ()> {
        let owner = owner.to_owned();
        Box::pin(self.write(move |tables| tables.remove_owner(&owner)))
    }

    /// Returns `None`, because no other process can use the file.
    fn subscribe(&self, _: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        None
    }
}

impl Drop for FileStore {
    /// Writes the rest to the disk and releases the file. Waits for the disk once.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            // The worker wakes tasks that wait for answers. A woken task may drop the store on the worker's own
            // thread, which cannot join itself.
            if worker.thread().id() != thread::current().id() {
                let _ = worker.join();
            }
        }
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

const MAX_WAITING: usize = 1024;
