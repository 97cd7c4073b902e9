//! The jobs that callers send to the worker, and the way back for their results.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::FileStoreError;
use super::tables::{Reading, Tables};
use crate::store::StoreError;

/// A job, by the kind of access that it needs. Jobs of one kind run together and fail together.
pub(super) enum Task {
    Read(Read),
    /// A job that needs room on the disk, whatever it writes.
    Write(Write),
}

pub(super) type Read = Box<dyn Job<Reading>>;
pub(super) type Write = Box<dyn for<'t> Job<Tables<'t>>>;

/// A call that runs on the tables of the file.
pub(super) trait Job<Target>: Send {
    fn run(&mut self, target: &mut Target) -> Result<(), redb::Error>;

    /// Sends the result to the caller. The worker calls this once the result is as durable as it must
    /// be.
    fn answer(self: Box<Self>, failure: Option<&Arc<FileStoreError>>);
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One call, with the channel to its caller.
pub(super) struct Call<A, T> {
    action: Option<A>,
    done: Option<T>,
    answer: Answer<T>,
    _permit: OwnedSemaphorePermit,
}

impl<A, T> Call<A, T> {
    pub(super) fn boxed(action: A, answer: Answer<T>, permit: OwnedSemaphorePermit) -> Box<Self> {
        Box::new(Self {
            action: Some(action),
            done: None,
            answer,
            _permit: permit,
        })
    }
}

impl<A, T, Target> Job<Target> for Call<A, T>
where
    A: FnOnce(&mut Target) -> Result<T, redb::Error> + Send,
    T: Send,
{
    fn run(&mut self, target: &mut Target) -> Result<(), redb::Error> {
        // A caller that gave up its call repeats the call if it still matters.
        let action = self.action.take().filter(|_| !self.answer.is_closed());
        self.done = action.map(|action| action(target)).transpose()?;
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
