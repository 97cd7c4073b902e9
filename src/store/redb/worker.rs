//! The thread that reads and writes the file, so that nobody else waits for the disk.

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
use crate::unwind::unless_it_panics;

pub(super) struct Worker {
    path: Box<Path>,
    /// None where it could not be opened anew: that is tried again after a pause.
    database: Option<Database>,
    clock: Clock,
    /// What writers, and all where there is no database, would only meet again until then.
    failure: Option<(Arc<FileStoreError>, Instant)>,
    /// Something is written that a kill would still undo.
    is_unsafe: bool,
    cursor: Option<Cursor>,
    /// When to look after the file; never while it is empty.
    next_round: Option<Instant>,
    /// Held while the database is opened anew, too.
    _lock: File,
}

impl Worker {
    pub(super) fn new(path: Box<Path>) -> Result<Self, FileStoreError> {
        let lock = file::locked(&path)?;
        let database = file::open(&path)?;
        let seen = tables::time_seen(&database);
        let seen = seen.map_err(|error| FileStoreError::new(&path, error))?;
        Ok(Self {
            path,
            database: Some(database),
            clock: Clock::new(seen),
            failure: None,
            is_unsafe: false,
            cursor: None,
            next_round: Some(Instant::now() + ROUND),
            _lock: lock,
        })
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, waiting: &Receiver<Task>) {
        loop {
            let first = match self.next_round {
                None => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => waiting.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => {
                    // All that came during the last commit share the next.
                    let others = waiting.try_iter().take(MOST_AT_ONCE - 1);
                    self.serve([first].into_iter().chain(others));
                    self.next_round
                        .get_or_insert_with(|| Instant::now() + ROUND);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.next_round.is_some_and(|at| at <= Instant::now()) {
                self.go_round();
            }
        }
        if self.is_unsafe {
            let _ = self.commit(|_| Ok(((), Urgency::Now)));
        }
        let database = self.database.take();
        // Closing writes, and may panic where the disk fails.
        let _ = unless_it_panics(|| drop(database));
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

    /// All in one commit. None is tried soon after one that has failed: whoever reads would wait each
    /// time until the file is open again.
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
                written.inspect_err(|failure| self.pause(failure.clone()))
            }
        };
        for job in jobs {
            job.answer(outcome.as_ref().err());
        }
    }

    /// Writes what is to be written soon, and removes some of what has expired.
    fn go_round(&mut self) {
        let now = self.clock.now();
        let cursor = self.cursor.take();
        let least = match self.is_unsafe {
            true => Urgency::Now,
            false => Urgency::Unchanged,
        };
        let outcome = self.commit(|writing| {
            let mut tables = Tables::open(writing, now)?;
            let all = usize::try_from(tables.len()?).unwrap_or(usize::MAX);
            let some = (all / ROUNDS_FOR_ALL).max(FEWEST_A_ROUND);
            let cursor = tables.purge(cursor.as_ref(), some)?;
            let left = usize::try_from(tables.len()?).unwrap_or(usize::MAX);
            // Where most were, most others will be.
            let is_worth_it = all - left > some / 2;
            Ok(((cursor, left, is_worth_it), tables.urgency().max(least)))
        });
        let now = Instant::now();
        self.next_round = match outcome {
            Ok((cursor, left, is_worth_it)) => {
                self.cursor = cursor;
                match (left, is_worth_it) {
                    (0, _) => self.is_unsafe.then_some(now + ROUND),
                    (_, true) => Some(now),
                    (_, false) => Some(now + ROUND),
                }
            }
            Err(error) => {
                // What may be lost is lost: nobody waits for it.
                warn!(target: TARGET, %error, "the store could not write refreshes, or remove what has expired");
                Some(now + ROUND)
            }
        };
    }

    /// Does this as one: all of it, as durable as it must be, or nothing.
    fn commit<T>(
        &mut self,
        act: impl FnOnce(&WriteTransaction) -> Result<(T, Urgency), redb::Error>,
    ) -> Result<T, Arc<FileStoreError>> {
        let (done, urgency) = self.attempt(|database, clock| write(database, clock, act))?;
        match urgency {
            Urgency::Unchanged => {}
            Urgency::Soon => self.is_unsafe = true,
            Urgency::Now => self.is_unsafe = false,
        }
        Ok(done)
    }

    /// Opens the file anew if this fails: redb takes nothing more after a failure.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&Database, &Clock) -> Result<T, redb::Error>,
    ) -> Result<T, Arc<FileStoreError>> {
        let database = self.ready()?;
        let error = match unless_it_panics(|| act(&database, &self.clock)) {
            Some(Ok(done)) => {
                self.database = Some(database);
                return Ok(done);
            }
            Some(Err(error)) => FileStoreError::new(&self.path, error),
            None => FileStoreError::of(FileStoreErrorKind::Damaged, &self.path),
        };
        let _ = unless_it_panics(|| drop(database));
        self.is_unsafe = false;
        self.database = self.reopened().ok();
        Err(Arc::new(error))
    }

    fn ready(&mut self) -> Result<Database, Arc<FileStoreError>> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        match self.recent_failure() {
            Some(failure) => Err(failure),
            None => self.reopened(),
        }
    }

    fn reopened(&mut self) -> Result<Database, Arc<FileStoreError>> {
        file::reopen(&self.path).map_err(|error| {
            let error = Arc::new(error);
            self.pause(error.clone());
            error
        })
    }

    fn pause(&mut self, failure: Arc<FileStoreError>) {
        self.failure = Some((failure, Instant::now() + PAUSE));
    }

    fn recent_failure(&self) -> Option<Arc<FileStoreError>> {
        let (failure, until) = self.failure.as_ref()?;
        (Instant::now() < *until).then(|| failure.clone())
    }
}

fn write<T>(
    database: &Database,
    clock: &Clock,
    act: impl FnOnce(&WriteTransaction) -> Result<(T, Urgency), redb::Error>,
) -> Result<(T, Urgency), redb::Error> {
    let mut writing = database.begin_write()?;
    let (done, urgency) = act(&writing)?;
    match urgency {
        Urgency::Unchanged => writing.abort()?,
        Urgency::Soon | Urgency::Now => {
            tables::see_time(&writing, clock.now())?;
            if urgency == Urgency::Soon {
                writing.set_durability(Durability::None)?;
            }
            writing.commit()?;
        }
    }
    Ok((done, urgency))
}

/// What is written soon is written twice a second.
const ROUND: Duration = Duration::from_millis(500);
/// What has expired is gone half a minute later.
const ROUNDS_FOR_ALL: usize = 60;
const FEWEST_A_ROUND: usize = 64;
/// How long a disk that has failed, or was full, is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// How many calls may share a commit.
const MOST_AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::sync::{Semaphore, oneshot};

    use super::super::job::Call;
    use super::super::test_folder::TestFolder;
    use super::*;
    use crate::store::SessionKey;

    #[test]
    fn calls_that_wait_share_a_commit() {
        let folder = TestFolder::new();
        let path = folder.path().join("sessions.redb");
        let places = Arc::new(Semaphore::new(200));
        let (jobs, waiting) = channel();
        let answers = (0..200).map(|number| {
            let (answer, answered) = oneshot::channel();
            let place = places.clone().try_acquire_owned().unwrap();
            let key = SessionKey::new("", number.to_string());
            let act = move |tables: &mut Tables<'_>| {
                assert!(tables.create(&key, b"x", None, Duration::from_secs(60))?);
                Ok(tables.now)
            };
            let job = Call::boxed(act, answer, place);
            jobs.send(Task::Write(job)).unwrap();
            answered
        });
        let answers: Vec<_> = answers.collect();
        drop(jobs);
        Worker::new(path.into()).unwrap().run(&waiting);
        let mut moments: Vec<_> = answers
            .into_iter()
            .map(|mut answer| answer.try_recv().unwrap().unwrap())
            .collect();
        moments.dedup();
        assert_eq!(moments.len(), 1, "each commit has its own: {moments:?}");
        assert_eq!(places.available_permits(), 200);
    }

    #[test]
    fn time_goes_on_from_what_the_file_has_seen() {
        let folder = TestFolder::new();
        let path = folder.path().join("sessions.redb");
        let (jobs, waiting) = channel();
        drop(jobs);
        let mut worker = Worker::new(path.clone().into()).unwrap();
        let before = worker.clock.now();
        let later = before + 1_000_000;
        worker.clock = Clock::new(later);
        worker.commit(|_| Ok(((), Urgency::Soon))).unwrap();
        worker.run(&waiting);
        let worker = Worker::new(path.into()).unwrap();
        assert!((later..later + 60_000).contains(&worker.clock.now()));
    }
}
