//! The thread that reads and writes the file, so that no other thread waits for the disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::{Database, Durability, WriteTransaction};
use tokio::time::Instant;
use tracing::warn;

use super::clock::Clock;
use super::error::{FileStoreError, FileStoreErrorKind};
use super::file;
use super::job::{Read, Task, Write};
use super::tables::{self, Cursor, Reading, Tables, Urgency};
use crate::log::TARGET;
use crate::unwind::catch_panic;

/// The state of the worker thread.
pub(super) struct Worker {
    path: Box<Path>,
    /// The open database. `None` if it could not be reopened. The worker tries again after [`BACK_OFF`].
    database: Option<Database>,
    clock: Clock,
    /// The last failure, and the end of its back-off. Until then writes fail with it at once, and so do
    /// reads if no database is open.
    failure: Option<(Arc<FileStoreError>, Instant)>,
    /// Whether a kill would undo the last commit, because it is not on the disk yet.
    has_pending_writes: bool,
    cursor: Option<Cursor>,
    /// The time of the next [`maintain`](Self::maintain). `None` while the file is empty.
    next_maintenance: Option<Instant>,
    /// The lock on the file. The worker keeps it while it reopens the database.
    _lock: File,
}

impl Worker {
    pub(super) fn new(path: Box<Path>) -> Result<Self, FileStoreError> {
        let lock = file::lock(&path)?;
        let database = file::open(&path)?;
        let recorded = tables::recorded_time(&database);
        let recorded = recorded.map_err(|error| FileStoreError::new(&path, error))?;
        Ok(Self {
            path,
            database: Some(database),
            clock: Clock::new(recorded),
            failure: None,
            has_pending_writes: false,
            cursor: None,
            next_maintenance: Some(Instant::now() + MAINTENANCE_INTERVAL),
            _lock: lock,
        })
    }

    /// Serves tasks until every sender is gone.
    pub(super) fn run(mut self, queue: &Receiver<Task>) {
        loop {
            let first = match self.next_maintenance {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => {
                    // All tasks that came during the last commit share the next one.
                    let others = queue.try_iter().take(MAX_BATCH - 1);
                    self.serve([first].into_iter().chain(others));
                    self.next_maintenance
                        .get_or_insert_with(|| Instant::now() + MAINTENANCE_INTERVAL);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.next_maintenance.is_some_and(|at| at <= Instant::now()) {
                self.maintain();
            }
        }
        if self.has_pending_writes {
            let _ = self.commit(|_| Ok(((), Urgency::Now)));
        }
        let database = self.database.take();
        // Closing the database writes, and may panic if the disk fails.
        let _ = catch_panic(|| drop(database));
    }

    fn serve(&mut self, tasks: impl Iterator<Item = Task>) {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for task in tasks {
            match task {
                Task::Read(job) => reads.push(job),
                Task::Write(job) => writes.push(job),
            }
        }
        self.read(reads);
        self.write(writes);
    }

    fn read(&mut self, mut jobs: Vec<Read>) {
        if jobs.is_empty() {
            return;
        }
        let now = self.clock.now();
        let outcome = self.attempt(|database, _| {
            let mut reading = Reading::open(database, now)?;
            jobs.iter_mut().try_for_each(|job| job.run(&mut reading))
        });
        for job in jobs {
            job.answer(outcome.as_ref().err());
        }
    }

    /// Runs all writes in one commit. Soon after a failure no write is tried, because each failure
    /// reopens the file, and reads would wait for that.
    fn write(&mut self, mut jobs: Vec<Write>) {
        if jobs.is_empty() {
            return;
        }
        let now = self.clock.now();
        let outcome = match self.recent_failure() {
            Some(failure) => Err(failure),
            None => {
                let written = self.commit(|writing| {
                    let mut tables = Tables::open(writing, now)?;
                    jobs.iter_mut().try_for_each(|job| job.run(&mut tables))?;
                    Ok(((), tables.urgency()))
                });
                written.inspect_err(|failure| self.back_off(failure.clone()))
            }
        };
        for job in jobs {
            job.answer(outcome.as_ref().err());
        }
    }

    /// Writes pending refreshes to the disk, and removes some of the expired sessions.
    fn maintain(&mut self) {
        let now = self.clock.now();
        let cursor = self.cursor.take();
        let least = match self.has_pending_writes {
            true => Urgency::Now,
            false => Urgency::Unchanged,
        };
        let outcome = self.commit(|writing| {
            let mut tables = Tables::open(writing, now)?;
            let all = usize::try_from(tables.len()?).unwrap_or(usize::MAX);
            let some = (all / RUNS_PER_PURGE).max(MIN_PER_RUN);
            let cursor = tables.purge(cursor.as_ref(), some)?;
            let left = usize::try_from(tables.len()?).unwrap_or(usize::MAX);
            // If most of these sessions were expired, most of the next ones will be too.
            let purge_goes_on = all - left > some / 2;
            Ok(((cursor, left, purge_goes_on), tables.urgency().max(least)))
        });
        let now = Instant::now();
        self.next_maintenance = match outcome {
            Ok((cursor, left, purge_goes_on)) => {
                self.cursor = cursor;
                match (left, purge_goes_on) {
                    (0, _) => self
                        .has_pending_writes
                        .then_some(now + MAINTENANCE_INTERVAL),
                    (_, true) => Some(now),
                    (_, false) => Some(now + MAINTENANCE_INTERVAL),
                }
            }
            Err(error) => {
                // No caller waits for this. The store may lose refreshes.
                warn!(target: TARGET, %error, "the file store could not write refreshes or remove expired sessions: check the disk");
                Some(now + MAINTENANCE_INTERVAL)
            }
        };
    }

    /// Runs this in one transaction: all of it as durable as it must be, or nothing.
    fn commit<T>(
        &mut self,
        run: impl FnOnce(&WriteTransaction) -> Result<(T, Urgency), redb::Error>,
    ) -> Result<T, Arc<FileStoreError>> {
        let (done, urgency) = self.attempt(|database, clock| write(database, clock, run))?;
        match urgency {
            Urgency::Unchanged => {}
            Urgency::Soon => self.has_pending_writes = true,
            Urgency::Now => self.has_pending_writes = false,
        }
        Ok(done)
    }

    /// Runs this on the database. Reopens the file after a failure, because redb then accepts no more
    /// operations.
    fn attempt<T>(
        &mut self,
        run: impl FnOnce(&Database, &Clock) -> Result<T, redb::Error>,
    ) -> Result<T, Arc<FileStoreError>> {
        let database = self.take_database()?;
        let error = match catch_panic(|| run(&database, &self.clock)) {
            Some(Ok(done)) => {
                self.database = Some(database);
                return Ok(done);
            }
            Some(Err(error)) => FileStoreError::new(&self.path, error),
            None => FileStoreError::of(FileStoreErrorKind::Damaged, &self.path),
        };
        let _ = catch_panic(|| drop(database));
        self.has_pending_writes = false;
        self.database = self.reopen().ok();
        Err(Arc::new(error))
    }

    fn take_database(&mut self) -> Result<Database, Arc<FileStoreError>> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        match self.recent_failure() {
            Some(failure) => Err(failure),
            None => self.reopen(),
        }
    }

    fn reopen(&mut self) -> Result<Database, Arc<FileStoreError>> {
        file::reopen(&self.path).map_err(|error| {
            let error = Arc::new(error);
            self.back_off(error.clone());
            error
        })
    }

    fn back_off(&mut self, failure: Arc<FileStoreError>) {
        self.failure = Some((failure, Instant::now() + BACK_OFF));
    }

    fn recent_failure(&self) -> Option<Arc<FileStoreError>> {
        let (failure, until) = self.failure.as_ref()?;
        (Instant::now() < *until).then(|| failure.clone())
    }
}

fn write<T>(
    database: &Database,
    clock: &Clock,
    run: impl FnOnce(&WriteTransaction) -> Result<(T, Urgency), redb::Error>,
) -> Result<(T, Urgency), redb::Error> {
    let mut writing = database.begin_write()?;
    let (done, urgency) = run(&writing)?;
    match urgency {
        Urgency::Unchanged => writing.abort()?,
        Urgency::Soon | Urgency::Now => {
            tables::record_time(&writing, clock.now())?;
            if urgency == Urgency::Soon {
                writing.set_durability(Durability::None)?;
            }
            writing.commit()?;
        }
    }
    Ok((done, urgency))
}

/// The time between two runs of [`Worker::maintain`]. Refreshes are on the disk after this time.
const MAINTENANCE_INTERVAL: Duration = Duration::from_millis(500);
/// The number of runs that look at all sessions once. An expired session is removed within 30 seconds.
const RUNS_PER_PURGE: usize = 60;
/// The least number of sessions that a run looks at.
const MIN_PER_RUN: usize = 64;
/// The time for which the worker does not use a disk that failed or was full.
const BACK_OFF: Duration = Duration::from_millis(500);
/// The number of calls that may share a commit.
const MAX_BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::sync::{Semaphore, oneshot};

    use super::super::job::Call;
    use super::super::test_folder::TestFolder;
    use super::*;
    use crate::store::SessionKey;

    #[test]
    fn waiting_calls_share_a_commit() {
        let folder = TestFolder::new();
        let path = folder.path().join("sessions.redb");
        let permits = Arc::new(Semaphore::new(200));
        let (jobs, queue) = channel();
        let answers = (0..200).map(|number| {
            let (answer, answered) = oneshot::channel();
            let permit = permits.clone().try_acquire_owned().unwrap();
            let key = SessionKey::new("", number.to_string());
            let run = move |tables: &mut Tables<'_>| {
                assert!(tables.create(&key, b"x", None, Duration::from_secs(60))?);
                Ok(tables.now)
            };
            let job = Call::boxed(run, answer, permit);
            jobs.send(Task::Write(job)).unwrap();
            answered
        });
        let answers: Vec<_> = answers.collect();
        drop(jobs);
        Worker::new(path.into()).unwrap().run(&queue);
        let mut moments: Vec<_> = answers
            .into_iter()
            .map(|mut answer| answer.try_recv().unwrap().unwrap())
            .collect();
        moments.dedup();
        assert_eq!(moments.len(), 1, "each commit has its own: {moments:?}");
        assert_eq!(permits.available_permits(), 200);
    }

    #[test]
    fn time_continues_from_the_latest_time_in_the_file() {
        let folder = TestFolder::new();
        let path = folder.path().join("sessions.redb");
        let (jobs, queue) = channel();
        drop(jobs);
        let mut worker = Worker::new(path.clone().into()).unwrap();
        let before = worker.clock.now();
        let later = before + 1_000_000;
        worker.clock = Clock::new(later);
        worker.commit(|_| Ok(((), Urgency::Soon))).unwrap();
        worker.run(&queue);
        let worker = Worker::new(path.into()).unwrap();
        assert!((later..later + 60_000).contains(&worker.clock.now()));
    }
}
