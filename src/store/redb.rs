//! A store in one file on this machine: what was answered survives a kill.

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

/// Sessions in one file, so that a deploy or a crash of a server on one machine strands nobody.
/// Feature `redb`.
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
/// # What it promises
///
/// - **A session that was opened is there, one that was ended is gone**, also after `kill -9` or a
///   power cut: `create`, `remove` and `remove_owner` answer when the disk has confirmed. Calls that
///   come while the disk is busy share the next confirmation.
/// - **Lost at most**: the refreshes of the last second, so that a session may end so much early.
/// - **A disk that is full** is an error of the calls that write: none opens, and none ends or is
///   refreshed in the file, for that takes room too. What is there is still loaded, also after a
///   restart. Sessions in use go on; a record that was not refreshed expires as if its session had
///   not been used. Within a second after there is room all is as before.
/// - **A disk that fails** is an error of the calls that it concerns; the file is opened anew within a
///   second, and goes on from what was confirmed last.
/// - **A file that is damaged, or no store**, is an error of [`open`](Self::open), never taken for an
///   empty store. Nothing is repaired by leaving things out.
///
/// # What it needs
///
/// - **One process, one guard.** A second process is refused while the first lives; it may try again,
///   for a process that ends, however it ends, lets go of the file. Guards in one process share their
///   sessions by [`with_sessions`](crate::SessionGuardLayer::with_sessions), not a store.
/// - **A local disk** that does not lie about what it has written; its folder must exist, and be as
///   durable as you like the sessions to be (a container's own disk is not). Beside the file there is
///   another, empty one whose name ends in `.lock`: leave it there.
/// - **Secrecy.** It holds session ids in clear text. It is made readable by its user alone, so the
///   folder should be too, for backups are what you make of them.
/// - **Little room**: half a kilobyte a session, three or four times that while all are written at
///   once. Room that sessions leave is used for others; what is left over goes back to the disk at
///   the next `open`.
///
/// **Backups**: copy the file while no process has it open. An old copy brings sessions back that
/// have ended since, so do not put one back.
///
/// **Time** is the machine's as of `open`, but never earlier than the file has seen; from then on
/// it goes at its own pace. So setting the clock of a running server means nothing; set back
/// before a start, sessions live on by what the downtime was; set forward, they end so much earlier.
///
/// It is built on [redb](https://docs.rs/redb): pure Rust, one dependency, stable file format, one
/// file.
pub struct FileStore {
    jobs: Option<Sender<Task>>,
    /// So many calls wait at most, each a few KiB.
    places: Arc<Semaphore>,
    worker: Option<JoinHandle<()>>,
    path: Box<Path>,
}

impl FileStore {
    /// Opens the store at `path`, or makes an empty one where there is no file.
    ///
    /// Blocks while the whole file is read and checked (ten thousand sessions: less than a tenth of a
    /// second, up to a second where there is room to give back), so call it before the server starts.
    ///
    /// # Errors
    ///
    /// See [`FileStoreErrorKind`]. The file is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileStoreError> {
        let path: Box<Path> = path.as_ref().into();
        let worker = Worker::new(path.clone())?;
        let (jobs, waiting) = channel();
        let worker = thread::Builder::new()
            .name("mcp-session-store".to_owned())
            .spawn(move || worker.run(&waiting))
            .map_err(|error| FileStoreError::new(&path, error.into()))?;
        Ok(Self {
            jobs: Some(jobs),
            places: Arc::new(Semaphore::new(MOST_WAITING)),
            worker: Some(worker),
            path,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Reading) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = |answer, place| Task::Read(Call::boxed(act, answer, place));
        self.call(task).await
    }

    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = |answer, place| Task::Write(Call::boxed(act, answer, place));
        self.call(task).await
    }

    /// Has the worker do this and waits until it is as durable as it must be.
    async fn call<T>(
        &self,
        task: impl FnOnce(Answer<T>, OwnedSemaphorePermit) -> Task,
    ) -> Result<T, StoreError> {
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(StoreError::new)?;
        let (answer, answered) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            // Where there is no worker, there is no answer either.
            let _ = jobs.send(task(answer, place));
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

    /// None: the file is this process's alone.
    fn subscribe(&self, _: Duration) -> Option<StoreFuture<'_, StoreEvents>> {
        None
    }
}

impl Drop for FileStore {
    /// Waits for the disk once: what is left is written, and the file is free.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            // The worker wakes those who wait, and one of these may be the last to hold the store.
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

const MOST_WAITING: usize = 1024;
