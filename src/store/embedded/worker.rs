//! The thread that reads and writes the file, so that nobody else waits for the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::clock::Clock;
use super::error::{FileStoreError, FileStoreErrorKind};
use super::file;
use super::tables::{self, Cursor, Tables, Urgency};
use crate::observe;
use crate::store::StoreError;
use crate::unwind::unless_it_panics;

/// What a caller wants done.
pub(super) trait Job: Send {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), redb::Error>;

    /// Tells the caller, now that it is written.
    fn answer(self: Box<Self>, failure: Option<&Arc<FileStoreError>>);
}

/// One call, and whoever waits for it.
pub(super) struct Call<A, T> {
    act: Option<A>,
    done: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl<A, T> Call<A, T> {
    pub(super) fn new(
        act: A,
        answer: oneshot::Sender<Result<T, StoreError>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            act: Some(act),
            done: None,
            answer,
            _place: place,
        }
    }
}

impl<A, T> Job for Call<A, T>
where
    A: FnOnce(&mut Tables<'_>) -> Result<T, redb::Error> + Send,
    T: Send,
{
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), redb::Error> {
        // Whoever has left while it waited asks again if it matters.
        let act = self.act.take().filter(|_| !self.answer.is_closed());
        self.done = act.map(|act| act(tables)).transpose()?;
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<FileStoreError>>) {
        let answer = match (self.done, failure) {
            (_, Some(failure)) => Err(StoreError::new(failure.clone())),
            (Some(done), None) => Ok(done),
            (None, None) => return,
        };
        let _ = self.answer.send(answer);
    }
}

pub(super) struct Worker {
    path: Box<Path>,
    /// None where the disk has failed: it is opened anew after a pause.
    database: Option<Database>,
    clock: Clock,
    failure: Option<(Arc<FileStoreError>, Instant)>,
    /// Something is written that a kill would still undo.
    is_unsafe: bool,
    cursor: Option<Cursor>,
    /// When to look after the file; never while it is empty.
    next_round: Option<Instant>,
}

impl Worker {
    pub(super) fn new(path: Box<Path>) -> Result<Self, FileStoreError> {
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
        })
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, waiting: &Receiver<Box<dyn Job>>) {
        loop {
            let first = match self.next_round {
                None => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => waiting.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => {
                    // All that came during the last commit share the next.
                    let others = waiting.try_iter().take(MOST_AT_ONCE - 1);
                    self.serve([first].into_iter().chain(others).collect());
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
            let _ = self.attempt(|_| Ok(((), Urgency::Now)));
        }
        let database = self.database.take();
        // Closing writes, and may panic where the disk fails.
        let _ = unless_it_panics(|| drop(database));
    }

    fn serve(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let now = self.clock.now();
        let outcome = self.attempt(|writing| {
            let mut tables = Tables::open(writing, now)?;
            for job in &mut jobs {
                job.run(&mut tables)?;
            }
            Ok(((), tables.urgency()))
        });
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
        let outcome = self.attempt(|writing| {
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
                observe::store_unwritten(&error);
                Some(now + ROUND)
            }
        };
    }

    /// Does this as one: all of it, as durable as it must be, or nothing.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&WriteTransaction) -> Result<(T, Urgency), redb::Error>,
    ) -> Result<T, Arc<FileStoreError>> {
        let database = self.ready()?;
        let error = match unless_it_panics(|| write(&database, &self.clock, act)) {
            Some(Ok((done, urgency))) => {
                self.database = Some(database);
                match urgency {
                    Urgency::Unchanged => {}
                    Urgency::Soon => self.is_unsafe = true,
                    Urgency::Now => self.is_unsafe = false,
                }
                return Ok(done);
            }
            Some(Err(error)) => FileStoreError::new(&self.path, error),
            None => FileStoreError::of(FileStoreErrorKind::Damaged, &self.path),
        };
        let _ = unless_it_panics(|| drop(database));
        self.is_unsafe = false;
        Err(self.fail(error))
    }

    /// The database, opened anew if it has failed: redb takes nothing more after a failure.
    fn ready(&mut self) -> Result<Database, Arc<FileStoreError>> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        if let Some((error, until)) = &self.failure
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        file::reopen(&self.path).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: FileStoreError) -> Arc<FileStoreError> {
        let error = Arc::new(error);
        self.failure = Some((error.clone(), Instant::now() + PAUSE));
        error
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
/// How long a disk that has failed is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// How many calls may share a commit.
const MOST_AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::store::SessionKey;

    #[test]
    fn calls_that_wait_share_a_commit() {
        let folder = tempfile::tempdir().unwrap();
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
            let job: Box<dyn Job> = Box::new(Call::new(act, answer, place));
            jobs.send(job).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let (jobs, waiting) = channel();
        drop(jobs);
        let mut worker = Worker::new(path.clone().into()).unwrap();
        let before = worker.clock.now();
        let later = before + 1_000_000;
        worker.clock = Clock::new(later);
        worker.attempt(|_| Ok(((), Urgency::Soon))).unwrap();
        worker.run(&waiting);
        let worker = Worker::new(path.into()).unwrap();
        assert!((later..later + 60_000).contains(&worker.clock.now()));
    }
}
